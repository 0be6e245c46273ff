// The experiments run small, so that they cannot rot; `make papers` runs them at full size.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { averaging } from '../../bench/papers/averaging.ts';
import { certificates } from '../../bench/papers/certificates.ts';
import { convergence } from '../../bench/papers/convergence.ts';
import { demers } from '../../bench/papers/demers.ts';
import { estimate } from '../../bench/papers/estimate.ts';
import { around, atMost, type Experiment, near, quantile, runHere } from '../../bench/papers/experiment.ts';
import { EXPERIMENTS, experimentOf } from '../../bench/papers/experiments.ts';
import { lifeguard } from '../../bench/papers/lifeguard.ts';
import { phi } from '../../bench/papers/phi.ts';
import { spread } from '../../bench/papers/rounds.ts';
import { survival } from '../../bench/papers/survival.ts';
import { suspicion } from '../../bench/papers/suspicion.ts';
import { swim } from '../../bench/papers/swim.ts';
import { table } from '../../bench/papers/table.ts';

function misses<Job, Result>(experiment: Experiment<Job, Result>): string[] {
  return runHere(experiment, 'small')
    .rows.filter(({ isPass }) => !isPass)
    .map(({ what, measured, published }) => `${what}: ${measured}, published ${published}`);
}

describe('papers', () => {
  it('Demers: tables 1 to 3, anti-entropy and direct mail', () => expect(misses(demers)).toEqual([]));
  it('Demers: certificates', () => expect(misses(certificates)).toEqual([]));
  it('Jelasity: averaging', () => expect(misses(averaging)).toEqual([]));
  it('Jelasity: the size of the network, by the engine', () => expect(misses(estimate)).toEqual([]));
  it('SWIM: detection, load, completeness, false alarms', () => expect(misses(swim)).toEqual([]));
  it('Lifeguard: timer', () => expect(misses(suspicion)).toEqual([]));
  it('convergence', () => expect(misses(convergence)).toEqual([]));
  it('phi accrual', () => expect(misses(phi)).toEqual([]));
  it('survival', () => expect(misses(survival)).toEqual([]));

  it('Lifeguard: each part takes false positives away, all together most', () => {
    const { counts } = runHere(lifeguard, 'small').data as { counts: Record<string, { fp: number }> };
    const count = (config: string): number => counts[config]?.fp ?? Number.NaN;
    expect(count('LHA-Probe')).toBeLessThan(count('SWIM'));
    expect(count('LHA-Suspicion')).toBeLessThan(count('SWIM'));
    expect(count('Lifeguard')).toBeLessThan(0.2 * count('SWIM'));
  });

  it('repeats itself', () => {
    for (const experiment of [demers, swim, lifeguard] as unknown as Experiment<unknown, unknown>[]) {
      const [job] = experiment.jobs('small');
      expect(experiment.work(job)).toEqual(experiment.work(job));
    }
  });

  it('with a connection limit of 1 and hunting for ever, push is a permutation', () => {
    const free = { sites: 200, direction: 'push', stop: { rule: 'counter', k: 4, feedback: true } } as const;
    const residue = (epidemic: Parameters<typeof spread>[0]): number =>
      Array.from({ length: 50 }, (_, i) => spread(epidemic, i + 1).residue).reduce((sum, each) => sum + each, 0);
    expect(residue({ ...free, connectionLimit: 1, hunt: 1000 })).toBeLessThan(0.5 * residue(free));
  });

  it('names each experiment once, with a place in the documentation', () => {
    const document = readFileSync('docs/papers.md', 'utf8');
    for (const { name, title } of EXPERIMENTS) {
      expect(experimentOf(name).title).toBe(title);
      expect(document).toContain(`## ${title}\n\n<!-- papers:${name}:start -->`);
    }
    expect(() => experimentOf('nothing')).toThrow('there are: demers');
  });

  it('judges by the tolerance, and says so in the table', () => {
    const rows = [
      near('a', 95, 100, 0.05),
      near('b', 94, 100, 0.05, { note: 'because' }),
      around('c', 3, 2, 0.5, { unit: 's' }),
      atMost('d', 3, 2, 3),
    ];
    expect(rows.map(({ isPass }) => isPass)).toEqual([true, false, false, true]);
    expect(table({ source: 'x', method: 'y' }, { rows, data: 0 })).toContain(
      '| b | 100 | 94 | ±5 % | **miss**: because |',
    );
    expect(quantile([5, 1, 3], 0.5)).toBe(3);
  });
});
