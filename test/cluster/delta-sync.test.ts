import { expect, test } from 'vitest';
import { Cluster } from '../../src/index.ts';

test.each([
  ['plain', []],
  ['encrypted', [new Uint8Array(32).fill(7)]],
])('members of a real cluster exchange deltas over TCP, %s, and none fails', async (_, keys) => {
  const options = {
    thread: 'inline',
    label: 'delta',
    keys,
    bind: '127.0.0.1:0',
    tuning: { deltaSync: true, pushPullIntervalMs: 50 },
  } as const;
  const a = await Cluster.start({ ...options, name: 'a' });
  const b = await Cluster.start({ ...options, name: 'b', seeds: [a.self.address], meta: 'of b' });
  try {
    // Something to tell in every exchange.
    for (let i = 0; ; i++) {
      await a.setMeta(`${i}`);
      const { engine } = await a.stats();
      if (engine.syncsStarted >= 5 && engine.syncBytesReceived > 0 && i >= 3) break;
    }
    for (const node of [a, b]) {
      const { engine } = await node.stats();
      expect(engine.pushPullsFailed).toBe(0);
      expect(engine.streamsRejected).toBe(0);
    }
  } finally {
    await Promise.all([a.stop(), b.stop()]);
  }
});
