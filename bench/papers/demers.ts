import { Prng } from '../../src/util/prng.ts';
import { around, atMost, type Experiment, mean, near, type Row } from './experiment.ts';
import { type Epidemic, meanCurve, spread } from './rounds.ts';

interface Job {
  readonly epidemic: Epidemic;
  readonly runs: number;
  readonly seed: number;
}

interface Result {
  readonly s: number;
  readonly m: number;
  readonly tAve: number;
  readonly tLast: number;
  readonly curve: number[];
}

const SITES = 1000;
const counter = (k: number) => ({ rule: 'counter', k, feedback: true }) as const;
const blindCoin = (k: number) => ({ rule: 'coin', k, feedback: false }) as const;
const push = { sites: SITES, direction: 'push' } as const;
const pull = { sites: SITES, direction: 'pull' } as const;

/** Published [s, m, t_last], and for pull t_ave too. */
const TABLE_1 = [
  [0.18, 1.7, 16.8],
  [0.037, 3.3, 16.9],
  [0.011, 4.5, 17.4],
  [0.0036, 5.6, 17.5],
  [0.0012, 6.7, 17.7],
] as const;
const TABLE_2 = [
  [0.96, 0.04, 38],
  [0.2, 1.6, 33],
  [0.06, 2.8, 32],
  [0.021, 3.9, 32],
  [0.008, 4.9, 32],
] as const;
const TABLE_3 = [
  [0.031, 2.7, 17.6, 9.97],
  [5.8e-4, 4.5, 15.4, 10.07],
  [4e-6, 6.1, 14.0, 10.08],
] as const;

/** In the order of the report. */
const EPIDEMICS: readonly Epidemic[] = [
  ...TABLE_1.map((_, i) => ({ ...push, stop: counter(i + 1) })),
  ...TABLE_2.map((_, i) => ({ ...push, stop: blindCoin(i + 1) })),
  ...TABLE_3.map((_, i) => ({ ...pull, stop: counter(i + 1) })),
  push,
  pull,
  { sites: SITES, direction: 'push-pull' },
  { ...push, stop: { rule: 'coin', k: 2, feedback: true } },
  { ...push, stop: { rule: 'counter', k: 2, feedback: false } },
  { ...push, stop: counter(2), connectionLimit: 1 },
];

/** s = exp(-(k+1)(1-s)), by iteration from below. */
export function coinResidue(k: number): number {
  let s = 0;
  for (let i = 0; i < 200; i++) s = Math.exp(-(k + 1) * (1 - s));
  return s;
}

export const demers: Experiment<Job, Result> = {
  name: 'demers',
  title: 'Epidemic algorithms: rumors and anti-entropy',
  source: 'Demers et al. 1987, tables 1 to 3, §1.3 and §1.4',
  method:
    'Synchronous cycles, 1000 sites, uniform partners, 300 runs of each variant. A contact is judged by the state at the start of its cycle; a useful contact sets the counter to 0. t_ave of tables 1 and 2 is not compared: it is not the mean cycle of the process that matches all other columns.',
  jobs: (scale) =>
    EPIDEMICS.map((epidemic, i) => ({ epidemic, runs: scale === 'full' ? 300 : 30, seed: 1000 * (i + 1) })),
  work({ epidemic, runs, seed }) {
    const results = Array.from({ length: runs }, (_, i) => spread(epidemic, seed + i));
    return {
      s: mean(results.map(({ residue }) => residue)),
      m: mean(results.map(({ traffic }) => traffic)),
      tAve: mean(results.map(({ meanCycle }) => meanCycle)),
      tLast: mean(results.map(({ lastCycle }) => lastCycle)),
      curve: meanCurve(results.map(({ curve }) => curve)),
    };
  },
  report(results, scale) {
    const loose = scale === 'full' ? 1 : 3;
    const at = (i: number): Result => results[i] as Result;
    const rows: Row[] = [];
    const compare = (table: string, base: number, published: readonly (readonly number[])[]): void => {
      published.forEach((row, i) => {
        const [s, m, tLast, tAve] = row as [number, number, number, number | undefined];
        const { s: ourS, m: ourM, tAve: ourAve, tLast: ourLast } = at(base + i);
        const label = `${table}, k=${i + 1}`;
        // Few sites are left over: noise, and two published digits.
        if (s < 1e-4) rows.push(atMost(`${label}: residue s`, ourS, s, 1e-4));
        else rows.push(near(`${label}: residue s`, ourS, s, (s < 0.001 ? 0.3 : s < 0.01 ? 0.25 : 0.06) * loose));
        rows.push(near(`${label}: traffic m`, ourM, m, (m < 0.1 ? 0.15 : 0.05) * loose));
        rows.push(near(`${label}: last cycle`, ourLast, tLast, 0.05 * loose));
        if (tAve !== undefined) rows.push(near(`${label}: mean cycle`, ourAve, tAve, 0.05 * loose));
      });
    };
    compare('Table 1 (push, feedback, counter)', 0, TABLE_1);
    compare('Table 2 (push, blind, coin)', 5, TABLE_2);
    compare('Table 3 (pull, feedback, counter)', 10, TABLE_3);
    const theory = Math.log2(SITES) + Math.log(SITES);
    rows.push(around('Anti-entropy, push: last cycle (log2 n + ln n + O(1))', at(13).tLast, theory, 2));
    rows.push(around('Anti-entropy, pull: last cycle (own check in C)', at(14).tLast, 13.8, 0.5));
    rows.push(around('Anti-entropy, push-pull: last cycle (own check in C)', at(15).tLast, 9.1, 0.5));
    for (const i of [0, 1]) {
      const { sites, loss, reached } = directMail(i);
      rows.push(near(`Direct mail to ${sites}, ${loss * 100} % loss: share reached`, reached, 1 - loss, 0.02));
    }
    for (let k = 1; k < 5; k++) {
      const { s, m } = at(k);
      rows.push(near(`Push, counter k=${k + 1}: -ln s / m (s = e^-m)`, -Math.log(s) / m, 1, 0.05 * loose));
    }
    rows.push(
      near('Push, feedback, coin k=2: residue s = exp(-(k+1)(1-s))', at(16).s, coinResidue(2), 0.08 * loose, {
        note: 'the formula lets contacts happen one after the other; in synchronous cycles two who tell one site at once both count as useful, so fewer stop early',
      }),
    );
    rows.push(near('Push, blind, counter k=2: -ln s / m', -Math.log(at(17).s) / at(17).m, 1, 0.05 * loose));
    const lambda = 1 / (1 - 1 / Math.E);
    rows.push(
      near('Push, connection limit 1: -ln s / m = 1/(1-1/e)', -Math.log(at(18).s) / at(18).m, lambda, 0.1 * loose, {
        note: 'the paper derives it for the tail, when nearly all sites are active; over a whole epidemic the early updates, which hardly ever collide, count too',
      }),
    );
    const names = ['push', 'pull', 'push-pull'];
    const curves = names.flatMap((name, i) =>
      at(13 + i).curve.map((share, cycle) => ({ name, cycle, share, kind: 'measured' })),
    );
    return { rows, data: { sites: SITES, curves: [...curves, ...theoryCurves()] } };
  },
};

/** What the recursions say: push s' = s e^-(1-s), pull s' = s^2, both: their product. */
function theoryCurves(): { name: string; cycle: number; share: number; kind: string }[] {
  const steps = {
    push: (s: number) => s * Math.exp(-(1 - s)),
    pull: (s: number) => s * s,
    'push-pull': (s: number) => s * s * Math.exp(-(1 - s)),
  };
  return Object.entries(steps).flatMap(([name, step]) => {
    let s = 1 - 1 / SITES;
    return Array.from({ length: 22 }, (_, cycle) => {
      const share = 1 - s;
      s = step(s);
      return { name, cycle, share, kind: 'recursion' };
    });
  });
}

/** One letter to each site: whoever it does not reach never hears. */
function directMail(i: number): { sites: number; loss: number; reached: number } {
  const random = new Prng(i + 1);
  const loss = i === 0 ? 0.01 : 0.1;
  const letters = 100 * SITES;
  let reached = 0;
  for (let letter = 0; letter < letters; letter++) if (random.unit() >= loss) reached++;
  return { sites: SITES, loss, reached: reached / letters };
}
