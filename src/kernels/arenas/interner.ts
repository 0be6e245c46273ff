import type { Arena } from '../contract.ts';
import { align8, BLOCK_CLASS_BYTES, HEADER, INTERNER, INTERNER_ENTRY, KERNEL_ID } from '../layout.ts';
import { allocateArena, checkArenaEnd, checkArenaHeader, checkCount, writeArenaHeader } from './header.ts';

export interface InternerArenaOptions {
  /** Most byte strings held at once. */
  readonly capacity: number;
  /** Room for their bytes; each takes its length rounded up to 16. */
  readonly heapBytes: number;
  /** Seed of the hash, so that names from the network cannot be chosen to collide. Default 0. */
  readonly hashSeed?: number;
  /** True when other threads read names and profiles. Default false. */
  readonly shared?: boolean;
}

export interface GrownInternerArenaOptions {
  /** Default: as before. */
  readonly capacity?: number;
  /** Default: as before. */
  readonly heapBytes?: number;
  readonly shared?: boolean;
}

/** Where the sections of an interner arena lie. All absolute byte offsets. */
export interface InternerSections {
  readonly capacity: number;
  readonly bucketCount: number;
  readonly heapBytes: number;
  readonly entriesOffset: number;
  readonly heapOffset: number;
  readonly end: number;
}

const CAPACITY_MAX = 1 << 24;
const HEAP_BYTES_MAX = 0x7ffffff0;

/** Index in the arena's words of the entry of an id. */
export function internerEntry(u32: Uint32Array, id: number): number {
  const entriesOffset = INTERNER.bucketsOffset + (u32[INTERNER.bucketCount >>> 2] as number) * 4;
  return (entriesOffset + (id - 1) * INTERNER_ENTRY.stride) >>> 2;
}

/** Reads the sections out of the header; throws ERR_ARENA_INVALID when they do not fit the arena. */
export function internerSections(arena: Arena): InternerSections {
  checkArenaHeader(arena, KERNEL_ID.interner, 'interner');
  const u32 = new Uint32Array(arena, 0, INTERNER.headsOffset / 4);
  const capacity = u32[HEADER.capacity / 4] as number;
  const bucketCount = u32[INTERNER.bucketCount / 4] as number;
  const heapBytes = u32[INTERNER.heapBytes / 4] as number;
  const entriesOffset = INTERNER.bucketsOffset + bucketCount * 4;
  const heapOffset = entriesOffset + capacity * INTERNER_ENTRY.stride;
  const end = heapOffset + heapBytes;
  const isPower = bucketCount >= 2 && (bucketCount & (bucketCount - 1)) === 0;
  checkArenaEnd(arena, isPower ? end : Number.POSITIVE_INFINITY, 'interner');
  return { capacity, bucketCount, heapBytes, entriesOffset, heapOffset, end };
}

/** A new, empty interner. */
export function createInternerArena(options: InternerArenaOptions): Arena {
  checkCount('capacity', options.capacity, 1, CAPACITY_MAX);
  checkCount('heapBytes', options.heapBytes, 0, HEAP_BYTES_MAX);
  const heapBytes = (options.heapBytes + 15) & ~15;
  let bucketCount = 2;
  while (bucketCount < 2 * options.capacity) bucketCount *= 2;
  const heapOffset = INTERNER.bucketsOffset + bucketCount * 4 + options.capacity * INTERNER_ENTRY.stride;
  const arena = allocateArena(align8(heapOffset + heapBytes), options.shared ?? false);
  writeArenaHeader(arena, KERNEL_ID.interner, options.capacity);
  const u32 = new Uint32Array(arena, 0, INTERNER.headsOffset / 4);
  u32[INTERNER.bucketCount / 4] = bucketCount;
  u32[INTERNER.heapBytes / 4] = heapBytes;
  u32[INTERNER.hashSeed / 4] = (options.hashSeed ?? 0) >>> 0;
  return arena;
}

/** Bytes that the strings in use take in the heap. What is freed is kept by size and waits for a string of that size, so `heapTop` may be far above. */
export function internerUsedBytes(arena: Arena): number {
  const { entriesOffset } = internerSections(arena);
  const u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
  const idTop = u32[INTERNER.idTop / 4] as number;
  let used = 0;
  for (let id = 1; id <= idTop; id++) {
    const entry = (entriesOffset + (id - 1) * INTERNER_ENTRY.stride) >>> 2;
    if (u32[entry + INTERNER_ENTRY.refs / 4] !== 0)
      used += blockBytes(u32[entry + INTERNER_ENTRY.length / 4] as number);
  }
  return used;
}

/** What a string of this length takes in a heap. */
function blockBytes(length: number): number {
  return Math.max(1, Math.ceil(length / BLOCK_CLASS_BYTES)) * BLOCK_CLASS_BYTES;
}

/**
 * The same byte strings under the same ids, with more room. The heap is packed: no freed block is left, so whoever makes a member's
 * metadata longer step by step cannot fill memory with blocks of sizes that nobody needs any more. Chains are linked anew in ascending
 * id order, so each is newest id first, as a fresh interner without freed ids has them.
 */
export function grownInternerArena(old: Arena, options: GrownInternerArenaOptions): Arena {
  const from = internerSections(old);
  const capacity = options.capacity ?? from.capacity;
  const heapBytes = options.heapBytes ?? from.heapBytes;
  checkCount('capacity', capacity, from.capacity, CAPACITY_MAX);
  checkCount('heapBytes', heapBytes, from.heapBytes, HEAP_BYTES_MAX);
  const oldU8 = new Uint8Array(old);
  const oldU32 = new Uint32Array(old, 0, INTERNER.headsOffset / 4);
  const arena = createInternerArena({
    capacity,
    heapBytes,
    hashSeed: oldU32[INTERNER.hashSeed / 4] as number,
    shared: options.shared ?? old instanceof SharedArrayBuffer,
  });
  const to = internerSections(arena);
  const u8 = new Uint8Array(arena);
  const u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
  for (const field of [
    HEADER.live,
    HEADER.seq,
    HEADER.changeCount,
    INTERNER.freeId,
    INTERNER.idTop,
    INTERNER.hashKey,
    INTERNER.hashKey + 4,
    INTERNER.hashKey + 8,
    INTERNER.hashKey + 12,
    INTERNER.hashEpoch,
  ]) {
    u32[field / 4] = oldU32[field / 4] as number;
  }
  u8.set(oldU8.subarray(from.entriesOffset, from.heapOffset), to.entriesOffset);

  const idTop = u32[INTERNER.idTop / 4] as number;
  let top = 0;
  for (let id = 1; id <= idTop; id++) {
    const entry = (to.entriesOffset + (id - 1) * INTERNER_ENTRY.stride) >>> 2;
    if (u32[entry + INTERNER_ENTRY.refs / 4] === 0) continue; // free: `next` links the free ids
    const length = u32[entry + INTERNER_ENTRY.length / 4] as number;
    const start = from.heapOffset + (u32[entry + INTERNER_ENTRY.offset / 4] as number);
    u8.set(oldU8.subarray(start, start + length), to.heapOffset + top);
    u32[entry + INTERNER_ENTRY.offset / 4] = top;
    top += blockBytes(length);
    const bucket =
      (INTERNER.bucketsOffset >>> 2) + ((u32[entry + INTERNER_ENTRY.hash / 4] as number) & (to.bucketCount - 1));
    u32[entry + INTERNER_ENTRY.next / 4] = u32[bucket] as number;
    u32[bucket] = id;
  }
  u32[INTERNER.heapTop / 4] = top;
  return arena;
}
