// Trials: small clusters drawn from a seed. The swarm runs thousands of them; here some, and that they are what they claim to be.
import { describe, expect, it } from 'vitest';
import { BUGS, firstSeed } from '../../scripts/plant-bugs.mjs';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { describeTrial, drawTrial, runTrial } from '../../src/sim/index.ts';
import { FAULT_KINDS } from '../../src/sim/trial/parameters.ts';

const hasNative = hasNativeClass('MemberTable');

describe('a trial', () => {
  it.each(Array.from({ length: 40 }, (_, i) => i + 1))('seed %i keeps all promises', (seed) => {
    const { problem, healMs, boundMs, parameters } = runTrial(seed);
    expect(problem, describeTrial(parameters).join('\n')).toBeUndefined();
    expect(healMs).toBeLessThanOrEqual(boundMs);
  });

  it('is the same twice, line by line', () => {
    const run = (): string[] => {
      const lines: string[] = [];
      runTrial(11, { backend: 'js', trace: (line) => lines.push(line) });
      return lines;
    };
    const first = run();
    expect(first.length).toBeGreaterThan(50);
    expect(run()).toEqual(first);
  });

  it.runIf(hasNative)('leaves the same trace on native kernels, twins, and a mix of both', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const [native, js, mixed] = (['native', 'js', 'mixed'] as const).map((backend) => runTrial(seed, { backend }));
      expect([js?.digest, mixed?.digest, js?.packets]).toEqual([native?.digest, native?.digest, native?.packets]);
    }
  });

  it('draws every kind of fault, cluster sizes from 3 to 20, and all it draws from the seed', () => {
    const drawn = Array.from({ length: 300 }, (_, i) => drawTrial(i));
    expect(new Set(drawn.flatMap(({ faults }) => faults.map(({ kind }) => kind)))).toEqual(new Set(FAULT_KINDS));
    expect(Math.min(...drawn.map(({ nodes }) => nodes))).toBe(3);
    expect(Math.max(...drawn.map(({ nodes }) => nodes))).toBe(20);
    expect(drawTrial(17)).toEqual(drawn[17]);
  });
});

describe('planted bugs', () => {
  it.each(BUGS)('$name: $what', async (bug) => {
    expect(await firstSeed(bug, 30)).toMatchObject({ seed: expect.any(Number), problem: expect.stringContaining(':') });
  });
});
