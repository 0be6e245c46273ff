import { freemem } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { BackendName } from '../kernels/contract.ts';
import type { EngineConfig, ProfileName } from '../protocol/config.ts';
import { HearsayError } from '../util/errors.ts';
import { Prng } from '../util/prng.ts';
import { SCENARIOS, type Scenario, type Stage } from './scenarios.ts';
import { type Fault, type FromShard, LATENCY_BUCKETS, type Sample, type ShardInput, type ToShard } from './types.ts';

export interface LoadTestOptions {
  readonly nodes: number;
  readonly shards: number;
  readonly profile: ProfileName;
  readonly tuning: Partial<EngineConfig>;
  readonly backend: BackendName | undefined;
  readonly udp: 'auto' | 'dgram' | 'batched';
  readonly scenario: Scenario;
  /** 'acquainted': all know all from the start; 'join': all join through the first node. */
  readonly start: 'acquainted' | 'join';
  readonly durationMs: number;
  readonly settleMs: number;
  /** Let some nodes fail and come back before anything is measured. Default no. */
  readonly rehearse?: boolean;
  /** Default 30,000, as a Cluster's. */
  readonly rejoinIntervalMs?: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly progress: (moment: Progress) => void;
}

/** Told about once a second. */
export interface Progress {
  readonly phase: string;
  readonly ms: number;
  readonly view: { readonly min: number; readonly mean: number; readonly max: number };
  readonly live: number;
  readonly packetsPerSecond: number;
  readonly verdicts: number;
  readonly verdictsExpected: number;
  readonly falsePositives: number;
}

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
  readonly packets: 'dgram' | 'batched';
  readonly start: string;
  /** Until every node saw every other, ms. */
  readonly joinMs: number;
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
  /** Sent by each node and second during the measured part. */
  readonly perNode: { readonly packets: Spread; readonly bytes: Spread };
  readonly kernelDrops: number;
  readonly sendDrops: number;
  readonly loopDelay: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly lateness: { readonly mean: number; readonly max: number };
  /** Share of all processors that was used. */
  readonly cpu: number;
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

/** Measured with 10,000 nodes: a row, its place in the indexes and its share of the rest. */
const BYTES_PER_ROW = 52;
const BYTES_PER_NODE = 40_000;
const SAMPLE_MS = 1000;
const YOUNG_MB = 128;
const REHEARSAL_NODES = 10;
const REHEARSAL_MS_MAX = 30_000;
/** With less than this the protocol's own timers are the larger part of every figure. */
const LATE_MS_MAX = 25;
const DROPS_MAX = 0.001;

/** Bytes that so many nodes take, about. */
export function estimateBytes(nodes: number): number {
  return nodes * nodes * BYTES_PER_ROW + nodes * BYTES_PER_NODE + 150 * 2 ** 20;
}

export function scenarioOf(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (!found) {
    throw new HearsayError(
      'ERR_ARGUMENT_INVALID',
      `scenario: expected one of ${SCENARIOS.map((scenario) => scenario.name).join(', ')}, got ${JSON.stringify(name)}`,
    );
  }
  return found;
}

/** Throws ERR_ARGUMENT_INVALID when this machine has not enough memory, with the estimate. */
export function checkMemory(nodes: number): void {
  const needed = estimateBytes(nodes);
  const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);
  if (needed > freemem()) {
    const fits = Math.floor(Math.sqrt(Math.max(0, freemem() - 200 * 2 ** 20) / (BYTES_PER_ROW + 4)));
    throw new HearsayError(
      'ERR_ARGUMENT_INVALID',
      `nodes: ${nodes} take about ${gib(needed)} GiB, and ${gib(freemem())} GiB are free here; about ${fits} would fit`,
    );
  }
}

export async function runLoadTest(options: LoadTestOptions): Promise<LoadTestReport> {
  const fleet = new LoadFleet(options);
  try {
    return await fleet.run();
  } finally {
    await fleet.stop();
  }
}

class LoadFleet implements Stage {
  readonly nodes: number;
  readonly #options: LoadTestOptions;
  readonly #workers: Worker[] = [];
  readonly #prng: Prng;
  readonly #killed = new Set<number>();
  #everKilled = 0;
  readonly #trace: [number, number, number, number, number][] = [];
  readonly #asked = new Map<
    number,
    { left: number; readonly samples: Sample[]; readonly done: (samples: Sample[]) => void }
  >();
  #lastId = 0;
  #waiting = 0;
  #onReady: () => void = () => undefined;
  #onFailed: (error: Error) => void = () => undefined;
  #failed: Error | undefined;
  #packets: 'dgram' | 'batched' = 'batched';
  #originMs = performance.now();
  #phase = 'starting';
  #expected = 0;
  #restarts = 0;
  #lastPackets = 0;
  #lastLookMs = 0;
  #cpu = process.cpuUsage();

  constructor(options: LoadTestOptions) {
    this.#options = options;
    this.nodes = options.nodes;
    this.#prng = new Prng(options.seed);
  }

  async run(): Promise<LoadTestReport> {
    const { scenario, durationMs, settleMs, start } = this.#options;
    await this.#start();
    const fromMs = performance.now();
    if (start === 'join') {
      this.#phase = 'joining';
      this.#tell({ kind: 'join', seeds: [0], atOnce: 32 });
      await this.untilViews(600_000);
    } else {
      this.#phase = 'making acquainted';
      await this.#all({ kind: 'acquaint' });
    }
    const joinMs = performance.now() - fromMs;
    this.#phase = 'settling';
    await this.wait(settleMs);
    if (this.#options.rehearse) await this.#rehearse();
    this.#phase = scenario.name;
    this.#tell({ kind: 'reset' });
    this.#lastPackets = 0;
    this.#cpu = process.cpuUsage();
    const measuredFromMs = performance.now();
    await scenario.run(this, durationMs);
    const samples = await this.#sample(true);
    const measuredMs = performance.now() - measuredFromMs;
    return this.#report(samples, joinMs, measuredMs);
  }

  kill(indices: readonly number[]): void {
    for (const index of indices) this.#killed.add(index);
    this.#everKilled += indices.length;
    this.#expected += indices.length * (this.nodes - this.#killed.size);
    this.#tell({ kind: 'kill', nodes: indices, atMs: performance.timeOrigin + performance.now() });
  }

  restart(indices: readonly number[]): void {
    for (const index of indices) this.#killed.delete(index);
    this.#tell({ kind: 'restart', nodes: indices, seed: ++this.#restarts });
  }

  pause(indices: readonly number[], ms: number): void {
    this.#tell({ kind: 'pause', nodes: indices, ms });
  }

  fault(fault: Fault | undefined): void {
    this.#tell({ kind: 'fault', fault });
  }

  pick(count: number): number[] {
    const pool = Array.from({ length: this.nodes - 1 }, (_, i) => i + 1).filter((index) => !this.#killed.has(index));
    for (let i = 0; i < Math.min(count, pool.length); i++) {
      const j = i + this.#prng.below(pool.length - i);
      [pool[i], pool[j]] = [pool[j] as number, pool[i] as number];
    }
    return pool.slice(0, count);
  }

  async wait(ms: number): Promise<void> {
    const untilMs = performance.now() + ms;
    for (let left = ms; left > 0; left = untilMs - performance.now()) {
      await delay(Math.min(SAMPLE_MS, left), undefined, { signal: this.#options.signal });
      await this.#look();
    }
  }

  async untilVerdicts(limitMs: number): Promise<void> {
    await this.#until(
      limitMs,
      (samples) => samples.reduce((sum, { verdictCount }) => sum + verdictCount, 0) >= this.#expected,
    );
  }

  async untilViews(limitMs: number): Promise<void> {
    const live = this.nodes - this.#killed.size;
    await this.#until(limitMs, (samples) =>
      samples.every(({ view }) => view.nodes === 0 || (view.min === live && view.max === live)),
    );
  }

  /**
   * Some nodes fail and come back before anything is measured: a process that has never seen a failure compiles what it does about one while it does it, and here a few processes do that for
   * thousands of nodes at the same instant.
   */
  async #rehearse(): Promise<void> {
    this.#phase = 'rehearsing';
    const nodes = this.pick(Math.min(REHEARSAL_NODES, Math.ceil(this.nodes / 100)));
    this.kill(nodes);
    await this.untilVerdicts(REHEARSAL_MS_MAX);
    this.restart(nodes);
    await this.untilViews(REHEARSAL_MS_MAX);
    await this.wait(this.#options.settleMs);
    this.#everKilled = 0;
    this.#expected = 0;
    this.#trace.length = 0;
  }

  async stop(): Promise<void> {
    this.#tell({ kind: 'stop' });
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async #until(limitMs: number, isDone: (samples: readonly Sample[]) => boolean): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while (performance.now() < untilMs) {
      await delay(Math.min(SAMPLE_MS, 250), undefined, { signal: this.#options.signal });
      if (isDone(await this.#look())) return;
    }
  }

  async #start(): Promise<void> {
    const { nodes, shards, profile, tuning, backend, udp, seed } = this.#options;
    const ports: number[] = [];
    this.#waiting = shards;
    const bound = this.#ready();
    for (let index = 0; index < shards; index++) {
      const rejoinIntervalMs = this.#options.rejoinIntervalMs ?? 30_000;
      const input: ShardInput = { index, shards, nodes, profile, tuning, backend, udp, seed, rejoinIntervalMs };
      // Always from dist/, as the engine's thread (src/cluster/worker-link.ts).
      const worker = new Worker(new URL('../../dist/loadtest/worker.js', import.meta.url), {
        workerData: input,
        // Tables are outside of the heap. What a packet allocates is gone when the next one comes: with more room for the young, fewer of them are looked at.
        resourceLimits: { maxOldGenerationSizeMb: 4096, maxYoungGenerationSizeMb: YOUNG_MB },
      });
      worker.on('message', (message: FromShard) => {
        if (message.kind === 'bound') {
          ports[index] = message.port;
          this.#packets = message.packets;
          this.#countReady();
        } else this.#hear(message);
      });
      worker.on('error', (error) => this.#fail(error));
      this.#workers.push(worker);
    }
    await bound;
    await this.#all({ kind: 'ports', ports });
  }

  #hear(message: FromShard): void {
    if (message.kind === 'ready') this.#countReady();
    else if (message.kind === 'failed') this.#fail(new Error(message.message));
    else if (message.kind === 'sample') {
      const asked = this.#asked.get(message.id);
      if (!asked) return;
      asked.samples.push(message.sample);
      if (--asked.left > 0) return;
      this.#asked.delete(message.id);
      asked.done(asked.samples);
    }
  }

  #fail(error: Error): void {
    this.#failed = error;
    this.#onFailed(error);
  }

  #countReady(): void {
    if (--this.#waiting === 0) this.#onReady();
  }

  #ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onReady = resolve;
      this.#onFailed = reject;
    });
  }

  #tell(message: ToShard): void {
    for (const worker of this.#workers) worker.postMessage(message);
  }

  /** Tells all shards and waits until each is done with it. */
  async #all(message: ToShard): Promise<void> {
    this.#waiting = this.#workers.length;
    const ready = this.#ready();
    this.#tell(message);
    await ready;
  }

  #sample(isFull: boolean): Promise<Sample[]> {
    if (this.#failed) return Promise.reject(this.#failed);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#onFailed = reject;
      this.#asked.set(id, { left: this.#workers.length, samples: [], done: resolve });
      this.#tell({ kind: 'sample', id, isFull });
    });
  }

  async #look(): Promise<Sample[]> {
    const samples = await this.#sample(false);
    const nowMs = performance.now();
    const ms = nowMs - this.#originMs;
    const view = viewOf(samples);
    const packets = samples.reduce((sum, { packetsSent }) => sum + packetsSent, 0);
    const seconds = Math.max(0.001, (nowMs - this.#lastLookMs) / 1000);
    const packetsPerSecond = Math.max(0, packets - this.#lastPackets) / seconds;
    this.#lastPackets = packets;
    this.#lastLookMs = nowMs;
    this.#trace.push([Math.round(ms), view.min, view.mean, view.max, Math.round(packetsPerSecond)]);
    this.#options.progress({
      phase: this.#phase,
      ms,
      view,
      live: this.nodes - this.#killed.size,
      packetsPerSecond,
      verdicts: samples.reduce((sum, { verdictCount }) => sum + verdictCount, 0),
      verdictsExpected: this.#expected,
      falsePositives: samples.reduce((sum, { falsePositives }) => sum + falsePositives, 0),
    });
    return samples;
  }

  #report(samples: readonly Sample[], joinMs: number, measuredMs: number): LoadTestReport {
    const { nodes, shards, profile, scenario, start } = this.#options;
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
    const cpu = process.cpuUsage(this.#cpu);
    const seconds = measuredMs / 1000;
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
    return {
      nodes,
      shards,
      profile,
      scenario: scenario.name,
      packets: this.#packets,
      start,
      joinMs,
      killed: this.#everKilled,
      first: quantilesOf(histogramOf(firsts.values())),
      every: quantilesOf(histogram),
      verdictsExpected: this.#expected,
      verdicts: total(({ verdictCount }) => verdictCount),
      curve: curveOf(histogram),
      falsePositives: total(({ falsePositives }) => falsePositives),
      accused: new Set(samples.flatMap(({ accused }) => accused)).size,
      suspicions: total(({ suspicions }) => suspicions),
      refutations: total(({ refutations }) => refutations),
      trace: this.#trace,
      perNode: { packets: spreadOf(packets), bytes: spreadOf(bytes) },
      kernelDrops,
      sendDrops: total(({ sendDrops }) => sendDrops),
      loopDelay,
      lateness,
      cpu: (cpu.user + cpu.system) / 1000 / measuredMs,
      rssBytes: process.memoryUsage.rss(),
      measuredMs,
      overload,
    };
  }
}

function viewOf(samples: readonly Sample[]): { readonly min: number; readonly mean: number; readonly max: number } {
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
