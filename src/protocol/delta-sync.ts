import { grownDigestArena } from '../kernels/arenas/digest.ts';
import { EXT } from '../kernels/contract.ts';
import { DIGEST, DIGEST_CELL_BYTES, HEADER, TABLE } from '../kernels/layout.ts';
import { type Address, formatAddress } from '../util/address.ts';
import { decodeSync, EMPTY_PARTS, encodeSync, SYNC_PART, type SyncMessage } from '../wire/sync-message.ts';
import type { Context } from './context.ts';
import type { Gate } from './gate.ts';
import type { Membership } from './membership.ts';
import { countReject } from './stats.ts';
import type { ReplyStep, Streams } from './streams.ts';
import { SyncRows } from './sync-rows.ts';

/** Below so many members telling each other everything costs less than finding out what differs. */
const SKETCH_MEMBERS_MIN = 17;
/** A member that differs is an item of each side; room for ten of them is never saved. */
const ITEMS_MIN = 20;
/** Cells for so many items: with four cells per item and this much room, one sketch in a thousand cannot be read. */
const CELLS_PER_ITEM = 1.5;
const CELLS_EXTRA = 50;
const RANGE_BITS = 8;
/** Addresses that get a full exchange next, at most. */
const DISTRUSTED_MAX = 1024;

interface Conversation {
  readonly key: Uint32Array;
  readonly salt: number;
}

/**
 * Delta push-pull (protocol §21): the periodic exchange between members that announced EXT.deltaSync.
 *
 *   1. initiator: count, sum and a sketch of its table
 *   2. acceptor: nothing when both are equal; else the rows that it holds of the differing members, and which ones it lacks
 *   3. initiator: those, and what it knows better; nothing when there is nothing
 *
 * When the sketch is too small, the acceptor answers with a larger one, sized by the range sums, and the roles change: four messages. When even
 * that cannot be read, or most differs anyway, both send all their rows. The acceptor keeps nothing between messages: each has all that its
 * answer needs. Rows go through the member table like those of a full exchange, so whatever changes meanwhile is judged by the same rules.
 */
export class DeltaSync {
  readonly #context: Context;
  readonly #streams: Streams;
  readonly #rows: SyncRows;
  /** The smallest key heard of: all members end up with the same one, and keep their hashes. Never leaves the cluster. */
  #key: Uint32Array;
  /** Items that differed lately. */
  #estimate = 0;
  readonly #distrusted = new Set<string>();

  constructor(context: Context, membership: Membership, streams: Streams, gate: Gate) {
    const { config, prng } = context;
    this.#context = context;
    this.#streams = streams;
    this.#rows = new SyncRows(context, membership, gate);
    this.#key = config.syncKey?.slice() ?? new Uint32Array(0);
    // Drawn only where it is used, so that engines without delta push-pull draw what they always drew.
    if (config.deltaSync && this.#key.length !== 4) this.#key = Uint32Array.from({ length: 4 }, () => prng.next());
  }

  /** True when the periodic exchange with this member can be a delta one. */
  accepts(slot: number): boolean {
    const { config, roster, self } = this.#context;
    if (!config.deltaSync || (self.ext & EXT.deltaSync) === 0 || (roster.ext(slot) & EXT.deltaSync) === 0) return false;
    return !this.#distrusted.delete(formatAddress(roster.address(slot)));
  }

  /** Opens an exchange; `report` hears how it ended. */
  exchange(nowMs: number, to: Address, report: (nowMs: number, error: string | undefined) => void): void {
    const { config, stats } = this.#context;
    stats.pushPullsStarted++;
    stats.syncsStarted++;
    const conversation = { key: this.#key.slice(), salt: this.#context.prng.next() };
    this.#streams.start({
      to,
      expectsReply: true,
      deadlineMs: nowMs + config.tcpTimeoutMs,
      message: () => this.#counted(this.#open(conversation)),
      reply: (atMs, reply) => this.#take(atMs, reply, conversation),
      finish: (atMs, reply, error) => {
        const problem = reply === undefined ? error : undefined;
        if (problem === undefined) stats.pushPullsMerged++;
        else this.#distrust(to);
        report(atMs, problem);
      },
    });
  }

  /** Somebody's message on a stream that they opened; `answer` undefined = close. */
  accept(nowMs: number, message: Uint8Array): ReplyStep {
    const step = this.#take(nowMs, message, undefined);
    if (step.problem !== undefined) this.#context.stats.pushPullsFailed++;
    return step;
  }

  #distrust(to: Address): void {
    this.#context.stats.pushPullsFailed++;
    if (this.#distrusted.size >= DISTRUSTED_MAX) this.#distrusted.clear();
    this.#distrusted.add(formatAddress(to));
  }

  #open(conversation: Conversation): Uint8Array {
    this.#hash(conversation);
    const message = this.#message(1, conversation);
    const withUserState = this.#withUserState(message);
    if (message.items < SKETCH_MEMBERS_MIN) return encodeSync(withUserState);
    return encodeSync({ ...withUserState, ...this.#sketch(withUserState, this.#estimate) });
  }

  /** Takes a message of either side. `own` is the conversation that we opened, undefined when they did. */
  #take(nowMs: number, bytes: Uint8Array, own: Conversation | undefined): ReplyStep {
    const { config, stats } = this.#context;
    const message = decodeSync(bytes);
    if (typeof message === 'number') {
      countReject(stats, message);
      return failed('sync message cannot be read');
    }
    stats.syncBytesReceived += bytes.length;
    const isOurs = own !== undefined;
    if ((message.step & 1) === (isOurs ? 1 : 0)) return failed(`sync step ${message.step} is not theirs`);
    const { step } = message;
    // Steps 1 and 3 carry the key of the conversation, step 2 that of the acceptor.
    this.#adopt(message.key);
    const conversation = own ?? { key: message.key, salt: message.salt };
    const problem = this.#rows.apply(nowMs, message.blocks);
    if (problem !== undefined) return failed(problem);
    const answer = step === 1 ? this.#answerOpening(message, conversation) : this.#answer(message, conversation);
    if (step === 1) stats.pushPullsMerged++;
    if (message.userState.length > 0) config.mergeRemoteState?.(message.userState, false);
    if (answer === undefined || (own !== undefined && answer.parts === 0))
      return { answer: undefined, expectsReply: false, problem: undefined };
    const expectsReply = (answer.parts & SYNC_PART.last) === 0 && answer.step < 4 && answer.parts !== 0;
    return { answer: this.#counted(encodeSync(answer)), expectsReply, problem: undefined };
  }

  /** Step 2. */
  #answerOpening(theirs: SyncMessage, conversation: Conversation): SyncMessage {
    const { stats } = this.#context;
    this.#hash(conversation);
    const message = this.#withUserState({ ...this.#message(2, conversation), key: this.#key });
    if (message.items === theirs.items && message.sumLow === theirs.sumLow && message.sumHigh === theirs.sumHigh) {
      stats.syncsEqual++;
      this.#note(0);
      return message;
    }
    const found = this.#find(theirs);
    if (found !== undefined) return this.#differing(message, found, theirs.wants);
    const estimate = this.#estimateOf(theirs);
    // Half of all items differ: a sketch that can tell costs about as much as the rows that it spares.
    const isTooMany = estimate > Math.max(message.items, theirs.items);
    const { digest } = this.#context.kernels.sync;
    if (theirs.cells === 0 || isTooMany || cellsFor(estimate) > digest.cellCapacity) return this.#everything(message);
    return { ...message, ...this.#sketch(message, estimate) };
  }

  /** Steps 3 and 4; undefined when there is nothing to say. */
  #answer(theirs: SyncMessage, conversation: Conversation): SyncMessage | undefined {
    const { parts, wants } = theirs;
    const has = (part: number): boolean => (parts & part) !== 0;
    if (theirs.step === 4 || parts === 0 || has(SYNC_PART.last)) return undefined;
    const message = this.#message(theirs.step + 1, conversation);
    if (has(SYNC_PART.sketch)) {
      this.#hash(conversation);
      const hashed = this.#message(message.step, conversation);
      const found = this.#find(theirs);
      return found === undefined ? this.#everything(hashed) : this.#differing(hashed, found, wants);
    }
    const slots = has(SYNC_PART.wantsAll) ? [...this.#rows.better, ...this.#rows.unheard()] : [...this.#rows.better];
    if (wants.length > 0) {
      this.#hash(conversation);
      slots.push(...this.#matching(0, wants));
    }
    // Nothing to tell: what they want is gone meanwhile, or they had the last word. An initiator that waits gets its answer all the same.
    if (slots.length === 0) return theirs.step === 3 ? { ...message, parts: SYNC_PART.last } : undefined;
    const blocks = this.#rows.encode([...new Set(slots)]);
    return { ...message, parts: SYNC_PART.rows | SYNC_PART.last, blocks };
  }

  /** The rows of the first `found` names in the digest, of those that they want and of what we know better; and the names that we lack. */
  #differing(message: SyncMessage, found: number, wants: Uint32Array): SyncMessage {
    const { digest } = this.#context.kernels.sync;
    const slots = new Set([...this.#rows.better, ...this.#matching(found, wants)]);
    const left = digest.u32[DIGEST.unmatched >>> 2] as number;
    const lacking = digest.u32.slice(digest.namesOffset >>> 2, (digest.namesOffset >>> 2) + left);
    this.#note(found);
    const parts = message.parts | (slots.size > 0 ? SYNC_PART.rows : 0) | (left > 0 ? SYNC_PART.wants : 0);
    return { ...message, parts, blocks: this.#rows.encode([...slots]), wants: lacking };
  }

  /** Slots of the first `found` names in the digest and of those that they want. */
  #matching(found: number, wants: Uint32Array): Uint32Array {
    const { digest } = this.#context.kernels.sync;
    const names = Math.min(found + wants.length, digest.nameCapacity);
    digest.u32.set(wants.subarray(0, names - found), (digest.namesOffset >>> 2) + found);
    const matched = digest.match(names);
    return digest.u32.slice(digest.slotsOffset >>> 2, (digest.slotsOffset >>> 2) + matched);
  }

  /** All our rows; they answer with what is missing among them. */
  #everything(message: SyncMessage): SyncMessage {
    this.#context.stats.syncsWhole++;
    this.#note(ITEMS_MIN);
    const blocks = this.#rows.encode(this.#context.roster.slots());
    return { ...message, parts: message.parts | SYNC_PART.rows | SYNC_PART.wantsAll, blocks };
  }

  /** How many differing items their sketch shows, their names in the digest; undefined when it cannot be read. */
  #find(theirs: SyncMessage): number | undefined {
    const { digest } = this.#context.kernels.sync;
    const { cells, sketch } = theirs;
    if (cells < 4 || cells % 4 !== 0 || cells > digest.cellCapacity) return undefined;
    const found = digest.peel(cells, sketch, 0);
    return found < 0 ? undefined : found;
  }

  /** Items that differ, from how many range sums do: with so many equal ranges left, in how many members do we differ? Each is an item of both sides. */
  #estimateOf(theirs: SyncMessage): number {
    const { digest } = this.#context.kernels.sync;
    const { rangeBits, ranges } = theirs;
    const fewest = Math.abs(theirs.items - (digest.u32[HEADER.live >>> 2] as number));
    if (ranges.length === 0 || 1 << rangeBits > digest.rangeCapacity) return fewest;
    const count = digest.rangeSums(rangeBits);
    let different = 0;
    for (let i = 0; i < count; i++) if (digest.u8[digest.rangesOffset + 8 * i] !== ranges[i]) different++;
    // One range in 256 that differs has the same lowest byte. When all differ there is no telling: take some more than it could be.
    const part = Math.min(1 - 0.5 / count, ((different / count) * 256) / 255);
    return Math.max(fewest, Math.ceil(-count * Math.log(1 - part) * (part === 1 - 0.5 / count ? 4 : 2.2)));
  }

  #sketch(message: SyncMessage, estimate: number): SyncMessage {
    const { digest } = this.#context.kernels.sync;
    const cells = Math.min(cellsFor(estimate), digest.cellCapacity - (digest.cellCapacity % 4));
    const sketch = new Uint8Array(cells * DIGEST_CELL_BYTES);
    digest.sketch(cells, sketch, 0);
    const count = digest.rangeSums(RANGE_BITS);
    const ranges = Uint8Array.from({ length: count }, (_, i) => digest.u8[digest.rangesOffset + 8 * i] as number);
    // Only an opening is answered with a larger sketch.
    const isOpening = message.step === 1;
    const parts = message.parts | SYNC_PART.sketch | (isOpening ? SYNC_PART.ranges : 0);
    return { ...message, parts, cells, sketch, rangeBits: RANGE_BITS, ranges: isOpening ? ranges : new Uint8Array(0) };
  }

  #message(step: number, { key, salt }: Conversation): SyncMessage {
    const { u32 } = this.#context.kernels.sync.digest;
    const sum = DIGEST.sum >>> 2;
    return {
      ...EMPTY_PARTS,
      step,
      parts: 0,
      key,
      salt,
      items: u32[HEADER.live >>> 2] as number,
      sumLow: u32[sum] as number,
      sumHigh: u32[sum + 1] as number,
    };
  }

  #withUserState(message: SyncMessage): SyncMessage {
    const userState = this.#context.config.localState?.(false) ?? new Uint8Array(0);
    if (userState.length === 0) return message;
    return { ...message, parts: message.parts | SYNC_PART.userState, userState };
  }

  #hash({ key, salt }: Conversation): void {
    const { sync, table } = this.#context.kernels;
    const { digest } = sync;
    const rows = table.u32[TABLE.rowTop >>> 2] as number;
    if (rows > digest.capacity)
      digest.rehome(grownDigestArena(digest.arena, { capacity: Math.max(rows, 2 * digest.capacity) }));
    digest.u32.set(key, DIGEST.key >>> 2);
    digest.u32[DIGEST.salt >>> 2] = salt;
    digest.hashTable(table);
  }

  /** Takes over a key that is smaller than ours. */
  #adopt(key: Uint32Array): void {
    for (let i = 3; i >= 0; i--) {
      const theirs = key[i] as number;
      const ours = this.#key[i] ?? 0xffffffff;
      if (theirs > ours) return;
      if (theirs < ours) {
        this.#key = key.slice();
        return;
      }
    }
  }

  #note(items: number): void {
    this.#estimate = Math.max(items, this.#estimate / 2);
  }

  #counted(message: Uint8Array): Uint8Array {
    this.#context.stats.syncBytesSent += message.length;
    return message;
  }
}

function cellsFor(items: number): number {
  return 4 * Math.ceil((CELLS_PER_ITEM * Math.max(items, ITEMS_MIN) + CELLS_EXTRA) / 4);
}

function failed(problem: string): ReplyStep {
  return { answer: undefined, expectsReply: false, problem };
}
