import type { BroadcastQueueSections } from '../arenas/broadcast-queue.ts';
import type { Arena } from '../contract.ts';
import { QUEUE, QUEUE_ENTRY } from '../layout.ts';

const ENTRY_WORDS = QUEUE_ENTRY.stride >> 2;
const OFFSET = QUEUE_ENTRY.offset >> 2;
const LENGTH = QUEUE_ENTRY.length >> 2;
const NEXT = QUEUE_ENTRY.next >> 2;
const PREVIOUS = QUEUE_ENTRY.previous >> 2;
const HEAP_TOP = QUEUE.heapTop >> 2;
const OLDEST_BLOCK = QUEUE.oldestBlock >> 2;
const NEWEST_BLOCK = QUEUE.newestBlock >> 2;

/**
 * Message bytes of a broadcast queue: one run in order of arrival, entries linked in the same order.
 *
 *   | block | hole | block | block | hole | block | free ... |
 *     ^ oldestBlock                         ^ newest ^ heapTop
 *
 * The caller keeps the sum of all lengths at or below three quarters of the heap, so closing the holes always makes
 * room for a quarter more; that is what bounds the cost.
 */
export class BroadcastHeap {
  #u8!: Uint8Array;
  #u32!: Uint32Array;
  #heap = 0;
  #heapBytes = 0;
  #entries = 0;

  attach(arena: Arena, sections: BroadcastQueueSections): void {
    this.#u8 = new Uint8Array(arena);
    this.#u32 = new Uint32Array(arena);
    this.#heap = sections.heap;
    this.#heapBytes = this.#u32[QUEUE.heapBytes >> 2] as number;
    this.#entries = sections.entries >> 2;
  }

  /** Gives an entry a block and copies `length` bytes from the absolute offset `from` into it. */
  push(entry: number, from: number, length: number): void {
    const u32 = this.#u32;
    if ((u32[HEAP_TOP] as number) + length > this.#heapBytes) this.#slide();
    const at = this.#entries + entry * ENTRY_WORDS;
    const offset = u32[HEAP_TOP] as number;
    this.#u8.copyWithin(this.#heap + offset, from, from + length);
    u32[HEAP_TOP] = offset + length;
    u32[at + OFFSET] = offset;
    const newest = u32[NEWEST_BLOCK] as number;
    u32[at + PREVIOUS] = newest;
    if (newest === 0) u32[OLDEST_BLOCK] = entry + 1;
    else u32[this.#at(newest) + NEXT] = entry + 1;
    u32[NEWEST_BLOCK] = entry + 1;
  }

  /** Takes the block of an entry back and zeroes it. */
  drop(entry: number): void {
    const u32 = this.#u32;
    const at = this.#entries + entry * ENTRY_WORDS;
    const start = this.#heap + (u32[at + OFFSET] as number);
    this.#u8.fill(0, start, start + (u32[at + LENGTH] as number));
    const next = u32[at + NEXT] as number;
    const previous = u32[at + PREVIOUS] as number;
    if (previous === 0) u32[OLDEST_BLOCK] = next;
    else u32[this.#at(previous) + NEXT] = next;
    if (next !== 0) {
      u32[this.#at(next) + PREVIOUS] = previous;
      return;
    }
    u32[NEWEST_BLOCK] = previous;
    u32[HEAP_TOP] = previous === 0 ? 0 : this.#endOf(previous);
  }

  /** Closes all holes. */
  #slide(): void {
    const u32 = this.#u32;
    const u8 = this.#u8;
    let top = 0;
    for (let block = u32[OLDEST_BLOCK] as number; block !== 0; ) {
      const at = this.#at(block);
      const offset = u32[at + OFFSET] as number;
      const length = u32[at + LENGTH] as number;
      if (offset !== top) {
        u8.copyWithin(this.#heap + top, this.#heap + offset, this.#heap + offset + length);
        u32[at + OFFSET] = top;
      }
      top += length;
      block = u32[at + NEXT] as number;
    }
    u8.fill(0, this.#heap + top, this.#heap + (u32[HEAP_TOP] as number));
    u32[HEAP_TOP] = top;
  }

  #at(block: number): number {
    return this.#entries + (block - 1) * ENTRY_WORDS;
  }

  #endOf(block: number): number {
    const at = this.#at(block);
    return (this.#u32[at + OFFSET] as number) + (this.#u32[at + LENGTH] as number);
  }
}
