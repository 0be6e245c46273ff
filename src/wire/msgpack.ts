import { REJECT } from '../kernels/contract.ts';

export { MsgpackWriter } from './msgpack-writer.ts';

/**
 * The msgpack profile of memberlist (protocol §3): a lenient reader here, a strict writer in msgpack-writer.ts. Both work on
 * bytes that the caller owns and allocate nothing per value.
 */

/** What a struct was written as. */
export const STRUCT = { nil: 0, map: 1, list: 2 } as const;

const TWO_32 = 4294967296;

/**
 * Reads values from `bytes[pos, end)`. Nothing throws: the first value that cannot be read sets `status` (a REJECT code),
 * and from then on every method answers its zero value without moving.
 *
 *   truncated   a value needs bytes behind `end`
 *   malformed   a type that the field cannot hold, a number outside its range, a byte that msgpack does not define
 */
export class MsgpackReader {
  bytes: Uint8Array;
  pos: number;
  end: number;
  /** 0, or the REJECT code of the first failure. */
  status: number = REJECT.none;

  /** After readText, readKey or readBytes: where the content starts and how many bytes it stands for. */
  start = 0;
  length = 0;
  /**
   * True when the content lies at `bytes[start, start + length)` as it is. False only for a byte field written as a list with
   * elements of more than one byte (§3.2): then unpackList copies it.
   */
  packed = true;
  /** True when the last readBytes met nil. */
  wasNil = false;

  /** After openStruct: entries (map) or elements (list). */
  entries = 0;
  structKind: number = STRUCT.nil;

  constructor(bytes: Uint8Array = EMPTY, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
  }

  /** Starts over on other bytes. */
  reset(bytes: Uint8Array, pos = 0, end = bytes.length): this {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
    this.status = REJECT.none;
    return this;
  }

  get ok(): boolean {
    return this.status === REJECT.none;
  }

  /** Sets the status unless there is one already. */
  fail(status: number): void {
    if (this.status === REJECT.none) this.status = status;
  }

  /**
   * Reads the header of a struct: a map, a list (elements in declaration order) or nil (all fields zero). Sets
   * structKind and entries; answers false on failure.
   */
  openStruct(): boolean {
    this.entries = 0;
    this.structKind = STRUCT.nil;
    const head = this.#head();
    if (head < 0) return false;
    if (head === 0xc0) return true;
    if (head >= 0x80 && head <= 0x9f) {
      this.structKind = head < 0x90 ? STRUCT.map : STRUCT.list;
      this.entries = head & 15;
      return true;
    }
    if (head >= 0xdc && head <= 0xdf) {
      this.structKind = head < 0xde ? STRUCT.list : STRUCT.map;
      this.entries = (head & 1) === 0 ? this.#u16() : this.#u32();
      return this.ok;
    }
    this.fail(REJECT.malformed);
    return false;
  }

  /** Reads a string or map key into start and length: raw, str8 or bin; nil is the empty string. */
  readText(): boolean {
    this.packed = true;
    this.length = 0;
    this.start = this.pos;
    const head = this.#head();
    if (head < 0) return false;
    if (head === 0xc0) return true;
    const length = this.#rawLength(head);
    if (length < 0) {
      this.fail(REJECT.malformed);
      return false;
    }
    return this.#content(length);
  }

  /**
   * Reads a byte field into start and length: everything readText takes, or a list of integers 0..255. `wasNil` tells nil
   * from empty, which readers treat alike (§3.2).
   */
  readBytes(): boolean {
    const head = this.pos < this.end ? (this.bytes[this.pos] as number) : -1;
    this.wasNil = head === 0xc0;
    if ((head >= 0x90 && head <= 0x9f) || head === 0xdc || head === 0xdd) return this.#byteList(head);
    return this.readText();
  }

  /** Copies the content of the last readBytes to `out` from `at`, packed or not. The caller has made sure it fits. */
  copyBytes(out: Uint8Array, at: number): void {
    if (this.packed) {
      for (let i = 0; i < this.length; i++) out[at + i] = this.bytes[this.start + i] as number;
      return;
    }
    const { pos, status, length } = this;
    this.pos = this.start;
    for (let i = 0; i < length; i++) out[at + i] = this.readUint(255);
    this.pos = pos;
    this.status = status;
  }

  /** The content of the last readText, readKey or readBytes: a view, or a copy when it was not packed. */
  content(): Uint8Array {
    if (this.packed) return this.bytes.subarray(this.start, this.start + this.length);
    const out = new Uint8Array(this.length);
    this.copyBytes(out, 0);
    return out;
  }

  /** True when the last text read is exactly `key`. */
  textIs(key: Uint8Array): boolean {
    if (this.length !== key.length) return false;
    for (let i = 0; i < key.length; i++) if (this.bytes[this.start + i] !== key[i]) return false;
    return true;
  }

  /** An integer in any form, 0..max; nil is 0. `max` is at most 2^53 - 1. */
  readUint(max: number): number {
    return this.readInt(0, max);
  }

  /** An integer in any form within min..max (safe integers); nil is 0. */
  readInt(min: number, max: number): number {
    const head = this.#head();
    if (head < 0 || head === 0xc0) return 0;
    const value = this.#integer(head);
    if (this.status !== REJECT.none) return 0;
    if (value < min || value > max) {
      this.fail(REJECT.malformed);
      return 0;
    }
    return value;
  }

  /**
   * A Go `int`: any 64-bit signed integer. Beyond 2^53 the answer is the nearest double, which is good enough to compare
   * with a limit.
   */
  readMachineInt(): number {
    const head = this.#head();
    if (head < 0 || head === 0xc0) return 0;
    const value = this.#integer(head);
    if (this.status !== REJECT.none) return 0;
    // The double nearest to 2^63 - 1 is 2^63, so the sign bit decides.
    if (head === 0xcf && (this.bytes[this.pos - 8] as number) > 127) {
      this.fail(REJECT.malformed);
      return 0;
    }
    return value;
  }

  /** true, false, nil (false), or the small integers 0 and 1. */
  readBool(): boolean {
    const head = this.#head();
    if (head === 0xc3 || head === 1) return true;
    if (head < 0 || head === 0xc2 || head === 0xc0 || head === 0) return false;
    this.fail(REJECT.malformed);
    return false;
  }

  /** A float of either width or an integer; nil is 0. */
  readFloat(): number {
    const head = this.#head();
    if (head < 0 || head === 0xc0) return 0;
    if (head !== 0xca && head !== 0xcb) return this.#integer(head);
    const width = head === 0xca ? 4 : 8;
    if (this.end - this.pos < width) {
      this.fail(REJECT.truncated);
      return 0;
    }
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.pos, width);
    this.pos += width;
    return width === 4 ? view.getFloat32(0) : view.getFloat64(0);
  }

  /** Passes over one value of any type, however deep. */
  skip(): void {
    if (this.status === REJECT.none && this.skipSome(1) !== 0) this.fail(REJECT.truncated);
  }

  /**
   * Passes over up to `pending` values (containers count their contents) and returns how many are still missing because
   * the bytes end; `pos` then stands before the first incomplete one, so that a later call with more bytes and the
   * returned number goes on there. Iterative, so nesting costs nothing. On malformed input sets the status.
   */
  skipSome(pending: number): number {
    if (this.status !== REJECT.none) return pending;
    let left = pending;
    while (left > 0 && this.pos < this.end) {
      const head = this.bytes[this.pos] as number;
      const header = headerBytes(head);
      if (header === 0) {
        this.fail(REJECT.malformed);
        return left;
      }
      if (this.end - this.pos < header) return left;
      const payload = this.#payloadBytes(head);
      if (this.end - this.pos - header < payload) return left;
      const children = this.#children(head);
      this.pos += header + payload;
      left += children - 1;
    }
    return left;
  }

  /** Next type byte, or -1 on failure. */
  #head(): number {
    if (this.status !== REJECT.none) return -1;
    if (this.pos >= this.end) {
      this.fail(REJECT.truncated);
      return -1;
    }
    return this.bytes[this.pos++] as number;
  }

  #u8(): number {
    return this.#big(1);
  }

  #u16(): number {
    return this.#big(2);
  }

  #u32(): number {
    return this.#big(4);
  }

  /** Big-endian unsigned integer of up to 4 bytes. */
  #big(width: number): number {
    if (this.end - this.pos < width) {
      this.fail(REJECT.truncated);
      return 0;
    }
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + (this.bytes[this.pos++] as number);
    return value;
  }

  /** Length of a raw, str8 or bin whose type byte was read; -1 when it is neither. May set the status. */
  #rawLength(head: number): number {
    if (head >= 0xa0 && head <= 0xbf) return head & 31;
    if (head === 0xd9 || head === 0xc4) return this.#u8();
    if (head === 0xda || head === 0xc5) return this.#u16();
    if (head === 0xdb || head === 0xc6) return this.#u32();
    return -1;
  }

  #content(length: number): boolean {
    if (this.status !== REJECT.none) return false;
    if (this.end - this.pos < length) {
      this.fail(REJECT.truncated);
      return false;
    }
    this.start = this.pos;
    this.length = length;
    this.pos += length;
    return true;
  }

  #byteList(head: number): boolean {
    this.packed = true;
    this.length = 0;
    this.pos++;
    const count = head <= 0x9f ? head & 15 : head === 0xdc ? this.#u16() : this.#u32();
    const start = this.pos;
    for (let i = 0; i < count && this.status === REJECT.none; i++) this.readUint(255);
    if (this.status !== REJECT.none) return false;
    this.start = start;
    this.length = count;
    // Every element as long as its header byte alone, and none of them nil: the list is its own content.
    this.packed = this.pos - start === count && !this.#holdsNil(start, count);
    return true;
  }

  #holdsNil(start: number, count: number): boolean {
    for (let i = start; i < start + count; i++) if (this.bytes[i] === 0xc0) return true;
    return false;
  }

  /** Value of an integer whose type byte was read; sets the status when it is none. */
  #integer(head: number): number {
    if (head <= 0x7f) return head;
    if (head >= 0xe0) return head - 256;
    switch (head) {
      case 0xcc:
        return this.#big(1);
      case 0xcd:
        return this.#big(2);
      case 0xce:
        return this.#big(4);
      case 0xcf:
        return this.#u64(false);
      case 0xd0:
        return (this.#big(1) << 24) >> 24;
      case 0xd1:
        return (this.#big(2) << 16) >> 16;
      case 0xd2:
        return this.#big(4) | 0;
      case 0xd3:
        return this.#u64(true);
      default:
        this.fail(REJECT.malformed);
        return 0;
    }
  }

  #u64(signed: boolean): number {
    if (this.end - this.pos < 8) {
      this.fail(REJECT.truncated);
      return 0;
    }
    const high = this.#big(4);
    const low = this.#big(4);
    return (signed ? high | 0 : high) * TWO_32 + low;
  }

  /** Bytes behind the header that belong to the value itself. The header is known to be complete. */
  #payloadBytes(head: number): number {
    if (head >= 0xa0 && head <= 0xbf) return head & 31;
    const at = this.pos + 1;
    switch (head) {
      case 0xc4:
      case 0xc7:
      case 0xd9:
        return this.bytes[at] as number;
      case 0xc5:
      case 0xc8:
      case 0xda:
        return this.#peek(at, 2);
      case 0xc6:
      case 0xc9:
      case 0xdb:
        return this.#peek(at, 4);
      default:
        return 0;
    }
  }

  /** Values inside the container whose complete header stands at pos. */
  #children(head: number): number {
    if (head >= 0x80 && head <= 0x8f) return 2 * (head & 15);
    if (head >= 0x90 && head <= 0x9f) return head & 15;
    const at = this.pos + 1;
    switch (head) {
      case 0xdc:
        return this.#peek(at, 2);
      case 0xdd:
        return this.#peek(at, 4);
      case 0xde:
        return 2 * this.#peek(at, 2);
      case 0xdf:
        return 2 * this.#peek(at, 4);
      default:
        return 0;
    }
  }

  #peek(at: number, width: number): number {
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + (this.bytes[at + i] as number);
    return value;
  }
}

/** Bytes of the header (type byte, length, ext type, fixed-size payload) by type byte; 0 for c1, which is undefined. */
function headerBytes(head: number): number {
  if (head < 0xc0 || head >= 0xe0) return 1;
  return HEADER_BYTES[head - 0xc0] as number;
}

const HEADER_BYTES = new Uint8Array([
  // c0 nil, c1 undefined, c2 c3 bool, c4 c5 c6 bin, c7 c8 c9 ext, ca cb float, cc..cf uint
  1, 0, 1, 1, 2, 3, 5, 3, 4, 6, 5, 9, 2, 3, 5, 9,
  // d0..d3 int, d4..d8 fixext, d9 str8, da db raw, dc dd list, de df map
  2, 3, 5, 9, 3, 4, 6, 10, 18, 2, 3, 5, 3, 5, 3, 5,
]);

const EMPTY = new Uint8Array(0);
