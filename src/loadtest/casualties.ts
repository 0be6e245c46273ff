import type { Prng } from '../util/prng.ts';

/** Which nodes of a load test are down, and how many verdicts about them are due. */
export class Casualties {
  readonly #nodes: number;
  readonly #prng: Prng;
  readonly #down = new Set<number>();
  /** Nodes killed since reset(), those that came back too. */
  killed = 0;
  /** Verdicts that live nodes owe about them. */
  expected = 0;

  constructor(nodes: number, prng: Prng) {
    this.#nodes = nodes;
    this.#prng = prng;
  }

  get live(): number {
    return this.#nodes - this.#down.size;
  }

  kill(indices: readonly number[], areVerdictsExpected: boolean): void {
    for (const index of indices) this.#down.add(index);
    this.killed += indices.length;
    if (areVerdictsExpected) this.expected += indices.length * this.live;
  }

  restart(indices: readonly number[]): void {
    for (const index of indices) this.#down.delete(index);
  }

  /** So many of the live nodes, at random, not the first one. */
  pick(count: number): number[] {
    const pool = Array.from({ length: this.#nodes - 1 }, (_, i) => i + 1).filter((index) => !this.#down.has(index));
    for (let i = 0; i < Math.min(count, pool.length); i++) {
      const j = i + this.#prng.below(pool.length - i);
      [pool[i], pool[j]] = [pool[j] as number, pool[i] as number];
    }
    return pool.slice(0, count);
  }

  /** Forgets what was counted; who is down stays down. */
  reset(): void {
    this.killed = 0;
    this.expected = 0;
  }
}
