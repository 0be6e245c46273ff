import { describe, expect, test } from 'vitest';
import { grownBroadcastQueueArena } from '../../src/kernels/arenas/broadcast-queue.ts';
import type { BroadcastQueue } from '../../src/kernels/contract.ts';
import { QUEUE } from '../../src/kernels/layout.ts';
import { Prng } from '../../src/util/prng.ts';
import { ENGINES, finishedTokens, makeQueue, word } from './broadcast-queue.driver.ts';
import { ModelQueue } from './broadcast-queue.model.ts';
import { apply, OpGenerator, randomSizes } from './broadcast-queue.ops.ts';

/** Steps of the differential test. */
const OPS = Number(process.env['HEARSAY_TWIN_OPS'] ?? 100_000);
const OPS_PER_LOG = 400;

function sameBytes(a: BroadcastQueue, b: BroadcastQueue): boolean {
  return Buffer.from(a.arena).equals(Buffer.from(b.arena));
}

describe('native and TypeScript broadcast queues', () => {
  test.runIf(ENGINES.includes('native'))(
    'leave the same bytes behind after every step of generated logs',
    { timeout: 3_600_000 },
    () => {
      let steps = 0;
      for (let seed = 1; steps < OPS; seed++) {
        const prng = new Prng(seed);
        let sizes = randomSizes(prng);
        const twin = makeQueue('js', sizes);
        const native = makeQueue('native', sizes);
        const ops = new OpGenerator(prng, sizes);
        for (let i = 0; i < OPS_PER_LOG; i++, steps++) {
          const op = ops.next();
          const expected = apply(twin, op);
          const got = apply(native, op);
          if (Array.isArray(expected)) expect(got, `seed ${seed} step ${i}`).toHaveLength(expected.length);
          else if (got !== expected) expect.fail(`seed ${seed} step ${i}: ${got} is not ${expected}`);
          if (!sameBytes(twin, native)) expect.fail(`seed ${seed} step ${i}: arenas differ after ${op.kind}`);
          if (prng.below(150) === 0) {
            sizes = {
              ...sizes,
              capacity: sizes.capacity + prng.below(20),
              heapBytes: sizes.heapBytes + prng.below(500),
            };
            twin.rehome(grownBroadcastQueueArena(twin.arena, sizes));
            native.rehome(grownBroadcastQueueArena(native.arena, sizes));
          }
        }
      }
    },
  );

  test.each(ENGINES)('on %s do what a naive model does, for generated logs', { timeout: 3_600_000 }, (engine) => {
    const reached = { evicted: 0, invalidated: 0, transmitted: 0, credit: 0, longest: 0 };
    for (let seed = 1; seed <= 40; seed++) {
      const prng = new Prng(seed);
      const sizes = randomSizes(prng);
      const queue = makeQueue(engine, sizes);
      const model = new ModelQueue(sizes);
      const ops = new OpGenerator(prng, sizes);
      for (let i = 0; i < 80; i++) {
        const op = ops.next();
        const got = apply(queue, op);
        const expected = model.apply(op);
        const where = `seed ${seed} step ${i} ${op.kind}`;
        expect(Array.isArray(got) ? got.map((packet) => packet.bytes) : got, where).toEqual(expected);
        reached.credit += model.credit;
        for (const packet of Array.isArray(got) ? got : []) {
          reached.longest = Math.max(reached.longest, packet.parts.length);
        }
        expect(finishedTokens(queue), where).toEqual(model.finished);
        expect(
          {
            membership: word(queue, QUEUE.laneCount0),
            user: word(queue, QUEUE.laneCount1),
            evicted: word(queue, QUEUE.evictedCount),
            invalidated: word(queue, QUEUE.invalidatedCount),
            transmitted: word(queue, QUEUE.transmittedCount),
            credit: word(queue, QUEUE.userCredit),
          },
          where,
        ).toEqual({
          membership: model.lane(0).length,
          user: model.lane(1).length,
          evicted: model.evicted,
          invalidated: model.invalidated,
          transmitted: model.transmitted,
          credit: model.credit,
        });
      }
      reached.evicted += model.evicted;
      reached.invalidated += model.invalidated;
      reached.transmitted += model.transmitted;
    }
    // The logs are worth something only while they reach the corners.
    expect(reached.longest).toBe(127);
    expect(Math.min(reached.evicted, reached.invalidated, reached.transmitted, reached.credit)).toBeGreaterThan(1000);
  });
});
