import type { ProfileName } from '../protocol/config.ts';
import { LATENCY_BUCKETS, type Sample } from './types.ts';

export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface LoadTestReport {
  readonly nodes: number;
  readonly shards: number;
  readonly profile: ProfileName;
  readonly scenario: string;
  readonly packets: 'dgram' | 'batched' | 'simulated';
  readonly start: string;
  readonly seed: number;
  /** What was asked for; kills last until all others know. */
  readonly durationMs: number;
  /** Until every node saw every other, ms; undefined when that did not happen in time. */
  readonly joinMs: number | undefined;
  readonly killed: number;
  /** Ms from the kill: the first verdict about each killed node, and the verdict of every live observer about each. */
  readonly first: Quantiles | undefined;
  readonly every: Quantiles | undefined;
  /** Observers that should have declared a node dead, and that did. */
  readonly verdictsExpected: number;
  readonly verdicts: number;
  /** Verdicts by ms, for the plot: [ms, how many up to there]. */
  readonly curve: readonly (readonly [number, number])[];
  readonly falsePositives: number;
  readonly accused: number;
  readonly suspicions: number;
  readonly refutations: number;
  /** Per second: ms, least, mean and most members that live nodes see, packets per second. */
  readonly trace: readonly (readonly [number, number, number, number, number])[];
  /** Nodes that are up in the end, how many members they see then, and whether all of them see exactly those nodes. */
  readonly live: number;
  readonly seen: { readonly min: number; readonly mean: number; readonly max: number };
  readonly areAllAgreed: boolean;
  /** Sent by each node and second during the measured part. */
  readonly perNode: { readonly packets: Spread; readonly bytes: Spread };
  readonly kernelDrops: number;
  readonly sendDrops: number;
  readonly loopDelay: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly lateness: { readonly mean: number; readonly max: number };
  /** Share of all processors that was used. */
  readonly cpu: number;
  /** The kernel's part of it: sockets, mostly. */
  readonly cpuKernel: number;
  readonly rssBytes: number;
  readonly measuredMs: number;
  /** Why the figures are of the machine and not of the protocol; empty when they are of the protocol. */
  readonly overload: readonly string[];
}

export interface Spread {
  readonly mean: number;
  readonly p99: number;
  readonly max: number;
}

/** With less than this the protocol's own timers are the larger part of every figure. */
const LATE_MS_MAX = 25;
const DROPS_MAX = 0.001;

/** What is not counted by shards. */
export type Facts = Pick<
  LoadTestReport,
  | 'nodes'
  | 'shards'
  | 'profile'
  | 'scenario'
  | 'packets'
  | 'start'
  | 'seed'
  | 'durationMs'
  | 'live'
  | 'joinMs'
  | 'killed'
  | 'verdictsExpected'
  | 'trace'
  | 'cpu'
  | 'cpuKernel'
  | 'rssBytes'
  | 'measuredMs'
>;

/** What the process has used since `before`. */
export function processFacts(
  before: NodeJS.CpuUsage,
  measuredMs: number,
): Pick<Facts, 'cpu' | 'cpuKernel' | 'rssBytes' | 'measuredMs'> {
  const { user, system } = process.cpuUsage(before);
  return {
    cpu: (user + system) / 1000 / measuredMs,
    cpuKernel: system / 1000 / measuredMs,
    rssBytes: process.memoryUsage.rss(),
    measuredMs,
  };
}

/** The report on what these shards counted, in full samples. */
export function reportOf(samples: readonly Sample[], facts: Facts): LoadTestReport {
  const total = (pick: (sample: Sample) => number): number => samples.reduce((sum, each) => sum + pick(each), 0);
  const most = (pick: (sample: Sample) => number): number => Math.max(...samples.map(pick));
  const histogram = new Float64Array(LATENCY_BUCKETS);
  for (const { verdicts } of samples) {
    for (let ms = 0; verdicts && ms < LATENCY_BUCKETS; ms++) {
      histogram[ms] = (histogram[ms] as number) + (verdicts[ms] as number);
    }
  }
  const firsts = new Map<number, number>();
  for (const sample of samples)
    for (const [node, ms] of sample.firsts)
      firsts.set(node, Math.min(ms, firsts.get(node) ?? Number.POSITIVE_INFINITY));
  const seconds = facts.measuredMs / 1000;
  const packets = samples
    .flatMap(({ perNode }) => (perNode ? [...perNode.packets] : []))
    .map((count) => count / seconds);
  const bytes = samples.flatMap(({ perNode }) => (perNode ? [...perNode.bytes] : [])).map((count) => count / seconds);
  const kernelDrops = total(({ kernelDrops }) => kernelDrops);
  const sent = total(({ packetsSent }) => packetsSent);
  const loopDelay = {
    p50: most(({ loopDelay }) => loopDelay.p50),
    p99: most(({ loopDelay }) => loopDelay.p99),
    max: most(({ loopDelay }) => loopDelay.max),
  };
  const lateness = { mean: most(({ lateness }) => lateness.mean), max: most(({ lateness }) => lateness.max) };
  const overload: string[] = [];
  if (kernelDrops > DROPS_MAX * sent)
    overload.push(
      `the system dropped ${kernelDrops} packets (${((100 * kernelDrops) / Math.max(1, sent)).toFixed(2)} %) because nobody fetched them in time`,
    );
  if (lateness.mean > LATE_MS_MAX) overload.push(`timers fired ${lateness.mean.toFixed(0)} ms late on the average`);
  const seen = viewOf(samples);
  return {
    ...facts,
    seen,
    areAllAgreed: seen.min === facts.live && seen.max === facts.live,
    first: quantilesOf(histogramOf(firsts.values())),
    every: quantilesOf(histogram),
    verdicts: total(({ verdictCount }) => verdictCount),
    curve: curveOf(histogram),
    falsePositives: total(({ falsePositives }) => falsePositives),
    accused: new Set(samples.flatMap(({ accused }) => accused)).size,
    suspicions: total(({ suspicions }) => suspicions),
    refutations: total(({ refutations }) => refutations),
    perNode: { packets: spreadOf(packets), bytes: spreadOf(bytes) },
    kernelDrops,
    sendDrops: total(({ sendDrops }) => sendDrops),
    loopDelay,
    lateness,
    overload,
  };
}

/** What went wrong, in a sentence; undefined when nothing did. */
export function problemOf(report: LoadTestReport): string | undefined {
  const { accused, joinMs, start, verdicts, verdictsExpected } = report;
  if (accused > 0) return `${accused === 1 ? '1 live node was' : `${accused} live nodes were`} declared dead`;
  if (verdicts < verdictsExpected)
    return `${(verdictsExpected - verdicts).toLocaleString('en-US')} verdicts are missing`;
  return joinMs === undefined && start === 'join' ? 'not all nodes saw all others in time' : undefined;
}

/** What all shards together see. */
export function viewOf(samples: readonly Pick<Sample, 'view'>[]): {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
} {
  const nodes = samples.reduce((sum, { view }) => sum + view.nodes, 0);
  return {
    min: Math.min(...samples.filter(({ view }) => view.nodes > 0).map(({ view }) => view.min)),
    mean: samples.reduce((sum, { view }) => sum + view.sum, 0) / Math.max(1, nodes),
    max: Math.max(...samples.map(({ view }) => view.max)),
  };
}

function histogramOf(values: Iterable<number>): Float64Array {
  const histogram = new Float64Array(LATENCY_BUCKETS);
  for (const value of values) {
    const bucket = Math.min(LATENCY_BUCKETS - 1, Math.max(0, Math.round(value)));
    histogram[bucket] = (histogram[bucket] as number) + 1;
  }
  return histogram;
}

function quantilesOf(histogram: Float64Array): Quantiles | undefined {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const at = (share: number): number => {
    let left = share * total;
    for (let ms = 0; ms < histogram.length; ms++) {
      left -= histogram[ms] as number;
      if (left <= 0) return ms;
    }
    return histogram.length - 1;
  };
  return {
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    p999: at(0.999),
    max: histogram.findLastIndex((count) => count > 0),
  };
}

function curveOf(histogram: Float64Array): [number, number][] {
  const curve: [number, number][] = [];
  const last = histogram.findLastIndex((count) => count > 0);
  if (last < 0) return curve;
  const step = Math.max(1, Math.ceil(last / 400));
  let sum = 0;
  for (let ms = 0; ms <= last; ms++) {
    sum += histogram[ms] as number;
    if (ms % step === 0 || ms === last) curve.push([ms, sum]);
  }
  return curve;
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  return {
    mean: sorted.reduce((sum, value) => sum + value, 0) / Math.max(1, sorted.length),
    p99: sorted[Math.min(sorted.length - 1, Math.floor(0.99 * sorted.length))] ?? 0,
    max: sorted.at(-1) ?? 0,
  };
}
