const TWO_32 = 4294967296;

/**
 * Writes values the way current memberlist releases do (§3.1): raw family only, integers in the shortest form. Map keys
 * are written by the caller in byte order.
 *
 * On a fixed buffer writing goes on past the end without touching memory, so that `finish` can tell how much room it
 * takes. Made without a buffer it grows.
 */
export class MsgpackWriter {
  bytes: Uint8Array;
  pos: number;
  readonly #growable: boolean;

  constructor(bytes?: Uint8Array, pos = 0) {
    this.#growable = bytes === undefined;
    this.bytes = bytes ?? new Uint8Array(256);
    this.pos = pos;
  }

  /** Starts over, on other bytes if given. */
  reset(bytes: Uint8Array = this.bytes, pos = 0): this {
    this.bytes = bytes;
    this.pos = pos;
    return this;
  }

  /** End offset, or -(bytes needed in all) when the buffer is too small. */
  finish(): number {
    return this.pos <= this.bytes.length ? this.pos : -this.pos;
  }

  /** What was written so far (a view). */
  written(): Uint8Array {
    return this.bytes.subarray(0, this.pos);
  }

  /** One byte as it is. */
  byte(value: number): this {
    if (this.#room(1)) this.bytes[this.pos] = value;
    this.pos++;
    return this;
  }

  /** Bytes as they are, without a header. */
  verbatim(bytes: Uint8Array): this {
    const { length } = bytes;
    if (this.#room(length)) {
      // set() costs more than the loop for keys and names.
      if (length > 32) this.bytes.set(bytes, this.pos);
      else for (let i = 0; i < length; i++) this.bytes[this.pos + i] = bytes[i] as number;
    }
    this.pos += length;
    return this;
  }

  nil(): this {
    return this.byte(0xc0);
  }

  bool(value: boolean): this {
    return this.byte(value ? 0xc3 : 0xc2);
  }

  /** Field declared unsigned, 0 to 2^53 - 1. */
  uint(value: number): this {
    if (value < 128) return this.byte(value);
    if (value < 256) return this.byte(0xcc).byte(value);
    if (value < 65536) return this.#big(0xcd, value, 2);
    if (value < TWO_32) return this.#big(0xce, value, 4);
    return this.#wide(0xcf, value);
  }

  /** Field declared signed (Go `int`), safe integers: above 127 in signed form. */
  int(value: number): this {
    if (value >= 0 && value < 128) return this.byte(value);
    if (value < 0 && value >= -32) return this.byte(value & 255);
    if (value < 0 && value >= -128) return this.byte(0xd0).byte(value & 255);
    if (value >= -32768 && value < 32768) return this.#big(0xd1, value & 65535, 2);
    if (value >= -2147483648 && value < 2147483648) return this.#big(0xd2, value >>> 0, 4);
    return this.#wide(0xd3, value);
  }

  /** Field declared unsigned with 64 bits. */
  uint64(value: bigint): this {
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return this.uint(Number(value));
    return this.#split(0xcf, value);
  }

  /** Field declared signed with 64 bits. */
  int64(value: bigint): this {
    const small = Number(value);
    return Number.isSafeInteger(small) ? this.int(small) : this.#split(0xd3, value);
  }

  float64(value: number): this {
    this.byte(0xcb);
    if (this.#room(8)) new DataView(this.bytes.buffer, this.bytes.byteOffset + this.pos, 8).setFloat64(0, value);
    this.pos += 8;
    return this;
  }

  /** String or bytes in the raw family: a0..bf, da, db; never str8 or bin. */
  raw(bytes: Uint8Array): this {
    return this.rawHeader(bytes.length).verbatim(bytes);
  }

  /** A byte field: nil when empty, because that is what memberlist sends for "none" (§19.2). */
  rawOrNil(bytes: Uint8Array): this {
    return bytes.length === 0 ? this.nil() : this.raw(bytes);
  }

  rawHeader(length: number): this {
    if (length < 32) return this.byte(0xa0 | length);
    return length < 65536 ? this.#big(0xda, length, 2) : this.#big(0xdb, length, 4);
  }

  listHeader(count: number): this {
    if (count < 16) return this.byte(0x90 | count);
    return count < 65536 ? this.#big(0xdc, count, 2) : this.#big(0xdd, count, 4);
  }

  mapHeader(count: number): this {
    if (count < 16) return this.byte(0x80 | count);
    return count < 65536 ? this.#big(0xde, count, 2) : this.#big(0xdf, count, 4);
  }

  #big(head: number, value: number, width: number): this {
    this.byte(head);
    for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) this.byte((value >>> shift) & 255);
    return this;
  }

  #wide(head: number, value: number): this {
    const high = Math.floor(value / TWO_32);
    return this.#big(head, high >>> 0, 4).#word((value - high * TWO_32) >>> 0);
  }

  #split(head: number, value: bigint): this {
    const bits = BigInt.asUintN(64, value);
    return this.#big(head, Number(bits >> 32n), 4).#word(Number(bits & 0xffffffffn));
  }

  #word(value: number): this {
    for (let shift = 24; shift >= 0; shift -= 8) this.byte((value >>> shift) & 255);
    return this;
  }

  #room(count: number): boolean {
    const need = this.pos + count;
    if (need <= this.bytes.length) return true;
    if (!this.#growable) return false;
    const larger = new Uint8Array(Math.max(need, 2 * this.bytes.length));
    larger.set(this.bytes);
    this.bytes = larger;
    return true;
  }
}
