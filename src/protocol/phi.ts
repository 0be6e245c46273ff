/**
 * Phi accrual (Hayashibara, Défago, Yared, Katayama 2004, JAIST IS-RR-2004-010): instead of alive or dead, a number that grows with the silence,
 * phi = -log10 P(a heartbeat comes later than this). Suspecting at phi >= F is wrong with probability about 10^-F, when the model holds.
 */

/** Heartbeat intervals kept (the paper's WS). */
export const PHI_WINDOW = 1000;

/** Share of a normal distribution above y standard deviations, as -log10: Numerical Recipes' erfc in its logarithm, so that no tail underflows; relative error of the share below 1.2e-7. */
function minusLog10Above(y: number): number {
  const z = Math.abs(y) / Math.SQRT2;
  const t = 1 / (1 + z / 2);
  let sum = 0.17087277;
  for (const c of [-0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368])
    sum = sum * t + c;
  // ln of half of erfc(z), the share on the far side of |y|.
  const ln = Math.log(t / 2) - z * z - 1.26551223 + sum * t;
  return y >= 0 ? -ln / Math.LN10 : -Math.log1p(-Math.exp(ln)) / Math.LN10;
}

/** The paper's phi: intervals are normal. All in ms; sdMs > 0. */
export function phiNormal(silenceMs: number, meanMs: number, sdMs: number): number {
  return minusLog10Above((silenceMs - meanMs) / sdMs);
}

/** Akka's: the normal distribution by a logistic of a cubic; crosses 8 at 5.226 standard deviations where the exact one does at 5.612. */
export function phiLogistic(silenceMs: number, meanMs: number, sdMs: number): number {
  const y = (silenceMs - meanMs) / sdMs;
  const exponent = y * (1.5976 + 0.070566 * y * y);
  // -log10(e / (1 + e)) with e = exp(-exponent), in the form that neither overflows nor underflows.
  const ln = exponent > 0 ? exponent + Math.log1p(Math.exp(-exponent)) : Math.log1p(Math.exp(exponent));
  return ln / Math.LN10;
}

/** Cassandra's: intervals are exponential, phi = silence / (mean ln 10). */
export function phiExponential(silenceMs: number, meanMs: number): number {
  return silenceMs / (meanMs * Math.LN10);
}

/** The last heartbeat intervals of one member, ms, with their mean and deviation kept by running sums. */
export class ArrivalWindow {
  readonly #intervals: Float64Array;
  #count = 0;
  #next = 0;
  #sum = 0;
  #sumOfSquares = 0;
  #lastMs: number;

  /**
   * The first heartbeat is taken as given at `nowMs`. The window starts with two intervals around the expected one, a quarter below and above (Akka), so that
   * there is a verdict about members that are never heard of.
   */
  constructor(nowMs: number, expectedMs: number, size = PHI_WINDOW) {
    this.#intervals = new Float64Array(size);
    this.#lastMs = nowMs;
    this.#add(0.75 * expectedMs);
    this.#add(1.25 * expectedMs);
  }

  get meanMs(): number {
    return this.#sum / this.#count;
  }

  get sdMs(): number {
    return Math.sqrt(Math.max(0, this.#sumOfSquares / this.#count - this.meanMs ** 2));
  }

  /** Notes a heartbeat. `maxMs`: a longer silence is no interval (Cassandra, Akka): it tells of an outage, not of the usual. */
  heartbeat(nowMs: number, maxMs: number): void {
    const interval = nowMs - this.#lastMs;
    this.#lastMs = Math.max(this.#lastMs, nowMs);
    if (interval > 0 && interval <= maxMs) this.#add(interval);
  }

  /** Time since the last heartbeat. */
  silenceMs(nowMs: number): number {
    return nowMs - this.#lastMs;
  }

  /** The observer itself stood still for `ms`: that silence was its own. */
  excuse(ms: number): void {
    this.#lastMs += ms;
  }

  #add(interval: number): void {
    const old = this.#count === this.#intervals.length ? (this.#intervals[this.#next] as number) : 0;
    if (this.#count < this.#intervals.length) this.#count++;
    this.#intervals[this.#next] = interval;
    this.#next = (this.#next + 1) % this.#intervals.length;
    this.#sum += interval - old;
    this.#sumOfSquares += interval * interval - old * old;
  }
}
