import { EXT, type PacketCodec } from '../kernels/contract.ts';
import { RECORD } from '../kernels/layout.ts';
import { type Address, sameEndpoint } from '../util/address.ts';
import { bytesEqual } from '../util/bytes.ts';
import { encodeAck, encodeNack, encodePing } from '../wire/messages.ts';
import { areBothFast, type Context } from './context.ts';
import { viewOf } from './dissemination.ts';
import { nackDelayMs } from './math.ts';
import type { Membership } from './membership.ts';
import { type Outbox, SEND } from './outbox.ts';
import { PING_BYTES_MAX } from './prober.ts';
import { BEAT } from './ring-prober.ts';
import type { Sequences, Waiting } from './sequences.ts';
import { TIMER } from './timers.ts';

/** Pings on behalf of others under way at once; more are refused, so that nobody can fill our memory. */
export const RELAYS_MAX = 1024;
/** Payload bytes of an ack that we send; more would crowd out the news. */
const PING_PAYLOAD_BYTES_MAX = 512;

/** One ping made for somebody else (protocol §5.5). */
class Relay implements Waiting {
  readonly responder: Responder;
  readonly requester: Address;
  /** SEND bits for packets to the requester. */
  readonly requesterFlags: number;
  readonly requesterSeqNo: number;
  readonly target: Address;
  readonly wantsNack: boolean;
  seqNo = 0;
  nackToken = 0;
  endToken = 0;

  constructor(
    responder: Responder,
    requester: Address,
    requesterFlags: number,
    requesterSeqNo: number,
    target: Address,
    wantsNack: boolean,
  ) {
    this.responder = responder;
    this.requester = requester;
    this.requesterFlags = requesterFlags;
    this.requesterSeqNo = requesterSeqNo;
    this.target = target;
    this.wantsNack = wantsNack;
  }

  onAck(): void {
    this.responder.forwardAck(this);
  }

  onNack(): void {
    // Nobody relays for us on this number.
  }
}

/** Answers pings and makes pings for others (protocol §5.5). */
export class Responder {
  readonly #context: Context;
  readonly #membership: Membership;
  readonly #outbox: Outbox;
  readonly #sequences: Sequences;
  readonly #beat: (nowMs: number, slot: number) => void;
  readonly #relays = new Map<number, Relay>();

  constructor(
    context: Context,
    membership: Membership,
    outbox: Outbox,
    sequences: Sequences,
    beat: (nowMs: number, slot: number) => void,
  ) {
    this.#beat = beat;
    this.#context = context;
    this.#membership = membership;
    this.#outbox = outbox;
    this.#sequences = sequences;
  }

  get relaysUnderWay(): number {
    return this.#relays.size;
  }

  /** Slot of a member whose beat it was, else -1. */
  ping(nowMs: number, codec: PacketCodec, record: number, from: Address): number {
    const { config, roster, self, stats } = this.#context;
    const at = codec.recordsOffset + record * RECORD.stride;
    const node = viewOf(codec, at + RECORD.nameOffset);
    if (node.length > 0 && !bytesEqual(node, self.name)) {
      stats.pingsForOthers++;
      return -1;
    }
    let flags: number = SEND.piggyback;
    const seqNo = codec.u32[(at + RECORD.number) >>> 2] as number;
    const ext = codec.u32[(at + RECORD.ext) >>> 2] as number;
    if (ext !== 0) {
      flags |= SEND.extended;
      const slot = roster.find(viewOf(codec, at + RECORD.fromOffset));
      if (slot >= 0) this.#membership.noteExt(nowMs, slot, ext);
      if (seqNo === BEAT) {
        this.#beat(nowMs, slot);
        return slot;
      }
    }
    const payload = config.pingPayload?.() ?? null;
    const length = Math.min(payload?.length ?? 0, PING_PAYLOAD_BYTES_MAX);
    const outbox = this.#outbox;
    outbox.reserve(PING_BYTES_MAX);
    const end = encodeAck(outbox.bytes, outbox.top, {
      seqNo,
      payload: payload === null || length === 0 ? null : payload.subarray(0, length),
      ext: self.ext,
    });
    outbox.commit(end, sourceOf(codec, at, from), flags);
    return -1;
  }

  indirectPing(nowMs: number, codec: PacketCodec, record: number, from: Address): void {
    const { config, self, stats, timers } = this.#context;
    stats.relaysAsked++;
    if (this.#relays.size >= RELAYS_MAX) {
      stats.relaysRefused++;
      return;
    }
    const at = codec.recordsOffset + record * RECORD.stride;
    const port = (codec.u8[at + RECORD.port] as number) | ((codec.u8[at + RECORD.port + 1] as number) << 8);
    const target: Address = {
      ip: viewOf(codec, at + RECORD.ipOffset).slice(),
      port: port === 0 ? self.address.port : port,
    };
    const requesterSeqNo = codec.u32[(at + RECORD.number) >>> 2] as number;
    const wantsNack = codec.u8[at + RECORD.nack] !== 0;
    const requester = copyOf(sourceOf(codec, at, from));
    const requesterFlags = this.#piggyback(viewOf(codec, at + RECORD.fromOffset));
    const relay = new Relay(this, requester, requesterFlags, requesterSeqNo, target, wantsNack);
    relay.seqNo = this.#sequences.take(relay);
    this.#relays.set(relay.seqNo, relay);
    if (wantsNack) {
      const timeoutMs = this.#isFast(viewOf(codec, at + RECORD.nameOffset))
        ? config.ringTimeoutMs
        : config.probeTimeoutMs;
      relay.nackToken = timers.schedule(nowMs + nackDelayMs(timeoutMs), TIMER.relayNack, relay.seqNo);
    }
    // Longer than the reference waits: a late ack is still worth forwarding as long as the requester may be waiting.
    const lifeMs = Math.max(config.probeIntervalMs, config.probeTimeoutMs);
    relay.endToken = timers.schedule(nowMs + lifeMs, TIMER.relayEnd, relay.seqNo);
    const outbox = this.#outbox;
    outbox.reserve(PING_BYTES_MAX);
    const end = encodePing(outbox.bytes, outbox.top, {
      seqNo: relay.seqNo,
      node: viewOf(codec, at + RECORD.nameOffset),
      sourceAddr: self.address.ip,
      sourcePort: self.address.port,
      sourceNode: self.name,
      ext: self.ext,
    });
    outbox.commit(end, target, this.#piggyback(viewOf(codec, at + RECORD.nameOffset)));
  }

  /** The target of a relay answered. Never with its payload (protocol §5.5). */
  forwardAck(relay: Relay): void {
    this.#context.stats.acksForwarded++;
    this.#outbox.reserve(PING_BYTES_MAX);
    const end = encodeAck(this.#outbox.bytes, this.#outbox.top, { seqNo: relay.requesterSeqNo, payload: null });
    this.#outbox.commit(end, relay.requester, relay.requesterFlags);
    this.relayEnded(relay.seqNo);
  }

  /** Most of the probe timeout is over and no ack came: say so while the requester still counts nacks. */
  nackDue(seqNo: number): void {
    const relay = this.#relays.get(seqNo);
    if (relay === undefined) return;
    this.#context.timers.cancel(relay.nackToken);
    relay.nackToken = 0;
    this.#context.stats.nacksSent++;
    this.#outbox.reserve(PING_BYTES_MAX);
    const end = encodeNack(this.#outbox.bytes, this.#outbox.top, relay.requesterSeqNo);
    this.#outbox.commit(end, relay.requester, relay.requesterFlags);
  }

  /** News may ride along; user broadcasts as rumors when the member of this name understands them, or it would take each for a new one. */
  #piggyback(name: Uint8Array): number {
    const { roster } = this.#context;
    const slot = roster.find(name);
    const isExtended = slot >= 0 && (roster.ext(slot) & EXT.present) !== 0;
    return isExtended ? SEND.piggyback | SEND.extended : SEND.piggyback;
  }

  /** Both the member of this name and we run the fast profile (protocol §24). */
  #isFast(name: Uint8Array): boolean {
    const slot = this.#context.roster.find(name);
    return slot >= 0 && areBothFast(this.#context, slot);
  }

  /** Forgets a relay. */
  relayEnded(seqNo: number): void {
    const relay = this.#relays.get(seqNo);
    if (relay === undefined) return;
    this.#context.timers.cancel(relay.nackToken);
    this.#context.timers.cancel(relay.endToken);
    this.#sequences.release(seqNo);
    this.#relays.delete(seqNo);
  }

  /** Packets to this address do not arrive: no use to let the requester wait for its nack. */
  unreachable(address: Address): void {
    for (const relay of this.#relays.values()) {
      if (relay.nackToken !== 0 && sameEndpoint(relay.target, address)) this.nackDue(relay.seqNo);
    }
  }
}

/** Where an answer goes: the sender's own word if it gave one, else where the packet came from. */
function sourceOf(codec: PacketCodec, at: number, from: Address): Address {
  const length = codec.u8[at + RECORD.sourceIpLength] as number;
  const port = (codec.u8[at + RECORD.sourcePort] as number) | ((codec.u8[at + RECORD.sourcePort + 1] as number) << 8);
  if (length === 0 || port === 0) return from;
  const offset = codec.u32[(at + RECORD.sourceIpOffset) >>> 2] as number;
  return { ip: codec.u8.slice(offset, offset + length), port };
}

function copyOf(address: Address): Address {
  return { ip: address.ip.slice(), port: address.port };
}
