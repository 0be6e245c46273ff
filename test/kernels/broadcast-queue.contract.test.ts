import { describe, expect, test } from 'vitest';
import { createBroadcastQueueArena, grownBroadcastQueueArena } from '../../src/kernels/arenas/broadcast-queue.ts';
import type { Arena, BackendName, BroadcastQueue } from '../../src/kernels/contract.ts';
import { JsBroadcastQueue } from '../../src/kernels/js/broadcast-queue.ts';
import { HEADER, QUEUE, QUEUE_ITEM, REQUEST_FLAG } from '../../src/kernels/layout.ts';
import { NativeBroadcastQueue } from '../../src/kernels/native/broadcast-queue.ts';
import {
  DEFAULT_SIZES,
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

function attach(engine: BackendName, arena: Arena): BroadcastQueue {
  return engine === 'native' ? new NativeBroadcastQueue(arena) : new JsBroadcastQueue(arena);
}

/** Ids of the messages of the first packet, when there is room for everything. */
function drainOnce(queue: BroadcastQueue, transmitLimit = 9, limit = 60_000): number[] {
  const [packet] = fill(queue, [{ limit }], transmitLimit);
  return packet ? packet.parts.map(messageId) : [];
}

describe.each(ENGINES)('BroadcastQueue on %s: order', (engine) => {
  test('rule 1: fewer transmits come first, whatever their length and age', () => {
    const queue = makeQueue(engine);
    enqueue(queue, [{ bytes: message(1, 90) }]);
    expect(drainOnce(queue)).toEqual([1]);
    enqueue(queue, [{ bytes: message(2, 10) }]);
    expect(drainOnce(queue)).toEqual([2, 1]);
  });

  test('rule 2: among equal transmits the longer comes first', () => {
    const queue = makeQueue(engine);
    enqueue(
      queue,
      [10, 30, 20].map((length) => ({ bytes: message(length, length) })),
    );
    expect(drainOnce(queue)).toEqual([30, 20, 10]);
  });

  test('rule 3: among equal transmits and lengths the newer comes first', () => {
    const queue = makeQueue(engine);
    enqueue(
      queue,
      [1, 2, 3].map((id) => ({ bytes: message(id, 10) })),
    );
    expect(drainOnce(queue)).toEqual([3, 2, 1]);
  });

  test('ids start again at 1 once the queue is empty', () => {
    const queue = makeQueue(engine);
    const nextId = () => new Float64Array(queue.arena)[QUEUE.nextId / 8];
    enqueue(queue, [{ bytes: message(1, 10) }, { bytes: message(2, 10) }]);
    expect(nextId()).toBe(3);
    drainOnce(queue, 1);
    expect(nextId()).toBe(1);
  });

  test('transmits that count as made already put an item behind others, and bring its end nearer', () => {
    const queue = makeQueue(engine);
    enqueue(queue, [{ bytes: message(1, 10), transmits: 2 }, { bytes: message(2, 10) }]);
    const [packet] = fill(queue, [{ limit: 12 }], 4);
    expect(messageId(packet?.bytes as Uint8Array)).toBe(2);
    expect(drainOnce(queue, 4)).toEqual([2, 1]);
    expect(drainOnce(queue, 4)).toEqual([2, 1]);
    expect(drainOnce(queue, 4)).toEqual([2]);
    expect(live(queue)).toBe(0);
  });
});

describe.each(ENGINES)('BroadcastQueue on %s: packets', (engine) => {
  test('one broadcast without a lead travels bare', () => {
    const queue = makeQueue(engine);
    enqueue(queue, [{ bytes: message(5, 20) }]);
    expect(fill(queue, [{ limit: 100 }], 4)[0]?.bytes).toEqual(message(5, 20));
  });

  test('nothing to send gives length 0, and counts as no packet', () => {
    const queue = makeQueue(engine);
    expect(fill(queue, [{ limit: 100 }, { limit: 100 }], 4).map((packet) => packet.length)).toEqual([0, 0]);
    expect(queue.fill(2, 4, 0)).toBe(0);
  });

  test('a lead alone travels bare', () => {
    const queue = makeQueue(engine);
    const [packet] = fill(queue, [{ limit: 100, lead: message(1, 30) }], 4);
    expect(packet?.bytes).toEqual(message(1, 30));
    expect(queue.fill(1, 4, 0)).toBe(1);
  });

  test('a lead and broadcasts make one compound, the lead first', () => {
    const queue = makeQueue(engine);
    enqueue(queue, [{ bytes: Uint8Array.of(4, 1, 2) }, { bytes: Uint8Array.of(3, 9) }]);
    const [packet] = fill(queue, [{ limit: 100, lead: Uint8Array.of(0, 7) }], 4);
    expect([...(packet?.bytes ?? [])]).toEqual([7, 3, 0, 2, 0, 3, 0, 2, 0, 7, 4, 1, 2, 3, 9]);
  });

  test('a compound has at most 127 parts, lead included', () => {
    const queue = makeQueue(engine, { capacity: 300, inItemCapacity: 300 });
    enqueue(
      queue,
      Array.from({ length: 300 }, (_, i) => ({ bytes: message(i, 4) })),
    );
    const packets = fill(queue, [{ limit: 60_000 }, { limit: 60_000, lead: message(999, 4) }], 4);
    expect(packets.map((packet) => packet.parts.length)).toEqual([127, 127]);
    expect(messageId(packets[1]?.parts[0] as Uint8Array)).toBe(999);
  });

  test('packets lie one behind the other at multiples of 8', () => {
    const queue = makeQueue(engine);
    fill(
      queue,
      [1, 2, 3].map((id) => ({ limit: 0, lead: message(id, 13) })),
      4,
    );
    const offsets = [0, 1, 2].map((i) => (word(queue, queue.packetsOffset + 16 * i) as number) - queue.outOffset);
    expect(offsets).toEqual([0, 16, 32]);
  });

  test('when the out section is full the remaining packets get length 0 and their broadcasts stay fresh', () => {
    const queue = makeQueue(engine, { outBytes: 64 });
    enqueue(queue, [{ bytes: message(1, 40) }, { bytes: message(2, 40) }]);
    const packets = fill(queue, [{ limit: 42 }, { limit: 42 }, { limit: 0, lead: message(3, 30) }], 4);
    expect(packets.map((packet) => packet.length)).toEqual([40, 0, 0]);
    expect(drainOnce(queue, 4, 42)).toEqual([1]);
  });

  test('a lead outside the in section is refused', () => {
    const queue = makeQueue(engine);
    queue.u32.set([queue.inBytes - 3, 4, 100, 0], queue.requestsOffset / 4);
    expect(queue.fill(1, 4, 0)).toBe(0);
  });

  test('a rumor goes whole to receivers that know rumors and as a plain user message to others', () => {
    const queue = makeQueue(engine);
    const rumor = Uint8Array.of(200, 1, 2, 3, 65, 66);
    enqueue(queue, [{ bytes: rumor, prefix: 4, lane: 1 }]);
    const packets = fill(queue, [{ limit: 8, flags: REQUEST_FLAG.extended }, { limit: 8 }], 4);
    expect(packets.map((packet) => [...packet.bytes])).toEqual([[...rumor], [8, 65, 66]]);
    // The budget is that of the full form for everybody: 6 + 2.
    expect(fill(queue, [{ limit: 7 }], 4)[0]?.length).toBe(0);
  });
});

describe.each(ENGINES)('BroadcastQueue on %s: bounds', (engine) => {
  test('an item with a key replaces the queued one, reports its token and starts at no transmits', () => {
    const queue = makeQueue(engine);
    enqueue(queue, [{ key: 7, token: 70, bytes: message(1, 20) }]);
    drainOnce(queue);
    enqueue(queue, [{ key: 7, token: 71, bytes: message(2, 12) }]);
    expect(finishedTokens(queue)).toEqual([70]);
    expect(word(queue, QUEUE.invalidatedCount)).toBe(1);
    expect([drainOnce(queue, 2), drainOnce(queue, 2), drainOnce(queue, 2)]).toEqual([[2], [2], []]);
  });

  test('invalidate drops the entry of a key and nothing else', () => {
    const queue = makeQueue(engine);
    enqueue(queue, [
      { key: 1, token: 5, bytes: message(1, 10) },
      { key: 2, bytes: message(2, 10) },
      { bytes: message(3, 10) },
    ]);
    queue.invalidate(1);
    expect(finishedTokens(queue)).toEqual([5]);
    queue.invalidate(1);
    queue.invalidate(0);
    expect(finishedTokens(queue)).toEqual([]);
    expect(drainOnce(queue)).toEqual([3, 2]);
  });

  test('a full queue evicts the last user message before the last membership message', () => {
    const queue = makeQueue(engine, { capacity: 3 });
    enqueue(queue, [
      { bytes: message(1, 10), lane: 0, token: 1 },
      { bytes: message(2, 10), lane: 1, token: 2 },
      { bytes: message(3, 11), lane: 1, token: 3 },
    ]);
    expect(enqueue(queue, [{ bytes: message(4, 10), lane: 0, token: 4 }])).toBe(1);
    expect(finishedTokens(queue)).toEqual([2]);
    enqueue(queue, [{ bytes: message(5, 10), lane: 0, token: 5 }]);
    expect(finishedTokens(queue)).toEqual([3]);
    enqueue(queue, [{ bytes: message(6, 10), lane: 0, token: 6 }]);
    expect(finishedTokens(queue)).toEqual([1]);
    expect(word(queue, QUEUE.evictedCount)).toBe(3);
  });

  test('a user message is refused, and evicts nobody, where membership holds all entries', () => {
    const queue = makeQueue(engine, { capacity: 2 });
    enqueue(queue, [{ bytes: message(1, 10) }, { bytes: message(2, 10) }]);
    expect(enqueue(queue, [{ bytes: message(3, 10), lane: 1 }])).toBe(0);
    expect([live(queue), word(queue, QUEUE.evictedCount)]).toEqual([2, 0]);
  });

  test('message bytes beyond three quarters of the heap evict', () => {
    const queue = makeQueue(engine, { heapBytes: 4096 });
    enqueue(
      queue,
      [1, 2, 3].map((id) => ({ bytes: message(id, 1024) })),
    );
    expect(word(queue, QUEUE.evictedCount)).toBe(0);
    enqueue(queue, [{ bytes: message(4, 4) }]);
    expect(word(queue, QUEUE.evictedCount)).toBe(1);
    expect(drainOnce(queue)).toEqual([3, 2, 4]);
  });

  test('a thousand rounds of long and short messages never lose heap to holes', () => {
    const queue = makeQueue(engine, { heapBytes: 8192, capacity: 40 });
    for (let round = 0; round < 1000; round++) {
      const lengths = [2000, 7, 900, 64, 1500];
      const items = lengths.map((length, i) => ({ key: 1 + ((round * 3 + i) % 9), bytes: message(round, length) }));
      expect(enqueue(queue, items)).toBe(5);
      expect(word(queue, QUEUE.laneBytes0)).toBeLessThanOrEqual(6144);
      // The newest message is there, whole.
      expect(fill(queue, [{ limit: 1502 }], 50)[0]?.bytes).toEqual(message(round, 1500));
    }
  });

  test.each([
    ['empty', { length: 0 }],
    ['longer than a block', { length: 2049 }],
    ['outside the in section', { offset: DEFAULT_SIZES.inBytes - 3, length: 4 }],
    ['outside the in section by overflow', { offset: 0xffffffff, length: 4 }],
    ['in an unknown lane', { length: 4, lane: 2 }],
    ['with a prefix longer than itself', { length: 4, prefix: 5 }],
  ])('an item %s is refused', (_, fields: { offset?: number; length: number; lane?: number; prefix?: number }) => {
    const queue = makeQueue(engine);
    const at = queue.itemsOffset / 4;
    queue.u32[at + QUEUE_ITEM.offset / 4] = fields.offset ?? 0;
    queue.u32[at + QUEUE_ITEM.length / 4] = fields.length;
    queue.u32[at + QUEUE_ITEM.prefix / 4] = fields.prefix ?? 0;
    queue.u32[at + QUEUE_ITEM.lane / 4] = fields.lane ?? 0;
    expect(queue.enqueue(1)).toBe(0);
    expect(live(queue)).toBe(0);
  });

  test('an emptied queue is zero again but for counters, free list and packets', () => {
    const queue = makeQueue(engine);
    const items = Array.from({ length: 20 }, (_, i) => ({ key: i, bytes: message(i, 30 + i), lane: i & 1, token: i }));
    enqueue(queue, items);
    drainOnce(queue, 1);
    expect(live(queue)).toBe(0);
    const sectionIsZero = (from: number, to: number) => queue.u8.subarray(from, to).every((byte) => byte === 0);
    // Orders, index and heap: everything between the entries and the in section.
    expect(sectionIsZero(queue.entriesOffset + 40 * queue.capacity, queue.inOffset)).toBe(true);
    expect([word(queue, QUEUE.heapTop), word(queue, QUEUE.laneBytes0), word(queue, QUEUE.oldestBlock)]).toEqual([
      0, 0, 0,
    ]);
  });

  test('counts beyond the sections are programmer errors that name the field', () => {
    const queue = makeQueue(engine);
    expect(() => queue.enqueue(65)).toThrow(/enqueue count.*0 to 64.*65/);
    expect(() => queue.fill(9, 4, 0)).toThrow(/fill count/);
    expect(() => queue.fill(1, -1, 0)).toThrow(/transmitLimit/);
    expect(() => queue.fill(1, 4, 257)).toThrow(/userShare/);
    expect(() => queue.prune(2, 0)).toThrow(/lane/);
  });
});

describe.each(ENGINES)('BroadcastQueue on %s: arenas', (engine) => {
  test('a grown queue goes on where the old one was', () => {
    const queue = makeQueue(engine, { capacity: 4 });
    const control = makeQueue(engine, { capacity: 100 });
    const items = [1, 2, 3, 4].map((id) => ({ key: id * 1000, token: id, bytes: message(id, 10 + id), lane: id & 1 }));
    for (const each of [queue, control]) {
      enqueue(each, items);
      drainOnce(each, 5, 30);
    }
    queue.rehome(grownBroadcastQueueArena(queue.arena, { capacity: 100, heapBytes: 1 << 17, outBytes: 1 << 17 }));
    expect(queue.capacity).toBe(100);
    expect(queue.outBytes).toBe(1 << 17);
    for (const each of [queue, control]) enqueue(each, [{ key: 3000, bytes: message(9, 40) }]);
    expect(finishedTokens(queue)).toEqual([3]);
    expect(drainOnce(queue)).toEqual(drainOnce(control));
  });

  test('packets made before growing are still there after it', () => {
    const queue = makeQueue(engine);
    fill(queue, [{ limit: 0, lead: message(77, 9) }], 4);
    queue.rehome(grownBroadcastQueueArena(queue.arena, { capacity: 1000 }));
    const offset = word(queue, queue.packetsOffset);
    expect(queue.u8.slice(offset, offset + 9)).toEqual(message(77, 9));
  });

  test('works in shared memory', () => {
    const queue = makeQueue(engine, { shared: true });
    expect(queue.arena).toBeInstanceOf(SharedArrayBuffer);
    enqueue(queue, [{ bytes: message(3, 10) }]);
    expect(drainOnce(queue)).toEqual([3]);
  });

  test.each([
    ['magic', HEADER.magic, 1],
    ['layoutVersion', HEADER.layoutVersion, 99],
    ['kernelId', HEADER.kernelId, 1],
    ['capacity', HEADER.capacity, 0],
    ['byteLength', HEADER.byteLength, 64],
    ['outBytes', QUEUE.outBytes, 0xffffffff],
    ['indexBuckets', QUEUE.indexBuckets, 3],
  ])('refuses an arena whose %s is wrong and keeps the old one', (_, offset, value) => {
    const queue = makeQueue(engine);
    const broken = createBroadcastQueueArena(DEFAULT_SIZES);
    new Uint32Array(broken)[offset / 4] = value;
    expect(() => queue.rehome(broken)).toThrow(expect.objectContaining({ code: 'ERR_ARENA_INVALID' }));
    expect(() => attach(engine, broken)).toThrow(expect.objectContaining({ code: 'ERR_ARENA_INVALID' }));
    enqueue(queue, [{ bytes: message(3, 10) }]);
    expect(drainOnce(queue)).toEqual([3]);
  });

  test.each(['capacity', 'heapBytes', 'outBytes'] as const)('refuses to make an arena with a senseless %s', (name) => {
    expect(() => createBroadcastQueueArena({ ...DEFAULT_SIZES, [name]: 0.5 })).toThrow(name);
  });
});
