import { type EngineKernels, MESSAGE } from '../kernels/contract.ts';
import { HEADER, QUEUE, TABLE } from '../kernels/layout.ts';
import type { Address } from '../util/address.ts';
import { assert } from '../util/assert.ts';
import { bytesOf } from '../util/bytes.ts';
import { Prng, sfc32Seed } from '../util/prng.ts';
import { PacketSeal } from '../wire/packet.ts';
import { type StreamReader, StreamSeal } from '../wire/stream.ts';
import { Acceptor } from './acceptor.ts';
import { Averagings } from './averaging.ts';
import { Awareness } from './awareness.ts';
import { Commands } from './commands.ts';
import { type EngineConfig, inOneShape, validateConfig } from './config.ts';
import type { Context } from './context.ts';
import { DeltaSync } from './delta-sync.ts';
import { mixedSeed, sealOptionsOf } from './derived.ts';
import { Dissemination } from './dissemination.ts';
import { Gate } from './gate.ts';
import { Inbox } from './inbox.ts';
import { Membership } from './membership.ts';
import { Outbox } from './outbox.ts';
import { PhiMonitor } from './phi-monitor.ts';
import { Prober } from './prober.ts';
import { PushPull } from './push-pull.ts';
import { Responder } from './responder.ts';
import { RingProber } from './ring-prober.ts';
import { Roster } from './roster.ts';
import { Self } from './self.ts';
import { Sequences } from './sequences.ts';
import { Slices } from './slices.ts';
import { countReject, createStats, type EngineStats } from './stats.ts';
import { ackSeqNo, Streams } from './streams.ts';
import { TIMER, type Timer, Timers } from './timers.ts';
import type { GossipEvent, MemberInfo, StreamAnswer, StreamRequest, Transmit } from './types.ts';

const NO_BYTES = new Uint8Array(0);

/**
 * One member of a cluster as a state machine: SWIM with Lifeguard on memberlist's wire (docs/protocol.md). It touches no
 * clock, no socket and no Math.random: time comes in as an argument, what it wants done is polled, and rngSeed decides
 * every random choice. A driver (real sockets, a simulator, a test) owns it like this:
 *
 *   1. Call start() once, then any of handle*() and the commands as things happen. `nowMs` is integer ms of any clock
 *      that never goes back.
 *   2. After one call, or after a batch of them, poll in this order, each until it answers undefined:
 *        pollTransmit()  datagrams to send
 *        pollStream()    stream exchanges to carry out
 *        pollEvent()     what the program shall know; last, because sending finishes broadcasts that commands wait for
 *        pollTimeout()   when to call handleTimeout() at the latest, if nothing else happens before
 *   3. Hand in packets that have arrived before a timeout that is due: an ack in the socket is worth more than the timer
 *      that says it is missing.
 *
 * Only the place of pollEvent() after pollTransmit() and rule 3 are real constraints; the rest is order for order's sake.
 *
 * Nothing that comes from the network makes it throw. What is dropped is counted in `stats` under its reason.
 */
export class GossipEngine {
  readonly config: EngineConfig;
  readonly #kernels: EngineKernels;
  readonly #stats: EngineStats = createStats();
  readonly #timers = new Timers();
  readonly #awareness: Awareness;
  readonly #roster: Roster;
  readonly #self: Self;
  readonly #packetSeal: PacketSeal;
  readonly #streamSeal: StreamSeal;
  readonly #sequences: Sequences;
  readonly #news: Dissemination;
  readonly #slices: Slices;
  readonly #outbox: Outbox;
  readonly #membership: Membership;
  readonly #inbox: Inbox;
  readonly #prober: Prober;
  readonly #phi: PhiMonitor;
  readonly #ring: RingProber;
  readonly #responder: Responder;
  readonly #streams: Streams;
  readonly #pushPull: PushPull;
  readonly #acceptor: Acceptor;
  readonly #commands: Commands;
  readonly #averagings: Averagings;
  #events: GossipEvent[] = [];
  #nextEvent = 0;
  #hasStarted = false;

  /** Throws ERR_CONFIG_INVALID listing every problem. The table and queue in `kernels` must be fresh and belong to this engine alone. */
  constructor(settings: EngineConfig, kernels: EngineKernels) {
    validateConfig(settings);
    const config = inOneShape(settings);
    this.config = config;
    this.#kernels = kernels;
    const seed = mixedSeed(config.rngSeed, config.name);
    const { table } = kernels;
    sfc32Seed(table.u32, HEADER.prng >>> 2, seed);
    table.u32[TABLE.defaultPort >>> 2] = config.address.port;
    new Float64Array(table.arena, TABLE.deadReclaimMs, 1)[0] = config.deadNodeReclaimMs;

    this.#awareness = new Awareness(config.awarenessMaxMultiplier);
    this.#roster = new Roster(kernels);
    this.#self = new Self(config);
    const context: Context = {
      config,
      kernels,
      roster: this.#roster,
      self: this.#self,
      timers: this.#timers,
      prng: new Prng(seed ^ 0x5bd1e995),
      awareness: this.#awareness,
      stats: this.#stats,
      emit: (event) => this.#events.push(event),
    };
    const sealOptions = sealOptionsOf(config, kernels);
    this.#packetSeal = new PacketSeal(sealOptions);
    this.#streamSeal = new StreamSeal(sealOptions);
    const overheadBytes = (): number => this.#packetSeal.overheadBytes;

    this.#sequences = new Sequences(context.prng);
    const gossipOverheadBytes = (): number => this.#packetSeal.gossipOverheadBytes;
    this.#news = new Dissemination(context, gossipOverheadBytes, (token) => this.#commands.finished(token));
    this.#outbox = new Outbox(
      context,
      this.#packetSeal,
      () => this.#news.flush(),
      () => this.#news.collectFinished(),
    );
    this.#slices = new Slices(context, this.#outbox);
    this.#news.attach(this.#outbox, this.#slices, (nowMs, delayMs) => this.#pushPull.exchangesFrom(nowMs, delayMs));
    this.#membership = new Membership(context, this.#news);
    this.#streams = new Streams(context, this.#streamSeal);
    const gate = new Gate(context);
    const sync = new DeltaSync(context, this.#membership, this.#streams, gate);
    this.#pushPull = new PushPull(context, this.#membership, this.#streams, gate, sync);
    this.#acceptor = new Acceptor(context, this.#pushPull, sync);
    this.#responder = new Responder(context, this.#membership, this.#outbox, this.#sequences, (nowMs, slot) =>
      this.#ring.beat(nowMs, slot),
    );
    this.#prober = new Prober(
      context,
      this.#membership,
      this.#news,
      this.#outbox,
      this.#sequences,
      (_, to, ping, seqNo, deadlineMs, report) =>
        this.#streams.start({
          to,
          expectsReply: true,
          deadlineMs,
          message: () => ping,
          finish: (__, reply) => report(reply !== undefined && ackSeqNo(reply) === seqNo),
        }),
    );
    this.#phi = new PhiMonitor(context, this.#membership, this.#news, this.#outbox, this.#sequences);
    this.#ring = new RingProber(context, this.#membership, this.#news, this.#outbox, this.#sequences);
    this.#membership.onChange((nowMs, slot) => {
      this.#ring.changed(nowMs, slot);
      this.#slices.changed(slot);
    });
    this.#averagings = new Averagings(context, this.#outbox, (request, ok, detail) =>
      context.emit({ type: 'done', request, ok, detail }),
    );
    this.#inbox = new Inbox(
      context,
      this.#packetSeal,
      gate,
      this.#membership,
      this.#news,
      this.#responder,
      this.#sequences,
      this.#averagings,
      this.#ring,
    );
    this.#commands = new Commands({
      context,
      membership: this.#membership,
      news: this.#news,
      outbox: this.#outbox,
      averagings: this.#averagings,
      prober: this.#prober,
      pushPull: this.#pushPull,
      sequences: this.#sequences,
      streams: this.#streams,
      overheadBytes,
    });
  }

  // What happens to us

  /** Becomes a member of a cluster of one and starts the periodic work. */
  start(nowMs: number): void {
    assert(!this.#hasStarted, 'start() is called once');
    this.#hasStarted = true;
    this.#advance(nowMs);
    this.#membership.announce(nowMs);
    this.#kernels.table.setOwnExt(this.#self.ext);
    this.#prober.start(nowMs);
    this.#ring.start(nowMs);
    this.#news.start(nowMs);
    this.#pushPull.start(nowMs);
  }

  /** The driver wrote the member table itself (acquaintLike()): what was derived from it is derived again. */
  tableWritten(nowMs: number): void {
    this.#advance(nowMs);
    this.#ring.forget();
    this.#slices.forget();
    this.#pushPull.settle(nowMs);
  }

  /** One datagram as received. The bytes are copied. False when there is nothing to poll for it. */
  handlePacket(nowMs: number, from: Address, bytes: Uint8Array): boolean {
    this.#advance(nowMs);
    this.#inbox.add(from, bytes);
    return this.#inbox.flush(nowMs);
  }

  /**
   * Collects one datagram as received, to be handled with others by handleInbox(). False when there is no more room: then it was
   * dropped and counted. Engines that share a codec take turns: nothing else may use it in between.
   */
  addPacket(from: Address, bytes: Uint8Array): boolean {
    return this.#inbox.add(from, bytes);
  }

  /** Handles what addPacket() collected, in one crossing. */
  handleInbox(nowMs: number): void {
    this.#advance(nowMs);
    this.#inbox.flush(nowMs);
  }

  /** Handles plaintext datagrams that the driver described in the codec's arena itself (label and encryption removed). */
  handlePackets(nowMs: number, count: number): void {
    this.#advance(nowMs);
    this.#inbox.handle(nowMs, count);
  }

  /**
   * One message, all layers removed, from a stream that somebody opened to us. Write the answer, if any; then read one more message, which need
   * not come, or close, as the answer says. A large state is merged over
   * several turns: `message` must stay as it is.
   */
  handleStream(nowMs: number, from: Address, message: Uint8Array, mayDefer = false): StreamAnswer {
    this.#advance(nowMs);
    const answer = this.#acceptor.handle(nowMs, from, message);
    if (answer === undefined) return { bytes: NO_BYTES, more: false };
    const more = answer[0] === MESSAGE.sync;
    const pack = mayDefer ? this.#streamSeal.packJob(answer) : undefined;
    return pack ? { bytes: NO_BYTES, pack, more } : { bytes: this.#streamSeal.wrap(answer, false), more };
  }

  /**
   * A stream exchange worked: the answer, all layers removed, which must stay as it is, or no bytes when none was expected. Write what this
   * gives, if anything; then read one more message for the same exchange, or close, as it says.
   */
  handleStreamReply(nowMs: number, id: number, message: Uint8Array): StreamAnswer {
    this.#advance(nowMs);
    return this.#streams.reply(nowMs, id, message);
  }

  /** A stream exchange failed. */
  handleStreamFailure(nowMs: number, id: number, error: string): void {
    this.#advance(nowMs);
    this.#streams.finish(nowMs, id, undefined, error);
  }

  /** The system refused to send to this address: probes of it go on without waiting for a direct ack (protocol §11.2). */
  handleUnreachable(nowMs: number, address: Address): void {
    this.#advance(nowMs);
    this.#prober.unreachable(nowMs, address);
    this.#responder.unreachable(address);
  }

  /** Does whatever is due. Calling it early, or for nothing, is harmless. */
  handleTimeout(nowMs: number): void {
    this.#advance(nowMs);
    for (let timer = this.#timers.pop(nowMs); timer !== undefined; timer = this.#timers.pop(nowMs))
      this.#fire(nowMs, timer);
  }

  // What we are asked to do

  /** Exchanges state with each address. Done is ok when one worked; its detail is the number that did, or what went wrong. */
  join(nowMs: number, addresses: readonly Address[]): number {
    this.#advance(nowMs);
    return this.#commands.join(nowMs, addresses);
  }

  /** Tells the others that we go. Done when the news was sent often enough or nobody is there; then stop driving the engine. */
  leave(nowMs: number): number {
    this.#advance(nowMs);
    return this.#commands.leave(nowMs);
  }

  /** Changes our metadata. Done as leave(). Throws ERR_META_TOO_LARGE. */
  setMeta(nowMs: number, meta: Uint8Array): number {
    this.#advance(nowMs);
    // Our own alive message takes the inbox's place in the codec: what was collected there goes first.
    this.#inbox.flush(nowMs);
    return this.#commands.setMeta(nowMs, meta);
  }

  /** Spreads a payload to all members. Throws ERR_BROADCAST_TOO_LARGE, which says how large it may be. */
  broadcast(nowMs: number, payload: Uint8Array): void {
    this.#advance(nowMs);
    this.#news.broadcast(payload);
  }

  /** Sends a payload to one member (by name) or address, as one packet or reliably by stream. Throws ERR_MEMBER_UNKNOWN, ERR_MESSAGE_TOO_LARGE. */
  send(nowMs: number, to: string | Address, payload: Uint8Array, reliable: boolean): number {
    this.#advance(nowMs);
    return this.#commands.send(nowMs, to, payload, reliable);
  }

  /**
   * Sends a piece of replicated state to a member by name (MESSAGE.state); it arrives there as a 'state' event. Only to members that `replicates`. Throws
   * ERR_MEMBER_UNKNOWN, ERR_MESSAGE_TOO_LARGE.
   */
  sendState(nowMs: number, to: string, payload: Uint8Array, reliable: boolean): number {
    this.#advance(nowMs);
    return this.#commands.send(nowMs, to, payload, reliable, MESSAGE.state);
  }

  /** Tells the others whether we have replicated maps, so that they send us state. Nothing happens without `extensions`. */
  setReplicates(nowMs: number, replicates: boolean): void {
    this.#advance(nowMs);
    this.#commands.setReplicates(replicates);
  }

  /** Tells the others whether our application's thread runs (protocol §20). */
  setStalled(nowMs: number, stalled: boolean): void {
    this.#advance(nowMs);
    this.#commands.setStalled(stalled);
  }

  /** One packet there and back; the detail of done is the round trip in ms. Says nothing about the member's status. Throws ERR_MEMBER_UNKNOWN. */
  ping(nowMs: number, name: string): number {
    this.#advance(nowMs);
    return this.#commands.ping(nowMs, name);
  }

  /** Probes a member now, with all that follows (indirect probes, suspicion). Throws ERR_MEMBER_UNKNOWN. */
  forceProbe(nowMs: number, name: string): number {
    this.#advance(nowMs);
    return this.#commands.probe(nowMs, name);
  }

  /** Exchanges state with a member now, by deltas if both do that. Throws ERR_MEMBER_UNKNOWN. */
  exchange(nowMs: number, name: string): number {
    this.#advance(nowMs);
    return this.#commands.exchange(nowMs, name);
  }

  /**
   * How sure this member is that another one is gone: -log10 of the probability that it merely is late. undefined when it does not watch that one, or with SWIM
   * (`phiThreshold` 0).
   */
  phi(nowMs: number, name: string): number | undefined {
    return this.#phi.phi(nowMs, name);
  }

  /**
   * Estimates how many members there are by averaging over `cycles` gossip intervals (default 40: the error is below a thousandth for 10,000 members); done's detail is
   * the number as text. Counts those that announced EXT.averaging. Not ok without `extensions`. Throws ERR_ARGUMENT_INVALID.
   */
  estimate(nowMs: number, cycles = 40): number {
    this.#advance(nowMs);
    return this.#commands.estimate(nowMs, cycles);
  }

  // What is to be done

  /** The next datagram to send. */
  pollTransmit(): Transmit | undefined {
    return this.#outbox.poll();
  }

  /** The next stream exchange to carry out. A driver that `mayDefer` is given the compression of a large message as a job. */
  pollStream(mayDefer = false): StreamRequest | undefined {
    return this.#streams.poll(mayDefer);
  }

  /** Goes on with a request of ours (or an answer) whose `pack` was done: the bytes to write. */
  sealStream(packed: Uint8Array, isRequest: boolean): Uint8Array {
    return this.#streamSeal.wrapPacked(packed, isRequest);
  }

  /** When handleTimeout() is due. */
  pollTimeout(): number | undefined {
    return this.#timers.nextMs();
  }

  /** The next thing that happened. */
  pollEvent(): GossipEvent | undefined {
    // Queues news that no packet invited in this turn, so that what it replaces is reported now and not later.
    this.#news.flush();
    const event = this.#events[this.#nextEvent];
    if (event === undefined) {
      if (this.#nextEvent === 0) return undefined;
      this.#events = [];
      this.#nextEvent = 0;
      return undefined;
    }
    this.#nextEvent++;
    return event;
  }

  // What we know

  /** All members we know, also dead and left ones until they are reaped, in no order. */
  members(): MemberInfo[] {
    return this.#roster.slots().map((slot) => this.#roster.info(slot));
  }

  member(name: string): MemberInfo | undefined {
    const slot = this.#roster.find(bytesOf(name));
    return slot < 0 ? undefined : this.#roster.info(slot);
  }

  /** Ourselves. Only after start(). */
  get self(): MemberInfo {
    assert(this.#hasStarted, 'self exists after start()');
    return this.#roster.info(this.#roster.selfSlot);
  }

  /** Members that are alive, ourselves included. */
  get aliveCount(): number {
    return this.#roster.aliveCount;
  }

  /** Members known, of any status. */
  get memberCount(): number {
    return this.#roster.count;
  }

  /** 0 = we believe to be healthy; higher is worse, below awarenessMaxMultiplier. */
  get healthScore(): number {
    return this.#awareness.score;
  }

  /** Running suspicion of a member: confirmations had and wanted, and when it ends. */
  suspicion(
    name: string,
  ): { confirmations: number; wanted: number; deadlineMs: number; minMs: number; maxMs: number } | undefined {
    const found = this.#membership.suspicion(this.#roster.find(bytesOf(name)));
    if (found === undefined) return undefined;
    const { confirmations, wanted, deadlineMs, minMs, maxMs } = found;
    return { confirmations, wanted, deadlineMs, minMs, maxMs };
  }

  /** Counts since the start. The object is live: copy it to keep a moment. */
  get stats(): EngineStats {
    const { u32 } = this.#kernels.queue;
    this.#stats.broadcastsEvicted = u32[QUEUE.evictedCount >>> 2] as number;
    this.#stats.broadcastsInvalidated = u32[QUEUE.invalidatedCount >>> 2] as number;
    this.#stats.broadcastsTransmitted = u32[QUEUE.transmittedCount >>> 2] as number;
    return this.#stats;
  }

  /** A reader for the bytes of one stream: of one that we accepted, or of the answer to one that we opened. */
  streamReader(isAcceptor: boolean): StreamReader {
    return this.#streamSeal.reader(isAcceptor);
  }

  /** Counts a stream that the reader refused, under its reason (REJECT). */
  noteStreamError(code: number): void {
    this.#stats.streamsRejected++;
    countReject(this.#stats, code);
  }

  #advance(nowMs: number): void {
    assert(nowMs >= this.#timers.nowMs, `time never goes back: ${nowMs} after ${this.#timers.nowMs}`);
    assert(this.#hasStarted, 'start() comes first');
    this.#timers.nowMs = nowMs;
  }

  #fire(nowMs: number, timer: Timer): void {
    const lateMs = nowMs - timer.dueMs;
    switch (timer.kind) {
      case TIMER.probeTick:
        if (this.config.phiThreshold > 0) this.#phi.tick(nowMs, lateMs);
        else this.#prober.tick(nowMs, lateMs);
        break;
      case TIMER.gossipTick:
        this.#news.gossipTick(nowMs, lateMs);
        break;
      case TIMER.ringTick:
        this.#ring.tick(nowMs, lateMs);
        this.#slices.prepare();
        break;
      case TIMER.ringWatch:
        this.#ring.watch(nowMs, timer);
        break;
      case TIMER.ringTimeout:
        this.#ring.timedOut(nowMs, timer);
        break;
      case TIMER.ringEnd:
        this.#ring.ended(nowMs, timer);
        break;
      case TIMER.ringWalk:
        this.#ring.walk(nowMs);
        break;
      case TIMER.urgentNews:
        this.#slices.tick(nowMs);
        break;
      case TIMER.remind:
        this.#membership.remind(nowMs, timer);
        break;
      case TIMER.averageTick:
        this.#averagings.tick(nowMs);
        break;
      case TIMER.pushPullTick:
        this.#pushPull.tick(nowMs);
        break;
      case TIMER.probeTimeout:
        this.#prober.timedOut(nowMs, timer);
        break;
      case TIMER.probeEnd:
        this.#prober.ended(nowMs, timer);
        break;
      case TIMER.relayNack:
        this.#responder.nackDue(timer.subject);
        break;
      case TIMER.relayEnd:
        this.#responder.relayEnded(timer.subject);
        break;
      case TIMER.suspicion:
        this.#membership.suspicionEnded(nowMs, timer.subject, timer.token, lateMs, this.config.probeTimeoutMs);
        break;
      case TIMER.pingEnd:
        this.#commands.pingEnded(nowMs, timer.subject);
        break;
      case TIMER.earlyExchange:
        this.#pushPull.early(nowMs);
        break;
      case TIMER.mergeTurn:
        this.#pushPull.mergeTurn(nowMs);
        break;
      case TIMER.streamEnd:
        this.#streams.finish(nowMs, timer.subject, undefined, 'timed out');
        break;
    }
  }
}
