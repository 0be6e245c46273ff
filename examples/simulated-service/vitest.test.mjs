// With vitest:  npx vitest run examples/simulated-service/vitest.test.mjs
import { expect, test } from 'vitest';
import { answers, KEYS, routedCluster } from './routed-cluster.mjs';

test.each([1, 2, 3])('a crashed owner loses its keys, and nobody else does (seed %i)', (seed) => {
  const { simulation, routers } = routedCluster(10, seed);
  const all = [...routers.keys()];
  const before = new Map(KEYS.map((key) => [key, answers(routers, all, key)[0]]));

  simulation.crash('n3');
  const others = all.filter((name) => name !== 'n3');
  simulation.until(() => others.every((name) => simulation.node(name).member('n3')?.status === 2), 60_000);

  for (const key of KEYS) {
    const [owner, ...rest] = answers(routers, others, key);
    expect(rest).toEqual([]);
    if (before.get(key) === 'n3') expect(owner).not.toBe('n3');
    else expect(owner).toBe(before.get(key));
  }
});
