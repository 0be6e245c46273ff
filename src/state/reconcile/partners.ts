import type { Prng } from '../../util/prng.ts';

/**
 * Whom to reconcile with next. Uniform choice spreads news fastest; choice by distance keeps traffic near (Demers et al. 1987, §3). Two forms: in proportion to
 * distance^-a, which suits places spread evenly along lines; or by Q(d), the number of candidates within distance d, which adapts to any layout and is what
 * they deployed. With a = 2 the latter cut the traffic of their transatlantic link to a thirtieth and took less than twice as long to reach everybody.
 */
export interface PartnerChoice {
  /** 0 = uniform. Between 1 and 2 is what they found sensible: above 2 far sites are hardly ever met. */
  readonly exponent: number;
  /** Distance of a candidate, above 0, in whatever unit (round-trip time in ms, hops); only ratios count. Not positive or not a number counts as the nearest. */
  readonly distance: (candidate: number) => number;
  /** By how many candidates are nearer, instead of by distance itself. Default false. */
  readonly isByCount?: boolean;
}

/** Index of a partner among `count` candidates, -1 when there are none. */
export function choosePartner(prng: Prng, count: number, choice?: PartnerChoice): number {
  if (count < 1) return -1;
  if (!choice || choice.exponent === 0) return Math.min(count - 1, Math.floor(prng.unit() * count));
  const weights = partnerWeights(count, choice);
  let left = prng.unit() * weights.reduce((total, weight) => total + weight, 0);
  for (let i = 0; i < count; i++) {
    left -= weights[i] as number;
    if (left < 0) return i;
  }
  return count - 1;
}

/** What the candidates are drawn in proportion to. */
export function partnerWeights(count: number, { exponent, distance, isByCount }: PartnerChoice): number[] {
  const distances = Array.from({ length: count }, (_, i) => distance(i));
  const known = distances.filter((each) => each > 0);
  const nearest = known.reduce((least, each) => Math.min(least, each), known[0] ?? 1);
  const cleaned = distances.map((each) => (each > 0 ? each : nearest));
  // Relative to the nearest, so that no power of a small distance overflows.
  if (!isByCount) return cleaned.map((each) => (each === nearest ? 1 : (each / nearest) ** -exponent));
  const sorted = cleaned.toSorted((a, b) => a - b);
  return cleaned.map((each) => {
    // Q of what is nearer, and of what is as near; one more, so that neither is 0 (their footnote).
    const before = 1 + sorted.findIndex((other) => other >= each);
    const within = 1 + sorted.findLastIndex((other) => other <= each) + 1;
    return powerBetween(before, within, exponent) / (within - before);
  });
}

/** Integral of x^-a. */
function powerBetween(from: number, to: number, exponent: number): number {
  if (exponent === 1) return Math.log(to / from);
  return (from ** (1 - exponent) - to ** (1 - exponent)) / (exponent - 1);
}
