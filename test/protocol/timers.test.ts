import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SeenSet } from '../../src/protocol/seen-set.ts';
import { TIMER, Timers } from '../../src/protocol/timers.ts';

describe('Timers', () => {
  it('fire by time, and in the order of their making when due together', () => {
    const timers = new Timers();
    timers.schedule(30, TIMER.gossipTick, 1);
    timers.schedule(10, TIMER.gossipTick, 2);
    timers.schedule(30, TIMER.gossipTick, 3);
    timers.schedule(20, TIMER.gossipTick, 4);
    expect(timers.nextMs()).toBe(10);
    const fired: number[] = [];
    for (let timer = timers.pop(30); timer !== undefined; timer = timers.pop(30)) fired.push(timer.subject);
    expect(fired).toEqual([2, 4, 1, 3]);
    expect(timers.nextMs()).toBeUndefined();
  });

  it('do not fire before their time', () => {
    const timers = new Timers();
    timers.schedule(10, TIMER.gossipTick, 0);
    expect(timers.pop(9)).toBeUndefined();
    expect(timers.pop(10)?.dueMs).toBe(10);
  });

  it('do not fire once cancelled, and cancelling twice or after firing does nothing', () => {
    const timers = new Timers();
    const first = timers.schedule(10, TIMER.gossipTick, 1);
    const second = timers.schedule(20, TIMER.gossipTick, 2);
    timers.cancel(first);
    timers.cancel(first);
    expect(timers.size).toBe(1);
    expect(timers.nextMs()).toBe(20);
    expect(timers.pop(20)?.token).toBe(second);
    timers.cancel(second);
    expect([timers.size, timers.nextMs()]).toEqual([0, undefined]);
  });

  it('behave like a sorted list under any mix of scheduling, cancelling and firing', () => {
    const operation = fc.oneof(
      fc.record({ do: fc.constant('schedule' as const), at: fc.integer({ min: 0, max: 50 }) }),
      fc.record({ do: fc.constant('cancel' as const), at: fc.integer({ min: 0, max: 400 }) }),
      fc.record({ do: fc.constant('pop' as const), at: fc.integer({ min: 0, max: 50 }) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
        const timers = new Timers();
        let model: { dueMs: number; token: number }[] = [];
        for (const step of operations) {
          if (step.do === 'schedule') {
            model.push({ dueMs: step.at, token: timers.schedule(step.at, TIMER.gossipTick, 0) });
            model.sort((a, b) => a.dueMs - b.dueMs || a.token - b.token);
          } else if (step.do === 'cancel') {
            timers.cancel(step.at);
            model = model.filter((timer) => timer.token !== step.at);
          } else {
            const due = model[0] !== undefined && model[0].dueMs <= step.at ? model.shift() : undefined;
            expect(timers.pop(step.at)?.token).toBe(due?.token);
          }
          expect(timers.size).toBe(model.length);
          expect(timers.nextMs()).toBe(model[0]?.dueMs);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('SeenSet', () => {
  it('knows an id again', () => {
    const seen = new SeenSet(4);
    expect([seen.add('a'), seen.add('a'), seen.add('b')]).toEqual([true, false, true]);
  });

  it('remembers the last `capacity` ids and never holds more than twice as many', () => {
    const seen = new SeenSet(10);
    for (let i = 0; i < 1000; i++) {
      expect(seen.add(`id ${i}`)).toBe(true);
      expect(seen.size).toBeLessThanOrEqual(20);
      for (let back = Math.max(0, i - 9); back <= i; back++) expect(seen.add(`id ${back}`)).toBe(false);
    }
  });
});
