/**
 * How healthy this node believes itself to be: 0 is healthy, higher is worse (protocol §13). Failed probes and
 * accusations that had to be refuted raise it, answered probes lower it. It stretches the protocol period, so a node that
 * runs slowly accuses less instead of more (Lifeguard, LHM).
 */
export class Awareness {
  readonly #scoreMax: number;
  #score = 0;

  /** Scores run from 0 to `maxMultiplier` - 1. */
  constructor(maxMultiplier: number) {
    this.#scoreMax = maxMultiplier - 1;
  }

  get score(): number {
    return this.#score;
  }

  /** Adds `delta`, clamped to the range after every change. */
  apply(delta: number): void {
    this.#score = Math.min(this.#scoreMax, Math.max(0, this.#score + delta));
  }
}
