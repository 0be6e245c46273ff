import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { Cluster } from 'hearsay';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { nextEvent, startNode, startNodes } from '../helpers/clusters.ts';

const servers: Server[] = [];
const sockets: Socket[] = [];

/** A seed that takes streams and never answers. */
async function silentSeed(): Promise<{ address: string; called: Promise<unknown> }> {
  const server = createServer((socket) => sockets.push(socket));
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, called: once(server, 'connection') };
}

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

describe.each(['worker', 'inline'] as const)('the life of a cluster on thread %s', (thread) => {
  it('ends at once, sockets closed, when its start is aborted while a seed keeps it waiting', async () => {
    const seed = await silentSeed();
    const free = await startNode('free', { thread });
    const { address } = free.self;
    await free.stop();
    const controller = new AbortController();
    const started = Cluster.start({
      name: 'a',
      thread,
      bind: address,
      seeds: [seed.address],
      // Longer than the test may take: only the abort can end it.
      tuning: { tcpTimeoutMs: 600_000 },
      signal: controller.signal,
    }).catch((error: unknown) => error);
    await seed.called;
    controller.abort('changed my mind');
    expect(await started).toMatchObject({ code: 'ERR_ABORTED', cause: 'changed my mind' });
    await startNode('b', { thread, bind: address });
  });

  it('is left once, however often leave is called, and the others hear of it', async () => {
    const [a, b] = (await startNodes(['a', 'b'], { thread })) as [Cluster, Cluster];
    const left = nextEvent(a, 'leave');
    await Promise.all([b.leave(), b.leave()]);
    expect(b.isStopped).toBe(true);
    expect((await left).name).toBe('b');
    await b.leave();
  });

  it('lets go of its signal when it stops', async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    const a = await startNode('a', { thread, signal });
    await a.stop();
    expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(
      expect.arrayContaining(added.mock.calls.map(([, listener]) => listener)),
    );
    expect(added).toHaveBeenCalled();
  });
});

it('a cluster whose thread is lost says so, ends its iterators and rejects what was asked of it', async () => {
  const posted = vi.spyOn(Worker.prototype, 'postMessage');
  const a = await startNode('a');
  await a.stats();
  const worker = posted.mock.contexts.at(-1) as unknown as Worker;
  posted.mockRestore();
  const iterated = (async () => {
    for await (const _ of a.events());
  })();
  const failed = once(a, 'error');
  await worker.terminate();
  expect((await failed)[0]).toMatchObject({ code: 'ERR_WORKER_FAILED' });
  expect(a.isStopped).toBe(true);
  await iterated;
  await expect(a.stats()).rejects.toMatchObject({ code: 'ERR_CLUSTER_STOPPED' });
  await a.leave();
});
