import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createInternerArena } from '../../src/kernels/arenas/interner.ts';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { MESSAGE } from '../../src/kernels/contract.ts';
import { DELTA } from '../../src/kernels/layout.ts';
import { NativeInterner } from '../../src/kernels/native/interner.ts';
import { loadNative } from '../../src/kernels/native.ts';
import { bytesOf, textOf } from '../../src/util/bytes.ts';
import { alive, writeRecords } from '../kernels/member-table.fixtures.ts';

// vitest.config.ts starts workers with --expose-gc.
const gc = (): void => (globalThis as unknown as { gc(): void }).gc();

/** Collects until `done`; finalizers of Node-API run a turn after the collection. */
async function collectUntil(done: () => boolean): Promise<boolean> {
  for (let i = 0; i < 50 && !done(); i++) {
    gc();
    await nextTurn();
  }
  return done();
}

/** Arenas of a table that knows alpha and beta. */
function twoMembers(): Record<'names' | 'profiles' | 'table', Uint8Array> {
  const { names, profiles, table, codec } = chooseBackend('native').createEngineKernels({ rngSeed: 1 });
  writeRecords(codec, [alive('alpha', 1), alive('beta', 1)]);
  expect(table.merge(0, codec, 0, 2, 0)).toBe(2);
  return { names: names.u8, profiles: profiles.u8, table: table.u8 };
}

const options = { capacity: 64, heapBytes: 64 * 1024 };

describe.runIf(loadNative().addon)('memory of arenas and handles', () => {
  test.each([true, false])('the arena outlives its handle (shared: %s)', async (shared) => {
    const arena = createInternerArena({ ...options, shared });
    let collected = false;
    const registry = new FinalizationRegistry(() => {
      collected = true;
    });
    let id = 0;
    (() => {
      const interner = new NativeInterner(arena);
      id = interner.intern(bytesOf('stays'));
      registry.register(interner, undefined);
    })();
    expect(await collectUntil(() => collected)).toBe(true);
    expect(textOf(new NativeInterner(arena).bytes(id))).toBe('stays');
  });

  test('the memory stays while only the native handle refers to it', async () => {
    // The handle alone, as a native class without its wrapper's views.
    const addon = loadNative().addon as unknown as {
      Interner: new (arena: Uint8Array) => { intern(bytes: Uint8Array): number; lookup(bytes: Uint8Array): number };
    };
    const handle = new addon.Interner(new Uint8Array(createInternerArena(options)));
    const id = handle.intern(bytesOf('kept alive'));
    for (let i = 0; i < 20; i++) {
      gc();
      await nextTurn();
      // Would take the place of memory that was let go.
      new Uint8Array(createInternerArena(options)).fill(0xff, 64);
    }
    expect(handle.lookup(bytesOf('kept alive'))).toBe(id);
  });

  test('a table keeps the interners that it works with, whoever lets them go', async () => {
    // Handles alone: names and profiles are known to nobody but the table's handle.
    const addon = loadNative().addon as unknown as Record<
      'Interner' | 'MemberTable',
      new (
        ...args: unknown[]
      ) => {
        find(name: Uint8Array): number;
        accuse(nowMs: number, slot: number, kind: number, incarnation: number): number;
      }
    >;
    const { names, profiles, table } = twoMembers();
    const handle = new addon.MemberTable(
      table.slice(),
      new addon.Interner(names.slice()),
      new addon.Interner(profiles.slice()),
    );
    for (let i = 0; i < 20; i++) {
      gc();
      await nextTurn();
      // Would take the place of memory that was let go.
      for (const taken of [names, profiles, table]) taken.slice().fill(0xff, 64);
    }
    const slot = handle.find(bytesOf('beta'));
    expect(slot).toBeGreaterThanOrEqual(0);
    expect(handle.accuse(1, slot, MESSAGE.suspect, 1)).toBe(1);
  });

  test('digest and delta take a table whose wrapper is gone, and outlive it', async () => {
    const kernels = chooseBackend('native').createEngineKernels({ rngSeed: 1 });
    const { digest, delta } = kernels.sync;
    let gone = false;
    const registry = new FinalizationRegistry(() => {
      gone = true;
    });
    const use = (): void => {
      const { table } = chooseBackend('native').createEngineKernels({ rngSeed: 1 });
      registry.register(table, undefined);
      expect(digest.hashTable(table)).toBe(0);
      expect(delta.encode(table, 0, 1, 1400)).toBe(1);
    };
    use();
    expect(await collectUntil(() => gone)).toBe(true);
    // No pointer into the table that is gone is left in them.
    expect([digest.rangeSums(2), digest.match(0), delta.u32[DELTA.outLength >>> 2]]).toEqual([4, 0, 0]);
  });

  test('an arena that C++ holds cannot be moved to another thread', () => {
    const interner = new NativeInterner(createInternerArena(options));
    const arena = interner.arena as ArrayBuffer;
    const { port1, port2 } = new MessageChannel();
    try {
      port1.postMessage(arena, [arena]);
    } catch (error) {
      // Since Node 21 an error; before, the mark turns the transfer into a copy.
      expect(error).toMatchObject({ name: 'DataCloneError' });
    } finally {
      port1.close();
      port2.close();
    }
    expect(arena.byteLength).toBeGreaterThan(0);
    expect(interner.intern(bytesOf('still here'))).toBe(1);
  });

  test('memory comes back when handle and arena are gone', async () => {
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 200; i++) {
      new NativeInterner(createInternerArena({ capacity: 64, heapBytes: 1 << 20 })).intern(bytesOf('x'));
      if (i % 20 === 19) {
        gc();
        await nextTurn();
      }
    }
    // 200 MiB were made.
    expect(await collectUntil(() => process.memoryUsage().arrayBuffers - before < 8 << 20)).toBe(true);
  });

  test('a rehomed handle lets the old arena go', async () => {
    const interner = new NativeInterner(createInternerArena(options));
    let gone = false;
    const registry = new FinalizationRegistry(() => {
      gone = true;
    });
    registry.register(interner.arena, undefined);
    interner.rehome(createInternerArena({ ...options, capacity: 128 }));
    expect(await collectUntil(() => gone)).toBe(true);
    expect(interner.intern(bytesOf('new home'))).toBe(1);
  });
});
