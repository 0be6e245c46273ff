// Exchanges of states ahead of the regular ones when many fail at once (protocol §24.4), in simulated clusters.
import { describe, expect, it } from 'vitest';
import { type Rule, Simulation } from '../../src/sim/index.ts';

const NODES = 100;
const STEP_MS = 10;

/** What a member did, ms since the first crash. */
interface Exchanges {
  /** One for each that it opened. */
  readonly openedMs: number[];
  readonly failedMs: number[];
}

/** Crashes so many members at those times; what each of the others did until `endMs`. */
function exchangesAfter(
  crashes: readonly (readonly [atMs: number, members: number])[],
  endMs: number,
  rule?: Rule,
): Exchanges[] {
  // No regular exchanges within the test.
  const tuning = { pushPullIntervalMs: 3_600_000 };
  const sim = new Simulation({ seed: 8, profile: 'fast', history: 0, rejoinIntervalMs: 0, tuning });
  sim.addNodes(NODES);
  sim.acquaint();
  sim.run(3000);
  if (rule) sim.rule(rule);
  const others = sim.up.slice(crashes.reduce((sum, [, members]) => sum + members, 0));
  const watched = others.map(({ engine: { stats } }) => ({
    stats,
    opened: stats.pushPullsStarted,
    failed: stats.pushPullsFailed,
    exchanges: { openedMs: [] as number[], failedMs: [] as number[] },
  }));
  let crashed = 0;
  for (let ms = 0; ms < endMs; ms += STEP_MS) {
    for (const [atMs, members] of crashes)
      if (atMs === ms) for (const end = crashed + members; crashed < end; crashed++) sim.crash(`n${crashed}`);
    sim.run(STEP_MS);
    for (const { stats, opened, failed, exchanges } of watched) {
      while (exchanges.openedMs.length < stats.pushPullsStarted - opened) exchanges.openedMs.push(ms);
      while (exchanges.failedMs.length < stats.pushPullsFailed - failed) exchanges.failedMs.push(ms);
    }
  }
  return watched.map(({ exchanges }) => exchanges);
}

describe('when many fail at once', () => {
  it('an exchange with one of the dead is made up for with another member at once', () => {
    // When those of the second time fail, most are about to exchange states.
    const all = exchangesAfter(
      [
        [0, 20],
        [2000, 40],
      ],
      8000,
    );
    const failures = all.flatMap(({ openedMs, failedMs }) =>
      failedMs.map((atMs) => openedMs.filter((openMs) => openMs >= atMs && openMs <= atMs + STEP_MS).length),
    );
    expect(failures.length).toBeGreaterThan(10);
    for (const openedAtOnce of failures) expect(openedAtOnce).toBeGreaterThan(0);
  });

  it('who gets no answer does not wait for it before trying others', () => {
    // The first is abandoned after 10 s.
    const all = exchangesAfter([[0, NODES / 2]], 9000, ({ kind }) => (kind === 'stream' ? 'drop' : undefined));
    for (const { openedMs } of all) expect(openedMs.length).toBeGreaterThanOrEqual(2);
  });

  it('more of them later do not put the exchange off', () => {
    // Six in a hundred are known to be gone after 1.6 s; exchanges are due within 2 s of that, and in the midst of them these fail.
    const all = exchangesAfter(
      [
        [0, 3],
        [700, 3],
        [2200, 14],
      ],
      6000,
    );
    for (const { openedMs } of all) expect(openedMs[0]).toBeLessThan(3600);
  });
});
