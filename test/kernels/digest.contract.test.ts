import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Hash64 } from '../../src/kernels/js/hash64.ts';
import { DIGEST_CELL_BYTES } from '../../src/kernels/layout.ts';
import { fromHex } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';
import { alive, bring, ENGINES, type RecordSpec } from './member-table.fixtures.ts';
import { SyncRig, someMember } from './sync.fixtures.ts';

const VECTORS = JSON.parse(readFileSync(new URL('../vectors/hash64.json', import.meta.url), 'utf8')) as {
  readonly xxh3: readonly (readonly [number, string, string])[];
  readonly siphash24: readonly string[];
};

const KEY = [1, 2, 3, 4] as const;

/** The buffer of the reference implementation's own test. */
function sanityBuffer(length: number): Uint8Array {
  const out = new Uint8Array(length);
  let state = 0x9e3779b1n;
  for (let i = 0; i < length; i++) {
    out[i] = Number(state >> 56n);
    state = (state * 0x9e3779b185ebca8dn) & 0xffffffffffffffffn;
  }
  return out;
}

const hex = (hash: Hash64): string => hash.high.toString(16).padStart(8, '0') + hash.low.toString(16).padStart(8, '0');

describe('the published hashes', () => {
  test('XXH3-64 gives the reference values for every form of it, with and without a seed', () => {
    const bytes = sanityBuffer(4200);
    const hash = new Hash64();
    for (const [length, seed, want] of VECTORS.xxh3) {
      hash.xxh3(bytes, 0, length, Number.parseInt(seed.slice(8), 16), Number.parseInt(seed.slice(0, 8), 16));
      expect(`${length} ${seed} ${hex(hash)}`).toBe(`${length} ${seed} ${want}`);
    }
  });

  test('SipHash-2-4 gives the 64 reference values', () => {
    const hash = new Hash64();
    const key = [0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c];
    VECTORS.siphash24.forEach((want, length) => {
      hash.siphash24(
        Uint8Array.from({ length: length + 3 }, (_, i) => i - 3),
        3,
        length,
        key,
      );
      expect(hex(hash)).toBe(want);
    });
  });
});

/** Two rigs with the same 200 members. */
function twoRigs(engine: (typeof ENGINES)[number], members = 200): { a: SyncRig; b: SyncRig; specs: RecordSpec[] } {
  const prng = new Prng(3);
  const specs = Array.from({ length: members }, (_, i) => someMember(prng, i));
  const options = {
    capacity: 256,
    nameHeapBytes: 256 * 128,
    profileHeapBytes: 256 * 512,
    records: members,
    outCapacity: 512,
  };
  const a = new SyncRig(engine, options);
  const b = new SyncRig(engine, options);
  for (const rig of [a, b]) rig.setKey(KEY, 99);
  expect(a.merge(1, specs)).toBe(members);
  // In another order, so that slots and ids differ.
  expect(b.merge(1, [...specs].reverse())).toBe(members);
  return { a, b, specs };
}

describe.each(ENGINES)('digest, $name', (engine) => {
  test('tables with the same members have the same sum whatever their order, and another one under another key or salt', () => {
    const { a, b } = twoRigs(engine);
    const sum = a.sum();
    expect(b.sum()).toBe(sum);
    a.setKey([1, 2, 3, 5], 99);
    expect(a.sum()).not.toBe(sum);
    a.setKey(KEY, 98);
    expect(a.sum()).not.toBe(sum);
    a.setKey(KEY, 99);
    expect(a.sum()).toBe(sum);
  });

  test('every field that a push/pull can carry on changes the sum', () => {
    const changes: Partial<RecordSpec>[] = [
      { incarnation: 8 },
      { meta: 'm' },
      { ext: 257 },
      { vsn: [1, 5, 2, 2, 5, 4] },
      { port: 8000 },
    ];
    const sums = [{}, ...changes].map((change) => {
      const rig = new SyncRig(engine);
      rig.setKey(KEY, 1);
      rig.merge(1, [alive('a', 7, change)]);
      return rig.sum();
    });
    const suspect = new SyncRig(engine);
    suspect.setKey(KEY, 1);
    bring(suspect, 1, 'a', 1, 7);
    expect(new Set([...sums, suspect.sum()]).size).toBe(changes.length + 2);
  });

  test('a member known as gone counts like one that is not known: neither side has news for the other', () => {
    const [none, dead, left] = [0, 2, 3].map((status) => {
      const rig = new SyncRig(engine);
      rig.setKey(KEY, 1);
      rig.merge(1, [alive('a', 7)]);
      if (status > 0) bring(rig, 1, 'b', status, 3);
      return rig.sum();
    });
    expect(dead).toBe(none);
    expect(left).toBe(none);
  });

  test('a suspect counts without its profile', () => {
    const sums = ['m', ''].map((meta) => {
      const rig = new SyncRig(engine);
      rig.setKey(KEY, 1);
      bring(rig, 1, 'a', 1, 7, { meta });
      return rig.sum();
    });
    expect(sums[0]).toBe(sums[1]);
  });

  test('ranges add up to the sum and tell where tables differ', () => {
    const { a, b, specs } = twoRigs(engine);
    const target = specs[17] as RecordSpec;
    b.merge(2, [{ ...target, incarnation: target.incarnation + 1 }]);
    const ranges = [a, b].map((rig) => {
      rig.digest.hashTable(rig.table);
      expect(rig.digest.rangeSums(6)).toBe(64);
      return Array.from({ length: 64 }, (_, i) => {
        const at = (rig.digest.rangesOffset >>> 2) + 2 * i;
        return (BigInt(rig.digest.u32[at + 1] as number) << 32n) | BigInt(rig.digest.u32[at] as number);
      });
    });
    const different = (ranges[0] as bigint[]).filter((sum, i) => sum !== ranges[1]?.[i]);
    expect(different).toHaveLength(1);
    const total = (ranges[0] as bigint[]).reduce((sum, range) => (sum + range) & 0xffffffffffffffffn, 0n);
    expect(total.toString(16).padStart(16, '0')).toBe(a.sum());
    a.digest.rangeSums(0);
    expect(a.digest.u32[a.digest.rangesOffset >>> 2]).toBe(Number(total & 0xffffffffn));
  });

  test('a sketch tells exactly which rows differ, those that one side lacks included', () => {
    const { a, b, specs } = twoRigs(engine);
    const names: string[] = [];
    for (let i = 0; i < 8; i++) {
      const spec = specs[i * 20] as RecordSpec;
      a.merge(2, [{ ...spec, incarnation: spec.incarnation + 1 }]);
      names.push(spec.name);
    }
    a.merge(2, [alive('only-a', 1), alive('only-a2', 1)]);
    b.merge(2, [alive('only-b', 1)]);
    expect(b.compare(60, a.sketch(60))).toEqual({ names: [...names, 'only-b'].sort(), lacking: 2 });
    expect(a.compare(60, b.sketch(60))).toEqual({ names: [...names, 'only-a', 'only-a2'].sort(), lacking: 1 });
  });

  test('a row that one side knows as gone is found by the name of the other side', () => {
    const { a, b, specs } = twoRigs(engine);
    const spec = specs[5] as RecordSpec;
    bring(a, 2, spec.name, 2, spec.incarnation, spec);
    expect(a.compare(32, b.sketch(32))).toEqual({ names: [spec.name], lacking: 0 });
    expect(b.compare(32, a.sketch(32))).toEqual({ names: [spec.name], lacking: 0 });
  });

  test('more differences than a sketch can tell give no answer instead of a wrong one', () => {
    const { a, b, specs } = twoRigs(engine);
    a.merge(
      2,
      specs.map((spec) => ({ ...spec, incarnation: spec.incarnation + 1 })),
    );
    expect(b.compare(60, a.sketch(60))).toBeUndefined();
    expect(b.compare(600, a.sketch(600))?.names).toHaveLength(200);
  });

  test('noise instead of a sketch gives no answer', () => {
    const { a } = twoRigs(engine);
    const prng = new Prng(1);
    for (let i = 0; i < 50; i++) {
      const noise = Uint8Array.from({ length: 60 * DIGEST_CELL_BYTES }, () => prng.below(256));
      expect(a.compare(60, noise)).toBeUndefined();
    }
    a.digest.hashTable(a.table);
    expect(a.digest.peel(60, new Uint8Array(60 * DIGEST_CELL_BYTES - 1), 0)).toBe(-1);
  });

  test('a table with more rows than the digest has items is refused', () => {
    const rig = new SyncRig(engine, { capacity: 8 }, { capacity: 4 });
    rig.merge(
      1,
      Array.from({ length: 5 }, (_, i) => alive(`m${i}`, 1)),
    );
    expect(rig.digest.hashTable(rig.table)).toBe(-1);
  });

  test('sizes that make no sense are refused by name', () => {
    const { digest } = new SyncRig(engine);
    expect(() => digest.sketch(30, new Uint8Array(1000), 0)).toThrow(/cells/);
    expect(() => digest.sketch(0, new Uint8Array(1000), 0)).toThrow(/cells/);
    expect(() => digest.peel(604, new Uint8Array(9000), 0)).toThrow(/cells/);
    expect(() => digest.rangeSums(11)).toThrow(/bits/);
    expect(() => digest.match(513)).toThrow(/count/);
    expect(digest.sketch(32, new Uint8Array(100), 5)).toBe(-(32 * DIGEST_CELL_BYTES + 5));
  });

  test('many values are hashed in one call, each as by itself, up to the first end that is out of order', () => {
    const { digest } = new SyncRig(engine);
    const source = sanityBuffer(3000);
    const lengths = [0, 3, 8, 16, 100, 200, 240, 241, 1500];
    const ends: number[] = [];
    let at = 0;
    for (const length of lengths) {
      at += length;
      ends.push(at);
    }
    const words = Uint32Array.from(ends);
    const out = new Uint8Array(8 * lengths.length);
    expect(digest.hashValues(source, new Uint8Array(words.buffer), out, 7)).toBe(lengths.length);
    const hash = new Hash64();
    lengths.forEach((length, i) => {
      hash.xxh3(source, (ends[i] as number) - length, length, 7, 0);
      const got = new DataView(out.buffer).getBigUint64(8 * i, true);
      expect(got.toString(16).padStart(16, '0')).toBe(hex(hash));
    });
    words[4] = 2;
    expect(digest.hashValues(source, new Uint8Array(words.buffer), out, 7)).toBe(4);
    words[4] = 4000;
    expect(digest.hashValues(source, new Uint8Array(words.buffer), out, 7)).toBe(4);
  });

  test('the reference values hold through the kernel', () => {
    const { digest } = new SyncRig(engine);
    const bytes = sanityBuffer(4200);
    for (const [length, seed, want] of VECTORS.xxh3) {
      if (!seed.startsWith('00000000')) continue;
      const out = new Uint8Array(8);
      digest.hashValues(bytes, new Uint8Array(Uint32Array.of(length).buffer), out, Number.parseInt(seed, 16));
      expect(
        `${length} ${[...out]
          .reverse()
          .map((b) => b.toString(16).padStart(2, '0'))
          .join('')}`,
      ).toBe(`${length} ${want}`);
    }
    expect(fromHex(VECTORS.siphash24[0] as string)).toHaveLength(8);
  });
});
