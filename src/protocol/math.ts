/**
 * Every formula of the protocol, in one place, as pure functions of plain numbers. Logarithms that decide a count are
 * taken by integer loops: `Math.log10(1000)` is not 3 on every machine, and two members that disagree about a transmit
 * limit or a timeout would make one seed give two runs.
 */

/** Smallest e with 10^e >= n; 0 for n <= 1. Exact. */
export function ceilLog10(n: number): number {
  let exponent = 0;
  for (let power = 1; power < n; power *= 10) exponent++;
  return exponent;
}

/** Smallest e with 2^e >= n; 0 for n <= 1. Exact. */
export function ceilLog2(n: number): number {
  let exponent = 0;
  for (let power = 1; power < n; power *= 2) exponent++;
  return exponent;
}

/** How often one piece of news is sent by one member of a table of n entries (protocol §10.3). */
export function retransmitLimit(mult: number, n: number): number {
  return mult * ceilLog10(n + 1);
}

/**
 * How often one member sends one piece of news, membership or user broadcast, in a table of n entries: memberlist's number, but never
 * so few that an epidemic can miss somebody. With ln n + c transmits by each of n members all are reached with probability
 * exp(-exp(-c)) (Kermarrec, Massoulié, Ganesh 2003); c = 7: one miss in a thousand without loss. The two agree from about a
 * hundred members up (lan); below, memberlist leaves the rest to the next push/pull, which may be half a minute away.
 */
export function transmitLimit(mult: number, n: number): number {
  return Math.max(retransmitLimit(mult, n), Math.ceil(Math.log(Math.max(1, n)) + 7));
}

/** trunc(1000 x max(1, log10 n)), exact where log10 n is whole. */
export function nodeScale(n: number): number {
  if (n <= 10) return 1000;
  const exponent = ceilLog10(n);
  // Away from powers of ten 1000 x log10 n is no whole number, so rounding errors cannot move the truncated value.
  return 10 ** exponent === n ? 1000 * exponent : Math.trunc(1000 * Math.log10(n));
}

/** Shortest life of a suspicion in a table of n entries, ms, possibly with a fraction (protocol §12). */
export function suspicionTimeoutMs(mult: number, n: number, probeIntervalMs: number): number {
  return (mult * nodeScale(n) * probeIntervalMs) / 1000;
}

/** Confirmations that bring a suspicion down to its minimum: 0 when the cluster is too small to have so many (protocol §12). */
export function confirmationsWanted(suspicionMult: number, n: number): number {
  const wanted = suspicionMult - 2;
  return n - 2 < wanted ? 0 : Math.max(0, wanted);
}

/**
 * Time left of a suspicion that has run for `elapsedMs` and has `confirmations` of `wanted` (>= 1) confirmations. Negative:
 * overdue. Falls from max to min with the logarithm of the confirmations, so the first ones count most (Lifeguard, LHA-Suspicion).
 */
export function remainingSuspicionMs(
  confirmations: number,
  wanted: number,
  elapsedMs: number,
  minMs: number,
  maxMs: number,
): number {
  const fraction = Math.log(confirmations + 1) / Math.log(wanted + 1);
  const seconds = maxMs / 1000 - fraction * (maxMs / 1000 - minMs / 1000);
  return Math.max(minMs, Math.floor(1000 * seconds)) - elapsedMs;
}

/** Entries up to which the push/pull interval is not stretched. */
export const PUSH_PULL_SCALE_THRESHOLD = 32;

/** Wait between two push/pulls in a table of n entries: doubled load stays constant per cluster (protocol §14.2). */
export function pushPullScaleMs(intervalMs: number, n: number): number {
  if (n <= PUSH_PULL_SCALE_THRESHOLD) return intervalMs;
  return intervalMs * (ceilLog2(n) - ceilLog2(PUSH_PULL_SCALE_THRESHOLD) + 1);
}

/** Length of a protocol period at a health score (Lifeguard, LHA-Probe). */
export function scaledProbeIntervalMs(probeIntervalMs: number, score: number): number {
  return probeIntervalMs * (score + 1);
}

/** When a relay gives up waiting and says nack: early enough for the nack to arrive while the prober still counts (Lifeguard §3.1). */
export function nackDelayMs(probeTimeoutMs: number): number {
  return Math.floor(probeTimeoutMs * 0.8);
}

/** Expected periods from a crash to the first failed probe of it, every member probing: e / (e - 1) (SWIM §2.2). */
export function firstDetectionPeriods(): number {
  return Math.E / (Math.E - 1);
}

/** Periods within which every live member has probed every other once: the bound of round-robin probing (SWIM §2.1). */
export function worstDetectionPeriods(n: number): number {
  return 2 * n - 1;
}

/** Rounds until push gossip with this fanout has reached about all of n members: log_{f+1} n + ln n / f (Pittel, generalized). */
export function pushGossipRounds(n: number, fanout: number): number {
  return n <= 1 ? 0 : Math.log(n) / Math.log(fanout + 1) + Math.log(n) / fanout;
}
