import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type Cluster, type MemberHandle, MemberReader } from 'hearsay';
import { expect, it } from 'vitest';
import { startNode, untilMembers } from '../helpers/clusters.ts';

/** Starts inline nodes that join `seed`; each says its name in its metadata. */
async function crowd(seed: Cluster, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const name = `n${i}`;
    await startNode(name, { thread: 'inline', meta: name, seeds: [seed.self.address] });
  }
}

it('another thread reads the members without a message while they change, and never sees half a change', async () => {
  const cluster = await startNode('watched', { meta: 'watched' });
  const worker = new Worker(new URL('../helpers/reader-worker.mjs', import.meta.url), {
    workerData: cluster.memberHandle,
  });
  try {
    cluster.on('handle', (handle) => worker.postMessage(handle));
    await crowd(cluster, 40);
    await untilMembers(cluster, (members) => members.length === 41);
    worker.postMessage('count');
    const [report] = (await once(worker, 'message')) as [
      { count: number; torn: number; reads: number; isStale: boolean },
    ];
    expect(report).toMatchObject({ count: 41, torn: 0, isStale: false });
    expect(report.reads).toBeGreaterThanOrEqual(1000);
  } finally {
    await worker.terminate();
  }
});

it('a reader whose memory was outgrown keeps its last answer, says so, and goes on with the new handle', async () => {
  // Few names fit at first: metadata of 512 bytes makes the profiles outgrow their first memory.
  const cluster = await startNode('watched', { meta: 'x'.repeat(512) });
  const reader = new MemberReader(cluster.memberHandle);
  expect(reader.members().map((member) => member.name)).toEqual(['watched']);
  const handles: MemberHandle[] = [];
  cluster.on('handle', (handle) => handles.push(handle));
  const seeds = [cluster.self.address];
  for (let i = 0; handles.length === 0 && i < 400; i++) {
    await startNode(`n${i}`, { thread: 'inline', meta: `${i} `.padEnd(512, 'y'), seeds, rejoinIntervalMs: 0 });
  }
  const handle = handles.at(-1);
  expect(handle).toBeDefined();
  expect(reader.isStale).toBe(true);
  const before = reader.members().length;
  reader.replace(handle as MemberHandle);
  expect(reader.isStale).toBe(false);
  expect(reader.members().length).toBeGreaterThan(before);
  expect(reader.members().length).toBe(cluster.members().length);
}, 60_000);

it('refuses a handle for members that are not in shared memory', async () => {
  const cluster = await startNode('inline', { thread: 'inline' });
  expect(() => cluster.memberHandle).toThrow(/thread 'worker'/);
});
