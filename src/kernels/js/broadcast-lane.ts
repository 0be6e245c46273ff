import type { BroadcastQueueSections } from '../arenas/broadcast-queue.ts';
import { type Arena, COMPOUND_PARTS_MAX, LANE } from '../contract.ts';
import { BLOCK_BYTES_MAX, HEADER, QUEUE, QUEUE_ENTRY } from '../layout.ts';

/** What a compound adds for each message. */
export const PART_OVERHEAD = 2;
export const STATE_QUEUED = 1;
export const STATE_TAKEN = 2;

const ENTRY_WORDS = QUEUE_ENTRY.stride >> 2;
const LENGTH = QUEUE_ENTRY.length >> 2;
const TRANSMITS = QUEUE_ENTRY.transmits >> 2;
const ID = QUEUE_ENTRY.id >> 2;
/** The word that holds prefix, lane and state. */
const FACTS = QUEUE_ENTRY.prefix >> 2;
const STATE_SHIFT = 24;

/** Messages chosen for the packet under way, in the order taken. */
export class PacketDraft {
  readonly entries = new Uint32Array(COMPOUND_PARTS_MAX);
  count = 0;
  usedBytes = 0;

  clear(): void {
    this.count = 0;
    this.usedBytes = 0;
  }

  add(entry: number, bytes: number): void {
    this.entries[this.count++] = entry;
    this.usedBytes += bytes;
  }
}

/**
 * One lane of a broadcast queue: entry indices, sorted (protocol §10.1):
 *   1. fewer transmits first,
 *   2. longer first,
 *   3. newer first.
 */
export class BroadcastLane {
  #u32!: Uint32Array;
  #f64!: Float64Array;
  #order!: Uint32Array;
  #entries = 0;
  readonly #countWord: number;

  /** Where the entries taken by this packet stand, and of those that stay in the queue where they go. */
  readonly #positions = new Uint32Array(COMPOUND_PARTS_MAX);
  readonly #movers = new Uint32Array(COMPOUND_PARTS_MAX);
  readonly #targets = new Uint32Array(COMPOUND_PARTS_MAX);
  #takenCount = 0;

  readonly #lane: number;

  constructor(lane: number) {
    this.#lane = lane;
    this.#countWord = (lane === LANE.membership ? QUEUE.laneCount0 : QUEUE.laneCount1) >> 2;
  }

  attach(arena: Arena, sections: BroadcastQueueSections): void {
    this.#u32 = new Uint32Array(arena);
    this.#f64 = new Float64Array(arena);
    const capacity = this.#u32[HEADER.capacity >> 2] as number;
    const offset = this.#lane === LANE.membership ? sections.order0 : sections.order1;
    this.#order = new Uint32Array(arena, offset, capacity);
    this.#entries = sections.entries >> 2;
  }

  get count(): number {
    return this.#u32[this.#countWord] as number;
  }

  insert(entry: number): void {
    const count = this.count;
    const position = this.#positionOf(entry);
    this.#order.copyWithin(position + 1, position, count);
    this.#order[position] = entry;
    this.#u32[this.#countWord] = count + 1;
  }

  remove(entry: number): void {
    const last = this.count - 1;
    const position = this.#positionOf(entry);
    this.#order.copyWithin(position, position + 1, last + 1);
    this.#order[last] = 0;
    this.#u32[this.#countWord] = last;
  }

  /** Takes the last entry in order out of a lane that is not empty. */
  removeLast(): number {
    const last = this.count - 1;
    const entry = this.#order[last] as number;
    this.#order[last] = 0;
    this.#u32[this.#countWord] = last;
    return entry;
  }

  /** Length of the shortest message of a lane that is not empty: the last of some tier. */
  smallest(): number {
    const u32 = this.#u32;
    const count = this.count;
    let smallest = BLOCK_BYTES_MAX;
    let position = 0;
    while (position < count) {
      const transmits = u32[this.#at(position) + TRANSMITS] as number;
      position = this.#lowerBound(position + 1, transmits, 0, 0);
      smallest = Math.min(smallest, u32[this.#at(position - 1) + LENGTH] as number);
    }
    return smallest;
  }

  /** Walks the tiers of equal transmits (protocol §10.3): in each, from the longest down, whatever still fits. */
  take(draft: PacketDraft, limit: number, partsMax: number): void {
    const u32 = this.#u32;
    const order = this.#order;
    const count = this.count;
    let position = 0;
    while (position < count && draft.count < partsMax) {
      const free = limit - draft.usedBytes - PART_OVERHEAD;
      if (free <= 0) return;
      const entry = order[position] as number;
      const at = this.#entries + entry * ENTRY_WORDS;
      const length = u32[at + LENGTH] as number;
      if (length > free) {
        // No id reaches Infinity, so this finds the first of the tier that is short enough, or the next tier.
        const tier = u32[at + TRANSMITS] as number;
        position = this.#lowerBound(position + 1, tier, free, Number.POSITIVE_INFINITY);
        continue;
      }
      const facts = u32[at + FACTS] as number;
      if (facts >>> STATE_SHIFT === STATE_QUEUED) {
        u32[at + FACTS] = (facts & 0xffffff) | (STATE_TAKEN << STATE_SHIFT);
        draft.add(entry, length + PART_OVERHEAD);
        this.#positions[this.#takenCount++] = position;
      }
      position++;
    }
  }

  /**
   * Counts the transmission of the taken entries, in one pass over the order: they leave their places, and those below
   * the limit come back further behind. Entries at the limit stay marked as taken and are out of the lane. Both
   * sequences are sorted already (each transmit count rises by one), so runs in between move as wholes.
   */
  settle(transmitLimit: number): void {
    const taken = this.#takenCount;
    if (taken === 0) return;
    this.#takenCount = 0;
    const u32 = this.#u32;
    const order = this.#order;
    const count = this.count;
    const positions = this.#positions;
    const movers = this.#movers;
    const targets = this.#targets;
    sortAscending(positions, taken);

    // Searched in the old order, before any transmit count changes.
    let moverCount = 0;
    let target = 0;
    for (let i = 0; i < taken; i++) {
      const position = positions[i] as number;
      const at = this.#at(position);
      const transmits = (u32[at + TRANSMITS] as number) + 1;
      if (transmits >= transmitLimit) continue;
      const from = Math.max(target, position + 1);
      target = this.#lowerBound(from, transmits, u32[at + LENGTH] as number, this.#f64[(at + ID) >> 1] as number);
      movers[moverCount] = order[position] as number;
      targets[moverCount++] = target;
    }
    for (let i = 0; i < moverCount; i++) {
      const at = this.#entries + (movers[i] as number) * ENTRY_WORDS;
      u32[at + TRANSMITS] = (u32[at + TRANSMITS] as number) + 1;
      u32[at + FACTS] = ((u32[at + FACTS] as number) & 0xffffff) | (STATE_QUEUED << STATE_SHIFT);
    }

    // A target lies behind the mover's old position, so `write` never overtakes `read`.
    let read = positions[0] as number;
    let write = read;
    let removal = 0;
    let insertion = 0;
    while (removal < taken || insertion < moverCount) {
      const removeAt = removal < taken ? (positions[removal] as number) : count + 1;
      const insertAt = insertion < moverCount ? (targets[insertion] as number) : count + 1;
      const upTo = Math.min(removeAt, insertAt);
      if (upTo > read) {
        order.copyWithin(write, read, upTo);
        write += upTo - read;
        read = upTo;
      }
      if (removeAt < insertAt) {
        read++;
        removal++;
      } else {
        order[write++] = movers[insertion++] as number;
      }
    }
    if (write === read) return;
    order.copyWithin(write, read, count);
    const left = count - taken + moverCount;
    order.fill(0, left, count);
    u32[this.#countWord] = left;
  }

  /** Word offset of the entry at a position. */
  #at(position: number): number {
    return this.#entries + (this.#order[position] as number) * ENTRY_WORDS;
  }

  #positionOf(entry: number): number {
    const u32 = this.#u32;
    const at = this.#entries + entry * ENTRY_WORDS;
    return this.#lowerBound(
      0,
      u32[at + TRANSMITS] as number,
      u32[at + LENGTH] as number,
      this.#f64[(at + ID) >> 1] as number,
    );
  }

  /** First position from `from` on whose entry does not come before (transmits, length, id). */
  #lowerBound(from: number, transmits: number, length: number, id: number): number {
    const u32 = this.#u32;
    const order = this.#order;
    let low = from;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.#entries + (order[middle] as number) * ENTRY_WORDS;
      const otherTransmits = u32[at + TRANSMITS] as number;
      const otherLength = u32[at + LENGTH] as number;
      const before =
        otherTransmits !== transmits
          ? otherTransmits < transmits
          : otherLength !== length
            ? otherLength > length
            : (this.#f64[(at + ID) >> 1] as number) > id;
      if (before) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Insertion sort: the list is sorted already but for a second run of later additions. */
function sortAscending(values: Uint32Array, count: number): void {
  for (let i = 1; i < count; i++) {
    const value = values[i] as number;
    let at = i;
    while (at > 0 && (values[at - 1] as number) > value) {
      values[at] = values[at - 1] as number;
      at--;
    }
    values[at] = value;
  }
}
