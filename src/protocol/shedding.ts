import type { Context } from './context.ts';

/** A timer that fires so late says that the processor has more to do than it can, ms. Where it has not, timers are a few ms late. */
const LATE_MS = 50;

/**
 * Load shedding (protocol §24.6): periodic work that can wait gives way while timers are late, so that what others wait for gets the processor. Lifeguard has a member that is slow probe less (its
 * local health multiplier); lateness says so before an ack is missing. One for each kind of work.
 */
export class Shedding {
  readonly #context: Context;
  readonly #ticksMax: number;
  #shed = 0;

  /** `ticksMax`: after so many in a row one is done all the same. */
  constructor(context: Context, ticksMax: number) {
    this.#context = context;
    this.#ticksMax = ticksMax;
  }

  /** True when this tick, which was due so long ago, is to do nothing. Never in the other profiles, which behave as memberlist. */
  sheds(lateMs: number): boolean {
    const { self, stats } = this.#context;
    if (lateMs <= LATE_MS || this.#shed >= this.#ticksMax || !self.isFast) {
      this.#shed = 0;
      return false;
    }
    this.#shed++;
    stats.ticksShed++;
    return true;
  }
}
