import type { GossipEvent } from '../../protocol/types.ts';
import type { SimNode } from '../sim-node.ts';
import type { Checker, Simulation } from '../simulation.ts';

/** Counts members that were declared dead while their process ran; with `max` (default: only count) it throws beyond that. */
export class FalsePositiveChecker implements Checker {
  readonly name = 'false positives';
  readonly #isUp: (member: string) => boolean;
  readonly #max: number;
  /** Deaths of live members, over all observers. */
  count = 0;
  /** Members concerned. */
  readonly members = new Set<string>();

  constructor(isUp: (member: string) => boolean, max = Number.POSITIVE_INFINITY) {
    this.#isUp = isUp;
    this.#max = max;
  }

  event(node: SimNode, event: GossipEvent, nowMs: number): void {
    if (event.type !== 'dead' || !this.#isUp(event.member.name)) return;
    this.count++;
    this.members.add(event.member.name);
    if (this.count > this.#max) {
      throw new Error(
        `${this.name}: at ${nowMs} ms ${node.name} declared ${event.member.name} dead, whose process runs`,
      );
    }
  }

  static of(simulation: Simulation, max?: number): FalsePositiveChecker {
    return new FalsePositiveChecker((name) => simulation.nodes.get(name)?.isUp ?? false, max);
  }
}
