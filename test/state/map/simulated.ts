// Maps on a small simulated cluster.
import { Simulation, type SimulationOptions } from '../../../src/sim/index.ts';
import type { MapOptions } from '../../../src/state/map-options.ts';
import type { ReplicatedMap } from '../../../src/state/replicated-map.ts';

export interface MapCluster {
  readonly simulation: Simulation;
  readonly maps: ReplicatedMap[];
}

export function mapCluster(nodes: number, options: MapOptions = {}, simulation: SimulationOptions = {}): MapCluster {
  const sim = new Simulation({ seed: nodes, backend: 'js', ...simulation });
  sim.addNodes(nodes);
  sim.joinAll();
  const maps = Array.from({ length: nodes }, (_, i) => sim.map(`n${i}`, 'm', options));
  sim.run(2000);
  return { simulation: sim, maps };
}

/** Lets time pass until all of these hold the same; how long that took, ms. */
export function untilSame(simulation: Simulation, maps: readonly ReplicatedMap[], limitMs = 60_000): number {
  return simulation.until(() => maps.every(({ digest }) => digest === maps[0]?.digest), limitMs);
}
