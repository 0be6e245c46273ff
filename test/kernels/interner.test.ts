import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createInternerArena, grownInternerArena } from '../../src/kernels/arenas/interner.ts';
import { JsInterner } from '../../src/kernels/js/interner.ts';
import { Prng } from '../../src/util/prng.ts';
import { internerContract } from './interner.contract.ts';
import { ENGINES } from './member-table.fixtures.ts';

for (const { name, interner } of ENGINES) internerContract(name, interner);

describe('interner against a map', () => {
  it('holds what a map with counts holds, whatever the order of calls', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ text: fc.integer({ min: 0, max: 40 }), up: fc.boolean() }), { maxLength: 300 }),
        (steps) => {
          const interner = new JsInterner(createInternerArena({ capacity: 24, heapBytes: 24 * 48, hashSeed: 3 }));
          const model = new Map<number, number>();
          for (const { text, up } of steps) {
            const bytes = new Uint8Array(text).fill(text);
            const count = model.get(text) ?? 0;
            if (up) {
              const id = interner.intern(bytes);
              expect(id === 0).toBe(count === 0 && model.size === 24);
              if (id !== 0) model.set(text, count + 1);
            } else if (count > 0) {
              interner.release(interner.lookup(bytes));
              if (count === 1) model.delete(text);
              else model.set(text, count - 1);
            }
          }
          for (let text = 0; text <= 40; text++) {
            expect(interner.lookup(new Uint8Array(text).fill(text)) !== 0).toBe(model.has(text));
          }
        },
      ),
      { numRuns: 50, seed: 11 },
    );
  });
});

if (ENGINES.length > 1)
  describe('interner: native matches the twin', () => {
    it('leaves the same bytes after every one of 20,000 calls', () => {
      const prng = new Prng(Number(process.env['HEARSAY_TWIN_SEED'] ?? 5));
      const arenas = [0, 1].map(() => createInternerArena({ capacity: 12, heapBytes: 800, hashSeed: 77 }));
      const pair = ENGINES.map(({ interner }, i) => interner(arenas[i] as ArrayBuffer));
      const [js, native] = pair as [(typeof pair)[0], (typeof pair)[0]];
      for (let step = 0; step < 20_000; step++) {
        const bytes = new Uint8Array(prng.below(70)).fill(prng.below(6));
        const id = prng.below(js.capacity + 2);
        switch (prng.below(6)) {
          case 0:
          case 1:
          case 2:
            expect(native.intern(bytes)).toBe(js.intern(bytes));
            break;
          case 3:
            expect(native.lookup(bytes)).toBe(js.lookup(bytes));
            expect(native.bytes(id)).toEqual(js.bytes(id));
            break;
          case 4:
            for (const one of pair) one.release(id);
            break;
          default:
            for (const one of pair) one.retain(id);
        }
        if (step % 4000 === 3999) {
          const larger = { capacity: js.capacity + 5, heapBytes: 800 + Math.floor(step / 4) };
          for (const one of pair) one.rehome(grownInternerArena(one.arena, larger));
        }
        if (Buffer.compare(Buffer.from(js.arena as ArrayBuffer), Buffer.from(native.arena as ArrayBuffer)) !== 0) {
          expect.fail(`arenas differ after call ${step}`);
        }
      }
    });
  });
