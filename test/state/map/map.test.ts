// The replicated map on simulated nodes: reading, writing, and becoming the same.
import { describe, expect, it } from 'vitest';
import type { MapChange, MapConflict } from '../../../src/state/replicated-map.ts';
import { concatBytes, textOf } from '../../../src/util/bytes.ts';
import type { HearsayError } from '../../../src/util/errors.ts';
import { mapCluster, untilSame } from './simulated.ts';

const text = (value: Uint8Array | undefined): string | undefined => value && textOf(value);

describe('registers', () => {
  it('are read where they were written at once, and everywhere within a second', () => {
    const { simulation, maps } = mapCluster(8);
    maps[0]?.set('a', '1');
    maps[0]?.setJson('b', { port: 80 });
    expect(text(maps[0]?.get('a'))).toBe('1');
    expect(untilSame(simulation, maps)).toBeLessThan(1000);
    for (const map of maps) {
      expect(text(map.get('a'))).toBe('1');
      expect(map.getJson('b')).toEqual({ port: 80 });
      expect(map.size).toBe(2);
      expect([...map.keys({ prefix: 'b' })]).toEqual(['b']);
    }
  });

  it('keep what was written last, and stay deleted', () => {
    const { simulation, maps } = mapCluster(3);
    maps[0]?.set('k', 'old');
    untilSame(simulation, maps);
    maps[1]?.set('k', 'new');
    expect(maps[1]?.delete('nothing')).toBe(false);
    untilSame(simulation, maps);
    expect(maps.map((map) => text(map.get('k')))).toEqual(['new', 'new', 'new']);
    expect(maps[2]?.delete('k')).toBe(true);
    untilSame(simulation, maps);
    expect(maps.map((map) => map.has('k'))).toEqual([false, false, false]);
    expect(maps[0]?.size).toBe(0);
  });

  it('decide alike on both sides of a partition, and tell of the conflict where both meet', () => {
    const { simulation, maps } = mapCluster(4);
    const heard: MapConflict[][] = maps.map(() => []);
    for (const [i, map] of maps.entries()) {
      map.onConflict((conflict) => {
        heard[i]?.push(conflict);
        return undefined;
      });
    }
    maps[0]?.set('k', 'before');
    untilSame(simulation, maps);
    const heal = simulation.partition(['n0', 'n1']);
    maps[0]?.set('k', 'left');
    simulation.run(10);
    maps[2]?.set('k', 'right');
    simulation.run(5000);
    expect(heard.flat()).toEqual([]);
    heal();
    untilSame(simulation, maps, 120_000);
    expect(maps.map((map) => text(map.get('k')))).toEqual(['right', 'right', 'right', 'right']);
    for (const conflicts of heard.slice(0, 2)) {
      expect(conflicts).toHaveLength(1);
      expect([text(conflicts[0]?.winner.value), conflicts[0]?.winner.node]).toEqual(['right', 'n2']);
      expect([text(conflicts[0]?.loser.value), conflicts[0]?.loser.node]).toEqual(['left', 'n0']);
    }
  });

  it('let the node whose write lost write again, once', () => {
    const { simulation, maps } = mapCluster(5);
    for (const map of maps)
      map.onConflict(({ winner, loser }) =>
        concatBytes([winner.value ?? new Uint8Array(0), loser.value ?? new Uint8Array(0)]),
      );
    const heal = simulation.partition(['n0', 'n1']);
    maps[0]?.set('k', 'a');
    simulation.run(10);
    maps[4]?.set('k', 'b');
    simulation.run(3000);
    heal();
    untilSame(simulation, maps, 120_000);
    expect(maps.map((map) => text(map.get('k')))).toEqual(['ba', 'ba', 'ba', 'ba', 'ba']);
    expect(maps.reduce((sum, map) => sum + map.stats.written, 0)).toBe(3);
  });

  it('see no conflict when one writer had seen the other', () => {
    const { simulation, maps } = mapCluster(3);
    for (let i = 0; i < 10; i++) {
      maps[i % 3]?.set('k', `${i}`);
      untilSame(simulation, maps);
    }
    expect(maps.map((map) => map.stats.conflicts)).toEqual([0, 0, 0]);
  });

  it('end when their time is over, on all nodes, without a message', () => {
    const { simulation, maps } = mapCluster(3, { antiEntropyIntervalMs: 0 });
    maps[0]?.set('k', 'for a while', { ttlMs: 5000 });
    untilSame(simulation, maps);
    simulation.run(4000);
    expect(maps.map((map) => map.has('k'))).toEqual([true, true, true]);
    simulation.run(2000);
    expect(maps.map((map) => map.has('k'))).toEqual([false, false, false]);
    expect(maps.map((map) => map.stats.expired)).toEqual([1, 1, 1]);
  });

  it('reach all although nearly every packet is lost', () => {
    const { simulation, maps } = mapCluster(5);
    simulation.network.options = { ...simulation.network.options, loss: 0.3 };
    for (let i = 0; i < 300; i++) maps[i % 5]?.set(`k${i}`, `${i}`);
    untilSame(simulation, maps, 120_000);
    expect(maps[4]?.size).toBe(300);
  });

  it('travel over a stream when they are large, once per node', () => {
    const { simulation, maps } = mapCluster(6, { antiEntropyIntervalMs: 0 });
    maps[0]?.set('large', new Uint8Array(60_000).fill(7));
    untilSame(simulation, maps);
    const sent = maps.reduce((sum, map) => sum + map.stats.streamBytes, 0);
    expect(sent).toBeLessThan(2 * 5 * 60_000);
    expect(sent).toBeGreaterThan(5 * 60_000);
  });
});

describe('what a node owns', () => {
  it('is read by others, written by nobody else, and outlives its owner for a while', () => {
    const { simulation, maps } = mapCluster(4, { ownerTtlMs: 20_000, certificateIntervalMs: 4000 });
    maps[1]?.own.setJson('web', { port: 1 });
    maps[2]?.own.set('web', 'two');
    untilSame(simulation, maps);
    expect(maps[0]?.owners().sort()).toEqual(['n1', 'n2']);
    expect(text(maps[0]?.of('n2').get('web'))).toBe('two');
    expect([...(maps[0]?.of('n1').entries() ?? [])].map(([key]) => key)).toEqual(['web']);
    expect(maps[0]?.size).toBe(0);
    simulation.crash('n1');
    simulation.run(15_000);
    expect(maps[0]?.owners().sort()).toEqual(['n1', 'n2']);
    simulation.run(60_000);
    for (const i of [0, 2, 3]) expect(maps[i]?.owners()).toEqual(['n2']);
  });

  it('comes back with its owner after a partition that was longer than that', () => {
    const { simulation, maps } = mapCluster(4, { ownerTtlMs: 10_000, certificateIntervalMs: 4000 });
    maps[3]?.own.set('web', 'here');
    untilSame(simulation, maps);
    const heal = simulation.partition(['n3']);
    simulation.run(60_000);
    expect(maps[0]?.owners()).toEqual([]);
    heal();
    simulation.until(() => maps.every((map) => text(map.of('n3').get('web')) === 'here'), 120_000);
    untilSame(simulation, maps, 60_000);
  });
});

describe('counters, sets and registers', () => {
  it('add up what all nodes added, on both sides of a partition', () => {
    const { simulation, maps } = mapCluster(4);
    const heal = simulation.partition(['n0', 'n1']);
    for (const [i, map] of maps.entries()) map.counter('hits').add(10 ** i);
    maps[3]?.counter('hits').add(-1);
    simulation.run(3000);
    heal();
    untilSame(simulation, maps, 120_000);
    expect(maps.map((map) => map.counter('hits').value)).toEqual([1110, 1110, 1110, 1110]);
    expect(() => maps[0]?.counter('hits').add(0.5)).toThrow(/amount: expected a whole number/);
  });

  it('keep an element that was added anew while somebody deleted it', () => {
    const { simulation, maps } = mapCluster(2);
    const [a, b] = maps.map((map) => map.orSet('s'));
    a?.add('x');
    a?.add('y');
    untilSame(simulation, maps);
    const heal = simulation.partition(['n0']);
    expect(a?.delete('x')).toBe(true);
    expect(a?.delete('y')).toBe(true);
    b?.add('x');
    simulation.run(1000);
    heal();
    untilSame(simulation, maps, 120_000);
    expect(a?.texts()).toEqual(['x']);
    expect(b?.texts()).toEqual(['x']);
    expect(a?.delete('z')).toBe(false);
  });

  it('show what was written side by side, until somebody who saw it writes', () => {
    const { simulation, maps } = mapCluster(3);
    const registers = maps.map((map) => map.register('r'));
    registers[0]?.set('first');
    untilSame(simulation, maps);
    const heal = simulation.partition(['n0']);
    registers[0]?.set('left');
    registers[1]?.set('middle');
    registers[1]?.set('right');
    simulation.run(1000);
    heal();
    untilSame(simulation, maps, 120_000);
    for (const register of registers) expect(register.texts().sort()).toEqual(['left', 'right']);
    registers[2]?.set('merged');
    untilSame(simulation, maps);
    for (const register of registers) expect(register.texts()).toEqual(['merged']);
    expect(registers[1]?.delete()).toBe(true);
    untilSame(simulation, maps);
    expect(registers[0]?.texts()).toEqual([]);
  });
});

describe('limits', () => {
  it('are named in the error, and nothing is written', () => {
    const { maps } = mapCluster(1, { limits: { keyBytes: 8, valueBytes: 10, records: 3, totalBytes: 100 } });
    const [map] = maps;
    const code = (step: () => void): string | undefined => {
      try {
        step();
      } catch (error) {
        return `${(error as HearsayError).code} ${(error as Error).message}`;
      }
      return undefined;
    };
    expect(code(() => map?.set('123456789', ''))).toBe('ERR_MAP_LIMIT key: expected at most 8 bytes, got 9');
    expect(code(() => map?.set('', ''))).toBe('ERR_MAP_LIMIT key: expected at least one byte');
    expect(code(() => map?.set('k', '12345678901'))).toBe('ERR_MAP_LIMIT value: expected at most 10 bytes, got 11');
    expect(code(() => map?.set('k', 'v', { ttlMs: -1 }))).toMatch(/^ERR_ARGUMENT_INVALID ttlMs/);
    expect(map?.size).toBe(0);
    for (let i = 0; i < 3; i++) map?.set(`k${i}`, 'v');
    expect(code(() => map?.set('k4', 'v'))).toMatch(/^ERR_MAP_LIMIT records: expected at most 3/);
    map?.set('k0', 'w');
    map?.close();
    expect(code(() => map?.set('k0', 'x'))).toBe('ERR_MAP_CLOSED map "m" was closed');
    expect(text(map?.get('k0'))).toBe('w');
  });

  it('refuses options that do not exist or are out of range, all of them at once', () => {
    expect(() => mapCluster(1, { gossipFanout: -1, mode: 'shout' as never, typo: 1 } as never)).toThrow(
      /typo: is no option of a map; mode: expected one of pushPull, push, pull, got shout; gossipFanout: expected a whole number from 0 to 100, got -1/,
    );
    expect(() => mapCluster(1, { limits: { keys: 1 } as never })).toThrow(/limits: expected some of keyBytes/);
  });
});

describe('changes', () => {
  it('are told on every node, with what was there before', () => {
    const { simulation, maps } = mapCluster(2);
    const heard: MapChange[] = [];
    const stop = maps[1]?.onChange((change) => heard.push(change));
    maps[0]?.set('k', '1');
    untilSame(simulation, maps);
    maps[0]?.set('k', '2');
    untilSame(simulation, maps);
    maps[1]?.delete('k');
    maps[1]?.own.set('o', 'mine');
    maps[1]?.orSet('s').add('e');
    stop?.();
    maps[1]?.set('unheard', '');
    const told = heard.map(({ type, space, key, value, previous, node, isLocal }) =>
      [type, space, key, text(value), text(previous), node, isLocal].join(' '),
    );
    expect(told).toEqual([
      'set shared k 1  n0 false',
      'set shared k 2 1 n0 false',
      'delete shared k  2 n1 true',
      'set own o mine  n1 true',
      'set set s e  n1 true',
    ]);
  });
});

describe('exchanges', () => {
  it('say who has no such map, and leave it alone', () => {
    const { simulation } = mapCluster(2);
    const lonely = simulation.map('n0', 'lonely', { antiEntropyIntervalMs: 1000 });
    simulation.run(5000);
    expect(lonely.peers).toEqual([]);
    simulation.map('n1', 'lonely').set('k', 'v');
    simulation.until(() => lonely.has('k'), 30_000);
  });

  it.each(['pushPull', 'push', 'pull'] as const)('go the way that %s says', (mode) => {
    const { simulation, maps } = mapCluster(2, { antiEntropyIntervalMs: 0, gossipFanout: 0, mode });
    maps[0]?.set('a', 'from n0');
    maps[1]?.set('b', 'from n1');
    let isDone = false;
    maps[0]?.exchange('n1', ({ isComplete }) => {
      isDone = isComplete;
    });
    simulation.until(() => isDone, 5000);
    simulation.run(1000);
    expect([maps[0]?.has('b'), maps[1]?.has('a')]).toEqual([mode !== 'push', mode !== 'pull']);
  });

  it.each(['checksumFirst', 'range', 'merkle', 'scuttlebutt', 'peelBack'] as const)('work with %s', (strategy) => {
    const { simulation, maps } = mapCluster(3, { antiEntropyIntervalMs: 500, gossipFanout: 0, strategy });
    for (let i = 0; i < 200; i++) maps[i % 3]?.set(`k${i % 150}`, `${i}`);
    untilSame(simulation, maps, 60_000);
    expect(maps[0]?.size).toBe(150);
  });

  it('cost next to nothing when all is the same', () => {
    const { simulation, maps } = mapCluster(4);
    for (let i = 0; i < 500; i++) maps[0]?.set(`k${i}`, `${i}`);
    untilSame(simulation, maps);
    simulation.run(60_000);
    const before = maps.map(({ stats }) => stats.packetBytes + stats.streamBytes);
    simulation.run(100_000);
    const bytes = maps.map(({ stats }, i) => stats.packetBytes + stats.streamBytes - (before[i] as number));
    // Ten exchanges of one's own and ten of others, a short packet each.
    for (const each of bytes) expect(each).toBeLessThan(20 * 60);
  });
});

describe('tombstones', () => {
  it('go once all live members have them, and some members keep them aside', () => {
    const { simulation, maps } = mapCluster(6, { certificateIntervalMs: 4000, retentionSites: 2 });
    for (let i = 0; i < 20; i++) maps[0]?.set(`k${i}`, 'v');
    untilSame(simulation, maps);
    for (let i = 0; i < 20; i++) maps[i % 6]?.delete(`k${i}`);
    untilSame(simulation, maps);
    expect(maps.map(({ stats }) => stats.tombstones)).toEqual([20, 20, 20, 20, 20, 20]);
    simulation.until(() => maps.every(({ stats }) => stats.tombstones === 0), 60_000);
    expect(maps.reduce((sum, { stats }) => sum + stats.dormant, 0)).toBe(40);
    simulation.run(60_000);
    expect(maps.map(({ size }) => size)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('stay while a live member does not have them', () => {
    const { simulation, maps } = mapCluster(3, {
      certificateIntervalMs: 4000,
      antiEntropyIntervalMs: 0,
      gossipFanout: 0,
    });
    maps[0]?.set('k', 'v');
    maps[0]?.delete('k');
    simulation.run(60_000);
    expect(maps[0]?.stats.tombstones).toBe(1);
  });

  it('do not let a long absent node bring back what was deleted', () => {
    const { simulation, maps } = mapCluster(4, { certificateIntervalMs: 4000 });
    maps[0]?.set('k', 'v');
    untilSame(simulation, maps);
    const heal = simulation.partition(['n3']);
    maps[0]?.delete('k');
    simulation.until(() => [0, 1, 2].every((i) => maps[i]?.stats.tombstones === 0), 120_000);
    expect(maps[3]?.has('k')).toBe(true);
    heal();
    untilSame(simulation, maps, 120_000);
    expect(maps.map((map) => map.has('k'))).toEqual([false, false, false, false]);
  });

  it('awake when an older write comes that nobody had seen', () => {
    const { simulation, maps } = mapCluster(4, { certificateIntervalMs: 4000, retentionSites: 2 });
    maps[0]?.set('k', 'v');
    untilSame(simulation, maps);
    const heal = simulation.partition(['n3']);
    maps[3]?.set('k', 'unseen');
    simulation.run(2000);
    maps[0]?.set('k', 'newer');
    simulation.run(1000);
    maps[0]?.delete('k');
    simulation.until(() => [0, 1, 2].every((i) => maps[i]?.stats.tombstones === 0), 120_000);
    heal();
    simulation.until(() => maps.every((map) => !map.has('k')), 120_000);
    expect(maps.reduce((sum, { stats }) => sum + stats.awakened, 0)).toBeGreaterThan(0);
    simulation.until(() => maps.every(({ stats }) => stats.tombstones === 0), 120_000);
    expect(maps.map((map) => map.has('k'))).toEqual([false, false, false, false]);
  });
});

describe('clocks', () => {
  it('are later than what was seen although the wall is behind', () => {
    const { simulation, maps } = mapCluster(2, {}, { seed: 1 });
    const late = simulation.addNode('late', { clockRate: 0.98 });
    simulation.act(late.name, (engine, now) => engine.join(now, [simulation.node('n0').address]));
    const map = simulation.map('late', 'm');
    simulation.run(60_000);
    maps[0]?.set('k', 'ahead');
    simulation.until(() => map.has('k'), 10_000);
    map.set('k', 'behind');
    untilSame(simulation, [...maps, map]);
    expect(text(maps[0]?.get('k'))).toBe('behind');
  });

  it('that run too far ahead are not believed, until time has passed', () => {
    const { simulation, maps } = mapCluster(2, { clockDriftMaxMs: 100, antiEntropyIntervalMs: 1000 });
    // 1.02 times as fast: four seconds ahead by now.
    simulation.run(200_000);
    simulation.addNode('ahead', { clockRate: 1.02 });
    const map = simulation.map('ahead', 'm', { clockDriftMaxMs: 100, antiEntropyIntervalMs: 1000 });
    simulation.act('ahead', (engine, now) => engine.join(now, [simulation.node('n0').address]));
    simulation.until(() => map.peers.length === 2, 10_000);
    map.set('k', 'from the future');
    simulation.run(1500);
    expect(maps.map((each) => each.has('k'))).toEqual([false, false]);
    expect((maps[0]?.stats.refused ?? 0) + (maps[1]?.stats.refused ?? 0)).toBeGreaterThan(0);
    untilSame(simulation, [...maps, map], 30_000);
    expect(text(maps[1]?.get('k'))).toBe('from the future');
  });
});
