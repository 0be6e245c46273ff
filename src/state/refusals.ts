import type { Cover, StateEntry } from './reconcile/port.ts';
import type { WriterLog } from './reconcile/writer-log.ts';

/** Writers of whom something was refused, at most; and how long after the last time nothing is thought to be missing any more, ms: it was superseded. */
const REFUSALS_MAX = 4096;
const REFUSAL_MS = 600_000;

/**
 * Lowest sequence of each writer that was refused (over a limit, a clock too far ahead). What is refused now may be taken later, so nobody must believe that we saw it end: coverage
 * stops below it.
 */
export class Refusals {
  readonly #bySequence = new Map<string, { readonly sequence: number; readonly atMs: number }>();

  refused(nowMs: number, { writer, sequence }: StateEntry): void {
    const known = this.#bySequence.get(writer)?.sequence ?? sequence;
    this.#bySequence.delete(writer);
    this.#bySequence.set(writer, { sequence: Math.min(known, sequence), atMs: nowMs });
    if (this.#bySequence.size <= REFUSALS_MAX) return;
    for (const oldest of this.#bySequence.keys()) {
      this.#bySequence.delete(oldest);
      break;
    }
  }

  taken({ writer, sequence }: StateEntry): void {
    if (this.#bySequence.get(writer)?.sequence === sequence) this.#bySequence.delete(writer);
  }

  forget(isGone: (writer: string) => boolean): void {
    for (const writer of this.#bySequence.keys()) if (isGone(writer)) this.#bySequence.delete(writer);
  }

  /** Takes a peer's word on coverage, as far as nothing was refused. */
  cover(log: WriterLog, nowMs: number, { writer, from, to }: Cover): void {
    const refusal = this.#bySequence.get(writer);
    if (refusal && nowMs - refusal.atMs > REFUSAL_MS) this.#bySequence.delete(writer);
    else if (refusal && to >= refusal.sequence) {
      log.cover(writer, from, refusal.sequence - 1);
      return;
    }
    log.cover(writer, from, to);
  }
}
