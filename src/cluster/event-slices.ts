/** Most events in one turn of the event loop, and for how long a turn goes on, ms. */
const SLICE_EVENTS = 256;
const SLICE_MS = 1;

interface Batch<T> {
  readonly events: readonly T[];
  readonly taken: () => void;
}

/**
 * Delivers events in order, a slice per turn of the event loop: ten thousand members may join at once, and the program's loop shall not
 * stand still for that. What fits into one slice is delivered at once.
 */
export class EventSlices<T> {
  readonly #deliver: (event: T) => void;
  readonly #now: () => number;
  readonly #batches: Batch<T>[] = [];
  #at = 0;
  #scheduled = false;
  #isHeld: boolean;
  readonly #waiting: (() => void)[] = [];

  /** `isHeld`: deliver nothing before release(). `now`: ms of a clock. */
  constructor(deliver: (event: T) => void, isHeld: boolean, now: () => number = () => performance.now()) {
    this.#deliver = deliver;
    this.#isHeld = isHeld;
    this.#now = now;
  }

  /** `taken` is called when all of these were delivered: time to send more. */
  push(events: readonly T[], taken: () => void): void {
    this.#batches.push({ events, taken });
    if (!this.#scheduled && !this.#isHeld) this.#turn();
  }

  release(): void {
    this.#isHeld = false;
    if (!this.#scheduled) this.#turn();
  }

  /** Resolves when everything pushed so far has been delivered. */
  drained(): Promise<void> {
    if (this.#batches.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #turn(): void {
    this.#scheduled = true;
    const endMs = this.#now() + SLICE_MS;
    let left = SLICE_EVENTS;
    try {
      for (let batch = this.#first(); batch !== undefined && left > 0; batch = this.#first()) {
        left--;
        this.#deliver(batch.events[this.#at++] as T);
        if (this.#now() >= endMs) left = 0;
      }
    } finally {
      // Also when a listener has thrown: the others still want theirs.
      if (this.#first() !== undefined) setImmediate(() => this.#turn());
      else {
        this.#scheduled = false;
        for (const resolve of this.#waiting.splice(0)) resolve();
      }
    }
  }

  /** The first batch that has an undelivered event, which lies at #at. */
  #first(): Batch<T> | undefined {
    for (let batch = this.#batches[0]; batch !== undefined; batch = this.#batches[0]) {
      if (this.#at < batch.events.length) return batch;
      this.#batches.shift();
      this.#at = 0;
      batch.taken();
    }
    return undefined;
  }
}
