import { EntryReader, EntryWriter, entryBytesMax, FORMAT_VERSION, MessageReader, MessageWriter } from './codec.ts';
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
import { BUDGET_BYTES_DEFAULT, BUDGET_BYTES_MIN, ENTRIES_MAX, isSame, newStats } from './range-conversation.ts';
import { readSum, writeSum } from './range-message.ts';

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
  readonly stats: ConversationStats = newStats();
  needsFull = false;
  readonly #store: ReconcileStore;
  readonly #id: number;
  readonly #budgetBytes: number;
  readonly #entriesMax: number;
  #batchBytes = FIRST_BYTES;
  /** Everything with this stamp or a later one was sent, or came in meanwhile. */
  #before: number;
  #isDry = false;
  #step = 0;
  #isOver = false;

  constructor(store: ReconcileStore, { id, budgetBytes, entriesMax }: PeelBackOptions) {
    this.#store = store;
    this.#id = id;
    this.#budgetBytes = Math.max(BUDGET_BYTES_MIN, budgetBytes ?? BUDGET_BYTES_DEFAULT);
    this.#entriesMax = entriesMax ?? Number.POSITIVE_INFINITY;
    this.#before = (store.recent?.stamp ?? 0) + 1;
  }

  begin(_nowMs: number): Uint8Array {
    this.#step = 1;
    return this.#encode(0, 0, 0);
  }

  receive(nowMs: number, bytes: Uint8Array): Turn {
    const message = this.#isOver ? REFUSED.outOfTurn : decode(this.#id, bytes);
    const refused = typeof message === 'string' ? message : this.#problemOf(message);
    if (refused !== undefined || typeof message === 'string') {
      this.#isOver = true;
      return { reply: undefined, isDone: false, refused };
    }
    const { stats } = this;
    stats.messagesReceived++;
    stats.bytesReceived += bytes.length;
    this.#step = message.step + 2;
    const { applied, stale, obsolete } = this.#store.apply(nowMs, message.entries, []);
    stats.entriesApplied += applied;
    stats.entriesStale += stale;
    stats.entriesObsolete += obsolete.length;
    if (obsolete.length > 0) this.needsFull = true;
    return this.#answer(message);
  }

  /** Never: each batch is as large as it is because the last one did not suffice. */
  next(_nowMs: number): undefined {
    return undefined;
  }

  #problemOf({ step, keyId }: Message): Refused | undefined {
    if (keyId !== this.#store.index.keyId) return REFUSED.keyMismatch;
    return step === this.#step ? undefined : REFUSED.outOfTurn;
  }

  #answer({ flags, step, records }: Message): Turn {
    const isEqual = isSame(this.#root(), records);
    const isHopeless = this.#isDry && (flags & FLAG.dry) !== 0;
    const isTold = (flags & FLAG.last) !== 0;
    if (!isEqual && (isTold || isHopeless)) this.needsFull = true;
    this.#isOver = isEqual || isTold || isHopeless;
    if (isTold) return { reply: undefined, isDone: true, refused: undefined };
    const reply = this.#isOver
      ? this.#encode(FLAG.last, step + 1, 0)
      : this.#encode(0, step + 1, Math.min(this.#batchBytes, this.#budgetBytes - HEAD_BYTES));
    this.#batchBytes *= 2;
    return { reply, isDone: this.#isOver, refused: undefined };
  }

  /** A message with the next records that were news, as many as fit into `room` bytes. */
  #encode(flags: number, step: number, room: number): Uint8Array {
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
    const out = new MessageWriter(body.length + HEAD_BYTES);
    out.byte(this.#id);
    out.byte(FORMAT_VERSION);
    out.byte(flags | (this.#isDry ? FLAG.dry : 0));
    out.varint(step);
    out.word(this.#store.index.keyId);
    writeSum(out, this.#root());
    out.varint(entries);
    out.bytes(body.take());
    this.stats.messagesSent++;
    this.stats.bytesSent += out.length;
    return out.take();
  }

  #root(): RangeSum {
    const records = { count: 0, low: 0, high: 0 };
    this.#store.index.sum(0, 0, records);
    return records;
  }
}

function decode(id: number, bytes: Uint8Array): Message | Refused {
  const input = new MessageReader(bytes);
  if (input.byte() !== id) input.fail(REFUSED.unknown);
  if (input.byte() !== FORMAT_VERSION) input.fail(REFUSED.unknown);
  const flags = input.byte();
  if ((flags & ~FLAGS_ALL) !== 0) input.fail(REFUSED.malformed);
  const step = input.varint();
  const keyId = input.word();
  const records = readSum(input);
  const entries = new EntryReader(input).entries();
  return input.isWhole() ? { flags, step, keyId, records, entries } : (input.refused as Refused);
}
