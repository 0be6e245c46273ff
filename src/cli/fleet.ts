import { Cluster } from '../cluster/cluster.ts';
import type { ClusterOptions } from '../cluster/options.ts';
import { FaultyNetwork, FaultyTransport } from '../transport/faulty.ts';
import { NetTransport } from '../transport/net-transport.ts';
import { formatAddress } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';

/** Nodes that start at the same time. */
const START_AT_ONCE = 16;

export interface FleetOptions {
  readonly size: number;
  readonly rngSeed: number;
  /** What all nodes have in common. */
  readonly common: Omit<ClusterOptions, 'name' | 'bind' | 'meta' | 'transport' | 'thread' | 'rngSeed'>;
  readonly udp?: 'auto' | 'dgram' | 'batched';
  /** Names by index; default n1, n2... */
  readonly names?: readonly string[];
  /** What each says about itself; default nothing. */
  readonly metaOf?: (index: number) => string;
}

/** A node of the fleet, from start to stop. Restarts make a new one in the same place. */
export interface FleetNode {
  readonly index: number;
  readonly name: string;
  /** ip:port */
  readonly address: string;
  readonly cluster: Cluster;
  /** Members it holds for alive or suspect, itself included, counted from its events. */
  known: number;
}

export type FleetEvent = 'join' | 'alive' | 'suspect' | 'dead' | 'leave' | 'update' | 'message';
/** `subject` is the member's name; for messages the sender's. */
export type FleetListener = (node: FleetNode, event: FleetEvent, subject: string) => void;

/**
 * Many real nodes in this process: each has its own loopback address, UDP and TCP sockets, member table and timers; names and
 * profiles are stored once for all. They talk through the system's network stack, by way of one FaultyNetwork.
 */
export class Fleet {
  readonly network: FaultyNetwork;
  readonly nodes: FleetNode[] = [];
  readonly size: number;
  readonly #options: FleetOptions;
  readonly #listeners = new Set<FleetListener>();
  readonly #running = new Set<string>();
  #port = 0;
  #udp: 'dgram' | 'batched' | undefined;
  /** Systems where only 127.0.0.1 exists (macOS): then every node has its own port instead. */
  #oneAddress = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.size = options.size;
    this.network = new FaultyNetwork(options.rngSeed);
  }

  /** Starts the first node, then the others in small groups; each joins through one that is up. */
  async start(isAborted: () => boolean, progress: (up: number) => void): Promise<void> {
    await this.startNode(0);
    progress(1);
    while (this.nodes.length < this.size && !isAborted()) {
      const from = this.nodes.length;
      const until = Math.min(this.size, from + START_AT_ONCE);
      await Promise.all(Array.from({ length: until - from }, (_, i) => this.startNode(from + i)));
      progress(this.nodes.filter((node) => node !== undefined).length);
    }
  }

  /** Starts the node of this place, again if it was stopped; joins through a node that is up. */
  async startNode(index: number, incarnationSeed = 0): Promise<FleetNode> {
    const { rngSeed, common, metaOf } = this.#options;
    const name = this.nameOf(index);
    const transport = this.#transport(index);
    const cluster = await Cluster.start({
      ...common,
      name,
      meta: metaOf?.(index) ?? '',
      bind: this.#hostPort(index),
      seeds: this.#seedsFor(index),
      thread: 'inline',
      transport: new FaultyTransport(transport, this.network),
      rngSeed: (rngSeed + index + incarnationSeed * this.size) >>> 0,
    });
    const { address } = transport;
    this.#port ||= address.port;
    const node: FleetNode = { index, name, address: formatAddress(address), cluster, known: 0 };
    this.nodes[index] = node;
    this.#running.add(name);
    this.#watch(node);
    return node;
  }

  nameOf(index: number): string {
    const given = this.#options.names?.[index];
    if (given !== undefined) return given;
    return `n${String(index + 1).padStart(String(this.size).length, '0')}`;
  }

  /** Calls the listener for each event of each node until the function that is returned is called. */
  listen(listener: FleetListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Stops a node without a word. */
  async kill(node: FleetNode): Promise<void> {
    this.#running.delete(node.name);
    await node.cluster.stop();
  }

  /** Lets a node say goodbye and stop. */
  async leave(node: FleetNode): Promise<void> {
    this.#running.delete(node.name);
    await node.cluster.leave();
  }

  isRunning(name: string): boolean {
    return this.#running.has(name);
  }

  /** Which UDP sockets the nodes have. */
  get udp(): 'dgram' | 'batched' | undefined {
    return this.#udp;
  }

  get running(): FleetNode[] {
    return this.nodes.filter((node) => !node.cluster.isStopped);
  }

  /** Sum of a counter over all running nodes. */
  async sum(pick: (stats: Awaited<ReturnType<Cluster['stats']>>) => number): Promise<number> {
    const all = await Promise.all(this.running.map((node) => node.cluster.stats()));
    return all.reduce((sum, stats) => sum + pick(stats), 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node?.cluster.stop()));
  }

  #watch(node: FleetNode): void {
    const { cluster } = node;
    const tell = (event: FleetEvent, subject: string): void => {
      for (const listener of this.#listeners) listener(node, event, subject);
    };
    cluster.on('join', (member) => {
      node.known++;
      tell('join', member.name);
    });
    cluster.on('dead', (member) => {
      node.known--;
      tell('dead', member.name);
    });
    cluster.on('leave', (member) => {
      node.known--;
      tell('leave', member.name);
    });
    cluster.on('alive', (member) => tell('alive', member.name));
    cluster.on('suspect', (member) => tell('suspect', member.name));
    cluster.on('update', (member) => tell('update', member.name));
    cluster.on('message', (message) => tell('message', message.from));
    // Faults of single packets are counted in stats; nothing here ends the show.
    cluster.on('error', () => undefined);
  }

  #hostPort(index: number): { host: string; port: number } {
    if (this.#oneAddress) return { host: '127.0.0.1', port: 0 };
    const number = index + 1;
    return { host: `127.1.${number >> 8}.${number & 255}`, port: this.#port };
  }

  #transport(index: number): NetTransport {
    const { host, port } = this.#hostPort(index);
    const ip = Uint8Array.from(host.split('.').map(Number));
    const transport = new NetTransport({ bind: { ip, port }, udp: this.#options.udp ?? 'auto' });
    this.#udp = transport.udp;
    return transport;
  }

  #seedsFor(index: number): string[] {
    const up = this.nodes.filter((node) => node !== undefined && node.index !== index && !node.cluster.isStopped);
    const seed = up[(index * 7919) % Math.max(1, up.length)];
    return seed === undefined ? [] : [seed.address];
  }

  /** Whether each node can have an address of its own here; to be called before start(). */
  async probeAddresses(): Promise<void> {
    const silent = { packet: () => undefined, turn: () => undefined, stream: () => undefined, error: () => undefined };
    const probe = new NetTransport({ bind: { ip: Uint8Array.of(127, 1, 0, 1), port: 0 }, udp: 'dgram' });
    try {
      await probe.start(silent);
    } catch (error) {
      if (!(error instanceof HearsayError) || error.code !== 'ERR_BIND_FAILED') throw error;
      this.#oneAddress = true;
    } finally {
      await probe.close();
    }
  }
}
