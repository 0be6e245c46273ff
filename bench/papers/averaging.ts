import { Prng } from '../../src/util/prng.ts';
import { atMost, type Experiment, mean, near, quantile, type Row } from './experiment.ts';

interface Job {
  readonly nodes: number;
  readonly cycles: number;
  readonly start: 'uniform' | 'peak';
  readonly order: 'shuffled' | 'fixed';
  readonly seed: number;
}

interface Result extends Job {
  /** Geometric mean of var(t+1) / var(t). */
  readonly factor: number;
  /** Worst relative error of 1/x as a size, over all nodes, after each cycle; peak start only. */
  readonly errors: number[];
}

export const averaging: Experiment<Job, Result> = {
  name: 'averaging',
  title: 'Push-pull averaging and network size',
  source: 'Jelasity, Montresor, Babaoglu 2005; Jelasity 2011 §2',
  method:
    'Cycles in which each of 10,000 nodes exchanges once with a uniform partner; both take the mean, one exchange after the other. 20 cycles for the factor, 30 for the size.',
  jobs: (scale) => {
    const nodes = scale === 'full' ? 10_000 : 1000;
    const runs = scale === 'full' ? 5 : 3;
    return Array.from({ length: runs }, (_, i) => i + 1).flatMap((seed) => [
      { nodes, cycles: 20, start: 'uniform', order: 'shuffled', seed } as const,
      { nodes, cycles: 20, start: 'uniform', order: 'fixed', seed } as const,
      { nodes, cycles: 30, start: 'peak', order: 'shuffled', seed } as const,
    ]);
  },
  work(job) {
    const { nodes, cycles, start, order, seed } = job;
    const random = new Prng(seed);
    const values = Float64Array.from({ length: nodes }, (_, i) => (start === 'peak' ? Number(i === 0) : random.unit()));
    const turns = Int32Array.from({ length: nodes }, (_, i) => i);
    const first = variance(values);
    const errors: number[] = [];
    for (let cycle = 0; cycle < cycles; cycle++) {
      if (order === 'shuffled') shuffle(turns, random);
      for (const node of turns) {
        const partner = (node + 1 + random.below(nodes - 1)) % nodes;
        const both = ((values[node] as number) + (values[partner] as number)) / 2;
        values[node] = both;
        values[partner] = both;
      }
      if (start === 'peak') errors.push(worstError(values));
    }
    return { ...job, factor: (variance(values) / first) ** (1 / cycles), errors };
  },
  report(results, scale) {
    const of = (start: string, order: string): Result[] =>
      results.filter((each) => each.start === start && each.order === order);
    const factor = (list: Result[]): number => mean(list.map((each) => each.factor));
    const share = scale === 'full' ? 0.01 : 0.03;
    const rows: Row[] = [
      near(
        'variance per cycle, shuffled order (1/(2√e))',
        factor(of('uniform', 'shuffled')),
        1 / (2 * Math.sqrt(Math.E)),
        share,
      ),
      near('variance per cycle, fixed order (own check in C)', factor(of('uniform', 'fixed')), 0.2936, share),
    ];
    const peaks = of('peak', 'shuffled');
    const worst = (cycle: number): number =>
      quantile(
        peaks.map((each) => each.errors[cycle - 1] as number),
        0.5,
      );
    rows.push(
      atMost('size from a peak: worst error of all nodes, 20 cycles (own check in C)', worst(20), 2e-3, 5e-3),
      atMost('size from a peak: worst error of all nodes, 30 cycles (own check in C)', worst(30), 4e-6, 2e-5),
    );
    return { rows, data: { errors: (peaks[0] as Result).errors.map((error, i) => ({ cycle: i + 1, error })) } };
  },
};

function worstError(values: Float64Array): number {
  let worst = 0;
  for (const value of values) worst = Math.max(worst, Math.abs(1 / (value * values.length) - 1));
  return worst;
}

function variance(values: Float64Array): number {
  const middle = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / values.length;
}

export function shuffle(list: Int32Array, random: Prng): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const at = list[i] as number;
    list[i] = list[j] as number;
    list[j] = at;
  }
}
