import { MessageReader, MessageWriter } from './reconcile/codec.ts';
import type { FlowControl } from './reconcile/flow-control.ts';
import {
  type Conversation,
  type ConversationStats,
  type ReconcileStore,
  type Strategy,
  WINDOW_MAX,
} from './reconcile/port.ts';
import { STRATEGIES } from './reconcile/strategies.ts';

/** Conversations that others opened with one map at a time; more are told to come again. */
const ACCEPTED_MAX = 8;
/** Bytes of the messages that travel in one stream, about. */
const BATCH_BYTES = 256 * 1024;
/** A conversation in which nothing has happened for so long is over, ms. */
const SILENCE_MS = 15_000;

/**
 * First byte of a message's head. `last`: the sender expects no answer. `over`: nothing else is said, to whoever may wait for an answer.
 */
const FLAG = { fromOpener: 1, busy: 2, isOneWay: 4, last: 8, over: 16 } as const;

/** Which way records go: 'pull' = to the opener, 'push' = from it. */
export type ExchangeMode = 'pushPull' | 'push' | 'pull';

/** How an exchange with one member went. */
export interface ExchangeReport {
  readonly peer: string;
  readonly strategy: string;
  readonly isOpener: boolean;
  /** It came to its end; else it broke off, and what arrived stays. */
  readonly isComplete: boolean;
  /** Why not. */
  readonly problem: string | undefined;
  readonly stats: ConversationStats;
  /** Messages that somebody waited for, divided by two. */
  readonly roundTrips: number;
  readonly durationMs: number;
  /** The strategy knows that it may not have found everything. */
  readonly needsFull: boolean;
}

interface Talk {
  readonly peer: string;
  readonly id: number;
  readonly isOpener: boolean;
  readonly strategy: Strategy;
  readonly conversation: Conversation;
  readonly beganMs: number;
  readonly report: ((report: ExchangeReport) => void) | undefined;
  touchedMs: number;
  turns: number;
  /** Their messages that are not handled yet. */
  readonly inbox: Uint8Array[];
  /** A reply was sent, and next() has more. */
  isSending: boolean;
  /** Messages that are ready, and that a stream is being written. */
  outbox: Uint8Array[];
  isStreamOpen: boolean;
  /** What is being sent is the last word, as far as we are concerned; and as far as they are. */
  isLast: boolean;
  areTheyDone: boolean;
}

export interface ExchangeOptions {
  readonly store: ReconcileStore;
  readonly flow: FlowControl;
  /** Bytes of a message that goes as a packet. */
  readonly packetBytes: number;
  /** Hands a message to the network. `ticket` ≠ 0: sent() is wanted, because more waits. */
  readonly send: (to: string, body: Uint8Array, isReliable: boolean, ticket: number) => void;
  readonly finished: (report: ExchangeReport) => void;
}

/**
 * Conversations of one map with other members: carries the messages of a strategy (reconcile/port.ts) in packets where one does, else in streams, a batch at a time,
 * and handles one message per call of work(), so that a large state never keeps the event loop long.
 */
export class Exchanges {
  readonly #options: ExchangeOptions;
  readonly #talks = new Map<string, Talk>();
  readonly #tickets = new Map<number, Talk>();
  readonly #ready: Talk[] = [];
  #lastTicket = 0;
  #accepted = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  isTalkingTo(peer: string): boolean {
    for (const talk of this.#talks.values()) if (talk.isOpener && talk.peer === peer) return true;
    return false;
  }

  /** Opens a conversation. */
  begin(
    nowMs: number,
    peer: string,
    strategy: Strategy,
    mode: ExchangeMode,
    salt: number,
    report?: (report: ExchangeReport) => void,
  ): void {
    const store = mode === 'push' ? deaf(this.#options.store) : this.#options.store;
    const { flow } = this.#options;
    const talk = this.#open(nowMs, peer, salt, true, strategy, strategy.converse(store, { salt, flow }), report);
    this.#reply(nowMs, talk, talk.conversation.begin(nowMs), mode === 'pull');
  }

  /** A message of a conversation. */
  receive(nowMs: number, peer: string, body: Uint8Array): void {
    const input = new MessageReader(body);
    const id = input.word();
    const flags = input.byte();
    if (input.refused !== undefined) return;
    const isOpener = (flags & FLAG.fromOpener) === 0;
    const talk =
      this.#talks.get(keyOf(peer, id, isOpener)) ?? (isOpener ? undefined : this.#accept(nowMs, peer, id, flags, body));
    if (!talk) return;
    if (flags & FLAG.busy) {
      this.#end(nowMs, talk, 'busy');
      return;
    }
    if (flags & FLAG.over) {
      if (talk.inbox.length === 0) this.#end(nowMs, talk, undefined);
      return;
    }
    talk.areTheyDone = (flags & FLAG.last) !== 0;
    talk.touchedMs = nowMs;
    while (input.left > 0 && input.refused === undefined) talk.inbox.push(input.bytes(input.varint()));
    if (input.refused !== undefined || talk.inbox.length > WINDOW_MAX) {
      this.#end(nowMs, talk, input.refused ?? 'more messages than may wait');
      return;
    }
    this.#ready.push(talk);
  }

  /** A stream was written, or not. */
  sent(nowMs: number, ticket: number, isWritten: boolean): void {
    const talk = this.#tickets.get(ticket);
    this.#tickets.delete(ticket);
    if (!talk || !this.#isOpen(talk)) return;
    talk.isStreamOpen = false;
    if (!isWritten) {
      this.#end(nowMs, talk, 'the stream broke');
      return;
    }
    talk.touchedMs = nowMs;
    if (talk.isSending || talk.outbox.length > 0) this.#ready.push(talk);
    else this.#endIfOver(nowMs, talk);
  }

  /** Does a piece of work; false when there is none. */
  work(nowMs: number): boolean {
    const talk = this.#ready.shift();
    if (!talk) return false;
    if (!this.#isOpen(talk)) return this.#ready.length > 0;
    if (talk.isSending) this.#fill(nowMs, talk);
    else if (talk.outbox.length > 0) this.#flush(talk);
    else this.#handle(nowMs, talk);
    if (talk.inbox.length > 0 && !talk.isSending) this.#ready.push(talk);
    return this.#ready.length > 0;
  }

  /** Ends conversations that have gone silent, and those with members that are gone. */
  tick(nowMs: number, isLive: (peer: string) => boolean): void {
    for (const talk of [...this.#talks.values()]) {
      if (!isLive(talk.peer)) this.#end(nowMs, talk, 'the other side has gone');
      else if (nowMs - talk.touchedMs > SILENCE_MS) this.#end(nowMs, talk, 'no answer');
    }
  }

  /** Ends all. */
  close(nowMs: number): void {
    for (const talk of [...this.#talks.values()]) this.#end(nowMs, talk, 'closed');
  }

  #accept(nowMs: number, peer: string, id: number, flags: number, body: Uint8Array): Talk | undefined {
    // The first message begins behind id, flags and its length: its first byte says which strategy it is.
    const input = new MessageReader(body);
    input.bytes(5);
    const first = input.bytes(input.varint());
    const strategy = STRATEGIES.find((each) => each.id === first[0]);
    if (!strategy) return undefined;
    if (this.#accepted >= ACCEPTED_MAX) {
      this.#options.send(peer, head(id, FLAG.busy).take(), false, 0);
      return undefined;
    }
    const store = flags & FLAG.isOneWay ? deaf(this.#options.store) : this.#options.store;
    return this.#open(
      nowMs,
      peer,
      id,
      false,
      strategy,
      strategy.converse(store, { salt: id, flow: this.#options.flow }),
      undefined,
    );
  }

  #open(
    nowMs: number,
    peer: string,
    id: number,
    isOpener: boolean,
    strategy: Strategy,
    conversation: Conversation,
    report: ((report: ExchangeReport) => void) | undefined,
  ): Talk {
    const talk: Talk = {
      peer,
      id,
      isOpener,
      strategy,
      conversation,
      report,
      beganMs: nowMs,
      touchedMs: nowMs,
      turns: 0,
      inbox: [],
      isSending: false,
      outbox: [],
      isStreamOpen: false,
      isLast: false,
      areTheyDone: false,
    };
    this.#talks.set(keyOf(peer, id, isOpener), talk);
    if (!isOpener) this.#accepted++;
    return talk;
  }

  #isOpen(talk: Talk): boolean {
    return this.#talks.get(keyOf(talk.peer, talk.id, talk.isOpener)) === talk;
  }

  #handle(nowMs: number, talk: Talk): void {
    const message = talk.inbox.shift();
    if (!message) return;
    const turn = talk.conversation.receive(nowMs, message);
    if (turn.refused !== undefined) {
      this.#end(nowMs, talk, `refused: ${turn.refused}`);
      return;
    }
    talk.isLast = turn.isDone;
    if (turn.reply) this.#reply(nowMs, talk, turn.reply, false);
    else if (turn.isDone) {
      if (!talk.areTheyDone) this.#options.send(talk.peer, this.#head(talk, FLAG.over).take(), false, 0);
      this.#end(nowMs, talk, undefined);
    }
  }

  /** First message of a turn. If it is the only one and small it goes as a packet. */
  #reply(nowMs: number, talk: Talk, message: Uint8Array, isOneWay: boolean): void {
    talk.turns++;
    const second = talk.conversation.next(nowMs);
    const out = this.#head(talk, (isOneWay ? FLAG.isOneWay : 0) | (talk.isLast ? FLAG.last : 0));
    if (!second && message.length + out.length + 4 <= this.#options.packetBytes) {
      out.varint(message.length);
      out.bytes(message);
      this.#options.send(talk.peer, out.take(), false, 0);
      this.#endIfOver(nowMs, talk);
      return;
    }
    talk.outbox.push(message);
    if (second) talk.outbox.push(second);
    talk.isSending = second !== undefined;
    this.#ready.push(talk);
  }

  /** Asks for the next message of a turn until a batch is full. */
  #fill(nowMs: number, talk: Talk): void {
    const waiting = talk.outbox.reduce((sum, { length }) => sum + length, 0);
    if (waiting >= BATCH_BYTES) {
      this.#flush(talk);
      return;
    }
    const message = talk.conversation.next(nowMs);
    if (message) talk.outbox.push(message);
    else talk.isSending = false;
    this.#ready.push(talk);
  }

  #flush(talk: Talk): void {
    // The next batch follows when this one is written: no more than one is held here, whatever the size of the state.
    if (talk.isStreamOpen) return;
    const out = this.#head(talk, talk.isLast && !talk.isSending ? FLAG.last : 0);
    for (const message of talk.outbox) {
      out.varint(message.length);
      out.bytes(message);
    }
    talk.outbox = [];
    talk.isStreamOpen = true;
    const ticket = ++this.#lastTicket;
    this.#tickets.set(ticket, talk);
    this.#options.send(talk.peer, out.take(), true, ticket);
  }

  #head(talk: Talk, flags: number): MessageWriter {
    return head(talk.id, flags | (talk.isOpener ? FLAG.fromOpener : 0));
  }

  #endIfOver(nowMs: number, talk: Talk): void {
    if (talk.isLast) this.#end(nowMs, talk, undefined);
  }

  #end(nowMs: number, talk: Talk, problem: string | undefined): void {
    if (!this.#talks.delete(keyOf(talk.peer, talk.id, talk.isOpener))) return;
    if (!talk.isOpener) this.#accepted--;
    talk.inbox.length = 0;
    const report: ExchangeReport = {
      peer: talk.peer,
      strategy: talk.strategy.name,
      isOpener: talk.isOpener,
      isComplete: problem === undefined,
      problem,
      stats: { ...talk.conversation.stats },
      roundTrips: talk.turns,
      durationMs: nowMs - talk.beganMs,
      needsFull: talk.conversation.needsFull,
    };
    talk.report?.(report);
    this.#options.finished(report);
  }
}

/** A side that tells and does not listen. */
function deaf(store: ReconcileStore): ReconcileStore {
  return {
    index: store.index,
    log: store.log,
    ...(store.recent ? { recent: store.recent } : {}),
    read: (slot) => store.read(slot),
    apply: (_nowMs, entries) => ({ applied: 0, stale: entries.length, refused: 0, obsolete: [] }),
    discard: () => undefined,
  };
}

function keyOf(peer: string, id: number, isOpener: boolean): string {
  return `${isOpener ? 'o' : 'a'}${id} ${peer}`;
}

function head(id: number, flags: number): MessageWriter {
  const out = new MessageWriter();
  out.word(id);
  out.byte(flags);
  return out;
}
