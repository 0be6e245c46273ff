import type { Prng } from '../util/prng.ts';

/** Somebody who waits for the answer to a ping. */
export interface Waiting {
  /** An ack came; `ext` is the extension word in it, 0 = none. */
  onAck(nowMs: number, ext: number): void;
  /** A relay says that it got no answer either. */
  onNack(nowMs: number): void;
}

/**
 * Sequence numbers of pings, ours and those on behalf of others, from one counter with a random start (protocol §5.5). The
 * start is random so that an answer to a ping of an earlier life of this process finds nobody waiting.
 */
export class Sequences {
  readonly #waiting = new Map<number, Waiting>();
  #last: number;

  constructor(prng: Prng) {
    this.#last = prng.next();
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** A number that nobody waits for, and from now on `waiting` does. */
  take(waiting: Waiting): number {
    // 0 is no number to answer to, see BEAT.
    do this.#last = (this.#last + 1) >>> 0;
    while (this.#last === 0 || this.#waiting.has(this.#last));
    this.#waiting.set(this.#last, waiting);
    return this.#last;
  }

  get(seqNo: number): Waiting | undefined {
    return this.#waiting.get(seqNo);
  }

  release(seqNo: number): void {
    this.#waiting.delete(seqNo);
  }
}
