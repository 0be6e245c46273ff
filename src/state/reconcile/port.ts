import type { FlowControl } from './flow-control.ts';

/**
 * The port between a replicated store and the strategies that reconcile two of them. Everything here is sans-I/O: a conversation is fed
 * messages and hands back messages; who carries them (datagrams, a stream, a simulator) is the caller's business.
 *
 * A store keeps its records by *slot*, a small dense number that it hands out itself (from 0 up, reused after removal), and tells two
 * indexes about every change:
 *
 *   HashIndex    (hash-index.ts)  slots by the keyed hash of their key, with sums: who differs where?            O(log n) per write
 *   WriterLog    (writer-log.ts)  slots by writer and sequence: what came after version 17 of writer w?          O(log n) per write
 *
 * Both lie in typed arrays; a million records make no million objects.
 */

/** A record as it travels. Byte strings are views that hold until the store changes; whoever keeps them copies them. */
export interface StateEntry {
  /** Identity in the store, 1 to KEY_BYTES_MAX bytes. Namespaces of owners are part of it, in whatever form the store chose. */
  readonly key: Uint8Array;
  /** Who wrote it: name and generation of a node in one text, at most WRITER_BYTES_MAX bytes of UTF-8. */
  readonly writer: string;
  /** Position among the writes of this writer, from 1 up, an integer below 2^52. No two writes of a writer share one. */
  readonly sequence: number;
  /** Hybrid logical clock: milliseconds, an integer below 2^48, and the counter within one, below 2^16. */
  readonly timeMs: number;
  readonly counter: number;
  /** What kind of record it is, u8: the store's affair (value, tombstone, CRDT, ...). */
  readonly kind: number;
  /** At most VALUE_BYTES_MAX bytes on the wire of a conversation. */
  readonly value: Uint8Array;
}

/** What a conversation's decoders let through, in bytes. A store may have lower limits of its own. */
export const KEY_BYTES_MAX = 4096;
export const WRITER_BYTES_MAX = 512;
export const VALUE_BYTES_MAX = 1 << 20;

/**
 * What is known of one writer. Sequences up to `max` are *covered*: each was taken here, or something that supersedes it. A writer that hears of itself
 * covered beyond what it wrote (a peer lies, or it lost its state) goes on above that. Tombstones up to `gc`
 * may have been collected: whoever covers less than that cannot be brought up to date by what came after it alone (chitchat's last_gc_version).
 */
export interface WriterVersion {
  readonly writer: string;
  readonly max: number;
  readonly gc: number;
  /** Runs [first, last] above max that are covered too, as pairs, ascending and apart: rumors that came before others. Not all need be known. */
  readonly ahead: readonly number[];
}

/** "With these entries you have everything that I hold of `writer` after `from` up to `to`": its receiver's coverage grows if it reached `from`. */
export interface Cover {
  readonly writer: string;
  readonly from: number;
  readonly to: number;
}

/** One write, by name. The key belongs to it: a damaged record may have another one under the same writer and sequence. */
export interface WriteName {
  readonly key: Uint8Array;
  readonly writer: string;
  readonly sequence: number;
}

/** What became of a list of entries. The four add up to its length. */
export interface ApplyResult {
  /** Taken: they were news. */
  readonly applied: number;
  /** Known already, or superseded by what the store holds. */
  readonly stale: number;
  /** Over one of the store's limits, or impossible (a clock too far ahead). */
  readonly refused: number;
  /**
   * Indices of entries whose end this store saw: it covers them (by max or ahead) and does not hold their key any more, because the tombstone was collected here or
   * where the coverage came from. They are not taken, and the sender is told to discard its copies. That is what makes collecting tombstones safe. It relies on
   * coverage being true: a store claims only what it took, or was told by conversations (covers), or removed by its own rules (TTL, a dead owner's records).
   */
  readonly obsolete: readonly number[];
}

/** What a strategy needs of a store. */
export interface ReconcileStore {
  readonly index: HashIndexView;
  readonly log: WriterLogView;
  /** Records by when they were news here; peel-back and checksum-first want it. */
  readonly recent?: RecentView;
  /** The record in a slot that one of the indexes named. */
  read(slot: number): StateEntry;
  /**
   * Takes what is newer. Entries first, covers afterwards. Never throws for what came from the network. Which of two entries of one key is newer must be decided the
   * same way on every node and by everything that the fingerprint covers, down to kind and value: otherwise two nodes could hold on to what is theirs for ever.
   */
  apply(nowMs: number, entries: readonly StateEntry[], covers: readonly Cover[]): ApplyResult;
  /** A peer saw the end of this write: if it is what the store holds under its key, it goes. */
  discard(nowMs: number, write: WriteName): void;
}

/** A sum over records: how many, and their fingerprints added up mod 2^64 as two u32. Equal sets have equal sums. */
export interface RangeSum {
  count: number;
  low: number;
  high: number;
}

/**
 * Slots by position: the upper 32 bits of the keyed hash of a key, so that all versions of one key stand in one place and keys are spread evenly
 * whoever chose them. A range is a prefix: the `depth` upper bits (0 to 32) of the positions in it, right-aligned.
 */
export interface HashIndexView {
  readonly size: number;
  /** Tells whether two stores hash with the same key, u32: otherwise comparing sums means nothing. */
  readonly keyId: number;
  /** Sum of a range into `out`: O(1) down to the buckets (about 16 records), a bucket's length below. */
  sum(prefix: number, depth: number, out: RangeSum): void;
  /** Calls `visit` with each slot of a range and its fingerprint, in no particular order, until it returns false. */
  visit(prefix: number, depth: number, visit: (slot: number, low: number, high: number) => boolean): void;
}

/** Slots by writer and sequence. */
export interface WriterLogView {
  /** Number of writers known. */
  readonly writers: number;
  /** Sum over hashes of (writer, max, gc): equal for equal versions. */
  readonly sum: RangeSum;
  version(writer: string): WriterVersion | undefined;
  versions(): IterableIterator<WriterVersion>;
  /** How many records of this writer have a sequence above `after`. */
  countAfter(writer: string, after: number): number;
  /** Calls `visit` with the records of this writer above `after` in ascending order until it returns false. */
  visitAfter(writer: string, after: number, visit: (sequence: number, slot: number) => boolean): void;
}

/** Slots by when they were news here. */
export interface RecentView {
  readonly length: number;
  /** Stamp of the newest change; the next one is larger. */
  readonly stamp: number;
  /** Newest first, those with a stamp below `before` only, until `visit` returns false. */
  visitBefore(before: number, visit: (slot: number, stamp: number) => boolean): void;
}

/** Why a message was refused, whole; counted under these names. */
export const REFUSED = {
  malformed: 'malformed',
  truncated: 'truncated',
  oversized: 'oversized',
  /** A version of the format, or a strategy, that this side does not speak. */
  unknown: 'unknown',
  /** The two stores hash with different keys. */
  keyMismatch: 'keyMismatch',
  /** A message that cannot follow the one before it. */
  outOfTurn: 'outOfTurn',
} as const;
export type Refused = (typeof REFUSED)[keyof typeof REFUSED];

/** What comes of receiving a message. */
export interface Turn {
  /** To be sent to the peer; undefined when there is nothing left to say. */
  readonly reply: Uint8Array | undefined;
  /** True when this side has nothing left to do or ask. A conversation that broke off before is simply begun again: what was taken stays taken. */
  readonly isDone: boolean;
  /** The message was not understood; nothing of it was applied, and the conversation is over. */
  readonly refused: Refused | undefined;
}

/** What one conversation did, on this side. */
export interface ConversationStats {
  messagesSent: number;
  messagesReceived: number;
  bytesSent: number;
  bytesReceived: number;
  entriesSent: number;
  entriesApplied: number;
  entriesStale: number;
  entriesObsolete: number;
}

/**
 * One reconciliation with one peer. The sides take turns: begin() on one side, then receive() on the other, its reply and what next() adds, and so on until somebody
 * has no reply to the last message of a turn. Between messages it holds no positions in the store, so the store may change meanwhile.
 */
export interface Conversation {
  readonly stats: ConversationStats;
  /** True when this side knows that the two may still differ in what this strategy does not find; then one that compares everything is due. */
  readonly needsFull: boolean;
  /** The opening message; only on the side that opens. */
  begin(nowMs: number): Uint8Array;
  receive(nowMs: number, message: Uint8Array): Turn;
  /**
   * After a reply: a further message that goes out behind it without waiting for an answer, undefined when there is none. Must be called until then, but
   * at the caller's own pace: between two calls it can let its event loop run and its stream drain. So a large transfer is limited by bandwidth and not by round trips.
   */
  next(nowMs: number): Uint8Array | undefined;
}

/** More messages in a row than this are refused. */
export const WINDOW_MAX = 256;

export interface ConversationOptions {
  /** Bytes of one message, at most. Default 65,536, at least 512. A single record that is larger goes alone, above the budget. */
  readonly budgetBytes?: number;
  /** Messages in a row without waiting for an answer, at most. Default 128, a megabyte or less; 1 where messages travel as datagrams. At most WINDOW_MAX. */
  readonly window?: number;
  /** Scuttlebutt's flow control, the same for all conversations of a store; other strategies do without. */
  readonly flow?: FlowControl;
  /** Different for each conversation, u32: a collision of short fingerprints in one is none in the next. */
  readonly salt: number;
}

/** A way to reconcile. Both sides must use the same one; the first byte of every message says which. */
export interface Strategy {
  readonly name: string;
  /** First byte of its messages. */
  readonly id: number;
  converse(store: ReconcileStore, options: ConversationOptions): Conversation;
}
