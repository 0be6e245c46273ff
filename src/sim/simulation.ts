import { acquaint } from '../kernels/arenas/acquaint.ts';
import { type Backend, chooseBackend } from '../kernels/backend.ts';
import type { BackendName, EngineKernels } from '../kernels/contract.ts';
import { TABLE } from '../kernels/layout.ts';
import { type EngineConfig, type EngineOptions, PROFILES, type ProfileName } from '../protocol/config.ts';
import { GossipEngine } from '../protocol/engine.ts';
import { rejoinPauseMs } from '../protocol/failed-members.ts';
import type { GossipEvent } from '../protocol/types.ts';
import type { MapOptions } from '../state/map-options.ts';
import type { ReplicatedMap } from '../state/replicated-map.ts';
import type { Address } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { Prng } from '../util/prng.ts';
import { Agreement } from './agreement.ts';
import { Arrival } from './arrival.ts';
import { NETWORK_DEFAULTS, Network, type NetworkOptions, partition, type Rule } from './network.ts';
import { PacketPool } from './packet-pool.ts';
import { SimMaps } from './sim-maps.ts';
import { SimNode } from './sim-node.ts';
import { StreamCourier } from './streams.ts';
import { Timeline } from './timeline.ts';
import { HASH_START, hash32 } from './trial/hash.ts';

export interface SimulationOptions {
  /** Decides everything: network, nodes, order. Two runs with one seed and the same calls do the same, on either backend. Default 1. */
  readonly seed?: number;
  /** Settings of all nodes. Default 'lan'. */
  readonly profile?: ProfileName;
  /** Changes on top of the profile, for all nodes. */
  readonly tuning?: Partial<EngineConfig>;
  /** Which kernels: all native, all twins, or one after the other. Default what HEARSAY_BACKEND says. */
  readonly backend?: BackendName | 'mixed';
  readonly network?: Partial<NetworkOptions>;
  /** Events kept per node, for `events`, story() and messages(); the oldest are dropped. Default 10,000; 0 for clusters of thousands. */
  readonly history?: number;
  /** How often a node tries to reach one of those that failed, as a Cluster does, ms; 0 = never. Default 30,000. */
  readonly rejoinIntervalMs?: number;
  /** Called with a line per event of a node, fixed columns: time, node, event, member. */
  readonly trace?: (line: string) => void;
}

export interface NodeOptions {
  /** Changes for this node alone. */
  readonly tuning?: Partial<EngineConfig>;
  readonly meta?: Uint8Array;
  /** Speed of its clock; 1.01 runs 1 % fast. Default 1. */
  readonly clockRate?: number;
}

/** Something that looks on: told about every event, asked at the end of each run. Throws when it sees a broken promise. */
export interface Checker {
  readonly name: string;
  event?(node: SimNode, event: GossipEvent, nowMs: number): void;
  /** A node gives a packet to the network. */
  packet?(node: SimNode, bytes: Uint8Array, nowMs: number): void;
  /** At the end of each run() or until(). */
  settle?(simulation: Simulation): void;
}

const REJOIN_INTERVAL_MS = 30_000;
/** Events kept per node. */
const HISTORY = 10_000;

/** Least room in a table. */
const MEMBERS_MIN = 16;

/** Addresses of nodes are 10.x.y.z:7946. */
const NETWORK = 10;
const PORT = 7946;

/** Pause before a node that joined nobody tries again, ms. */
const JOIN_RETRY_MS = 5000;

type SharedKernels = Pick<EngineKernels, 'codec' | 'stateCodec' | 'sync' | 'names' | 'profiles'>;

/**
 * A cluster in virtual time: the engine of production, with a network, a clock and processes that do what they are told.
 *
 * ```js
 * import { Simulation } from 'hearsay/sim';
 *
 * const sim = new Simulation({ seed: 7 });
 * sim.addNodes(20);
 * sim.joinAll();
 * const heal = sim.partition(['n0', 'n1', 'n2']);
 * sim.run(60_000); // a minute of the cluster, some milliseconds of yours
 * heal();
 * sim.until(() => sim.isConverged(), 120_000);
 * ```
 *
 * Nothing here waits: no promises, no real clock, no sockets. Time jumps from one event to the next.
 */
export class Simulation {
  readonly network: Network;
  readonly nodes = new Map<string, SimNode>();
  readonly #options: SimulationOptions;
  readonly #seed: number;
  readonly #backends: readonly Backend[];
  readonly #shared = new Map<string, SharedKernels>();
  readonly #random: Prng;
  readonly #timeline: Timeline;
  readonly #courier: StreamCourier;
  readonly #agreement = new Agreement();
  readonly #pool = new PacketPool();
  /** Packets that have arrived, to be used again. */
  readonly #arrivals: Arrival[] = [];
  /** By the lower three bytes of their addresses. */
  readonly #byAddress: SimNode[] = [];
  readonly #checkers: Checker[] = [];
  /** Members that tables are made for; they grow beyond that. */
  #expected = MEMBERS_MIN;
  /** Packets and bytes that nodes gave to the network. */
  packetsSent = 0;
  bytesSent = 0;

  constructor(options: SimulationOptions = {}) {
    this.#options = options;
    const seed = options.seed ?? 1;
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `seed: expected an integer from 0 to 2^32 - 1, got ${String(seed)}`,
      );
    }
    this.#seed = seed;
    this.#timeline = new Timeline(seed);
    // Streams of their own, so that a draw more in one does not shift the other.
    this.#random = new Prng(seed);
    this.network = new Network({ ...NETWORK_DEFAULTS, ...options.network }, seed ^ 0x9e3779b9);
    this.#courier = new StreamCourier(this.#timeline, this.network, (node) => this.#drain(node));
    this.#backends =
      options.backend === 'mixed' ? [chooseBackend('native'), chooseBackend('js')] : [chooseBackend(options.backend)];
  }

  /** Virtual time, ms since the simulation began. */
  get nowMs(): number {
    return this.#timeline.nowMs;
  }

  /** Events handled: packets, timers, stream steps. */
  get steps(): number {
    return this.#timeline.steps;
  }

  /** Makes a node and starts it. Its address is 10.x.y.z:7946. Throws ERR_ARGUMENT_INVALID when the name is taken. */
  addNode(name: string, options: NodeOptions = {}): SimNode {
    if (this.nodes.has(name)) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `name: expected one that no node has yet, got ${JSON.stringify(name)}`,
      );
    }
    const index = this.nodes.size + 1;
    const address: Address = { ip: Uint8Array.of(NETWORK, index >> 16, (index >> 8) & 255, index & 255), port: PORT };
    const history = this.#options.history ?? HISTORY;
    const node = new SimNode(name, address, options.clockRate ?? 1, history, new Prng(this.#seed ^ index), (life) =>
      this.#makeEngine(name, address, options, index, life),
    );
    this.nodes.set(name, node);
    this.#byAddress[index] = node;
    this.#boot(node);
    return node;
  }

  /** Makes `count` nodes named `${prefix}0`, `${prefix}1`, ... */
  addNodes(count: number, prefix = 'n', options: NodeOptions = {}): SimNode[] {
    this.#expected = Math.max(this.#expected, this.nodes.size + count);
    return Array.from({ length: count }, (_, i) => this.addNode(`${prefix}${i}`, options));
  }

  /** The node of this name. Throws ERR_ARGUMENT_INVALID when there is none. */
  node(name: string): SimNode {
    const found = this.nodes.get(name);
    if (!found) throw new HearsayError('ERR_ARGUMENT_INVALID', `name: no node is called ${JSON.stringify(name)}`);
    return found;
  }

  /** Nodes whose process runs. */
  get up(): SimNode[] {
    return [...this.nodes.values()].filter((node) => node.isUp);
  }

  /** Adds a checker. */
  check(...checkers: Checker[]): this {
    this.#checkers.push(...checkers);
    return this;
  }

  /** Lets a node do something now: `sim.act('n3', (engine, now) => engine.broadcast(now, bytes))`. */
  act<T>(name: string, step: (engine: GossipEngine, nowMs: number) => T): T {
    const node = this.node(name);
    const result = step(node.engine, node.localMs(this.nowMs));
    this.#drain(node);
    return result;
  }

  /**
   * Opens a replicated map on a node, or gives the one that is open; closed again by a crash. Its clock is the node's: `clockRate` drifts it.
   */
  map(name: string, map: string, options?: MapOptions): ReplicatedMap {
    const node = this.node(name);
    node.maps ??= new SimMaps(node, this.#seed ^ hash32(HASH_START, name) ^ node.life, this.#timeline, () =>
      this.#drain(node),
    );
    return node.maps.replicator.open(map, options);
  }

  /** All nodes join through the first one; lets time pass until they know each other. Returns how long that took, ms. */
  joinAll(limitMs = 120_000): number {
    const [first, ...others] = this.up;
    if (!first) return 0;
    const startMs = this.nowMs;
    for (;;) {
      // Whoever is alone, at first and after a stream that broke, asks again, as a driver with seeds would.
      for (const node of others) {
        if (node.engine.memberCount === 1) this.act(node.name, (engine, now) => engine.join(now, [first.address]));
      }
      const leftMs = startMs + limitMs - this.nowMs;
      if (leftMs <= JOIN_RETRY_MS) {
        this.until(() => this.isConverged(), leftMs);
        return this.nowMs - startMs;
      }
      if (this.isConverged() || this.#timeline.drive(this.nowMs + JOIN_RETRY_MS, () => this.isConverged())) break;
    }
    for (const checker of this.#checkers) checker.settle?.(this);
    return this.nowMs - startMs;
  }

  /**
   * All nodes that are up know each other at once, without having joined: the start of a large experiment that is not about joining (10,000 joins are 10^8
   * rows to merge). Every one holds the others for alive, as they were when started, and nobody has news of them to pass on.
   */
  acquaint(): void {
    acquaint(this.up.map(({ kernels }) => kernels));
    this.#agreement.forget();
  }

  /** True when every node that is up holds exactly the nodes that are up for alive. */
  isConverged(): boolean {
    return this.#agreement.holds(this.nodes.values());
  }

  /** Ends a process without a word. */
  crash(name: string): void {
    this.node(name).end();
    this.#agreement.forget();
  }

  /**
   * Starts a crashed process again: same name and address, no memory; or, with `incarnation`, one that remembers how far it had come and goes on
   * from there. What the others hold of its earlier life it has to refute in either case.
   */
  restart(name: string, { incarnation = 0 }: { readonly incarnation?: number } = {}): SimNode {
    const node = this.node(name);
    node.end();
    this.#boot(node, incarnation);
    return node;
  }

  /** Stops a process for a while (garbage collection, SIGSTOP, a starved CPU): what arrives meanwhile waits, its timers too. */
  pause(name: string, ms: number): void {
    this.node(name).pausedUntilMs = this.nowMs + ms;
  }

  /** A CPU that is too slow, until the returned function is called: whatever the node handles takes so many ms, and the next thing waits for that. */
  starve(name: string, stepMs: number): () => void {
    const node = this.node(name);
    node.stepMs = stepMs;
    return () => {
      node.stepMs = 0;
    };
  }

  /** Cuts these nodes off from all others until the returned function is called. */
  partition(side: Iterable<string>): () => void {
    const inside = new Set(side);
    const outside = [...this.nodes.keys()].filter((name) => !inside.has(name));
    return this.network.add(partition(inside, outside));
  }

  /** Adds a rule of the network; the returned function takes it away. */
  rule(rule: Rule): () => void {
    return this.network.add(rule);
  }

  /** Lets `ms` pass. */
  run(ms: number): void {
    this.#timeline.drive(this.nowMs + ms);
    for (const checker of this.#checkers) checker.settle?.(this);
  }

  /** Lets time pass until the condition holds (it is asked after every step); returns how long that took, ms. Throws ERR_TIMEOUT after `limitMs`. */
  until(condition: () => boolean, limitMs: number): number {
    const startMs = this.nowMs;
    if (!condition() && !this.#timeline.drive(startMs + limitMs, condition)) {
      throw new HearsayError(
        'ERR_TIMEOUT',
        `the condition did not hold within ${limitMs} ms of virtual time (seed ${this.#options.seed ?? 1})`,
      );
    }
    for (const checker of this.#checkers) checker.settle?.(this);
    return this.nowMs - startMs;
  }

  #makeEngine(
    name: string,
    address: Address,
    options: NodeOptions,
    index: number,
    life: number,
  ): { engine: GossipEngine; kernels: EngineKernels } {
    const backend = this.#backends[index % this.#backends.length] as Backend;
    const rngSeed = this.#random.next();
    const nonces = new Prng(rngSeed ^ life);
    const settings: EngineOptions = {
      ...this.#options.tuning,
      ...options.tuning,
      ...(options.meta ? { meta: options.meta } : {}),
      nonces: (out) => nonces.fill(out),
      name,
      address,
      rngSeed,
    };
    const kernels = backend.createEngineKernels({
      rngSeed,
      compact: true,
      maxMembers: this.#expected,
      ...this.#shared.get(backend.name),
    });
    if (!this.#shared.has(backend.name)) this.#shared.set(backend.name, kernels);
    return { engine: new GossipEngine(PROFILES[this.#options.profile ?? 'lan'](settings), kernels), kernels };
  }

  #boot(node: SimNode, incarnation = 0): void {
    node.boot(this.nowMs);
    node.kernels.table.u32[TABLE.incarnation >>> 2] = incarnation;
    this.#agreement.forget();
    node.engine.start(node.localMs(this.nowMs));
    this.#drain(node);
  }

  /** Carries out what a node wants done, in the order that the engine asks for. */
  #drain(node: SimNode): void {
    const { engine } = node;
    for (let transmit = engine.pollTransmit(); transmit; transmit = engine.pollTransmit())
      this.#send(node, transmit.to, transmit.bytes);
    for (let request = engine.pollStream(); request; request = engine.pollStream())
      this.#courier.open(node, this.#nodeAt(request.to), request);
    for (let event = engine.pollEvent(); event; event = engine.pollEvent()) this.#notice(node, event);
    this.#agreement.note(node);
    this.#wake(node);
  }

  #notice(node: SimNode, event: GossipEvent): void {
    node.note(event);
    node.maps?.notice(event);
    node.failed.notice(event, this.nowMs);
    if (node.failed.size > 0 && !node.isRejoining) this.#scheduleRejoin(node);
    for (const checker of this.#checkers) checker.event?.(node, event, this.nowMs);
    const { trace } = this.#options;
    if (trace) trace(traceLine(this.nowMs, node.name, event));
  }

  /** What the driver of production does (src/cluster/rejoiner.ts): without it, the sides of a long partition would never look for each other. */
  #scheduleRejoin(node: SimNode): void {
    const intervalMs = this.#options.rejoinIntervalMs ?? REJOIN_INTERVAL_MS;
    if (intervalMs === 0) return;
    node.isRejoining = true;
    this.#timeline.at(rejoinPauseMs(intervalMs, node.luck), node, () => {
      node.isRejoining = false;
      const address = node.failed.pick(node.luck, this.nowMs, node.engine.aliveCount);
      if (address !== undefined) {
        node.engine.join(node.localMs(this.nowMs), [address]);
        this.#drain(node);
      }
      if (node.failed.size > 0) this.#scheduleRejoin(node);
    });
  }

  #send(from: SimNode, to: Address, bytes: Uint8Array): void {
    this.packetsSent++;
    this.bytesSent += bytes.length;
    for (const checker of this.#checkers) checker.packet?.(from, bytes, this.nowMs);
    const target = this.#nodeAt(to);
    if (!target) return;
    const delayMs = this.network.route(from.name, target.name, 'packet', bytes.length, this.nowMs);
    if (delayMs < 0) return;
    const { secondMs } = this.network;
    this.#arrive(delayMs, from, target, bytes);
    if (secondMs >= 0) this.#arrive(secondMs, from, target, bytes);
  }

  #arrive(inMs: number, from: SimNode, to: SimNode, bytes: Uint8Array): void {
    const arrival = this.#arrivals.pop() ?? new Arrival((done) => this.#handle(done));
    arrival.node = to;
    arrival.life = to.life;
    arrival.from = from.address;
    arrival.bytes = this.#pool.copy(bytes);
    this.#timeline.in(inMs, arrival);
  }

  #handle(arrival: Arrival): void {
    const { node, from, bytes, isDropped } = arrival;
    if (!isDropped && node.engine.handlePacket(node.localMs(this.nowMs), from, bytes)) this.#drain(node);
    this.#pool.give(bytes);
    this.#arrivals.push(arrival);
  }

  #nodeAt({ ip, port }: Address): SimNode | undefined {
    if (ip.length !== 4 || ip[0] !== NETWORK || port !== PORT) return undefined;
    return this.#byAddress[((ip[1] as number) << 16) | ((ip[2] as number) << 8) | (ip[3] as number)];
  }

  #wake(node: SimNode): void {
    const dueMs = node.engine.pollTimeout();
    if (dueMs === undefined || node.wakeMs === dueMs) return;
    node.wakeMs = dueMs;
    this.#timeline.at(Math.max(0, node.simMs(dueMs) - this.nowMs), node, () => {
      // A later #wake() may have asked for an earlier time; then this one is of no use.
      if (node.wakeMs !== dueMs) return;
      node.wakeMs = undefined;
      node.engine.handleTimeout(node.localMs(this.nowMs));
      this.#drain(node);
    });
  }
}

/** `   12.345 n3       suspect  n7`; docs/simulation.md has the legend. */
function traceLine(nowMs: number, name: string, event: GossipEvent): string {
  const subject =
    'member' in event
      ? `${event.member.name} ${event.member.incarnation}`
      : event.type === 'message' || event.type === 'state'
        ? event.from
        : '';
  return `${(nowMs / 1000).toFixed(6).padStart(12)} ${name.padEnd(8)} ${event.type.padEnd(8)} ${subject}`;
}
