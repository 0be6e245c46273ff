import type { GossipEvent } from '../../protocol/types.ts';
import type { SimNode } from '../sim-node.ts';
import type { Checker } from '../simulation.ts';

/**
 * What is gone stays gone: once told that all agree (`bury()`), no node may hear again that one of the members that are down has joined or is alive. Before that
 * somebody may still not have heard of the death, and pass on the life.
 */
export class TombstoneChecker implements Checker {
  readonly name = 'tombstones';
  #buried: ReadonlySet<string> = new Set();

  /** All nodes agree now that these are gone. */
  bury(names: Iterable<string>): void {
    this.#buried = new Set(names);
  }

  event(node: SimNode, event: GossipEvent, nowMs: number): void {
    if (event.type !== 'join' && event.type !== 'alive') return;
    const { name } = event.member;
    if (this.#buried.has(name)) {
      throw new Error(
        `${this.name}: at ${nowMs} ms ${node.name} heard "${event.type}" of ${name}, which is gone for all`,
      );
    }
  }
}
