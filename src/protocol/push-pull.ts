import { grownPacketCodecArena } from '../kernels/arenas/packet-codec.ts';
import { MESSAGE, PICK, STATUS_UNKNOWN } from '../kernels/contract.ts';
import { CODEC, RECORD } from '../kernels/layout.ts';
import type { Address } from '../util/address.ts';
import { textOf } from '../util/bytes.ts';
import { decodeMessage } from '../wire/decode.ts';
import { encodePushPullHeader } from '../wire/messages.ts';
import { type PushPullHead, parsePushPull } from '../wire/stream-body.ts';
import type { Context } from './context.ts';
import { viewOf } from './dissemination.ts';
import type { Gate } from './gate.ts';
import { pushPullScaleMs } from './math.ts';
import type { Membership } from './membership.ts';
import { countReject } from './stats.ts';
import type { Streams } from './streams.ts';
import { TIMER } from './timers.ts';
import type { MergeFilter } from './types.ts';
import { VersionCheck } from './versions.ts';

/** Room for the type byte and header of a push/pull. */
const HEADER_BYTES_MAX = 64;
/** Stands in for the protocol period where nothing is probed. */
const EARLY_PERIOD_MS = 1000;
/** Node states looked at in one go: bounds the memory that a long list takes beside its own bytes. */
const CHUNK_NODES_MAX = 16384;

/** How an exchange ended: the error if it failed, and how many members were alive before it. */
export type ExchangeReport = (nowMs: number, error: string | undefined, aliveBefore: number) => void;

/** Full state exchange (protocol §7.6, §14.2). */
export class PushPull {
  readonly #context: Context;
  readonly #membership: Membership;
  readonly #streams: Streams;
  readonly #gate: Gate;
  /** Early exchanges since the last join, and the timer of the next. */
  #earlyStep = 0;
  #earlyToken = 0;
  #out = new Uint8Array(4096);

  constructor(context: Context, membership: Membership, streams: Streams, gate: Gate) {
    this.#context = context;
    this.#membership = membership;
    this.#streams = streams;
    this.#gate = gate;
  }

  start(nowMs: number): void {
    const { config, prng, timers } = this.#context;
    if (config.pushPullIntervalMs === 0) return;
    // A random delay first, so that a cluster started at once does not exchange at once; then the whole interval.
    const delayMs = Math.floor(prng.unit() * config.pushPullIntervalMs);
    timers.schedule(nowMs + delayMs + this.#intervalMs(), TIMER.pushPullTick, 0);
  }

  /** Exchanges state with one random member. */
  tick(nowMs: number): void {
    this.#context.timers.schedule(nowMs + this.#intervalMs(), TIMER.pushPullTick, 0);
    this.#exchangeWithAnyone(nowMs, () => {});
  }

  /** A join worked: a few exchanges follow soon, as long as they teach us members (protocol §14.2). */
  joined(nowMs: number): void {
    this.#earlyStep = 0;
    this.#scheduleEarly(nowMs);
  }

  /** One of the exchanges after a join. */
  early(nowMs: number): void {
    const { roster } = this.#context;
    this.#earlyToken = 0;
    this.#exchangeWithAnyone(nowMs, (atMs, error, aliveBefore) => {
      if (error !== undefined || roster.aliveCount <= aliveBefore) return;
      this.#earlyStep++;
      this.#scheduleEarly(atMs);
    });
  }

  #scheduleEarly(nowMs: number): void {
    const { config, prng, timers } = this.#context;
    const periodMs = config.probeIntervalMs > 0 ? config.probeIntervalMs : EARLY_PERIOD_MS;
    const delayMs = Math.floor(periodMs * 2 ** this.#earlyStep * (0.5 + prng.unit()));
    timers.cancel(this.#earlyToken);
    this.#earlyToken = 0;
    if (config.pushPullIntervalMs === 0 || delayMs >= this.#intervalMs()) return;
    this.#earlyToken = timers.schedule(nowMs + delayMs, TIMER.earlyExchange, 0);
  }

  #exchangeWithAnyone(nowMs: number, report: ExchangeReport): void {
    const { kernels, roster } = this.#context;
    const { table } = kernels;
    if (!roster.hasCompany || table.sample(nowMs, 1, PICK.alive, 0, -1) === 0) return;
    const slot = table.u32[table.picksOffset >>> 2] as number;
    this.exchange(nowMs, roster.address(slot), false, report);
  }

  /** Opens an exchange with an address; `report` hears how it ended. */
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
        const problem = reply === undefined ? error : this.merge(atMs, reply, join);
        if (problem !== undefined) stats.pushPullsFailed++;
        report(atMs, problem, aliveBefore);
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
    this.merge(nowMs, message, head.join);
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

  /** Merges a push/pull message, or says why not; then nothing of it has been applied. */
  merge(nowMs: number, message: Uint8Array, join: boolean): string | undefined {
    const { config, stats } = this.#context;
    if (message[0] === MESSAGE.error) {
      const decoded = decodeMessage(message);
      return `remote error: ${typeof decoded === 'object' && decoded.type === 'error' ? textOf(decoded.text) : 'unreadable'}`;
    }
    const head = parsePushPull(message);
    if (typeof head === 'number') {
      countReject(stats, head);
      return `push/pull answer of ${message.length} bytes cannot be read`;
    }
    const problem = this.#check(message, head, join);
    if (problem !== undefined) return problem;
    const codec = this.#context.kernels.stateCodec;
    if (head.nodes <= codec.recordCapacity) this.#apply(nowMs, head.nodes);
    else {
      // Looked at chunk by chunk before: only the last one is still indexed.
      for (let chunk = this.#firstChunk(message, head); chunk !== undefined; chunk = this.#nextChunk(chunk)) {
        this.#apply(nowMs, chunk.nodes);
      }
    }
    stats.pushPullsMerged++;
    if (head.userStateLength > 0) config.mergeRemoteState?.(message.subarray(head.userStateOffset), join);
    return undefined;
  }

  #apply(nowMs: number, nodes: number): void {
    const { stateCodec } = this.#context.kernels;
    this.#gate.filter(stateCodec, 0, nodes, undefined);
    this.#membership.merge(nowMs, stateCodec, 0, nodes, 0);
  }

  #intervalMs(): number {
    return pushPullScaleMs(this.#context.config.pushPullIntervalMs, this.#context.roster.count);
  }

  /** Reads the whole list once without applying anything: bytes, versions (protocol §16), merge filter. */
  #check(message: Uint8Array, head: PushPullHead, join: boolean): string | undefined {
    const { config, kernels, roster, stats } = this.#context;
    const versions = new VersionCheck();
    roster.addVersions(versions);
    const members: Parameters<MergeFilter>[0][number][] = [];
    const wantsMembers = join && config.mergeFilter !== undefined;
    const codec = kernels.stateCodec;
    let nodes = 0;
    for (let chunk = this.#firstChunk(message, head); chunk !== undefined; chunk = this.#nextChunk(chunk)) {
      if (chunk.end < 0) {
        countReject(stats, chunk.end);
        return 'push/pull state cannot be read';
      }
      nodes += chunk.nodes;
      for (let i = 0; i < chunk.nodes; i++) {
        const at = codec.recordsOffset + i * RECORD.stride;
        const status = codec.u8[at + RECORD.status] as number;
        versions.add(status, codec.u8, at + RECORD.vsn, Math.min(6, codec.u8[at + RECORD.vsnLength] as number));
        if (wantsMembers && status !== STATUS_UNKNOWN) members.push(memberOf(codec, at, status));
      }
    }
    if (nodes !== head.nodes) return 'push/pull state cannot be read';
    const verdict = versions.verdict();
    if (verdict !== undefined) {
      stats.pushPullsRefused++;
      return verdict;
    }
    if (wantsMembers && config.mergeFilter?.(members) === false) {
      stats.pushPullsRefused++;
      return 'refused by the merge filter';
    }
    return undefined;
  }

  /** Copies the node states into the state codec's inbox and indexes the first of them; undefined when there are none. */
  #firstChunk(message: Uint8Array, head: PushPullHead): Chunk | undefined {
    if (head.nodes === 0) return undefined;
    const codec = this.#context.kernels.stateCodec;
    const length = head.userStateOffset - head.nodesOffset;
    const recordCapacity = Math.min(head.nodes, CHUNK_NODES_MAX);
    if (codec.inboxBytes < length || codec.recordCapacity < recordCapacity) {
      codec.rehome(grownPacketCodecArena(codec.arena, { inboxBytes: length, scratchBytes: length, recordCapacity }));
    }
    codec.u8.set(message.subarray(head.nodesOffset, head.userStateOffset), codec.inboxOffset);
    codec.u32[CODEC.inboxTop >>> 2] = length;
    return this.#nextChunk({ nodes: 0, end: 0, left: head.nodes });
  }

  /** Indexes the node states behind a chunk. `end` is -REJECT when they cannot be read. */
  #nextChunk(chunk: Chunk): Chunk | undefined {
    if (chunk.left === 0 || chunk.end < 0) return undefined;
    const codec = this.#context.kernels.stateCodec;
    const nodes = Math.min(chunk.left, codec.recordCapacity);
    return { nodes, end: codec.indexState(chunk.end, nodes), left: chunk.left - nodes };
  }
}

interface Chunk {
  readonly nodes: number;
  readonly end: number;
  readonly left: number;
}

function memberOf(codec: Parameters<typeof viewOf>[0], at: number, status: number): Parameters<MergeFilter>[0][number] {
  return {
    name: textOf(viewOf(codec, at + RECORD.nameOffset)),
    address: {
      ip: viewOf(codec, at + RECORD.ipOffset).slice(),
      port: (codec.u8[at + RECORD.port] as number) | ((codec.u8[at + RECORD.port + 1] as number) << 8),
    },
    meta: viewOf(codec, at + RECORD.dataOffset).slice(),
    status,
  };
}
