import { HearsayError } from '../../util/errors.ts';
import type { Arena } from '../contract.ts';
import {
  align8,
  BLOCK_BYTES_MAX,
  HEADER,
  KERNEL_ID,
  QUEUE,
  QUEUE_ENTRY,
  QUEUE_ITEM,
  QUEUE_PACKET,
  QUEUE_REQUEST,
} from '../layout.ts';
import { allocateArena, checkArenaEnd, checkArenaHeader, checkCount, writeArenaHeader } from './header.ts';

/** Sizes of a broadcast queue. Everything is allocated at once and never grows by itself. */
export interface BroadcastQueueArenaOptions {
  /** Messages waiting at most. */
  capacity: number;
  /** Bytes of the heap; queued messages may fill three quarters of it. At least 4,096. */
  heapBytes: number;
  /** Packets one fill() can make. */
  requestCapacity: number;
  /** Tokens one call can report. Raised to capacity + inItemCapacity when lower, so that none is ever lost. */
  finishedCapacity: number;
  /** Bytes of the section that message bytes are handed in through. */
  inBytes: number;
  /** Bytes of the section that packets are made in. */
  outBytes: number;
  /** Messages one enqueue() can take. */
  inItemCapacity: number;
  /** True makes a SharedArrayBuffer. */
  shared: boolean;
}

/** Absolute offsets of the sections, and where the last one ends. */
export interface BroadcastQueueSections {
  readonly requests: number;
  readonly packets: number;
  readonly finished: number;
  readonly items: number;
  readonly entries: number;
  readonly order0: number;
  readonly order1: number;
  readonly index: number;
  readonly heap: number;
  readonly in: number;
  readonly out: number;
  readonly byteLength: number;
}

type Sizes = Omit<BroadcastQueueArenaOptions, 'shared'>;
const SIZE_NAMES = [
  'capacity',
  'heapBytes',
  'requestCapacity',
  'finishedCapacity',
  'inBytes',
  'outBytes',
  'inItemCapacity',
] as const satisfies readonly (keyof Sizes)[];

/** Keeps every offset and every `length + 2` sum far inside 31 bits. */
const SIZE_MAX = 1 << 28;

/** A fresh, empty queue. Throws ERR_ARGUMENT_INVALID for sizes that cannot work. */
export function createBroadcastQueueArena(options: BroadcastQueueArenaOptions): Arena {
  const sizes = checkedSizes(options);
  const buckets = indexBucketsFor(sizes.capacity);
  const sections = sectionsFor(sizes, buckets);
  const arena = allocateArena(sections.byteLength, options.shared);
  writeArenaHeader(arena, KERNEL_ID.broadcastQueue, sizes.capacity);
  const u32 = new Uint32Array(arena);
  u32[QUEUE.heapBytes >> 2] = sizes.heapBytes;
  u32[QUEUE.indexBuckets >> 2] = buckets;
  u32[QUEUE.requestCapacity >> 2] = sizes.requestCapacity;
  u32[QUEUE.finishedCapacity >> 2] = sizes.finishedCapacity;
  u32[QUEUE.inBytes >> 2] = sizes.inBytes;
  u32[QUEUE.outBytes >> 2] = sizes.outBytes;
  u32[QUEUE.inItemCapacity >> 2] = sizes.inItemCapacity;
  new Float64Array(arena)[QUEUE.nextId >> 3] = 1;
  return arena;
}

/**
 * A bigger arena with the same content, to hand to rehome(). Sizes not given stay as they are; none gets smaller.
 * Messages handed in, requests, and packets made but not yet sent come along.
 */
export function grownBroadcastQueueArena(old: Arena, sizes: Partial<Sizes>): Arena {
  const from = broadcastQueueSections(old);
  const source = new Uint32Array(old);
  const before = sizesIn(source);
  const wanted = { ...before };
  for (const name of SIZE_NAMES) wanted[name] = Math.max(before[name], sizes[name] ?? 0);
  const arena = createBroadcastQueueArena({ ...wanted, shared: old instanceof SharedArrayBuffer });
  const to = broadcastQueueSections(arena);
  const u32 = new Uint32Array(arena);

  for (const word of KEPT_WORDS) u32[word >> 2] = source[word >> 2] as number;
  const copy = (fromOffset: number, toOffset: number, bytes: number): void => {
    new Uint8Array(arena, toOffset, bytes).set(new Uint8Array(old, fromOffset, bytes));
  };
  copy(from.requests, to.requests, before.requestCapacity * QUEUE_REQUEST.stride);
  copy(from.packets, to.packets, before.requestCapacity * QUEUE_PACKET.stride);
  copy(from.finished, to.finished, before.finishedCapacity * 4);
  copy(from.items, to.items, before.inItemCapacity * QUEUE_ITEM.stride);
  copy(from.entries, to.entries, before.capacity * QUEUE_ENTRY.stride);
  copy(from.order0, to.order0, before.capacity * 4);
  copy(from.order1, to.order1, before.capacity * 4);
  copy(from.heap, to.heap, before.heapBytes);
  copy(from.in, to.in, before.inBytes);
  copy(from.out, to.out, before.outBytes);

  for (let i = 0; i < before.requestCapacity; i++) {
    const at = (to.packets + i * QUEUE_PACKET.stride + QUEUE_PACKET.offset) >> 2;
    if (u32[at] !== 0) u32[at] = (u32[at] as number) - from.out + to.out;
  }
  for (let entry = 0; entry < (u32[QUEUE.entryTop >> 2] as number); entry++) {
    const key = u32[(to.entries + entry * QUEUE_ENTRY.stride + QUEUE_ENTRY.key) >> 2] as number;
    if (key === 0) continue;
    const mask = (u32[QUEUE.indexBuckets >> 2] as number) - 1;
    let bucket = homeBucket(key, indexShift(mask + 1));
    while (u32[(to.index >> 2) + bucket] !== 0) bucket = (bucket + 1) & mask;
    u32[(to.index >> 2) + bucket] = entry + 1;
  }
  return arena;
}

/** Header words that a grown arena takes over. */
const KEPT_WORDS: readonly number[] = [
  HEADER.live,
  HEADER.flags,
  HEADER.prng,
  HEADER.prng + 4,
  HEADER.prng + 8,
  HEADER.prng + 12,
  HEADER.seq,
  HEADER.changeCount,
  QUEUE.nextId,
  QUEUE.nextId + 4,
  QUEUE.heapTop,
  QUEUE.freeEntry,
  QUEUE.entryTop,
  QUEUE.laneCount0,
  QUEUE.laneCount1,
  QUEUE.finishedCount,
  QUEUE.evictedCount,
  QUEUE.invalidatedCount,
  QUEUE.transmittedCount,
  QUEUE.oldestBlock,
  QUEUE.newestBlock,
  QUEUE.laneBytes0,
  QUEUE.laneBytes1,
  QUEUE.userCredit,
];

/** Offsets in an existing arena. Throws ERR_ARENA_INVALID when it is not a broadcast queue of this layout. */
export function broadcastQueueSections(arena: Arena): BroadcastQueueSections {
  checkArenaHeader(arena, KERNEL_ID.broadcastQueue, 'BroadcastQueue');
  checkArenaEnd(arena, QUEUE.requestsOffset, 'BroadcastQueue');
  const u32 = new Uint32Array(arena, 0, QUEUE.requestsOffset >> 2);
  const sizes = sizesIn(u32);
  for (const name of SIZE_NAMES) {
    if (sizes[name] < 1 || sizes[name] > SIZE_MAX) throw invalidArena(name, sizes[name], `1 to ${SIZE_MAX}`);
  }
  expectWord(u32, 'indexBuckets', QUEUE.indexBuckets, indexBucketsFor(sizes.capacity));
  const sections = sectionsFor(sizes, u32[QUEUE.indexBuckets >> 2] as number);
  expectWord(u32, 'byteLength', HEADER.byteLength, sections.byteLength);
  return sections;
}

/** First bucket to look at for a key. */
export function homeBucket(key: number, shift: number): number {
  return Math.imul(key, 0x9e3779b1) >>> shift;
}

/** Shift for homeBucket() with this many buckets. */
export function indexShift(buckets: number): number {
  return Math.clz32(buckets) + 1;
}

function indexBucketsFor(capacity: number): number {
  return 2 ** (32 - Math.clz32(2 * capacity - 1));
}

function sectionsFor(sizes: Sizes, indexBuckets: number): BroadcastQueueSections {
  const packets = QUEUE.requestsOffset + sizes.requestCapacity * QUEUE_REQUEST.stride;
  const finished = packets + sizes.requestCapacity * QUEUE_PACKET.stride;
  const items = finished + align8(sizes.finishedCapacity * 4);
  const entries = items + sizes.inItemCapacity * QUEUE_ITEM.stride;
  const order0 = entries + sizes.capacity * QUEUE_ENTRY.stride;
  const order1 = order0 + align8(sizes.capacity * 4);
  const index = order1 + align8(sizes.capacity * 4);
  const heap = index + indexBuckets * 4;
  const input = heap + align8(sizes.heapBytes);
  const out = input + align8(sizes.inBytes);
  const byteLength = out + align8(sizes.outBytes);
  const requests = QUEUE.requestsOffset;
  return { requests, packets, finished, items, entries, order0, order1, index, heap, in: input, out, byteLength };
}

function sizesIn(u32: Uint32Array): Record<keyof Sizes, number> {
  return {
    capacity: u32[HEADER.capacity >> 2] as number,
    heapBytes: u32[QUEUE.heapBytes >> 2] as number,
    requestCapacity: u32[QUEUE.requestCapacity >> 2] as number,
    finishedCapacity: u32[QUEUE.finishedCapacity >> 2] as number,
    inBytes: u32[QUEUE.inBytes >> 2] as number,
    outBytes: u32[QUEUE.outBytes >> 2] as number,
    inItemCapacity: u32[QUEUE.inItemCapacity >> 2] as number,
  };
}

function checkedSizes(options: Sizes): Sizes {
  for (const name of SIZE_NAMES) {
    checkCount(`BroadcastQueue ${name}`, options[name], name === 'heapBytes' ? 2 * BLOCK_BYTES_MAX : 1, SIZE_MAX);
  }
  const finishedCapacity = Math.max(options.finishedCapacity, options.capacity + options.inItemCapacity);
  const sizes = { ...options, finishedCapacity };
  const total = sectionsFor(sizes, indexBucketsFor(sizes.capacity)).byteLength;
  if (total > 0x7fffffff) {
    throw new HearsayError('ERR_ARGUMENT_INVALID', `BroadcastQueue arena: expected at most 2 GiB, got ${total} bytes`);
  }
  return sizes;
}

function expectWord(u32: Uint32Array, name: string, offset: number, expected: number): void {
  if (u32[offset >> 2] !== expected) throw invalidArena(name, u32[offset >> 2] as number, String(expected));
}

function invalidArena(field: string, value: number, expected: string): HearsayError {
  return new HearsayError('ERR_ARENA_INVALID', `BroadcastQueue arena ${field}: expected ${expected}, got ${value}`);
}
