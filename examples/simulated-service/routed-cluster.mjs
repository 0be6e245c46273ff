// The service on a simulated cluster: one router per node, fed by the events of that node's engine.
import { Simulation } from 'hearsay/sim';
import { ShardRouter } from './shard-router.mjs';

export const KEYS = Array.from({ length: 50 }, (_, i) => `user-${i}`);

/** A cluster of `size` nodes n0, n1, ... that know each other, and their routers by name. */
export function routedCluster(size, seed) {
  const routers = new Map();
  const simulation = new Simulation({ seed, network: { loss: 0.01 } });
  simulation.check({
    name: 'routers',
    event(node, event) {
      const router = routers.get(node.name) ?? new ShardRouter(node.name);
      routers.set(node.name, router);
      if (event.type === 'join' || event.type === 'alive') router.appeared(event.member.name);
      if (event.type === 'dead' || event.type === 'leave') router.vanished(event.member.name);
    },
  });
  simulation.addNodes(size);
  simulation.joinAll();
  return { simulation, routers };
}

/** The different answers that these nodes give for a key. */
export function answers(routers, names, key) {
  return [...new Set(names.map((name) => routers.get(name).ownerOf(key)))];
}
