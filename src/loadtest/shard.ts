import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { acquaintLike } from '../kernels/arenas/acquaint.ts';
import { type Backend, chooseBackend } from '../kernels/backend.ts';
import { type EngineKernels, EXT } from '../kernels/contract.ts';
import { type EngineConfig, PROFILES } from '../protocol/config.ts';
import { GossipEngine } from '../protocol/engine.ts';
import { FailedMembers } from '../protocol/failed-members.ts';
import type { GossipEvent } from '../protocol/types.ts';
import { nativeUdp } from '../transport/native.ts';
import type { PacketHandlers, PacketSocket } from '../transport/packet-socket.ts';
import { BatchedSocket } from '../transport/udp-batched.ts';
import { DgramSocket } from '../transport/udp-dgram.ts';
import type { Address } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { Prng } from '../util/prng.ts';
import { addressOf, indexOf, ipOf, nameOf } from './addresses.ts';
import { introduction } from './introduction.ts';
import type { LoadNode } from './load-node.ts';
import { ShardStreams } from './streams.ts';
import { Tally } from './tally.ts';
import type { Fault, Sample, ShardInput } from './types.ts';
import { viewSizes } from './view.ts';
import { Wheel } from './wheel.ts';

/** Packets that wait for a paused node; the buffer of a socket holds about as many. */
const PAUSED_PACKETS_MAX = 256;

/**
 * Some of the nodes of a load test, on one thread: the engine of production for each, one clock, and one UDP socket for all of them, bound to the wildcard address, which tells by the
 * destination who is meant (dgram: a socket each). What src/cluster/host.ts is to one node this is to thousands.
 */
export class Shard {
  readonly #input: ShardInput;
  readonly #backend: Backend;
  readonly #nodes: LoadNode[] = [];
  /** By index among all nodes. */
  readonly #byIndex: (LoadNode | undefined)[];
  readonly #wheel: Wheel<LoadNode>;
  readonly #startedMs = performance.now();
  readonly #originMs = performance.timeOrigin + this.#startedMs;
  readonly #luck: Prng;
  readonly #streams: ShardStreams;
  readonly #delay = monitorEventLoopDelay({ resolution: 5 });
  #sockets: PacketSocket[] = [];
  #ports: readonly number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #wakesSoon = false;
  #touched: LoadNode[] = [];
  #fault: Fault | undefined;
  #faulty = new Set<number>();
  readonly #tally = new Tally();
  #late = newLate();
  #dropsBefore = 0;
  #sentBefore = 0;
  /** Packets since timers had their turn, and how often they gave way to more of them. */
  #received = 0;
  #deferrals = 0;
  #pendingJoins: LoadNode[] = [];
  readonly #rejoiner: NodeJS.Timeout;
  #stopped = false;

  constructor(input: ShardInput) {
    this.#input = input;
    this.#byIndex = Array.from({ length: input.nodes });
    this.#wheel = new Wheel(this.#now());
    this.#backend = chooseBackend(input.backend);
    this.#luck = new Prng(input.seed ^ (input.index * 7919));
    this.#streams = new ShardStreams({
      now: () => this.#now(),
      drain: (node) => this.#drain(node),
      turn: () => this.#turn(),
      isStopped: () => this.#stopped,
      nodeAt: (index) => this.#byIndex[index],
      isLost: (from, to) => this.#isLost(from, to),
      isKilled: (index) => this.#tally.isKilled(index),
    });
    this.#delay.enable();
    this.#rejoiner = setInterval(() => this.#rejoin(), REJOIN_LOOK_MS);
  }

  /** Binds; the port. */
  async bind(): Promise<{ readonly port: number; readonly packets: 'dgram' | 'batched' }> {
    const wildcard = { ip: new Uint8Array(4), port: 0 };
    const native = this.#input.udp === 'dgram' ? undefined : nativeUdp();
    if (this.#input.udp === 'batched' && native === undefined) {
      throw new HearsayError(
        'ERR_BACKEND_UNAVAILABLE',
        "udp: 'batched' needs the addon, Linux, and a HEARSAY_BACKEND other than js; use 'auto' or 'dgram'",
      );
    }
    const { port } = await this.#streams.listen(wildcard);
    if (native === undefined) {
      await this.#bindEach(port);
      return { port, packets: 'dgram' };
    }
    const socket = new BatchedSocket({ ip: wildcard.ip, port }, this.#handlers(undefined), native, BUFFER_BYTES);
    await socket.open();
    this.#sockets = [socket];
    return { port, packets: 'batched' };
  }

  async #bindEach(port: number): Promise<void> {
    for (let index = this.#input.index; index < this.#input.nodes; index += this.#input.shards) {
      const socket = new DgramSocket({ ip: ipOf(index), port }, this.#handlers(index));
      await socket.open();
      this.#sockets.push(socket);
    }
  }

  /** Makes the nodes and starts them, alone. */
  start(ports: readonly number[]): void {
    this.#ports = ports;
    const { index: first, nodes, shards } = this.#input;
    let shared: EngineKernels | undefined;
    for (let index = first; index < nodes; index += shards) {
      const { engine, kernels } = this.#makeEngine(index, 0, shared);
      shared ??= kernels;
      const node: LoadNode = {
        index,
        ip: ipOf(index),
        engine,
        kernels,
        isUp: true,
        pausedUntilMs: 0,
        held: [],
        wakeMs: Number.POSITIVE_INFINITY,
        socket: (this.#sockets.length === 1 ? this.#sockets[0] : this.#sockets[this.#nodes.length]) as PacketSocket,
        hasPackets: false,
        failed: new FailedMembers(),
        packetsBefore: 0,
        bytesBefore: 0,
      };
      this.#nodes.push(node);
      this.#byIndex[index] = node;
      engine.start(this.#now());
      this.#drain(node);
    }
    this.#turn();
  }

  #makeEngine(
    index: number,
    seed: number,
    shared: EngineKernels | undefined,
  ): { engine: GossipEngine; kernels: EngineKernels } {
    const { nodes, profile, tuning } = this.#input;
    const rngSeed = (this.#input.seed + index + seed * nodes) >>> 0;
    const kernels = this.#backend.createEngineKernels({ rngSeed, compact: true, maxMembers: nodes, ...shared });
    const nonces = new Prng(rngSeed);
    const config: EngineConfig = PROFILES[profile]({
      // One listener serves all streams of a shard, and LZW of states for thousands of nodes on two processors would be all that is measured.
      compression: false,
      ...tuning,
      nonces: (out) => nonces.fill(out),
      name: nameOf(index),
      address: addressOf(index, this.#ports),
      rngSeed,
    });
    return { engine: new GossipEngine(config, kernels), kernels };
  }

  /** All know all at once: one merges everybody, the others get its table. */
  acquaint(): void {
    const [first, ...others] = this.#nodes;
    if (!first) return;
    const { nodes } = this.#input;
    const message = introduction(nodes, this.#ports, stateOf(first));
    first.engine.handleStream(this.#now(), first.engine.config.address, message);
    // A large state is merged over several turns.
    const limitMs = this.#now() + MERGE_MS_MAX;
    while (first.engine.memberCount < nodes && this.#now() < limitMs) first.engine.handleTimeout(this.#now());
    if (first.engine.memberCount < nodes)
      throw new Error(`only ${first.engine.memberCount} of ${nodes} members were merged`);
    while (first.engine.pollEvent()) {
      // That it has heard of all is no news.
    }
    acquaintLike(
      first.kernels,
      others.map(({ kernels }) => kernels),
    );
    for (const node of this.#nodes) {
      node.engine.tableWritten(this.#now());
      this.#drain(node);
    }
    this.#turn();
  }

  /** Each joins through one of the seeds, so many at a time. */
  join(seeds: readonly number[], atOnce: number): void {
    this.#pendingJoins = this.#nodes.filter(({ index }) => !seeds.includes(index));
    const next = (): void => {
      const node = this.#pendingJoins.shift();
      if (!node || this.#stopped) return;
      const seed = seeds[this.#luck.below(seeds.length)] as number;
      const request = node.engine.join(this.#now(), [addressOf(seed, this.#ports)]);
      this.#joinDone.set(node, { request, next });
      this.#drain(node);
      this.#turn();
    };
    for (let i = 0; i < atOnce; i++) next();
  }

  readonly #joinDone = new Map<LoadNode, { readonly request: number; readonly next: () => void }>();

  kill(indices: readonly number[], atMs: number): void {
    for (const index of indices) {
      this.#tally.killed(index, atMs);
      const node = this.#byIndex[index];
      if (node) node.isUp = false;
    }
  }

  restart(indices: readonly number[], seed: number): void {
    for (const index of indices) {
      this.#tally.restarted(index);
      const node = this.#byIndex[index];
      if (!node) continue;
      const made = this.#makeEngine(index, 1 + seed, node.kernels);
      Object.assign(node, made, {
        isUp: true,
        failed: new FailedMembers(),
        wakeMs: Number.POSITIVE_INFINITY,
        packetsBefore: 0,
        bytesBefore: 0,
      });
      node.engine.start(this.#now());
      const peers = Array.from({ length: 3 }, () => addressOf(this.#luck.below(this.#input.nodes), this.#ports));
      node.engine.join(this.#now(), peers);
      this.#drain(node);
    }
    this.#turn();
  }

  pause(indices: readonly number[], ms: number): void {
    for (const index of indices) {
      const node = this.#byIndex[index];
      if (!node) continue;
      node.pausedUntilMs = this.#now() + ms;
      this.#wheel.push(node.pausedUntilMs, node);
    }
    this.#arm();
  }

  setFault(fault: Fault | undefined): void {
    this.#fault = fault;
    this.#faulty = new Set(fault?.kind === 'some' ? fault.nodes : []);
    this.#tally.faulty = this.#faulty;
  }

  /** Counts from now on. */
  reset(): void {
    this.#tally.reset();
    this.#late = newLate();
    this.#delay.reset();
    this.#dropsBefore = this.#kernelDrops();
    this.#sentBefore = this.#packetsSent();
    for (const node of this.#nodes) {
      node.packetsBefore = node.engine.stats.packetsSent;
      node.bytesBefore = node.engine.stats.bytesSent;
    }
  }

  sample(isFull: boolean): Sample {
    const { counts } = this.#tally;
    const up = this.#nodes.filter(({ isUp }) => isUp);
    const per = { packets: new Float64Array(isFull ? up.length : 0), bytes: new Float64Array(isFull ? up.length : 0) };
    for (let i = 0; i < per.packets.length; i++) {
      const { engine, packetsBefore, bytesBefore } = up[i] as LoadNode;
      const { packetsSent, bytesSent } = engine.stats;
      per.packets[i] = packetsSent - packetsBefore;
      per.bytes[i] = bytesSent - bytesBefore;
    }
    const ms = (ns: number): number => (Number.isFinite(ns) ? ns / 1e6 : 0);
    return {
      view: viewSizes(up),
      ...counts,
      verdicts: isFull ? counts.verdicts : undefined,
      // Of the sockets: asking every node takes long where there are thousands.
      packetsSent: this.#packetsSent() - this.#sentBefore,
      kernelDrops: this.#kernelDrops() - this.#dropsBefore,
      sendDrops: this.#sockets.reduce((sum, { stats }) => sum + stats.packetsDropped, 0),
      perNode: isFull ? per : undefined,
      loopDelay: { p50: ms(this.#delay.percentile(50)), p99: ms(this.#delay.percentile(99)), max: ms(this.#delay.max) },
      lateness: { mean: this.#late.sum / Math.max(1, this.#late.count), max: this.#late.max },
    };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#rejoiner);
    await Promise.all([this.#streams.close(), ...this.#sockets.map((socket) => socket.close())]);
  }

  /** Integer ms since the shard began. */
  #now(): number {
    return Math.floor(performance.now() - this.#startedMs);
  }

  #packetsSent(): number {
    return this.#sockets.reduce((sum, { stats }) => sum + stats.packetsSent, 0);
  }

  #kernelDrops(): number {
    return this.#sockets.reduce((sum, socket) => sum + socket.kernelDrops(), 0);
  }

  #handlers(index: number | undefined): PacketHandlers {
    return {
      packet: (from, bytes, localIp) => this.#receive(from, bytes, index ?? (localIp ? indexOf(localIp) : -1)),
      turn: () => this.#turn(),
      error: () => undefined,
    };
  }

  #receive(from: Address, bytes: Uint8Array, index: number): void {
    this.#received++;
    const node = this.#byIndex[index];
    if (!node?.isUp || this.#isLost(indexOf(from.ip), index)) return;
    if (node.pausedUntilMs > this.#now()) {
      if (node.held.length < PAUSED_PACKETS_MAX) node.held.push({ from, bytes: bytes.slice() });
      return;
    }
    // Engines share a codec, so each packet is handled at once; what it leads to is sent at the end of the turn.
    if (node.engine.handlePacket(this.#now(), from, bytes)) this.#drain(node);
  }

  #turn(): void {
    this.#flush();
    this.#arm();
  }

  #isLost(from: number, to: number): boolean {
    const fault = this.#fault;
    if (fault === undefined) return false;
    if (fault.kind === 'loss') return this.#luck.unit() < fault.ratio;
    if (fault.kind === 'partition') return from < fault.border !== to < fault.border;
    const isConcerned = this.#faulty.has(to) || (!fault.oneWay && this.#faulty.has(from));
    if (!isConcerned || (fault.periodMs > 0 && Math.floor(this.#now() / fault.periodMs) % 2 === 1)) return false;
    return this.#luck.unit() < fault.ratio;
  }

  /** Does what an engine wants done; packets leave with #flush(). */
  #drain(node: LoadNode): void {
    const { engine, socket, ip } = node;
    for (let transmit = engine.pollTransmit(); transmit; transmit = engine.pollTransmit()) {
      socket.send(transmit.to, transmit.bytes, ip);
    }
    if (!node.hasPackets) {
      node.hasPackets = true;
      this.#touched.push(node);
    }
    for (let request = engine.pollStream(); request; request = engine.pollStream())
      void this.#streams.exchange(node, request);
    for (let event = engine.pollEvent(); event; event = engine.pollEvent()) this.#notice(node, event);
    this.#schedule(node);
  }

  /** Puts the node down for when it is due, if it is not already: one that is late would be put down once for each packet. */
  #schedule(node: LoadNode): void {
    const dueMs = node.engine.pollTimeout() ?? Number.POSITIVE_INFINITY;
    if (dueMs < node.wakeMs) node.wakeMs = this.#wheel.push(dueMs, node);
  }

  #flush(): void {
    for (const node of this.#touched) {
      node.hasPackets = false;
      if (this.#sockets.length > 1) node.socket.flush();
    }
    this.#touched.length = 0;
    if (this.#sockets.length === 1) this.#sockets[0]?.flush();
  }

  #arm(): void {
    const dueMs = this.#wheel.nextMs ?? Number.POSITIVE_INFINITY;
    if (this.#wakesSoon || (this.#timer && dueMs >= this.#timerAtMs)) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (dueMs === Number.POSITIVE_INFINITY || this.#stopped) return;
    const waitMs = dueMs - this.#now();
    if (waitMs <= 0) {
      // A timeout takes a ms at least, in which thousands of nodes have dozens more timers due.
      this.#wakesSoon = true;
      setImmediate(() => this.#wake());
      return;
    }
    this.#timerAtMs = dueMs;
    this.#timer = setTimeout(() => this.#wake(), waitMs);
  }

  /** Timers that are due; packets that have arrived get their turn in between. */
  #wake(): void {
    this.#timer = undefined;
    this.#wakesSoon = false;
    if (this.#stopped) return;
    const now = this.#now();
    // As in production, an ack in the socket is worth more than the timer that says it is missing.
    const isBehind = this.#received >= BEHIND_PACKETS;
    this.#received = 0;
    if (isBehind && this.#deferrals++ < DEFERRALS_MAX) {
      this.#turn();
      return;
    }
    this.#deferrals = 0;
    for (let left = WAKES_PER_TURN; left > 0; ) {
      const node = this.#wheel.pop(now);
      if (node === undefined) break;
      if (!node.isUp) continue;
      if (node.pausedUntilMs > now) {
        this.#wheel.push(node.pausedUntilMs, node);
        continue;
      }
      if (node.held.length > 0) this.#release(node, now);
      const dueMs = node.wakeMs;
      if (dueMs > now) continue;
      left--;
      this.#late.sum += now - dueMs;
      this.#late.count++;
      this.#late.max = Math.max(this.#late.max, now - dueMs);
      node.wakeMs = Number.POSITIVE_INFINITY;
      // Most timers are of probes that have been answered meanwhile.
      const isNothingDue = (node.engine.pollTimeout() ?? Number.POSITIVE_INFINITY) > now;
      if (isNothingDue) {
        this.#schedule(node);
        continue;
      }
      node.engine.handleTimeout(now);
      this.#drain(node);
    }
    this.#turn();
  }

  /** What a Cluster does (src/cluster/rejoiner.ts), each node about once in its interval. */
  #rejoin(): void {
    const now = this.#now();
    const chance = REJOIN_LOOK_MS / this.#input.rejoinIntervalMs;
    for (const node of this.#nodes) {
      if (!node.isUp || node.pausedUntilMs > now || node.failed.size === 0 || this.#luck.unit() >= chance) continue;
      const address = node.failed.pick(this.#luck, now, node.engine.aliveCount);
      if (address === undefined) continue;
      node.engine.join(now, [address]);
      this.#drain(node);
    }
    this.#turn();
  }

  #release(node: LoadNode, now: number): void {
    for (const { from, bytes } of node.held.splice(0)) node.engine.handlePacket(now, from, bytes);
    this.#drain(node);
  }

  #notice(node: LoadNode, event: GossipEvent): void {
    node.failed.notice(event, this.#now());
    if (event.type !== 'done') {
      this.#tally.note(node.index, event, this.#originMs + this.#now());
      return;
    }
    const join = this.#joinDone.get(node);
    if (join?.request !== event.request) return;
    this.#joinDone.delete(node);
    if (!event.ok) this.#pendingJoins.push(node);
    setImmediate(join.next);
  }
}

/** Buffers of the socket that serves all nodes of a shard; each has 2 MiB of its own in production. Without the right to set so much the system gives less. */
const BUFFER_BYTES = 256 * 1024 * 1024;
/** How often it is decided who looks for failed members again, ms. */
const REJOIN_LOOK_MS = 500;
/** How long merging all nodes may take, ms. */
const MERGE_MS_MAX = 30_000;
/** So many packets between two looks at the timers: the socket holds more, and timers wait, this often at most. */
const BEHIND_PACKETS = 256;
const DEFERRALS_MAX = 12;
/** Timers in one turn, at most. */
const WAKES_PER_TURN = 64;

/** How late timers of engines fired, ms. */
function newLate() {
  return { sum: 0, count: 0, max: 0 };
}

function stateOf({ engine }: LoadNode): { readonly vsn: Uint8Array; readonly ext: number } {
  const { self, config } = engine;
  const fast = config.ringIntervalMs > 0 ? EXT.fast : 0;
  const sync = config.deltaSync ? EXT.deltaSync : 0;
  return { vsn: Uint8Array.from(self.vsn), ext: EXT.present | EXT.averaging | fast | sync | (1 << EXT.sequenceShift) };
}
