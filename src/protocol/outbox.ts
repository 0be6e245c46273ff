import { grownBroadcastQueueArena } from '../kernels/arenas/broadcast-queue.ts';
import { HEADER, QUEUE_PACKET, QUEUE_REQUEST, REQUEST_FLAG } from '../kernels/layout.ts';
import type { Address } from '../util/address.ts';
import type { PacketSeal } from '../wire/packet.ts';
import type { Context } from './context.ts';
import { transmitLimit } from './math.ts';
import type { Transmit } from './types.ts';

/** How a datagram is to go out. */
export const SEND = {
  /** Piggyback news behind the message (protocol §5.2); without it the message goes alone (§5.3). */
  piggyback: 1,
  /** The receiver checks a CRC (its protocol max is at least 5). */
  crc: 2,
  /** The receiver understands rumor framing. */
  extended: 4,
  /** The same bytes as the message before, to somebody else. */
  again: 8,
} as const;

/** What the budget counts for the head of a compound, and for each message in it (protocol §2). */
export const COMPOUND_HEADER_BYTES = 2;
export const PART_BYTES = 2;
/** Room a packet takes in the queue's out section beyond udpBufferBytes: alignment and the part of the lead. */
const PACKET_SLACK_BYTES = 16;
const EMPTY = new Uint8Array(0);
/** Instead of a start in `bytes`. */
const KEPT = -1;

/**
 * Datagrams to send. Messages are encoded into one buffer when the protocol decides on them; news is added when they are
 * polled, all packets of a turn in as few fill() calls as the queue's sections allow.
 */
export class Outbox {
  readonly #context: Context;
  readonly #seal: PacketSeal;
  readonly #beforeFill: () => void;
  readonly #afterFill: () => void;
  readonly #userShare: number;
  readonly #batchMax: number;

  /** Encoders write here from `top`; see reserve() and commit(). */
  bytes = new Uint8Array(8192);
  top = 0;
  readonly #addresses: Address[] = [];
  /** Messages that whoever committed them keeps, where the start is KEPT. */
  readonly #kept: Uint8Array[] = [];
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];
  readonly #flags: number[] = [];
  /** How many messages these hold. The arrays keep their length: setting it is a slow call in V8, and as many come again. */
  #size = 0;
  /** What went alone last. */
  #sealed: Uint8Array = EMPTY;
  /** Messages handed out or filled so far. */
  #next = 0;
  /** The batch that was filled last: messages [#batchFirst, #batchFirst + #batchCount), of which #batchNext comes next. */
  #batchFirst = 0;
  #batchCount = 0;
  #batchNext = 0;

  /** `beforeFill` queues news that is staged; `afterFill` looks at the tokens of finished broadcasts. */
  constructor(context: Context, seal: PacketSeal, beforeFill: () => void, afterFill: () => void) {
    this.#context = context;
    this.#seal = seal;
    this.#beforeFill = beforeFill;
    this.#afterFill = afterFill;
    // A share above none is never rounded to none: that would starve the user lane.
    this.#userShare = Math.ceil(context.config.userShareRatio * 256);
    const { queue } = context.kernels;
    const packetBytes = context.config.udpBufferBytes + PACKET_SLACK_BYTES;
    if (queue.outBytes < packetBytes || queue.inBytes < packetBytes) {
      queue.rehome(grownBroadcastQueueArena(queue.arena, { outBytes: packetBytes, inBytes: packetBytes }));
    }
    this.#batchMax = Math.min(queue.requestCapacity, Math.floor(Math.min(queue.outBytes, queue.inBytes) / packetBytes));
  }

  /** Makes room for a message of up to `length` bytes. */
  reserve(length: number): void {
    if (this.top + length <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.top + length));
    larger.set(this.bytes.subarray(0, this.top));
    this.bytes = larger;
  }

  /** The message that was encoded at [top, end) goes to `to`. `flags` of SEND. */
  commit(end: number, to: Address, flags: number): void {
    this.#push(to, this.top, end - this.top, flags);
    this.top = end;
  }

  /** A message that is sent again and again goes to `to`; nobody changes its bytes. `flags` of SEND. */
  commitKept(message: Uint8Array, to: Address, flags: number): void {
    this.#kept[this.#size] = message;
    this.#push(to, KEPT, message.length, flags);
  }

  /** Bytes of messages that fit a gossip packet besides the head of a compound. */
  get newsRoom(): number {
    return this.#context.config.udpBufferBytes - COMPOUND_HEADER_BYTES - this.#seal.gossipOverheadBytes;
  }

  /** The message that was encoded at [top, end) goes to all of these members, sealed once. `flags` of SEND. */
  commitToAll(end: number, slots: readonly number[], flags: number): void {
    const { roster } = this.#context;
    const length = end - this.top;
    let more = 0;
    for (const slot of slots) {
      this.#push(roster.address(slot), this.top, length, flags | more);
      more = SEND.again;
    }
    this.top = end;
  }

  /** A packet of news only, if there is any (protocol §14.1). */
  gossip(to: Address, flags: number): void {
    this.#push(to, this.top, 0, flags | SEND.piggyback);
  }

  /** The next datagram, sealed. */
  poll(): Transmit | undefined {
    for (;;) {
      const filled = this.#nextFilled();
      if (filled !== undefined) return this.#count(filled);
      if (this.#next >= this.#size) {
        this.#reset();
        return undefined;
      }
      const flags = this.#flags[this.#next] as number;
      if ((flags & SEND.piggyback) === 0) return this.#count(this.#sendAlone(this.#next++, flags));
      if (this.#hasNews()) this.#fillBatch();
      else if (this.#lengths[this.#next] === 0) this.#next++;
      else return this.#count(this.#sendAlone(this.#next++, flags));
    }
  }

  /** Most of the time there is none, and no need to ask the queue. */
  #hasNews(): boolean {
    this.#beforeFill();
    return (this.#context.kernels.queue.u32[HEADER.live >>> 2] as number) > 0;
  }

  #push(to: Address, start: number, length: number, flags: number): void {
    // What fills a packet by itself leaves no room for news (an ack whose payload is out of proportion).
    const isTooLong = length > this.#context.config.udpBufferBytes;
    const at = this.#size++;
    this.#addresses[at] = to;
    this.#starts[at] = start;
    this.#lengths[at] = length;
    this.#flags[at] = isTooLong ? flags & ~SEND.piggyback : flags;
  }

  #sendAlone(index: number, flags: number): Transmit {
    if ((flags & SEND.again) === 0) this.#sealed = this.#seal.seal(this.#message(index), (flags & SEND.crc) !== 0);
    return { to: this.#addresses[index] as Address, bytes: this.#sealed };
  }

  #message(index: number): Uint8Array {
    const start = this.#starts[index] as number;
    if (start === KEPT) return this.#kept[index] as Uint8Array;
    return this.bytes.subarray(start, start + (this.#lengths[index] as number));
  }

  /** Hands messages that invite news to the queue, up to the next one that does not. */
  #fillBatch(): void {
    const { config, kernels, roster } = this.#context;
    const { queue } = kernels;
    const { u8, u32 } = queue;
    const room = config.udpBufferBytes - COMPOUND_HEADER_BYTES;
    const leadRoom = room - this.#seal.overheadBytes;
    const gossipRoom = this.newsRoom;
    let inTop = 0;
    let count = 0;
    this.#batchFirst = this.#next;
    while (count < this.#batchMax && this.#next < this.#size) {
      const flags = this.#flags[this.#next] as number;
      if ((flags & SEND.piggyback) === 0) break;
      const length = this.#lengths[this.#next] as number;
      u8.set(this.#message(this.#next), queue.inOffset + inTop);
      const request = (queue.requestsOffset + count * QUEUE_REQUEST.stride) >>> 2;
      u32[request + (QUEUE_REQUEST.leadOffset >>> 2)] = inTop;
      u32[request + (QUEUE_REQUEST.leadLength >>> 2)] = length;
      u32[request + (QUEUE_REQUEST.limit >>> 2)] = length > 0 ? Math.max(0, leadRoom - length) : gossipRoom;
      u32[request + (QUEUE_REQUEST.flags >>> 2)] = (flags & SEND.extended) !== 0 ? REQUEST_FLAG.extended : 0;
      inTop += length;
      count++;
      this.#next++;
    }
    this.#batchCount = count;
    this.#batchNext = 0;
    queue.fill(count, transmitLimit(config.retransmitMult, roster.count), this.#userShare);
    this.#afterFill();
  }

  #nextFilled(): Transmit | undefined {
    const { queue } = this.#context.kernels;
    while (this.#batchNext < this.#batchCount) {
      const index = this.#batchNext++;
      const packet = (queue.packetsOffset + index * QUEUE_PACKET.stride) >>> 2;
      const length = queue.u32[packet + (QUEUE_PACKET.length >>> 2)] as number;
      if (length === 0) continue;
      const offset = queue.u32[packet + (QUEUE_PACKET.offset >>> 2)] as number;
      const message = this.#batchFirst + index;
      if (this.#lengths[message] === 0) this.#context.stats.gossipPackets++;
      const hasCrc = ((this.#flags[message] as number) & SEND.crc) !== 0;
      const bytes = this.#seal.seal(queue.u8.subarray(offset, offset + length), hasCrc);
      return { to: this.#addresses[message] as Address, bytes };
    }
    this.#batchCount = 0;
    this.#batchNext = 0;
    return undefined;
  }

  #count(transmit: Transmit): Transmit {
    this.#context.stats.packetsSent++;
    this.#context.stats.bytesSent += transmit.bytes.length;
    return transmit;
  }

  #reset(): void {
    this.top = 0;
    this.#next = 0;
    this.#size = 0;
  }
}

/** Bytes that one message may have to ride on a packet that carries nothing else. */
export function largestNews(udpBufferBytes: number, overheadBytes: number): number {
  return udpBufferBytes - overheadBytes - COMPOUND_HEADER_BYTES - PART_BYTES;
}
