/**
 * Things to come, earliest first, in the order of their making when due together. Three parallel arrays instead of an
 * object per event: a minute of 10,000 nodes is millions of events.
 */
export class EventHeap<T> {
  #times = new Float64Array(1024);
  #orders = new Float64Array(1024);
  readonly #items: (T | undefined)[] = [];
  #size = 0;
  #nextOrder = 0;

  get size(): number {
    return this.#size;
  }

  /** When the next event is due, ms; undefined when nothing is to come. */
  get nextMs(): number | undefined {
    return this.#size === 0 ? undefined : this.#times[0];
  }

  push(atMs: number, item: T): void {
    if (this.#size === this.#times.length) this.#grow();
    const order = this.#nextOrder++;
    let at = this.#size++;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!this.#isBefore(atMs, order, up)) break;
      this.#move(up, at);
      at = up;
    }
    this.#put(at, atMs, order, item);
  }

  /** Takes the next event out; undefined when nothing is to come. */
  pop(): T | undefined {
    if (this.#size === 0) return undefined;
    const first = this.#items[0] as T;
    const last = --this.#size;
    const time = this.#times[last] as number;
    const order = this.#orders[last] as number;
    const item = this.#items[last] as T;
    this.#items[last] = undefined;
    if (last === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (
        child + 1 < last &&
        this.#isBefore(this.#times[child + 1] as number, this.#orders[child + 1] as number, child)
      )
        child++;
      if (this.#isBefore(time, order, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, time, order, item);
    return first;
  }

  #isBefore(atMs: number, order: number, slot: number): boolean {
    const other = this.#times[slot] as number;
    return atMs < other || (atMs === other && order < (this.#orders[slot] as number));
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from] as number;
    this.#orders[to] = this.#orders[from] as number;
    this.#items[to] = this.#items[from];
  }

  #put(at: number, atMs: number, order: number, item: T): void {
    this.#times[at] = atMs;
    this.#orders[at] = order;
    this.#items[at] = item;
  }

  #grow(): void {
    const times = new Float64Array(2 * this.#times.length);
    times.set(this.#times);
    this.#times = times;
    const orders = new Float64Array(2 * this.#orders.length);
    orders.set(this.#orders);
    this.#orders = orders;
  }
}
