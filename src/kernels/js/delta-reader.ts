import type { DeltaSections } from '../arenas/delta.ts';
import { packetCodecSections } from '../arenas/packet-codec.ts';
import { MESSAGE, META_BYTES_MAX, NAME_BYTES_MAX, type PacketCodec, REJECT, STATUS } from '../contract.ts';
import {
  CODEC,
  DELTA_COLUMN as COLUMN,
  DELTA_BLOCK_BYTES_MAX,
  DELTA_COLUMNS,
  DELTA_ENTRY,
  DELTA_FLAG as FLAG,
  RECORD,
} from '../layout.ts';
import type { Hash64 } from './hash64.ts';

const VSN_BYTES = 6;
const CHECKSUM_BYTES = 4;

/**
 * Reads a block of delta into records (docs/wire.md §9). Trusts nothing: a block is used whole or not at all, and every offset and
 * length is checked before it is used. The other half of JsDelta.
 */
export class DeltaReader {
  readonly #dictionary: Uint32Array;
  readonly #sections: DeltaSections;
  #u8: Uint8Array = new Uint8Array(0);
  #failed = 0;
  readonly #at = new Uint32Array(DELTA_COLUMNS + 1);
  readonly #ends = new Uint32Array(DELTA_COLUMNS + 1);
  #dictionaryCount = 0;
  // What the last string and the row before were: offsets into the codec's arena.
  #stringAt = 0;
  #stringLength = 0;
  #scratch = 0;
  #scratchEnd = 0;
  #name = 0;
  #nameLength = 0;
  #ip = 0;
  #ipLength = 0;
  #port = 0;
  #vsn = 0;
  #meta = 0;
  #metaLength = 0;

  /** `words` are those of the delta's arena, which holds the dictionary. */
  constructor(words: Uint32Array, sections: DeltaSections) {
    this.#dictionary = words;
    this.#sections = sections;
  }

  /** Number of records, or -REJECT. */
  read(codec: PacketCodec, from: number, length: number, hash: Hash64): number {
    const { u8, u32 } = codec;
    const { recordsOffset, recordCapacity, inboxOffset, scratchOffset, scratchBytes } = packetCodecSections(
      codec.arena,
    );
    // Zeroes what the call before used, as every indexing does.
    const used = Math.min(u32[CODEC.recordCount >>> 2] as number, recordCapacity);
    u8.fill(0, recordsOffset, recordsOffset + used * RECORD.stride);
    u8.fill(0, scratchOffset, scratchOffset + Math.min(u32[CODEC.scratchTop >>> 2] as number, scratchBytes));
    u32[CODEC.recordCount >>> 2] = 0;
    u32[CODEC.scratchTop >>> 2] = 0;
    u32[CODEC.skippedParts >>> 2] = 0;

    const start = inboxOffset + from;
    const end = start + length;
    if (length < CHECKSUM_BYTES + 2 + DELTA_COLUMNS) return -REJECT.truncated;
    if (length > DELTA_BLOCK_BYTES_MAX) return -REJECT.oversized;
    hash.xxh3(u8, start + CHECKSUM_BYTES, length - CHECKSUM_BYTES, 0, 0);
    const checksum =
      (u8[start] as number) |
      ((u8[start + 1] as number) << 8) |
      ((u8[start + 2] as number) << 16) |
      ((u8[start + 3] as number) << 24);
    if (checksum >>> 0 !== hash.low) return -REJECT.crcMismatch;

    this.#u8 = u8;
    this.#failed = 0;
    this.#dictionaryCount = 0;
    this.#scratch = scratchOffset;
    this.#name = scratchOffset;
    this.#nameLength = 0;
    this.#ipLength = 0;
    this.#port = 0;
    this.#vsn = 0;
    this.#metaLength = 0;
    const rows = this.#open(start + CHECKSUM_BYTES, end);
    if (this.#failed !== 0) return -this.#failed;
    const textBytes = this.#scratchEnd;
    if (rows > recordCapacity || textBytes > scratchBytes) return -REJECT.oversized;
    this.#scratchEnd = scratchOffset + textBytes;
    let done = 0;
    while (done < rows && this.#failed === 0) {
      this.#row(u32, recordsOffset + done * RECORD.stride);
      done++;
    }
    for (let i = 0; i < DELTA_COLUMNS; i++) if (this.#at[i] !== this.#ends[i]) this.#fail(REJECT.malformed);
    if (this.#scratch !== this.#scratchEnd) this.#fail(REJECT.malformed);
    if (this.#failed !== 0) {
      u8.fill(0, recordsOffset, recordsOffset + done * RECORD.stride);
      u8.fill(0, scratchOffset, this.#scratch);
      return -this.#failed;
    }
    u32[CODEC.recordCount >>> 2] = rows;
    u32[CODEC.scratchTop >>> 2] = textBytes;
    return rows;
  }

  /** The head: number of rows, bytes of names and addresses (left in #scratchEnd), where the columns lie. */
  #open(start: number, end: number): number {
    const head = DELTA_COLUMNS;
    this.#at[head] = start;
    this.#ends[head] = end;
    const rows = this.#varint(head);
    this.#scratchEnd = this.#varint(head);
    let total = 0;
    for (let i = 0; i < DELTA_COLUMNS; i++) {
      const length = this.#varint(head);
      this.#ends[i] = length;
      total += length;
    }
    let at = this.#at[head] as number;
    if (this.#failed === 0 && total !== end - at) this.#fail(REJECT.truncated);
    if (this.#failed === 0 && this.#ends[COLUMN.flags] !== rows) this.#fail(REJECT.malformed);
    if (this.#failed !== 0) return 0;
    for (let i = 0; i < DELTA_COLUMNS; i++) {
      this.#at[i] = at;
      at += this.#ends[i] as number;
      this.#ends[i] = at;
    }
    return rows;
  }

  #row(u32: Uint32Array, record: number): void {
    const u8 = this.#u8;
    const flags = this.#byte(COLUMN.flags);
    const status = flags & FLAG.status;
    this.#readName();
    const incarnation = this.#varint(COLUMN.numbers);
    u8[record + RECORD.kind] = MESSAGE.pushPull;
    u8[record + RECORD.status] = status;
    u32[(record + RECORD.number) >>> 2] = incarnation;
    u32[(record + RECORD.nameOffset) >>> 2] = this.#name;
    u32[(record + RECORD.nameLength) >>> 2] = this.#nameLength;
    if (status !== STATUS.alive) {
      if (flags !== status) this.#fail(REJECT.fieldInvalid);
      return;
    }
    if ((flags & FLAG.ext) !== 0) u32[(record + RECORD.ext) >>> 2] = this.#varint(COLUMN.numbers);
    this.#readAddress(flags);
    if ((flags & FLAG.sameVsn) === 0) {
      this.#readString();
      if (this.#stringLength !== VSN_BYTES) this.#fail(REJECT.fieldInvalid);
      this.#vsn = this.#stringAt;
    }
    if ((flags & FLAG.sameMeta) === 0) {
      this.#readString();
      if (this.#stringLength > META_BYTES_MAX) this.#fail(REJECT.fieldInvalid);
      this.#meta = this.#stringAt;
      this.#metaLength = this.#stringLength;
    }
    // The first alive row has no versions before it.
    if (this.#vsn === 0) this.#fail(REJECT.fieldInvalid);
    if (this.#failed !== 0) return;
    u8[record + RECORD.port] = this.#port & 255;
    u8[record + RECORD.port + 1] = this.#port >>> 8;
    u32[(record + RECORD.ipOffset) >>> 2] = this.#ip;
    u32[(record + RECORD.ipLength) >>> 2] = this.#ipLength;
    u32[(record + RECORD.dataOffset) >>> 2] = this.#metaLength === 0 ? 0 : this.#meta;
    u32[(record + RECORD.dataLength) >>> 2] = this.#metaLength;
    for (let i = 0; i < VSN_BYTES; i++) u8[record + RECORD.vsn + i] = u8[this.#vsn + i] as number;
    u8[record + RECORD.vsnLength] = VSN_BYTES;
  }

  #readName(): void {
    const shared = this.#varint(COLUMN.names);
    const own = this.#varint(COLUMN.names);
    const length = shared + own;
    if (shared > this.#nameLength) this.#fail(REJECT.malformed);
    if (length === 0 || length > NAME_BYTES_MAX) this.#fail(REJECT.fieldInvalid);
    const name = this.#reserve(length);
    if (this.#failed === 0) this.#u8.copyWithin(name, this.#name, this.#name + shared);
    this.#copy(COLUMN.names, name + shared, own);
    this.#name = name;
    this.#nameLength = length;
  }

  #readAddress(flags: number): void {
    const length = (flags & FLAG.ip16) !== 0 ? 16 : 4;
    const hasSameFamily = this.#ipLength === length;
    const ip = this.#reserve(length);
    if ((flags & FLAG.sameIp) !== 0) {
      if (!hasSameFamily) this.#fail(REJECT.fieldInvalid);
      if (this.#failed === 0) this.#u8.copyWithin(ip, this.#ip, this.#ip + length);
    } else {
      const shared = this.#byte(COLUMN.addresses);
      if (shared >= length || (shared > 0 && !hasSameFamily)) this.#fail(REJECT.fieldInvalid);
      if (this.#failed === 0) this.#u8.copyWithin(ip, this.#ip, this.#ip + shared);
      this.#copy(COLUMN.addresses, ip + shared, length - shared);
    }
    if ((flags & FLAG.samePort) === 0) {
      this.#port = this.#byte(COLUMN.addresses) << 8;
      this.#port |= this.#byte(COLUMN.addresses);
    }
    this.#ip = ip;
    this.#ipLength = length;
  }

  #readString(): void {
    const { dictionaryCapacity, dictionaryOffset } = this.#sections;
    const entries = dictionaryOffset >>> 2;
    const number = this.#varint(COLUMN.strings);
    if (number > 0) {
      if (number > this.#dictionaryCount) {
        this.#fail(REJECT.malformed);
        return;
      }
      this.#stringAt = this.#dictionary[entries + 2 * (number - 1)] as number;
      this.#stringLength = this.#dictionary[entries + 2 * (number - 1) + 1] as number;
      return;
    }
    const length = this.#varint(COLUMN.strings);
    const at = this.#at[COLUMN.strings] as number;
    if (length > (this.#ends[COLUMN.strings] as number) - at) this.#fail(REJECT.truncated);
    if (this.#failed !== 0) return;
    this.#at[COLUMN.strings] = at + length;
    this.#stringAt = at;
    this.#stringLength = length;
    if (this.#dictionaryCount === dictionaryCapacity) return;
    this.#dictionary[entries + (DELTA_ENTRY.stride >>> 2) * this.#dictionaryCount] = at;
    this.#dictionary[entries + (DELTA_ENTRY.stride >>> 2) * this.#dictionaryCount + 1] = length;
    this.#dictionaryCount++;
  }

  /** Room in the scratch. */
  #reserve(length: number): number {
    const at = this.#scratch;
    if (this.#failed === 0 && length > this.#scratchEnd - at) this.#fail(REJECT.malformed);
    if (this.#failed === 0) this.#scratch = at + length;
    return at;
  }

  #copy(column: number, to: number, length: number): void {
    const at = this.#at[column] as number;
    if (this.#failed === 0 && length > (this.#ends[column] as number) - at) this.#fail(REJECT.truncated);
    if (this.#failed !== 0) return;
    this.#u8.copyWithin(to, at, at + length);
    this.#at[column] = at + length;
  }

  #byte(column: number): number {
    const at = this.#at[column] as number;
    if (this.#failed !== 0 || at >= (this.#ends[column] as number)) {
      this.#fail(REJECT.truncated);
      return 0;
    }
    this.#at[column] = at + 1;
    return this.#u8[at] as number;
  }

  /** At most 32 bits. */
  #varint(column: number): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte(column);
      if (shift === 28 && byte > 15) break;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    this.#fail(REJECT.malformed);
    return 0;
  }

  /** The first failure counts. */
  #fail(code: number): void {
    if (this.#failed === 0) this.#failed = code;
  }
}
