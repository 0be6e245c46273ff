import { type Backend, chooseBackend } from '../kernels/backend.ts';
import type { BackendName, EngineKernels } from '../kernels/contract.ts';
import { STATUS } from '../kernels/contract.ts';
import { TABLE } from '../kernels/layout.ts';
import { type EngineConfig, type EngineOptions, lan, local, wan } from '../protocol/config.ts';
import { GossipEngine } from '../protocol/engine.ts';
import type { GossipEvent, StreamAnswer, StreamRequest } from '../protocol/types.ts';
import { type Address, formatAddress } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { Prng } from '../util/prng.ts';
import { EventHeap } from './event-heap.ts';
import { NETWORK_DEFAULTS, Network, type NetworkOptions, partition, type Rule } from './network.ts';
import { SimNode } from './sim-node.ts';

const PROFILES = { lan, wan, local } as const;

export interface SimulationOptions {
  /** Decides everything: network, nodes, order. Two runs with one seed and the same calls do the same, on either backend. Default 1. */
  readonly seed?: number;
  /** Settings of all nodes. Default 'lan'. */
  readonly profile?: 'lan' | 'wan' | 'local';
  /** Changes on top of the profile, for all nodes. */
  readonly tuning?: Partial<EngineConfig>;
  /** Which kernels: all native, all twins, or one after the other. Default what HEARSAY_BACKEND says. */
  readonly backend?: BackendName | 'mixed';
  readonly network?: Partial<NetworkOptions>;
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
  /** At the end of each run() or until(). */
  settle?(simulation: Simulation): void;
}

/** Steps without time going on: more means that engines chase each other for ever. */
const STEPS_AT_ONE_TIME_MAX = 1_000_000;

/** Pause before a node that joined nobody tries again, ms. */
const JOIN_RETRY_MS = 5000;

interface Step {
  /** The life of the node that the step belongs to; a crash ends it. */
  readonly node: SimNode | undefined;
  readonly life: number;
  run(): void;
}

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
  readonly #backends: readonly Backend[];
  readonly #shared = new Map<string, SharedKernels>();
  readonly #random: Prng;
  readonly #heap = new EventHeap<Step>();
  readonly #byAddress = new Map<string, SimNode>();
  readonly #checkers: Checker[] = [];
  #nowMs = 0;
  /** Packets and bytes that nodes gave to the network. */
  packetsSent = 0;
  bytesSent = 0;
  /** Events handled: packets, timers, stream steps. */
  steps = 0;

  constructor(options: SimulationOptions = {}) {
    this.#options = options;
    const seed = options.seed ?? 1;
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `seed: expected an integer from 0 to 2^32 - 1, got ${String(seed)}`,
      );
    }
    // Streams of their own, so that a draw more in one does not shift the other.
    this.#random = new Prng(seed);
    this.network = new Network({ ...NETWORK_DEFAULTS, ...options.network }, seed ^ 0x9e3779b9);
    this.#backends =
      options.backend === 'mixed' ? [chooseBackend('native'), chooseBackend('js')] : [chooseBackend(options.backend)];
  }

  /** Virtual time, ms since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
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
    const address: Address = { ip: Uint8Array.of(10, index >> 16, (index >> 8) & 255, index & 255), port: 7946 };
    const node = new SimNode(name, address, options.clockRate ?? 1, (life) =>
      this.#makeEngine(name, address, options, index, life),
    );
    this.nodes.set(name, node);
    this.#byAddress.set(formatAddress(address), node);
    this.#boot(node);
    return node;
  }

  /** Makes `count` nodes named `${prefix}0`, `${prefix}1`, ... */
  addNodes(count: number, prefix = 'n', options: NodeOptions = {}): SimNode[] {
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
    const result = step(node.engine, node.localMs(this.#nowMs));
    this.#drain(node);
    return result;
  }

  /** All nodes join through the first one; lets time pass until they know each other. Returns how long that took, ms. */
  joinAll(limitMs = 120_000): number {
    const [first, ...others] = this.up;
    if (!first) return 0;
    const startMs = this.#nowMs;
    for (;;) {
      // Whoever is alone, at first and after a stream that broke, asks again, as a driver with seeds would.
      for (const node of others) {
        if (node.engine.memberCount === 1) this.act(node.name, (engine, now) => engine.join(now, [first.address]));
      }
      const leftMs = startMs + limitMs - this.#nowMs;
      if (leftMs <= JOIN_RETRY_MS) {
        this.until(() => this.isConverged(), leftMs);
        return this.#nowMs - startMs;
      }
      if (this.isConverged() || this.#drive(this.#nowMs + JOIN_RETRY_MS, () => this.isConverged())) break;
    }
    for (const checker of this.#checkers) checker.settle?.(this);
    return this.#nowMs - startMs;
  }

  /** True when every node that is up holds exactly the nodes that are up for alive. */
  isConverged(): boolean {
    const { up } = this;
    // The count first: it is cheap, and this is asked often.
    if (!up.every((node) => node.kernels.table.u32[TABLE.aliveCount >>> 2] === up.length)) return false;
    return up.every((node) =>
      node.engine.members().every(({ name, status }) => status !== STATUS.alive || this.nodes.get(name)?.isUp),
    );
  }

  /** Ends a process without a word. */
  crash(name: string): void {
    this.node(name).end();
  }

  /** Starts a crashed process again: same name and address, no memory. */
  restart(name: string): SimNode {
    const node = this.node(name);
    node.end();
    this.#boot(node);
    return node;
  }

  /** Stops a process for a while (garbage collection, SIGSTOP, a starved CPU): what arrives meanwhile waits, its timers too. */
  pause(name: string, ms: number): void {
    this.node(name).pausedUntilMs = this.#nowMs + ms;
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
    this.#drive(this.#nowMs + ms, () => false);
    for (const checker of this.#checkers) checker.settle?.(this);
  }

  /** Lets time pass until the condition holds (it is asked after every step); returns how long that took, ms. Throws ERR_TIMEOUT after `limitMs`. */
  until(condition: () => boolean, limitMs: number): number {
    const startMs = this.#nowMs;
    if (!condition() && !this.#drive(startMs + limitMs, condition)) {
      throw new HearsayError(
        'ERR_TIMEOUT',
        `the condition did not hold within ${limitMs} ms of virtual time (seed ${this.#options.seed ?? 1})`,
      );
    }
    for (const checker of this.#checkers) checker.settle?.(this);
    return this.#nowMs - startMs;
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
    const kernels = backend.createEngineKernels({ rngSeed, ...this.#shared.get(backend.name) });
    if (!this.#shared.has(backend.name)) this.#shared.set(backend.name, kernels);
    return { engine: new GossipEngine(PROFILES[this.#options.profile ?? 'lan'](settings), kernels), kernels };
  }

  #boot(node: SimNode): void {
    node.boot(this.#nowMs);
    node.engine.start(node.localMs(this.#nowMs));
    this.#drain(node);
  }

  /** Carries out what a node wants done, in the order that the engine asks for. */
  #drain(node: SimNode): void {
    const { engine } = node;
    for (let transmit = engine.pollTransmit(); transmit; transmit = engine.pollTransmit())
      this.#send(node, transmit.to, transmit.bytes);
    for (let request = engine.pollStream(); request; request = engine.pollStream()) this.#open(node, request);
    for (let event = engine.pollEvent(); event; event = engine.pollEvent()) this.#notice(node, event);
    this.#wake(node);
  }

  #notice(node: SimNode, event: GossipEvent): void {
    node.note(event);
    for (const checker of this.#checkers) checker.event?.(node, event, this.#nowMs);
    const { trace } = this.#options;
    if (trace) trace(traceLine(this.#nowMs, node.name, event));
  }

  #send(from: SimNode, to: Address, bytes: Uint8Array): void {
    this.packetsSent++;
    this.bytesSent += bytes.length;
    const target = this.#byAddress.get(formatAddress(to));
    if (!target) return;
    const hop = {
      from: from.name,
      to: target.name,
      kind: 'packet',
      lengthBytes: bytes.length,
      nowMs: this.#nowMs,
    } as const;
    const delays = this.network.route(hop);
    if (delays.length === 0) return;
    const copy = bytes.slice();
    for (const delayMs of delays) {
      this.#at(delayMs, target, () => {
        target.engine.handlePacket(target.localMs(this.#nowMs), from.address, copy);
        this.#drain(target);
      });
    }
  }

  /** A stream: a round trip to connect, then messages in turn until one side closes, each hop as the rules have it. */
  #open(from: SimNode, request: StreamRequest): void {
    const { id, to, expectsReply } = request;
    const endMs = from.simMs(request.deadlineMs);
    const fail = (error: string, inMs: number): void =>
      this.#at(inMs, from, () => {
        from.engine.handleStreamFailure(from.localMs(this.#nowMs), id, error);
        this.#drain(from);
      });
    const timeOut = (): void => fail('timed out', Math.max(0, endMs - this.#nowMs));
    const target = this.#byAddress.get(formatAddress(to));
    const there = target && this.#streamDelay(from, target, request.bytes.length);
    if (!target || there === undefined) {
      timeOut();
      return;
    }
    if (!target.isUp) {
      fail('connection refused', 2 * there);
      return;
    }
    /** The acceptor reads a message; the one who sent it waits for an answer, or has closed. */
    const hear = (bytes: Uint8Array, hopMs: number, isAnswerAwaited: boolean): void => {
      const breaks = this.network.breaksStream();
      const { bytes: answer, more } = this.#accept(target, from, breaks ? bytes.subarray(0, bytes.length >> 1) : bytes);
      const back = breaks ? undefined : this.#streamDelay(target, from, answer.length);
      if (!isAnswerAwaited) return;
      if (breaks) fail('connection reset', hopMs);
      else if (back === undefined) timeOut();
      else this.#at(back, from, () => take(answer, more));
    };
    /** The initiator reads the answer; what it says to that reaches an acceptor that still listens. */
    const take = (answer: Uint8Array, isHeard: boolean): void => {
      const { bytes, more } = this.#reply(from, id, expectsReply, answer);
      if (bytes.length === 0 && !more) return;
      const hopMs = this.#streamDelay(from, target, bytes.length);
      if (hopMs === undefined) {
        if (more) timeOut();
      } else if (isHeard) this.#at(hopMs, target, () => hear(bytes, hopMs, more));
      else if (more) fail('closed before it answered', hopMs);
    };
    const first = request.bytes;
    // Whoever expects no reply hears all the same that the message was written.
    this.#at(3 * there, target, () => hear(first, there, true));
  }

  /** A message, or the part of it that came through, at the side that did not open the stream. */
  #accept(target: SimNode, from: SimNode, bytes: Uint8Array): StreamAnswer {
    const { engine } = target;
    const reader = engine.streamReader(true);
    const step = reader.push(bytes);
    const result = step === 'more' ? reader.finish() : step;
    if (result.kind !== 'message') {
      engine.noteStreamError(result.code);
      return { bytes: result.answer.slice(), more: false };
    }
    const peer = { ip: from.address.ip, port: 40000 };
    const answer = engine.handleStream(target.localMs(this.#nowMs), peer, result.message);
    const copy = { bytes: answer.bytes.slice(), more: answer.more };
    this.#drain(target);
    return copy;
  }

  /** An answer at the side that opened the stream: what that wants to write now. */
  #reply(from: SimNode, id: number, expectsReply: boolean, answer: Uint8Array): StreamAnswer {
    const { engine } = from;
    const now = from.localMs(this.#nowMs);
    let next: StreamAnswer = { bytes: answer.subarray(0, 0), more: false };
    if (!expectsReply) engine.handleStreamReply(now, id, next.bytes);
    else {
      const reader = engine.streamReader(false);
      const step = reader.push(answer);
      const result = step === 'more' ? reader.finish() : step;
      if (result.kind === 'message') {
        const { bytes, more } = engine.handleStreamReply(now, id, result.message);
        next = { bytes: bytes.slice(), more };
      } else engine.handleStreamFailure(now, id, result.text);
    }
    this.#drain(from);
    return next;
  }

  #streamDelay(from: SimNode, to: SimNode, lengthBytes: number): number | undefined {
    return this.network.route({ from: from.name, to: to.name, kind: 'stream', lengthBytes, nowMs: this.#nowMs })[0];
  }

  #wake(node: SimNode): void {
    const dueMs = node.engine.pollTimeout();
    if (dueMs === undefined || node.wakeMs === dueMs) return;
    node.wakeMs = dueMs;
    this.#at(Math.max(0, node.simMs(dueMs) - this.#nowMs), node, () => {
      // A later #wake() may have asked for an earlier time; then this one is of no use.
      if (node.wakeMs !== dueMs) return;
      node.wakeMs = undefined;
      node.engine.handleTimeout(node.localMs(this.#nowMs));
      this.#drain(node);
    });
  }

  #at(inMs: number, node: SimNode, run: () => void): void {
    this.#heap.push(this.#nowMs + inMs, { node, life: node.life, run });
  }

  #drive(endMs: number, condition: () => boolean): boolean {
    let stepsAtOnce = 0;
    for (let nextMs = this.#heap.nextMs; nextMs !== undefined && nextMs <= endMs; nextMs = this.#heap.nextMs) {
      const step = this.#heap.pop() as Step;
      stepsAtOnce = nextMs > this.#nowMs ? 0 : stepsAtOnce + 1;
      if (stepsAtOnce > STEPS_AT_ONE_TIME_MAX) {
        throw new Error(
          `hearsay: ${stepsAtOnce} steps at ${this.#nowMs} ms without time going on (seed ${this.#options.seed ?? 1})`,
        );
      }
      this.#nowMs = nextMs;
      const { node } = step;
      if (node && (!node.isUp || node.life !== step.life)) continue;
      if (node && node.pausedUntilMs > nextMs) {
        this.#heap.push(node.pausedUntilMs, step);
        continue;
      }
      this.steps++;
      step.run();
      if (condition()) return true;
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
    return false;
  }
}

/** `   12.345 n3       suspect  n7`; docs/simulation.md has the legend. */
function traceLine(nowMs: number, name: string, event: GossipEvent): string {
  const subject =
    'member' in event ? `${event.member.name} ${event.member.incarnation}` : event.type === 'message' ? event.from : '';
  return `${(nowMs / 1000).toFixed(6).padStart(12)} ${name.padEnd(8)} ${event.type.padEnd(8)} ${subject}`;
}
