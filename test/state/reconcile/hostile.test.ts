import { expect, it } from 'vitest';
import { RegisterStore } from '../../../bench/state/register-store.ts';
import { RangeDraft } from '../../../src/state/reconcile/range-message.ts';
import { RANGE, STRATEGY_ID } from '../../../src/state/reconcile/strategies.ts';
import { HostileConversations } from './hostile.ts';
import { bytes, randomPair } from './pair.ts';

// make fuzz runs the same with other seeds and far more of them.
it('damaged messages are refused whole or taken as what they then say; nothing throws, and the stores still become the same', () => {
  const hostile = new HostileConversations(1);
  const reasons = new Map<string, number>();
  for (let i = 0; i < 4000; i++) {
    const reason = hostile.run().refused ?? 'taken';
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  // If all were refused at the door, nothing behind it would have been tried.
  for (const reason of ['taken', 'malformed', 'truncated', 'unknown', 'outOfTurn', 'keyMismatch']) {
    expect(reasons.get(reason) ?? 0, reason).toBeGreaterThan(2);
  }
});

/** An opening of ranges that no honest side would send. */
function opening(store: RegisterStore, fill: (draft: RangeDraft) => void): Uint8Array {
  const draft = new RangeDraft();
  fill(draft);
  const roots = { records: { count: 1, low: 1, high: 1 }, versions: { count: 0, low: 0, high: 0 } };
  return draft.encode(STRATEGY_ID.range, { flags: 0, step: 0, keyId: store.index.keyId }, roots, [], 0);
}

it('work for one message is bounded: lists and wishes for everything are answered with sums', () => {
  const store = new RegisterStore('store');
  for (let i = 0; i < 5000; i++) store.write(bytes(`key ${i}`), bytes('v'), i);
  let visits = 0;
  const { index, log } = store;
  const counted = {
    index: {
      size: index.size,
      keyId: index.keyId,
      sum: index.sum.bind(index),
      visit: (prefix: number, depth: number, visit: (slot: number, low: number, high: number) => boolean) =>
        index.visit(prefix, depth, (...each) => {
          visits++;
          return visit(...each);
        }),
    },
    log,
    read: store.read.bind(store),
    apply: store.apply.bind(store),
    discard: store.discard.bind(store),
  };
  const all = opening(store, (draft) => {
    for (let i = 0; i < 10_000; i++) draft.addList({ prefix: 0, depth: 0, ids: new Uint32Array(0) });
  });
  const { reply } = RANGE.converse(counted, { salt: 1 }).receive(0, all);
  expect(reply?.length).toBeLessThan(70_000);
  expect(visits).toBe(0);
  // Just small enough to be looked through: then no more than so many of them at once.
  const wishes = opening(store, (draft) => {
    for (let i = 0; i < 10_000; i++) draft.addWants({ prefix: i % 8, depth: 3, ids: Uint32Array.of(1) });
  });
  const conversation = RANGE.converse(counted, { salt: 1 });
  conversation.receive(0, wishes);
  expect(visits).toBeGreaterThan(1000);
  expect(visits).toBeLessThan(40_000);
});

it('what is sent in one conversation is bounded, however often everything is asked for', () => {
  const { a } = randomPair(1, 100);
  const conversation = RANGE.converse(a, { salt: 1 });
  const all = opening(a, (draft) => {
    for (let i = 0; i < 12_000; i++) draft.pull({ prefix: 0, depth: 0 });
  });
  let turn = conversation.receive(0, all);
  for (let step = 1; turn.reply !== undefined && step < 5000; ) {
    step++;
    while (conversation.next(0) !== undefined) step++;
    const draft = new RangeDraft();
    turn = conversation.receive(
      0,
      draft.encode(STRATEGY_ID.range, { flags: 0, step, keyId: a.index.keyId }, undefined, [], 0),
    );
  }
  expect(conversation.stats.entriesSent).toBeLessThan(4 * a.size + 5000);
});

it('a message with more records, runs or other things than any sender puts into one is refused', () => {
  const { a } = randomPair(1, 100);
  const entry = { key: bytes('k'), writer: 'w', sequence: 1, timeMs: 1, counter: 0, kind: 0, value: bytes('') };
  const records = opening(a, (draft) => {
    for (let i = 0; i < 1025; i++) draft.entry(entry);
  });
  const sums = opening(a, (draft) => {
    for (let i = 0; i < 30; i++) draft.addSums({ prefix: 0, depth: 0, bits: 12, sums: new Uint32Array(4096) });
  });
  const before = a.dump();
  for (const message of [records, sums])
    expect(RANGE.converse(a, { salt: 1 }).receive(0, message).refused).toBe('oversized');
  expect(a.dump()).toEqual(before);
});
