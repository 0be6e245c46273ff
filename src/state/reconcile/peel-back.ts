import {
  beginMessage,
  EntryReader,
  EntryWriter,
  entryBytesMax,
  MessageWriter,
  openMessage,
  readSum,
  writeSum,
} from './codec.ts';
import {
  type Conversation,
  type ConversationOptions,
  type ConversationStats,
  type RangeSum,
  REFUSED,
  type ReconcileStore,
  type Refused,
  type StateEntry,
  type Turn,
} from './port.ts';
import { ENTRIES_MAX, isSame, rootOf, Turns } from './turns.ts';

const FLAG = {
  /** All that the sender has was sent. */
  dry: 1,
  /** The sender is done: no answer. */
  last: 2,
} as const;
const FLAGS_ALL = 3;
const HEAD_BYTES = 40;
/** Bytes of records in the first message; each later one may have twice as many as the one before. */
const FIRST_BYTES = 512;

interface Message {
  readonly flags: number;
  readonly step: number;
  readonly keyId: number;
  readonly records: RangeSum;
  readonly entries: readonly StateEntry[];
}

export interface PeelBackOptions extends ConversationOptions {
  readonly id: number;
  /** Records that one side sends before it gives up, at most. Default: all. */
  readonly entriesMax?: number;
}

/**
 * Peel back and rumor (Demers et al. 1987, §1.5): checksums, and records in the order in which they were news, the newest first, until the checksums agree.
 * Cheap when all that differs is young, and it needs neither versions nor trees; when something old differs it sends everything before it.
 * Records that are news to somebody move to the front there, those that are not sink.
 */
export class PeelBackConversation implements Conversation {
  needsFull = false;
  readonly #store: ReconcileStore;
  readonly #id: number;
  readonly #turns: Turns;
  readonly #entriesMax: number;
  #batchBytes = FIRST_BYTES;
  /** Everything with this stamp or a later one was sent, or came in meanwhile. */
  #before: number;
  #isDry = false;

  constructor(store: ReconcileStore, options: PeelBackOptions) {
    this.#store = store;
    this.#id = options.id;
    this.#turns = new Turns(options);
    this.#entriesMax = options.entriesMax ?? Number.POSITIVE_INFINITY;
    this.#before = (store.recent?.stamp ?? 0) + 1;
  }

  get stats(): ConversationStats {
    return this.#turns.stats;
  }

  begin(_nowMs: number): Uint8Array {
    return this.#encode(0, 0);
  }

  receive(nowMs: number, bytes: Uint8Array): Turn {
    const message = decode(this.#id, bytes);
    if (typeof message === 'string') return this.#turns.refuse(message);
    const isForeign = message.keyId !== this.#store.index.keyId;
    const refused = isForeign ? REFUSED.keyMismatch : this.#turns.problemOf(message.step);
    if (refused !== undefined) return this.#turns.refuse(refused);
    this.#turns.heard(bytes, false);
    const { obsolete } = this.#turns.apply(this.#store, nowMs, message.entries, []);
    if (obsolete.length > 0) this.needsFull = true;
    return this.#answer(message);
  }

  /** Never: each batch is as large as it is because the last one did not suffice. */
  next(_nowMs: number): undefined {
    return undefined;
  }

  #answer({ flags, records }: Message): Turn {
    const isEqual = isSame(rootOf(this.#store), records);
    const isHopeless = this.#isDry && (flags & FLAG.dry) !== 0;
    const isTold = (flags & FLAG.last) !== 0;
    if (!isEqual && (isTold || isHopeless)) this.needsFull = true;
    if (isTold) return this.#turns.end();
    const isOver = isEqual || isHopeless;
    this.#turns.isOver = isOver;
    const room = Math.min(this.#batchBytes, this.#turns.budgetBytes - HEAD_BYTES);
    this.#batchBytes *= 2;
    return { reply: isOver ? this.#encode(FLAG.last, 0) : this.#encode(0, room), isDone: isOver, refused: undefined };
  }

  /** A message with the next records that were news, as many as fit into `room` bytes. */
  #encode(flags: number, room: number): Uint8Array {
    const { recent } = this.#store;
    const body = new MessageWriter();
    const writer = new EntryWriter(body);
    let entries = 0;
    let isCut = false;
    if (room > 0) {
      recent?.visitBefore(this.#before, (slot, stamp) => {
        const entry = this.#store.read(slot);
        const isRoom = entries === 0 || (entries < ENTRIES_MAX && body.length + entryBytesMax(entry) <= room);
        isCut = !isRoom && this.stats.entriesSent + entries < this.#entriesMax;
        if (!isRoom || this.stats.entriesSent + entries >= this.#entriesMax) return false;
        writer.entry(entry);
        entries++;
        this.#before = stamp;
        return true;
      });
      this.#isDry = !isCut;
    }
    this.stats.entriesSent += entries;
    const out = beginMessage(this.#id, flags | (this.#isDry ? FLAG.dry : 0), body.length + HEAD_BYTES);
    out.varint(this.#turns.step);
    out.word(this.#store.index.keyId);
    writeSum(out, rootOf(this.#store));
    out.varint(entries);
    out.bytes(body.take());
    return this.#turns.sent(out.take());
  }
}

function decode(id: number, bytes: Uint8Array): Message | Refused {
  const { input, flags } = openMessage(id, bytes, FLAGS_ALL);
  const step = input.varint();
  const keyId = input.word();
  const records = readSum(input);
  const entries = new EntryReader(input).entries();
  return input.isWhole() ? { flags, step, keyId, records, entries } : (input.refused as Refused);
}
