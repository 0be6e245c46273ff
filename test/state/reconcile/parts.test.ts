// The smaller parts: spans of coverage against sets, flow control and partner choice against what their papers say.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uncovered } from '../../../src/state/reconcile/coverage.ts';
import { FlowControl } from '../../../src/state/reconcile/flow-control.ts';
import { StateHash } from '../../../src/state/reconcile/hashes.ts';
import { choosePartner, partnerWeights } from '../../../src/state/reconcile/partners.ts';
import { RecentList } from '../../../src/state/reconcile/recent-list.ts';
import { WriterLog } from '../../../src/state/reconcile/writer-log.ts';
import { Prng } from '../../../src/util/prng.ts';

describe('spans of coverage', () => {
  const runs = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 6 })), { maxLength: 8 });
  it('are what one side covers and the other does not', () => {
    fc.assert(
      fc.property(runs, runs, (one, two) => {
        const hash = new StateHash(Uint32Array.of(1, 2, 3, 4));
        const [mine, theirs] = [one, two].map((list) => {
          const log = new WriterLog(hash);
          for (const [from, length] of list) log.cover('w', from, from + length);
          return log;
        }) as [WriterLog, WriterLog];
        const spans = uncovered(mine.version('w'), theirs.version('w'));
        for (let i = 1; i < 50; i++) {
          const isIn = spans.some((from, at) => at % 2 === 0 && i > from && i <= (spans[at + 1] as number));
          expect(isIn).toBe(mine.isCovered('w', i) && !theirs.isCovered('w', i));
        }
      }),
    );
  });
});

describe('flow control (van Renesse et al. 2008, section 3.2)', () => {
  const rate = fc.double({ min: 0, max: 50, noNaN: true });
  it('hands rates over without making or losing any, and nobody below what the modest one wants', () => {
    fc.assert(
      fc.property(rate, rate, fc.integer({ min: 0, max: 8 }), (wantsA, wantsB, cuts) => {
        const [a, b] = [new FlowControl(100), new FlowControl(100)];
        for (let i = 0; i < 3 * cuts; i++) a.note(false);
        a.desired = wantsA;
        b.desired = wantsB;
        const [before, theirs] = [a.allowed + b.allowed, { desired: b.desired, allowed: b.allowed }];
        const ours = { desired: a.desired, allowed: a.allowed };
        a.exchange(theirs);
        b.exchange(ours);
        if (Math.max(a.allowed, b.allowed) < 100) expect(a.allowed + b.allowed).toBeCloseTo(before, 5);
        else expect(a.allowed + b.allowed).toBeLessThanOrEqual(before + 1e-5);
        const isEnough = wantsA + wantsB <= before && Math.max(wantsA, wantsB) <= 100;
        if (isEnough) {
          expect(a.allowed).toBeGreaterThanOrEqual(wantsA - 1e-9);
          expect(b.allowed).toBeGreaterThanOrEqual(wantsB - 1e-9);
        }
      }),
    );
  });

  it('gives way by a quarter after three overfull exchanges in a row and comes back slowly', () => {
    const flow = new FlowControl(100);
    flow.note(false);
    flow.note(false);
    flow.note(true);
    flow.note(false);
    expect(flow.allowed).toBe(100);
    flow.note(false);
    flow.note(false);
    expect(flow.allowed).toBe(75);
    for (let i = 0; i < 3; i++) flow.note(true);
    expect(flow.allowed).toBeCloseTo(75.2, 9);
  });
});

describe('partner choice', () => {
  it('is uniform unless told otherwise', () => {
    const counts = drawn((prng) => choosePartner(prng, 5), 5);
    for (const count of counts) expect(count).toBeGreaterThan(3600);
    expect(choosePartner(new Prng(1), 0)).toBe(-1);
  });

  it('follows distance to the power of minus a (Demers et al. 1987, section 3)', () => {
    const distances = [1, 2, 4];
    const counts = drawn((prng) => choosePartner(prng, 3, { exponent: 2, distance: (i) => distances[i] as number }), 3);
    const total = 1 + 1 / 4 + 1 / 16;
    [1, 1 / 4, 1 / 16].forEach((weight, i) => {
      expect((counts[i] as number) / DRAWS).toBeCloseTo(weight / total, 1.5);
    });
  });

  it('by count follows the formula, whatever the distances are: those at one distance share what their ranks get', () => {
    // Three at distance 5, one at 70: Q(5) = 4, Q(70) = 5, with the one added.
    const weights = partnerWeights(4, { exponent: 2, distance: (i) => [5, 70, 5, 5][i] as number, isByCount: true });
    const near = (1 / 1 - 1 / 4) / 3;
    const far = 1 / 4 - 1 / 5;
    for (const [i, weight] of [near, far, near, near].entries()) expect(weights[i]).toBeCloseTo(weight, 12);
    const byOne = partnerWeights(3, { exponent: 1, distance: (i) => 1 + i, isByCount: true });
    for (const [i, weight] of byOne.entries()) expect(weight).toBeCloseTo(Math.log((i + 2) / (i + 1)), 12);
  });

  it('takes distances that are nonsense for the nearest, and always names somebody', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.double(), fc.constant(0)), { minLength: 1, maxLength: 9 }),
        fc.integer(),
        fc.boolean(),
        (list, seed, isByCount) => {
          const chosen = choosePartner(new Prng(seed), list.length, {
            exponent: 2,
            isByCount,
            distance: (i) => list[i] as number,
          });
          expect(chosen).toBeGreaterThanOrEqual(0);
          expect(chosen).toBeLessThan(list.length);
        },
      ),
    );
  });
});

describe('recent list', () => {
  it('is the order of last touches, newest first', () => {
    const prng = new Prng(4);
    const list = new RecentList();
    let model: number[] = [];
    for (let i = 0; i < 5000; i++) {
      const slot = prng.below(700);
      model = model.filter((each) => each !== slot);
      if (prng.below(4) === 0) list.remove(slot);
      else {
        list.touch(slot);
        model.unshift(slot);
      }
    }
    const seen: number[] = [];
    list.visitBefore(Infinity, (slot) => seen.push(slot) > 0);
    expect(seen).toEqual(model);
    expect(list.length).toBe(model.length);
  });
});

const DRAWS = 20_000;

function drawn(draw: (prng: Prng) => number, count: number): number[] {
  const prng = new Prng(7);
  const counts = Array.from({ length: count }, () => 0);
  for (let i = 0; i < DRAWS; i++) {
    const index = draw(prng);
    counts[index] = (counts[index] as number) + 1;
  }
  return counts;
}
