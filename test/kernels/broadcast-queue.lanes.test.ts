import { describe, expect, test } from 'vitest';
import type { BackendName, BroadcastQueue } from '../../src/kernels/contract.ts';
import { QUEUE } from '../../src/kernels/layout.ts';
import { Prng } from '../../src/util/prng.ts';
import {
  ENGINES,
  enqueue,
  fill,
  finishedTokens,
  live,
  makeQueue,
  message,
  messageId,
  word,
} from './broadcast-queue.driver.ts';

const LIMIT = 1400;
const TRANSMIT_LIMIT = 12;
const USER_IDS = 1_000_000;

/** A queue whose membership lane always holds more than a packet takes: news about 60 members arrives without end. */
class BusyNode {
  readonly queue: BroadcastQueue;
  readonly #lengths: () => number;
  #news = 0;

  constructor(engine: BackendName, lengths: () => number) {
    this.queue = makeQueue(engine, { capacity: 400, heapBytes: 1 << 20, inBytes: 1 << 18, inItemCapacity: 200 });
    this.#lengths = lengths;
  }

  /** Bytes that each lane got in one packet. */
  packet(userShare: number, limit = LIMIT): { membership: number; user: number; userIds: number[] } {
    this.#refill();
    const [packet] = fill(this.queue, [{ limit }], TRANSMIT_LIMIT, userShare);
    const bytes = { membership: 0, user: 0, userIds: [] as number[] };
    for (const part of packet?.parts ?? []) {
      const isUser = messageId(part) >= USER_IDS;
      if (isUser) bytes.userIds.push(messageId(part));
      bytes[isUser ? 'user' : 'membership'] += part.length + 2;
    }
    return bytes;
  }

  #refill(): void {
    const items = Array.from({ length: 150 }, () => {
      const id = ++this.#news;
      return { key: 1 + (id % 150), bytes: message(id, this.#lengths()) };
    });
    enqueue(this.queue, items);
  }

  user(count: number, length: number): void {
    enqueue(
      this.queue,
      Array.from({ length: count }, (_, i) => ({ bytes: message(USER_IDS + i, length), token: i + 1, lane: 1 })),
    );
  }
}

describe.each(ENGINES)('fair lanes on %s', (engine) => {
  test('without a share, fresh membership news without end keeps user messages waiting for ever', () => {
    const node = new BusyNode(engine, () => 60);
    node.user(5, 100);
    for (let i = 0; i < 500; i++) expect(node.packet(0).user).toBe(0);
  });

  test.each([
    ['short', 30],
    ['middling', 400],
    ['as long as the packet', LIMIT - 2],
  ])('with a share of 1/4 the user lane drains beside endless membership news: %s messages', (_, length) => {
    const node = new BusyNode(engine, () => 60);
    const count = 20;
    node.user(count, length);
    const sent = new Map<number, number>();
    const packetsNeeded = Math.ceil((count * TRANSMIT_LIMIT * (length + 2)) / (LIMIT / 4)) + 8;
    let packets = 0;
    while (word(node.queue, QUEUE.laneCount1) > 0 && packets++ < packetsNeeded) {
      for (const id of node.packet(64).userIds) sent.set(id, (sent.get(id) ?? 0) + 1);
    }
    expect(word(node.queue, QUEUE.laneCount1)).toBe(0);
    expect([...sent.values()]).toEqual(new Array(count).fill(TRANSMIT_LIMIT));
  });

  test.each([30, 400, LIMIT - 2])(
    'endless user messages of %i bytes leave membership three quarters of the bytes',
    (length) => {
      const node = new BusyNode(engine, () => 18 + (length % 3));
      let membership = 0;
      let user = 0;
      for (let i = 0; i < 400; i++) {
        node.user(50, length);
        const bytes = node.packet(64);
        membership += bytes.membership;
        user += bytes.user;
      }
      expect(membership / (membership + user)).toBeGreaterThan(0.74);
      expect(user / (membership + user)).toBeGreaterThan(0.2);
    },
  );

  test('many tiny membership messages cannot use up all parts of a compound', () => {
    const node = new BusyNode(engine, () => 4);
    node.user(40, 10);
    expect(node.packet(64, 60_000).userIds.length).toBeGreaterThanOrEqual(31);
  });

  test('what the user lane leaves goes to membership, and the other way round', () => {
    const node = new BusyNode(engine, () => 60);
    node.user(1, 20);
    const shared = node.packet(64);
    expect(shared.user).toBe(22);
    expect(shared.membership).toBeGreaterThan(LIMIT - 22 - 62);
    const queue = makeQueue(engine);
    enqueue(
      queue,
      Array.from({ length: 30 }, (_, i) => ({ bytes: message(i, 60), lane: 1 })),
    );
    expect(fill(queue, [{ limit: LIMIT }], 4, 64)[0]?.parts.length).toBe(Math.floor(LIMIT / 62));
  });

  test('an empty user lane, or one where nothing fits, changes nothing: packets are memberlist’s', () => {
    const prng = new Prng(7);
    const lengths = Array.from({ length: 60 }, () => 4 + prng.below(200));
    const plain = makeQueue(engine);
    const shared = makeQueue(engine);
    for (const queue of [plain, shared]) {
      for (const length of lengths) enqueue(queue, [{ bytes: message(length, length) }]);
    }
    enqueue(shared, [{ bytes: message(1, 2000), lane: 1 }]);
    while (live(plain) > 0) {
      const limit = 4 + prng.below(1400);
      expect(fill(shared, [{ limit }], 3, 128)).toEqual(fill(plain, [{ limit }], 3, 0));
    }
    expect(word(shared, QUEUE.laneCount0)).toBe(0);
  });
});

describe.each(ENGINES)('limits on %s', (engine) => {
  test('no packet exceeds its budget; every entry is sent at least once and at most transmitLimit times', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const prng = new Prng(seed);
      const transmitLimit = prng.below(8);
      const userShare = prng.below(257);
      const queue = makeQueue(engine);
      const sent = new Map<number, number>();
      const finished: number[] = [];
      let queued = 0;
      for (let step = 0; step < 400; step++) {
        // The last steps only drain; 1,400 bytes take any message.
        if (step < 100 && live(queue) < 50) {
          const item = { bytes: message(++queued, 4 + prng.below(400)), token: queued, lane: prng.below(2) };
          expect(enqueue(queue, [item])).toBe(1);
        }
        const limit = step < 100 ? prng.below(1400) : 1400;
        const [packet] = fill(queue, [{ limit }], transmitLimit, userShare);
        const parts = packet?.parts ?? [];
        expect(parts.reduce((sum, part) => sum + part.length + 2, 0)).toBeLessThanOrEqual(limit);
        expect(new Set(parts.map(messageId)).size).toBe(parts.length);
        for (const part of parts) sent.set(messageId(part), (sent.get(messageId(part)) ?? 0) + 1);
        finished.push(...finishedTokens(queue));
      }
      expect(live(queue)).toBe(0);
      expect(finished.length).toBe(queued);
      for (let id = 1; id <= queued; id++) expect(sent.get(id)).toBe(Math.max(1, transmitLimit));
    }
  });
});
