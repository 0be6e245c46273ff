import { setImmediate as breath } from 'node:timers/promises';
import { lossAt, partition } from '../sim/network.ts';
import type { SimNode } from '../sim/sim-node.ts';
import { Simulation } from '../sim/simulation.ts';
import { Prng } from '../util/prng.ts';
import { indexOfName, nameOf } from './addresses.ts';
import { Casualties } from './casualties.ts';
import { type LoadTestReport, processFacts, reportOf, viewOf } from './report.ts';
import type { LoadTestOptions } from './run.ts';
import { JOIN_MS, type Stage } from './scenarios.ts';
import { Tally } from './tally.ts';
import type { Fault, Sample } from './types.ts';
import { viewSizes } from './view.ts';

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
  #undo: (() => void) | undefined;
  readonly #casualties: Casualties;
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
    this.#casualties = new Casualties(options.nodes, this.#prng);
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
    const { scenario, durationMs, settleMs, start, profile, seed } = this.#options;
    const began = process.cpuUsage();
    this.#simulation.addNodes(this.nodes);
    if (!scenario.startsAlone) {
      this.#phase = 'meeting';
      if (start === 'join') await this.joinAll(JOIN_MS);
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
    return reportOf([this.#sample()], {
      nodes: this.nodes,
      shards: 1,
      profile,
      scenario: scenario.name,
      packets: 'simulated',
      start: scenario.startsAlone ? 'join' : start,
      seed,
      durationMs,
      live: this.#casualties.live,
      joinMs: this.#joinMs,
      killed: this.#casualties.killed,
      verdictsExpected: this.#casualties.expected,
      trace: this.#trace,
      ...processFacts(began, measuredMs),
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
      this.#tally.killed(index, this.#simulation.nowMs);
      this.#simulation.crash(nameOf(index));
    }
    this.#casualties.kill(indices, areVerdictsExpected);
  }

  restart(indices: readonly number[]): void {
    this.#casualties.restart(indices);
    for (const index of indices) {
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
    return this.#casualties.pick(count);
  }

  async wait(ms: number): Promise<void> {
    await this.#drive(ms, () => false);
  }

  async untilVerdicts(limitMs: number): Promise<void> {
    await this.#drive(limitMs, () => this.#tally.verdictCount >= this.#casualties.expected);
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
    const view = viewOf([{ view: viewSizes(this.#simulation.up) }]);
    const packetsPerSecond = Math.round(
      (1000 * (packetsSent - this.#packetsThen)) / Math.max(1, nowMs - this.#sampledMs),
    );
    this.#sampledMs = nowMs;
    this.#packetsThen = packetsSent;
    this.#trace.push([nowMs, view.min, view.mean, view.max, packetsPerSecond]);
    const { verdictCount, falsePositives } = this.#tally;
    this.#options.progress({
      phase: this.#phase,
      ms: nowMs,
      view,
      live: this.#casualties.live,
      packetsPerSecond,
      verdicts: verdictCount,
      verdictsExpected: this.#casualties.expected,
      falsePositives,
    });
  }

  #sample(): Sample {
    const { up } = this.#simulation;
    const packets = new Float64Array(up.length);
    const bytes = new Float64Array(up.length);
    for (const [i, { name, engine }] of up.entries()) {
      packets[i] = engine.stats.packetsSent - (this.#before.get(name)?.packets ?? 0);
      bytes[i] = engine.stats.bytesSent - (this.#before.get(name)?.bytes ?? 0);
    }
    const none = { p50: 0, p99: 0, max: 0 };
    return {
      ...this.#tally.counts,
      view: viewSizes(up),
      packetsSent: this.#simulation.packetsSent,
      kernelDrops: 0,
      sendDrops: 0,
      perNode: { packets, bytes },
      loopDelay: none,
      lateness: { mean: 0, max: 0 },
    };
  }
}
