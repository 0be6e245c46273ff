import { beginMessage, EntryReader, EntryWriter, entryBytesMax, MessageWriter, openMessage } from './codec.ts';
import { type Spans, uncovered, versionBytes } from './coverage.ts';
import type { FlowControl } from './flow-control.ts';
import type {
  Conversation,
  ConversationOptions,
  ConversationStats,
  Cover,
  ReconcileStore,
  Refused,
  StateEntry,
  Turn,
  WriterVersion,
} from './port.ts';
import { ENTRIES_MAX, LISTEN, Turns } from './turns.ts';

const FLAG = {
  /** The sender has more to say: answer, with nothing if need be. */
  more: 1,
  /** The sender is done: no answer. */
  last: 2,
  /** The digest names all writers of the sender. */
  whole: 4,
  /** Another message follows at once: no answer yet. */
  stream: 8,
  /** More of the sender's digest is still to come. */
  digest: 16,
} as const;
const FLAGS_ALL = 31;
const HEAD_BYTES = 32;
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

/** What is to be told of one writer, and about how many records that is. */
interface Pending {
  readonly spans: Spans;
  count: number;
}

export interface ScuttlebuttOptions extends ConversationOptions {
  readonly id: number;
}

/**
 * Scuttlebutt reconciliation (van Renesse et al., LADIS 2008; Cassandra and chitchat use it): who covers what of which writer, then
 * what the other lacks, in the order of its writers.
 *
 *   opener: digest          acceptor: delta and its own digest of what it lacks          opener: delta
 *
 * What does not fit into a message follows in the next, and if the conversation ends there, the next digest names what arrived and asks for the rest. What
 * is covered without having been sent, because it was superseded, is told at the end, when everything that could have superseded it has been told as well: otherwise the
 * receiver could take an old record elsewhere for one whose end it saw. Writers with most to tell go first (scuttle-depth, the order that kept staleness
 * lowest in the paper's figures). Two things differ from the paper: budgets are bytes, and digests name the runs that rumors brought out of order, so that a single
 * lost rumor does not bring back everything after it.
 *
 * It finds what differs in coverage, not what differs in records: a tombstone that one side has collected may have an old victim on the other. And a digest that does not
 * fit into one message leaves coverage as it was. Both set `needsFull`.
 */
export class ScuttlebuttConversation implements Conversation {
  needsFull = false;
  readonly #store: ReconcileStore;
  readonly #id: number;
  readonly #salt: number;
  readonly #turns: Turns;
  readonly #flow: FlowControl | undefined;
  /** What they lack, as far as we know and did not tell yet. */
  readonly #pending = new Map<string, Pending>();
  /** What they cover once all that is pending has been told. */
  #covers: Cover[] = [];
  /** Stamp of the newest change when it was found out what they lack. */
  #since: number | undefined;
  /** Changes that came from them, as pairs of stamps (after, up to]. */
  readonly #theirs: number[] = [];
  /** They have not said yet all that they lack. */
  #isAsking = false;
  /** Writers of whom they cover more. */
  readonly #wanted = new Set<string>();

  constructor(store: ReconcileStore, options: ScuttlebuttOptions) {
    this.#store = store;
    this.#id = options.id;
    this.#salt = options.salt;
    this.#turns = new Turns(options);
    this.#flow = options.flow;
  }

  get stats(): ConversationStats {
    return this.#turns.stats;
  }

  begin(_nowMs: number): Uint8Array {
    const digest: WriterVersion[] = [];
    const all = [...this.#store.log.versions()];
    let room = this.#turns.budgetBytes - HEAD_BYTES;
    // Not all fit: begin at another place each time.
    const start = all.length > 0 && bytesOfAll(all) > room ? this.#salt % all.length : 0;
    for (let i = 0; i < all.length; i++) {
      const version = all[(start + i) % all.length] as WriterVersion;
      room -= versionBytes(version, RUNS_MAX);
      if (room < 0) break;
      digest.push(version);
    }
    const isWhole = digest.length === all.length;
    // The acceptor will say nothing about coverage then, however often this is repeated.
    if (!isWhole) this.needsFull = true;
    return this.#encode(isWhole ? FLAG.whole : 0, digest);
  }

  receive(nowMs: number, bytes: Uint8Array): Turn {
    const message = decode(this.#id, bytes);
    if (typeof message === 'string') return this.#turns.refuse(message);
    const refused = this.#turns.problemOf(message.step);
    if (refused !== undefined) return this.#turns.refuse(refused);
    const isStream = (message.flags & FLAG.stream) !== 0;
    this.#turns.heard(bytes, isStream);
    const { recent } = this.#store;
    const before = recent?.stamp ?? 0;
    const { obsolete } = this.#turns.apply(this.#store, nowMs, message.entries, message.covers);
    if (recent && recent.stamp > before) {
      // One pair for all as long as nothing else changes.
      if (this.#theirs.at(-1) === before) this.#theirs.pop();
      else this.#theirs.push(before);
      this.#theirs.push(recent.stamp);
    }
    if (obsolete.length > 0) this.needsFull = true;
    this.#isAsking = (message.flags & FLAG.digest) !== 0;
    this.#read(message);
    return isStream ? LISTEN : this.#answer(message);
  }

  next(_nowMs: number): Uint8Array | undefined {
    return this.#turns.isStreaming ? this.#encode(0, []) : undefined;
  }

  /** Finds out who lacks what. */
  #read({ digest, flags, step }: Message): void {
    const { log } = this.#store;
    const named = new Set<string>();
    for (const theirs of digest) {
      if (named.has(theirs.writer)) continue;
      named.add(theirs.writer);
      const mine = log.version(theirs.writer);
      const missing = uncovered(mine, theirs);
      this.#owe(theirs.writer, missing, mine?.gc ?? 0);
      // Only an opening is answered with a digest.
      if (step === 0 && uncovered(theirs, mine).length > 0) this.#wanted.add(theirs.writer);
      // We let go of tombstones that they have not seen: their victims, if they have some, are found by comparing everything.
      if ((mine?.gc ?? 0) > theirs.max || theirs.gc > (mine?.max ?? 0)) this.needsFull = true;
    }
    if ((flags & FLAG.whole) === 0) {
      // Of the writers that an opening leaves out they may lack what supersedes the writes of others.
      if (step === 0) {
        this.#covers = [];
        this.needsFull = true;
      }
      return;
    }
    for (const mine of log.versions()) {
      const missing = named.has(mine.writer) ? [] : uncovered(mine, undefined);
      this.#owe(mine.writer, missing, mine.gc);
      if (missing.length > 0 && mine.gc > 0) this.needsFull = true;
    }
  }

  #owe(writer: string, spans: Spans, gc: number): void {
    if (spans.length === 0) return;
    const { log, recent } = this.#store;
    this.#since ??= recent?.stamp;
    // About how many: what was superseded counts too, as far as there are records.
    let width = 0;
    for (let i = 0; i < spans.length; i += 2) {
      const from = spans[i] as number;
      const to = spans[i + 1] as number;
      width += to - from;
      // Tombstones up to gc are gone here: saying that everything was told would hide that from them.
      if (from >= gc) this.#covers.push({ writer, from, to });
    }
    const count = Math.min(width, log.countAfter(writer, spans[0] as number));
    this.#pending.set(writer, { spans, count });
  }

  #answer(theirs: Message): Turn {
    const isTold = (theirs.flags & FLAG.last) !== 0;
    const isNothing = !this.#hasMore && (theirs.flags & FLAG.more) === 0;
    if (this.#flow && theirs.step < 2) this.#flow.exchange(theirs);
    // The opener of a conversation in which there is nothing to tell hears so; otherwise whoever has nothing left is silent.
    if (isTold || (isNothing && theirs.step > 0)) return this.#turns.end();
    const digest: WriterVersion[] = [];
    let room = (this.#turns.budgetBytes >> 1) - HEAD_BYTES;
    for (const writer of this.#wanted) {
      const version = this.#store.log.version(writer) ?? { writer, max: 0, gc: 0, ahead: [] };
      room -= versionBytes(version, RUNS_MAX);
      if (room < 0 && digest.length > 0) break;
      digest.push(version);
      this.#wanted.delete(writer);
    }
    const reply = this.#encode(0, digest);
    this.#turns.isOver = isNothing;
    return { reply, isDone: isNothing, refused: undefined };
  }

  get #hasMore(): boolean {
    return this.#pending.size + this.#wanted.size + this.#covers.length > 0;
  }

  /** A message with what fits of what they lack. */
  #encode(flags: number, digest: readonly WriterVersion[]): Uint8Array {
    const { step } = this.#turns;
    const body = new MessageWriter();
    const writer = new EntryWriter(body);
    const used = digest.reduce((sum, version) => sum + versionBytes(version, RUNS_MAX), HEAD_BYTES);
    const room = this.#turns.budgetBytes - used;
    let entries = this.#fill(writer, body, room);
    let covers: Cover[] = [];
    if (this.#pending.size === 0 && this.#covers.length > 0 && !this.#isAsking) {
      entries += this.#fillRecent(writer, body, room, entries);
      covers = this.#covers.splice(0, Math.max(1, Math.floor((room - body.length) / COVER_BYTES)));
    }
    const isMore = this.#hasMore;
    this.stats.entriesSent += entries;
    if (this.#flow && step > 0) this.#flow.note(!isMore);
    body.varint(covers.length);
    for (const cover of covers) writer.cover(cover);
    body.varint(digest.length);
    for (const version of digest) writer.version(version, RUNS_MAX);
    const isLast = step === 1 && entries === 0 && covers.length === 0 && digest.length === 0 && !isMore;
    // A digest is answered first.
    const isStream = this.#turns.stream(isMore && digest.length === 0 && entries > 0);
    const going = (isStream ? FLAG.stream : isMore ? FLAG.more : 0) | (this.#wanted.size > 0 ? FLAG.digest : 0);
    const out = beginMessage(this.#id, flags | going | (isLast ? FLAG.last : 0), body.length + HEAD_BYTES);
    out.varint(step);
    out.varint(Math.min(RATE_MAX, Math.round((this.#flow?.desired ?? 0) * RATE_SCALE)));
    out.varint(Math.min(RATE_MAX, Math.round((this.#flow?.allowed ?? 0) * RATE_SCALE)));
    out.varint(entries);
    out.bytes(body.take());
    return this.#turns.sent(out.take());
  }

  /** Scuttle-depth: the writer with most to tell first, its writes in their order. Returns how many entries were written. */
  #fill(writer: EntryWriter, body: MessageWriter, room: number): number {
    const { log } = this.#store;
    let entries = 0;
    const order = [...this.#pending].sort(([, a], [, b]) => b.count - a.count);
    for (const [name, pending] of order) {
      const { spans } = pending;
      let isFull = false;
      while (spans.length > 0 && !isFull) {
        const [from, to] = spans as [number, number];
        log.visitAfter(name, from, (sequence, slot) => {
          if (sequence > to) return false;
          const entry = this.#store.read(slot);
          isFull = !isRoom(entry, body, room, entries);
          if (isFull) return false;
          writer.entry(entry);
          entries++;
          pending.count--;
          spans[0] = sequence;
          return true;
        });
        if (!isFull) spans.splice(0, 2);
      }
      if (isFull) break;
      this.#pending.delete(name);
    }
    return entries;
  }

  /**
   * What changed here since it was found out what they lack, and not by them: it may have superseded something that was to be told, and whoever is said to cover a write must
   * have either. When that is too much for this message nothing is said about coverage, and a later conversation does.
   */
  #fillRecent(writer: EntryWriter, body: MessageWriter, room: number, sent: number): number {
    const since = this.#since ?? Number.POSITIVE_INFINITY;
    let entries = 0;
    this.#store.recent?.visitBefore(Number.POSITIVE_INFINITY, (slot, stamp) => {
      if (stamp <= since) return false;
      if (isWithin(this.#theirs, stamp)) return true;
      const entry = this.#store.read(slot);
      if (!isRoom(entry, body, room, sent + entries)) {
        this.#covers = [];
        return false;
      }
      writer.entry(entry);
      entries++;
      return true;
    });
    this.#since = this.#store.recent?.stamp;
    return entries;
  }
}

function isRoom(entry: StateEntry, body: MessageWriter, room: number, entries: number): boolean {
  return entries === 0 || (entries < ENTRIES_MAX && body.length + entryBytesMax(entry) <= room);
}

/** Whether a number lies in one of the pairs (after, up to]. */
function isWithin(pairs: readonly number[], value: number): boolean {
  for (let i = 0; i < pairs.length; i += 2) {
    if (value > (pairs[i] as number) && value <= (pairs[i + 1] as number)) return true;
  }
  return false;
}

function bytesOfAll(versions: readonly WriterVersion[]): number {
  return versions.reduce((sum, version) => sum + versionBytes(version, RUNS_MAX), 0);
}

function decode(id: number, bytes: Uint8Array): Message | Refused {
  const { input, flags } = openMessage(id, bytes, FLAGS_ALL);
  const step = input.varint();
  const desired = input.varint(RATE_MAX) / RATE_SCALE;
  const allowed = input.varint(RATE_MAX) / RATE_SCALE;
  const reader = new EntryReader(input);
  const entries = reader.entries();
  const covers = reader.covers();
  const digest = reader.versions();
  return input.isWhole() ? { flags, step, desired, allowed, entries, covers, digest } : (input.refused as Refused);
}
