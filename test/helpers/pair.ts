import { type Backend, chooseBackend } from '../../src/kernels/backend.ts';
import type { BackendName, EngineKernels } from '../../src/kernels/contract.ts';
import { TABLE } from '../../src/kernels/layout.ts';
import { type EngineConfig, type EngineOptions, lan } from '../../src/protocol/config.ts';
import { GossipEngine } from '../../src/protocol/engine.ts';
import type { GossipEvent, MemberInfo, StreamAnswer, StreamRequest } from '../../src/protocol/types.ts';
import { type Address, formatAddress } from '../../src/util/address.ts';
import { bytesOf, toHex } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';

/** What happens to a packet or stream on its way: undefined or 'pass', lost, or an extra delay in ms. */
export type Verdict = 'pass' | 'drop' | number | undefined;
export type LinkRule = (hop: { from: string; to: string; via: 'packet' | 'stream'; nowMs: number }) => Verdict;

export interface GroupOptions {
  readonly backend?: BackendName;
  /** One-way delay. Default 1. */
  readonly latencyMs?: number;
  /** Part of the packets that is lost (streams lose nothing). Default 0. */
  readonly loss?: number;
  /** Seed of the network, not of the nodes. */
  readonly seed?: number;
  readonly preset?: (options: EngineOptions) => EngineConfig;
  /** Keep a line per packet sent. */
  readonly trace?: boolean;
  readonly startMs?: number;
}

/** Most steps without time going on: more means that engines chase each other for ever. */
const STEPS_AT_ONE_TIME_MAX = 100_000;

export class TestNode {
  readonly name: string;
  readonly address: Address;
  readonly engine: GossipEngine;
  readonly kernels: EngineKernels;
  readonly events: GossipEvent[] = [];
  /** False once crashed: nothing reaches it, nothing leaves it. */
  isUp = true;
  /** Until then everything that arrives waits in front of it, as for a stopped process. */
  pausedUntilMs = 0;

  constructor(name: string, address: Address, engine: GossipEngine, kernels: EngineKernels) {
    this.name = name;
    this.address = address;
    this.engine = engine;
    this.kernels = kernels;
  }

  /** Status of a member as this node sees it, undefined when it does not know it. */
  status(name: string): MemberInfo['status'] | undefined {
    return this.engine.member(name)?.status;
  }

  /** Types of the events about members so far, with the member's name: "join b". */
  story(): string[] {
    return this.events.flatMap((event) =>
      'member' in event && event.type !== 'probe' ? [`${event.type} ${event.member.name}`] : [],
    );
  }

  done(request: number): { ok: boolean; detail: string } | undefined {
    const found = this.events.find((event) => event.type === 'done' && event.request === request);
    return found?.type === 'done' ? { ok: found.ok, detail: found.detail } : undefined;
  }

  messages(): { from: string; text: string; via: string }[] {
    return this.events.flatMap((event) =>
      event.type === 'message'
        ? [{ from: event.from, text: Buffer.from(event.payload).toString(), via: event.via }]
        : [],
    );
  }
}

interface Step {
  readonly atMs: number;
  readonly order: number;
  readonly node: TestNode | undefined;
  readonly run: () => void;
}

/**
 * Several engines in virtual time: hands over what they want sent, wakes them when they are due, and lets time jump to whatever comes
 * next. The same calls with the same seeds do the same things.
 */
export class Group {
  nowMs: number;
  latencyMs: number;
  loss: number;
  readonly nodes = new Map<string, TestNode>();
  readonly trace: string[] = [];
  readonly backend: Backend;
  /** Asked in order; the first answer counts. */
  readonly rules: LinkRule[] = [];
  packetsSent = 0;
  /** Length of every message written to a stream, in order. */
  readonly streamSizes: number[] = [];
  /** Shown the same messages. */
  onStream: ((bytes: Uint8Array) => void) | undefined;
  readonly #options: GroupOptions;
  readonly #prng: Prng;
  readonly #byAddress = new Map<string, TestNode>();
  readonly #heap: Step[] = [];
  readonly #wakeAt = new Map<TestNode, number>();
  #order = 0;
  #shared: Pick<EngineKernels, 'codec' | 'stateCodec' | 'names' | 'profiles' | 'sync'> | undefined;

  constructor(options: GroupOptions = {}) {
    this.#options = options;
    this.nowMs = options.startMs ?? 0;
    this.latencyMs = options.latencyMs ?? 1;
    this.loss = options.loss ?? 0;
    this.#prng = new Prng(options.seed ?? 1);
    this.backend = chooseBackend(options.backend ?? 'js');
  }

  /** Makes and starts a node. */
  add(name: string, options: Partial<EngineConfig> = {}): TestNode {
    const index = this.nodes.size;
    const address = options.address ?? { ip: Uint8Array.of(10, 0, index >> 8, (index & 255) + 1), port: 7946 };
    const config = (this.#options.preset ?? lan)({ rngSeed: index + 1, ...options, name, address });
    const kernels = this.backend.createEngineKernels({ rngSeed: config.rngSeed, ...this.#shared });
    const { codec, stateCodec, names, profiles, sync } = kernels;
    this.#shared ??= { codec, stateCodec, names, profiles, sync };
    const engine = new GossipEngine(config, kernels);
    const node = new TestNode(name, address, engine, kernels);
    this.nodes.set(name, node);
    this.#byAddress.set(formatAddress(address), node);
    engine.start(this.nowMs);
    this.drain(node);
    return node;
  }

  /** Makes `count` nodes named n0, n1, ... */
  addMany(count: number, options: Partial<EngineConfig> = {}): TestNode[] {
    return Array.from({ length: count }, (_, i) => this.add(`n${i}`, options));
  }

  node(name: string): TestNode {
    const found = this.nodes.get(name);
    if (!found) throw new Error(`no node ${name}`);
    return found;
  }

  /** Lets a node do something now and hands over what follows. */
  act<T>(node: TestNode, step: (engine: GossipEngine, nowMs: number) => T): T {
    const result = step(node.engine, this.nowMs);
    this.drain(node);
    return result;
  }

  /** All nodes join through the first and time goes on until they know each other. */
  joinAll(limitMs = 60_000): number {
    const [first, ...others] = [...this.nodes.values()];
    for (const node of others) this.act(node, (engine, now) => engine.join(now, [(first as TestNode).address]));
    return this.until(() => this.isConverged(), limitMs);
  }

  /** Every node that is up sees exactly the nodes that are up as alive. */
  isConverged(): boolean {
    const up = [...this.nodes.values()].filter((node) => node.isUp);
    // The count first: it is cheap, and this is asked often.
    if (!up.every((node) => node.kernels.table.u32[TABLE.aliveCount >>> 2] === up.length)) return false;
    return up.every((node) =>
      node.engine.members().every(({ name, status }) => status !== 0 || this.nodes.get(name)?.isUp),
    );
  }

  crash(name: string): void {
    this.node(name).isUp = false;
  }

  /** Stops a process for a while; what arrives meanwhile waits. */
  pause(name: string, ms: number): void {
    this.node(name).pausedUntilMs = this.nowMs + ms;
  }

  /** Nothing passes between the two sides until the returned function is called. */
  partition(left: readonly string[], right: readonly string[]): () => void {
    const rule: LinkRule = ({ from, to }) =>
      (left.includes(from) && right.includes(to)) || (right.includes(from) && left.includes(to)) ? 'drop' : undefined;
    return this.rule(rule);
  }

  /** Adds a rule in front of the others; the returned function takes it out. */
  rule(rule: LinkRule): () => void {
    this.rules.unshift(rule);
    return () => {
      this.rules.splice(this.rules.indexOf(rule), 1);
    };
  }

  /** Lets `ms` pass. */
  run(ms: number): void {
    this.#drive(this.nowMs + ms, () => false);
  }

  /** Lets time pass until `condition` holds; returns how long it took. Throws when it does not within `limitMs`. */
  until(condition: () => boolean, limitMs: number): number {
    const startMs = this.nowMs;
    if (condition()) return 0;
    if (!this.#drive(startMs + limitMs, condition)) throw new Error(`the condition did not hold within ${limitMs} ms`);
    return this.nowMs - startMs;
  }

  /** Hands over a packet that no engine made. */
  inject(from: Address, to: TestNode, bytes: Uint8Array): void {
    to.engine.handlePacket(this.nowMs, from, bytes);
    this.drain(to);
  }

  /** Carries out what a node wants done, in the order that the engine asks for. */
  drain(node: TestNode): void {
    const { engine } = node;
    for (let transmit = engine.pollTransmit(); transmit; transmit = engine.pollTransmit()) {
      if (node.isUp) this.#send(node, transmit.to, transmit.bytes.slice());
    }
    for (let request = engine.pollStream(); request; request = engine.pollStream())
      if (node.isUp) this.#open(node, request);
    for (let event = engine.pollEvent(); event; event = engine.pollEvent()) node.events.push(event);
    this.#wake(node);
  }

  #send(from: TestNode, to: Address, bytes: Uint8Array): void {
    this.packetsSent++;
    if (this.#options.trace) this.trace.push(`${this.nowMs} ${from.name}>${formatAddress(to)} ${toHex(bytes)}`);
    const target = this.#byAddress.get(formatAddress(to));
    if (!target) return;
    const delay = this.#delay(from, target, 'packet');
    if (delay === undefined) return;
    this.#at(this.nowMs + delay, target, () => {
      target.engine.handlePacket(this.nowMs, from.address, bytes);
      this.drain(target);
    });
  }

  #open(from: TestNode, request: StreamRequest): void {
    const { id, to, bytes, expectsReply, deadlineMs } = request;
    if (this.#options.trace) this.trace.push(`${this.nowMs} ${from.name}=>${formatAddress(to)} ${toHex(bytes)}`);
    const fail = (error: string, atMs: number): void =>
      this.#at(atMs, from, () => this.act(from, (engine, now) => engine.handleStreamFailure(now, id, error)));
    const reply = (message: Uint8Array): StreamAnswer =>
      this.act(from, (engine, now) => engine.handleStreamReply(now, id, message));
    const target = this.#byAddress.get(formatAddress(to));
    const delay = target && this.#delay(from, target, 'stream');
    if (!target || delay === undefined) {
      fail('timed out', deadlineMs);
      return;
    }
    if (!target.isUp) {
      fail('connection refused', this.nowMs + delay);
      return;
    }
    const hear = (sent: Uint8Array, isReplyWanted: boolean): void => {
      this.streamSizes.push(sent.length);
      this.onStream?.(sent);
      const step = target.engine.streamReader(true).push(sent);
      if (step === 'more') {
        fail('closed before it answered', this.nowMs + delay);
        return;
      }
      let answer = new Uint8Array(0);
      if (step.kind === 'message') {
        answer = new Uint8Array(
          target.engine.handleStream(this.nowMs, { ip: from.address.ip, port: 40000 }, step.message).bytes,
        );
        if (answer.length > 0) this.streamSizes.push(answer.length);
        if (answer.length > 0) this.onStream?.(answer);
        this.drain(target);
      } else {
        target.engine.noteStreamError(step.code);
        answer = new Uint8Array(step.answer);
      }
      if (!isReplyWanted && expectsReply) return;
      const back = this.#delay(target, from, 'stream');
      if (back === undefined) {
        fail('timed out', deadlineMs);
        return;
      }
      this.#at(this.nowMs + back, from, () => {
        const result = answer.length === 0 ? 'more' : from.engine.streamReader(false).push(answer);
        if (!expectsReply) reply(new Uint8Array(0));
        else if (result === 'more') fail('closed before it answered', this.nowMs);
        else if (result.kind === 'error') fail(result.text, this.nowMs);
        else {
          const next = reply(result.message);
          const again = next.bytes.length === 0 ? undefined : this.#delay(from, target, 'stream');
          if (again !== undefined) this.#at(this.nowMs + again, target, () => hear(next.bytes, next.more));
          else if (next.more) fail('timed out', deadlineMs);
        }
      });
    };
    this.#at(this.nowMs + 2 * delay, target, () => hear(bytes, expectsReply));
  }

  /** How long the hop takes, undefined when it is lost. Draws from the network's generator whatever the rules say. */
  #delay(from: TestNode, to: TestNode, via: 'packet' | 'stream'): number | undefined {
    const isLost = via === 'packet' && this.#prng.unit() < this.loss;
    for (const rule of this.rules) {
      const verdict = rule({ from: from.name, to: to.name, via, nowMs: this.nowMs });
      if (verdict === 'drop') return undefined;
      if (verdict === 'pass') break;
      if (verdict !== undefined) return this.latencyMs + verdict;
    }
    return isLost ? undefined : this.latencyMs;
  }

  #wake(node: TestNode): void {
    const atMs = node.engine.pollTimeout();
    if (atMs === undefined || !node.isUp || this.#wakeAt.get(node) === atMs) return;
    this.#wakeAt.set(node, atMs);
    this.#at(Math.max(atMs, this.nowMs), node, () => {
      if (this.#wakeAt.get(node) !== atMs) return;
      this.#wakeAt.delete(node);
      node.engine.handleTimeout(this.nowMs);
      this.drain(node);
    });
  }

  #drive(endMs: number, condition: () => boolean): boolean {
    let steps = 0;
    for (let step = this.#heap[0]; step !== undefined && step.atMs <= endMs; step = this.#heap[0]) {
      this.#pop();
      steps = step.atMs > this.nowMs ? 0 : steps + 1;
      if (steps > STEPS_AT_ONE_TIME_MAX) throw new Error(`${steps} steps without time going on at ${this.nowMs} ms`);
      this.nowMs = Math.max(this.nowMs, step.atMs);
      const { node } = step;
      if (node && !node.isUp) continue;
      if (node && node.pausedUntilMs > this.nowMs) {
        this.#at(node.pausedUntilMs, node, step.run);
        continue;
      }
      step.run();
      if (condition()) return true;
    }
    this.nowMs = Math.max(this.nowMs, endMs);
    return false;
  }

  #at(atMs: number, node: TestNode | undefined, run: () => void): void {
    const step: Step = { atMs, order: this.#order++, node, run };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(step);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as Step;
      if (isBefore(parent, step)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = step;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Step;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Step, heap[child] as Step)) child++;
      if (isBefore(last, heap[child] as Step)) break;
      heap[at] = heap[child] as Step;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Step, b: Step): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Two nodes, a and b, that have joined. */
export function pair(
  options: GroupOptions = {},
  config: Partial<EngineConfig> = {},
): { group: Group; a: TestNode; b: TestNode } {
  const group = new Group(options);
  const a = group.add('a', config);
  const b = group.add('b', config);
  group.joinAll();
  return { group, a, b };
}

/** UTF-8 bytes. */
export const text = bytesOf;
