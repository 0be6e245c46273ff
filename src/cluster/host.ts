import { performance } from 'node:perf_hooks';
import { type EngineKernels, REJECT, STATUS } from '../kernels/contract.ts';
import { HEADER } from '../kernels/layout.ts';
import { preparePool } from '../pool/pool.ts';
import { validateConfig } from '../protocol/config.ts';
import { GossipEngine } from '../protocol/engine.ts';
import type { GossipEvent, MemberInfo, StreamRequest } from '../protocol/types.ts';
import type { StreamConnection, Transport } from '../transport/transport.ts';
import { type Address, formatAddress, formatIp, parseIp, sameEndpoint } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { Keyring } from '../wire/keyring.ts';
import type { StreamReader, StreamResult } from '../wire/stream.ts';
import { acquireKernels } from './acquire-kernels.ts';
import { Complaints } from './complaints.ts';
import { engineConfig } from './engine-config.ts';
import { EventOutbox } from './event-outbox.ts';
import type { HostCommandName, HostCommands, HostHello, HostSink } from './link.ts';
import { openTransport } from './open-transport.ts';
import type { HostHooks, HostSettings } from './options.ts';
import { Rejoiner } from './rejoiner.ts';
import { advertisedIp, resolveSeed } from './resolve.ts';
import type { SharedArenas } from './shared-table.ts';
import type { ClusterStats } from './stats.ts';
import { STREAM_BYTES_MAX, StreamBudget } from './stream-budget.ts';
import { StreamWork } from './stream-work.ts';
import { joinFailed, targetAddress } from './targets.ts';

/** The engine itself gives a ping up after probeTimeoutMs; this is for one that it never reports on. */
const PING_TIMEOUT_MS = 5000;
/** Looks at the application's beat per stall threshold. */
const BEAT_LOOKS = 4;
/** Addresses of a join that are asked for their state at the same time. */
const JOINS_AT_A_TIME = 8;
/** Longest delay that setTimeout takes; it fires at once for a longer one. */
const TIMER_MS_MAX = 2 ** 31 - 1;

interface Waiter {
  readonly resolve: (outcome: { ok: boolean; detail: string }) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

/**
 * Drives one engine with a real clock and real sockets: the only place where the two meet. Runs inside a worker thread or inline;
 * knows nothing of either. Each thing that arrives (packets, streams, a timer, a command) is one turn: tell the engine, then
 * drain what it wants sent and said.
 */
export class ClusterHost {
  readonly #settings: HostSettings;
  readonly #hooks: HostHooks;
  readonly #shared: boolean;
  readonly #sink: HostSink;
  readonly #keyring: Keyring;
  readonly #startedMs = performance.now();
  readonly #waiters = new Map<number, Waiter>();
  #engine!: GossipEngine;
  #kernels!: EngineKernels;
  #transport!: Transport;
  readonly #work = new StreamWork();
  readonly #budget: StreamBudget;
  #self!: Address;
  #hello!: HostHello;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #beatTimer: NodeJS.Timeout | undefined;
  #rejoiner: Rejoiner | undefined;
  #arenas: SharedArenas | undefined;
  #memberCache: { changeCount: number; members: readonly MemberInfo[] } = { changeCount: -1, members: [] };
  readonly #complaints: Complaints;
  readonly #outbox: EventOutbox;
  #stopped = false;
  #isBound = false;
  #closing: Promise<void> | undefined;

  /**
   * `shared`: keep the member table in shared memory for readers on other threads. `streamBytesMax`: what the unfinished messages of streams
   * that others opened may take together.
   */
  constructor(
    settings: HostSettings,
    hooks: HostHooks,
    shared: boolean,
    sink: HostSink,
    streamBytesMax = STREAM_BYTES_MAX,
  ) {
    this.#budget = new StreamBudget(streamBytesMax);
    this.#settings = settings;
    this.#hooks = hooks;
    this.#shared = shared;
    this.#sink = sink;
    this.#complaints = new Complaints(sink, settings.name);
    this.#outbox = new EventOutbox((events, taken) => sink.events(events, taken));
    this.#keyring = Keyring.create(settings.keys, settings.keys[0] ?? new Uint8Array(0));
  }

  /** Binds, starts the engine, tries the seeds once. */
  async start(requireJoin: boolean): Promise<HostHello> {
    const [{ transport, packets }] = await Promise.all([openTransport(this.#settings, this.#hooks), preparePool()]);
    this.#transport = transport;
    const bound = await transport.start({
      packet: (from, bytes) => this.#receive(from, bytes),
      turn: () => this.#turn((now) => this.#engine.handleInbox(now)),
      stream: (connection) => this.#accept(connection),
      error: (error) => this.#sink.error(error),
      unreachable: (to) => this.#unreachable(to),
    });
    this.#isBound = true;
    try {
      this.#assertRunning();
      this.#self = this.#advertised(bound);
      const config = engineConfig(this.#settings, this.#hooks, this.#self, this.#keyring);
      validateConfig(config);
      const { kernels, backend } = acquireKernels(this.#settings, this.#shared, bound.port, config.membersMax);
      this.#kernels = kernels;
      this.#work.start(backend.name);
      this.#engine = new GossipEngine(config, kernels);
      this.#engine.start(this.#now());
      this.#drain();
      this.#rejoiner = new Rejoiner(
        this.#settings,
        async () => (await this.#resolve(this.#settings.seeds)).others,
        (addresses) => this.#joinAddresses(addresses),
        this.#sink,
      );
      const joined = this.#settings.seeds.length > 0 ? await this.#firstJoin(requireJoin) : 0;
      this.#assertRunning();
      this.#hello = { backend, packets, joined };
      this.#rejoiner.start(joined > 0 || this.#settings.seeds.length === 0);
      return this.#hello;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Closes everything, also in the middle of start(), which then rejects. May be called twice. */
  async stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true;
      clearTimeout(this.#timer);
      clearInterval(this.#beatTimer);
      this.#rejoiner?.stop();
      for (const request of [...this.#waiters.keys()]) this.#settle(request, false, 'stopped');
    }
    // A transport that is still binding is closed by start(), once it is bound.
    if (!this.#isBound) return;
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    await this.#transport.close();
    await this.#work.close();
  }

  /** Reports the application's thread as stalled when its beat stands still for longer than stallAfterMs. */
  watchBeat(beat: Int32Array): void {
    const { stallAfterMs } = this.#settings;
    if (stallAfterMs === 0) return;
    const periodMs = Math.max(1, stallAfterMs / BEAT_LOOKS);
    let last = Atomics.load(beat, 0);
    let sinceMs = this.#now();
    let lookedMs = sinceMs;
    this.#beatTimer = setInterval(() => {
      const now = this.#now();
      const current = Atomics.load(beat, 0);
      // When this thread did not run either, the whole process was stopped: that says nothing about the application.
      if (current !== last || now - lookedMs > 2 * periodMs) {
        last = current;
        sinceMs = now;
      }
      lookedMs = now;
      this.#engine.setStalled(now, now - sinceMs > stallAfterMs);
      this.#drain();
    }, periodMs);
  }

  /** The arenas that readers on other threads need. */
  arenas(): SharedArenas {
    const { table, names, profiles } = this.#kernels;
    return {
      table: table.arena,
      names: names.arena,
      profiles: profiles.arena,
      rowsOffset: table.rowsOffset,
      orderOffset: table.orderOffset,
      home: table.u32[HEADER.home / 4] as number,
    };
  }

  /** All rows, dead and left ones included. The same array as long as nothing changed. */
  members(): readonly MemberInfo[] {
    const changeCount = this.#kernels.table.u32[HEADER.changeCount / 4] as number;
    if (changeCount !== this.#memberCache.changeCount) {
      this.#memberCache = { changeCount, members: this.#engine.members() };
    }
    return this.#memberCache.members;
  }

  /** Carries out a command of the facade. */
  async call<K extends HostCommandName>(name: K, ...args: HostCommands[K]['args']): Promise<HostCommands[K]['answer']> {
    this.#assertRunning();
    const command = this.#commands[name] as (...args: HostCommands[K]['args']) => Promise<HostCommands[K]['answer']>;
    return command(...args);
  }

  readonly #commands: {
    [K in HostCommandName]: (...args: HostCommands[K]['args']) => Promise<HostCommands[K]['answer']>;
  } = {
    join: async (seeds) => {
      const { joined, problems } = await this.#join(seeds);
      if (joined === 0) throw joinFailed(seeds, problems);
      return joined;
    },
    leave: async (timeoutMs) => {
      this.#rejoiner?.stop();
      return (await this.#command((now) => this.#engine.leave(now), timeoutMs)).ok;
    },
    setMeta: async (meta, timeoutMs) => (await this.#command((now) => this.#engine.setMeta(now, meta), timeoutMs)).ok,
    broadcast: async (data) => {
      this.#turn((now) => this.#engine.broadcast(now, data));
      return undefined;
    },
    send: async (to, data, reliable) => {
      const target = this.#engine.member(to) ? to : targetAddress(to);
      const outcome = await this.#command((now) => this.#engine.send(now, target, data, reliable));
      if (!outcome.ok) throw new HearsayError('ERR_STREAM_FAILED', `send to ${to}: ${outcome.detail}`);
      return undefined;
    },
    sendState: async (to, data, reliable) => {
      // Who has gone meanwhile is no error: the next exchange is with somebody else.
      const outcome = this.#engine.member(to)
        ? await this.#command((now) => this.#engine.sendState(now, to, data, reliable))
        : { ok: false, detail: 'not a member' };
      if (!outcome.ok) throw new HearsayError('ERR_STREAM_FAILED', `state for ${to}: ${outcome.detail}`);
      return undefined;
    },
    replicate: async () => {
      this.#turn((now) => this.#engine.setReplicates(now, true));
      return undefined;
    },
    ping: async (name) => {
      if (!this.#engine.member(name))
        throw new HearsayError('ERR_MEMBER_UNKNOWN', `ping: no member is named ${JSON.stringify(name)}`);
      const sent = performance.now();
      const outcome = await this.#command((now) => this.#engine.ping(now, name), PING_TIMEOUT_MS);
      if (!outcome.ok) throw new HearsayError('ERR_TIMEOUT', `ping ${name}: no answer`);
      return performance.now() - sent;
    },
    estimate: async (cycles) => {
      const outcome = await this.#command((now) => this.#engine.estimate(now, cycles));
      if (!outcome.ok) throw new HearsayError('ERR_ESTIMATE_FAILED', `estimate: ${outcome.detail}`);
      return Number(outcome.detail);
    },
    stats: async () => this.#stats(),
    addKey: async (key) => {
      if (this.#keyring.size === 0) {
        throw new HearsayError(
          'ERR_ENCRYPTION_OFF',
          'keys.add: this node runs without encryption, and a first key would cut it off from its plain peers at once; ' +
            'restart it with `keys`, and with verifyIncoming and verifyOutgoing false until all nodes have the key',
        );
      }
      this.#keyring.add(key);
    },
    useKey: async (key) => void this.#keyring.use(key),
    removeKey: async (key) => void this.#keyring.remove(key),
    keys: async () => this.#keyring.keys,
    stop: async () => void (await this.stop()),
  };

  #assertRunning(): void {
    if (this.#stopped) throw new HearsayError('ERR_CLUSTER_STOPPED', 'the cluster was stopped; start a new one');
  }

  /** Integer ms of a clock that never goes back. */
  #now(): number {
    return Math.floor(performance.now() - this.#startedMs);
  }

  #turn<T>(step: (nowMs: number) => T): T {
    const result = step(this.#now());
    this.#drain();
    return result;
  }

  /** Collects the datagrams of a turn for one crossing, unless other engines of this thread use the same codec in between. */
  #receive(from: Address, bytes: Uint8Array): void {
    if (!this.#shared) this.#engine.handlePacket(this.#now(), from, bytes);
    else if (!this.#engine.addPacket(from, bytes)) {
      this.#engine.handleInbox(this.#now());
      this.#engine.addPacket(from, bytes);
    }
  }

  /** Does what the engine asks for, in the order that its class comment demands. */
  #drain(): void {
    if (this.#stopped) return;
    const engine = this.#engine;
    for (let transmit = engine.pollTransmit(); transmit; transmit = engine.pollTransmit()) {
      this.#transport.send(transmit.to, transmit.bytes);
    }
    this.#transport.flush();
    for (let request = engine.pollStream(true); request; request = engine.pollStream(true))
      void this.#exchange(request);
    const events: GossipEvent[] = [];
    for (let event = engine.pollEvent(); event; event = engine.pollEvent()) {
      if (event.type === 'done') this.#settle(event.request, event.ok, event.detail);
      else if (this.#complaints.isNews(event, this.#now())) {
        this.#rejoiner?.notice(event);
        events.push(event);
      }
    }
    this.#complaints.look(() => engine.stats.rejected, this.#now());
    this.#publishArenas();
    this.#arm(engine.pollTimeout());
    // Last: inline, the program's listeners run in here, and one that throws must not stop the clock.
    if (events.length > 0) this.#outbox.push(events);
  }

  /** May come out of flush(), in the middle of a drain, so what follows from it is drained afterwards. */
  #unreachable(to: Address): void {
    if (this.#stopped) return;
    this.#engine.handleUnreachable(this.#now(), to);
    queueMicrotask(() => this.#drain());
  }

  #arm(deadlineMs: number | undefined): void {
    const at = deadlineMs ?? Number.POSITIVE_INFINITY;
    if (at === this.#timerAtMs && this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAtMs = at;
    if (at === Number.POSITIVE_INFINITY) return;
    // Timers may fire early by a fraction of a ms against the floored clock; the engine then simply asks again.
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#turn((now) => this.#engine.handleTimeout(now));
      },
      Math.min(TIMER_MS_MAX, Math.max(0, at - this.#now())),
    );
    if (this.#settings.unref) this.#timer.unref();
  }

  #publishArenas(): void {
    if (!this.#shared) return;
    const home = this.#kernels.table.u32[HEADER.home / 4] as number;
    if (this.#arenas?.home === home) return;
    const isFirst = this.#arenas === undefined;
    this.#arenas = this.arenas();
    if (!isFirst) this.#sink.arenas(this.#arenas);
  }

  /** Runs a command that the engine answers with a 'done' event; without one before the timeout it counts as not ok. */
  #command(start: (nowMs: number) => number, timeoutMs?: number): Promise<{ ok: boolean; detail: string }> {
    const request = start(this.#now());
    const outcome = new Promise<{ ok: boolean; detail: string }>((resolve) => {
      const timer =
        timeoutMs === undefined || timeoutMs === 0
          ? undefined
          : setTimeout(() => this.#settle(request, false, `no result after ${timeoutMs} ms`), timeoutMs);
      this.#waiters.set(request, { resolve, timer });
    });
    this.#drain();
    return outcome;
  }

  #settle(request: number, ok: boolean, detail: string): void {
    const waiter = this.#waiters.get(request);
    if (!waiter) return;
    this.#waiters.delete(request);
    clearTimeout(waiter.timer);
    waiter.resolve({ ok, detail });
  }

  async #firstJoin(requireJoin: boolean): Promise<number> {
    const { seeds } = this.#settings;
    const { joined, problems, onlySelf } = await this.#join(seeds);
    if (requireJoin && this.#complaints.isNameTaken) {
      throw new HearsayError(
        'ERR_NAME_CONFLICT',
        `name: ${JSON.stringify(this.#settings.name)} is used by another member of the cluster; give each node a name of its own`,
      );
    }
    if (joined === 0 && !onlySelf) {
      if (requireJoin) throw joinFailed(seeds, problems);
      this.#sink.log('warn', { seeds, problems }, 'no seed answered; trying again in the background');
    }
    return onlySelf ? 1 : joined;
  }

  async #join(seeds: readonly string[]): Promise<{ joined: number; problems: string[]; onlySelf: boolean }> {
    const { others, problems, found } = await this.#resolve(seeds);
    if (others.length === 0) return { joined: 0, problems, onlySelf: found > 0 };
    const joined = await this.#joinAddresses(others);
    if (joined === 0) problems.push(`no answer from ${others.map(formatAddress).join(', ')}`);
    return { joined, problems, onlySelf: false };
  }

  /** Addresses of seeds but for our own: an exchange with ourselves works and says nothing. `found` counts all of them. */
  async #resolve(seeds: readonly string[]): Promise<{ others: Address[]; problems: string[]; found: number }> {
    const problems: string[] = [];
    const addresses: Address[] = [];
    for (const seed of seeds) {
      try {
        addresses.push(...(await resolveSeed(seed, this.#self.port)));
      } catch (error) {
        problems.push((error as Error).message);
      }
    }
    const others = addresses.filter((address) => !sameEndpoint(address, this.#self));
    return { others, problems, found: addresses.length };
  }

  /** Joins through each address, a few at a time: each answers with all that it knows. Answers how many did. */
  async #joinAddresses(addresses: readonly Address[]): Promise<number> {
    const left = [...addresses];
    let joined = 0;
    const work = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined && !this.#stopped; next = left.shift()) {
        const address = next;
        const { ok } = await this.#command((now) => this.#engine.join(now, [address]));
        if (ok) joined++;
      }
    };
    await Promise.all(Array.from({ length: Math.min(JOINS_AT_A_TIME, left.length) }, work));
    return joined;
  }

  #advertised(bound: Address): Address {
    const { advertise } = this.#settings;
    if (!advertise) return { ip: advertisedIp(bound.ip), port: bound.port };
    const ip = parseIp(advertise.host);
    if (!ip) {
      throw new HearsayError(
        'ERR_CONFIG_INVALID',
        `advertise: expected an IP address, got ${JSON.stringify(advertise.host)}`,
      );
    }
    return { ip, port: advertise.port === 0 ? bound.port : advertise.port };
  }

  /** Carries a stream exchange of ours out. */
  async #exchange(request: StreamRequest): Promise<void> {
    const fail = (error: unknown): void => {
      if (!this.#stopped)
        this.#turn((now) => this.#engine.handleStreamFailure(now, request.id, (error as Error).message));
    };
    let connection: StreamConnection;
    try {
      connection = await this.#transport.connect(request.to, Math.max(1, request.deadlineMs - this.#now()));
    } catch (error) {
      fail(error);
      return;
    }
    const deadline = setTimeout(() => finish(new Error('timed out')), Math.max(1, request.deadlineMs - this.#now()));
    let reader = this.#reader(false);
    let isOver = false;
    const finish = (outcome: Uint8Array | Error): void => {
      if (isOver) return;
      if (outcome instanceof Error || this.#stopped) {
        isOver = true;
        clearTimeout(deadline);
        connection.destroy();
        if (outcome instanceof Error) fail(outcome);
        return;
      }
      const { bytes, more } = this.#turn((now) => this.#engine.handleStreamReply(now, request.id, outcome));
      if (bytes.length > 0) connection.write(bytes);
      if (more) {
        reader = this.#reader(false);
        return;
      }
      isOver = true;
      clearTimeout(deadline);
      connection.end();
    };
    connection.onData((chunk) =>
      this.#work.push(reader, chunk, (result) =>
        finish(result.kind === 'message' ? result.message : new Error(result.text)),
      ),
    );
    connection.onEnd((error) => {
      // An answer that is being opened is complete.
      if (reader.isDeferred) return;
      finish(error ?? (request.expectsReply ? new Error('closed before it answered') : new Uint8Array(0)));
    });
    const bytes = request.pack ? this.#engine.sealStream(await this.#work.pack(request.pack), true) : request.bytes;
    if (isOver) return;
    connection.write(bytes);
    if (!request.expectsReply) connection.end();
  }

  /** Serves a stream that somebody opened: one message in, at most one out, and once more where the engine says so. */
  #accept(connection: StreamConnection): void {
    let reader = this.#reader(true);
    const timer = setTimeout(() => connection.destroy(), this.#engine.config.tcpTimeoutMs);
    let isWhole = false;
    let isOver = false;
    /** A further message may come, or not. */
    let isFollowing = false;
    let isBegun = false;
    let isEnded = false;
    const account = this.#budget.open(formatIp(connection.remote.ip), () => {
      isOver = true;
      clearTimeout(timer);
      reader.finish();
      this.#engine.noteStreamError(REJECT.oversized);
      connection.destroy();
    });
    const answer = (bytes: Uint8Array | undefined, more = false): void => {
      isOver = !more;
      // A state that took long to come must not shorten the time for ours (protocol §7.2).
      timer.refresh();
      if (bytes && bytes.length > 0) connection.write(bytes);
      if (more) {
        reader = this.#reader(true);
        isWhole = false;
        isFollowing = true;
        isBegun = false;
      } else connection.end();
    };
    const serve = (result: StreamResult): void => {
      if (this.#stopped) return;
      if (result.kind === 'error') {
        this.#engine.noteStreamError(result.code);
        answer(result.answer);
        return;
      }
      const { bytes, pack, more } = this.#turn((now) =>
        this.#engine.handleStream(now, connection.remote, result.message, true),
      );
      if (pack) void this.#work.pack(pack).then((packed) => answer(this.#engine.sealStream(packed, false), more));
      else answer(bytes, more);
    };
    connection.onData((chunk) => {
      if (!isOver && !isWhole) {
        isBegun = true;
        this.#work.push(reader, chunk, (result) => {
          account.hold(0, false);
          if (isEnded) account.close();
          isWhole = true;
          serve(result);
        });
        // The pool holds on to what it was given until it has done its part.
        account.hold(reader.heldBytes, reader.isDeferred);
      }
    });
    connection.onEnd(() => {
      clearTimeout(timer);
      isEnded = true;
      if (!reader.isDeferred) account.close();
      if (isOver || isWhole || reader.isDeferred) return;
      // Whoever hangs up in the middle of a message is counted, and our half is closed too.
      const left = reader.finish();
      if (isFollowing && !isBegun) {
        connection.destroy();
        return;
      }
      if (left.kind === 'error') this.#engine.noteStreamError(left.code);
      connection.destroy();
    });
  }

  #reader(isAcceptor: boolean): StreamReader {
    return this.#engine.streamReader(isAcceptor);
  }

  #stats(): ClusterStats {
    const engine = this.#engine.stats;
    return {
      backend: this.#hello.backend.name,
      packets: this.#hello.packets,
      uptimeMs: this.#now(),
      members: {
        alive: this.#count(STATUS.alive),
        suspect: this.#count(STATUS.suspect),
        dead: this.#count(STATUS.dead),
        left: this.#count(STATUS.left),
      },
      // Copies: inline, the program gets this object itself, and the engine goes on counting.
      engine: { ...engine, rejected: { ...engine.rejected } },
      transport: { ...this.#transport.stats },
      events: { ...this.#outbox.stats },
    };
  }

  #count(status: number): number {
    return this.members().reduce((sum, member) => sum + (member.status === status ? 1 : 0), 0);
  }
}
