import {
  type ApplyResult,
  type ConversationOptions,
  type ConversationStats,
  type Cover,
  type RangeSum,
  REFUSED,
  type ReconcileStore,
  type Refused,
  type StateEntry,
  type Turn,
  WINDOW_MAX,
} from './port.ts';

const BUDGET_BYTES_DEFAULT = 65_536;
const BUDGET_BYTES_MIN = 512;
const WINDOW_DEFAULT = 128;
/** Records in one message, at most: what a receiver takes in about a millisecond, so that no message keeps its event loop long. */
export const ENTRIES_MAX = 128;

/** They have more to say first. */
export const LISTEN: Turn = { reply: undefined, isDone: false, refused: undefined };
/** Nothing left on this side. */
export const SILENT: Turn = { reply: undefined, isDone: true, refused: undefined };

/** What all conversations share: whose turn it is, how much fits, and what was counted. */
export class Turns {
  readonly stats: ConversationStats = newStats();
  readonly budgetBytes: number;
  readonly #window: number;
  /** Number of the next message, whoever sends it. */
  #step = 0;
  /** Messages in a row, theirs or ours. */
  #row = 0;
  #isStreaming = false;
  isOver = false;

  constructor({ budgetBytes, window }: ConversationOptions) {
    this.budgetBytes = Math.max(BUDGET_BYTES_MIN, budgetBytes ?? BUDGET_BYTES_DEFAULT);
    this.#window = Math.min(WINDOW_MAX, window ?? WINDOW_DEFAULT);
  }

  /** True when our last message said that another one follows. */
  get isStreaming(): boolean {
    return this.#isStreaming;
  }

  /** Whether a message with this number may come now. */
  problemOf(step: number): Refused | undefined {
    const isInTurn = !this.isOver && !this.#isStreaming && step === this.#step && this.#row < WINDOW_MAX;
    return isInTurn ? undefined : REFUSED.outOfTurn;
  }

  refuse(refused: Refused): Turn {
    this.isOver = true;
    return { reply: undefined, isDone: false, refused };
  }

  end(): Turn {
    this.isOver = true;
    return SILENT;
  }

  /** A message of theirs was understood. */
  heard(bytes: Uint8Array, isStream: boolean): void {
    this.stats.messagesReceived++;
    this.stats.bytesReceived += bytes.length;
    this.#step++;
    this.#row = isStream ? this.#row + 1 : 0;
  }

  /** Number of the message that is about to be sent. */
  get step(): number {
    return this.#step;
  }

  /** Whether the message that is about to be sent may be followed by another one. */
  stream(isWanted: boolean): boolean {
    this.#isStreaming = isWanted && this.#row + 1 < this.#window;
    this.#row = this.#isStreaming ? this.#row + 1 : 0;
    return this.#isStreaming;
  }

  sent(message: Uint8Array): Uint8Array {
    this.#step++;
    this.stats.messagesSent++;
    this.stats.bytesSent += message.length;
    return message;
  }

  apply(store: ReconcileStore, nowMs: number, entries: readonly StateEntry[], covers: readonly Cover[]): ApplyResult {
    const result = store.apply(nowMs, entries, covers);
    this.stats.entriesApplied += result.applied;
    this.stats.entriesStale += result.stale;
    this.stats.entriesObsolete += result.obsolete.length;
    return result;
  }
}

export function newStats(): ConversationStats {
  return {
    messagesSent: 0,
    messagesReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    entriesSent: 0,
    entriesApplied: 0,
    entriesStale: 0,
    entriesObsolete: 0,
  };
}

export function isSame(a: RangeSum, b: RangeSum): boolean {
  return a.count === b.count && a.low === b.low && a.high === b.high;
}

/** Sum over all records of a store. */
export function rootOf(store: ReconcileStore): RangeSum {
  const root = { count: 0, low: 0, high: 0 };
  store.index.sum(0, 0, root);
  return root;
}
