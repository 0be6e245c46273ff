import { describe, expect, test } from 'vitest';
import { createInternerArena, grownInternerArena } from '../../src/kernels/arenas/interner.ts';
import type { Arena, Interner } from '../../src/kernels/contract.ts';
import { JsInterner } from '../../src/kernels/js/interner.ts';
import { NativeInterner } from '../../src/kernels/native/interner.ts';
import { loadNative } from '../../src/kernels/native.ts';
import { Prng } from '../../src/util/prng.ts';

const STEPS = 400;
/** HEARSAY_TWIN_OPS makes a longer run. */
const RUNS = Math.ceil(Number(process.env['HEARSAY_TWIN_OPS'] ?? 16_000) / STEPS);

/** One random step on an interner; the same draws give the same step. Returns what the interner answered. */
function step(random: Prng, interner: Interner, held: readonly number[]): { result: number; kind: string } {
  const kind = random.below(10);
  // Few different names, so that hits, chains and reuse of ids all happen; lengths across several block classes.
  const name = new Uint8Array(1 + random.below(6) * 13);
  new Prng(random.below(40)).fill(name);
  const id = held[random.below(Math.max(1, held.length))] ?? 0;
  if (kind < 5) return { result: interner.intern(name), kind: 'intern' };
  if (kind < 6) return { result: interner.lookup(name), kind: 'lookup' };
  if (id === 0) return { result: 0, kind: 'nothing' };
  if (kind < 7) {
    interner.retain(id);
    return { result: id, kind: 'intern' };
  }
  interner.release(id);
  return { result: id, kind: 'release' };
}

const bytesOfArena = (arena: Arena): Buffer => Buffer.from(arena as ArrayBuffer);

describe.runIf(loadNative().addon)('both interners', () => {
  test(`leave the same bytes behind after each step of ${RUNS} random runs`, { timeout: 3_600_000 }, () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      // Small enough to run out of ids and of heap.
      const options = { capacity: 24, heapBytes: 1024, hashSeed: seed * 77, shared: seed % 2 === 0 };
      const pair: Interner[] = [
        new JsInterner(createInternerArena(options)),
        new NativeInterner(createInternerArena(options)),
      ];
      const draws = pair.map(() => new Prng(seed));
      let held: number[] = [];
      for (let at = 0; at < STEPS; at++) {
        const where = `seed ${seed}, step ${at}`;
        const [ours, theirs] = pair.map((interner, i) => step(draws[i] as Prng, interner, held));
        expect(theirs, where).toEqual(ours);
        const [js, native] = pair.map((interner) => bytesOfArena(interner.arena));
        expect((js as Buffer).equals(native as Buffer), where).toBe(true);
        const { kind, result } = ours as { kind: string; result: number };
        if (kind === 'intern' && result > 0) held = [...held, result];
        if (kind === 'release') held = held.toSpliced(held.indexOf(result), 1);
        if (at === STEPS / 2) {
          for (const interner of pair)
            interner.rehome(grownInternerArena(interner.arena, { capacity: 40, heapBytes: 2048 }));
        }
      }
      expect(held.length, `seed ${seed}`).toBeGreaterThan(0);
    }
  });
});
