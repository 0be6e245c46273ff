import type { Arena } from '../contract.ts';
import {
  align8,
  DELTA,
  DELTA_BLOCK_BYTES_MAX,
  DELTA_COLUMNS,
  DELTA_ENTRY,
  DELTA_ROW_BYTES_MAX,
  HEADER,
  KERNEL_ID,
} from '../layout.ts';
import { allocateArena, checkArenaEnd, checkArenaHeader, checkCount, writeArenaHeader } from './header.ts';

/** Capacities of a delta. */
export interface DeltaArenaOptions {
  /** Rows per encode(). */
  readonly capacity: number;
  /** Longest block. Default 32 KiB. */
  readonly blockBytes?: number;
  /** Strings of a block that later rows may refer to, a power of two. Default 1024. */
  readonly dictionaryCapacity?: number;
  readonly shared?: boolean;
}

/** Where the sections of a delta arena lie. */
export interface DeltaSections {
  readonly capacity: number;
  readonly blockBytes: number;
  readonly dictionaryCapacity: number;
  readonly slotsOffset: number;
  readonly outOffset: number;
  readonly columnsOffset: number;
  /** From one column to the next. */
  readonly columnStride: number;
  readonly dictionaryOffset: number;
  readonly bucketsOffset: number;
  readonly end: number;
}

const ROWS_MAX = 1 << 21;
const DICTIONARY_MAX = 1 << 16;

function sectionsOf(capacity: number, blockBytes: number, dictionaryCapacity: number): DeltaSections {
  const slotsOffset = DELTA.slotsOffset;
  const outOffset = slotsOffset + align8(capacity * 4);
  const columnsOffset = outOffset + align8(blockBytes);
  const columnStride = align8(blockBytes + DELTA_ROW_BYTES_MAX);
  const dictionaryOffset = columnsOffset + DELTA_COLUMNS * columnStride;
  const bucketsOffset = dictionaryOffset + dictionaryCapacity * DELTA_ENTRY.stride;
  return {
    capacity,
    blockBytes,
    dictionaryCapacity,
    slotsOffset,
    outOffset,
    columnsOffset,
    columnStride,
    dictionaryOffset,
    bucketsOffset,
    end: bucketsOffset + 2 * dictionaryCapacity * 4,
  };
}

const isPowerOfTwo = (value: number): boolean => value >= 1 && (value & (value - 1)) === 0;

/** A fresh arena. */
export function createDeltaArena(options: DeltaArenaOptions): Arena {
  const { capacity, blockBytes = 32768, dictionaryCapacity = 1024 } = options;
  checkCount('capacity', capacity, 1, ROWS_MAX);
  checkCount('blockBytes', blockBytes, 64, DELTA_BLOCK_BYTES_MAX);
  checkCount('dictionaryCapacity', isPowerOfTwo(dictionaryCapacity) ? dictionaryCapacity : 0, 1, DICTIONARY_MAX);
  const arena = allocateArena(sectionsOf(capacity, blockBytes, dictionaryCapacity).end, options.shared ?? false);
  writeArenaHeader(arena, KERNEL_ID.delta, capacity);
  const u32 = new Uint32Array(arena, 0, DELTA.slotsOffset / 4);
  u32[DELTA.blockBytes / 4] = blockBytes;
  u32[DELTA.dictionaryCapacity / 4] = dictionaryCapacity;
  return arena;
}

/** Sections of an existing arena; throws ERR_ARENA_INVALID when it is none of a delta or too short. */
export function deltaSections(arena: Arena): DeltaSections {
  checkArenaHeader(arena, KERNEL_ID.delta, 'delta');
  checkArenaEnd(arena, DELTA.slotsOffset, 'delta');
  const u32 = new Uint32Array(arena, 0, DELTA.slotsOffset / 4);
  const word = (offset: number): number => u32[offset / 4] as number;
  const capacity = word(HEADER.capacity);
  const blockBytes = word(DELTA.blockBytes);
  const dictionaryCapacity = word(DELTA.dictionaryCapacity);
  const isSane =
    capacity <= ROWS_MAX &&
    blockBytes <= DELTA_BLOCK_BYTES_MAX &&
    isPowerOfTwo(dictionaryCapacity) &&
    dictionaryCapacity <= DICTIONARY_MAX;
  const sections = sectionsOf(isSane ? capacity : 0, isSane ? blockBytes : 0, isSane ? dictionaryCapacity : 1);
  checkArenaEnd(arena, isSane ? sections.end : Number.POSITIVE_INFINITY, 'delta');
  return sections;
}

/** An arena for more rows per call. Nothing of the old one is kept but the other sizes: a delta lives for one call. */
export function grownDeltaArena(old: Arena, options: { readonly capacity: number }): Arena {
  const { capacity, blockBytes, dictionaryCapacity } = deltaSections(old);
  return createDeltaArena({
    capacity: Math.max(capacity, options.capacity),
    blockBytes,
    dictionaryCapacity,
    shared: old instanceof SharedArrayBuffer,
  });
}
