/** Turns in a row that have to agree before the rate is changed. */
const PATIENCE = 3;
const DECREASE = 0.75;
const INCREASE = 0.2;

/**
 * Flow control of Scuttlebutt (van Renesse, Dumitriu, Gough and Thomas, LADIS 2008, §3.2): how many writes per period a node may make, so that
 * updates do not come faster than exchanges of limited size can spread them. The allowed rate changes hands in every exchange: whoever
 * wants more gets it from whoever wants less, and the sum of both stays. Seen from outside it is additive increase and multiplicative decrease.
 *
 * Rates are in writes per period, not negative. The map asks `allowed` before it takes a write; nobody is forced to.
 */
export class FlowControl {
  /** What this node would like to write. */
  desired: number;
  #allowed: number;
  readonly #max: number;
  #overfull = 0;
  #fitting = 0;

  /** `max`: the rate that one exchange could carry alone; nothing is allowed above. */
  constructor(max: number) {
    this.#max = max;
    this.#allowed = max;
    this.desired = 0;
  }

  get allowed(): number {
    return this.#allowed;
  }

  /** Both rates of the two sides as they were before the exchange; both compute the same. */
  exchange(theirs: { readonly desired: number; readonly allowed: number }): void {
    this.#allowed = Math.min(this.#max, shareOf(this.desired, this.#allowed, theirs.desired, theirs.allowed));
  }

  /** An exchange ended: did what had to be told fit? */
  note(isFitting: boolean): void {
    this.#overfull = isFitting ? 0 : this.#overfull + 1;
    this.#fitting = isFitting ? this.#fitting + 1 : 0;
    if (this.#overfull === PATIENCE) {
      this.#allowed *= DECREASE;
      this.#overfull = 0;
    }
    if (this.#fitting === PATIENCE) {
      this.#allowed = Math.min(this.#max, this.#allowed + INCREASE);
      this.#fitting = 0;
    }
  }
}

/** Our part of the sum of both allowed rates. */
function shareOf(desired: number, allowed: number, theirDesired: number, theirAllowed: number): number {
  const sum = allowed + theirAllowed;
  const slack = sum - desired - theirDesired;
  if (slack >= 0) return desired + slack / 2;
  const mean = sum / 2;
  if (desired >= mean && theirDesired >= mean) return mean;
  return desired < mean ? desired : sum - theirDesired;
}
