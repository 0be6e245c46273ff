// Snapshots: what they hold, and that a damaged one is found out.
import { describe, expect, it } from 'vitest';
import { concatBytes, textOf } from '../../../src/util/bytes.ts';
import { Prng } from '../../../src/util/prng.ts';
import { mapCluster, untilSame } from './simulated.ts';

function filled(): { readonly bytes: Uint8Array; readonly lines: string[] } {
  const { simulation, maps } = mapCluster(3, { certificateIntervalMs: 4000 });
  for (let i = 0; i < 60; i++) maps[i % 3]?.set(`k${i}`, `value ${i}`);
  maps[0]?.own.set('o', 'mine');
  maps[1]?.orSet('s').add('e');
  maps[2]?.counter('c').add(3);
  untilSame(simulation, maps);
  for (let i = 0; i < 10; i++) maps[0]?.delete(`k${i}`);
  untilSame(simulation, maps);
  simulation.run(30_000);
  for (let i = 10; i < 15; i++) maps[0]?.delete(`k${i}`);
  return { bytes: concatBytes([...(maps[0]?.snapshot() ?? [])]), lines: maps[0]?.dump() ?? [] };
}

describe('a snapshot', () => {
  it('holds everything, deleted and owned, and can be taken over by a fresh map', () => {
    const { bytes, lines } = filled();
    const { simulation, maps } = mapCluster(1);
    expect(maps[0]?.restore(bytes)).toEqual({ records: lines.length, bytes: bytes.length });
    // What it owned is written anew, in this life.
    const others = (dump: readonly string[] | undefined) => dump?.filter((line) => !line.startsWith('2,'));
    expect(others(maps[0]?.dump())).toEqual(others(lines));
    expect(textOf(maps[0]?.own.get('o') as Uint8Array)).toBe('mine');
    expect(maps[0]?.stats.tombstones).toBe(5);
    expect(maps[0]?.counter('c').value).toBe(3);
    // What is written afterwards is newer, whatever the clocks.
    maps[0]?.set('k20', 'after');
    simulation.run(1000);
    expect(textOf(maps[0]?.get('k20') as Uint8Array)).toBe('after');
  });

  it('is refused when it is cut anywhere or any bit is changed, and nothing is taken over', () => {
    const { bytes } = filled();
    const { maps } = mapCluster(1);
    const [map] = maps;
    const refuses = (damaged: Uint8Array): void => {
      expect(() => map?.restore(damaged)).toThrow(expect.objectContaining({ code: 'ERR_SNAPSHOT_INVALID' }));
    };
    for (let length = 0; length < bytes.length; length++) refuses(bytes.subarray(0, length));
    const prng = new Prng(7);
    for (let i = 0; i < bytes.length; i++) {
      const damaged = bytes.slice();
      damaged[i] = (damaged[i] as number) ^ (1 << prng.below(8));
      refuses(damaged);
    }
    refuses(concatBytes([bytes, Uint8Array.of(0)]));
    expect(map?.stats.records).toBe(0);
    map?.restore(bytes);
    expect(map?.size).toBe(45);
  });

  it('of another map is refused by name', () => {
    const { bytes } = filled();
    const { simulation } = mapCluster(1);
    expect(() => simulation.map('n0', 'other').restore(bytes)).toThrow('it is of map "m", not "other"');
  });

  it('that is old does not bring back what was deleted since', () => {
    const { simulation, maps } = mapCluster(4, { certificateIntervalMs: 4000 });
    maps[0]?.set('k', 'v');
    untilSame(simulation, maps);
    const old = concatBytes([...(maps[3]?.snapshot() ?? [])]);
    maps[1]?.delete('k');
    simulation.until(() => maps.every(({ stats }) => stats.tombstones === 0), 120_000);
    simulation.crash('n3');
    simulation.run(20_000);
    simulation.restart('n3');
    const back = simulation.map('n3', 'm', { certificateIntervalMs: 4000 });
    back.restore(old);
    expect(back.has('k')).toBe(true);
    simulation.act('n3', (engine, now) => engine.join(now, [simulation.node('n0').address]));
    const all = [...maps.slice(0, 3), back];
    untilSame(simulation, all, 120_000);
    expect(all.map((map) => map.has('k'))).toEqual([false, false, false, false]);
  });

  it('covers no more than it holds although the map is written meanwhile', () => {
    const { simulation, maps } = mapCluster(2);
    for (let i = 0; i < 3000; i++) maps[0]?.set(`k${i}`, 'x'.repeat(60));
    const chunks: Uint8Array[] = [];
    let i = 0;
    for (const chunk of maps[0]?.snapshot() ?? []) {
      chunks.push(chunk);
      maps[0]?.set(`k${(i * 37) % 3000}`, 'meanwhile');
      maps[0]?.delete(`k${(i * 53) % 3000}`);
      maps[0]?.set(`new ${i++}`, 'v');
    }
    expect(i).toBeGreaterThan(3);
    simulation.addNode('fresh');
    const fresh = simulation.map('fresh', 'm');
    fresh.restore(concatBytes(chunks));
    simulation.act('fresh', (engine, now) => engine.join(now, [simulation.node('n0').address]));
    untilSame(simulation, [...maps, fresh], 60_000);
  });
});
