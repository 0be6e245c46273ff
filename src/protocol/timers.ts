import { assert } from '../util/assert.ts';

/** What a timer means to the engine. Append only. */
export const TIMER = {
  /** Start of the next protocol period. */
  probeTick: 0,
  gossipTick: 1,
  pushPullTick: 2,
  /** A direct ping was not answered in time; `subject` is its sequence number. */
  probeTimeout: 3,
  /** The probe is over, answered or not; `subject` is its sequence number. */
  probeEnd: 4,
  /** Ping made for somebody else: say nack now; `subject` is our sequence number. */
  relayNack: 5,
  /** Ping made for somebody else: forget it. */
  relayEnd: 6,
  /** A suspicion runs out; `subject` is the slot. */
  suspicion: 7,
  /** A ping command was not answered. */
  pingEnd: 8,
  /** A stream exchange that the driver never reported on. */
  streamEnd: 9,
  /** An exchange of state ahead of the regular ones, after a join. */
  earlyExchange: 10,
  /** A large state is being merged: the next turn of that. */
  mergeTurn: 11,
  /** The next cycle of the averagings that are running. */
  averageTick: 12,
  /** Start of the next interval of ring probing. */
  ringTick: 13,
  /** A ring probe was not answered in time; `subject` is its sequence number. */
  ringTimeout: 14,
  /** A ring probe is over. */
  ringEnd: 15,
  /** The successor is gone: on to the next one. */
  ringWalk: 16,
  /** News that waited for its turn to be pushed. */
  eagerPush: 17,
} as const;
export type TimerKind = (typeof TIMER)[keyof typeof TIMER];

export interface Timer {
  readonly dueMs: number;
  readonly kind: TimerKind;
  readonly subject: number;
  /** Unique per engine: also the order among timers that are due at the same time. */
  readonly token: number;
}

/**
 * A binary heap of deadlines, earliest first, in the order of their making when due together. A timer is live while
 * its token is in #live; cancel() takes the token out, and the heap entry is dropped when it comes to the top, or by a
 * sweep once more than half of the heap is stale, so memory stays within twice the number of live timers.
 */
export class Timers {
  #heap: Timer[] = [];
  readonly #live = new Set<number>();
  #nextToken = 1;
  /** Time of the call that the engine is in, for those who are not told it. */
  nowMs = Number.NEGATIVE_INFINITY;

  /** Live timers. */
  get size(): number {
    return this.#live.size;
  }

  /** Schedules and returns the token to cancel it with. */
  schedule(dueMs: number, kind: TimerKind, subject: number): number {
    assert(Number.isFinite(dueMs), 'a timer needs a finite time');
    const token = this.#nextToken++;
    this.#live.add(token);
    this.#push({ dueMs, kind, subject, token });
    return token;
  }

  /** Forgets a timer. Nothing happens when it has fired, or for token 0. */
  cancel(token: number): void {
    if (!this.#live.delete(token)) return;
    if (this.#heap.length > 32 && this.#live.size * 2 < this.#heap.length) this.#sweep();
  }

  /** The next deadline. */
  nextMs(): number | undefined {
    this.#dropStale();
    return this.#heap[0]?.dueMs;
  }

  /** Takes the earliest timer that is due at `nowMs`. */
  pop(nowMs: number): Timer | undefined {
    this.#dropStale();
    const top = this.#heap[0];
    if (top === undefined || top.dueMs > nowMs) return undefined;
    this.#removeTop();
    this.#live.delete(top.token);
    return top;
  }

  #dropStale(): void {
    let top = this.#heap[0];
    while (top !== undefined && !this.#live.has(top.token)) {
      this.#removeTop();
      top = this.#heap[0];
    }
  }

  #sweep(): void {
    const live = this.#heap.filter((timer) => this.#live.has(timer.token));
    this.#heap = [];
    for (const timer of live) this.#push(timer);
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as Timer;
      if (!before(timer, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = timer;
  }

  #removeTop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Timer;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child++;
      const candidate = heap[child] as Timer;
      if (!before(candidate, last)) break;
      heap[at] = candidate;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.token < b.token);
}
