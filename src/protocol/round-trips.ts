/** Largest timeout that follows from round trips, ms. */
const TIMEOUT_MAX_MS = 500;

/** Round trips lately seen, smoothed as TCP does it (Jacobson 1988, RFC 6298 §2): one estimate for all members. */
export class RoundTrips {
  #smoothedMs = 0;
  #variationMs = 0;

  add(ms: number): void {
    if (this.#smoothedMs === 0 && this.#variationMs === 0) {
      this.#smoothedMs = ms;
      this.#variationMs = ms / 2;
      return;
    }
    this.#variationMs += (Math.abs(ms - this.#smoothedMs) - this.#variationMs) / 4;
    this.#smoothedMs += (ms - this.#smoothedMs) / 8;
  }

  /** How long to wait for an answer, whole ms: at least `floorMs`. */
  timeoutMs(floorMs: number): number {
    return Math.ceil(Math.min(TIMEOUT_MAX_MS, Math.max(floorMs, this.#smoothedMs + 4 * this.#variationMs)));
  }
}
