import type { Arena } from '../contract.ts';
import { align8, DIGEST, DIGEST_CELL, DIGEST_ITEM, HEADER, KERNEL_ID } from '../layout.ts';
import { allocateArena, checkArenaEnd, checkArenaHeader, checkCount, writeArenaHeader } from './header.ts';

/** Capacities of a digest. */
export interface DigestArenaOptions {
  /** Rows of the largest table. */
  readonly capacity: number;
  /** Cells of the largest sketch, ours or theirs. Default 6144, for some 4,000 differing items. */
  readonly cellCapacity?: number;
  /** Most ranges. Default 1024. */
  readonly rangeCapacity?: number;
  /** Names that peel() may find, or that match() looks for. Default 8192. */
  readonly nameCapacity?: number;
  readonly shared?: boolean;
}

/** Where the sections of a digest arena lie. */
export interface DigestSections {
  readonly capacity: number;
  readonly cellCapacity: number;
  readonly rangeCapacity: number;
  readonly nameCapacity: number;
  readonly lookupSize: number;
  readonly itemsOffset: number;
  readonly rangesOffset: number;
  readonly ownCellsOffset: number;
  readonly theirCellsOffset: number;
  readonly namesOffset: number;
  readonly slotsOffset: number;
  readonly lookupOffset: number;
  readonly end: number;
}

const ROWS_MAX = 1 << 21;
/** Positions in a sketch are exact in doubles below 2^21. */
const CELLS_MAX = 1 << 20;
const LOOKUP_BYTES = 8;

function sectionsOf(
  capacity: number,
  cellCapacity: number,
  rangeCapacity: number,
  nameCapacity: number,
  lookupSize: number,
): DigestSections {
  const itemsOffset = DIGEST.itemsOffset;
  const rangesOffset = itemsOffset + capacity * DIGEST_ITEM.stride;
  const ownCellsOffset = rangesOffset + rangeCapacity * 8;
  const theirCellsOffset = ownCellsOffset + cellCapacity * DIGEST_CELL.stride;
  const namesOffset = theirCellsOffset + cellCapacity * DIGEST_CELL.stride;
  const slotsOffset = namesOffset + align8(nameCapacity * 4);
  const lookupOffset = slotsOffset + align8(capacity * 4);
  return {
    capacity,
    cellCapacity,
    rangeCapacity,
    nameCapacity,
    lookupSize,
    itemsOffset,
    rangesOffset,
    ownCellsOffset,
    theirCellsOffset,
    namesOffset,
    slotsOffset,
    lookupOffset,
    end: lookupOffset + lookupSize * LOOKUP_BYTES,
  };
}

/** A fresh arena; the key is all zero until the caller writes one. */
export function createDigestArena(options: DigestArenaOptions): Arena {
  const { capacity, cellCapacity = 6144, rangeCapacity = 1024, nameCapacity = 8192 } = options;
  checkCount('capacity', capacity, 1, ROWS_MAX);
  checkCount('cellCapacity', cellCapacity, 4, CELLS_MAX);
  checkCount('rangeCapacity', rangeCapacity, 1, 1 << 16);
  checkCount('nameCapacity', nameCapacity, 1, CELLS_MAX);
  let lookupSize = 2;
  while (lookupSize < 2 * nameCapacity) lookupSize *= 2;
  const { end } = sectionsOf(capacity, cellCapacity, rangeCapacity, nameCapacity, lookupSize);
  const arena = allocateArena(end, options.shared ?? false);
  writeArenaHeader(arena, KERNEL_ID.digest, capacity);
  const u32 = new Uint32Array(arena, 0, DIGEST.itemsOffset / 4);
  u32[DIGEST.cellCapacity / 4] = cellCapacity;
  u32[DIGEST.rangeCapacity / 4] = rangeCapacity;
  u32[DIGEST.nameCapacity / 4] = nameCapacity;
  u32[DIGEST.lookupSize / 4] = lookupSize;
  return arena;
}

/** Sections of an existing arena; throws ERR_ARENA_INVALID when it is none of a digest or too short. */
export function digestSections(arena: Arena): DigestSections {
  checkArenaHeader(arena, KERNEL_ID.digest, 'digest');
  checkArenaEnd(arena, DIGEST.itemsOffset, 'digest');
  const u32 = new Uint32Array(arena, 0, DIGEST.itemsOffset / 4);
  const word = (offset: number): number => u32[offset / 4] as number;
  const lookupSize = word(DIGEST.lookupSize);
  const capacity = word(HEADER.capacity);
  const nameCapacity = word(DIGEST.nameCapacity);
  const isSane =
    lookupSize >= 2 &&
    (lookupSize & (lookupSize - 1)) === 0 &&
    lookupSize >= 2 * nameCapacity &&
    capacity <= ROWS_MAX &&
    nameCapacity <= CELLS_MAX &&
    word(DIGEST.cellCapacity) <= CELLS_MAX;
  const sections = sectionsOf(
    capacity,
    word(DIGEST.cellCapacity),
    word(DIGEST.rangeCapacity),
    nameCapacity,
    lookupSize,
  );
  checkArenaEnd(arena, isSane ? sections.end : Number.POSITIVE_INFINITY, 'digest');
  return sections;
}

/** An arena for larger tables. Nothing of the old one is kept but the other sizes: a digest lives for one call. */
export function grownDigestArena(old: Arena, options: { readonly capacity: number }): Arena {
  const { capacity, cellCapacity, rangeCapacity, nameCapacity } = digestSections(old);
  return createDigestArena({
    capacity: Math.max(capacity, options.capacity),
    cellCapacity,
    rangeCapacity,
    nameCapacity,
    shared: old instanceof SharedArrayBuffer,
  });
}
