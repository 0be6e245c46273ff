import { confirmationsWanted, remainingSuspicionMs, suspicionTimeoutMs } from './math.ts';

export interface SuspicionLimits {
  readonly suspicionMult: number;
  readonly suspicionMaxTimeoutMult: number;
  readonly probeIntervalMs: number;
}

/**
 * One running suspicion: who accused, and when it ends if nobody refutes (protocol §12). It holds no timer; the engine
 * schedules `deadlineMs` and drops the timer when `token` is no longer its own.
 *
 * Invariants: confirmations <= wanted; accusers holds at most wanted + 1 names; deadlineMs never moves back in time past
 * the start plus minMs and never moves forward.
 */
export class Suspicion {
  readonly startMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Confirmations after which the timer is at its minimum; 0 = the timer is at its minimum from the start. */
  readonly wanted: number;
  readonly #accusers: Set<string>;
  #confirmations = 0;
  #deadlineMs: number;
  /** Timer that is to fire for this suspicion; set by whoever schedules it. */
  token = 0;
  /** Timer of the next reminder to the suspect, 0 = none: everybody hears of the suspicion. */
  remindToken = 0;
  /** The deadline was put off once because this process had slept (protocol §12.3). */
  graced = false;

  /**
   * `n` counts table entries of any status. `accuser` is remembered but does not count as a confirmation. With `fixedMs` it lasts so long whatever n and the
   * confirmations are (the fast profile).
   */
  constructor(startMs: number, accuser: string, n: number, limits: SuspicionLimits, fixedMs?: number) {
    this.startMs = startMs;
    this.wanted = fixedMs === undefined ? confirmationsWanted(limits.suspicionMult, n) : 0;
    this.minMs = fixedMs ?? suspicionTimeoutMs(limits.suspicionMult, n, limits.probeIntervalMs);
    this.maxMs = fixedMs ?? this.minMs * limits.suspicionMaxTimeoutMult;
    this.#accusers = new Set([accuser]);
    this.#deadlineMs = startMs + Math.ceil(this.wanted < 1 ? this.minMs : this.maxMs);
  }

  /** When the member is to be declared dead, whole ms. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  get confirmations(): number {
    return this.#confirmations;
  }

  /** Notes another accuser. True when it counts: then the deadline has moved closer and the accusation is worth passing on. */
  confirm(nowMs: number, accuser: string): boolean {
    if (this.#confirmations >= this.wanted || this.#accusers.has(accuser)) return false;
    this.#accusers.add(accuser);
    this.#confirmations++;
    const left = remainingSuspicionMs(this.#confirmations, this.wanted, nowMs - this.startMs, this.minMs, this.maxMs);
    this.#deadlineMs = Math.min(this.#deadlineMs, nowMs + Math.max(0, Math.ceil(left)));
    return true;
  }

  /** Puts the deadline off once, to `untilMs`. */
  grace(untilMs: number): void {
    this.graced = true;
    this.#deadlineMs = untilMs;
  }
}
