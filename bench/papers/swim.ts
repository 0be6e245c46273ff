import { Prng } from '../../src/util/prng.ts';
import { settled } from './cluster.ts';
import { atMost, type Experiment, mean, near, quantile, type Row } from './experiment.ts';

type Job =
  | { readonly kind: 'detection'; readonly nodes: number; readonly crashes: number; readonly seed: number }
  | { readonly kind: 'verdicts'; readonly nodes: number; readonly crashes: number }
  | { readonly kind: 'load'; readonly nodes: number; readonly periods: number }
  | { readonly kind: 'walk'; readonly nodes: number; readonly periods: number }
  | { readonly kind: 'false'; readonly relays: number; readonly loss: number; readonly periods: number };

interface Result {
  readonly job: Job;
  /** detection: ms from the crash to the first suspicion anywhere; verdicts: see there; walk: ms between two probes of one member by one member. */
  readonly times: number[];
  /** load: messages sent per member and period; false: share of probes that failed although the member lived. */
  readonly value: number;
}

const PERIOD_MS = 1000;

function detect({ nodes, crashes, seed }: Extract<Job, { kind: 'detection' }>): number[] {
  const times: number[] = [];
  const random = new Prng(seed);
  for (let i = 0; i < crashes; i++) {
    const sim = settled(nodes, { seed: seed * 10_000 + i }, 1000 + random.below(1000));
    let isSuspected = false;
    sim.check({
      name: 'first suspicion',
      event: (_, event) => {
        if (event.type === 'suspect') isSuspected = true;
      },
    });
    sim.crash(`n${random.below(nodes)}`);
    times.push(sim.until(() => isSuspected, 60_000));
  }
  return times;
}

/** Some crash at once; ms after which each survivor declared each of them dead, in order. */
function verdicts({ nodes, crashes }: Extract<Job, { kind: 'verdicts' }>): number[] {
  const sim = settled(nodes, { seed: 1 }, 2000);
  const times: number[] = [];
  const startMs = sim.nowMs;
  sim.check({
    name: 'verdicts',
    event: (_, event, nowMs) => {
      if (event.type === 'dead') times.push(nowMs - startMs);
    },
  });
  for (let i = 0; i < crashes; i++) sim.crash(`n${i * 7}`);
  sim.until(() => times.length === crashes * (nodes - crashes), 120_000);
  return times;
}

/** Only probes and their answers travel. */
const PROBES_ONLY = {
  gossipIntervalMs: 0,
  pushPullIntervalMs: 0,
  disableTcpPings: true,
  awarenessMaxMultiplier: 1,
} as const;

function load({ nodes, periods }: { nodes: number; periods: number }): number {
  const sim = settled(nodes, { tuning: PROBES_ONLY }, 2000);
  const before = sim.packetsSent;
  sim.run(periods * PERIOD_MS);
  return (sim.packetsSent - before) / nodes / periods;
}

function walk({ nodes, periods }: { nodes: number; periods: number }): number[] {
  const sim = settled(nodes, { tuning: { ...PROBES_ONLY, probeEvents: true } }, 0);
  const last = new Map<string, number>();
  const gaps: number[] = [];
  sim.check({
    name: 'probes',
    event: (node, event, nowMs) => {
      if (event.type !== 'probe') return;
      const pair = `${node.name} ${event.member.name}`;
      const before = last.get(pair);
      if (before !== undefined) gaps.push(nowMs - before);
      last.set(pair, nowMs);
    },
  });
  sim.run(periods * PERIOD_MS);
  return gaps;
}

function falseAlarms({ relays, loss, periods }: Extract<Job, { kind: 'false' }>): number {
  // A suspicion that never ends keeps everybody in the list, however many alarms there are.
  const tuning = { ...PROBES_ONLY, indirectChecks: relays, suspicionMult: 1000 };
  const sim = settled(32, { tuning, network: { loss } }, 2000);
  sim.run(periods * PERIOD_MS);
  let sent = 0;
  let failed = 0;
  for (const { engine } of sim.up) {
    sent += engine.stats.probesSent;
    failed += engine.stats.probesFailed;
  }
  return failed / sent;
}

/** SWIM §3.3, qf = 1: probability that a live member is suspected by somebody in a period, from that of one probe to fail. */
const PER_PERIOD = Math.E / (Math.E - 1);

export const swim: Experiment<Job, Result> = {
  name: 'swim',
  title: 'SWIM: detection time, load, completeness',
  source: 'Das, Gupta, Motivala 2002, §3.1, §3.3, §4.3 and §5',
  method:
    'The engine in the simulator, LAN latencies. Members probe out of step here, as in any real cluster: the first probe of a crashed member starts after an exponential time, mean one period, and fails one period later. Counted in whole periods until that probe starts, as the paper counts, the mean is e/(e-1).',
  jobs(scale) {
    const isFull = scale === 'full';
    const detections = (isFull ? [8, 16, 32, 64] : [16]).flatMap((nodes) =>
      Array.from(
        { length: isFull ? 4 : 1 },
        (_, seed): Job => ({
          kind: 'detection',
          nodes,
          crashes: isFull ? (nodes > 32 ? 125 : 250) : 60,
          seed: seed + 1,
        }),
      ),
    );
    return [
      { kind: 'verdicts', nodes: isFull ? 1000 : 30, crashes: isFull ? 10 : 2 },
      ...detections,
      ...(isFull ? [10, 100, 500] : [30]).map((nodes): Job => ({ kind: 'load', nodes, periods: 40 })),
      { kind: 'walk', nodes: isFull ? 32 : 12, periods: isFull ? 640 : 120 },
      ...[1, 3].map((relays): Job => ({ kind: 'false', relays, loss: 0.1, periods: isFull ? 1000 : 150 })),
    ];
  },
  work(job) {
    switch (job.kind) {
      case 'detection':
        return { job, times: detect(job), value: 0 };
      case 'verdicts':
        return { job, times: verdicts(job), value: 0 };
      case 'load':
        return { job, times: [], value: load(job) };
      case 'walk':
        return { job, times: walk(job), value: 0 };
      case 'false':
        return { job, times: [], value: falseAlarms(job) };
    }
  },
  report(results, scale) {
    const loose = scale === 'full' ? 1 : 4;
    const detections = results.filter(({ job }) => job.kind === 'detection');
    const rows: Row[] = [];
    for (const nodes of new Set(detections.map(({ job }) => 'nodes' in job && job.nodes))) {
      const times = detections.filter(({ job }) => 'nodes' in job && job.nodes === nodes).flatMap((each) => each.times);
      const periods = times.map((ms) => Math.max(1, Math.ceil((ms - PERIOD_MS) / PERIOD_MS)));
      rows.push(
        near(
          `first probe of a crashed member, n=${nodes}, ${times.length} crashes`,
          mean(periods),
          PER_PERIOD,
          0.05 * loose,
          {
            unit: 'periods',
            ...(nodes === 8
              ? {
                  note: 'the formula is the limit of large n and of independent choices; seven observers on round-robin walks do not wait that long',
                }
              : {}),
          },
        ),
      );
    }
    for (const { job, value } of results) {
      if (job.kind === 'load') {
        rows.push(near(`messages sent per member and period, n=${job.nodes}`, value, 2, 0.05));
      }
    }
    for (const { job, times } of results) {
      if (job.kind !== 'walk') continue;
      const bound = 2 * job.nodes - 1;
      rows.push(
        atMost(
          `longest wait between two probes of one member, n=${job.nodes}: 2n-1`,
          Math.max(...times) / PERIOD_MS,
          bound,
          bound,
          {
            unit: 'periods',
          },
        ),
      );
    }
    for (const { job, value } of results) {
      if (job.kind !== 'false') continue;
      const q = 1 - job.loss;
      const published = PER_PERIOD * (1 - q * q) * (1 - q ** 4) ** job.relays;
      rows.push(
        near(
          `false alarms per member and period, ${job.loss * 100} % loss, k=${job.relays}`,
          PER_PERIOD * value,
          published,
          0.1 * loose,
        ),
      );
    }
    const suspicions = detections.flatMap(({ times }) => times.map(Math.round)).sort((a, b) => a - b);
    const latencies = (results.find(({ job }) => job.kind === 'verdicts') as Result).times;
    // A curve needs no more points than it has pixels.
    const thinned = Array.from({ length: 400 }, (_, i) => Math.round(quantile(latencies, (i + 0.5) / 400)));
    return { rows, data: { periodMs: PERIOD_MS, suspicions, latencies: thinned } };
  },
};
