import { type BroadcastQueueSections, homeBucket, indexShift } from '../arenas/broadcast-queue.ts';
import type { Arena } from '../contract.ts';
import { QUEUE, QUEUE_ENTRY } from '../layout.ts';

const ENTRY_WORDS = QUEUE_ENTRY.stride >> 2;
const KEY = QUEUE_ENTRY.key >> 2;

/**
 * Which entry of a broadcast queue speaks about a key: open addressing with linear probing, at most half full. Removing
 * shifts later entries back instead of leaving marks, so the table never needs a rebuild.
 */
export class BroadcastIndex {
  #u32!: Uint32Array;
  #buckets = 0;
  #mask = 0;
  #shift = 0;
  #entries = 0;

  attach(arena: Arena, sections: BroadcastQueueSections): void {
    this.#u32 = new Uint32Array(arena);
    const count = this.#u32[QUEUE.indexBuckets >> 2] as number;
    this.#buckets = sections.index >> 2;
    this.#mask = count - 1;
    this.#shift = indexShift(count);
    this.#entries = sections.entries >> 2;
  }

  /** Entry of a key, or -1. */
  find(key: number): number {
    const value = this.#u32[this.#buckets + this.#bucketOf(key)] as number;
    return value - 1;
  }

  /** Adds a key that is not in the table. */
  put(key: number, entry: number): void {
    this.#u32[this.#buckets + this.#bucketOf(key)] = entry + 1;
  }

  /** Removes a key that is in the table. */
  remove(key: number): void {
    const u32 = this.#u32;
    let hole = this.#bucketOf(key);
    for (let bucket = hole; ; ) {
      bucket = (bucket + 1) & this.#mask;
      const value = u32[this.#buckets + bucket] as number;
      if (value === 0) break;
      // An entry may fill the hole unless its home lies behind the hole.
      const home = homeBucket(this.#keyOf(value), this.#shift);
      if (((bucket - home) & this.#mask) < ((bucket - hole) & this.#mask)) continue;
      u32[this.#buckets + hole] = value;
      hole = bucket;
    }
    u32[this.#buckets + hole] = 0;
  }

  /** Where the key lies, or the empty bucket where it would go. */
  #bucketOf(key: number): number {
    const u32 = this.#u32;
    let bucket = homeBucket(key, this.#shift);
    for (;;) {
      const value = u32[this.#buckets + bucket] as number;
      if (value === 0 || this.#keyOf(value) === key) return bucket;
      bucket = (bucket + 1) & this.#mask;
    }
  }

  #keyOf(value: number): number {
    return this.#u32[this.#entries + (value - 1) * ENTRY_WORDS + KEY] as number;
  }
}
