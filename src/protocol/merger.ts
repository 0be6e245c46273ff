import { grownPacketCodecArena, settleStateCodec } from '../kernels/arenas/packet-codec.ts';
import { STATUS_UNKNOWN } from '../kernels/contract.ts';
import { CODEC, RECORD } from '../kernels/layout.ts';
import { textOf } from '../util/bytes.ts';
import type { PushPullHead } from '../wire/stream-body.ts';
import type { Context } from './context.ts';
import { viewOf } from './dissemination.ts';
import type { Gate } from './gate.ts';
import type { Membership } from './membership.ts';
import { countReject } from './stats.ts';
import { TIMER } from './timers.ts';
import type { MergeFilter } from './types.ts';
import { VersionCheck } from './versions.ts';

/**
 * What one turn may do, in points of very roughly a microsecond in the twins, so that a turn stays near a millisecond or two. The engine has no
 * clock, and the same input shall take the same turns on every machine.
 */
const TURN_POINTS = 1000;
/** Reading a node state and finding that it says nothing new. */
const NODE_POINTS = 1.5;
/** A change of the table and what follows: an event, news to pass on. */
const CHANGE_POINTS = 16;
/** Node states read in one crossing while checking, and merged in one crossing. */
const CHECK_NODES = 512;
const APPLY_NODES = 64;
/** Room for a node state that is longer than the others. */
const NODE_BYTES = 1024;
/** Bytes of the messages that wait to be merged; what comes beyond that is refused. The first always may. */
const WAITING_BYTES_MAX = 64 * 1048576;
/** Pause between two turns of one merge, ms: long enough that packets and other timers get theirs. */
const PAUSE_MS = 1;

/** Why nothing was merged; undefined when all was. */
export type MergeReport = (nowMs: number, problem: string | undefined) => void;

type FilterMembers = Parameters<MergeFilter>[0][number][];

interface Job {
  /** The node states, and the user state behind them. */
  readonly states: Uint8Array;
  readonly userState: Uint8Array;
  /** Of the whole message, which the two above keep. */
  readonly bytes: number;
  readonly nodes: number;
  readonly join: boolean;
  /** SOURCE of the node states. */
  readonly source: number;
  readonly report: MergeReport;
  /** What the check gathers; undefined before it has begun. */
  versions: VersionCheck | undefined;
  isChecked: boolean;
  readonly members: FilterMembers | undefined;
  /** Where the next node state starts, and how many there are from there on. */
  at: number;
  left: number;
}

/**
 * Merges node states: first reads all of them without applying anything (bytes, versions of protocol §16, merge filter), then applies them
 * one after the other. A large list takes several turns with room for other work between them, so a node that learns of ten thousand
 * members goes on answering probes. In between a packet may tell more than the list does: each node state meets the table as it is then,
 * as in memberlist, which locks per node state.
 */
export class Merger {
  readonly #context: Context;
  readonly #membership: Membership;
  readonly #gate: Gate;
  readonly #jobs: Job[] = [];
  #waitingBytes = 0;

  constructor(context: Context, membership: Membership, gate: Gate) {
    this.#context = context;
    this.#membership = membership;
    this.#gate = gate;
  }

  /** Lists that are not merged to the end yet. */
  get waiting(): number {
    return this.#jobs.length;
  }

  /** Merges the node states of a push/pull and reports; at once if the list is short and nothing waits. Nobody may change `message` until then. */
  start(
    nowMs: number,
    message: Uint8Array,
    head: PushPullHead,
    join: boolean,
    source: number,
    report: MergeReport,
  ): void {
    const { config, stats, timers } = this.#context;
    const states = message.subarray(head.nodesOffset, head.userStateOffset);
    if (this.#jobs.length > 0 && this.#waitingBytes + message.length > WAITING_BYTES_MAX) {
      stats.pushPullsRefused++;
      report(nowMs, 'too many states wait to be merged');
      return;
    }
    this.#jobs.push({
      states,
      userState: message.subarray(head.userStateOffset),
      bytes: message.length,
      nodes: head.nodes,
      join,
      source,
      report,
      versions: undefined,
      isChecked: false,
      members: join && config.mergeFilter !== undefined ? [] : undefined,
      at: 0,
      left: head.nodes,
    });
    this.#waitingBytes += message.length;
    if (this.#jobs.length > 1) return;
    // Whoever brings a long list has often just asked for ours, which was work enough for one turn.
    if (head.nodes > CHECK_NODES) timers.schedule(nowMs + PAUSE_MS, TIMER.mergeTurn, 0);
    else this.run(nowMs);
  }

  /** One turn: goes on with the oldest list, and with the next ones as far as the turn suffices. */
  run(nowMs: number): void {
    let points = TURN_POINTS;
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      points = this.#advance(nowMs, job, points);
      if (points <= 0) break;
    }
    if (this.#jobs.length > 0) this.#context.timers.schedule(nowMs + PAUSE_MS, TIMER.mergeTurn, 0);
  }

  /** Works on a list until it is merged or the points are used up; what is left of them, above 0 only when the list is done. */
  #advance(nowMs: number, job: Job, points: number): number {
    let left = points;
    let indexed = 0;
    while (!job.isChecked) {
      job.versions ??= this.#ownVersions();
      if (job.left > 0) {
        if (left <= 0) return 0;
        indexed = this.#index(job, CHECK_NODES);
        if (indexed < 0) return this.#finish(nowMs, job, left, 'push/pull state cannot be read');
        this.#check(job, job.versions, indexed);
        left -= indexed * NODE_POINTS;
        if (job.left > 0) continue;
      }
      const problem = this.#verdict(job, job.versions);
      if (problem !== undefined) return this.#finish(nowMs, job, left, problem);
      job.isChecked = true;
      // A short list stays indexed.
      if (job.nodes <= APPLY_NODES) left -= this.#apply(nowMs, job, job.nodes);
      else {
        job.at = 0;
        job.left = job.nodes;
      }
    }
    while (job.left > 0) {
      if (left <= 0) return 0;
      indexed = this.#index(job, APPLY_NODES);
      // It could be read before, and nobody may have changed it.
      if (indexed < 0) return this.#finish(nowMs, job, left, 'push/pull state was changed while it was merged');
      left -= this.#apply(nowMs, job, indexed);
    }
    return this.#finish(nowMs, job, left, undefined);
  }

  #finish(nowMs: number, job: Job, points: number, problem: string | undefined): number {
    const { config, kernels, stats } = this.#context;
    this.#jobs.shift();
    settleStateCodec(kernels.stateCodec);
    this.#waitingBytes -= job.bytes;
    if (problem === undefined) {
      stats.pushPullsMerged++;
      if (job.userState.length > 0) config.mergeRemoteState?.(job.userState, job.join);
    }
    job.report(nowMs, problem);
    return points;
  }

  /** Applies the indexed node states; answers what that cost. */
  #apply(nowMs: number, { source }: Job, nodes: number): number {
    const { stateCodec } = this.#context.kernels;
    this.#gate.filter(stateCodec, 0, nodes, undefined);
    return nodes * NODE_POINTS + this.#membership.merge(nowMs, stateCodec, 0, nodes, 0, source) * CHANGE_POINTS;
  }

  #ownVersions(): VersionCheck {
    const versions = new VersionCheck();
    this.#context.roster.addVersions(versions);
    return versions;
  }

  #check(job: Job, versions: VersionCheck, nodes: number): void {
    const { stateCodec: codec } = this.#context.kernels;
    for (let i = 0; i < nodes; i++) {
      const at = codec.recordsOffset + i * RECORD.stride;
      const status = codec.u8[at + RECORD.status] as number;
      versions.add(status, codec.u8, at + RECORD.vsn, Math.min(6, codec.u8[at + RECORD.vsnLength] as number));
      if (status !== STATUS_UNKNOWN) job.members?.push(memberOf(codec, at, status));
    }
  }

  #verdict(job: Job, versions: VersionCheck): string | undefined {
    const { config, stats } = this.#context;
    const isRefused = job.members !== undefined && config.mergeFilter?.(job.members) === false;
    const problem = versions.verdict() ?? (isRefused ? 'refused by the merge filter' : undefined);
    if (problem !== undefined) stats.pushPullsRefused++;
    return problem;
  }

  /**
   * Copies the next node states, at most `limit`, into the state codec and indexes them: how many, or -1 when they cannot be read. The codec
   * belongs to all engines of the thread, so what it holds does not outlive the turn.
   */
  #index(job: Job, limit: number): number {
    const codec = this.#context.kernels.stateCodec;
    const nodes = Math.min(job.left, limit);
    const rest = job.states.length - job.at;
    // As many bytes as so many node states usually take; more when that was too little.
    for (let length = Math.ceil(1.25 * nodes * (rest / job.left)) + NODE_BYTES; ; length *= 2) {
      const taken = Math.min(length, rest);
      if (codec.inboxBytes < taken || codec.recordCapacity < nodes) {
        codec.rehome(
          grownPacketCodecArena(codec.arena, { inboxBytes: taken, scratchBytes: taken, recordCapacity: nodes }),
        );
      }
      codec.u8.set(job.states.subarray(job.at, job.at + taken), codec.inboxOffset);
      codec.u32[CODEC.inboxTop >>> 2] = taken;
      const end = codec.indexState(0, nodes);
      if (end >= 0) {
        this.#context.stats.skippedParts += codec.u32[CODEC.skippedParts >>> 2] as number;
        job.at += end;
        job.left -= nodes;
        return nodes;
      }
      if (taken < rest) continue;
      countReject(this.#context.stats, end);
      return -1;
    }
  }
}

function memberOf(codec: Parameters<typeof viewOf>[0], at: number, status: number): FilterMembers[number] {
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
