/** How far ahead a time may be, ms; a power of two. */
export const WHEEL_SPAN_MS = 4096;

/**
 * What is due when, to the ms: a place for each of the next WHEEL_SPAN_MS ms. Thousands of nodes of which each is due several times a second make a heap whose every step is another miss of the
 * processor's cache; here each is put down and taken up once. What is due together comes in the order in which it was put.
 */
export class Wheel<T> {
  readonly #places: T[][] = Array.from({ length: WHEEL_SPAN_MS }, () => []);
  #size = 0;
  /** Nothing before this waits; of what waits here, this many were taken. */
  #atMs: number;
  #next = 0;

  /** `nowMs`, as all times: whole ms that never go back. */
  constructor(nowMs: number) {
    this.#atMs = nowMs;
  }

  /** Puts down. A time that has passed is due at once, one beyond the span at its end; answers when it will come. */
  push(atMs: number, item: T): number {
    const ms = Math.min(Math.max(atMs, this.#atMs), this.#atMs + WHEEL_SPAN_MS - 1);
    this.#place(ms).push(item);
    this.#size++;
    return ms;
  }

  /** When the next is due; undefined when nothing waits. */
  get nextMs(): number | undefined {
    if (this.#size === 0) return undefined;
    if (this.#next < this.#place(this.#atMs).length) return this.#atMs;
    let ms = this.#atMs + 1;
    while (this.#place(ms).length === 0) ms++;
    return ms;
  }

  /** Takes up the next that is due at `nowMs`. */
  pop(nowMs: number): T | undefined {
    for (;;) {
      const place = this.#place(this.#atMs);
      if (this.#next < place.length) {
        if (this.#atMs > nowMs) return undefined;
        this.#size--;
        return place[this.#next++];
      }
      place.length = 0;
      this.#next = 0;
      if (this.#atMs >= nowMs) return undefined;
      this.#atMs = this.#size === 0 ? nowMs : this.#atMs + 1;
    }
  }

  #place(ms: number): T[] {
    return this.#places[ms & (WHEEL_SPAN_MS - 1)] as T[];
  }
}
