import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createInternerArena } from '../../src/kernels/arenas/interner.ts';
import { NativeInterner } from '../../src/kernels/native/interner.ts';
import { loadNative } from '../../src/kernels/native.ts';
import { bytesOf, textOf } from '../../src/util/bytes.ts';

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
