// Random tables, hashed, summed, sketched, peeled and matched by the twin and by C++: the arenas must be equal byte for byte.
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/util/prng.ts';
import { ENGINES, type Rig } from './member-table.fixtures.ts';
import { SyncRig, someMember, stir } from './sync.fixtures.ts';

const EPISODES = Number(process.env['HEARSAY_TWIN_EPISODES'] ?? 60);

const same = (a: Rig['table']['arena'], b: Rig['table']['arena']): boolean => Buffer.from(a).equals(Buffer.from(b));

describe.skipIf(ENGINES.length < 2)('digest of twin and C++', () => {
  it(`leave the same bytes behind after each step of ${EPISODES} random tables`, () => {
    for (let seed = 1; seed <= EPISODES; seed++) {
      const prng = new Prng(seed);
      const capacity = 1 + prng.below(300);
      const options = {
        capacity,
        nameHeapBytes: capacity * 128,
        profileHeapBytes: capacity * 512,
        records: capacity,
        outCapacity: capacity + 1,
      };
      const sizes = {
        capacity,
        cellCapacity: 4 + prng.below(400),
        nameCapacity: 1 + prng.below(300),
        rangeCapacity: 64,
      };
      const specs = Array.from({ length: prng.below(capacity + 1) }, (_, i) => someMember(prng, i));
      const changed = specs.map((spec) =>
        prng.below(10) === 0 ? { ...spec, incarnation: spec.incarnation + 1 } : spec,
      );
      const key = [prng.next(), prng.next(), prng.next(), prng.next()] as const;
      const salt = prng.next();
      const cells = 4 * (1 + prng.below(Math.floor(sizes.cellCapacity / 4)));
      const bits = prng.below(7);
      const seedOfStir = prng.next();
      const runs = ENGINES.map((engine) => {
        const theirs = new SyncRig(engine, options, sizes);
        theirs.merge(1, changed);
        theirs.setKey(key, salt);
        const rig = new SyncRig(engine, options, sizes);
        rig.merge(1, specs);
        stir(rig, specs, new Prng(seedOfStir));
        rig.setKey(key, salt);
        const sketch = theirs.sketch(cells);
        const results = [rig.digest.hashTable(rig.table), rig.digest.rangeSums(bits)];
        const found = rig.digest.peel(cells, sketch, 0);
        results.push(found, found < 0 ? 0 : rig.digest.match(found), rig.digest.match(sizes.nameCapacity >> 1));
        // Another key makes all kept hashes stale.
        rig.setKey([key[1], key[0], key[2], key[3]], salt);
        results.push(rig.digest.hashTable(rig.table));
        return { rig, results, sketch };
      });
      const [js, native] = runs as [(typeof runs)[0], (typeof runs)[0]];
      expect(native.results, `seed ${seed}`).toEqual(js.results);
      expect(Buffer.from(native.sketch).equals(js.sketch), `seed ${seed}: sketch`).toBe(true);
      expect(same(native.rig.digest.arena, js.rig.digest.arena), `seed ${seed}: digest`).toBe(true);
      expect(same(native.rig.names.arena, js.rig.names.arena), `seed ${seed}: names`).toBe(true);
      expect(same(native.rig.profiles.arena, js.rig.profiles.arena), `seed ${seed}: profiles`).toBe(true);
    }
  });

  it('peel the same from noise and damaged sketches', () => {
    const prng = new Prng(77);
    const rigs = ENGINES.map((engine) => new SyncRig(engine, { capacity: 64 }));
    for (const rig of rigs)
      rig.merge(
        1,
        Array.from({ length: 20 }, (_, i) => someMember(new Prng(i), i)),
      );
    for (let i = 0; i < 500; i++) {
      const cells = 4 * (1 + prng.below(24));
      const sketch = (rigs[0] as SyncRig).sketch(cells);
      for (let k = prng.below(6); k > 0; k--) sketch[prng.below(sketch.length)] = prng.below(256);
      const [js, native] = rigs.map((rig) => {
        rig.digest.hashTable(rig.table);
        return { found: rig.digest.peel(cells, sketch, 0), arena: rig.digest.arena };
      });
      expect(native?.found).toBe(js?.found);
      expect(same(native?.arena as ArrayBuffer, js?.arena as ArrayBuffer)).toBe(true);
    }
  });
});
