// With node:test:  node --test examples/simulated-service/node.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answers, KEYS, routedCluster } from './routed-cluster.mjs';

test('each side of a partition serves all keys by itself, and after healing all agree again', () => {
  const { simulation, routers } = routedCluster(10, 42);
  const all = [...routers.keys()];
  const [left, right] = [all.slice(0, 4), all.slice(4)];
  for (const key of KEYS) assert.equal(answers(routers, all, key).length, 1);

  const heal = simulation.partition(left);
  simulation.run(25_000); // virtual: it takes some milliseconds
  for (const key of KEYS) {
    const [owner, ...others] = answers(routers, left, key);
    assert.deepEqual(others, []);
    assert.ok(left.includes(owner), `${key} went to ${owner}, on the other side`);
    assert.equal(answers(routers, right, key).length, 1);
  }

  heal();
  simulation.until(() => simulation.isConverged(), 60_000);
  for (const key of KEYS) assert.equal(answers(routers, all, key).length, 1);
});
