import { internerSections } from '../arenas/interner.ts';
import type { Arena, Interner } from '../contract.ts';
import { BLOCK_BYTES_MAX, HEADER, INTERNER, INTERNER_ENTRY } from '../layout.ts';
import { BlockHeap } from './block-heap.ts';
import type { Hash64 } from './hash64.ts';

const LIVE = HEADER.live >>> 2;
const FREE_ID = INTERNER.freeId >>> 2;
const ID_TOP = INTERNER.idTop >>> 2;
const HASH_SEED = INTERNER.hashSeed >>> 2;
const BUCKETS = INTERNER.bucketsOffset >>> 2;
const HASH = INTERNER_ENTRY.hash >>> 2;
const NEXT = INTERNER_ENTRY.next >>> 2;
const OFFSET = INTERNER_ENTRY.offset >>> 2;
const LENGTH = INTERNER_ENTRY.length >>> 2;
const REFS = INTERNER_ENTRY.refs >>> 2;
const ENTRY_EPOCH = INTERNER_ENTRY.hashEpoch >>> 2;
const HASH_LOW = INTERNER_ENTRY.hash64 >>> 2;
const STRIDE = INTERNER_ENTRY.stride >>> 2;
const HASH_KEY = INTERNER.hashKey >>> 2;
const HASH_EPOCH = INTERNER.hashEpoch >>> 2;

/** MurmurHash3 x86_32 (Austin Appleby, public domain) of `length` bytes from `at`. Reads bytes, so any alignment will do. */
export function murmur3(bytes: Uint8Array, at: number, length: number, seed: number): number {
  let h = seed | 0;
  const end = at + (length & ~3);
  let i = at;
  for (; i < end; i += 4) {
    let k =
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24);
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  const rest = length & 3;
  if (rest > 0) {
    let k = bytes[i] as number;
    if (rest > 1) k |= (bytes[i + 1] as number) << 8;
    if (rest > 2) k |= (bytes[i + 2] as number) << 16;
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
  }
  h ^= length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** TypeScript twin of the interner: the specification that native/kernels/interner.hpp follows byte for byte. */
export class JsInterner implements Interner {
  readonly backend = 'js';
  #arena!: Arena;
  #u8!: Uint8Array;
  #u32!: Uint32Array;
  #heap!: BlockHeap;
  #capacity = 0;
  #bucketMask = 0;
  #entries = 0;
  #heapOffset = 0;
  #heapBytes = 0;

  /** Attaches to an arena of createInternerArena(). Throws ERR_ARENA_INVALID when it is none. */
  constructor(arena: Arena) {
    this.rehome(arena);
  }

  get arena(): Arena {
    return this.#arena;
  }
  get u8(): Uint8Array {
    return this.#u8;
  }
  get u32(): Uint32Array {
    return this.#u32;
  }
  get capacity(): number {
    return this.#capacity;
  }

  rehome(arena: Arena): void {
    const sections = internerSections(arena);
    this.#arena = arena;
    this.#u8 = new Uint8Array(arena);
    this.#u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
    this.#capacity = sections.capacity;
    this.#bucketMask = sections.bucketCount - 1;
    this.#entries = sections.entriesOffset >>> 2;
    this.#heapOffset = sections.heapOffset;
    this.#heapBytes = sections.heapBytes;
    this.#heap = new BlockHeap(
      this.#u8,
      this.#u32,
      INTERNER.headsOffset,
      INTERNER.heapTop,
      sections.heapOffset,
      sections.heapBytes,
    );
  }

  intern(bytes: Uint8Array): number {
    return this.internAt(bytes, 0, bytes.length);
  }

  lookup(bytes: Uint8Array): number {
    return this.lookupAt(bytes, 0, bytes.length);
  }

  /** intern() of a part of `bytes`, for callers that would have to make a view first. */
  internAt(bytes: Uint8Array, at: number, length: number): number {
    if (length > BLOCK_BYTES_MAX) return 0;
    const u32 = this.#u32;
    const hash = murmur3(bytes, at, length, u32[HASH_SEED] as number);
    const known = this.#search(bytes, at, length, hash);
    if (known !== 0) {
      this.retain(known);
      return known;
    }
    const freeId = u32[FREE_ID] as number;
    let id = 0;
    if (freeId !== 0 && freeId <= this.#capacity) id = freeId;
    else if ((u32[ID_TOP] as number) < this.#capacity) id = (u32[ID_TOP] as number) + 1;
    if (id === 0) return 0;
    const offset = this.#heap.alloc(length);
    if (offset < 0) return 0;
    const entry = this.#entries + (id - 1) * STRIDE;
    if (id === freeId) u32[FREE_ID] = u32[entry + NEXT] as number;
    else u32[ID_TOP] = id;
    const bucket = BUCKETS + (hash & this.#bucketMask);
    u32[entry + HASH] = hash;
    u32[entry + NEXT] = u32[bucket] as number;
    u32[entry + OFFSET] = offset;
    u32[entry + LENGTH] = length;
    u32[entry + REFS] = 1;
    u32[bucket] = id;
    u32[LIVE] = (u32[LIVE] as number) + 1;
    const to = this.#heapOffset + offset;
    const u8 = this.#u8;
    for (let i = 0; i < length; i++) u8[to + i] = bytes[at + i] as number;
    return id;
  }

  /** lookup() of a part of `bytes`. */
  lookupAt(bytes: Uint8Array, at: number, length: number): number {
    if (length > BLOCK_BYTES_MAX) return 0;
    return this.#search(bytes, at, length, murmur3(bytes, at, length, this.#u32[HASH_SEED] as number));
  }

  retain(id: number): void {
    if (!this.#isUsed(id)) return;
    const refs = this.#entries + (id - 1) * STRIDE + REFS;
    // A count at its end stays there: such a string is never freed, which is a leak but never a dangling id.
    if (this.#u32[refs] !== 0xffffffff) this.#u32[refs] = (this.#u32[refs] as number) + 1;
  }

  release(id: number): void {
    if (!this.#isUsed(id)) return;
    const u32 = this.#u32;
    const entry = this.#entries + (id - 1) * STRIDE;
    const refs = u32[entry + REFS] as number;
    if (refs === 0xffffffff) return;
    u32[entry + REFS] = refs - 1;
    if (refs > 1) return;

    let link = BUCKETS + ((u32[entry + HASH] as number) & this.#bucketMask);
    for (let steps = 0; steps < this.#capacity; steps++) {
      const next = u32[link] as number;
      if (next === id) {
        u32[link] = u32[entry + NEXT] as number;
        break;
      }
      if (next === 0 || next > this.#capacity) break;
      link = this.#entries + (next - 1) * STRIDE + NEXT;
    }
    this.#heap.free(u32[entry + OFFSET] as number, u32[entry + LENGTH] as number);
    u32[entry + HASH] = 0;
    u32[entry + OFFSET] = 0;
    u32[entry + LENGTH] = 0;
    u32[entry + ENTRY_EPOCH] = 0;
    u32[entry + HASH_LOW] = 0;
    u32[entry + HASH_LOW + 1] = 0;
    u32[entry + NEXT] = u32[FREE_ID] as number;
    u32[FREE_ID] = id;
    u32[LIVE] = (u32[LIVE] as number) - 1;
  }

  bytes(id: number): Uint8Array {
    const offset = this.offsetOf(id);
    return this.#u8.subarray(offset, offset + this.lengthOf(id));
  }

  /** Absolute offset of the bytes of an id in `u8`; 0 when the id is not in use. */
  offsetOf(id: number): number {
    return this.#isUsed(id) ? this.#heapOffset + (this.#u32[this.#entries + (id - 1) * STRIDE + OFFSET] as number) : 0;
  }

  /** Length of the bytes of an id; 0 when the id is not in use. */
  lengthOf(id: number): number {
    return this.#isUsed(id) ? (this.#u32[this.#entries + (id - 1) * STRIDE + LENGTH] as number) : 0;
  }

  /** Chooses the key of hash64(): four words. Hashes kept under another key no longer count. */
  setHashKey(key: ArrayLike<number>): void {
    const u32 = this.#u32;
    const epoch = u32[HASH_EPOCH] as number;
    let isSame = epoch !== 0;
    for (let i = 0; i < 4; i++) if (u32[HASH_KEY + i] !== key[i]) isSame = false;
    if (isSame) return;
    for (let i = 0; i < 4; i++) u32[HASH_KEY + i] = key[i] as number;
    // After 2^32 keys hashes of the first would count again: by then they have long been replaced.
    u32[HASH_EPOCH] = epoch === 0xffffffff ? 1 : epoch + 1;
  }

  /** SipHash-2-4 of the bytes of an id under the key of setHashKey(), 0 for an id that is not in use; kept until the key changes. */
  hash64(id: number, out: Hash64): void {
    if (!this.#isUsed(id)) {
      out.low = 0;
      out.high = 0;
      return;
    }
    const u32 = this.#u32;
    const entry = this.#entries + (id - 1) * STRIDE;
    if (u32[entry + ENTRY_EPOCH] === u32[HASH_EPOCH]) {
      out.low = u32[entry + HASH_LOW] as number;
      out.high = u32[entry + HASH_LOW + 1] as number;
      return;
    }
    const key = u32.subarray(HASH_KEY, HASH_KEY + 4);
    out.siphash24(this.#u8, this.#heapOffset + (u32[entry + OFFSET] as number), u32[entry + LENGTH] as number, key);
    u32[entry + HASH_LOW] = out.low;
    u32[entry + HASH_LOW + 1] = out.high;
    u32[entry + ENTRY_EPOCH] = u32[HASH_EPOCH] as number;
  }

  /** In use, and with its bytes inside the heap section. */
  #isUsed(id: number): boolean {
    if (!(id >= 1 && id <= this.#capacity)) return false;
    const entry = this.#entries + (id - 1) * STRIDE;
    if (this.#u32[entry + REFS] === 0) return false;
    return (this.#u32[entry + OFFSET] as number) + (this.#u32[entry + LENGTH] as number) <= this.#heapBytes;
  }

  #search(bytes: Uint8Array, at: number, length: number, hash: number): number {
    const u32 = this.#u32;
    const u8 = this.#u8;
    let id = u32[BUCKETS + (hash & this.#bucketMask)] as number;
    for (let steps = 0; id !== 0 && id <= this.#capacity && steps < this.#capacity; steps++) {
      const entry = this.#entries + (id - 1) * STRIDE;
      if (u32[entry + HASH] === hash && u32[entry + LENGTH] === length && this.#isUsed(id)) {
        const from = this.#heapOffset + (u32[entry + OFFSET] as number);
        let i = 0;
        while (i < length && u8[from + i] === bytes[at + i]) i++;
        if (i === length) return id;
      }
      id = u32[entry + NEXT] as number;
    }
    return 0;
  }
}
