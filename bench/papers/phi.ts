import { ArrivalWindow, phiExponential, phiLogistic, phiNormal } from '../../src/protocol/phi.ts';
import { Prng } from '../../src/util/prng.ts';
import { settled } from './cluster.ts';
import { atMost, type Experiment, mean, near, quantile, type Row, show } from './experiment.ts';

type Job =
  | { readonly kind: 'formulas' }
  | {
      readonly kind: 'faults';
      readonly threshold: number;
      readonly loss: number;
      readonly nodes: number;
      readonly minutes: number;
      readonly crashes: number;
    };

interface Result {
  readonly job: Job;
  /** formulas: the crossings, in the order of PUBLISHED. */
  readonly crossings: number[];
  /** ms from a crash to the first verdict. */
  readonly firstMs: number[];
  /** Members that were declared dead though they lived: how often by somebody first, in how many member-hours. */
  readonly mistakes: number;
  readonly hours: number;
  readonly packetsPerSecond: number;
}

const PUBLISHED: readonly (readonly [string, number])[] = [
  ['Cassandra (exponential): silence at which phi is 8, mean intervals', 18.42],
  ['Akka (logistic): silence at which phi is 8, 1 s beats, pause 3 s, deviation 100 ms, s', 4.523],
  ['normal: deviations above the mean at which phi is 8', 5.612],
  ['normal: deviations at which phi is 3', 3.09],
  ['normal: deviations at which phi is 12', 7.035],
  ['Akka: deviations at which phi is 3', 3.059],
  ['Akka: deviations at which phi is 12', 6.292],
];

/** Where a growing function passes `level`. */
function crossing(of: (x: number) => number, level: number, high: number): number {
  let low = 0;
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (of(middle) < level) low = middle;
    else high = middle;
  }
  return high;
}

function crossings(): number[] {
  // Beats of 1 s until the start has been forgotten.
  const window = new ArrivalWindow(0, 1000, 10);
  for (let beat = 1; beat <= 20; beat++) window.heartbeat(1000 * beat, 4000);
  const akka = (seconds: number): number =>
    phiLogistic(1000 * seconds, window.meanMs + 3000, Math.max(100, window.sdMs));
  const normal = (level: number): number => crossing((y) => phiNormal(y, 0, 1), level, 20);
  const logistic = (level: number): number => crossing((y) => phiLogistic(y, 0, 1), level, 20);
  return [
    crossing((x) => phiExponential(x, 1), 8, 100),
    crossing(akka, 8, 100),
    normal(8),
    normal(3),
    normal(12),
    logistic(3),
    logistic(12),
  ];
}

function faults(job: Extract<Job, { kind: 'faults' }>): Omit<Result, 'crossings'> {
  const { threshold, loss, nodes, minutes, crashes } = job;
  const sim = settled(nodes, { seed: 1, tuning: { phiThreshold: threshold }, network: { loss } }, 60_000);
  let mistakes = 0;
  let crashed = '';
  let crashMs = 0;
  const firstMs: number[] = [];
  /** Verdicts about one member that belong together: the first counts. */
  const lastVerdict = new Map<string, number>();
  sim.check({
    name: 'verdicts',
    event: (_, event, nowMs) => {
      if (event.type !== 'dead') return;
      const { name } = event.member;
      if (name === crashed) {
        if (firstMs.length < crashes && lastVerdict.get(name) !== crashMs) firstMs.push(nowMs - crashMs);
        lastVerdict.set(name, crashMs);
        return;
      }
      if (nowMs - (lastVerdict.get(name) ?? Number.NEGATIVE_INFINITY) > 10_000) mistakes++;
      lastVerdict.set(name, nowMs);
    },
  });
  const packets = sim.packetsSent;
  sim.run(60_000 * minutes);
  const packetsPerSecond = (sim.packetsSent - packets) / nodes / (60 * minutes);
  const found = mistakes;
  const random = new Prng(nodes);
  for (let i = 0; i < crashes; i++) {
    crashed = `n${random.below(nodes)}`;
    crashMs = sim.nowMs;
    sim.crash(crashed);
    const wanted = firstMs.length + 1;
    sim.until(() => firstMs.length >= wanted, 300_000);
    sim.run(5000);
    const seed = sim.up[0];
    sim.restart(crashed);
    sim.act(crashed, (engine, now) => engine.join(now, seed ? [seed.address] : []));
    crashed = '';
    sim.run(20_000 + random.below(1000));
  }
  return { job, firstMs, mistakes: found, hours: (nodes * minutes) / 60, packetsPerSecond };
}

const SWIM = 0;

export const phi: Experiment<Job, Result> = {
  name: 'phi',
  title: 'Phi accrual, beside SWIM',
  source: 'Hayashibara, Défago, Yared, Katayama 2004; Cassandra FailureDetector; Akka PhiAccrualFailureDetector',
  method:
    "Formulas by bisection. The comparison: the engine in the simulator, 32 members, LAN preset, the same seed and loss for all; `phiThreshold` 0 is SWIM with Lifeguard. The paper's week of heartbeats from Switzerland to Japan was not published, so its figures cannot be run again: of them only the shape is held.",
  jobs(scale) {
    const isFull = scale === 'full';
    const [nodes, minutes, crashes] = isFull ? [32, 20, 20] : [12, 5, 3];
    const job = (threshold: number, loss: number): Job => ({
      kind: 'faults',
      threshold,
      loss,
      nodes,
      minutes,
      crashes,
    });
    return [
      { kind: 'formulas' },
      ...(isFull ? [0, 0.02, 0.05, 0.1] : [0.1]).map((loss) => job(SWIM, loss)),
      ...(isFull ? [0, 0.02, 0.05, 0.1] : []).map((loss) => job(8, loss)),
      ...(isFull ? [1, 2, 4, 12] : [1, 12]).map((threshold) => job(threshold, 0.1)),
    ];
  },
  work: (job) =>
    job.kind === 'formulas'
      ? { job, crossings: crossings(), firstMs: [], mistakes: 0, hours: 0, packetsPerSecond: 0 }
      : { ...faults(job), crossings: [] },
  report(results) {
    const rows: Row[] = PUBLISHED.map(([what, published], i) =>
      near(what, results[0]?.crossings[i] as number, published, 0.001),
    );
    const runs = results.flatMap(({ job, firstMs, mistakes, hours, packetsPerSecond }) =>
      job.kind === 'faults'
        ? [
            {
              threshold: job.threshold,
              loss: job.loss,
              mistakes,
              perHour: mistakes / hours,
              hours,
              meanMs: mean(firstMs),
              medianMs: quantile(firstMs, 0.5),
              maxMs: Math.max(...firstMs),
              packetsPerSecond,
            },
          ]
        : [],
    );
    const lossy = runs
      .filter(({ threshold, loss }) => threshold > 0 && loss === 0.1)
      .sort((a, b) => a.threshold - b.threshold);
    const [low, high] = [lossy[0], lossy.at(-1)];
    if (low && high) {
      rows.push(
        atMost(
          `10 % loss: mistakes at threshold ${high.threshold} over those at ${low.threshold} (paper: they fall with the threshold)`,
          high.mistakes / Math.max(1, low.mistakes),
          1,
          1,
        ),
        atMost(
          `10 % loss: median detection at threshold ${low.threshold} over that at ${high.threshold} (paper: it rises)`,
          low.medianMs / high.medianMs,
          1,
          1,
        ),
      );
    }
    const lines = [
      '| detector | loss | live members declared dead, per member-hour | crash to first verdict, median / longest | datagrams per member and second |',
      '|---|---:|---:|---:|---:|',
      ...runs.map(
        ({ threshold, loss, mistakes, perHour, medianMs, maxMs, packetsPerSecond }) =>
          `| ${threshold === SWIM ? 'SWIM with Lifeguard' : `phi ${threshold}`} | ${100 * loss} % | ${show(perHour)} (${mistakes}) | ${show(medianMs / 1000)} / ${show(maxMs / 1000)} s | ${show(packetsPerSecond)} |`,
      ),
    ];
    return { rows, data: runs, lines };
  },
};
