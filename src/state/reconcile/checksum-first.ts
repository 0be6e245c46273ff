import { beginMessage, openMessage, readSum, writeSum } from './codec.ts';
import {
  type Conversation,
  type ConversationOptions,
  type ConversationStats,
  type RangeSum,
  REFUSED,
  type ReconcileStore,
  type Refused,
  type Strategy,
  type Turn,
  type WriterLogView,
} from './port.ts';
import { isSame, newStats, rootOf } from './turns.ts';

const FLAG = {
  /** The sums agree: the conversation is over. */
  equal: 1,
  /** Versions were compared already: what still differs is for the full comparison. */
  afterVersions: 2,
  /** The two stores hash with different keys: versions is all that they can compare. */
  foreign: 4,
  /** The sender knows of more gaps than a digest can name. */
  gappy: 8,
} as const;
const FLAGS_ALL = 15;
/** Gaps of one writer: below what a log remembers and a digest names. */
const GAPS_MAX = 200;

export interface ChecksumFirstPlan {
  readonly id: number;
  /** Compares what is covered: cheap, but does not find everything. */
  readonly versions: Strategy;
  /** Compares everything. */
  readonly full: Strategy;
  /** With more writers than this on either side, digests cost more than comparing everything. */
  readonly writersMax: number;
}

interface Checksums {
  readonly flags: number;
  readonly keyId: number;
  readonly records: RangeSum;
  readonly versions: RangeSum;
}

/**
 * What a map uses by default: checksums first, so that two stores that agree pay two short messages (Demers et al. 1987, §1.4), then what fits the
 * difference:
 *
 *   opener     sums of records and of versions
 *   acceptor   "equal"; or opens a stage: versions when those differ and writers are few, else the full comparison
 *   ...        the stage runs
 *   whoever ended a stage of versions sends sums again; "equal" ends it, otherwise the other opens the full comparison
 *
 * The first byte of a message says whose it is. Stores that hash with different keys (not all nodes have taken over the same one yet) compare versions
 * only, and `needsFull` stays true.
 */
export class ChecksumFirstConversation implements Conversation {
  readonly #store: ReconcileStore;
  readonly #options: ConversationOptions;
  readonly #plan: ChecksumFirstPlan;
  readonly #own: ConversationStats = newStats();
  readonly #stages = new Map<number, Conversation>();
  #current: Conversation | undefined;
  /** Sums that we sent and that were not answered yet. */
  #isWaiting = false;
  #isOver = false;
  #hasBegun = false;
  #isForeign = false;

  constructor(store: ReconcileStore, options: ConversationOptions, plan: ChecksumFirstPlan) {
    this.#store = store;
    this.#options = options;
    this.#plan = plan;
  }

  get stats(): ConversationStats {
    const total = { ...this.#own };
    for (const { stats } of this.#stages.values()) {
      for (const name of Object.keys(total) as (keyof ConversationStats)[]) total[name] += stats[name];
    }
    return total;
  }

  get needsFull(): boolean {
    return this.#isForeign;
  }

  begin(_nowMs: number): Uint8Array {
    this.#hasBegun = true;
    return this.#checksums(0);
  }

  receive(nowMs: number, bytes: Uint8Array): Turn {
    if (this.#isOver) return this.#refuse(REFUSED.outOfTurn);
    const { id, versions, full } = this.#plan;
    if (bytes[0] === id) return this.#compare(nowMs, bytes);
    if (bytes[0] !== versions.id && bytes[0] !== full.id) return this.#refuse(REFUSED.unknown);
    if (!this.#hasBegun) return this.#refuse(REFUSED.outOfTurn);
    this.#isWaiting = false;
    const isVersions = bytes[0] === versions.id;
    const turn = this.#stage(isVersions ? versions : full).receive(nowMs, bytes);
    if (turn.refused !== undefined) return this.#refuse(turn.refused);
    if (turn.reply !== undefined || !turn.isDone) return { ...turn, isDone: turn.isDone && !isVersions };
    if (isVersions) return { reply: this.#checksums(FLAG.afterVersions), isDone: false, refused: undefined };
    this.#isOver = true;
    return turn;
  }

  next(nowMs: number): Uint8Array | undefined {
    return this.#current?.next(nowMs);
  }

  #compare(nowMs: number, bytes: Uint8Array): Turn {
    const theirs = decode(this.#plan.id, bytes);
    if (typeof theirs === 'string') return this.#refuse(theirs);
    const { versions, full, writersMax } = this.#plan;
    const { log } = this.#store;
    const isAnswer = (theirs.flags & (FLAG.equal | FLAG.foreign)) !== 0;
    const isAfter = (theirs.flags & FLAG.afterVersions) !== 0;
    // Sums come first and after versions; never twice the same, or two sides could go on for ever.
    const isInTurn = isAnswer
      ? this.#isWaiting
      : isAfter
        ? !this.#isWaiting && this.#stages.has(versions.id) && !this.#stages.has(full.id)
        : !this.#hasBegun;
    if (!isInTurn) return this.#refuse(REFUSED.outOfTurn);
    this.#hasBegun = true;
    this.#own.messagesReceived++;
    this.#own.bytesReceived += bytes.length;
    this.#isForeign = theirs.keyId !== this.#store.index.keyId;
    if (isAnswer) {
      this.#isOver = true;
      return { reply: undefined, isDone: true, refused: undefined };
    }
    if (this.#isForeign) {
      this.#isOver = isAfter;
      const reply = isAfter ? this.#checksums(FLAG.foreign) : this.#stage(versions).begin(nowMs);
      return { reply, isDone: isAfter, refused: undefined };
    }
    const isCovered = isSame(theirs.versions, log.sum);
    // Equal records with unequal versions: after a comparison of versions that is as good as it gets (a collected tombstone counts in one and not in the other), unless that
    // one knew that it could not tell all.
    const isEnough = isCovered || (isAfter && !this.#stages.get(versions.id)?.needsFull);
    if (isSame(theirs.records, rootOf(this.#store)) && isEnough) {
      this.#isOver = true;
      return { reply: this.#checksums(FLAG.equal), isDone: true, refused: undefined };
    }
    const isFew = Math.max(log.writers, theirs.versions.count) <= writersMax;
    const isGapped = (theirs.flags & FLAG.gappy) !== 0 || isGappy(log);
    // Ranges fill an empty store as well, and go on where they broke off whatever was superseded.
    const isEmpty = theirs.records.count === 0 || this.#store.index.size === 0;
    const stage = !isAfter && !isCovered && isFew && !isGapped && !isEmpty ? versions : full;
    return { reply: this.#stage(stage).begin(nowMs), isDone: false, refused: undefined };
  }

  #stage(strategy: Strategy): Conversation {
    const known = this.#stages.get(strategy.id);
    this.#current = known ?? strategy.converse(this.#store, this.#options);
    if (!known) this.#stages.set(strategy.id, this.#current);
    return this.#current;
  }

  #refuse(refused: Refused): Turn {
    this.#isOver = true;
    return { reply: undefined, isDone: false, refused };
  }

  #checksums(flags: number): Uint8Array {
    const gaps = isGappy(this.#store.log) ? FLAG.gappy : 0;
    const out = beginMessage(this.#plan.id, flags | gaps, 64);
    out.word(this.#store.index.keyId);
    writeSum(out, rootOf(this.#store));
    writeSum(out, this.#store.log.sum);
    this.#isWaiting = (flags & (FLAG.equal | FLAG.foreign)) === 0;
    this.#own.messagesSent++;
    this.#own.bytesSent += out.length;
    return out.take();
  }
}

/** True when so many rumors were lost that a digest could not name all gaps, and everything behind the last one would be sent again. */
function isGappy(log: WriterLogView): boolean {
  for (const { ahead } of log.versions()) if (ahead.length >= 2 * GAPS_MAX) return true;
  return false;
}

function decode(id: number, bytes: Uint8Array): Checksums | Refused {
  const { input, flags } = openMessage(id, bytes, FLAGS_ALL);
  const keyId = input.word();
  const records = readSum(input);
  const versions = readSum(input);
  return input.isWhole() ? { flags, keyId, records, versions } : (input.refused as Refused);
}
