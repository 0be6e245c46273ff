import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  ceilLog2,
  ceilLog10,
  confirmationsWanted,
  firstDetectionPeriods,
  nackDelayMs,
  pushGossipRounds,
  pushPullScaleMs,
  remainingSuspicionMs,
  retransmitLimit,
  scaledProbeIntervalMs,
  suspicionTimeoutMs,
  transmitLimit,
  worstDetectionPeriods,
} from '../../src/protocol/math.ts';

const NS_PER_MS = 1e6;
const vectors = JSON.parse(readFileSync(new URL('../vectors/formulas.json', import.meta.url), 'utf8')) as Record<
  string,
  { columns: string[]; rows: number[][] }
>;
function rows(name: string): number[][] {
  const found = vectors[name]?.rows ?? [];
  expect(found.length).toBeGreaterThan(10);
  return found;
}

describe('formulas', () => {
  it('gives the retransmit limits of the golden table', () => {
    for (const [mult, n, limit] of rows('retransmit_limit') as [number, number, number][]) {
      expect([mult, n, retransmitLimit(mult, n)]).toEqual([mult, n, limit]);
    }
  });

  it('gives the suspicion timeouts of the golden table', () => {
    for (const [mult, n, interval, timeout] of rows('suspicion_timeout') as [number, number, number, number][]) {
      const got = Math.round(suspicionTimeoutMs(mult, n, interval / NS_PER_MS) * NS_PER_MS);
      expect([mult, n, interval, got]).toEqual([mult, n, interval, timeout]);
    }
  });

  it('gives the remaining suspicion times of the golden table', () => {
    type Row = [number, number, number, number, number, number];
    for (const [c, k, elapsed, min, max, remaining] of rows('remaining_suspicion_time') as Row[]) {
      const got = remainingSuspicionMs(c, k, elapsed / NS_PER_MS, min / NS_PER_MS, max / NS_PER_MS) * NS_PER_MS;
      expect([c, k, elapsed, got]).toEqual([c, k, elapsed, remaining]);
    }
  });

  it('gives the push/pull intervals of the golden table', () => {
    for (const [interval, n, scaled] of rows('push_pull_scale') as [number, number, number][]) {
      expect([n, pushPullScaleMs(interval / NS_PER_MS, n) * NS_PER_MS]).toEqual([n, scaled]);
    }
  });

  it('takes logarithms exactly at powers of ten and two', () => {
    for (let e = 1; e <= 15; e++) {
      expect(ceilLog10(10 ** e)).toBe(e);
      expect(ceilLog10(10 ** e - 1)).toBe(e);
      expect(ceilLog10(10 ** e + 1)).toBe(e + 1);
      expect(suspicionTimeoutMs(1, 10 ** e, 1000)).toBe(1000 * e);
    }
    for (let e = 1; e <= 50; e++) {
      expect(ceilLog2(2 ** e)).toBe(e);
      expect(ceilLog2(2 ** e + 1)).toBe(e + 1);
    }
    expect([ceilLog10(0), ceilLog10(1), ceilLog2(0), ceilLog2(1)]).toEqual([0, 0, 0, 0]);
  });

  it('wants no confirmations in a cluster too small to have them', () => {
    expect([1, 2, 3, 4, 10].map((n) => confirmationsWanted(4, n))).toEqual([0, 0, 0, 2, 2]);
    expect(confirmationsWanted(1, 100)).toBe(0);
    expect(confirmationsWanted(2, 100)).toBe(0);
  });

  it('Lifeguard §3.1: timeouts for n=128, alpha=5, beta=6, K=3 are 63.2, 36.9, 21.5 and 10.5 s', () => {
    const min = suspicionTimeoutMs(5, 128, 1000);
    const timeouts = [0, 1, 2, 3].map((c) => remainingSuspicionMs(c, 3, 0, min, 6 * min));
    expect(timeouts.map((ms) => Math.round(ms / 100) / 10)).toEqual([63.2, 36.9, 21.5, 10.5]);
  });

  it('Lifeguard §3.1: the protocol period grows with the health score and nacks leave at 80 % of the timeout', () => {
    expect([0, 1, 8].map((score) => scaledProbeIntervalMs(1000, score))).toEqual([1000, 2000, 9000]);
    expect(nackDelayMs(500)).toBe(400);
  });

  it('SWIM §2.2: first detection is expected after e/(e-1) periods', () => {
    expect(firstDetectionPeriods()).toBeCloseTo(1.582, 3);
    expect(worstDetectionPeriods(8)).toBe(15);
  });

  it('sends news at least ln n + 7 times, and never less often than memberlist', () => {
    expect([1, 5, 1000].map((n) => transmitLimit(4, n))).toEqual([7, 9, 16]);
    expect(transmitLimit(8, 10_000)).toBe(retransmitLimit(8, 10_000));
  });

  it('predicts more gossip rounds for more members and fewer for a larger fanout', () => {
    expect(pushGossipRounds(1, 3)).toBe(0);
    expect(pushGossipRounds(1000, 3)).toBeGreaterThan(pushGossipRounds(100, 3));
    expect(pushGossipRounds(1000, 6)).toBeLessThan(pushGossipRounds(1000, 3));
  });
});
