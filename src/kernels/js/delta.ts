import { HearsayError } from '../../util/errors.ts';
import { type DeltaSections, deltaSections } from '../arenas/delta.ts';
import { checkCount } from '../arenas/header.ts';
import { type Arena, type Delta, type MemberTable, type PacketCodec, PROFILE, STATUS } from '../contract.ts';
import {
  DELTA_COLUMN as COLUMN,
  DELTA,
  DELTA_COLUMNS,
  DELTA_ENTRY,
  DELTA_FLAG as FLAG,
  ROW,
  TABLE,
} from '../layout.ts';
import { DeltaReader } from './delta-reader.ts';
import { Hash64 } from './hash64.ts';
import { murmur3 } from './interner.ts';
import { JsMemberTable } from './member-table.ts';
import { sameBytes } from './profile-draft.ts';

const VSN_BYTES = 6;
/** Buckets looked at for one string. A string that is not found there is written again: that costs bytes, never time. */
const PROBES_MAX = 8;
const CHECKSUM_BYTES = 4;

/** TypeScript twin of the delta: the specification that native/kernels/delta.hpp follows byte for byte. */
export class JsDelta implements Delta {
  readonly backend = 'js';
  arena!: Arena;
  u8!: Uint8Array;
  u32!: Uint32Array;
  #sections!: DeltaSections;
  #reader!: DeltaReader;
  readonly #hash = new Hash64();
  /** Ends of the columns, relative to their starts. */
  readonly #tops = new Uint32Array(DELTA_COLUMNS);
  readonly #savedTops = new Uint32Array(DELTA_COLUMNS);
  #dictionaryCount = 0;
  #rows = 0;
  #textBytes = 0;
  // The row before, as offsets into the interners. -1 = none.
  #name = -1;
  #nameLength = 0;
  #profile = -1;
  #metaLength = 0;

  /** Attaches to an arena of createDeltaArena(). Throws ERR_ARENA_INVALID when it is none. */
  constructor(arena: Arena) {
    this.rehome(arena);
  }

  rehome(arena: Arena): void {
    this.#sections = deltaSections(arena);
    this.arena = arena;
    this.u8 = new Uint8Array(arena);
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
    this.#reader = new DeltaReader(this.u32, this.#sections);
  }

  get capacity(): number {
    return this.#sections.capacity;
  }
  get blockBytes(): number {
    return this.#sections.blockBytes;
  }
  get slotsOffset(): number {
    return this.#sections.slotsOffset;
  }
  get outOffset(): number {
    return this.#sections.outOffset;
  }

  encode(table: MemberTable, first: number, count: number, budgetBytes: number): number {
    if (!(table instanceof JsMemberTable)) {
      throw new HearsayError('ERR_ARGUMENT_INVALID', `table: expected one of the backend "js", got "${table.backend}"`);
    }
    checkCount('first + count', first + count, 0, this.#sections.capacity);
    checkCount('budgetBytes', budgetBytes, 0, this.#sections.blockBytes);
    const { u32 } = this;
    this.#tops.fill(0);
    this.#dictionaryCount = 0;
    this.#rows = 0;
    this.#textBytes = 0;
    this.#name = -1;
    this.#nameLength = 0;
    this.#profile = -1;
    this.#metaLength = 0;
    const buckets = this.#sections.bucketsOffset >>> 2;
    u32.fill(0, buckets, buckets + 2 * this.#sections.dictionaryCapacity);
    const rowTop = Math.min(table.u32[TABLE.rowTop >>> 2] as number, table.capacity);
    const slots = this.#sections.slotsOffset >>> 2;
    let used = 0;
    for (; used < count; used++) {
      const slot = u32[slots + first + used] as number;
      if (slot >= rowTop) continue;
      const row = table.rowsOffset + slot * ROW.stride;
      if (table.u32[(row + ROW.nameId) >>> 2] === 0) continue;
      this.#savedTops.set(this.#tops);
      const dictionaryCount = this.#dictionaryCount;
      const textBytes = this.#textBytes;
      this.#row(table, row);
      this.#rows++;
      if (this.#blockLength() > budgetBytes) {
        this.#tops.set(this.#savedTops);
        this.#dictionaryCount = dictionaryCount;
        this.#textBytes = textBytes;
        this.#rows--;
        break;
      }
    }
    this.#finish();
    return used;
  }

  decode(codec: PacketCodec, from: number, length: number): number {
    checkCount('from + length', from + length, 0, codec.inboxBytes);
    return this.#reader.read(codec, from, length, this.#hash);
  }

  #row(table: JsMemberTable, row: number): void {
    const { names, profiles } = table;
    const status = table.u8[row + ROW.status] as number;
    const nameId = table.u32[(row + ROW.nameId) >>> 2] as number;
    this.#putName(names.u8, names.offsetOf(nameId), names.lengthOf(nameId));
    this.#putVarint(COLUMN.numbers, table.u32[(row + ROW.incarnation) >>> 2] as number);
    if (status !== STATUS.alive) {
      this.#putByte(COLUMN.flags, status & FLAG.status);
      return;
    }
    const ext = table.u32[(row + ROW.ext) >>> 2] as number;
    if (ext !== 0) this.#putVarint(COLUMN.numbers, ext);
    const profileId = table.u32[(row + ROW.profileId) >>> 2] as number;
    const profile = profiles.offsetOf(profileId);
    const bytes = profiles.u8;
    const known = this.#profile;
    const ipLength = bytes[profile + PROFILE.ipLength] as number;
    const metaLength = profiles.lengthOf(profileId) - PROFILE.ip - ipLength;
    let flags: number = ipLength === 16 ? FLAG.ip16 : 0;
    if (ext !== 0) flags |= FLAG.ext;

    const hasSameFamily = known >= 0 && bytes[known + PROFILE.ipLength] === ipLength;
    if (hasSameFamily && sameBytes(bytes, profile + PROFILE.ip, bytes, known + PROFILE.ip, ipLength)) {
      flags |= FLAG.sameIp;
    } else {
      let shared = 0;
      while (hasSameFamily && bytes[profile + PROFILE.ip + shared] === bytes[known + PROFILE.ip + shared]) shared++;
      this.#putByte(COLUMN.addresses, shared);
      this.#putBytes(COLUMN.addresses, bytes, profile + PROFILE.ip + shared, ipLength - shared);
    }
    if (known >= 0 && sameBytes(bytes, profile + PROFILE.port, bytes, known + PROFILE.port, 2)) flags |= FLAG.samePort;
    else this.#putBytes(COLUMN.addresses, bytes, profile + PROFILE.port, 2);
    this.#textBytes += ipLength;

    if (known >= 0 && sameBytes(bytes, profile, bytes, known, VSN_BYTES)) flags |= FLAG.sameVsn;
    else this.#putString(bytes, profile, VSN_BYTES);
    const meta = profile + PROFILE.ip + ipLength;
    const knownMeta = known < 0 ? 0 : known + PROFILE.ip + (bytes[known + PROFILE.ipLength] as number);
    if (metaLength === this.#metaLength && sameBytes(bytes, meta, bytes, knownMeta, metaLength)) flags |= FLAG.sameMeta;
    else this.#putString(bytes, meta, metaLength);
    this.#putByte(COLUMN.flags, flags);
    this.#profile = profile;
    this.#metaLength = metaLength;
  }

  /** Bytes shared with the name before, bytes of its own, and these. */
  #putName(bytes: Uint8Array, at: number, length: number): void {
    const most = Math.min(length, this.#nameLength);
    let shared = 0;
    while (shared < most && bytes[at + shared] === bytes[this.#name + shared]) shared++;
    this.#putVarint(COLUMN.names, shared);
    this.#putVarint(COLUMN.names, length - shared);
    this.#putBytes(COLUMN.names, bytes, at + shared, length - shared);
    this.#name = at;
    this.#nameLength = length;
    this.#textBytes += length;
  }

  /** Number + 1 of a string that the dictionary has, or 0, its length and its bytes. */
  #putString(bytes: Uint8Array, at: number, length: number): void {
    const { u8, u32 } = this;
    const { bucketsOffset, dictionaryCapacity, dictionaryOffset } = this.#sections;
    const column = this.#column(COLUMN.strings);
    const mask = 2 * dictionaryCapacity - 1;
    const start = murmur3(bytes, at, length, 0) & mask;
    let free = -1;
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const bucket = (bucketsOffset >>> 2) + ((start + probe) & mask);
      const number = u32[bucket] as number;
      if (number === 0) {
        free = bucket;
        break;
      }
      const entry = (dictionaryOffset + (number - 1) * DELTA_ENTRY.stride) >>> 2;
      if (u32[entry + 1] !== length || !sameBytes(u8, column + (u32[entry] as number), bytes, at, length)) continue;
      this.#putVarint(COLUMN.strings, number);
      return;
    }
    this.#putVarint(COLUMN.strings, 0);
    this.#putVarint(COLUMN.strings, length);
    if (this.#dictionaryCount < dictionaryCapacity) {
      const entry = (dictionaryOffset + this.#dictionaryCount * DELTA_ENTRY.stride) >>> 2;
      u32[entry] = this.#tops[COLUMN.strings] as number;
      u32[entry + 1] = length;
      this.#dictionaryCount++;
      if (free >= 0) u32[free] = this.#dictionaryCount;
    }
    this.#putBytes(COLUMN.strings, bytes, at, length);
  }

  #column(index: number): number {
    return this.#sections.columnsOffset + index * this.#sections.columnStride;
  }

  #putByte(column: number, value: number): void {
    const top = this.#tops[column] as number;
    this.u8[this.#column(column) + top] = value;
    this.#tops[column] = top + 1;
  }

  #putBytes(column: number, bytes: Uint8Array, at: number, length: number): void {
    const top = this.#tops[column] as number;
    const to = this.#column(column) + top;
    for (let i = 0; i < length; i++) this.u8[to + i] = bytes[at + i] as number;
    this.#tops[column] = top + length;
  }

  #putVarint(column: number, value: number): void {
    let rest = value >>> 0;
    for (; rest > 127; rest >>>= 7) this.#putByte(column, (rest & 127) | 128);
    this.#putByte(column, rest);
  }

  #blockLength(): number {
    let length = CHECKSUM_BYTES + varintBytes(this.#rows) + varintBytes(this.#textBytes);
    for (let i = 0; i < DELTA_COLUMNS; i++) {
      const top = this.#tops[i] as number;
      length += varintBytes(top) + top;
    }
    return length;
  }

  /** Head and columns into out; no block at all when there is no row. */
  #finish(): void {
    const { u8, u32 } = this;
    const { outOffset } = this.#sections;
    u32[DELTA.dictionaryCount >>> 2] = this.#dictionaryCount;
    u32[DELTA.outLength >>> 2] = 0;
    if (this.#rows === 0) return;
    let to = outOffset + CHECKSUM_BYTES;
    const put = (value: number): void => {
      let rest = value;
      for (; rest > 127; rest >>>= 7) u8[to++] = (rest & 127) | 128;
      u8[to++] = rest;
    };
    put(this.#rows);
    put(this.#textBytes);
    for (let i = 0; i < DELTA_COLUMNS; i++) put(this.#tops[i] as number);
    for (let i = 0; i < DELTA_COLUMNS; i++) {
      const column = this.#column(i);
      u8.copyWithin(to, column, column + (this.#tops[i] as number));
      to += this.#tops[i] as number;
    }
    const body = outOffset + CHECKSUM_BYTES;
    this.#hash.xxh3(u8, body, to - body, 0, 0);
    for (let k = 0; k < CHECKSUM_BYTES; k++) u8[outOffset + k] = this.#hash.low >>> (8 * k);
    u32[DELTA.outLength >>> 2] = to - outOffset;
  }
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
}
