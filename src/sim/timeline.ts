import { EventHeap } from './event-heap.ts';
import type { SimNode } from './sim-node.ts';

/** Steps without time going on: more means that engines chase each other for ever. */
const STEPS_AT_ONE_TIME_MAX = 1_000_000;

/** Something that happens to a node at its time, if the node still lives the same life then. */
export interface Step {
  readonly node: SimNode;
  /** The life of the node that the step belongs to; a crash ends it. */
  readonly life: number;
  run(): void;
  /** The step will not run, because its life is over. */
  drop?(): void;
}

/** Virtual time and what is to come in it. */
export class Timeline {
  nowMs = 0;
  /** Steps that have run. */
  steps = 0;
  readonly #heap = new EventHeap<Step>();
  readonly #seed: number;

  /** `seed` only for messages. */
  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Runs a step after `inMs`. */
  in(inMs: number, step: Step): void {
    this.#heap.push(this.nowMs + inMs, step);
  }

  /** The same for a function that happens to a node. */
  at(inMs: number, node: SimNode, run: () => void): void {
    this.in(inMs, { node, life: node.life, run });
  }

  /** Runs steps in their order until the condition holds (true) or `endMs` is reached. */
  drive(endMs: number, condition?: () => boolean): boolean {
    const heap = this.#heap;
    let stepsAtOnce = 0;
    for (let nextMs = heap.nextMs; nextMs !== undefined && nextMs <= endMs; nextMs = heap.nextMs) {
      const step = heap.pop() as Step;
      stepsAtOnce = nextMs > this.nowMs ? 0 : stepsAtOnce + 1;
      if (stepsAtOnce > STEPS_AT_ONE_TIME_MAX) {
        throw new Error(`hearsay: ${stepsAtOnce} steps at ${this.nowMs} ms without time going on (seed ${this.#seed})`);
      }
      this.nowMs = nextMs;
      const { node } = step;
      if (!node.isUp || node.life !== step.life) {
        step.drop?.();
        continue;
      }
      if (node.pausedUntilMs > nextMs) {
        heap.push(node.pausedUntilMs, step);
        continue;
      }
      if (node.stepMs > 0) node.pausedUntilMs = nextMs + node.stepMs;
      this.steps++;
      step.run();
      if (condition?.()) return true;
    }
    this.nowMs = Math.max(this.nowMs, endMs);
    return false;
  }
}
