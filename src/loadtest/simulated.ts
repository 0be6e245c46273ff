import { setImmediate as breath } from 'node:timers/promises';
import { TABLE } from '../kernels/layout.ts';
import { lossAt, partition } from '../sim/network.ts';
import type { SimNode } from '../sim/sim-node.ts';
import { Simulation } from '../sim/simulation.ts';
import { Prng } from '../util/prng.ts';
import { indexOfName, nameOf } from './addresses.ts';
import { type LoadTestReport, reportOf } from './report.ts';
import { type LoadTestOptions, pickOf } from './run.ts';
import type { Stage } from './scenarios.ts';
import { Tally } from './tally.ts';
import type { Fault, Sample } from './types.ts';

/** Time passes in steps of this, so that who waits for something does not wait much longer, ms. */
const STEP_MS = 50;
const SAMPLE_MS = 1000;
/** Peers that a node that was started again joins through, as in a shard. */
const PEERS = 3;

/**
 * The same scenarios in virtual time: the engine is the same, the network is one of a LAN (0.2 ms and a tail of 0.3 ms one way), and no processor is ever busy. What differs from the run on
 * sockets is the machine's part.
 */
export async function simulateLoadTest(options: LoadTestOptions): Promise<LoadTestReport> {
  return new SimulatedFleet(options).run();
}

class SimulatedFleet implements Stage {
  readonly nodes: number;
  readonly #options: LoadTestOptions;
  readonly #simulation: Simulation;
  readonly #tally = new Tally();
  readonly #prng: Prng;
  readonly #killed = new Set<number>();
  #undo: (() => void) | undefined;
  #everKilled = 0;
  #expected = 0;
  #joinMs: number | undefined;
  #phase = 'starting';
  #sampledMs = 0;
  #packetsThen = 0;
  readonly #trace: [number, number, number, number, number][] = [];
  readonly #before = new Map<string, { readonly packets: number; readonly bytes: number }>();

  constructor(options: LoadTestOptions) {
    this.#options = options;
    this.nodes = options.nodes;
    this.#prng = new Prng(options.seed);
    const { seed, profile, tuning, backend, rejoinIntervalMs } = options;
    this.#simulation = new Simulation({
      seed,
      profile,
      tuning,
      history: 0,
      ...(backend ? { backend } : {}),
      ...(rejoinIntervalMs === undefined ? {} : { rejoinIntervalMs }),
    });
    this.#simulation.check({
      name: 'tally',
      event: (node, event, nowMs) => this.#tally.note(indexOfName(node.name), event, nowMs),
    });
  }

  async run(): Promise<LoadTestReport> {
    const { scenario, durationMs, settleMs, start, profile } = this.#options;
    const began = process.cpuUsage();
    this.#simulation.addNodes(this.nodes);
    if (!scenario.startsAlone) {
      this.#phase = 'meeting';
      if (start === 'join') await this.joinAll(settleMs);
      else this.#simulation.acquaint();
      await this.wait(settleMs);
    }
    this.#phase = scenario.name;
    this.#tally.reset();
    for (const { name, engine } of this.#simulation.up)
      this.#before.set(name, { packets: engine.stats.packetsSent, bytes: engine.stats.bytesSent });
    const fromMs = this.#simulation.nowMs;
    await scenario.run(this, durationMs);
    this.#look();
    const measuredMs = this.#simulation.nowMs - fromMs;
    const cpu = process.cpuUsage(began);
    return reportOf([this.#sample()], {
      nodes: this.nodes,
      shards: 1,
      profile,
      scenario: scenario.name,
      packets: 'simulated',
      start: scenario.startsAlone ? 'join' : start,
      joinMs: this.#joinMs,
      killed: this.#everKilled,
      verdictsExpected: this.#expected,
      trace: this.#trace,
      cpu: (cpu.user + cpu.system) / 1000 / measuredMs,
      cpuKernel: cpu.system / 1000 / measuredMs,
      rssBytes: process.memoryUsage.rss(),
      measuredMs,
    });
  }

  async joinAll(limitMs: number): Promise<void> {
    const [first, ...others] = this.#simulation.up as [SimNode, ...SimNode[]];
    const fromMs = this.#simulation.nowMs;
    for (const { name } of others) this.#simulation.act(name, (engine, nowMs) => engine.join(nowMs, [first.address]));
    if (await this.untilViews(limitMs)) this.#joinMs = this.#simulation.nowMs - fromMs;
  }

  kill(indices: readonly number[], areVerdictsExpected = true): void {
    for (const index of indices) {
      this.#killed.add(index);
      this.#tally.killed(index, this.#simulation.nowMs);
      this.#simulation.crash(nameOf(index));
    }
    this.#everKilled += indices.length;
    if (areVerdictsExpected) this.#expected += indices.length * (this.nodes - this.#killed.size);
  }

  restart(indices: readonly number[]): void {
    for (const index of indices) {
      this.#killed.delete(index);
      this.#tally.restarted(index);
      this.#before.delete(nameOf(index));
      this.#simulation.restart(nameOf(index));
      const peers = Array.from({ length: PEERS }, () => this.#simulation.node(nameOf(this.#prng.below(this.nodes))));
      this.#simulation.act(nameOf(index), (engine, nowMs) =>
        engine.join(
          nowMs,
          peers.map(({ address }) => address),
        ),
      );
    }
  }

  pause(indices: readonly number[], ms: number): void {
    for (const index of indices) this.#simulation.pause(nameOf(index), ms);
  }

  fault(fault: Fault | undefined): void {
    this.#undo?.();
    this.#undo = undefined;
    this.#tally.faulty = new Set(fault?.kind === 'some' ? fault.nodes : []);
    if (fault === undefined) return;
    const names = Array.from({ length: this.nodes }, (_, index) => nameOf(index));
    if (fault.kind === 'loss') this.#undo = this.#simulation.rule(lossAt(names, fault.ratio));
    else if (fault.kind === 'partition')
      this.#undo = this.#simulation.rule(partition(names.slice(0, fault.border), names.slice(fault.border)));
    else this.#undo = this.#simulation.rule(this.#someRule(fault));
  }

  pick(count: number): number[] {
    return pickOf(this.nodes, this.#killed, this.#prng, count);
  }

  async wait(ms: number): Promise<void> {
    await this.#drive(ms, () => false);
  }

  async untilVerdicts(limitMs: number): Promise<void> {
    await this.#drive(limitMs, () => this.#tally.counts.verdictCount >= this.#expected);
  }

  untilViews(limitMs: number): Promise<boolean> {
    return this.#drive(limitMs, () => this.#simulation.isConverged());
  }

  /** As a shard does it (Shard#isLost). */
  #someRule({
    nodes,
    ratio,
    oneWay,
    periodMs,
  }: Extract<Fault, { readonly kind: 'some' }>): Parameters<Simulation['rule']>[0] {
    const names = new Set(nodes.map(nameOf));
    const fromMs = this.#simulation.nowMs;
    return ({ from, to, nowMs }, random) => {
      if (!names.has(to) && (oneWay || !names.has(from))) return undefined;
      if (periodMs > 0 && Math.floor((nowMs - fromMs) / periodMs) % 2 === 1) return undefined;
      return random.unit() < ratio ? 'drop' : undefined;
    };
  }

  async #drive(limitMs: number, isDone: () => boolean): Promise<boolean> {
    const untilMs = this.#simulation.nowMs + limitMs;
    while (this.#simulation.nowMs < untilMs) {
      if (isDone()) return true;
      this.#simulation.run(Math.min(STEP_MS, untilMs - this.#simulation.nowMs));
      if (this.#simulation.nowMs - this.#sampledMs < SAMPLE_MS) continue;
      this.#look();
      await breath();
      this.#options.signal.throwIfAborted();
    }
    return isDone();
  }

  #look(): void {
    const { nowMs, packetsSent } = this.#simulation;
    const { view } = this.#sample();
    const mean = view.sum / Math.max(1, view.nodes);
    const packetsPerSecond = Math.round(
      (1000 * (packetsSent - this.#packetsThen)) / Math.max(1, nowMs - this.#sampledMs),
    );
    this.#sampledMs = nowMs;
    this.#packetsThen = packetsSent;
    this.#trace.push([nowMs, view.min, mean, view.max, packetsPerSecond]);
    const { verdictCount, falsePositives } = this.#tally.counts;
    this.#options.progress({
      phase: this.#phase,
      ms: nowMs,
      view: { min: view.min, mean, max: view.max },
      live: this.nodes - this.#killed.size,
      packetsPerSecond,
      verdicts: verdictCount,
      verdictsExpected: this.#expected,
      falsePositives,
    });
  }

  #sample(): Sample {
    const { up } = this.#simulation;
    const view = { min: Number.POSITIVE_INFINITY, sum: 0, max: 0, nodes: up.length };
    const packets = new Float64Array(up.length);
    const bytes = new Float64Array(up.length);
    for (const [i, { name, engine, kernels }] of up.entries()) {
      const { u32 } = kernels.table;
      const size = (u32[TABLE.aliveCount >>> 2] as number) + (u32[TABLE.suspectCount >>> 2] as number);
      view.min = Math.min(view.min, size);
      view.max = Math.max(view.max, size);
      view.sum += size;
      packets[i] = engine.stats.packetsSent - (this.#before.get(name)?.packets ?? 0);
      bytes[i] = engine.stats.bytesSent - (this.#before.get(name)?.bytes ?? 0);
    }
    const none = { p50: 0, p99: 0, max: 0 };
    return {
      ...this.#tally.counts,
      view,
      packetsSent: this.#simulation.packetsSent,
      bytesSent: this.#simulation.bytesSent,
      kernelDrops: 0,
      sendDrops: 0,
      perNode: { packets, bytes },
      loopDelay: none,
      lateness: { mean: 0, max: 0 },
    };
  }
}
