import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type InspectOptions, inspect } from 'node:util';
import type { GossipEvent } from '../protocol/types.ts';
import type { MapOptions } from '../state/map-options.ts';
import { formatAddress } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { EventBuffer } from '../util/event-buffer.ts';
import {
  booleanArgument,
  dataArgument,
  keyArgument,
  msArgument,
  optionsArgument,
  seedsArgument,
  targetArgument,
} from './arguments.ts';
import { isAbortSignal } from './checks.ts';
import { complaint } from './describe.ts';
import { EventSlices } from './event-slices.ts';
import {
  type ClusterEvent,
  type ClusterEventMap,
  type ClusterEventName,
  dataBytes,
  eventChannel,
  probeChannel,
} from './events.ts';
import { startInline } from './inline-link.ts';
import type { HostCommandName, HostCommands, HostHello, HostLink, LinkSink } from './link.ts';
import { type Logger, logMember, silentLogger } from './logger.ts';
import type { ClusterMap } from './map.ts';
import { ClusterMaps, type StateEvent } from './maps.ts';
import { type Member, toMember } from './member.ts';
import type { MemberHandle } from './member-reader.ts';
import { MemberSnapshot } from './member-snapshot.ts';
import type { ClusterOptions, HostSettings } from './options.ts';
import { resolveOptions } from './resolve-options.ts';
import type { ClusterStats } from './stats.ts';
import { WorkerLink } from './worker-link.ts';

/** How long leave() and setMeta() wait for their news to go out, ms. */
const BROADCAST_TIMEOUT_MS = 5000;
const EVENT_BUFFER_DEFAULT = 1024;

export interface LeaveOptions {
  /** Give up waiting for the news to spread after this long, ms; 0 = never. Default 5000. The node stops in any case. */
  readonly timeoutMs?: number;
  /** Stay and answer probes for this long after the news went out, ms, so that members who hear it late do not suspect us first. Default 0. */
  readonly lingerMs?: number;
}

/**
 * A node's membership in a gossip cluster.
 *
 * ```js
 * const cluster = await Cluster.start({ name: 'web-1', bind: '10.0.0.7:7946', seeds: ['10.0.0.1:7946'] });
 * cluster.on('join', (member) => console.log(member.name, 'joined'));
 * cluster.on('dead', (member) => console.log(member.name, 'failed'));
 * for (const member of cluster.members()) console.log(member.name, member.address, member.status);
 * await cluster.leave();
 * ```
 *
 * The engine runs in a thread of its own (see `thread`), so a busy application does not look dead to the others, and
 * `members()` reads the member table from shared memory without asking that thread.
 */
export class Cluster extends EventEmitter<ClusterEventMap> implements AsyncDisposable {
  readonly #settings: HostSettings;
  readonly #logger: Logger;
  readonly #buffers = new Set<EventBuffer<ClusterEvent>>();
  #link: HostLink | undefined;
  #stopping: Promise<void> | undefined;
  #leaving: Promise<void> | undefined;
  #forgetSignal: () => void = () => {};
  readonly #snapshot: MemberSnapshot;
  #maps: ClusterMaps | undefined;
  /** Held until start() has returned and listeners could be added: nobody misses the events of the first join. */
  readonly #slices = new EventSlices<GossipEvent>((event) => this.#deliver(event), true);

  private constructor(settings: HostSettings, logger: Logger) {
    super();
    this.#settings = settings;
    this.#snapshot = new MemberSnapshot(settings.name);
    this.#logger = logger;
  }

  /**
   * Binds, starts the engine and tries to join through the seeds.
   *
   * Resolves when the node is up, joined or not: without a seed it is a cluster of one that others can join, and seeds that do
   * not answer are tried again in the background (`requireJoin: true` rejects with ERR_JOIN_FAILED instead). Events of the
   * first join are delivered after start() has resolved, so listeners added right away miss nothing.
   *
   * Rejects with ERR_CONFIG_INVALID (every problem listed), ERR_BIND_FAILED, ERR_BACKEND_UNAVAILABLE or ERR_ABORTED.
   */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const { settings, hooks, thread, requireJoin } = resolveOptions(options);
    const { signal } = options;
    if (signal?.aborted) throw aborted(signal);
    const cluster = new Cluster(settings, options.logger ?? silentLogger);
    const sink = cluster.#sink();
    try {
      cluster.#link =
        thread === 'worker'
          ? await WorkerLink.start(settings, requireJoin, sink, signal)
          : await startInline(settings, hooks, requireJoin, sink, signal);
    } catch (error) {
      throw signal?.aborted ? aborted(signal) : error;
    }
    if (signal?.aborted) {
      await cluster.stop();
      throw aborted(signal);
    }
    if (signal) cluster.#stopWith(signal);
    cluster.#logStart();
    setImmediate(() => cluster.#slices.release());
    return cluster;
  }

  /** The name of this node. */
  get name(): string {
    return this.#settings.name;
  }

  /** This node as the others see it. */
  get self(): Member {
    const self = this.#all().find((member) => member.isSelf);
    if (!self) throw stopped();
    return self;
  }

  /** Which kernels run, native or their TypeScript twins, and why. */
  get backend(): HostHello['backend'] {
    return this.#require().hello.backend;
  }

  /** True once the cluster was stopped or has left, or its thread has failed. */
  get isStopped(): boolean {
    return this.#stopping !== undefined;
  }

  /**
   * The members as this node sees them now, this node included (`isSelf`): those that are alive or suspect, as memberlist's Members(), without
   * the dead and the left. With `{ all: true }` also those, as long as they are remembered. Reads shared memory; cheap when nothing changed.
   */
  members(options: { readonly all?: boolean } = {}): readonly Member[] {
    const all = this.#all();
    return options.all ? all : all.filter((member) => member.status === 'alive' || member.status === 'suspect');
  }

  /**
   * For other threads that want to read the members (MemberReader). Throws ERR_ARGUMENT_INVALID on thread 'inline', whose members are not
   * in shared memory.
   */
  get memberHandle(): MemberHandle {
    const { arenas } = this.#require();
    if (!arenas)
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        "memberHandle: expected a cluster on thread 'worker', this one runs inline",
      );
    return { name: this.name, arenas };
  }

  /** One member by name, whatever its status; undefined when it is not (or no longer) known. */
  member(name: string): Member | undefined {
    return this.#all().find((member) => member.name === name);
  }

  /**
   * Joins through more members, "host:port" each. Resolves with how many addresses answered; rejects with ERR_JOIN_FAILED if none did,
   * ERR_ARGUMENT_INVALID when it is no list of addresses or empty.
   */
  async join(seeds: readonly string[]): Promise<number> {
    return this.#call('join', seedsArgument(seeds));
  }

  /**
   * Sends bytes to one member's program ('message' event there). `to` is a member, its name, or an "ip:port".
   *
   * Default: one datagram, best effort, of at most 65,501 bytes, less what label and encryption add (ERR_MESSAGE_TOO_LARGE names the limit).
   * Above the path MTU, about 1,400 bytes on most networks, the network takes it apart, and one lost part loses it all: send larger things
   * `reliable`, over a stream, up to 20 MiB; that resolves when it was written, and rejects with ERR_STREAM_FAILED when it could not be.
   */
  async send(
    to: Member | string,
    data: Uint8Array | string,
    options: { readonly reliable?: boolean } = {},
  ): Promise<void> {
    const { reliable } = optionsArgument(options, ['reliable']);
    const target = targetArgument('to', to);
    await this.#call('send', target, dataArgument('data', data), booleanArgument('reliable', reliable, false));
  }

  /**
   * Spreads bytes to all members by gossip ('message' event there, via 'broadcast'). hearsay members pass them on, each once, and deliver
   * them once; memberlist members get them as user messages and may see one twice. Best effort.
   *
   * Up to 800 bytes always fit with the default packet size, whatever the node's name, label and keys (with short ones and no encryption
   * about 1,350); ERR_BROADCAST_TOO_LARGE names the limit.
   */
  async broadcast(data: Uint8Array | string): Promise<void> {
    await this.#call('broadcast', dataArgument('data', data));
  }

  /** Changes what this node says about itself (at most 512 bytes). Resolves with true when the news went out, false when that took too long. */
  async setMeta(meta: Uint8Array | string): Promise<boolean> {
    return this.#call('setMeta', dataArgument('meta', meta), BROADCAST_TIMEOUT_MS);
  }

  /**
   * Round-trip time of one probe, ms; rejects with ERR_TIMEOUT, or ERR_MEMBER_UNKNOWN. Takes a member, its name, or its "ip:port"; unlike
   * send(), only addresses of members.
   */
  async ping(member: Member | string): Promise<number> {
    const target = targetArgument('member', member);
    const named = this.member(target) ?? this.#all().find(({ address }) => address === target);
    return this.#call('ping', named?.name ?? target);
  }

  /**
   * How many members there are, found by push-pull averaging instead of counting the table (Jelasity et al. 2005): what the others hold, not what this node
   * has heard. Takes `cycles` (1 to 255, default 40) gossip intervals, 8 s with the lan profile, in which every member sends and answers one small packet per
   * cycle. Below a thousandth off at 10,000 members without loss. Only members that run hearsay take part. Rejects with ERR_ESTIMATE_FAILED when this
   * node has `extensions` off, or too many are under way.
   */
  async estimate({ cycles }: { readonly cycles?: number } = {}): Promise<number> {
    return this.#call('estimate', cycles);
  }

  /**
   * Opens a replicated map, or gives the one that is open: see ClusterMap and docs/anti-entropy.md. All members that open a map of this name share it; options only the first
   * time. Throws ERR_ARGUMENT_INVALID, and ERR_MAP_UNAVAILABLE when this node has `extensions` off.
   */
  map(name: string, options?: MapOptions): ClusterMap {
    this.#require();
    if (this.#stopping) throw stopped();
    if (this.#settings.tuning.extensions === false) {
      throw new HearsayError(
        'ERR_MAP_UNAVAILABLE',
        'map: this node has `extensions` off, so it speaks plain memberlist, which knows no maps',
      );
    }
    this.#maps ??= new ClusterMaps(this.name, () => this.#require(), this.#settings.unref);
    return this.#maps.open(name, options);
  }

  /** Counters, health and queue depths; see ClusterStats. */
  stats(): Promise<ClusterStats> {
    return this.#call('stats');
  }

  /** Key ring of this node, primary first. What is no key is refused with ERR_KEY_INVALID. Rotation: add the new key everywhere, use it everywhere, remove the old one everywhere. */
  readonly keys = {
    /** Accept a further key (16, 24 or 32 bytes, or base64). */
    add: async (key: Uint8Array | string): Promise<void> => void (await this.#call('addKey', keyArgument(key))),
    /** Encrypt with this key from now on; it must have been added. */
    use: async (key: Uint8Array | string): Promise<void> => void (await this.#call('useKey', keyArgument(key))),
    /** Forget a key; not the primary (ERR_KEY_IN_USE). One that is not there is fine, as in memberlist. */
    remove: async (key: Uint8Array | string): Promise<void> => void (await this.#call('removeKey', keyArgument(key))),
    /** All keys, primary first. */
    list: (): Promise<readonly Uint8Array[]> => this.#call('keys'),
  } as const;

  /**
   * Events as an async iterator. At most `capacity` events wait (default 1024), with at most 64 MiB of message data; beyond that the oldest are
   * dropped and counted in `dropped`. Ends when the cluster stops, its thread is lost, or `signal` aborts. Carries what happens in the cluster: no
   * 'error' and no 'handle', for which there is on().
   */
  events(options: { readonly signal?: AbortSignal; readonly capacity?: number } = {}): EventBuffer<ClusterEvent> {
    optionsArgument(options, ['signal', 'capacity']);
    const { signal, capacity = EVENT_BUFFER_DEFAULT } = options;
    if (signal !== undefined && !isAbortSignal(signal))
      throw new HearsayError('ERR_ARGUMENT_INVALID', complaint('signal', signal, 'an AbortSignal'));
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `capacity: expected a whole number from 1 up, got ${String(capacity)}`,
      );
    }
    const close = (): void => buffer.close();
    const onClose = (): void => {
      this.#buffers.delete(buffer);
      signal?.removeEventListener('abort', close);
    };
    const buffer = new EventBuffer<ClusterEvent>(capacity, onClose, dataBytes);
    if (signal?.aborted || this.isStopped) buffer.close();
    else {
      this.#buffers.add(buffer);
      signal?.addEventListener('abort', close, { once: true });
    }
    return buffer;
  }

  /**
   * Leaves on purpose: the others see 'leave' instead of 'dead'. Waits until the news went out (or the timeout), then stops.
   * Also what `await using` does. A second call waits for the first.
   */
  async leave(options: LeaveOptions = {}): Promise<void> {
    const { timeoutMs, lingerMs } = optionsArgument(options, ['timeoutMs', 'lingerMs']);
    const waitMs = msArgument('timeoutMs', timeoutMs, BROADCAST_TIMEOUT_MS);
    const stayMs = msArgument('lingerMs', lingerMs, 0);
    if (this.#stopping) return this.#stopping;
    this.#leaving ??= this.#leave(waitMs, stayMs);
    return this.#leaving;
  }

  /** Stops at once, without a word: the others will find out that this node is gone. Safe to call twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#shutDown();
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  /** What console.log() shows. */
  [inspect.custom](depth: number, options: InspectOptions): string {
    if (depth < 0) return `[Cluster ${this.name}]`;
    return `Cluster ${inspect(this.#summary(), options)}`;
  }

  #summary(): object {
    const state = this.isStopped ? 'stopped' : 'running';
    if (!this.#link) return { name: this.name, state };
    const members: Record<string, number> = { alive: 0, suspect: 0, dead: 0, left: 0 };
    for (const { status } of this.#all()) members[status] = (members[status] ?? 0) + 1;
    return { name: this.name, address: this.self.address, backend: this.backend.name, members, state };
  }

  #logStart(): void {
    if (this.#logger === silentLogger) return;
    const { backend, packets } = this.#require().hello;
    const { keys, label } = this.#settings;
    this.#logger.info(
      {
        cluster: this.name,
        address: this.self.address,
        backend: backend.name,
        reason: backend.reason,
        packets,
        encrypted: keys.length > 0,
        label,
      },
      'cluster started',
    );
  }

  async #leave(timeoutMs: number, lingerMs: number): Promise<void> {
    try {
      await this.#call('leave', timeoutMs);
      if (lingerMs > 0 && !this.#stopping) await delay(lingerMs);
    } finally {
      await this.stop();
    }
  }

  /** A signal may outlive many clusters, so it must not hold on to one that has stopped. */
  #stopWith(signal: AbortSignal): void {
    const stop = (): void => void this.stop();
    signal.addEventListener('abort', stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener('abort', stop);
  }

  async #shutDown(): Promise<void> {
    const link = this.#link;
    if (!link) return;
    this.#forgetSignal();
    this.#maps?.stop();
    await link.call('stop').catch(() => undefined);
    await link.close();
    this.#slices.release();
    await this.#slices.drained();
    for (const buffer of this.#buffers) buffer.close();
    this.#logger.info({ cluster: this.name }, 'cluster stopped');
  }

  #call<K extends HostCommandName>(name: K, ...args: HostCommands[K]['args']): Promise<HostCommands[K]['answer']> {
    if (this.#stopping) return Promise.reject(stopped());
    return this.#require().call(name, ...args);
  }

  #require(): HostLink {
    if (!this.#link) throw stopped();
    return this.#link;
  }

  #all(): readonly Member[] {
    return this.#snapshot.of(this.#require().members());
  }

  #sink(): LinkSink {
    return {
      events: (events, taken) => this.#slices.push(events, taken),
      log: (level, fields, message) => this.#logger[level]({ cluster: this.name, ...fields }, message),
      error: (error) => {
        this.#logger.error({ cluster: this.name, err: error }, error.message);
        this.emit('error', error);
      },
      lost: (error) => {
        // Before the error is told: whoever hears it finds a cluster that has stopped, and iterators end.
        void this.stop();
        this.#logger.error({ cluster: this.name, err: error }, error.message);
        this.emit('error', error);
      },
      arenas: (arenas) => this.emit('handle', { name: this.name, arenas }),
    };
  }

  #deliver(event: GossipEvent): void {
    switch (event.type) {
      case 'done':
        return;
      case 'state':
        this.#maps?.take(event as StateEvent);
        return;
      case 'probe':
        if (probeChannel.hasSubscribers)
          probeChannel.publish({ cluster: this.name, member: event.member.name, rttMs: event.rttMs });
        return;
      case 'message': {
        const message = {
          from: event.from,
          address: formatAddress(event.address),
          data: event.payload,
          via: event.via,
        };
        this.#publish({ type: 'message', message });
        this.emit('message', message);
        return;
      }
      case 'conflict': {
        const conflict = { member: toMember(event.member, this.name), other: formatAddress(event.other) };
        this.#logger.warn({ cluster: this.name, member: conflict.member.name, other: conflict.other }, 'name conflict');
        this.#publish({ type: 'conflict', conflict });
        this.emit('conflict', conflict);
        return;
      }
      default: {
        this.#maps?.notice();
        // A process that hosts many nodes sees each join once per node: nothing is made that nobody looks at.
        if (!this.#isWatched(event.type)) return;
        const member = toMember(event.member, this.name);
        logMember(this.#logger, this.name, event.type, member);
        this.#publish({ type: event.type, member });
        this.emit(event.type, member);
      }
    }
  }

  #isWatched(type: ClusterEventName): boolean {
    return (
      this.listenerCount(type) > 0 ||
      this.#buffers.size > 0 ||
      eventChannel.hasSubscribers ||
      this.#logger !== silentLogger
    );
  }

  #publish(event: ClusterEvent): void {
    for (const buffer of this.#buffers) buffer.push(event);
    if (eventChannel.hasSubscribers) eventChannel.publish({ cluster: this.name, event });
  }
}

function stopped(): HearsayError {
  return new HearsayError('ERR_CLUSTER_STOPPED', 'the cluster was stopped; start a new one');
}

function aborted(signal: AbortSignal): HearsayError {
  return new HearsayError('ERR_ABORTED', 'the start of the cluster was aborted', { cause: signal.reason });
}
