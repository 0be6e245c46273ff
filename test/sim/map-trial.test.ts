// Trials of replicated maps, all of each drawn from a seed: `make sim-swarm ARGS=--maps` runs many.
import { describe, expect, it } from 'vitest';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { runMapTrial } from '../../src/sim/index.ts';
import { MapStore } from '../../src/state/map-store.ts';

/** Seeds that found something while this was made: an expired value that let an older one through, a tombstone that only some retention sites kept, two writes at one moment. */
const SEEDS = [20, 23, 268, 415, 493];

describe('a replicated map', () => {
  it.each(SEEDS)('keeps its promises with seed %i', { timeout: 60_000 }, (seed) => {
    expect(runMapTrial(seed).problem).toBeUndefined();
  });

  it.skipIf(!hasNativeClass('MemberTable'))(
    'does the same on native kernels, their twins and a mix',
    { timeout: 60_000 },
    () => {
      const reports = (['native', 'js', 'mixed'] as const).map((backend) => runMapTrial(3, { backend }));
      expect(new Set(reports.map(({ digest }) => digest)).size).toBe(1);
      expect(reports[0]?.problem).toBeUndefined();
    },
  );

  it('is found out when it does not', { timeout: 60_000 }, () => {
    // A store that forgets what it has seen brings back what was deleted.
    const { discard } = MapStore.prototype;
    MapStore.prototype.discard = () => undefined;
    try {
      const problems = SEEDS.map((seed) => runMapTrial(seed).problem);
      expect(problems.some((problem) => problem !== undefined)).toBe(true);
    } finally {
      MapStore.prototype.discard = discard;
    }
  });
});
