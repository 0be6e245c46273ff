/** Largest counter within a millisecond: it travels in 16 bits. */
const COUNTER_MAX = 0xffff;

/** A moment of a hybrid logical clock. */
export interface Stamp {
  /** Milliseconds since 1970, an integer below 2^48. */
  readonly timeMs: number;
  /** Orders what happened within one, below 2^16. */
  readonly counter: number;
}

/**
 * Hybrid logical clock (Kulkarni et al. 2014): close to the wall clock, never back, and later than everything that was seen. So what was written by
 * someone who had seen an older version is newer than that version, whatever the clocks of the two machines say.
 */
export class HybridClock implements Stamp {
  timeMs = 0;
  counter = 0;

  /** Steps on and is the stamp of a write that happens now. */
  tick(wallMs: number): void {
    if (wallMs > this.timeMs) {
      this.timeMs = wallMs;
      this.counter = 0;
    } else if (this.counter < COUNTER_MAX) this.counter++;
    else {
      this.timeMs++;
      this.counter = 0;
    }
  }

  /** Something with this stamp was seen: what we write next is later. */
  observe({ timeMs, counter }: Stamp): void {
    if (timeMs < this.timeMs || (timeMs === this.timeMs && counter <= this.counter)) return;
    this.timeMs = timeMs;
    this.counter = counter;
  }
}

/** Negative when a is earlier than b. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.timeMs - b.timeMs || a.counter - b.counter;
}
