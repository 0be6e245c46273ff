// Replicated maps on real sockets.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ClusterMap, MapChange } from 'hearsay';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNode, startNodes } from '../helpers/clusters.ts';

const KILLS = 100;
let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearsay-map-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();

/** Resolves once the condition holds; looks again after each change of the map. */
async function until(map: ClusterMap, condition: () => boolean): Promise<void> {
  const changes = map.subscribe({ signal: AbortSignal.timeout(20_000) });
  if (condition()) return void (await changes.return());
  for await (const _ of changes) if (condition()) return;
  throw new Error(`${map.name} did not get there: ${JSON.stringify(map.stats)}`);
}

describe.each(['worker', 'inline'] as const)('a map of a cluster on thread %s', (thread) => {
  it('spreads, repairs, and is read by name', async () => {
    const nodes = await startNodes(['a', 'b', 'c'], { thread });
    const maps = nodes.map((node) => node.map('services', { antiEntropyIntervalMs: 500 }));
    const [a, b, c] = maps as [ClusterMap, ClusterMap, ClusterMap];
    a.setJson('config', { limit: 3 });
    a.own.set('web', '8080');
    await Promise.all([b, c].map((map) => until(map, () => map.has('config') && map.of('a').get('web') !== undefined)));
    expect(b.getJson('config')).toEqual({ limit: 3 });
    expect(c.owners()).toEqual(['a']);
    b.delete('config');
    c.set('large', new Uint8Array(50_000).fill(1));
    await Promise.all(maps.map((map) => until(map, () => !map.has('config') && map.get('large')?.length === 50_000)));
    expect(nodes[0]?.map('services')).toBe(a);
    expect(() => nodes[0]?.map('services', {})).toThrow(/is open already/);
    const report = await a.exchange('b');
    expect(report).toMatchObject({ peer: 'b', isComplete: true, strategy: 'checksum-first' });
    await expect(a.exchange('nobody')).rejects.toMatchObject({ code: 'ERR_MEMBER_UNKNOWN' });
    // Who comes late gets everything.
    const late = await startNode('late', { thread, seeds: [nodes[0]?.self.address as string] });
    const map = late.map('services');
    await until(map, () => map.get('large') !== undefined && map.of('a').get('web') !== undefined);
  });
});

describe('a map', () => {
  it('tells changes as events and as an iterator that ends with the cluster', async () => {
    const [a, b] = await startNodes(['a', 'b']);
    const [ours, theirs] = [a?.map('m') as ClusterMap, b?.map('m') as ClusterMap];
    const heard: MapChange[] = [];
    theirs.on('change', (change) => heard.push(change));
    const told: string[] = [];
    const reading = (async () => {
      for await (const { type, key, value } of theirs.subscribe({ prefix: 'x/' }))
        told.push(`${type} ${key} ${text(value)}`);
    })();
    ours.set('x/1', 'one');
    ours.set('y/1', 'other');
    await until(theirs, () => theirs.has('x/1') && theirs.has('y/1'));
    theirs.delete('x/1');
    await b?.stop();
    await reading;
    expect(told).toEqual(['set x/1 one', 'delete x/1 undefined']);
    expect(heard.map(({ key }) => key).sort()).toEqual(['x/1', 'x/1', 'y/1']);
    expect(() => theirs.set('x/2', 'v')).toThrow(expect.objectContaining({ code: 'ERR_MAP_CLOSED' }));
    expect(text(theirs.get('y/1'))).toBe('other');
  });

  it('is not to be had by a node that speaks plain memberlist', async () => {
    const node = await startNode('plain', { tuning: { extensions: false } });
    expect(() => node.map('m')).toThrow(expect.objectContaining({ code: 'ERR_MAP_UNAVAILABLE' }));
  });

  it('is written to disk and restored; a damaged or missing file says so', async () => {
    const file = join(directory, 'one');
    const map = (await startNode('a')).map('m');
    map.set('k', 'v');
    await expect(map.snapshot(file)).resolves.toBeGreaterThan(20);
    const other = (await startNode('b')).map('m');
    await expect(other.restore(file)).resolves.toMatchObject({ records: 1 });
    expect(text(other.get('k'))).toBe('v');
    await writeFile(`${file}.cut`, (await readFile(file)).subarray(0, 30));
    await expect(other.restore(`${file}.cut`)).rejects.toMatchObject({ code: 'ERR_SNAPSHOT_INVALID' });
    await expect(other.restore(`${file}.none`)).rejects.toMatchObject({ code: 'ERR_SNAPSHOT_FAILED' });
    await expect(map.snapshot(join(directory, 'no', 'such', 'place'))).rejects.toMatchObject({
      code: 'ERR_SNAPSHOT_FAILED',
    });
  });

  it(`finds the old or the new snapshot after kill -9 in the middle of one, ${KILLS} times`, {
    timeout: 120_000,
  }, async () => {
    const reader = (await startNode('reader')).map('m');
    const script = fileURLToPath(new URL('../helpers/snapshot-writer.mjs', import.meta.url));
    const file = join(directory, 'killed');
    for (let kill = 0; kill < KILLS; kill++) {
      const child = spawn(process.execPath, [script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
      let written = 0;
      for await (const line of createInterface({ input: child.stdout })) {
        written = Number(line);
        // While the next one is being written, a little later each time.
        if (written > kill % 5) child.kill('SIGKILL');
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      expect(child.signalCode).toBe('SIGKILL');
      const { records } = await reader.restore(file);
      expect(records).toBe(201);
      // The one that was said to be written, or the one that was under way. This writer's count is newer than those of writers before it.
      expect(Number(text(reader.get('count')))).toBeGreaterThanOrEqual(written);
    }
    // At most what the last one was writing lies beside it.
    const left = (await readdir(directory)).filter((name) => name.startsWith('killed') && name !== 'killed.tmp');
    expect(left).toEqual(['killed']);
  });
});
