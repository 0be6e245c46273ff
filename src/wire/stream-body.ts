import { MESSAGE, REJECT } from '../kernels/contract.ts';
import { readPushPullHeader, readUserHeader } from './decode.ts';
import { MsgpackReader } from './msgpack.ts';
import { SYNC_BYTES_MAX } from './sync-message.ts';

/**
 * Where a message on a plain stream ends. A stream has no length in front, so the reader has to walk the body as it
 * arrives (protocol §7.5, §7.6).
 */

/** Most that a stream may hold. The first four are memberlist's (§2), the others ours (docs/wire.md §6). */
export interface StreamLimits {
  /** Encrypted frame, version byte to tag. */
  readonly frameBytes: number;
  /** Result of decompression. */
  readonly decompressedBytes: number;
  /** Node states in one push/pull. */
  readonly nodes: number;
  /** User state of a push/pull, and payload of a user message. */
  readonly userBytes: number;
  /** Compress message on a plain stream. */
  readonly compressedBytes: number;
  /** All node states of a push/pull on a plain stream. */
  readonly statesBytes: number;
  /** One node state, one header, one ping, ack or error. */
  readonly valueBytes: number;
}

const MIB = 1048576;

export const STREAM_LIMITS: StreamLimits = {
  frameBytes: 20 * MIB,
  decompressedBytes: 40 * MIB,
  nodes: MIB,
  userBytes: 20 * MIB,
  compressedBytes: 40 * MIB,
  statesBytes: 64 * MIB,
  valueBytes: 65536,
};

/** True for a type that a stream may carry to the acceptor (ping, push/pull, user, state, sync), or back (ack, push/pull, error, sync). */
export function isStreamType(type: number, acceptor: boolean): boolean {
  if (type === MESSAGE.pushPull || type === MESSAGE.sync) return true;
  if (!acceptor) return type === MESSAGE.ack || type === MESSAGE.error;
  return type === MESSAGE.ping || type === MESSAGE.user || type === MESSAGE.state;
}

const STAGE = { value: 0, pushPullHeader: 1, userHeader: 2, node: 3, raw: 4, sync: 5 } as const;
/** A delta push-pull begins with its length. */
const LENGTH_BYTES = 4;

/**
 * Walks one message. Call `advance` as bytes arrive (always the same bytes, with more at the end): every byte is looked
 * at about once however small the pieces are, and nothing is allocated.
 */
export class BodyScan {
  readonly #limits: StreamLimits;
  readonly #reader = new MsgpackReader();
  #stage: number;
  #pos: number;
  /** Where the value being passed over starts, and how many of its parts are missing. */
  #valueAt: number;
  #pending = 1;
  #nodesAt = 0;
  #nodesLeft = 0;
  #rawLength = 0;
  #valueLimit: number;

  /** `at` is the offset behind the type byte. */
  constructor(type: number, at: number, limits: StreamLimits) {
    this.#limits = limits;
    this.#pos = at;
    this.#valueAt = at;
    this.#stage =
      type === MESSAGE.pushPull
        ? STAGE.pushPullHeader
        : type === MESSAGE.user || type === MESSAGE.state
          ? STAGE.userHeader
          : type === MESSAGE.sync
            ? STAGE.sync
            : STAGE.value;
    this.#valueLimit = type === MESSAGE.compress ? limits.compressedBytes : limits.valueBytes;
  }

  /** Offset behind the message, 0 when bytes[0, end) do not hold all of it yet, or -REJECT. */
  advance(bytes: Uint8Array, end: number): number {
    for (;;) {
      if (this.#stage === STAGE.raw) {
        const target = this.#pos + this.#rawLength;
        return target <= end ? target : 0;
      }
      if (this.#stage === STAGE.sync) {
        const status = this.#lengthDone(bytes, end);
        if (status <= 0) return status;
        continue;
      }
      if (this.#stage === STAGE.node && this.#nodesLeft === 0) {
        this.#stage = STAGE.raw;
        continue;
      }
      const done = this.#value(bytes, end);
      if (done <= 0) return done;
      if (this.#stage === STAGE.value) return this.#pos;
      const status = this.#stage === STAGE.node ? this.#nodeDone() : this.#headerDone(bytes);
      if (status !== REJECT.none) return -status;
      this.#valueAt = this.#pos;
      this.#pending = 1;
    }
  }

  /** Passes over the current value: 1 when it is complete, 0 for more bytes, -REJECT. */
  #value(bytes: Uint8Array, end: number): number {
    if (this.#valueAt < end && !isStruct(bytes[this.#valueAt] as number)) return -REJECT.malformed;
    const reader = this.#reader.reset(bytes, this.#pos, end);
    this.#pending = reader.skipSome(this.#pending);
    this.#pos = reader.pos;
    if (!reader.ok) return -reader.status;
    const seen = (this.#pending === 0 ? this.#pos : end) - this.#valueAt;
    if (seen > this.#valueLimit) return -REJECT.oversized;
    return this.#pending === 0 ? 1 : 0;
  }

  /** The length of a delta push-pull: 1 when it is known, 0 for more bytes, -REJECT. */
  #lengthDone(bytes: Uint8Array, end: number): number {
    if (end - this.#pos < LENGTH_BYTES) return 0;
    for (let i = 0; i < LENGTH_BYTES; i++) this.#rawLength = this.#rawLength * 256 + (bytes[this.#pos + i] as number);
    if (this.#rawLength > SYNC_BYTES_MAX) return -REJECT.oversized;
    this.#pos += LENGTH_BYTES;
    this.#stage = STAGE.raw;
    return 1;
  }

  #nodeDone(): number {
    this.#nodesLeft--;
    return this.#pos - this.#nodesAt > this.#limits.statesBytes ? REJECT.oversized : REJECT.none;
  }

  #headerDone(bytes: Uint8Array): number {
    const reader = this.#reader.reset(bytes, this.#valueAt, this.#pos);
    if (this.#stage === STAGE.userHeader) {
      this.#rawLength = readUserHeader(reader).length;
      this.#stage = STAGE.raw;
    } else {
      const header = readPushPullHeader(reader);
      this.#rawLength = header.userStateLength;
      this.#nodesLeft = header.nodes;
      this.#nodesAt = this.#pos;
      this.#stage = STAGE.node;
    }
    if (!reader.ok) return reader.status;
    return within(this.#nodesLeft, this.#limits.nodes) && within(this.#rawLength, this.#limits.userBytes)
      ? REJECT.none
      : REJECT.oversized;
  }
}

/** What a push/pull holds, as offsets into the message. */
export interface PushPullHead {
  readonly join: boolean;
  readonly nodes: number;
  /** Where the first node state starts. */
  readonly nodesOffset: number;
  /** 0 = no user state: the delegate is not called (§7.6). */
  readonly userStateLength: number;
  /** The user state ends with the message. */
  readonly userStateOffset: number;
}

/**
 * Reads the head of a complete push/pull message as StreamReader gives it, or -REJECT. The node states at
 * [nodesOffset, userStateOffset) are for the codec kernel.
 */
export function parsePushPull(message: Uint8Array, limits: StreamLimits = STREAM_LIMITS): PushPullHead | number {
  if (message.length === 0) return -REJECT.empty;
  if (message[0] !== MESSAGE.pushPull) return -REJECT.unknownType;
  const reader = new MsgpackReader(message, 1);
  const { join, nodes, userStateLength } = readPushPullHeader(reader);
  if (!reader.ok) return -reader.status;
  if (!within(nodes, limits.nodes) || !within(userStateLength, limits.userBytes)) return -REJECT.oversized;
  const userStateOffset = message.length - userStateLength;
  // A node state takes at least one byte.
  if (userStateOffset - reader.pos < nodes) return -REJECT.truncated;
  return { join, nodes, nodesOffset: reader.pos, userStateLength, userStateOffset };
}

function within(value: number, limit: number): boolean {
  return value >= 0 && value <= limit;
}

/** Map, list or nil: what a struct may start with (§3.2). */
function isStruct(head: number): boolean {
  return (head >= 0x80 && head <= 0x9f) || head === 0xc0 || (head >= 0xdc && head <= 0xdf);
}
