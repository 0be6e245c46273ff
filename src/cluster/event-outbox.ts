import type { GossipEvent } from '../protocol/types.ts';
import { isMemberEvent, mergeMemberEvents } from './merge-events.ts';

/** Events, and payload bytes, that are handed over together; one event may be larger. */
const EVENTS_PER_BATCH = 256;
const BATCH_BYTES = 1024 * 1024;
/** Batches on their way to the program. */
const UNTAKEN_MAX = 2;

/** What may wait for a program that does not take its events. */
export interface EventLimits {
  /** 'message', 'conflict' and 'probe' events. */
  readonly messages: number;
  /** Bytes of the payloads of messages. */
  readonly messageBytes: number;
  /** Events about members that wait before they are merged, per member. */
  readonly memberEvents: number;
}

export const EVENT_LIMITS: EventLimits = {
  messages: 65_536,
  messageBytes: 64 * 1024 * 1024,
  memberEvents: 65_536,
};

/** Counters of the way from the engine to the program. */
export interface EventStats {
  /** Events that wait, or were handed over and not yet delivered to the listeners. */
  waiting: number;
  /** Bytes of the payloads among them. */
  waitingBytes: number;
  /** 'message' events (and conflicts and probes) dropped because the program was too slow: 65,536 of them, or 64 MiB, waited already. */
  messagesDropped: number;
  /** Events about members left out because later ones about the same member say as much (see mergeMemberEvents). */
  memberEventsMerged: number;
}

interface Handed {
  readonly droppable: number;
  readonly bytes: number;
  readonly events: number;
}

/**
 * Events that wait until the program has taken earlier ones. What it has to unpack in one turn stays small, however late it is, and what waits has
 * a bound, because the network decides how much comes in: beyond it the newest messages are dropped and counted. Events about members are never
 * dropped: when many wait they are merged, so that at most a few per member of the table remain.
 */
export class EventOutbox {
  readonly stats: EventStats = { waiting: 0, waitingBytes: 0, messagesDropped: 0, memberEventsMerged: 0 };
  readonly #send: (events: readonly GossipEvent[], taken: () => void) => void;
  readonly #limits: EventLimits;
  #waiting: GossipEvent[] = [];
  /** Events of #waiting that count against `messages`, and those handed over and not taken. */
  #droppable = 0;
  #memberEvents = 0;
  #mergeAt: number;
  #untaken = 0;

  /** `send` hands a batch over and calls `taken` once all of it was delivered. */
  constructor(send: (events: readonly GossipEvent[], taken: () => void) => void, limits: EventLimits = EVENT_LIMITS) {
    this.#send = send;
    this.#limits = limits;
    this.#mergeAt = limits.memberEvents;
  }

  push(events: readonly GossipEvent[]): void {
    for (const event of events) this.#add(event);
    this.#hand();
  }

  #add(event: GossipEvent): void {
    if (isMemberEvent(event)) {
      this.#waiting.push(event);
      this.stats.waiting++;
      if (++this.#memberEvents > this.#mergeAt) this.#merge();
      return;
    }
    const bytes = payloadBytes(event);
    if (
      this.#droppable >= this.#limits.messages ||
      (bytes > 0 && this.stats.waitingBytes + bytes > this.#limits.messageBytes)
    ) {
      this.stats.messagesDropped++;
      return;
    }
    this.#waiting.push(event);
    this.stats.waiting++;
    this.#droppable++;
    this.stats.waitingBytes += bytes;
  }

  #merge(): void {
    const before = this.#waiting.length;
    this.#waiting = mergeMemberEvents(this.#waiting);
    const gone = before - this.#waiting.length;
    this.#memberEvents -= gone;
    this.stats.waiting -= gone;
    this.stats.memberEventsMerged += gone;
    // What could not be merged must double before the next try: the work per event stays constant.
    this.#mergeAt = Math.max(this.#limits.memberEvents, 2 * this.#memberEvents);
  }

  #hand(): void {
    while (this.#waiting.length > 0 && this.#untaken < UNTAKEN_MAX) {
      let end = 0;
      let bytes = 0;
      while (end < this.#waiting.length && end < EVENTS_PER_BATCH && bytes < BATCH_BYTES) {
        bytes += payloadBytes(this.#waiting[end++] as GossipEvent);
      }
      const batch = this.#waiting.splice(0, end);
      const members = batch.reduce((sum, event) => sum + (isMemberEvent(event) ? 1 : 0), 0);
      this.#memberEvents -= members;
      this.#untaken++;
      this.#send(batch, () => this.#taken({ events: end, droppable: end - members, bytes }));
    }
  }

  #taken({ events, droppable, bytes }: Handed): void {
    this.#untaken--;
    this.#droppable -= droppable;
    this.stats.waiting -= events;
    this.stats.waitingBytes -= bytes;
    this.#hand();
  }
}

function payloadBytes(event: GossipEvent): number {
  return event.type === 'message' || event.type === 'state' ? event.payload.length : 0;
}
