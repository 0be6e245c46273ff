// Random tables, encoded by the twin and by C++ under random budgets, and read back with random damage: results and arenas must
// be equal byte for byte.
import { describe, expect, it } from 'vitest';
import { grownPacketCodecArena } from '../../src/kernels/arenas/packet-codec.ts';
import { Hash64 } from '../../src/kernels/js/hash64.ts';
import { Prng } from '../../src/util/prng.ts';
import { ENGINES } from './member-table.fixtures.ts';
import { SyncRig, someMember, stir } from './sync.fixtures.ts';

const EPISODES = Number(process.env['HEARSAY_TWIN_EPISODES'] ?? 40);
const DAMAGES = 60;

describe.skipIf(ENGINES.length < 2)('delta of twin and C++', () => {
  it(`leave the same bytes behind after each step of ${EPISODES} random tables`, () => {
    const hash = new Hash64();
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
      const sizes = { capacity, blockBytes: 2000 + prng.below(60000), dictionaryCapacity: 1 << prng.below(8) };
      const specs = Array.from({ length: 1 + prng.below(capacity) }, (_, i) => someMember(prng, i));
      const budget = 1300 + prng.below(sizes.blockBytes - 1300);
      const seedOfStir = prng.next();
      const rigs = ENGINES.map((engine) => {
        const rig = new SyncRig(engine, options, {}, sizes);
        rig.merge(1, specs);
        stir(rig, specs, new Prng(seedOfStir));
        rig.codec.rehome(grownPacketCodecArena(rig.codec.arena, { inboxBytes: 65536, scratchBytes: 65536 }));
        return { rig, blocks: rig.encode(rig.used(), budget) };
      });
      const [js, native] = rigs as [(typeof rigs)[0], (typeof rigs)[0]];
      expect(
        native.blocks.map((block) => Buffer.from(block).toString('hex')),
        `seed ${seed}`,
      ).toEqual(js.blocks.map((block) => Buffer.from(block).toString('hex')));
      expect(Buffer.from(native.rig.delta.arena).equals(Buffer.from(js.rig.delta.arena)), `seed ${seed}: arena`).toBe(
        true,
      );
      for (const block of js.blocks) {
        for (let i = 0; i < DAMAGES; i++) {
          const input = block.slice(0, i > 0 && prng.below(6) === 0 ? prng.below(block.length) : block.length);
          for (let k = Math.min(i, prng.below(4)); k > 0 && input.length > 0; k--) {
            input[prng.below(prng.below(2) === 0 ? Math.min(20, input.length) : input.length)] = prng.below(256);
          }
          if (input.length > 4 && prng.below(8) !== 0) {
            hash.xxh3(input, 4, input.length - 4, 0, 0);
            new DataView(input.buffer).setUint32(0, hash.low, true);
          }
          const [a, b] = [js, native].map(({ rig }) => {
            rig.codec.u8.set(input, rig.codec.inboxOffset);
            return rig.delta.decode(rig.codec, 0, input.length);
          });
          expect(b, `seed ${seed}, damage ${i}`).toBe(a);
          expect(
            Buffer.from(native.rig.codec.arena).equals(Buffer.from(js.rig.codec.arena)),
            `seed ${seed}, damage ${i}: codec`,
          ).toBe(true);
          expect(
            Buffer.from(native.rig.delta.arena).equals(Buffer.from(js.rig.delta.arena)),
            `seed ${seed}, damage ${i}: delta`,
          ).toBe(true);
        }
      }
    }
  });
});
