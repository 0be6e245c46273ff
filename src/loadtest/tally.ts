import type { GossipEvent } from '../protocol/types.ts';
import { indexOfName } from './addresses.ts';
import { LATENCY_BUCKETS, type Sample } from './types.ts';

/** Live nodes that were declared dead are told apart up to so many. */
const ACCUSED_MAX = 1000;

type Counts = Pick<Sample, 'verdictCount' | 'falsePositives' | 'suspicions' | 'refutations'> & {
  readonly verdicts: Uint32Array;
  readonly firsts: readonly (readonly [node: number, ms: number])[];
  readonly accused: readonly number[];
};

/** Counts what nodes say of each other, and whether it is true. Times are ms of any clock, the same one for all. */
export class Tally {
  /** Nodes that a fault concerns: one that hears nothing believes that all others are gone, and they may believe it of that one. */
  faulty: ReadonlySet<number> = new Set();
  readonly #killedAtMs = new Map<number, number>();
  #verdicts = new Uint32Array(LATENCY_BUCKETS);
  #firsts = new Map<number, number>();
  #accused = new Set<number>();
  verdictCount = 0;
  falsePositives = 0;
  #suspicions = 0;
  #refutations = 0;

  killed(node: number, atMs: number): void {
    this.#killedAtMs.set(node, atMs);
  }

  restarted(node: number): void {
    this.#killedAtMs.delete(node);
  }

  isKilled(node: number): boolean {
    return this.#killedAtMs.has(node);
  }

  /** An event that a live node reported. */
  note(observer: number, event: GossipEvent, atMs: number): void {
    if (event.type === 'dead') this.#verdict(observer, indexOfName(event.member.name), atMs);
    else if (event.type === 'suspect' && !this.isKilled(indexOfName(event.member.name))) this.#suspicions++;
    else if (event.type === 'alive') this.#refutations++;
  }

  /** Forgets what was counted. */
  reset(): void {
    this.#verdicts = new Uint32Array(LATENCY_BUCKETS);
    this.#firsts = new Map();
    this.#accused = new Set();
    this.verdictCount = 0;
    this.falsePositives = 0;
    this.#suspicions = 0;
    this.#refutations = 0;
  }

  get counts(): Counts {
    return {
      verdicts: this.#verdicts,
      verdictCount: this.verdictCount,
      firsts: [...this.#firsts],
      falsePositives: this.falsePositives,
      accused: [...this.#accused],
      suspicions: this.#suspicions,
      refutations: this.#refutations,
    };
  }

  #verdict(observer: number, about: number, atMs: number): void {
    const killedAtMs = this.#killedAtMs.get(about);
    if (killedAtMs === undefined) {
      if (this.faulty.has(observer) || this.faulty.has(about)) return;
      this.falsePositives++;
      if (this.#accused.size < ACCUSED_MAX) this.#accused.add(about);
      return;
    }
    const ms = Math.max(0, Math.round(atMs - killedAtMs));
    const bucket = Math.min(LATENCY_BUCKETS - 1, ms);
    this.#verdicts[bucket] = (this.#verdicts[bucket] as number) + 1;
    this.verdictCount++;
    if (!this.#firsts.has(about)) this.#firsts.set(about, ms);
  }
}
