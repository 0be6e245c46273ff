import type { Prng } from '../../util/prng.ts';

/**
 * Whom to reconcile with next. Uniform spreads news fastest; weighted by distance keeps traffic near (Demers et al. 1987, §3): a partner at distance d is
 * chosen in proportion to d^-a. With a = 2 their transatlantic link carried a thirtieth of the traffic of uniform choice, and the last site was
 * reached little later.
 */
export interface PartnerChoice {
  /** 0 = uniform. Between 1 and 2 is what Demers et al. found sensible: above 2 far sites are hardly ever met. */
  readonly exponent: number;
  /** Distance of a candidate, above 0, in whatever unit (round-trip time in ms, hops); only ratios count. Not positive or not a number counts as the nearest. */
  readonly distance: (candidate: number) => number;
}

/** Index of a partner among `count` candidates, -1 when there are none. */
export function choosePartner(prng: Prng, count: number, choice?: PartnerChoice): number {
  if (count < 1) return -1;
  if (!choice || choice.exponent === 0) return Math.min(count - 1, Math.floor(prng.unit() * count));
  const distances = Array.from({ length: count }, (_, i) => choice.distance(i));
  const known = distances.filter((distance) => distance > 0 && distance < Infinity);
  const nearest = known.reduce((least, distance) => Math.min(least, distance), known[0] ?? 1);
  let total = 0;
  const weights = distances.map((distance) => {
    // Relative to the nearest, so that no power of a small distance overflows.
    const ratio = distance > 0 ? distance / nearest : 1;
    const weight = ratio ** -choice.exponent;
    total += weight;
    return weight;
  });
  let left = prng.unit() * total;
  for (let i = 0; i < count; i++) {
    left -= weights[i] as number;
    if (left < 0) return i;
  }
  return count - 1;
}
