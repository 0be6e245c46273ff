import { freemem } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { BackendName } from '../kernels/contract.ts';
import type { EngineConfig, ProfileName } from '../protocol/config.ts';
import { HearsayError } from '../util/errors.ts';
import { Prng } from '../util/prng.ts';
import { Casualties } from './casualties.ts';
import { type LoadTestReport, processFacts, reportOf, viewOf } from './report.ts';
import { JOIN_MS, SCENARIOS, type Scenario, type Stage } from './scenarios.ts';
import type { Fault, FromShard, Sample, ShardInput, ToShard } from './types.ts';

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

/** Measured with 10,000 nodes: a row, its place in the indexes and its share of the rest. */
const BYTES_PER_ROW = 52;
const BYTES_PER_NODE = 40_000;
const SAMPLE_MS = 1000;
const YOUNG_MB = 128;
/** In each shard: each waits for turns of its own, and most of them for the one that all join through. */
const JOINS_AT_ONCE = 32;
const REHEARSAL_NODES = 10;
const REHEARSAL_MS_MAX = 30_000;

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
  readonly #casualties: Casualties;
  #joinMs: number | undefined;
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
  #restarts = 0;
  #lastPackets = 0;
  #lastLookMs = 0;
  #cpu = process.cpuUsage();

  constructor(options: LoadTestOptions) {
    this.#options = options;
    this.nodes = options.nodes;
    this.#casualties = new Casualties(options.nodes, new Prng(options.seed));
  }

  async run(): Promise<LoadTestReport> {
    const { scenario, durationMs } = this.#options;
    await this.#start();
    if (!scenario.startsAlone) await this.#meet();
    this.#phase = scenario.name;
    this.#tell({ kind: 'reset' });
    this.#lastPackets = 0;
    this.#cpu = process.cpuUsage();
    const measuredFromMs = performance.now();
    await scenario.run(this, durationMs);
    const samples = await this.#sample(true);
    const measuredMs = performance.now() - measuredFromMs;
    const { nodes, shards, profile, seed } = this.#options;
    return reportOf(samples, {
      nodes,
      shards,
      profile,
      scenario: scenario.name,
      packets: this.#packets,
      start: scenario.startsAlone ? 'join' : this.#options.start,
      seed,
      durationMs,
      live: this.#casualties.live,
      joinMs: this.#joinMs,
      killed: this.#casualties.killed,
      verdictsExpected: this.#casualties.expected,
      trace: this.#trace,
      ...processFacts(this.#cpu, measuredMs),
    });
  }

  async joinAll(limitMs: number): Promise<void> {
    const fromMs = performance.now();
    this.#tell({ kind: 'join', seeds: [0], atOnce: JOINS_AT_ONCE });
    if (await this.untilViews(limitMs)) this.#joinMs = performance.now() - fromMs;
  }

  kill(indices: readonly number[], areVerdictsExpected = true): void {
    this.#casualties.kill(indices, areVerdictsExpected);
    this.#tell({ kind: 'kill', nodes: indices, atMs: performance.timeOrigin + performance.now() });
  }

  restart(indices: readonly number[]): void {
    this.#casualties.restart(indices);
    this.#tell({ kind: 'restart', nodes: indices, seed: ++this.#restarts });
  }

  pause(indices: readonly number[], ms: number): void {
    this.#tell({ kind: 'pause', nodes: indices, ms });
  }

  fault(fault: Fault | undefined): void {
    this.#tell({ kind: 'fault', fault });
  }

  pick(count: number): number[] {
    return this.#casualties.pick(count);
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
      (samples) => samples.reduce((sum, { verdictCount }) => sum + verdictCount, 0) >= this.#casualties.expected,
    );
  }

  /** False when the time was over first. */
  async untilViews(limitMs: number): Promise<boolean> {
    const { live } = this.#casualties;
    return this.#until(limitMs, (samples) =>
      samples.every(({ view }) => view.nodes === 0 || (view.min === live && view.max === live)),
    );
  }

  /** All nodes come to know each other, and rest. */
  async #meet(): Promise<void> {
    const { settleMs, start } = this.#options;
    if (start === 'join') {
      this.#phase = 'joining';
      await this.joinAll(JOIN_MS);
    } else {
      this.#phase = 'making acquainted';
      const fromMs = performance.now();
      await this.#all({ kind: 'acquaint' });
      this.#joinMs = performance.now() - fromMs;
    }
    this.#phase = 'settling';
    await this.wait(settleMs);
    if (this.#options.rehearse) await this.#rehearse();
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
    this.#casualties.reset();
    this.#trace.length = 0;
  }

  async stop(): Promise<void> {
    this.#tell({ kind: 'stop' });
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async #until(limitMs: number, isDone: (samples: readonly Sample[]) => boolean): Promise<boolean> {
    const untilMs = performance.now() + limitMs;
    while (performance.now() < untilMs) {
      await delay(Math.min(SAMPLE_MS, 250), undefined, { signal: this.#options.signal });
      if (isDone(await this.#look())) return true;
    }
    return false;
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
      live: this.#casualties.live,
      packetsPerSecond,
      verdicts: samples.reduce((sum, { verdictCount }) => sum + verdictCount, 0),
      verdictsExpected: this.#casualties.expected,
      falsePositives: samples.reduce((sum, { falsePositives }) => sum + falsePositives, 0),
    });
    return samples;
  }
}
