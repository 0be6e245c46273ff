import { bytesOf } from '../../src/util/bytes.ts';
import { lineThrough, settled } from './cluster.ts';
import { around, atMost, type Experiment, mean, type Row } from './experiment.ts';

interface Job {
  readonly nodes: number;
  readonly rumors: number;
  readonly seed: number;
}

interface Result extends Job {
  /** Of each rumor, ms after which each further member had it, in order. */
  readonly arrivals: number[][];
  /** Datagram bytes and datagrams that a member sends per second while nothing happens. */
  readonly bytesPerSecond: number;
  readonly packetsPerSecond: number;
}

const SETTLE_MS = 2000;
/** In which nothing happens, and the load is measured. */
const IDLE_MS = 10_000;
const INTERVAL_MS = 200;
const FANOUT = 3;

/** Serf's estimate: the logistic with (n+1) and half the fanout, less those to the dead; ms until this share is reached. */
export function serfMs(nodes: number, share: number, dead = 0): number {
  return (INTERVAL_MS * Math.log(((nodes + 1) * share) / (1 - share))) / (0.5 * FANOUT * (1 - dead));
}

export const convergence: Experiment<Job, Result> = {
  name: 'convergence',
  title: 'Convergence in O(log N)',
  source: 'Serf convergence simulator (formula); Pittel 1987 by Demers et al. §1.3',
  method:
    'The engine in the simulator, real messages, from 10 to 10,000 members (10,000 once, the others 5 to 10 times), LAN preset: fanout 3 every 200 ms, and all piggybacking. One member broadcasts a user message; the time until 99.99 % of the others (below 10,000: all) have it.',
  jobs: (scale) =>
    scale === 'full'
      ? [
          { nodes: 10_000, rumors: 2, seed: 1 },
          { nodes: 3000, rumors: 5, seed: 1 },
          ...[10, 30, 100, 300, 1000].map((nodes) => ({ nodes, rumors: 10, seed: 1 })),
        ]
      : [10, 40, 160].map((nodes) => ({ nodes, rumors: 4, seed: 1 })),
  work(job) {
    const { nodes, rumors, seed } = job;
    const sim = settled(nodes, { seed }, SETTLE_MS);
    const arrivals: number[][] = Array.from({ length: rumors }, () => []);
    let began = 0;
    let current = 0;
    sim.check({
      name: 'arrivals',
      event: (_, event, nowMs) => {
        if (event.type === 'message') (arrivals[current] as number[]).push(nowMs - began);
      },
    });
    const [bytes, packets] = [sim.bytesSent, sim.packetsSent];
    sim.run(IDLE_MS);
    const bytesPerSecond = ((sim.bytesSent - bytes) / nodes / IDLE_MS) * 1000;
    const packetsPerSecond = ((sim.packetsSent - packets) / nodes / IDLE_MS) * 1000;
    for (; current < rumors; current++) {
      began = sim.nowMs;
      sim.act(`n${(current * 7) % nodes}`, (engine, now) => engine.broadcast(now, bytesOf(`rumor ${current}`)));
      const list = arrivals[current] as number[];
      const wanted = Math.ceil(0.9999 * (nodes - 1));
      sim.until(() => list.length >= wanted, 60_000);
      sim.run(500);
    }
    return { ...job, arrivals, bytesPerSecond, packetsPerSecond };
  },
  report(results) {
    const sorted = [...results].sort((a, b) => a.nodes - b.nodes);
    const reach = ({ nodes, arrivals }: Result): number =>
      mean(arrivals.map((list) => list[Math.ceil(0.9999 * (nodes - 1)) - 1] as number));
    const rows: Row[] = [];
    for (const result of sorted.filter(({ nodes }) => nodes >= 100)) {
      const published = serfMs(result.nodes, 0.9999) / 1000;
      rows.push(
        atMost(`time to 99.99 %, n=${result.nodes}`, reach(result) / 1000, published, published * 1.2, {
          unit: 's',
          note: 'faster: the formula halves the fanout and counts ticks in step; here they are out of step, and news rides on probes and acks too',
        }),
      );
    }
    const [slope, intercept, r2] = lineThrough(sorted.map((result) => [Math.log10(result.nodes), reach(result)]));
    rows.push(around('straight line over log N: r²', r2, 1, 0.05));
    const [few, many] = [sorted[0] as Result, sorted.at(-1) as Result];
    rows.push(
      around(
        `messages of an idle member, n=${many.nodes} over n=${few.nodes} (SWIM: independent of n)`,
        many.packetsPerSecond / few.packetsPerSecond,
        1,
        0.1,
      ),
    );
    const one = sorted.find(({ nodes }) => nodes === 1000) ?? (sorted.at(-1) as Result);
    const curve = Array.from({ length: 71 }, (_, i) => i * 50).map((ms) => ({
      ms,
      share: mean(one.arrivals.map((list) => (1 + list.filter((each) => each <= ms).length) / one.nodes)),
      theory: 1 / (1 + (one.nodes + 1) * Math.exp((-0.5 * FANOUT * ms) / INTERVAL_MS)),
    }));
    const sizes = sorted.map((result) => ({
      n: result.nodes,
      allMs: mean(result.arrivals.map((list) => list.at(-1) as number)),
      mostMs: reach(result),
      theoryMs: serfMs(result.nodes, 0.9999),
      bytesPerSecond: result.bytesPerSecond,
      packetsPerSecond: result.packetsPerSecond,
    }));
    return { rows, data: { curveNodes: one.nodes, curve, line: { slope, intercept, r2 }, sizes } };
  },
};
