import { MESSAGE, PICK } from '../kernels/contract.ts';
import type { Address } from '../util/address.ts';
import { textOf } from '../util/bytes.ts';
import { decodeMessage } from '../wire/decode.ts';
import { encodePushPullHeader } from '../wire/messages.ts';
import { parsePushPull } from '../wire/stream-body.ts';
import type { Context } from './context.ts';
import type { DeltaSync } from './delta-sync.ts';
import type { Gate } from './gate.ts';
import { pushPullScaleMs } from './math.ts';
import { type Membership, SOURCE } from './membership.ts';
import { type MergeReport, Merger } from './merger.ts';
import { countReject } from './stats.ts';
import type { Streams } from './streams.ts';
import { TIMER } from './timers.ts';

/** Room for the type byte and header of a push/pull. */
const HEADER_BYTES_MAX = 64;
/** Stands in for the protocol period where nothing is probed. */
const EARLY_PERIOD_MS = 1000;
/** After a crowd of joins or failures, besides the first: about 2, 6 and 14 periods later, where none of them teaches anything. */
const CROWD_EXCHANGES = 3;
/** Exchanges that fail are made up for at once so many times after a crowd: with half of the members gone, one in a thousand needs more. */
const SPARES = 10;

/** How an exchange ended: the error if it failed, and how many members were alive before it. */
export type ExchangeReport = (nowMs: number, error: string | undefined, aliveBefore: number) => void;

/** Full state exchange (protocol §7.6, §14.2). */
export class PushPull {
  readonly #context: Context;
  readonly #streams: Streams;
  readonly #sync: DeltaSync;
  readonly #merger: Merger;
  #tickToken = 0;
  /** Early exchanges since the last join, and the timer of the next with its time; token 0: none is due. */
  #earlyStep = 0;
  #earlyToken = 0;
  #earlyAtMs = 0;
  /** Early exchanges that follow even if the one before failed or taught us nothing. */
  #insists = 0;
  /** How many more of those that fail are made up for at once. */
  #spares = 0;
  #out = new Uint8Array(4096);

  constructor(context: Context, membership: Membership, streams: Streams, gate: Gate, sync: DeltaSync) {
    this.#context = context;
    this.#sync = sync;
    this.#streams = streams;
    this.#merger = new Merger(context, membership, gate);
  }

  start(nowMs: number): void {
    const { config, prng, timers } = this.#context;
    if (config.pushPullIntervalMs === 0) return;
    // A random delay first, so that a cluster started at once does not exchange at once; then the whole interval.
    const delayMs = Math.floor(prng.unit() * config.pushPullIntervalMs);
    this.#tickToken = timers.schedule(nowMs + delayMs + this.#intervalMs(), TIMER.pushPullTick, 0);
  }

  /** We have known all members for long, and not since we started alone: exchanges come as far apart as their number demands. */
  settle(nowMs: number): void {
    const { prng, timers } = this.#context;
    if (this.#tickToken === 0) return;
    timers.cancel(this.#tickToken);
    this.#tickToken = timers.schedule(nowMs + Math.ceil(prng.unit() * this.#intervalMs()), TIMER.pushPullTick, 0);
  }

  /** Exchanges state with one random member. */
  tick(nowMs: number): void {
    this.#tickToken = this.#context.timers.schedule(nowMs + this.#intervalMs(), TIMER.pushPullTick, 0);
    this.#exchangeWithAnyone(nowMs, () => {});
  }

  /** A join worked: a few exchanges follow soon, as long as they teach us members (protocol §14.2). */
  joined(nowMs: number): void {
    this.#earlyStep = 0;
    this.#scheduleEarly(nowMs);
  }

  /** One of the exchanges after a join or a crowd. */
  early(nowMs: number): void {
    const { roster } = this.#context;
    this.#earlyToken = 0;
    const isInsisting = this.#insists > 0;
    this.#earlyStep++;
    if (isInsisting) {
      this.#insists--;
      // Set before this exchange has ended: a machine that is gone does not even refuse.
      this.#scheduleEarly(nowMs);
    }
    this.#exchangeWithAnyone(nowMs, (atMs, error, aliveBefore) => {
      if (error !== undefined) {
        if (!isInsisting || this.#spares === 0) return;
        this.#spares--;
        this.#insists++;
        this.#earlyStep = Math.max(0, this.#earlyStep - 1);
        this.#exchangeIn(atMs, 0);
        return;
      }
      const learned = roster.aliveCount - aliveBefore;
      if (learned === 0 || (learned < 0 && !isInsisting)) return;
      if (learned < 0) {
        // One partner knew some to be gone, the next may know more of them: it counts when it teaches nothing.
        this.#insists++;
        this.#earlyStep = 0;
      }
      this.#scheduleEarly(atMs);
    });
  }

  #scheduleEarly(nowMs: number): void {
    const { config, prng } = this.#context;
    const periodMs = config.probeIntervalMs > 0 ? config.probeIntervalMs : EARLY_PERIOD_MS;
    const delayMs = Math.floor(periodMs * 2 ** this.#earlyStep * (0.5 + prng.unit()));
    this.#exchangeIn(nowMs, delayMs);
  }

  /** A crowd of joins or failures: an exchange after one to two such delays, so that not all begin at once, and some more at growing distances, since who is last may be missed last. */
  exchangesFrom(nowMs: number, delayMs: number): void {
    this.#earlyStep = 0;
    this.#insists = CROWD_EXCHANGES;
    this.#spares = SPARES;
    const spreadMs = delayMs + this.#context.prng.below(delayMs);
    // Crowds follow each other: one that is due already is not put off by the next, else it never comes.
    const isDueSooner = this.#earlyToken !== 0 && this.#earlyAtMs <= nowMs + spreadMs;
    if (!isDueSooner) this.#exchangeIn(nowMs, spreadMs);
  }

  /** One exchange ahead of the regular ones, instead of one that was ahead of them already; none where the regular one comes sooner, or there are none. */
  #exchangeIn(nowMs: number, delayMs: number): void {
    const { config, timers } = this.#context;
    timers.cancel(this.#earlyToken);
    this.#earlyToken = 0;
    if (config.pushPullIntervalMs === 0 || delayMs >= this.#intervalMs()) return;
    this.#earlyAtMs = nowMs + delayMs;
    this.#earlyToken = timers.schedule(this.#earlyAtMs, TIMER.earlyExchange, 0);
  }

  #exchangeWithAnyone(nowMs: number, report: ExchangeReport): void {
    const { kernels, roster } = this.#context;
    const { table } = kernels;
    if (!roster.hasCompany || table.sample(nowMs, 1, PICK.alive, 0, -1) === 0) return;
    const slot = table.u32[table.picksOffset >>> 2] as number;
    this.exchangeWith(nowMs, slot, report);
  }

  /** Opens an exchange with a member, by deltas if both do that. */
  exchangeWith(nowMs: number, slot: number, report: ExchangeReport): void {
    const { roster } = this.#context;
    const to = roster.address(slot);
    if (!this.#sync.accepts(slot)) {
      this.exchange(nowMs, to, false, report);
      return;
    }
    const aliveBefore = roster.aliveCount;
    this.#sync.exchange(nowMs, to, (atMs, error) => report(atMs, error, aliveBefore));
  }

  /** Opens an exchange of everything with an address; `report` hears how it ended. */
  exchange(nowMs: number, to: Address, join: boolean, report: ExchangeReport): void {
    const { config, roster, stats } = this.#context;
    stats.pushPullsStarted++;
    this.#streams.start({
      to,
      expectsReply: true,
      deadlineMs: nowMs + config.tcpTimeoutMs,
      // A copy: the driver writes it while later exchanges are encoded.
      message: () => this.encode(join).slice(),
      finish: (atMs, reply, error) => {
        const aliveBefore = roster.aliveCount;
        const source = sourceOf(join, roster.hasCompany);
        const merged: MergeReport = (endMs, problem) => {
          if (problem !== undefined) stats.pushPullsFailed++;
          report(endMs, problem, aliveBefore);
        };
        if (reply === undefined) merged(atMs, error);
        else this.merge(atMs, reply, join, source, merged);
      },
    });
  }

  /** Somebody sent us their state: our answer, made before their state is merged (protocol §7.6 step 3). */
  answer(nowMs: number, message: Uint8Array): Uint8Array | undefined {
    const head = parsePushPull(message);
    if (typeof head === 'number') {
      countReject(this.#context.stats, head);
      return undefined;
    }
    const state = this.encode(head.join).slice();
    this.merge(nowMs, message, head.join, sourceOf(head.join, true), () => {});
    return state;
  }

  /** Our state as a push/pull message; a view, valid until the next call. */
  encode(join: boolean): Uint8Array {
    const { config, kernels, roster } = this.#context;
    const userState = config.localState?.(join) ?? new Uint8Array(0);
    const head = { nodes: roster.count, userStateLength: userState.length, join };
    for (;;) {
      const nodesAt = encodePushPullHeader(this.#out, 0, head);
      const end = nodesAt < 0 ? nodesAt : kernels.table.encodeState(this.#out, nodesAt);
      const total = end + userState.length;
      if (end >= 0 && total <= this.#out.length) {
        this.#out.set(userState, end);
        return this.#out.subarray(0, total);
      }
      this.#out = new Uint8Array(2 * Math.abs(end) + userState.length + HEADER_BYTES_MAX);
    }
  }

  /**
   * Merges a push/pull message and reports; a large one takes several turns, and nobody may change `message` until then. A problem means
   * that nothing of it was applied.
   */
  merge(nowMs: number, message: Uint8Array, join: boolean, source: number, report: MergeReport): void {
    if (message[0] === MESSAGE.error) {
      const decoded = decodeMessage(message);
      const text = typeof decoded === 'object' && decoded.type === 'error' ? textOf(decoded.text) : 'unreadable';
      report(nowMs, `remote error: ${text}`);
      return;
    }
    const head = parsePushPull(message);
    if (typeof head === 'number') {
      countReject(this.#context.stats, head);
      report(nowMs, `push/pull answer of ${message.length} bytes cannot be read`);
      return;
    }
    this.#merger.start(nowMs, message, head, join, source, report);
  }

  /** The next turn of merging a large state. */
  mergeTurn(nowMs: number): void {
    this.#merger.run(nowMs);
  }

  #intervalMs(): number {
    return pushPullScaleMs(this.#context.config.pushPullIntervalMs, this.#context.roster.count);
  }
}

/** SOURCE of the states that we were given: those whom a member without company joins have told each other of themselves. */
function sourceOf(join: boolean, hasCompany: boolean): number {
  if (!join) return SOURCE.exchange;
  return hasCompany ? SOURCE.join : SOURCE.bulk;
}
