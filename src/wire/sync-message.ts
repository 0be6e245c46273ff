import { MESSAGE, NAME_BYTES_MAX, REJECT } from '../kernels/contract.ts';
import { DELTA_BLOCK_BYTES_MAX, DIGEST_CELL_BYTES } from '../kernels/layout.ts';

/**
 * Delta push-pull on a stream (docs/wire.md §9):
 *
 *   c9 | length u32 BE | version u8 | step u8 | parts u8 | key 16 | salt u32 | items varint | sum 8 | parts in the order of their bits
 */

export const SYNC_VERSION = 1;
export const SYNC_HEADER_BYTES = 5;
/** Bytes behind the header, at most. */
export const SYNC_BYTES_MAX = 20 * 1048576;
const HEAD_BYTES = 3 + 16 + 4;
const SUM_BYTES = 8;

/** Which parts a message has. */
export const SYNC_PART = {
  /** A sketch of the sender's table. */
  sketch: 1,
  /** The lowest byte of each range sum of the sender's table, to estimate how much differs. */
  ranges: 2,
  /** Blocks of rows that the receiver may lack. */
  rows: 4,
  /** Name halves of items that the sender lacks. */
  wants: 8,
  /** These are all rows of the sender, who wants whatever is missing among them; no bytes. */
  wantsAll: 16,
  /** What the application hands over (localState). */
  userState: 32,
  /** The sender closes now; no bytes. */
  last: 64,
} as const;

/** A message as its reader finds it; the parts are views of its bytes. */
export interface SyncMessage {
  readonly step: number;
  readonly parts: number;
  /** SipHash key, four words. */
  readonly key: Uint32Array;
  readonly salt: number;
  readonly items: number;
  readonly sumLow: number;
  readonly sumHigh: number;
  readonly cells: number;
  readonly sketch: Uint8Array;
  readonly rangeBits: number;
  readonly ranges: Uint8Array;
  readonly blocks: readonly Uint8Array[];
  readonly wants: Uint32Array;
  readonly userState: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
/** What a sender leaves out. */
export const EMPTY_PARTS = {
  cells: 0,
  sketch: NO_BYTES,
  rangeBits: 0,
  ranges: NO_BYTES,
  blocks: [] as readonly Uint8Array[],
  wants: new Uint32Array(0),
  userState: NO_BYTES,
} as const;

/** The bytes of a message. */
export function encodeSync(message: SyncMessage): Uint8Array {
  const { parts, sketch, ranges, blocks, wants, userState } = message;
  const rowBytes = blocks.reduce((sum, block) => sum + block.length + 5, 0);
  const room =
    HEAD_BYTES + SUM_BYTES + 40 + sketch.length + ranges.length + rowBytes + 4 * wants.length + userState.length;
  const out = new Uint8Array(SYNC_HEADER_BYTES + room);
  const view = new DataView(out.buffer);
  let at = SYNC_HEADER_BYTES;
  const put = (bytes: Uint8Array): void => {
    out.set(bytes, at);
    at += bytes.length;
  };
  const varint = (value: number): void => {
    let rest = value >>> 0;
    for (; rest > 127; rest >>>= 7) out[at++] = (rest & 127) | 128;
    out[at++] = rest;
  };
  const word = (value: number): void => {
    view.setUint32(at, value, true);
    at += 4;
  };
  out[0] = MESSAGE.sync;
  out[at++] = SYNC_VERSION;
  out[at++] = message.step;
  out[at++] = parts;
  for (let i = 0; i < 4; i++) word(message.key[i] as number);
  word(message.salt);
  varint(message.items);
  word(message.sumLow);
  word(message.sumHigh);
  if ((parts & SYNC_PART.sketch) !== 0) {
    varint(message.cells);
    put(sketch);
  }
  if ((parts & SYNC_PART.ranges) !== 0) {
    out[at++] = message.rangeBits;
    put(ranges);
  }
  if ((parts & SYNC_PART.rows) !== 0) {
    varint(blocks.length);
    for (const block of blocks) {
      varint(block.length);
      put(block);
    }
  }
  if ((parts & SYNC_PART.wants) !== 0) {
    varint(wants.length);
    for (const want of wants) word(want);
  }
  if ((parts & SYNC_PART.userState) !== 0) {
    varint(userState.length);
    put(userState);
  }
  view.setUint32(1, at - SYNC_HEADER_BYTES);
  return out.subarray(0, at);
}

/** Reads from a message with its bounds checked; after the first failure everything is 0 and empty. */
class Cursor {
  readonly bytes: Uint8Array;
  at: number;
  status: number = REJECT.none;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  fail(code: number): void {
    if (this.status === REJECT.none) this.status = code;
  }

  take(length: number): Uint8Array {
    if (this.status !== REJECT.none || length > this.bytes.length - this.at) {
      this.fail(REJECT.truncated);
      return NO_BYTES;
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  byte(): number {
    return this.take(1)[0] ?? 0;
  }

  word(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.take(4);
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      if (shift === 28 && byte > 15) break;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    this.fail(REJECT.malformed);
    return 0;
  }
}

/** Reads a complete message, type byte included, or -REJECT. Nothing is copied but wants and key. */
export function decodeSync(message: Uint8Array): SyncMessage | number {
  if (message[0] !== MESSAGE.sync) return -REJECT.unknownType;
  const cursor = new Cursor(message, SYNC_HEADER_BYTES);
  if (cursor.byte() !== SYNC_VERSION) cursor.fail(REJECT.fieldInvalid);
  const step = cursor.byte();
  const parts = cursor.byte();
  const key = Uint32Array.from({ length: 4 }, () => cursor.word());
  const salt = cursor.word();
  const items = cursor.varint();
  const sumLow = cursor.word();
  const sumHigh = cursor.word();
  const has = (part: number): boolean => (parts & part) !== 0;
  const cells = has(SYNC_PART.sketch) ? cursor.varint() : 0;
  const sketch = cursor.take(cells * DIGEST_CELL_BYTES);
  const rangeBits = has(SYNC_PART.ranges) ? cursor.byte() : 0;
  if (rangeBits > 16) cursor.fail(REJECT.fieldInvalid);
  const ranges = has(SYNC_PART.ranges) ? cursor.take(1 << Math.min(rangeBits, 16)) : NO_BYTES;
  const blocks: Uint8Array[] = [];
  const blockCount = has(SYNC_PART.rows) ? cursor.varint() : 0;
  for (let i = 0; i < blockCount && cursor.status === REJECT.none; i++) blocks.push(cursor.take(cursor.varint()));
  if (blocks.some((block) => block.length > DELTA_BLOCK_BYTES_MAX)) cursor.fail(REJECT.oversized);
  const wantBytes = new Cursor(cursor.take(4 * (has(SYNC_PART.wants) ? cursor.varint() : 0)), 0);
  const userState = has(SYNC_PART.userState) ? cursor.take(cursor.varint()) : NO_BYTES;
  if (cursor.status === REJECT.none && cursor.at !== message.length) cursor.fail(REJECT.malformed);
  if (step < 1 || step > 4) cursor.fail(REJECT.fieldInvalid);
  if (cursor.status !== REJECT.none) return -cursor.status;
  const wants = Uint32Array.from({ length: wantBytes.bytes.length >>> 2 }, () => wantBytes.word());
  return { step, parts, key, salt, items, sumLow, sumHigh, cells, sketch, rangeBits, ranges, blocks, wants, userState };
}

/** What the head of a block of rows announces, so that its reader can make room: rows, and bytes of names and addresses; or -REJECT. */
export function blockNeeds(block: Uint8Array): { readonly rows: number; readonly textBytes: number } | number {
  const cursor = new Cursor(block, 4);
  const rows = cursor.varint();
  const textBytes = cursor.varint();
  // A row takes a byte of the block at least, and no name or address is longer than these.
  if (rows > block.length || textBytes > rows * (NAME_BYTES_MAX + 16)) cursor.fail(REJECT.malformed);
  return cursor.status === REJECT.none ? { rows, textBytes } : -cursor.status;
}
