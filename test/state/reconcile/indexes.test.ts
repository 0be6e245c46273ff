// The two indexes against plain models: random writes and removals, every sum and every order compared.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HashIndex } from '../../../src/state/reconcile/hash-index.ts';
import { StateHash } from '../../../src/state/reconcile/hashes.ts';
import type { RangeSum } from '../../../src/state/reconcile/port.ts';
import { SequenceList } from '../../../src/state/reconcile/sequence-list.ts';
import { WriterLog } from '../../../src/state/reconcile/writer-log.ts';
import { Prng } from '../../../src/util/prng.ts';

interface Row {
  readonly position: number;
  readonly low: number;
  readonly high: number;
}

function modelSum(rows: ReadonlyMap<number, Row>, prefix: number, depth: number): RangeSum {
  let count = 0;
  let sum = 0n;
  for (const { position, low, high } of rows.values()) {
    if (depth > 0 && position >>> (32 - depth) !== prefix) continue;
    count++;
    sum += (BigInt(high) << 32n) + BigInt(low);
  }
  sum = BigInt.asUintN(64, sum);
  return { count, low: Number(sum & 0xffffffffn), high: Number(sum >> 32n) };
}

function sumOf(index: HashIndex, prefix: number, depth: number): RangeSum {
  const out = { count: 0, low: 0, high: 0 };
  index.sum(prefix, depth, out);
  return out;
}

describe('hash index', () => {
  it('has the sums of a list of rows at every depth, whatever is added and removed', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 0, max: 3 }),
        (seed, steps, crowd) => {
          const prng = new Prng(seed);
          const index = new HashIndex(0);
          const rows = new Map<number, Row>();
          for (let i = 0; i < steps; i++) {
            const slot = prng.below(600);
            const known = rows.get(slot);
            if (known) {
              expect(index.remove(slot, known.position)).toBe(true);
              rows.delete(slot);
            } else {
              // Crowded positions share their upper bits, so that parts split often.
              const position = crowd === 0 ? prng.next() : (0xabcd0000 | (prng.next() >>> (8 + 8 * (crowd - 1)))) >>> 0;
              const row = { position, low: prng.below(4) === 0 ? 0 : prng.next(), high: prng.next() };
              index.add(slot, row.position, row.low, row.high);
              rows.set(slot, row);
            }
          }
          expect(index.size).toBe(rows.size);
          for (let i = 0; i < 40; i++) {
            const depth = prng.below(33);
            const some = [...rows.values()][prng.below(Math.max(1, rows.size))];
            const position = some?.position ?? prng.next();
            const prefix = depth === 0 ? 0 : position >>> (32 - depth);
            expect(sumOf(index, prefix, depth)).toEqual(modelSum(rows, prefix, depth));
            const slots: number[] = [];
            index.visit(prefix, depth, (slot, low, high) => {
              expect(rows.get(slot)).toMatchObject({ low, high });
              return slots.push(slot) > 0;
            });
            const expected = [...rows].filter(([, row]) => depth === 0 || row.position >>> (32 - depth) === prefix);
            expect(slots.sort((a, b) => a - b)).toEqual(expected.map(([slot]) => slot).sort((a, b) => a - b));
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('does not remove what was never added, and stops visiting when told', () => {
    const index = new HashIndex(0);
    expect(index.remove(3, 77)).toBe(false);
    index.add(3, 77, 1, 2);
    expect(index.remove(4, 77)).toBe(false);
    index.add(4, 77, 1, 2);
    let visited = 0;
    index.visit(0, 0, () => {
      visited++;
      return false;
    });
    expect(visited).toBe(1);
    expect(index.find(77, (slot) => slot === 3)).toBe(3);
    expect(index.find(78, () => true)).toBe(-1);
  });
});

describe('sequence list', () => {
  it('keeps the order of a sorted array through random insertions and removals', () => {
    fc.assert(
      fc.property(fc.integer(), fc.boolean(), (seed, isAppending) => {
        const prng = new Prng(seed);
        const list = new SequenceList();
        const model = new Map<number, number>();
        for (let i = 1; i < 3000; i++) {
          const sequence = isAppending && prng.below(3) > 0 ? i : 1 + prng.below(2000);
          if (prng.below(5) < 2) expect(list.delete(sequence)).toBe(model.delete(sequence));
          else {
            list.set(sequence, i);
            model.set(sequence, i);
          }
        }
        const sorted = [...model].sort(([a], [b]) => a - b);
        expect(list.length).toBe(sorted.length);
        for (const after of [0, 1, prng.below(2000), 1999, 5000]) {
          const seen: [number, number][] = [];
          list.visitAfter(after, (sequence, slot) => seen.push([sequence, slot]) > 0);
          const expected = sorted.filter(([sequence]) => sequence > after);
          expect(seen).toEqual(expected);
          expect(list.countAfter(after)).toBe(expected.length);
        }
        for (let i = 0; i < 50; i++) {
          const sequence = prng.below(2000);
          expect(list.get(sequence)).toBe(model.get(sequence) ?? -1);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('writer log', () => {
  const hash = new StateHash(Uint32Array.of(1, 2, 3, 4));

  it('covers exactly the sequences it was told of, in whatever order, while gaps are few', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 8 })), { maxLength: 40 }),
        (runs) => {
          const log = new WriterLog(hash);
          const covered = new Set<number>();
          for (const [from, length] of runs) {
            log.cover('a', from, from + length);
            for (let i = from + 1; i <= from + length; i++) covered.add(i);
          }
          let max = 0;
          while (covered.has(max + 1)) max++;
          expect(log.version('a')?.max ?? 0).toBe(max);
          for (let i = 1; i < 75; i++) expect(log.isCovered('a', i)).toBe(covered.has(i));
        },
      ),
    );
  });

  it('has equal sums for equal versions, however they came about', () => {
    const one = new WriterLog(hash);
    const two = new WriterLog(hash);
    for (let i = 1; i <= 9; i++) one.cover('a', i - 1, i);
    one.collect('a', 4);
    one.cover('b', 0, 2);
    two.add('c', 7, 1);
    two.cover('b', 0, 2);
    two.cover('a', 2, 9);
    two.collect('a', 4);
    two.cover('a', 0, 3);
    // A writer of whom only a record is there, and no coverage, does not count.
    expect(two.sum).toEqual(one.sum);
    two.cover('b', 2, 3);
    expect(two.sum).not.toEqual(one.sum);
    expect(two.forget('b')).toBe(true);
    expect(two.forget('c')).toBe(false);
    one.forget('b');
    expect(two.sum).toEqual(one.sum);
  });

  it('covers a tombstone that is collected, and nothing below it that was never seen', () => {
    const log = new WriterLog(hash);
    log.collect('a', 4);
    expect(log.version('a')).toMatchObject({ max: 0, gc: 4, ahead: [4, 4] });
    expect([3, 4, 5].map((sequence) => log.isCovered('a', sequence))).toEqual([false, true, false]);
  });

  it('remembers no more than a bounded number of runs above a gap', () => {
    const log = new WriterLog(hash);
    for (let i = 1; i <= 1000; i++) log.cover('a', 2 * i, 2 * i + 1);
    expect(log.isCovered('a', 3)).toBe(true);
    expect(log.isCovered('a', 2001)).toBe(false);
    log.cover('a', 0, 3);
    expect(log.version('a')?.max).toBe(3);
  });
});

describe('hashes of a map', () => {
  it('tell apart records that differ in one field, and hash alike only under the same key', () => {
    const mine = new StateHash(Uint32Array.of(1, 2, 3, 4));
    const other = new StateHash(Uint32Array.of(1, 2, 3, 5));
    const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);
    const base = { key: bytes(1, 2), writer: 'a', sequence: 1, timeMs: 5, counter: 0, kind: 0, value: bytes(9) };
    const variants = [
      base,
      { ...base, key: bytes(1, 3) },
      { ...base, writer: 'b' },
      { ...base, sequence: 2 },
      { ...base, sequence: 1 + 2 ** 32 },
      { ...base, timeMs: 6 },
      { ...base, counter: 1 },
      { ...base, kind: 1 },
      { ...base, value: bytes(9, 0) },
    ];
    const prints = new Set<string>();
    for (const entry of variants) {
      for (const hash of [mine, other]) {
        hash.ofRecord(entry);
        prints.add(`${hash.low} ${hash.high}`);
      }
    }
    expect(prints.size).toBe(2 * variants.length);
    expect(mine.keyId).not.toBe(other.keyId);
  });
});
