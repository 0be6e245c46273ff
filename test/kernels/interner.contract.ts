import { describe, expect, it } from 'vitest';
import { createInternerArena, grownInternerArena } from '../../src/kernels/arenas/interner.ts';
import type { Arena, Interner } from '../../src/kernels/contract.ts';
import { BLOCK_BYTES_MAX, HEADER, INTERNER } from '../../src/kernels/layout.ts';
import { bytesOf, textOf } from '../../src/util/bytes.ts';

const DEFAULTS = { capacity: 8, heapBytes: 512, hashSeed: 0 };

/** What every interner does. */
export function internerContract(backend: string, make: (arena: Arena) => Interner): void {
  const create = (options: Partial<Parameters<typeof createInternerArena>[0]> = {}): Interner =>
    make(createInternerArena({ ...DEFAULTS, ...options }));
  const live = (interner: Interner): number => interner.u32[HEADER.live >>> 2] as number;

  describe(`interner, ${backend}`, () => {
    it('gives the same id for the same bytes, counting from 1', () => {
      const interner = create();
      expect([interner.intern(bytesOf('a')), interner.intern(bytesOf('b')), interner.intern(bytesOf('a'))]).toEqual([
        1, 2, 1,
      ]);
      expect(live(interner)).toBe(2);
      expect(textOf(interner.bytes(2))).toBe('b');
    });

    it('says 0 for bytes it does not hold', () => {
      const interner = create();
      interner.intern(bytesOf('a'));
      expect(interner.lookup(bytesOf('a'))).toBe(1);
      expect(interner.lookup(bytesOf('b'))).toBe(0);
      expect(interner.lookup(new Uint8Array(BLOCK_BYTES_MAX + 1))).toBe(0);
    });

    it('keeps the empty string, and strings that differ in the last byte or in length only', () => {
      const interner = create();
      const texts = ['', '\0', '\0\0', 'name-1', 'name-2', 'name-'];
      const ids = texts.map((text) => interner.intern(bytesOf(text)));
      expect(new Set(ids).size).toBe(texts.length);
      expect(ids.map((id) => textOf(interner.bytes(id)))).toEqual(texts);
    });

    it('frees bytes with the last reference and hands out the last freed id first', () => {
      const interner = create();
      const [a, b, c] = ['a', 'b', 'c'].map((text) => interner.intern(bytesOf(text))) as [number, number, number];
      interner.retain(b);
      interner.release(b);
      expect(interner.lookup(bytesOf('b'))).toBe(b);
      interner.release(b);
      expect(interner.lookup(bytesOf('b'))).toBe(0);
      interner.release(a);
      expect([interner.intern(bytesOf('x')), interner.intern(bytesOf('y')), interner.intern(bytesOf('z'))]).toEqual([
        a,
        b,
        c + 1,
      ]);
      expect(live(interner)).toBe(4);
    });

    it('leaves nothing of freed bytes behind', () => {
      const interner = create();
      const secret = bytesOf('a secret of several words, longer than a link');
      const id = interner.intern(secret);
      interner.release(id);
      const left = textOf(new Uint8Array(interner.arena).slice(INTERNER.bucketsOffset));
      expect(left).not.toContain('secret');
      expect(left).not.toContain('words');
    });

    it('answers 0 and changes nothing when ids or heap run out', () => {
      const ids = create({ capacity: 2 });
      expect(['a', 'b', 'c', 'a'].map((text) => ids.intern(bytesOf(text)))).toEqual([1, 2, 0, 1]);
      const heap = create({ heapBytes: 32 });
      expect(heap.intern(bytesOf('x'.repeat(17)))).toBe(1);
      const before = new Uint8Array(heap.arena).slice();
      expect(heap.intern(bytesOf('y'))).toBe(0);
      expect(new Uint8Array(heap.arena)).toEqual(before);
    });

    it('takes strings up to the largest block and no longer', () => {
      const interner = create({ heapBytes: 2 * BLOCK_BYTES_MAX });
      const longest = new Uint8Array(BLOCK_BYTES_MAX).fill(7);
      const id = interner.intern(longest);
      expect(interner.bytes(id)).toEqual(longest);
      expect(interner.intern(new Uint8Array(BLOCK_BYTES_MAX + 1))).toBe(0);
    });

    it('ignores ids that are not in use', () => {
      const interner = create();
      interner.intern(bytesOf('a'));
      const before = new Uint8Array(interner.arena).slice();
      for (const id of [0, 2, 8, 9, 0xffffffff]) {
        interner.retain(id);
        interner.release(id);
      }
      expect(new Uint8Array(interner.arena)).toEqual(before);
    });

    it('hashes as murmur3 does', () => {
      // Published test values of MurmurHash3_x86_32.
      for (const [text, seed, hash] of [
        ['', 1, 0x514e28b7],
        ['test', 0, 0xba6bd213],
        ['Hello, world!', 0, 0xc0363e43],
        ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
      ] as const) {
        const interner = create({ hashSeed: seed });
        interner.intern(bytesOf(text));
        const buckets = interner.u32[INTERNER.bucketCount >>> 2] as number;
        expect(interner.u32[(INTERNER.bucketsOffset + buckets * 4) >>> 2]).toBe(hash);
      }
    });

    it('goes on in a larger arena with the same ids', () => {
      const interner = create({ capacity: 4, heapBytes: 64 });
      for (const text of ['a', 'b', 'c', 'd']) interner.intern(bytesOf(text));
      interner.release(2);
      interner.rehome(grownInternerArena(interner.arena, { capacity: 100, heapBytes: 4096 }));
      expect(interner.capacity).toBe(100);
      expect(['a', 'c', 'd'].map((text) => interner.lookup(bytesOf(text)))).toEqual([1, 3, 4]);
      expect(interner.intern(bytesOf('e'))).toBe(2);
      for (let i = 0; i < 90; i++) expect(interner.intern(bytesOf(`new ${i}`))).toBe(5 + i);
      expect(textOf(interner.bytes(4))).toBe('d');
      for (let i = 0; i < 90; i++) interner.release(5 + i);
      expect(live(interner)).toBe(4);
    });

    it('builds chains in a larger arena as a fresh one would have them', () => {
      const small = create({ capacity: 4, heapBytes: 1024 });
      const large = create({ capacity: 64, heapBytes: 1024 });
      for (const text of ['a', 'b', 'c', 'd']) {
        small.intern(bytesOf(text));
        large.intern(bytesOf(text));
      }
      expect(new Uint8Array(grownInternerArena(small.arena, { capacity: 64 }))).toEqual(new Uint8Array(large.arena));
    });

    it('refuses an arena that is not its own or too short', () => {
      const arena = createInternerArena(DEFAULTS) as ArrayBuffer;
      expect(() => make(arena.slice(0, arena.byteLength - 8))).toThrow(/ERR_ARENA_INVALID|arena/);
      new Uint32Array(arena)[HEADER.kernelId >>> 2] = 3;
      expect(() => make(arena)).toThrow(/kernel/);
      expect(() => createInternerArena({ ...DEFAULTS, capacity: 0 })).toThrow(/capacity/);
      expect(() => grownInternerArena(create().arena, { capacity: 4 })).toThrow(/capacity/);
    });

    it('reads and writes shared memory', () => {
      const interner = create({ shared: true });
      expect(interner.arena).toBeInstanceOf(SharedArrayBuffer);
      expect(interner.intern(bytesOf('a'))).toBe(1);
      expect(textOf(interner.bytes(1))).toBe('a');
    });
  });
}
