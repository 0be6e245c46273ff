import { HearsayError } from '../../util/errors.ts';
import { type DigestSections, digestSections } from '../arenas/digest.ts';
import { checkCount } from '../arenas/header.ts';
import { type Arena, type Digest, type MemberTable, STATUS } from '../contract.ts';
import { DIGEST, DIGEST_CELL, DIGEST_CELL_BYTES, DIGEST_ITEM, HEADER, ROW, TABLE } from '../layout.ts';
import { Hash64 } from './hash64.ts';
import { JsMemberTable } from './member-table.ts';

/** Stands for the profile of a suspect row, which does not count. */
const SUSPECT_LOW = 0x7f4a7c15;
const SUSPECT_HIGH = 0x9e3779b9;
const GOLDEN = 0x9e3779b1;
/** Peeling that goes on for longer is not worth it: random sketches take less than 20. */
const PASSES_MAX = 64;
const TWO_32 = 0x100000000;
const LOOKUP = { name: 0, flags: 1, stride: 2 } as const;
const FLAG = { wanted: 1, matched: 2, listed: 4 } as const;

/** TypeScript twin of the digest: the specification that native/kernels/digest.hpp follows byte for byte. */
export class JsDigest implements Digest {
  readonly backend = 'js';
  arena!: Arena;
  u8!: Uint8Array;
  u32!: Uint32Array;
  #sections!: DigestSections;
  readonly #hash = new Hash64();
  readonly #positions = new Int32Array(4);

  /** Attaches to an arena of createDigestArena(). Throws ERR_ARENA_INVALID when it is none. */
  constructor(arena: Arena) {
    this.rehome(arena);
  }

  rehome(arena: Arena): void {
    this.#sections = digestSections(arena);
    this.arena = arena;
    this.u8 = new Uint8Array(arena);
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
  }

  get capacity(): number {
    return this.#sections.capacity;
  }
  get cellCapacity(): number {
    return this.#sections.cellCapacity;
  }
  get rangeCapacity(): number {
    return this.#sections.rangeCapacity;
  }
  get nameCapacity(): number {
    return this.#sections.nameCapacity;
  }
  get itemsOffset(): number {
    return this.#sections.itemsOffset;
  }
  get rangesOffset(): number {
    return this.#sections.rangesOffset;
  }
  get namesOffset(): number {
    return this.#sections.namesOffset;
  }
  get slotsOffset(): number {
    return this.#sections.slotsOffset;
  }

  hashTable(table: MemberTable): number {
    if (!(table instanceof JsMemberTable)) {
      throw new HearsayError('ERR_ARGUMENT_INVALID', `table: expected one of the backend "js", got "${table.backend}"`);
    }
    const u32 = this.u32;
    const rows = table.u32[TABLE.rowTop >>> 2] as number;
    if (rows > this.#sections.capacity) return -1;
    const { names, profiles } = table;
    const key = u32.subarray(DIGEST.key >>> 2, (DIGEST.key >>> 2) + 4);
    names.setHashKey(key);
    profiles.setHashKey(key);
    const salt = u32[DIGEST.salt >>> 2] as number;
    const hash = this.#hash;
    let count = 0;
    let sumLow = 0;
    let sumHigh = 0;
    for (let slot = 0; slot < rows; slot++) {
      const row = (table.rowsOffset >>> 2) + slot * (ROW.stride >>> 2);
      const item = (this.#sections.itemsOffset >>> 2) + slot * (DIGEST_ITEM.stride >>> 2);
      const nameId = table.u32[row + (ROW.nameId >>> 2)] as number;
      if (nameId === 0) {
        u32[item] = 0;
        u32[item + 1] = 0;
        continue;
      }
      names.hash64(nameId, hash);
      const name = hash.high === 0 ? 1 : hash.high;
      u32[item + 1] = name;
      const status = table.u8[4 * row + ROW.status] as number;
      if (status > STATUS.suspect) {
        u32[item] = 0;
        continue;
      }
      hash.mix(hash.low ^ salt, table.u32[row + (ROW.incarnation >>> 2)] as number);
      const low = hash.low;
      const high = hash.high;
      let ext = 0;
      if (status === STATUS.alive) {
        ext = table.u32[row + (ROW.ext >>> 2)] as number;
        profiles.hash64(table.u32[row + (ROW.profileId >>> 2)] as number, hash);
      } else {
        hash.low = SUSPECT_LOW;
        hash.high = SUSPECT_HIGH;
      }
      const mixedLow = ((low ^ hash.low) >>> 0) + ext;
      hash.mix(mixedLow, (high ^ hash.high) + (mixedLow >= TWO_32 ? 1 : 0));
      const state = hash.high === 0 ? 1 : hash.high;
      u32[item] = state;
      hash.mix(state, name);
      sumLow += hash.low;
      sumHigh += hash.high;
      count++;
    }
    // Both halves were added up as doubles: at most 2^21 times below 2^32, so both are exact.
    u32[DIGEST.sum >>> 2] = sumLow % TWO_32;
    u32[(DIGEST.sum >>> 2) + 1] = (sumHigh + Math.floor(sumLow / TWO_32)) % TWO_32;
    u32[HEADER.live >>> 2] = count;
    u32[DIGEST.rows >>> 2] = rows;
    return count;
  }

  rangeSums(bits: number): number {
    checkCount('bits', bits, 0, 16);
    const count = 1 << bits;
    checkCount('2^bits', count, 1, this.#sections.rangeCapacity);
    const u32 = this.u32;
    const hash = this.#hash;
    const ranges = this.#sections.rangesOffset >>> 2;
    u32.fill(0, ranges, ranges + 2 * count);
    const items = this.#sections.itemsOffset >>> 2;
    const rows = this.#rows();
    for (let slot = 0; slot < rows; slot++) {
      const state = u32[items + 2 * slot] as number;
      if (state === 0) continue;
      const name = u32[items + 2 * slot + 1] as number;
      hash.mix(state, name);
      const range = ranges + 2 * (bits === 0 ? 0 : name >>> (32 - bits));
      const low = (u32[range] as number) + hash.low;
      u32[range] = low;
      u32[range + 1] = (u32[range + 1] as number) + hash.high + (low >= TWO_32 ? 1 : 0);
    }
    return count;
  }

  sketch(cells: number, out: Uint8Array, at: number): number {
    this.#checkCells(cells);
    const end = at + cells * DIGEST_CELL_BYTES;
    if (end > out.length) return -end;
    this.#fillOwn(cells);
    const { u8 } = this;
    let to = at;
    for (let i = 0; i < cells; i++) {
      const cell = this.#sections.ownCellsOffset + i * DIGEST_CELL.stride;
      for (let k = 0; k < DIGEST_CELL_BYTES; k++) out[to++] = u8[cell + k] as number;
    }
    return end;
  }

  peel(cells: number, source: Uint8Array, at: number): number {
    this.#checkCells(cells);
    if (at + cells * DIGEST_CELL_BYTES > source.length) return -1;
    this.#fillOwn(cells);
    const { u8, u32 } = this;
    const { ownCellsOffset, theirCellsOffset } = this.#sections;
    for (let i = 0; i < cells; i++) {
      const own = ownCellsOffset + i * DIGEST_CELL.stride;
      const their = theirCellsOffset + i * DIGEST_CELL.stride;
      const from = at + i * DIGEST_CELL_BYTES;
      for (let k = 0; k < 12; k++) u8[their + k] = (u8[own + k] as number) ^ (source[from + k] as number);
      u32[(their + DIGEST_CELL.count) >>> 2] = ((source[from + 12] as number) - (u8[own + 12] as number)) & 255;
    }
    const found = this.#peelAll(cells);
    if (found < 0) return -1;
    for (let i = 0; i < cells; i++) {
      const word = (theirCellsOffset + i * DIGEST_CELL.stride) >>> 2;
      if (
        ((u32[word] as number) | (u32[word + 1] as number) | (u32[word + 2] as number) | (u32[word + 3] as number)) !==
        0
      )
        return -1;
    }
    return found;
  }

  match(count: number): number {
    checkCount('count', count, 0, this.#sections.nameCapacity);
    const { u32 } = this;
    const { lookupOffset, lookupSize, namesOffset, slotsOffset, itemsOffset } = this.#sections;
    const lookup = lookupOffset >>> 2;
    const names = namesOffset >>> 2;
    const slots = slotsOffset >>> 2;
    const items = itemsOffset >>> 2;
    u32.fill(0, lookup, lookup + lookupSize * LOOKUP.stride);
    for (let i = 0; i < count; i++) {
      const name = u32[names + i] as number;
      const entry = this.#find(name);
      u32[entry] = name;
      u32[entry + LOOKUP.flags] = (u32[entry + LOOKUP.flags] as number) | FLAG.wanted;
    }
    const rows = this.#rows();
    let matched = 0;
    for (let slot = 0; slot < rows; slot++) {
      const name = u32[items + 2 * slot + 1] as number;
      if (name === 0) continue;
      const entry = this.#find(name);
      if (u32[entry + LOOKUP.flags] === 0) continue;
      u32[entry + LOOKUP.flags] = (u32[entry + LOOKUP.flags] as number) | FLAG.matched;
      u32[slots + matched++] = slot;
    }
    let left = 0;
    for (let i = 0; i < count; i++) {
      const name = u32[names + i] as number;
      const entry = this.#find(name);
      if (u32[entry + LOOKUP.flags] !== FLAG.wanted) continue;
      u32[entry + LOOKUP.flags] = FLAG.wanted | FLAG.listed;
      u32[names + left++] = name;
    }
    u32[DIGEST.unmatched >>> 2] = left;
    return matched;
  }

  hashValues(source: Uint8Array, ends: Uint8Array, out: Uint8Array, seed: number): number {
    const count = Math.min(ends.length >>> 2, out.length >>> 3);
    const hash = this.#hash;
    let start = 0;
    for (let i = 0; i < count; i++) {
      const end = wordAt(ends, 4 * i);
      if (end < start || end > source.length) return i;
      hash.xxh3(source, start, end - start, seed, 0);
      for (let k = 0; k < 4; k++) {
        out[8 * i + k] = hash.low >>> (8 * k);
        out[8 * i + 4 + k] = hash.high >>> (8 * k);
      }
      start = end;
    }
    return count;
  }

  #rows(): number {
    return Math.min(this.u32[DIGEST.rows >>> 2] as number, this.#sections.capacity);
  }

  #checkCells(cells: number): void {
    checkCount('cells', cells, 4, this.#sections.cellCapacity);
    checkCount('cells / 4', cells / 4, 1, this.#sections.cellCapacity);
  }

  /**
   * The four cells of an item, one in each quarter, as word offsets relative to the first cell; returns its check. Four and not three: two items in the
   * same cells cannot be told apart, and in small sketches that is what fails.
   */
  #place(state: number, name: number, quarter: number): number {
    const hash = this.#hash;
    const positions = this.#positions;
    hash.mix(state, name);
    const check = hash.low;
    positions[0] = 4 * Math.floor((hash.high * quarter) / TWO_32);
    hash.mix(hash.low, hash.high);
    positions[1] = 4 * (quarter + Math.floor((hash.low * quarter) / TWO_32));
    positions[2] = 4 * (2 * quarter + Math.floor((hash.high * quarter) / TWO_32));
    positions[3] = 4 * (3 * quarter + Math.floor((check * quarter) / TWO_32));
    return check;
  }

  #toggle(cells: number, state: number, name: number, check: number, by: number): void {
    const { u32 } = this;
    for (let j = 0; j < 4; j++) {
      const cell = cells + (this.#positions[j] as number);
      u32[cell] = (u32[cell] as number) ^ state;
      u32[cell + 1] = (u32[cell + 1] as number) ^ name;
      u32[cell + 2] = (u32[cell + 2] as number) ^ check;
      u32[cell + 3] = ((u32[cell + 3] as number) + by) & 255;
    }
  }

  #fillOwn(cells: number): void {
    const { u32 } = this;
    const own = this.#sections.ownCellsOffset >>> 2;
    const items = this.#sections.itemsOffset >>> 2;
    u32.fill(0, own, own + 4 * cells);
    const quarter = cells / 4;
    const rows = this.#rows();
    for (let slot = 0; slot < rows; slot++) {
      const state = u32[items + 2 * slot] as number;
      if (state === 0) continue;
      const name = u32[items + 2 * slot + 1] as number;
      const check = this.#place(state, name, quarter);
      this.#toggle(own, state, name, check, 1);
    }
  }

  /** Takes items out of cells that hold just one, as long as there are any. Returns how many, -1 when there are too many. */
  #peelAll(cells: number): number {
    const { u32 } = this;
    const first = this.#sections.theirCellsOffset >>> 2;
    const names = this.#sections.namesOffset >>> 2;
    const limit = Math.min(cells, this.#sections.nameCapacity);
    const quarter = cells / 4;
    let found = 0;
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const before = found;
      for (let i = 0; i < cells; i++) {
        const cell = first + 4 * i;
        const count = u32[cell + 3] as number;
        if (count !== 1 && count !== 255) continue;
        const state = u32[cell] as number;
        const name = u32[cell + 1] as number;
        const check = this.#place(state, name, quarter);
        if (u32[cell + 2] !== check || this.#positions[Math.floor(i / quarter)] !== 4 * i) continue;
        if (found === limit) return -1;
        u32[names + found++] = name;
        this.#toggle(first, state, name, check, count === 1 ? 255 : 1);
      }
      if (found === before) break;
    }
    return found;
  }

  /** Word offset of the lookup entry of a name, or of the free one where it belongs. There always is a free one. */
  #find(name: number): number {
    const { lookupOffset, lookupSize } = this.#sections;
    const lookup = lookupOffset >>> 2;
    let at = (Math.imul(name, GOLDEN) >>> 0) & (lookupSize - 1);
    for (;;) {
      const entry = lookup + at * LOOKUP.stride;
      if (this.u32[entry + LOOKUP.flags] === 0 || this.u32[entry] === name) return entry;
      at = (at + 1) & (lookupSize - 1);
    }
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}
