import { describe, expect, it } from 'vitest';
import { WHEEL_SPAN_MS, Wheel } from '../../src/loadtest/wheel.ts';
import { Prng } from '../../src/util/prng.ts';

/** All that is due, with the time it was said to be due at. */
function taken(wheel: Wheel<string>, nowMs: number): string[] {
  const items: string[] = [];
  for (;;) {
    const dueMs = wheel.nextMs;
    const item = wheel.pop(nowMs);
    if (item === undefined) return items;
    items.push(`${item}@${dueMs}`);
  }
}

describe('the wheel', () => {
  it('gives what is due, earliest first, and in the order of putting down where due together', () => {
    const wheel = new Wheel<string>(100);
    wheel.push(120, 'c');
    wheel.push(110, 'a');
    wheel.push(110, 'b');
    expect(wheel.nextMs).toBe(110);
    expect(taken(wheel, 109)).toEqual([]);
    expect(taken(wheel, 110)).toEqual(['a@110', 'b@110']);
    expect(taken(wheel, 5000)).toEqual(['c@120']);
    expect(wheel.nextMs).toBeUndefined();
  });

  it('takes something due earlier than what it showed as next', () => {
    const wheel = new Wheel<string>(0);
    wheel.push(1000, 'late');
    expect(wheel.nextMs).toBe(1000);
    expect(taken(wheel, 10)).toEqual([]);
    wheel.push(20, 'early');
    expect(wheel.nextMs).toBe(20);
    expect(taken(wheel, 2000)).toEqual(['early@20', 'late@1000']);
  });

  it('has what is overdue at once and what is beyond its span at the end of it', () => {
    const wheel = new Wheel<string>(0);
    expect(taken(wheel, 10_000)).toEqual([]);
    expect(wheel.push(3, 'overdue')).toBe(10_000);
    expect(wheel.push(1e9, 'far')).toBe(10_000 + WHEEL_SPAN_MS - 1);
    expect(taken(wheel, 10_000)).toEqual(['overdue@10000']);
    expect(wheel.nextMs).toBe(10_000 + WHEEL_SPAN_MS - 1);
  });

  it('says when something will come whose time is far ahead of the hand', () => {
    const wheel = new Wheel<string>(0);
    wheel.push(0, 'first');
    const dueMs = wheel.push(20_000, 'second');
    expect(dueMs).toBe(WHEEL_SPAN_MS - 1);
    expect(taken(wheel, 20_000)).toEqual(['first@0', `second@${dueMs}`]);
  });

  it('agrees with a sorted list', () => {
    const prng = new Prng(5);
    const wheel = new Wheel<number>(0);
    const waiting: number[] = [];
    for (let nowMs = 0; nowMs < 30_000; nowMs += prng.below(40)) {
      for (let i = prng.below(4); i > 0; i--) {
        const dueMs = nowMs + prng.below(WHEEL_SPAN_MS - 50);
        wheel.push(dueMs, dueMs);
        waiting.push(dueMs);
      }
      waiting.sort((a, b) => a - b);
      expect(wheel.nextMs).toBe(waiting[0]);
      while (waiting[0] !== undefined && waiting[0] <= nowMs) expect(wheel.pop(nowMs)).toBe(waiting.shift());
      expect(wheel.pop(nowMs)).toBeUndefined();
    }
  });
});
