/**
 * Ids of rumors that were already handled, bounded: two generations of a Set, the older thrown away when the younger is
 * full. An id is remembered for at least `capacity` and at most 2 x `capacity` later ones.
 */
export class SeenSet {
  readonly #capacity: number;
  #young = new Set<string>();
  #old = new Set<string>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** True the first time an id is seen. */
  add(id: string): boolean {
    if (this.#young.has(id) || this.#old.has(id)) return false;
    if (this.#young.size >= this.#capacity) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(id);
    return true;
  }
}
