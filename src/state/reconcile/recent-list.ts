import { SequenceList } from './sequence-list.ts';

const PAGE_BITS = 14;
const PAGE_MASK = (1 << PAGE_BITS) - 1;

/**
 * Slots by when they were last news here, the newest first: the activity list of Demers et al. §1.5 ("peel back and rumor"). Whatever turns out to be news for
 * anybody moves to the front; so what differs somewhere is found near the front, long before the end.
 *
 * 20 bytes per slot. A touch costs O(log n).
 */
export class RecentList {
  /** By minus the stamp, so that ascending means newest first. */
  readonly #list = new SequenceList();
  readonly #stamps: Float64Array[] = [];
  #stamp = 0;

  get length(): number {
    return this.#list.length;
  }

  /** Stamp of the newest change: what comes later has a larger one. */
  get stamp(): number {
    return this.#stamp;
  }

  /** Puts a slot at the front. */
  touch(slot: number): void {
    this.remove(slot);
    while (slot >>> PAGE_BITS >= this.#stamps.length) this.#stamps.push(new Float64Array(1 << PAGE_BITS));
    this.#stamp++;
    (this.#stamps[slot >>> PAGE_BITS] as Float64Array)[slot & PAGE_MASK] = this.#stamp;
    this.#list.set(-this.#stamp, slot);
  }

  /** Takes a slot out, if it is in. */
  remove(slot: number): void {
    const page = this.#stamps[slot >>> PAGE_BITS];
    const stamp = page?.[slot & PAGE_MASK] ?? 0;
    if (!page || stamp === 0) return;
    page[slot & PAGE_MASK] = 0;
    this.#list.delete(-stamp);
  }

  /** Newest first, those with a stamp below `before` only, until `visit` returns false. */
  visitBefore(before: number, visit: (slot: number, stamp: number) => boolean): void {
    this.#list.visitAfter(-before, (key, slot) => visit(slot, -key));
  }
}
