// What reconciliation must never do: lose a write whose writer survives, or bring back what was deleted. Stores write, overwrite and delete few keys, talk to
// each other in conversations that mostly break off, collect tombstones that everybody has seen, and some crash for good.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { KIND, RegisterStore } from '../../../bench/state/register-store.ts';
import { uncovered } from '../../../src/state/reconcile/coverage.ts';
import { CHECKSUM_FIRST, RANGE, SCUTTLEBUTT } from '../../../src/state/reconcile/strategies.ts';
import { Prng } from '../../../src/util/prng.ts';
import { bytes, converse, deliveries } from './pair.ts';

const KEYS = 12;
const STORES = 5;

interface Write {
  readonly key: string;
  readonly timeMs: number;
  readonly isDelete: boolean;
  readonly by: RegisterStore;
}

/** True when a store took, or something that superseded it, everything that another one took. */
function coversAll(store: RegisterStore, other: RegisterStore): boolean {
  return [...other.log.versions()].every((theirs) => uncovered(theirs, store.log.version(theirs.writer)).length === 0);
}

it('no write of a surviving node is lost and nothing deleted returns', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 10, max: 160 }), (seed, steps) => {
      const prng = new Prng(seed);
      const all = Array.from({ length: STORES }, (_, i) => new RegisterStore(`node-${i}`));
      let alive = [...all];
      // Some sleep through the middle: what is collected meanwhile they never saw.
      const asleep = all.filter(() => prng.below(4) === 0);
      const wakesAt = Math.floor(steps * 0.7);
      const writes: Write[] = [];
      for (let now = 1; now <= steps; now++) {
        const isNight = now > steps * 0.2 && now < wakesAt;
        const awake = alive.filter((store) => !isNight || !asleep.includes(store));
        if (awake.length === 0) continue;
        const one = awake[prng.below(awake.length)] as RegisterStore;
        const two = awake[prng.below(awake.length)] as RegisterStore;
        const key = `key-${prng.below(KEYS)}`;
        const what = prng.below(20);
        if (what < 9) {
          const isDelete = prng.below(4) === 0;
          const entry = one.write(
            bytes(key),
            bytes(isDelete ? '' : `${now}`),
            now,
            isDelete ? KIND.tombstone : KIND.value,
          );
          writes.push({ key, timeMs: now, isDelete, by: one });
          for (const other of awake) if (prng.below(4) === 0) other.apply(now, [entry], []);
        } else if (what < 18 && one !== two) {
          const strategy = [CHECKSUM_FIRST, SCUTTLEBUTT, RANGE][prng.below(3)] as typeof RANGE;
          for (const { store } of deliveries(strategy, one, two, { salt: now, budgetBytes: 512 })) {
            if (prng.below(6) === 0) break;
            // Writes in the middle of a conversation, of the keys that it is about.
            if (prng.below(4) === 0) {
              now++;
              store.write(bytes(key), bytes(`${now}`), now);
              writes.push({ key, timeMs: now, isDelete: false, by: store });
            }
          }
        } else if (what === 18) {
          // Everybody awake has this tombstone, and covers what those who sleep had covered: it may go, everywhere or here and there.
          const held = one.get(bytes(key));
          const isSeen = awake.every((store) => store.get(bytes(key))?.timeMs === held?.timeMs);
          const isKnown = alive.every((sleeper) => awake.every((store) => coversAll(store, sleeper)));
          if (isSeen && isKnown) for (const store of awake) if (prng.below(2) === 0) store.collect(bytes(key));
        } else if (alive.length > 2 && prng.below(4) === 0) alive = alive.filter((store) => store !== one);
      }
      for (let round = 0; round < 3; round++) {
        for (const one of alive) {
          for (const two of alive) if (one !== two) converse(CHECKSUM_FIRST, one, two, { salt: round });
        }
      }
      const [first] = alive as [RegisterStore];
      const latest = (list: readonly Write[]) =>
        list.reduce<Write | undefined>((best, each) => (best && best.timeMs > each.timeMs ? best : each), undefined);
      for (const store of alive) expect(store.dump()).toEqual(first.dump());
      for (let i = 0; i < KEYS; i++) {
        const key = `key-${i}`;
        const held = first.get(bytes(key));
        const mine = latest(writes.filter((each) => each.key === key && alive.includes(each.by)));
        const any = latest(writes.filter((each) => each.key === key));
        if (held && mine) expect(held.timeMs).toBeGreaterThanOrEqual(mine.timeMs);
        // Gone altogether: then the last write was a deletion, of a survivor or of somebody who crashed.
        if (!held && mine && !mine.isDelete) {
          const deleted = writes.some((each) => each.key === key && each.isDelete && each.timeMs > mine.timeMs);
          expect(deleted, `${key} is lost`).toBe(true);
        }
        if (held && held.kind === KIND.value && any) {
          const ended = latest(writes.filter((each) => each.key === key && each.isDelete && alive.includes(each.by)));
          expect(held.timeMs, `${key} came back`).toBeGreaterThan(ended?.timeMs ?? 0);
        }
      }
    }),
    {
      numRuns: 200,
      examples: [
        [-967305615, 51],
        [1168267482, 126],
        [-1588106105, 54],
      ],
    },
  );
});

it('a write that was superseded is not said to be covered before what superseded it has been told', () => {
  const [source, target, third] = [
    new RegisterStore('source'),
    new RegisterStore('target'),
    new RegisterStore('third'),
  ];
  const writer = new RegisterStore('writer');
  const old = writer.write(bytes('k'), bytes('old'), 1);
  for (const store of [source, third]) store.apply(1, [old], []);
  for (let i = 0; i < 100; i++) source.write(bytes(`other ${i}`), new Uint8Array(20), 2 + i);
  source.write(bytes('k'), bytes('new'), 500);
  let messages = 0;
  // The link breaks, and source is never heard of again.
  for (const _ of deliveries(SCUTTLEBUTT, target, source, { salt: 1, budgetBytes: 600 })) if (++messages > 3) break;
  expect(target.size).toBeGreaterThan(5);
  expect(target.get(bytes('k'))).toBeUndefined();
  expect(target.log.isCovered('writer', 1)).toBe(false);
  converse(RANGE, target, third, { salt: 1 });
  for (const store of [target, third]) expect(store.get(bytes('k'))?.value).toEqual(bytes('old'));
});

it('nor before the other side has said all that it lacks', () => {
  const [source, target] = [new RegisterStore('source'), new RegisterStore('target')];
  // Long names: the digest of what target lacks takes two messages.
  const [first, second] = ['f'.repeat(100), 's'.repeat(100)].map((name) => new RegisterStore(name)) as [
    RegisterStore,
    RegisterStore,
  ];
  source.apply(1, [first.write(bytes('k'), bytes('old'), 1)], []);
  source.apply(2, [second.write(bytes('k'), bytes('new'), 2)], []);
  let messages = 0;
  for (const _ of deliveries(SCUTTLEBUTT, source, target, { salt: 1, budgetBytes: 512 })) if (++messages > 3) break;
  expect(target.log.isCovered('f'.repeat(100), 1)).toBe(false);
  converse(SCUTTLEBUTT, source, target, { salt: 1, budgetBytes: 512 });
  expect(target.log.isCovered('f'.repeat(100), 1)).toBe(true);
  expect(target.get(bytes('k'))?.value).toEqual(bytes('new'));
});

it('what supersedes a write while it is being told goes along', () => {
  const [source, target] = [new RegisterStore('source'), new RegisterStore('target')];
  const writer = new RegisterStore('writer');
  for (let i = 0; i < 100; i++) source.apply(i, [writer.write(bytes(`key ${i}`), new Uint8Array(20), i)], []);
  let messages = 0;
  for (const { store } of deliveries(SCUTTLEBUTT, target, source, { salt: 1, budgetBytes: 600, window: 1 })) {
    // In the middle, a record whose turn has not come.
    if (++messages === 6 && store === target) source.write(bytes('key 99'), bytes('new'), 1000);
    else if (messages === 6) throw new Error('that was meant to be the turn of target');
  }
  expect(target.log.isCovered('writer', 100)).toBe(true);
  expect(target.get(bytes('key 99'))?.value).toEqual(bytes('new'));
});
