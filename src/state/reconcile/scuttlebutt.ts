import { EntryReader, EntryWriter, entryBytesMax, FORMAT_VERSION, MessageReader, MessageWriter } from './codec.ts';
import { type Spans, uncovered } from './coverage.ts';
import type { FlowControl } from './flow-control.ts';
import {
  type Conversation,
  type ConversationOptions,
  type ConversationStats,
  type Cover,
  REFUSED,
  type ReconcileStore,
  type Refused,
  type StateEntry,
  type Turn,
  WINDOW_MAX,
  type WriterVersion,
} from './port.ts';
import { BUDGET_BYTES_DEFAULT, BUDGET_BYTES_MIN, ENTRIES_MAX, newStats, WINDOW_DEFAULT } from './range-conversation.ts';

const FLAG = {
  /** The sender has more to say: answer, with nothing if need be. */
  more: 1,
  /** The sender is done: no answer. */
  last: 2,
  /** The digest names all writers of the sender. */
  whole: 4,
  /** Another message follows at once: no answer yet. */
  stream: 8,
} as const;
const FLAGS_ALL = 15;
const HEAD_BYTES = 32;
/** What a version takes besides the writer's name, and a run, at most. */
const VERSION_BYTES = 20;
const RUN_BYTES = 8;
const COVER_BYTES = 20;
/** Runs of a writer in a digest, at most. What is beyond the last one is sent again. */
const RUNS_MAX = 256;
/** Rates travel in thousandths. */
const RATE_SCALE = 1000;
const RATE_MAX = 2 ** 40;

interface Message {
  readonly flags: number;
  readonly step: number;
  readonly desired: number;
  readonly allowed: number;
  readonly entries: readonly StateEntry[];
  readonly covers: readonly Cover[];
  readonly digest: readonly WriterVersion[];
}

export interface ScuttlebuttOptions extends ConversationOptions {
  readonly id: number;
  readonly flow?: FlowControl;
}

/**
 * Scuttlebutt reconciliation (van Renesse et al., LADIS 2008; Cassandra and chitchat use it): who covers what of which writer, then
 * what the other lacks, in the order of its writers.
 *
 *   opener: digest          acceptor: delta and its own digest of what it lacks          opener: delta
 *
 * What does not fit into a message follows in the next, and if the conversation ends there, a prefix of each writer's writes has arrived, so the
 * next digest asks for the rest: it is resumed for nothing. Writers with most to tell go first (scuttle-depth, the order that kept staleness
 * lowest in the paper's figures). Two things differ from the paper: budgets are bytes, and digests name the runs that rumors brought out of order, so that a single
 * lost rumor does not bring back everything after it.
 *
 * It finds what differs in coverage, not what differs in records: a tombstone that one side has collected may have an old victim on the other (`needsFull`).
 */
export class ScuttlebuttConversation implements Conversation {
  readonly stats: ConversationStats = newStats();
  needsFull = false;
  readonly #store: ReconcileStore;
  readonly #id: number;
  readonly #salt: number;
  readonly #budgetBytes: number;
  readonly #flow: FlowControl | undefined;
  /** What they lack, as far as we know and did not tell yet. */
  readonly #pending = new Map<string, Spans>();
  /** Writers of whom they cover more. */
  readonly #wanted = new Set<string>();
  readonly #window: number;
  /** Number of the next message, whoever sends it. */
  #step = 0;
  /** Messages in a row, theirs or ours. */
  #row = 0;
  #isStreaming = false;
  #isOver = false;

  constructor(store: ReconcileStore, { id, salt, budgetBytes, window, flow }: ScuttlebuttOptions) {
    this.#store = store;
    this.#id = id;
    this.#salt = salt;
    this.#budgetBytes = Math.max(BUDGET_BYTES_MIN, budgetBytes ?? BUDGET_BYTES_DEFAULT);
    this.#window = Math.min(WINDOW_MAX, window ?? WINDOW_DEFAULT);
    this.#flow = flow;
  }

  begin(_nowMs: number): Uint8Array {
    const digest: WriterVersion[] = [];
    const all = [...this.#store.log.versions()];
    let room = this.#budgetBytes - HEAD_BYTES;
    // Not all fit: begin at another place each time.
    const start = all.length > 0 && bytesOfAll(all) > room ? this.#salt % all.length : 0;
    for (let i = 0; i < all.length; i++) {
      const version = all[(start + i) % all.length] as WriterVersion;
      room -= versionBytes(version);
      if (room < 0) break;
      digest.push(version);
    }
    return this.#encode(digest.length === all.length ? FLAG.whole : 0, digest);
  }

  receive(nowMs: number, bytes: Uint8Array): Turn {
    const message = this.#isOver ? REFUSED.outOfTurn : decode(this.#id, bytes);
    const isString = typeof message === 'string';
    if (isString || message.step !== this.#step || this.#isStreaming || this.#row >= WINDOW_MAX) {
      this.#isOver = true;
      return { reply: undefined, isDone: false, refused: isString ? message : REFUSED.outOfTurn };
    }
    const { stats } = this;
    stats.messagesReceived++;
    stats.bytesReceived += bytes.length;
    this.#step++;
    const { applied, stale, obsolete } = this.#store.apply(nowMs, message.entries, message.covers);
    stats.entriesApplied += applied;
    stats.entriesStale += stale;
    stats.entriesObsolete += obsolete.length;
    if (obsolete.length > 0) this.needsFull = true;
    this.#read(message);
    this.#row++;
    if ((message.flags & FLAG.stream) !== 0) return { reply: undefined, isDone: false, refused: undefined };
    this.#row = 0;
    return this.#answer(message);
  }

  next(_nowMs: number): Uint8Array | undefined {
    return this.#isStreaming ? this.#encode(0, []) : undefined;
  }

  /** Finds out who lacks what. */
  #read({ digest, flags, step }: Message): void {
    const { log } = this.#store;
    const named = new Set<string>();
    for (const theirs of digest) {
      named.add(theirs.writer);
      const mine = log.version(theirs.writer);
      const missing = uncovered(mine, theirs);
      if (missing.length > 0) this.#pending.set(theirs.writer, missing);
      // Only an opening is answered with a digest.
      if (step === 0 && uncovered(theirs, mine).length > 0) this.#wanted.add(theirs.writer);
      // We let go of tombstones that they have not seen: their victims, if they have some, are found by comparing everything.
      if ((mine?.gc ?? 0) > theirs.max || theirs.gc > (mine?.max ?? 0)) this.needsFull = true;
    }
    if ((flags & FLAG.whole) === 0) return;
    for (const mine of log.versions()) {
      const missing = named.has(mine.writer) ? [] : uncovered(mine, undefined);
      if (missing.length > 0) this.#pending.set(mine.writer, missing);
      if (missing.length > 0 && mine.gc > 0) this.needsFull = true;
    }
  }

  #answer(theirs: Message): Turn {
    const isTold = theirs.flags & FLAG.last;
    const isNothing = this.#pending.size === 0 && this.#wanted.size === 0 && (theirs.flags & FLAG.more) === 0;
    if (this.#flow && theirs.step < 2) this.#flow.exchange(theirs);
    // The opener of a conversation in which there is nothing to tell hears so; otherwise whoever has nothing left is silent.
    if (isTold || (isNothing && theirs.step > 0)) {
      this.#isOver = true;
      return { reply: undefined, isDone: true, refused: undefined };
    }
    const digest: WriterVersion[] = [];
    let room = (this.#budgetBytes >> 1) - HEAD_BYTES;
    for (const writer of this.#wanted) {
      const version = this.#store.log.version(writer) ?? { writer, max: 0, gc: 0, ahead: [] };
      room -= versionBytes(version);
      if (room < 0 && digest.length > 0) break;
      digest.push(version);
      this.#wanted.delete(writer);
    }
    const reply = this.#encode(0, digest);
    this.#isOver = isNothing;
    return { reply, isDone: isNothing, refused: undefined };
  }

  /** A message with what fits of what they lack. */
  #encode(flags: number, digest: readonly WriterVersion[]): Uint8Array {
    const step = this.#step++;
    this.#row++;
    const body = new MessageWriter();
    const writer = new EntryWriter(body);
    const covers: Cover[] = [];
    const used = digest.reduce((sum, version) => sum + versionBytes(version), HEAD_BYTES);
    const entries = this.#fill(writer, body, covers, this.#budgetBytes - used);
    const isMore = this.#pending.size > 0 || this.#wanted.size > 0;
    if (this.#flow && step > 0) this.#flow.note(!isMore);
    body.varint(covers.length);
    for (const cover of covers) writer.cover(cover);
    body.varint(digest.length);
    for (const version of digest) writer.version(version, RUNS_MAX);
    const isLast = step === 1 && entries === 0 && covers.length === 0 && digest.length === 0 && !isMore;
    // A digest is answered first.
    this.#isStreaming = isMore && digest.length === 0 && step > 0 && this.#row < this.#window;
    if (!this.#isStreaming) this.#row = 0;
    const out = new MessageWriter(body.length + HEAD_BYTES);
    out.byte(this.#id);
    out.byte(FORMAT_VERSION);
    out.byte(flags | (this.#isStreaming ? FLAG.stream : isMore ? FLAG.more : 0) | (isLast ? FLAG.last : 0));
    out.varint(step);
    out.varint(Math.min(RATE_MAX, Math.round((this.#flow?.desired ?? 0) * RATE_SCALE)));
    out.varint(Math.min(RATE_MAX, Math.round((this.#flow?.allowed ?? 0) * RATE_SCALE)));
    out.varint(entries);
    out.bytes(body.take());
    this.stats.messagesSent++;
    this.stats.bytesSent += out.length;
    return out.take();
  }

  /** Scuttle-depth: the writer with most to tell first, its writes in their order. Returns how many entries were written. */
  #fill(writer: EntryWriter, body: MessageWriter, covers: Cover[], budgetBytes: number): number {
    const { log } = this.#store;
    let entries = 0;
    let isFull = false;
    const order = [...this.#pending].map(([name, spans]) => {
      let count = 0;
      for (let i = 0; i < spans.length; i += 2)
        count += log.countAfter(name, spans[i] as number) - log.countAfter(name, spans[i + 1] as number);
      return { name, spans, count };
    });
    order.sort((a, b) => b.count - a.count);
    for (const { name, spans } of order) {
      const gc = log.version(name)?.gc ?? 0;
      let at = 0;
      for (; at < spans.length && !isFull; at += 2) {
        const from = spans[at] as number;
        const to = spans[at + 1] as number;
        let told = from;
        isFull = body.length + COVER_BYTES * (covers.length + 1) > budgetBytes && entries + covers.length > 0;
        if (isFull) break;
        log.visitAfter(name, from, (sequence, slot) => {
          if (sequence > to) return false;
          const entry = this.#store.read(slot);
          const bytes = body.length + COVER_BYTES * (covers.length + 1) + entryBytesMax(entry);
          isFull = entries > 0 && (entries >= ENTRIES_MAX || bytes > budgetBytes);
          if (isFull) return false;
          writer.entry(entry);
          entries++;
          told = sequence;
          return true;
        });
        if (!isFull) told = to;
        // Tombstones up to gc are gone here: saying that everything was told would hide that from them.
        if (told > from && from >= gc) covers.push({ writer: name, from, to: told });
        if (isFull) {
          spans[at] = told;
          break;
        }
      }
      spans.splice(0, at);
      if (spans.length === 0) this.#pending.delete(name);
      if (isFull) break;
    }
    this.stats.entriesSent += entries;
    return entries;
  }
}

function versionBytes({ writer, ahead }: WriterVersion): number {
  return VERSION_BYTES + writer.length + RUN_BYTES * Math.min(RUNS_MAX, ahead.length >>> 1);
}

function bytesOfAll(versions: readonly WriterVersion[]): number {
  return versions.reduce((sum, version) => sum + versionBytes(version), 0);
}

function decode(id: number, bytes: Uint8Array): Message | Refused {
  const input = new MessageReader(bytes);
  if (input.byte() !== id) input.fail(REFUSED.unknown);
  if (input.byte() !== FORMAT_VERSION) input.fail(REFUSED.unknown);
  const flags = input.byte();
  if ((flags & ~FLAGS_ALL) !== 0) input.fail(REFUSED.malformed);
  const step = input.varint();
  const desired = input.varint(RATE_MAX) / RATE_SCALE;
  const allowed = input.varint(RATE_MAX) / RATE_SCALE;
  const reader = new EntryReader(input);
  const entries = reader.entries();
  const covers = reader.covers();
  const digest = reader.versions();
  return input.isWhole() ? { flags, step, desired, allowed, entries, covers, digest } : (input.refused as Refused);
}
