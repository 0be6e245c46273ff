import { HEADER, QUEUE } from '../../kernels/layout.ts';
import type { Checker, Simulation } from '../simulation.ts';

/** Looks at every node after each run: queue and table within their capacities, counters of the two lanes in step with the queue. */
export class BoundsChecker implements Checker {
  readonly name = 'bounds';

  settle(simulation: Simulation): void {
    for (const node of simulation.up) {
      const { queue, table } = node.kernels;
      const live = queue.u32[HEADER.live >>> 2] as number;
      const lanes = (queue.u32[QUEUE.laneCount0 >>> 2] as number) + (queue.u32[QUEUE.laneCount1 >>> 2] as number);
      const rows = table.u32[HEADER.live >>> 2] as number;
      if (live > queue.capacity || live !== lanes) {
        throw new Error(
          `${this.name}: the queue of ${node.name} holds ${live} of ${queue.capacity}, its lanes say ${lanes}`,
        );
      }
      if (rows > table.capacity || rows > node.engine.config.membersMax) {
        throw new Error(`${this.name}: the table of ${node.name} holds ${rows} rows of ${table.capacity}`);
      }
    }
  }
}
