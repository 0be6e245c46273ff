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
  /** Urgent news is to be told, or a pause after that is over. */
  urgentNews: 17,
  /** A suspect that nobody else was told of is reminded of the suspicion; `subject` is the slot. */
  remind: 18,
  /** The successor on the ring should have been heard by now; `subject` is 1 when it was put off. */
  ringWatch: 19,
} as const;
export type TimerKind = (typeof TIMER)[keyof typeof TIMER];

export interface Timer {
  readonly dueMs: number;
  readonly kind: TimerKind;
  readonly subject: number;
  /** Unique per engine: also the order among timers that are due at the same time. */
  readonly token: number;
}

/** A token is the place of the timer, and above it how many timers there were before it. */
const PLACES_MAX = 2 ** 21;
const MADE_MAX = 2 ** 32;

/**
 * A binary heap of deadlines, earliest first, in the order of their making when due together. What belongs to a timer lies in columns under its place, and the heap holds places: a process that runs thousands of
 * engines has tens of thousands of timers at a time, and as objects they would be copied by each collection of the young.
 */
export class Timers {
  /** Columns by place. A free place has token 0. */
  readonly #dueMs: number[] = [];
  readonly #kinds: number[] = [];
  readonly #subjects: number[] = [];
  readonly #tokens: number[] = [];
  readonly #positions: number[] = [];
  readonly #free: number[] = [];
  /** Places in heap order; of the array only the first #size count. */
  readonly #heap: number[] = [];
  #size = 0;
  #freeCount = 0;
  #made = 0;
  /** Time of the call that the engine is in, for those who are not told it. */
  nowMs = Number.NEGATIVE_INFINITY;

  /** Timers that wait. */
  get size(): number {
    return this.#size;
  }

  /** Schedules and returns the token to cancel it with. */
  schedule(dueMs: number, kind: TimerKind, subject: number): number {
    assert(Number.isFinite(dueMs), 'a timer needs a finite time');
    const place = this.#freeCount > 0 ? (this.#free[--this.#freeCount] as number) : this.#positions.length;
    assert(place < PLACES_MAX, 'an engine has at most 2^21 timers');
    this.#made = this.#made + 1 < MADE_MAX ? this.#made + 1 : 1;
    const token = this.#made * PLACES_MAX + place;
    this.#dueMs[place] = dueMs;
    this.#kinds[place] = kind;
    this.#subjects[place] = subject;
    this.#tokens[place] = token;
    this.#rise(this.#size++, place);
    return token;
  }

  /** Forgets a timer. Nothing happens when it has fired, or for token 0. */
  cancel(token: number): void {
    const place = token % PLACES_MAX;
    if (token === 0 || this.#tokens[place] !== token) return;
    this.#remove(this.#positions[place] as number);
  }

  /** The next deadline. */
  nextMs(): number | undefined {
    return this.#size === 0 ? undefined : this.#dueMs[this.#heap[0] as number];
  }

  /** Takes the earliest timer that is due at `nowMs`. */
  pop(nowMs: number): Timer | undefined {
    if (this.#size === 0) return undefined;
    const place = this.#heap[0] as number;
    const dueMs = this.#dueMs[place] as number;
    if (dueMs > nowMs) return undefined;
    const timer = {
      dueMs,
      kind: this.#kinds[place] as TimerKind,
      subject: this.#subjects[place] as number,
      token: this.#tokens[place] as number,
    };
    this.#remove(0);
    return timer;
  }

  /** Takes out what stands at a position of the heap; the last one takes its position and goes to where it belongs. */
  #remove(position: number): void {
    const gone = this.#heap[position] as number;
    this.#tokens[gone] = 0;
    this.#free[this.#freeCount++] = gone;
    const last = this.#heap[--this.#size] as number;
    if (last === gone) return;
    const parent = (position - 1) >> 1;
    if (position > 0 && this.#isBefore(last, this.#heap[parent] as number)) this.#rise(position, last);
    else this.#sink(position, last);
  }

  #rise(from: number, place: number): void {
    const heap = this.#heap;
    let at = from;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as number;
      if (!this.#isBefore(place, parent)) break;
      heap[at] = parent;
      this.#positions[parent] = at;
      at = up;
    }
    heap[at] = place;
    this.#positions[place] = at;
  }

  #sink(from: number, place: number): void {
    const heap = this.#heap;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#isBefore(heap[child + 1] as number, heap[child] as number)) child++;
      const candidate = heap[child] as number;
      if (!this.#isBefore(candidate, place)) break;
      heap[at] = candidate;
      this.#positions[candidate] = at;
      at = child;
    }
    heap[at] = place;
    this.#positions[place] = at;
  }

  #isBefore(a: number, b: number): boolean {
    const difference = (this.#dueMs[a] as number) - (this.#dueMs[b] as number);
    return difference < 0 || (difference === 0 && (this.#tokens[a] as number) < (this.#tokens[b] as number));
  }
}
