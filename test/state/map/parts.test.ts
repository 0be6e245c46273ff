// The parts below the map: bytes in pages, keys and values, rumors from strangers.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteHeap, blockBytes } from '../../../src/state/byte-heap.ts';
import { HybridClock } from '../../../src/state/clock.ts';
import {
  decodeValue,
  dotOf,
  encodeValue,
  mayWrite,
  nodeOf,
  parseElement,
  parseKey,
  recordKey,
  SPACE,
  tagOf,
  writerOf,
} from '../../../src/state/record.ts';
import { readRumors } from '../../../src/state/rumors.ts';
import { bytesOf } from '../../../src/util/bytes.ts';
import { Prng } from '../../../src/util/prng.ts';
import { mapCluster, untilSame } from './simulated.ts';

describe('the heap', () => {
  it('never hands out a byte twice, and uses freed blocks again', () => {
    const heap = new ByteHeap();
    const prng = new Prng(3);
    const live: { page: number; at: number; length: number; mark: number }[] = [];
    for (let i = 0; i < 20_000; i++) {
      if (live.length > 0 && prng.below(5) < 2) {
        const [block] = live.splice(prng.below(live.length), 1) as [(typeof live)[0]];
        const bytes = heap.bytes(block.page).subarray(block.at, block.at + block.length);
        expect(bytes.every((byte) => byte === block.mark)).toBe(true);
        heap.free(block.page, block.at, block.length);
        continue;
      }
      const length = prng.below(20) === 0 ? prng.below(100_000) : prng.below(300);
      heap.allocate(length);
      const block = { page: heap.page, at: heap.at, length, mark: prng.below(256) };
      heap.bytes(block.page).fill(block.mark, block.at, block.at + length);
      live.push(block);
      if (live.length > 200) {
        const oldest = live.shift() as (typeof live)[0];
        heap.free(oldest.page, oldest.at, oldest.length);
      }
    }
  });

  it('rounds up by a quarter at most', () => {
    for (let length = 1; length <= 65_536; length++) {
      const size = blockBytes(length);
      expect(size).toBeGreaterThanOrEqual(length);
      if (size > Math.max(length + 15, 1.25 * length)) expect.fail(`${length} takes ${size}`);
    }
  });
});

describe('the clock', () => {
  it('is close to the wall, never back, and later than what it saw', () => {
    const clock = new HybridClock();
    clock.tick(1000);
    expect([clock.timeMs, clock.counter]).toEqual([1000, 0]);
    clock.tick(900);
    expect([clock.timeMs, clock.counter]).toEqual([1000, 1]);
    clock.observe({ timeMs: 1500, counter: 7 });
    clock.tick(1200);
    expect([clock.timeMs, clock.counter]).toEqual([1500, 8]);
    clock.observe({ timeMs: 1500, counter: 0xffff });
    clock.tick(1200);
    expect([clock.timeMs, clock.counter]).toEqual([1501, 0]);
    clock.tick(2000);
    expect([clock.timeMs, clock.counter]).toEqual([2000, 0]);
  });
});

describe('keys and values', () => {
  it('come back as they were written', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(fc.constantFrom(2, 3, 4, 5, 6), bytes, bytes, (space, group, rest) => {
        expect(parseKey(recordKey(space as 2, group, rest))).toEqual({ space, group, rest });
      }),
    );
    fc.assert(
      fc.property(bytes, fc.nat(), fc.nat(), fc.nat(65535), (payload, expiresMs, timeMs, counter) => {
        const base = { timeMs, counter: timeMs === 0 ? 0 : counter };
        expect(decodeValue(encodeValue({ expiresMs, base, payload }))).toEqual({ expiresMs, base, payload });
      }),
    );
    expect(dotOf(tagOf('a@b#1', 99))).toEqual({ writer: 'a@b#1', sequence: 99 });
    expect(nodeOf(writerOf('a#b', 7, true))).toBe('a#b');
  });

  it('may be anything from the network', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), fc.boolean(), (bytes, writer, isTombstone) => {
        const key = parseKey(bytes);
        if (key) mayWrite(key, writer, isTombstone);
        parseElement(bytes);
        dotOf(bytes);
        decodeValue(bytes);
        readRumors(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  it('are written by whoever may alone', () => {
    const own = parseKey(recordKey(SPACE.own, bytesOf('a'), bytesOf('k')));
    const part = parseKey(recordKey(SPACE.counter, bytesOf('c'), bytesOf('a#1')));
    if (!own || !part) throw new Error('no keys');
    expect(mayWrite(own, 'a#1!', false)).toBe(true);
    expect(mayWrite(own, 'a#1', false)).toBe(false);
    expect(mayWrite(own, 'b#1!', true)).toBe(false);
    expect(mayWrite(part, 'a#1', false)).toBe(true);
    expect(mayWrite(part, 'b#1', false)).toBe(false);
  });
});

describe('a hostile member', () => {
  it('cannot make a map throw, grow or differ with damaged messages', () => {
    const { simulation, maps } = mapCluster(3, { antiEntropyIntervalMs: 1000 });
    const prng = new Prng(11);
    let damaged = 0;
    // Every piece of state that n0 sends is damaged on its way, for a while.
    const undo = simulation.act('n0', (engine) => {
      const send = engine.sendState.bind(engine);
      engine.sendState = (now, to, payload, isReliable) => {
        const bytes = payload.slice();
        for (let i = prng.below(4); i >= 0; i--) bytes[3 + prng.below(bytes.length - 3)] = prng.below(256);
        damaged++;
        return send(
          now,
          to,
          prng.below(5) === 0 ? bytes.subarray(0, 3 + prng.below(bytes.length - 3)) : bytes,
          isReliable,
        );
      };
      return () => {
        engine.sendState = send;
      };
    });
    for (let i = 0; i < 300; i++) {
      maps[0]?.set(`k${i % 40}`, `${i}`);
      maps[i % 3]?.orSet('s').add(`${i % 5}`);
      simulation.run(200);
    }
    expect(damaged).toBeGreaterThan(200);
    undo();
    untilSame(simulation, maps.slice(1), 120_000);
    for (const map of maps) expect(map.stats.records).toBeLessThan(1500);
  });
});
