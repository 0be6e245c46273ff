import { entryBytesMax } from './codec.ts';
import { coversOf, versionsToTell } from './coverage.ts';
import { shortId, shortSum } from './hashes.ts';
import {
  type Conversation,
  type ConversationOptions,
  type ConversationStats,
  type RangeSum,
  REFUSED,
  type ReconcileStore,
  type Refused,
  type StateEntry,
  type Strategy,
  type Turn,
  type WriterVersion,
} from './port.ts';
import {
  decodeRange,
  type IdsPart,
  RANGE_FLAG,
  RANGE_HEAD_BYTES,
  type Range,
  RangeDraft,
  type RangeMessage,
  type Roots,
  type SumsPart,
} from './range-message.ts';
import { ENTRIES_MAX, isSame, LISTEN, rootOf, Turns } from './turns.ts';

/** How a tree over the hash space is walked together. */
export interface RangePlan {
  readonly name: string;
  readonly id: number;
  /** Children of the root in an opening message, as bits, at most; 0 = an opening only has the root, and `splitBits` is for it too. */
  readonly openBits: number;
  /** Children of any other node, as bits. */
  readonly splitBits: number;
  /** A range with no more records than this is listed instead of split. 0 = only at `leafDepth`. */
  readonly leafItems: number;
  /** Ranges of this depth are always listed. */
  readonly leafDepth: number;
  /** Words of a fingerprint and of an id: 1 (mixed with the salt of the conversation) or 2. */
  readonly sumWords: 1 | 2;
  readonly idWords: 1 | 2;
}

/** Versions in one message, in bytes, at most. Who is left out comes next time. */
const VERSIONS_BYTES_MAX = 2048;
/** Runs ahead of a writer in one message, at most. */
const RUNS_MAX = 16;
/** Things to do, at most; depth first, a few thousand are many. What does not fit is found again next time. */
const TASKS_MAX = 131_072;
/** A list or wish for a larger range than this is answered with sums: nobody who holds as many would have listed it. */
const LISTED_MAX = 1024;
/** Records looked at for one message, at most, so that many small wishes do not keep the event loop long. */
const VISITS_MAX = 32_768;
/** Records sent in one conversation, at most: so many times what the store holds, and some. Whoever still asks then is not reconciling. */
const SENT_MULT = 4;
const SENT_EXTRA = 4096;
/** A range that is sent whole is cut until no more records than this are visited at once. */
const SEND_AT_ONCE = 64;

type Task =
  /** Answer with our sums, or our list. */
  | { readonly kind: 'split'; readonly range: Range }
  /** They have nothing there. */
  | { readonly kind: 'send'; readonly range: Range }
  /** We have nothing there. */
  | { readonly kind: 'pull'; readonly range: Range }
  /** Their list. */
  | { readonly kind: 'compare'; readonly part: IdsPart }
  /** What they want, or what is left of it. */
  | { readonly kind: 'give'; readonly part: IdsPart };

/**
 * Range-based set reconciliation (Meyer, SRDS 2023) over the hash space, and Merkle trees as the special case of fixed levels: sums of ranges
 * are compared, ranges that differ are split, small ones are listed, and then the records go where they lack. A record that both know under one key in
 * two versions stands in both lists; the store of its receiver decides.
 *
 * Nothing is remembered between messages but a bounded list of ranges still to be dealt with, last first: a store may change while it is compared, and a
 * conversation that broke off is begun again, at the cost of its sums.
 */
export class RangeConversation implements Conversation {
  readonly needsFull = false;
  readonly #store: ReconcileStore;
  readonly #plan: RangePlan;
  readonly #salt: number;
  readonly #turns: Turns;
  readonly #isQuiet: boolean;
  readonly #tasks: Task[] = [];
  readonly #sum: RangeSum = { count: 0, low: 0, high: 0 };
  #isOpener = false;
  /** What was gathered for the reply while more of theirs was to come. */
  #draft: RangeDraft | undefined;
  #theirRoots: Roots | undefined;
  #visits = 0;
  /** A record did not fit into the message that is being put together. */
  #isFull = false;
  /** Writers whose records went back and forth: their coverage is told first. */
  readonly #touched = new Set<string>();

  constructor(store: ReconcileStore, plan: RangePlan, options: ConversationOptions & { readonly isQuiet?: boolean }) {
    this.#store = store;
    this.#plan = plan;
    this.#salt = options.salt;
    this.#turns = new Turns(options);
    this.#isQuiet = options.isQuiet ?? false;
  }

  get stats(): ConversationStats {
    return this.#turns.stats;
  }

  begin(_nowMs: number): Uint8Array {
    const draft = new RangeDraft();
    this.#isOpener = true;
    if (!this.#isQuiet && this.#plan.openBits > 0) this.#open(draft);
    return this.#send(draft, 0, this.#roots(), []);
  }

  receive(nowMs: number, bytes: Uint8Array): Turn {
    const message = decodeRange(this.#plan.id, bytes, this.#plan);
    if (typeof message === 'string') return this.#turns.refuse(message);
    const refused = this.#problemOf(message);
    if (refused !== undefined) return this.#turns.refuse(refused);
    const isStream = (message.flags & RANGE_FLAG.stream) !== 0;
    this.#turns.heard(bytes, isStream);
    this.#theirRoots = message.roots;
    const draft = this.#draft ?? new RangeDraft();
    this.#apply(nowMs, message, draft);
    this.#sort(message, draft);
    this.#draft = isStream ? draft : undefined;
    if (isStream) return LISTEN;
    this.#work(draft);
    return this.#answer(message, draft);
  }

  next(_nowMs: number): Uint8Array | undefined {
    if (!this.#turns.isStreaming) return undefined;
    const draft = new RangeDraft();
    this.#work(draft);
    return this.#say(draft);
  }

  #problemOf({ step, keyId, flags }: RangeMessage): Refused | undefined {
    if (keyId !== this.#store.index.keyId) return REFUSED.keyMismatch;
    const problem = this.#turns.problemOf(step);
    if (problem !== undefined) return problem;
    return step === 0 && (flags & RANGE_FLAG.root) === 0 ? REFUSED.malformed : undefined;
  }

  #apply(nowMs: number, { entries, versions, obsolete, roots }: RangeMessage, draft: RangeDraft): void {
    const store = this.#store;
    for (const write of obsolete) store.discard(nowMs, write);
    if (entries.length > 0) {
      const result = this.#turns.apply(store, nowMs, entries, []);
      for (const index of result.obsolete) {
        const { key, writer, sequence } = entries[index] as StateEntry;
        // Copied: the reply may be put together after this message is gone.
        draft.obsolete.push({ key: key.slice(), writer, sequence });
      }
      for (const { writer } of entries) this.#touched.add(writer);
    }
    // Whoever holds the same as we do covers for us what they cover.
    if (versions.length > 0 && roots && this.#isEqual(roots.records)) {
      store.apply(nowMs, [], versions.flatMap(coversOf));
    }
  }

  /** Turns what they say into tasks, the first one on top. */
  #sort(message: RangeMessage, draft: RangeDraft): void {
    const tasks: Task[] = [];
    const { roots } = message;
    const isOpening = message.step === 0 || (this.#isQuiet && message.step === 1);
    for (const range of message.pulls) tasks.push({ kind: 'send', range });
    for (const part of message.wants) tasks.push({ kind: 'give', part });
    for (const part of message.lists) tasks.push({ kind: 'compare', part });
    if (message.step === 0 && roots && !this.#isEqual(roots.records)) {
      if (roots.records.count === 0) tasks.push({ kind: 'send', range: WHOLE });
      else if (this.#store.index.size === 0) tasks.push({ kind: 'pull', range: WHOLE });
      else if (message.sums.length === 0) this.#open(draft);
    }
    if (!(isOpening && roots && this.#isEqual(roots.records))) {
      for (const part of message.sums) this.#compareSums(part, tasks);
    }
    while (tasks.length > 0 && this.#tasks.length < TASKS_MAX) this.#tasks.push(tasks.pop() as Task);
  }

  #compareSums({ prefix, depth, bits, sums }: SumsPart, tasks: Task[]): void {
    const { sumWords } = this.#plan;
    // One side empty: dealt with as a whole.
    if (this.#store.index.size === 0) return;
    const mine = new Uint32Array(sumWords);
    for (let i = 0; i < 1 << bits; i++) {
      const range = { prefix: ((prefix << bits) | i) >>> 0, depth: depth + bits };
      this.#fingerprint(range, mine, 0);
      const low = sums[sumWords * i] as number;
      const high = sumWords === 2 ? (sums[2 * i + 1] as number) : 0;
      if (mine[0] === low && (sumWords === 1 || mine[1] === high)) continue;
      if (low === 0 && high === 0) tasks.push({ kind: 'send', range });
      else if (this.#sum.count === 0) tasks.push({ kind: 'pull', range });
      else tasks.push({ kind: 'split', range });
    }
  }

  /** Does what fits into one message. */
  #work(draft: RangeDraft): void {
    const room = this.#turns.budgetBytes - RANGE_HEAD_BYTES;
    this.#isFull = false;
    this.#visits = 0;
    if (this.stats.entriesSent > SENT_MULT * this.#store.index.size + SENT_EXTRA) this.#tasks.length = 0;
    while (this.#tasks.length > 0 && draft.length < room && !this.#isFull && this.#visits < VISITS_MAX) {
      const task = this.#tasks.pop() as Task;
      if (task.kind === 'pull') draft.pull(task.range);
      else if (task.kind === 'split') this.#split(draft, task.range);
      else if (task.kind === 'send') this.#sendRange(draft, task.range);
      else if (this.#isTooLarge(task.part)) this.#split(draft, task.part);
      else if (task.kind === 'compare') this.#compare(draft, task.part);
      else this.#give(draft, task.part);
    }
  }

  /** The children of the root: as many as it takes to come down to lists in a few steps. */
  #open(draft: RangeDraft): void {
    const { openBits, splitBits, leafItems } = this.#plan;
    const { size } = this.#store.index;
    if (size === 0) return;
    const useful = Math.max(1, Math.ceil(Math.log2(size / Math.max(1, leafItems))));
    draft.addSums(this.#sums(WHOLE, openBits === 0 ? splitBits : Math.min(openBits, useful)));
  }

  #isTooLarge({ prefix, depth }: Range): boolean {
    this.#store.index.sum(prefix, depth, this.#sum);
    return depth < this.#plan.leafDepth && this.#sum.count > LISTED_MAX;
  }

  #split(draft: RangeDraft, range: Range): void {
    const { leafItems, leafDepth, splitBits } = this.#plan;
    this.#store.index.sum(range.prefix, range.depth, this.#sum);
    if (range.depth < leafDepth && this.#sum.count > leafItems) {
      draft.addSums(this.#sums(range, Math.min(splitBits, leafDepth - range.depth)));
      return;
    }
    const ids: number[] = [];
    this.#each(range, (low, high) => this.#pushId(ids, low, high));
    draft.addList({ ...range, ids: Uint32Array.from(ids) });
  }

  #sums({ prefix, depth }: Range, bits: number): SumsPart {
    const { sumWords } = this.#plan;
    const sums = new Uint32Array(sumWords << bits);
    for (let i = 0; i < 1 << bits; i++) {
      this.#fingerprint({ prefix: ((prefix << bits) | i) >>> 0, depth: depth + bits }, sums, sumWords * i);
    }
    return { prefix, depth, bits, sums };
  }

  /** Leaves the sum itself in #sum. */
  #fingerprint({ prefix, depth }: Range, out: Uint32Array, at: number): void {
    const sum = this.#sum;
    this.#store.index.sum(prefix, depth, sum);
    out[at] = shortSum(sum.count, sum.low, sum.high, this.#salt);
    if (this.#plan.sumWords === 2) out[at + 1] = sum.count === 0 ? 0 : sum.high;
  }

  /** Large ranges in halves, so that no message is larger than it may be. */
  #sendRange(draft: RangeDraft, range: Range): void {
    const { prefix, depth } = range;
    this.#store.index.sum(prefix, depth, this.#sum);
    if (this.#sum.count > SEND_AT_ONCE && depth < 32) {
      this.#tasks.push({ kind: 'send', range: { prefix: ((prefix << 1) | 1) >>> 0, depth: depth + 1 } });
      this.#tasks.push({ kind: 'send', range: { prefix: (prefix << 1) >>> 0, depth: depth + 1 } });
      return;
    }
    const left: number[] = [];
    this.#each(range, (low, high, slot) => this.#put(draft, slot, low, high, left));
    this.#later(range, left);
  }

  /** What they lack of ours goes, what we lack of theirs is asked for. */
  #compare(draft: RangeDraft, part: IdsPart): void {
    const { idWords } = this.#plan;
    const theirs = new Map<number, number>();
    for (let i = 0; i < part.ids.length; i += idWords) theirs.set(idOf(part.ids, i, idWords), i);
    const left: number[] = [];
    this.#each(part, (low, high, slot) => {
      if (!theirs.delete(this.#ownId(low, high))) this.#put(draft, slot, low, high, left);
    });
    this.#later(part, left);
    if (theirs.size === 0) return;
    const ids: number[] = [];
    for (const at of theirs.values()) for (let k = 0; k < idWords; k++) ids.push(part.ids[at + k] as number);
    draft.addWants({ prefix: part.prefix, depth: part.depth, ids: Uint32Array.from(ids) });
  }

  #give(draft: RangeDraft, part: IdsPart): void {
    const { idWords } = this.#plan;
    const wanted = new Set<number>();
    for (let i = 0; i < part.ids.length; i += idWords) wanted.add(idOf(part.ids, i, idWords));
    const left: number[] = [];
    // What is wanted and not here any more was superseded meanwhile.
    this.#each(part, (low, high, slot) => {
      if (wanted.has(this.#ownId(low, high))) this.#put(draft, slot, low, high, left);
    });
    this.#later(part, left);
  }

  #each(range: Range, visit: (low: number, high: number, slot: number) => void): void {
    this.#store.index.visit(range.prefix, range.depth, (slot, low, high) => {
      this.#visits++;
      visit(low, high, slot);
      return true;
    });
  }

  /** Adds a record, or its id to what is left for the next message. A record that is larger than a message goes first in one. */
  #put(draft: RangeDraft, slot: number, low: number, high: number, left: number[]): void {
    const isRoom = !this.#isFull && draft.entries < ENTRIES_MAX;
    const entry = isRoom ? this.#store.read(slot) : undefined;
    const isFitting =
      entry !== undefined &&
      (draft.entries === 0 || draft.length + entryBytesMax(entry) <= this.#turns.budgetBytes - RANGE_HEAD_BYTES);
    if (entry && isFitting) {
      draft.entry(entry);
      this.#touched.add(entry.writer);
      this.stats.entriesSent++;
    } else {
      this.#isFull = true;
      this.#pushId(left, low, high);
    }
  }

  #later({ prefix, depth }: Range, ids: readonly number[]): void {
    if (ids.length === 0 || this.#tasks.length >= TASKS_MAX) return;
    this.#tasks.push({ kind: 'give', part: { prefix, depth, ids: Uint32Array.from(ids) } });
  }

  #pushId(ids: number[], low: number, high: number): void {
    if (this.#plan.idWords === 1) ids.push(shortId(low, high, this.#salt));
    else ids.push(low, high);
  }

  /** The id as one number; with two words the lower 53 bits of it, which are enough within one range. */
  #ownId(low: number, high: number): number {
    return this.#plan.idWords === 1 ? shortId(low, high, this.#salt) : low + (high & 0x1fffff) * 4294967296;
  }

  #answer(theirs: RangeMessage, draft: RangeDraft): Turn {
    if ((theirs.flags & RANGE_FLAG.last) !== 0) return this.#turns.end();
    const isWaitedFor = (theirs.flags & RANGE_FLAG.more) !== 0;
    if (this.#tasks.length > 0 || !draft.isEmpty || isWaitedFor) {
      return { reply: this.#say(draft), isDone: false, refused: undefined };
    }
    // Nothing left to say or to ask. The opener hears so; whoever answers only says what the other does not cover yet.
    const roots = this.#roots();
    const isEqual = theirs.roots !== undefined && isSame(theirs.roots.records, roots.records);
    const isCovered = this.#isCovered(roots);
    if (this.#isOpener && (isCovered || !isEqual)) return this.#turns.end();
    const versions = isCovered ? [] : this.#versions;
    // Equal records, unequal coverage, and they have not told theirs: one more turn, so that both sides end up with both.
    const isOneMore = isEqual && !isCovered && theirs.versions.length === 0 && !this.#isOpener;
    this.#turns.isOver = !isOneMore;
    const reply = this.#send(draft, isOneMore ? 0 : RANGE_FLAG.last, roots, versions);
    return { reply, isDone: !isOneMore, refused: undefined };
  }

  /** A message of what was put together; more may follow it. */
  #say(draft: RangeDraft): Uint8Array {
    const hasMore = this.#tasks.length > 0;
    // Only what carries records is followed by more: sums and lists are better answered first.
    const isStream = this.#turns.stream(hasMore && draft.entries > 0);
    if (hasMore) return this.#send(draft, isStream ? RANGE_FLAG.stream : RANGE_FLAG.more, undefined, []);
    const roots = this.#roots();
    return this.#send(draft, 0, roots, draft.isAsking || this.#isCovered(roots) ? [] : this.#versions);
  }

  /** False when they have said what they cover and it is something else. */
  #isCovered({ versions }: Roots): boolean {
    return this.#theirRoots === undefined || isSame(this.#theirRoots.versions, versions);
  }

  #send(draft: RangeDraft, flags: number, roots: Roots | undefined, versions: readonly WriterVersion[]): Uint8Array {
    const { keyId } = this.#store.index;
    const { step } = this.#turns;
    return this.#turns.sent(draft.encode(this.#plan.id, { flags, step, keyId }, roots, versions, RUNS_MAX));
  }

  get #versions(): WriterVersion[] {
    const room = Math.min(VERSIONS_BYTES_MAX, this.#turns.budgetBytes >> 1);
    return versionsToTell(this.#store.log, this.#touched, this.#salt, room, RUNS_MAX);
  }

  #roots(): Roots {
    return { records: rootOf(this.#store), versions: { ...this.#store.log.sum } };
  }

  #isEqual(theirs: RangeSum): boolean {
    this.#store.index.sum(0, 0, this.#sum);
    return isSame(this.#sum, theirs);
  }
}

const WHOLE: Range = { prefix: 0, depth: 0 };

function idOf(ids: Uint32Array, at: number, idWords: number): number {
  const low = ids[at] as number;
  return idWords === 1 ? low : low + ((ids[at + 1] as number) & 0x1fffff) * 4294967296;
}

/** A strategy that walks the tree as a plan says. */
export function rangeStrategy(plan: RangePlan): Strategy {
  return { name: plan.name, id: plan.id, converse: (store, options) => new RangeConversation(store, plan, options) };
}
