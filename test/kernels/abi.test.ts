import { describe, expect, test } from 'vitest';
import { abiDifferences, ownAbi } from '../../src/kernels/abi.ts';
import { loadNative, type NativeAddon } from '../../src/kernels/native.ts';

describe('shared constants', () => {
  test('the addon has every constant of layout.ts and contract.ts, and no other, with the same value', () => {
    const { addon, problem } = loadNative();
    // Without a compiler there is nothing to compare; then the problem must say so.
    if (!addon) return expect(problem).toContain('no addon is built');
    expect(abiDifferences((addon as NativeAddon).abi())).toEqual([]);
  });

  test('this side lists groups and scalars under their TypeScript names', () => {
    const abi = ownAbi();
    expect(abi['ARENA_MAGIC']).toBe(0x59535248);
    expect(abi['EXT_KEY']).toBe('Hs');
    expect(abi['RECORD']).toMatchObject({ stride: 64, packet: 4 });
    expect(Object.keys(abi).length).toBeGreaterThan(35);
  });

  test('a changed, a missing and an additional constant are each named', () => {
    const ours = { A: 1, G: { x: 1, y: 2 } };
    expect(abiDifferences({ A: 2, G: { x: 1, y: 2 } }, ours)).toEqual(['A is 2 in C++, 1 in TypeScript']);
    expect(abiDifferences({ A: 1, G: { x: 1 } }, ours)).toEqual(['G.y is missing in C++, 2 in TypeScript']);
    expect(abiDifferences({ A: 1, G: { x: 1, y: 2, z: 3 } }, ours)).toEqual(['G.z is 3 in C++, missing in TypeScript']);
  });
});
