import { MESSAGE } from '../kernels/contract.ts';
import { CODEC, PACKET, RECORD } from '../kernels/layout.ts';
import type { Address } from '../util/address.ts';
import type { PacketSeal } from '../wire/packet.ts';
import type { Averagings } from './averaging.ts';
import type { Context } from './context.ts';
import { type Dissemination, viewOf } from './dissemination.ts';
import type { Gate } from './gate.ts';
import type { Membership } from './membership.ts';
import type { Responder } from './responder.ts';
import type { RingProber } from './ring-prober.ts';
import type { Sequences } from './sequences.ts';
import { countReject } from './stats.ts';

/**
 * Datagrams on their way in: opened, collected in the codec's inbox, validated together, then applied (protocol §5.4). A
 * datagram is taken whole or not at all.
 *
 * News is merged before pings are answered and acks are looked at, so that the answer to "ping, and by the way you are
 * suspected" already carries the refutation.
 */
export class Inbox {
  readonly #context: Context;
  readonly #seal: PacketSeal;
  readonly #gate: Gate;
  readonly #membership: Membership;
  readonly #news: Dissemination;
  readonly #responder: Responder;
  readonly #sequences: Sequences;
  readonly #averagings: Averagings;
  readonly #ring: RingProber;
  /** Senders of the datagrams collected by add(). */
  readonly #froms: Address[] = [];
  /** How many of them there are; setting an array's length is a slow call in V8. */
  #count = 0;
  #top = 0;
  /** Of the datagrams collected by add(), whether the neighbour's beat was among them, as it was before: it needs no decoding. */
  #hasRepeatedBeat = false;

  constructor(
    context: Context,
    seal: PacketSeal,
    gate: Gate,
    membership: Membership,
    news: Dissemination,
    responder: Responder,
    sequences: Sequences,
    averagings: Averagings,
    ring: RingProber,
  ) {
    this.#context = context;
    this.#seal = seal;
    this.#gate = gate;
    this.#membership = membership;
    this.#news = news;
    this.#responder = responder;
    this.#sequences = sequences;
    this.#averagings = averagings;
    this.#ring = ring;
  }

  /** Collects one datagram as received. False, and counted, when the inbox is full: handle what is there first. */
  add(from: Address, bytes: Uint8Array): boolean {
    const { kernels, stats } = this.#context;
    const { codec } = kernels;
    const index = this.#count;
    if (index >= codec.packetCapacity || this.#top + bytes.length > codec.inboxBytes) {
      stats.inboxFull++;
      return false;
    }
    stats.packetsReceived++;
    stats.bytesReceived += bytes.length;
    const plain = this.#seal.open(bytes);
    if (typeof plain === 'number') {
      countReject(stats, plain);
      return true;
    }
    if (this.#ring.isRepeated(plain)) {
      this.#hasRepeatedBeat = true;
      return true;
    }
    const offset = codec.inboxOffset + this.#top;
    codec.u8.set(plain, offset);
    const at = (codec.packetsOffset + index * PACKET.stride) >>> 2;
    codec.u32[at + (PACKET.offset >>> 2)] = offset;
    codec.u32[at + (PACKET.length >>> 2)] = plain.length;
    this.#top += plain.length;
    codec.u32[CODEC.inboxTop >>> 2] = this.#top;
    this.#froms[index] = from;
    this.#count++;
    return true;
  }

  /** Validates and applies what add() collected. False when nothing can follow from it. */
  flush(nowMs: number): boolean {
    if (this.#hasRepeatedBeat) {
      this.#hasRepeatedBeat = false;
      this.#ring.repeated(nowMs);
    }
    const count = this.#count;
    if (count === 0) return false;
    this.#apply(nowMs, count, (packet) => this.#froms[packet] as Address);
    this.#count = 0;
    this.#top = 0;
    return true;
  }

  /** Validates and applies plaintext datagrams that a driver described in the codec's arena itself. */
  handle(nowMs: number, count: number): void {
    const { codec } = this.#context.kernels;
    const { stats } = this.#context;
    stats.packetsReceived += count;
    for (let i = 0; i < count; i++) {
      stats.bytesReceived += codec.u32[(codec.packetsOffset + i * PACKET.stride + PACKET.length) >>> 2] as number;
    }
    this.#apply(nowMs, count, (packet) => {
      const at = codec.packetsOffset + packet * PACKET.stride;
      const port = (codec.u8[at + PACKET.peerPort] as number) | ((codec.u8[at + PACKET.peerPort + 1] as number) << 8);
      const ipAt = at + PACKET.peerIp;
      return { ip: codec.u8.slice(ipAt, ipAt + (codec.u8[at + PACKET.peerIpLength] as number)), port };
    });
  }

  #apply(nowMs: number, count: number, addressOf: (packet: number) => Address): void {
    const { kernels, stats } = this.#context;
    const { codec } = kernels;
    const records = codec.index(count);
    stats.skippedParts += codec.u32[CODEC.skippedParts >>> 2] as number;
    let hasNews = false;
    let hasOthers = false;
    for (let packet = 0; packet < count; packet++) {
      const at = (codec.packetsOffset + packet * PACKET.stride) >>> 2;
      const result = (codec.u32[at + (PACKET.result >>> 2)] as number) | 0;
      if (result < 0) {
        countReject(stats, result);
        continue;
      }
      const first = codec.u32[at + (PACKET.firstRecord >>> 2)] as number;
      const own = codec.u32[at + (PACKET.recordCount >>> 2)] as number;
      for (let record = first; record < first + own; record++) {
        const kind = codec.u8[codec.recordsOffset + record * RECORD.stride] as number;
        if (kind === MESSAGE.alive || kind === MESSAGE.suspect || kind === MESSAGE.dead) hasNews = true;
        else hasOthers = true;
      }
      if (!this.#gate.isOpen) this.#gate.filter(codec, first, own, addressOf(packet));
    }
    if (hasNews) this.#membership.merge(nowMs, codec, 0, records, 0);
    if (!hasOthers) return;
    for (let record = 0; record < records; record++) this.#dispatch(nowMs, record, addressOf);
  }

  #rememberBeat(slot: number, ext: number, packet: number): void {
    const { codec } = this.#context.kernels;
    const at = (codec.packetsOffset + packet * PACKET.stride) >>> 2;
    if (codec.u32[at + (PACKET.recordCount >>> 2)] !== 1 || codec.u32[CODEC.skippedParts >>> 2] !== 0) return;
    const offset = codec.u32[at + (PACKET.offset >>> 2)] as number;
    const length = codec.u32[at + (PACKET.length >>> 2)] as number;
    this.#ring.remember(slot, ext, codec.u8.subarray(offset, offset + length));
  }

  #dispatch(nowMs: number, record: number, addressOf: (packet: number) => Address): void {
    const { stats } = this.#context;
    const { codec } = this.#context.kernels;
    const at = codec.recordsOffset + record * RECORD.stride;
    const packet = codec.u32[(at + RECORD.packet) >>> 2] as number;
    switch (codec.u8[at + RECORD.kind]) {
      case MESSAGE.ping: {
        const slot = this.#responder.ping(nowMs, codec, record, addressOf(packet));
        if (slot >= 0) this.#rememberBeat(slot, codec.u32[(at + RECORD.ext) >>> 2] as number, packet);
        break;
      }
      case MESSAGE.indirectPing:
        this.#responder.indirectPing(nowMs, codec, record, addressOf(packet));
        break;
      case MESSAGE.ack: {
        const waiting = this.#sequences.get(codec.u32[(at + RECORD.number) >>> 2] as number);
        if (waiting === undefined) stats.acksUnknown++;
        else waiting.onAck(nowMs, codec.u32[(at + RECORD.ext) >>> 2] as number);
        break;
      }
      case MESSAGE.nack: {
        const waiting = this.#sequences.get(codec.u32[(at + RECORD.number) >>> 2] as number);
        if (waiting === undefined) stats.acksUnknown++;
        else waiting.onNack(nowMs);
        break;
      }
      case MESSAGE.user:
      case MESSAGE.state: {
        const isState = codec.u8[at + RECORD.kind] === MESSAGE.state;
        if (isState && !this.#context.self.replicates) break;
        const address = addressOf(packet);
        if (isState) stats.stateMessagesReceived++;
        else stats.userMessagesReceived++;
        this.#context.emit({
          type: isState ? 'state' : 'message',
          from: this.#context.roster.nameAt(address),
          address: { ip: address.ip.slice(), port: address.port },
          payload: viewOf(codec, at + RECORD.dataOffset).slice(),
          via: 'packet',
        });
        break;
      }
      case MESSAGE.rumor: {
        const rumor = this.#news.takeRumor(codec, record);
        if (rumor === undefined) break;
        const address = addressOf(packet);
        this.#context.emit({
          type: 'message',
          from: rumor.from,
          address: { ip: address.ip.slice(), port: address.port },
          payload: rumor.payload,
          via: 'broadcast',
        });
        break;
      }
      case MESSAGE.average:
        this.#averagings.take(nowMs, codec, record, addressOf(packet));
        break;
      default:
    }
  }
}
