import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { EventSlices } from '../../src/cluster/event-slices.ts';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const ignore = (): void => {};

/** Slices with a clock that stands still, so that only the number of events ends a turn. */
function sliced(isHeld = false): { slices: EventSlices<number>; seen: number[] } {
  const seen: number[] = [];
  return {
    slices: new EventSlices(
      (event) => void seen.push(event),
      isHeld,
      () => 0,
    ),
    seen,
  };
}

describe('event slices', () => {
  it('deliver a few events at once', () => {
    const { slices, seen } = sliced();
    let taken = 0;
    slices.push(numbers(10), () => taken++);
    expect([seen, taken]).toEqual([numbers(10), 1]);
  });

  it('deliver many in order, a bounded number per turn, and say when a batch is through', async () => {
    const { slices, seen } = sliced();
    const taken: number[] = [];
    slices.push(numbers(1000), () => taken.push(seen.length));
    slices.push([1000, 1001], () => taken.push(seen.length));
    const perTurn = [seen.length];
    while (seen.length < 1002) {
      const before = seen.length;
      await nextTurn();
      perTurn.push(seen.length - before);
    }
    expect(Math.max(...perTurn)).toBe(256);
    expect(seen).toEqual(numbers(1002));
    expect(taken).toEqual([1000, 1002]);
  });

  it('end a turn when listeners take long', () => {
    let nowMs = 0;
    let count = 0;
    const slices = new EventSlices<number>(
      () => {
        count++;
        nowMs += 0.4;
      },
      false,
      () => nowMs,
    );
    slices.push(numbers(100), ignore);
    expect(count).toBe(3);
  });

  it('hold everything until they are released', () => {
    const { slices, seen } = sliced(true);
    slices.push([1], ignore);
    slices.push([2], ignore);
    expect(seen).toEqual([]);
    slices.release();
    expect(seen).toEqual([1, 2]);
  });

  it('go on behind a listener that throws', async () => {
    const seen: number[] = [];
    const slices = new EventSlices<number>((event) => {
      if (event === 1) throw new Error('from the program');
      seen.push(event);
    }, false);
    expect(() => slices.push([0, 1, 2], ignore)).toThrow('from the program');
    await slices.drained();
    expect(seen).toEqual([0, 2]);
  });

  it('keep the order of what a listener causes', async () => {
    const seen: number[] = [];
    const slices: EventSlices<number> = new EventSlices<number>((event) => {
      seen.push(event);
      if (event === 0) slices.push([2], ignore);
    }, false);
    slices.push([0, 1], ignore);
    await slices.drained();
    expect(seen).toEqual([0, 1, 2]);
  });
});
