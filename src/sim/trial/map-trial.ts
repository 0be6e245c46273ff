import type { BackendName } from '../../kernels/contract.ts';
import type { MapOptions } from '../../state/map-options.ts';
import type { ReplicatedMap } from '../../state/replicated-map.ts';
import { concatBytes } from '../../util/bytes.ts';
import { Prng } from '../../util/prng.ts';
import { RecordChecker } from '../checkers/records.ts';
import { LATENCY, lossAt } from '../network.ts';
import { Simulation } from '../simulation.ts';
import { HASH_START, hash32 } from './hash.ts';
import type { TrialReport } from './trial.ts';

export interface MapTrialOptions {
  readonly backend?: BackendName | 'mixed';
  readonly trace?: (line: string) => void;
}

const MAP = 'trial';
const NODES_MIN = 3;
const NODES_MAX = 8;
/** Length of the safety phase, ms, and its steps. */
const SAFETY_MS = 90_000;
const STEP_MS = 500;
const KEYS = 12;
const ELEMENTS = 4;
/** After healing: members agree, then partners are met. */
const HEAL_BOUND_MS = 240_000;

/** What is drawn from the seed besides the faults themselves. */
interface MapParameters {
  readonly nodes: number;
  readonly options: MapOptions;
  readonly loss: number;
  readonly writes: number;
  readonly faults: number;
}

function draw(prng: Prng): MapParameters {
  const pick = <T>(list: readonly T[]): T => list[prng.below(list.length)] as T;
  return {
    nodes: NODES_MIN + prng.below(NODES_MAX - NODES_MIN + 1),
    options: {
      antiEntropyIntervalMs: pick([1000, 3000, 10_000]),
      certificateIntervalMs: pick([2000, 5000, 15_000]),
      ownerTtlMs: pick([5000, 20_000, 60_000]),
      gossipFanout: pick([0, 2, 3]),
      strategy: pick(['checksumFirst', 'checksumFirst', 'checksumFirst', 'range', 'merkle']),
      // Who comes back with a write that nobody saw, older than a deletion that all others have let go of, meets one of these sites or brings it back: that is the bound.
      retentionSites: pick([4, NODES_MAX]),
      packetBytes: pick([512, 1200]),
    },
    loss: pick([0, 0, 0.02, 0.1]),
    writes: pick([1, 2, 6]),
    faults: prng.below(9),
  };
}

/**
 * One run of a replicated map, all of it drawn from a seed: nodes write while they are cut off, paused, killed and started again, with or without an older snapshot; then the network is
 * whole and all replicas must become the same, with every write of those that survived; then the tombstones must go, and nothing may come back.
 */
export function runMapTrial(seed: number, options: MapTrialOptions = {}): TrialReport {
  let digest = HASH_START;
  const prng = new Prng(seed ^ 0x6d_61_70_73);
  const parameters = draw(prng);
  const simulation = new Simulation({
    seed,
    history: 0,
    rejoinIntervalMs: 3000,
    network: { latency: LATENCY.lan, loss: parameters.loss },
    ...(options.backend ? { backend: options.backend } : {}),
    trace: (line) => {
      digest = hash32(digest, line);
      options.trace?.(line);
    },
  });
  const trial = new MapTrial(simulation, parameters, prng, options.trace);
  let problem: string | undefined;
  try {
    trial.run();
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  for (const node of simulation.up) digest = hash32(digest, trial.map(node.name).digest);
  return {
    parameters: {
      seed,
      nodes: parameters.nodes,
      profile: 'lan',
      tuning: {},
      clockRates: [],
      network: { loss: parameters.loss },
      faults: [],
    },
    details: trial.story,
    problem,
    healMs: trial.healMs,
    boundMs: HEAL_BOUND_MS,
    virtualMs: simulation.nowMs,
    steps: simulation.steps,
    packets: simulation.packetsSent,
    digest: (digest >>> 0).toString(16).padStart(8, '0'),
  };
}

class MapTrial {
  healMs = 0;
  /** What was drawn, for people. */
  readonly story: string[] = [];
  readonly #simulation: Simulation;
  readonly #parameters: MapParameters;
  readonly #prng: Prng;
  readonly #checker: RecordChecker;
  readonly #snapshots = new Map<string, Uint8Array>();
  readonly #trace: ((line: string) => void) | undefined;

  constructor(
    simulation: Simulation,
    parameters: MapParameters,
    prng: Prng,
    trace: ((line: string) => void) | undefined,
  ) {
    this.#simulation = simulation;
    this.#parameters = parameters;
    this.#prng = prng;
    this.#trace = trace;
    this.#checker = new RecordChecker(() =>
      Math.max(...[...simulation.nodes.values()].map((node) => node.wallMs(simulation.nowMs))),
    );
    this.story.push(JSON.stringify(parameters));
  }

  map(name: string): ReplicatedMap {
    return this.#simulation.map(name, MAP, this.#parameters.options);
  }

  run(): void {
    const simulation = this.#simulation;
    const prng = this.#prng;
    for (let i = 0; i < this.#parameters.nodes; i++) {
      simulation.addNode(`n${i}`, { clockRate: prng.below(2) === 0 ? 1 : 0.99 + 0.02 * prng.unit() });
      this.#open(`n${i}`);
    }
    simulation.joinAll();
    this.#safety();
    this.#heal();
    this.#rest();
  }

  /** Opens the map of a new life. */
  #open(name: string): void {
    this.#checker.watch(this.#simulation.node(name), this.map(name));
  }

  #safety(): void {
    const simulation = this.#simulation;
    const startMs = simulation.nowMs;
    const plan = Array.from({ length: this.#parameters.faults }, () => ({
      atMs: startMs + this.#prng.below(SAFETY_MS),
      lastsMs: this.#prng.below(SAFETY_MS),
      kind: this.#prng.below(6),
    })).sort((a, b) => a.atMs - b.atMs);
    const ends: { readonly atMs: number; readonly act: () => void }[] = [];
    while (simulation.nowMs < startMs + SAFETY_MS) {
      while (plan[0] && plan[0].atMs <= simulation.nowMs) {
        const { lastsMs, kind } = plan.shift() as (typeof plan)[number];
        const end = this.#fault(kind);
        if (end) ends.push({ atMs: simulation.nowMs + lastsMs, act: end });
      }
      for (const end of ends.filter(({ atMs }) => atMs <= simulation.nowMs)) {
        ends.splice(ends.indexOf(end), 1);
        end.act();
      }
      for (let i = 0; i < this.#parameters.writes; i++) this.#write();
      simulation.run(STEP_MS);
    }
    for (const { act } of ends) act();
  }

  #note(line: string): void {
    this.story.push(`${(this.#simulation.nowMs / 1000).toFixed(1)} s: ${line}`);
    this.#trace?.(line);
  }

  /** Something goes wrong; what ends it. */
  #fault(kind: number): (() => void) | undefined {
    const simulation = this.#simulation;
    const prng = this.#prng;
    const { up } = simulation;
    const victim = up[prng.below(Math.max(1, up.length))]?.name;
    if (victim === undefined) return undefined;
    if (kind <= 1) {
      const side = [...simulation.nodes.keys()].filter(() => prng.below(2) === 0);
      this.#note(`partition ${side.join(' ')}`);
      return simulation.partition(side);
    }
    if (kind <= 3) {
      // One at least lives, so that something must survive.
      if (up.length < 2) return undefined;
      const hasSnapshot = this.#snapshots.has(victim) && prng.below(2) === 0;
      this.#note(`crash ${victim}, ${hasSnapshot ? 'an older snapshot is left' : 'nothing is left'}`);
      simulation.crash(victim);
      return () => {
        this.#note(`restart ${victim}`);
        const node = simulation.restart(victim);
        this.#open(victim);
        const snapshot = hasSnapshot ? this.#snapshots.get(victim) : undefined;
        if (snapshot) this.map(victim).restore(snapshot);
        // Through all others, as a node with seeds does: two that start at once must not find only each other.
        const others = simulation.up.filter(({ name }) => name !== victim).map(({ address }) => address);
        simulation.act(node.name, (engine, now) => engine.join(now, others));
      };
    }
    if (kind === 4) {
      const ms = 1000 + prng.below(20_000);
      this.#note(`pause ${victim} for ${ms} ms`);
      simulation.pause(victim, ms);
      return undefined;
    }
    this.#note(`half of all packets of ${victim} are lost`);
    return simulation.rule(lossAt([victim], 0.5));
  }

  #write(): void {
    const { up, nowMs } = this.#simulation;
    const prng = this.#prng;
    const node = up[prng.below(up.length)];
    if (!node || node.pausedUntilMs > nowMs) return;
    const map = this.map(node.name);
    const key = `k${prng.below(KEYS)}`;
    const value = new Uint8Array(prng.below(20) === 0 ? 3000 : prng.below(40));
    prng.fill(value);
    switch (prng.below(12)) {
      case 0:
      case 1:
      case 2:
        map.set(key, value);
        break;
      case 3:
      case 4:
        map.delete(key);
        break;
      case 5:
        map.set(key, value, { ttlMs: 1000 + prng.below(60_000) });
        break;
      case 6:
        map.own.set(key, value);
        break;
      case 7:
        map.own.delete(key);
        break;
      case 8:
        map.counter('hits').add(prng.below(7) - 3);
        break;
      case 9:
        map.orSet('set').add(`e${prng.below(ELEMENTS)}`);
        break;
      case 10:
        map.orSet('set').delete(`e${prng.below(ELEMENTS)}`);
        break;
      default:
        map.register('register').set(value);
    }
    if (prng.below(40) === 0) this.#snapshots.set(node.name, concatBytes([...map.snapshot()]));
  }

  /** The network is whole: everybody who is up must come to hold the same. */
  #heal(): void {
    const simulation = this.#simulation;
    simulation.network.clear();
    simulation.network.options = { ...simulation.network.options, loss: 0 };
    const startMs = simulation.nowMs;
    // Islands that have forgotten each other find each other through their seeds.
    const [first, ...others] = simulation.up;
    if (first) for (const { name } of others) simulation.act(name, (engine, now) => engine.join(now, [first.address]));
    while (!this.#isSame()) {
      if (simulation.nowMs - startMs > HEAL_BOUND_MS) {
        const states = simulation.up.map(
          ({ name, engine }) => `${name} ${this.map(name).digest} ${engine.memberCount}`,
        );
        throw new Error(`agreement: replicas differ ${HEAL_BOUND_MS} ms after healing (${states.join(', ')})`);
      }
      simulation.run(STEP_MS);
    }
    this.healMs = simulation.nowMs - startMs;
    this.#verify();
  }

  /** Nothing is written any more: tombstones go, and nothing comes back. */
  #rest(): void {
    const simulation = this.#simulation;
    const { certificateIntervalMs = 0 } = this.#parameters.options;
    const endMs = simulation.nowMs + 10 * certificateIntervalMs + 60_000;
    while (simulation.nowMs < endMs) {
      simulation.run(STEP_MS);
      if (this.#isSame() && simulation.up.every(({ name }) => this.map(name).stats.tombstones === 0)) {
        this.#verify();
        return;
      }
    }
    const left = simulation.up.map(({ name }) => `${name} ${this.map(name).stats.tombstones}`);
    throw new Error(`certificates: tombstones that everybody has are still there (${left.join(', ')})`);
  }

  #isSame(): boolean {
    const digests = new Set(this.#simulation.up.map(({ name }) => this.map(name).digest));
    return digests.size <= 1 && this.#simulation.isConverged();
  }

  #verify(): void {
    const simulation = this.#simulation;
    const [first, ...others] = simulation.up;
    if (!first) return;
    const lines = this.map(first.name).dump();
    for (const { name } of others) {
      const theirs = this.map(name).dump();
      const at = lines.findIndex((line, i) => line !== theirs[i]);
      if (at >= 0 || lines.length !== theirs.length)
        throw new Error(`sums: ${first.name} and ${name} have one sum and are not the same`);
    }
    const isUp = (name: string): boolean => simulation.nodes.get(name)?.isUp === true;
    for (const node of simulation.up)
      this.#checker.verify(node, this.map(node.name), isUp, node.wallMs(simulation.nowMs));
  }
}
