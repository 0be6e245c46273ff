import type { BackendName } from '../../kernels/contract.ts';
import { STATUS } from '../../kernels/contract.ts';
import type { EngineConfig } from '../../protocol/config.ts';
import {
  pushGossipRounds,
  pushPullScaleMs,
  scaledProbeIntervalMs,
  suspicionTimeoutMs,
  worstDetectionPeriods,
} from '../../protocol/math.ts';
import { BoundsChecker } from '../checkers/bounds.ts';
import { CalmChecker } from '../checkers/calm.ts';
import { IncarnationChecker } from '../checkers/incarnations.ts';
import { OwnershipChecker } from '../checkers/ownership.ts';
import { SuspicionChecker } from '../checkers/suspicions.ts';
import { TombstoneChecker } from '../checkers/tombstones.ts';
import { Simulation } from '../simulation.ts';
import { momentsOf } from './faults.ts';
import { HASH_START, hash32 } from './hash.ts';
import { drawTrial, SAFETY_PERIODS, type TrialParameters } from './parameters.ts';

export interface TrialOptions {
  /** Which kernels. Default what HEARSAY_BACKEND says. */
  readonly backend?: BackendName | 'mixed';
  /** Hears every line of the trace. */
  readonly trace?: (line: string) => void;
}

/** What became of a trial. */
export interface TrialReport {
  readonly parameters: TrialParameters;
  /** What else was drawn, for people. */
  readonly details?: readonly string[];
  /** What went wrong, undefined when nothing did. */
  readonly problem: string | undefined;
  /** Virtual time that the healed core took to agree, and the bound for it, ms; 0 when it did not come to that. */
  readonly healMs: number;
  readonly boundMs: number;
  readonly virtualMs: number;
  readonly steps: number;
  readonly packets: number;
  /** Of all lines of the trace: equal for equal runs. */
  readonly digest: string;
}

/** The checkers look at everything this often, periods. */
const LOOK_PERIODS = 1;
/** A node that misses somebody asks again this often, as a driver's rejoining does, periods. */
const REJOIN_PERIODS = 10;
/** Until the last news has been told and the scores have come down, periods. */
const SETTLE_PERIODS = 20;
const CALM_PERIODS = 12;
/** The last phase: lost packets and nothing else. */
const DRIZZLE_PERIODS = 15;
const DRIZZLE_LOSS = 0.05;

/**
 * One run of a small cluster, all of it drawn from a seed: it comes together; for SAFETY_PERIODS its faults happen, and nothing may break a
 * promise; then the network is whole, and whoever is up must agree within a bound; then nothing may happen any more; then some packets are lost, and no
 * more may come of it than the formulas say.
 */
export function runTrial(seed: number, options: TrialOptions = {}): TrialReport {
  const parameters = drawTrial(seed);
  let digest = HASH_START;
  const simulation = new Simulation({
    seed,
    profile: parameters.profile,
    tuning: parameters.tuning,
    network: parameters.network,
    history: 0,
    // A trial does that itself, sooner.
    rejoinIntervalMs: 0,
    ...(options.backend ? { backend: options.backend } : {}),
    trace: (line) => {
      digest = hash32(digest, line);
      options.trace?.(line);
    },
  });
  const trial = new Trial(simulation, parameters);
  let problem: string | undefined;
  try {
    trial.run();
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  return {
    parameters,
    problem,
    healMs: trial.healMs,
    boundMs: trial.boundMs,
    virtualMs: simulation.nowMs,
    steps: simulation.steps,
    packets: simulation.packetsSent,
    digest: (digest >>> 0).toString(16).padStart(8, '0'),
  };
}

class Trial {
  healMs = 0;
  boundMs = 0;
  readonly #simulation: Simulation;
  readonly #parameters: TrialParameters;
  readonly #tombstones = new TombstoneChecker();
  readonly #calm = new CalmChecker();
  readonly #suspicions = new SuspicionChecker();

  constructor(simulation: Simulation, parameters: TrialParameters) {
    this.#simulation = simulation;
    this.#parameters = parameters;
    simulation.check(
      new BoundsChecker(),
      IncarnationChecker.of(simulation),
      new OwnershipChecker(),
      this.#tombstones,
      this.#calm,
      this.#suspicions,
    );
  }

  run(): void {
    const { nodes, clockRates } = this.#parameters;
    const simulation = this.#simulation;
    for (let i = 0; i < nodes; i++) simulation.addNode(`n${i}`, { clockRate: clockRates[i] ?? 1 });
    const { config } = simulation.node('n0').engine;
    const periodMs = config.probeIntervalMs;
    simulation.joinAll(liveBoundMs(config, nodes));
    this.#safety(periodMs);
    this.#liveness(config, periodMs);
    this.#rest(periodMs);
    this.#drizzle(periodMs);
  }

  #safety(periodMs: number): void {
    const simulation = this.#simulation;
    const startMs = simulation.nowMs;
    const endMs = startMs + SAFETY_PERIODS * periodMs;
    // What would end later ends with the phase.
    const moments = this.#parameters.faults
      .flatMap((fault) => momentsOf(simulation, fault, periodMs))
      .map(({ atMs, act }) => ({ atMs: Math.min(startMs + atMs, endMs), act }))
      .sort((a, b) => a.atMs - b.atMs);
    for (const { atMs, act } of moments) {
      this.#runTo(atMs, periodMs);
      act();
    }
    this.#runTo(endMs, periodMs);
  }

  /** Lets time pass; the checkers look at everything now and then. */
  #runTo(endMs: number, periodMs: number): void {
    const simulation = this.#simulation;
    while (simulation.nowMs < endMs) simulation.run(Math.min(LOOK_PERIODS * periodMs, endMs - simulation.nowMs));
  }

  /** The network is whole, nobody fails any more: whoever is up must come to agree. */
  #liveness(config: EngineConfig, periodMs: number): void {
    const simulation = this.#simulation;
    const { network } = simulation;
    network.clear();
    network.options = { ...network.options, loss: 0, duplication: 0, reordering: 0, brokenStreams: 0, bandwidth: 0 };
    const startMs = simulation.nowMs;
    const pausedMs = Math.max(0, ...simulation.up.map(({ pausedUntilMs }) => pausedUntilMs - startMs));
    this.boundMs = pausedMs + liveBoundMs(config, simulation.nodes.size);
    const agree = (): boolean => simulation.isConverged() && simulation.up.every(({ engine }) => !hasSuspect(engine));
    while (!agree()) {
      if (simulation.nowMs - startMs >= this.boundMs) {
        const missing = simulation.up.map(({ name, engine }) => `${name} sees ${aliveNames(engine).length}`);
        throw new Error(
          `agreement: ${simulation.up.length} nodes did not agree within ${Math.round(this.boundMs)} ms (${missing.join(', ')})`,
        );
      }
      this.#rejoin();
      const untilMs = Math.min(simulation.nowMs + REJOIN_PERIODS * periodMs, startMs + this.boundMs);
      while (!agree() && simulation.nowMs < untilMs) simulation.run(Math.min(periodMs / 4, untilMs - simulation.nowMs));
    }
    this.healMs = simulation.nowMs - startMs;
    this.#tombstones.bury([...simulation.nodes.values()].filter((node) => !node.isUp).map(({ name }) => name));
  }

  /** What a driver does: nodes that miss somebody ask those they miss. */
  #rejoin(): void {
    const simulation = this.#simulation;
    const { up } = simulation;
    for (const node of up) {
      const seen = new Set(aliveNames(node.engine));
      const missed = up.filter((other) => !seen.has(other.name)).map(({ address }) => address);
      if (missed.length > 0) simulation.act(node.name, (engine, now) => engine.join(now, missed));
    }
  }

  #rest(periodMs: number): void {
    const simulation = this.#simulation;
    for (let i = 0; i < SETTLE_PERIODS; i++) simulation.run(periodMs);
    this.#calm.begin(simulation);
    for (let i = 0; i < CALM_PERIODS; i++) simulation.run(periodMs);
    this.#calm.end(simulation, periodMs / Math.max(...this.#parameters.clockRates));
    if (!simulation.isConverged()) throw new Error('agreement: all agreed, and then no more');
  }

  /** Some packets are lost, and nothing else is wrong. */
  #drizzle(periodMs: number): void {
    const simulation = this.#simulation;
    const { network } = simulation;
    network.options = { ...network.options, loss: DRIZZLE_LOSS };
    this.#suspicions.begin(simulation);
    for (let i = 0; i < DRIZZLE_PERIODS; i++) simulation.run(periodMs);
    this.#suspicions.end(simulation, DRIZZLE_LOSS);
  }
}

/**
 * How long a whole network may take until all agree, ms: scores come down again (each acked probe takes one off), a node that misses others asks them, every
 * dead one has been probed by everybody, the longest suspicion runs out, the news of it spreads, and what that misses is repaired by
 * two push/pulls.
 */
function liveBoundMs(config: EngineConfig, n: number): number {
  const periodMs = config.probeIntervalMs;
  const scores = config.awarenessMaxMultiplier;
  let calmingMs = 0;
  for (let score = 1; score < scores; score++) calmingMs += scaledProbeIntervalMs(periodMs, score);
  const suspicionMs = config.suspicionMaxTimeoutMult * suspicionTimeoutMs(config.suspicionMult, n, periodMs);
  const spreadMs = pushGossipRounds(n, config.gossipNodes) * config.gossipIntervalMs;
  return (
    calmingMs +
    REJOIN_PERIODS * periodMs +
    config.tcpTimeoutMs +
    (worstDetectionPeriods(n) + 1) * periodMs +
    suspicionMs +
    spreadMs +
    2 * pushPullScaleMs(config.pushPullIntervalMs, n)
  );
}

type Engine = Simulation['up'][number]['engine'];

function hasSuspect(engine: Engine): boolean {
  return engine.members().some(({ status }) => status === STATUS.suspect);
}

function aliveNames(engine: Engine): string[] {
  return engine.members().flatMap(({ name, status }) => (status === STATUS.alive ? [name] : []));
}
