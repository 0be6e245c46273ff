import { HEADER, ROW } from '../../kernels/layout.ts';
import type { Checker, Simulation } from '../simulation.ts';

/**
 * Only a member raises its own incarnation (SWIM §4.2): nobody, in its table, holds one that the member has not reached in any of its lives. Looks at all tables
 * after each run.
 */
export class OwnershipChecker implements Checker {
  readonly name = 'ownership';
  /** The highest incarnation of each member, over its lives. */
  readonly #highest = new Map<string, number>();

  settle(simulation: Simulation): void {
    const { up } = simulation;
    for (const { name, engine } of up) {
      this.#highest.set(name, Math.max(this.#highest.get(name) ?? 0, engine.self.incarnation));
    }
    for (const node of up) {
      const { names, table } = node.kernels;
      const live = table.u32[HEADER.live >>> 2] as number;
      for (let i = 0; i < live; i++) {
        const slot = table.u32[(table.orderOffset >>> 2) + i] as number;
        const at = (table.rowsOffset + slot * ROW.stride) >>> 2;
        const incarnation = table.u32[at + (ROW.incarnation >>> 2)] as number;
        const name = new TextDecoder().decode(names.bytes(table.u32[at + (ROW.nameId >>> 2)] as number));
        const highest = this.#highest.get(name);
        // A member that ended between two looks may have raised it once more than we saw.
        const isWatched = simulation.nodes.get(name)?.isUp === true;
        if (isWatched && highest !== undefined && incarnation > highest) {
          throw new Error(
            `${this.name}: ${node.name} holds ${name} at incarnation ${incarnation}, which itself is at ${highest}`,
          );
        }
      }
    }
  }
}
