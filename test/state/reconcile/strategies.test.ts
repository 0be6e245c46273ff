// Every strategy: any two stores become the same, whatever is lost, doubled, cut or written meanwhile.
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { RegisterStore } from '../../../bench/state/register-store.ts';
import { choosePartner } from '../../../src/state/reconcile/partners.ts';
import type { Strategy } from '../../../src/state/reconcile/port.ts';
import { CHECKSUM_FIRST, MERKLE, PEEL_BACK, RANGE, SCUTTLEBUTT } from '../../../src/state/reconcile/strategies.ts';
import { Prng } from '../../../src/util/prng.ts';
import { bytes, converse, deliveries, randomPair, randomWrite } from './pair.ts';

/** Those that find every difference by themselves. */
const WHOLE: readonly Strategy[] = [CHECKSUM_FIRST, RANGE, MERKLE, PEEL_BACK];

describe.each(WHOLE.map((strategy) => ({ name: strategy.name, strategy })))('$name', ({ strategy }) => {
  it('makes any two stores the same, and lets both cover what either did', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 0, max: 400 }),
        fc.constantFrom(512, 2000, 65_536),
        (seed, steps, budgetBytes) => {
          const { a, b } = randomPair(seed, steps);
          converse(strategy, a, b, { salt: seed >>> 0, budgetBytes });
          expect(a.dump()).toEqual(b.dump());
          expect(a.index.size).toBe(b.index.size);
          if (strategy === PEEL_BACK) return;
          // Messages of 512 bytes hold the versions of one or two writers, which ones the salt decides.
          for (let i = 0; i < 4 && a.log.sum.low !== b.log.sum.low; i++)
            converse(strategy, a, b, { salt: i, budgetBytes });
          expect(a.log.sum).toEqual(b.log.sum);
        },
      ),
      // A digest of 512 bytes that cannot name all gaps.
      { numRuns: 60, examples: [[12_868_375, 376, 512]] },
    );
  });

  it('keeps to its budget but for single records that are larger', () => {
    const { a, b } = randomPair(5, 2000);
    a.write(bytes('large'), new Uint8Array(5000), 9000);
    const { largest } = converse(strategy, a, b, { salt: 1, budgetBytes: 1200 });
    expect(a.dump()).toEqual(b.dump());
    expect(largest).toBeGreaterThan(5000);
    expect(largest).toBeLessThan(5000 + 1200 + (strategy === MERKLE ? 8500 : 0));
  });

  it('ends with stores that are equal after all when both are written during the conversation', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 300 }), (seed, steps) => {
        const { a, b, prng } = randomPair(seed, steps);
        let now = 1000;
        converse(strategy, a, b, { salt: seed >>> 0, budgetBytes: 600 }, () => {
          if (now > 1100) return;
          for (const store of [a, b]) if (prng.below(2) === 0) randomWrite(store, prng, now++);
        });
        converse(strategy, b, a, { salt: 3 });
        expect(a.dump()).toEqual(b.dump());
      }),
      { numRuns: 40 },
    );
  });

  it('takes what arrived of a conversation that broke off, refuses doubled and late messages, and is done the next time', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 300 }), (seed, steps) => {
        const { a, b, prng } = randomPair(seed, steps);
        for (let attempt = 0; attempt < 30; attempt++) {
          const earlier: Uint8Array[] = [];
          for (const { receiver, message } of deliveries(strategy, a, b, { salt: attempt, budgetBytes: 600 })) {
            if (prng.below(12) === 0) break;
            if (earlier.length > 0 && prng.below(10) === 0) {
              // Doubled or late: refused, and that conversation is over.
              const again = earlier[prng.below(earlier.length)] as Uint8Array;
              const before = [a.dump(), b.dump()];
              expect(receiver.receive(0, again).refused).toBe('outOfTurn');
              expect(receiver.receive(0, message).refused).toBe('outOfTurn');
              expect([a.dump(), b.dump()]).toEqual(before);
              break;
            }
            earlier.push(message);
          }
        }
        converse(strategy, a, b, { salt: 99 });
        expect(a.dump()).toEqual(b.dump());
      }),
      { numRuns: 25, examples: [[833441956, 4]] },
    );
  });

  it('refuses a message that was cut, whole', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 2, max: 200 }), (seed, steps) => {
        const { a, b, prng } = randomPair(seed, steps);
        converse(strategy, a, b, { salt: 1, budgetBytes: 2000 }, ({ store, message }) => {
          const before = store.dump();
          const cut = message.subarray(0, prng.below(message.length));
          expect(strategy.converse(store, { salt: 1 }).receive(0, cut).refused).toBeDefined();
          expect(store.dump()).toEqual(before);
        });
      }),
      { numRuns: 40 },
    );
  });

  it('says next to nothing when there is nothing to say', () => {
    const { a, b } = randomPair(3, 200);
    converse(strategy, a, b, { salt: 1 });
    converse(strategy, b, a, { salt: 2 });
    const { messages, opener, acceptor } = converse(strategy, a, b, { salt: 3 });
    expect(messages).toBe(2);
    expect(acceptor.stats.bytesSent).toBeLessThan(60);
    expect(opener.stats.entriesSent + acceptor.stats.entriesSent).toBe(0);
  });

  it('does not compare hashes with a store that hashes with another key', () => {
    const a = new RegisterStore('a');
    const b = new RegisterStore('b', Uint32Array.of(1, 1, 1, 1));
    a.write(bytes('k'), bytes('v'), 1);
    if (strategy === CHECKSUM_FIRST) {
      // Versions need no hashes: what they find is exchanged, and both know that it may not be all.
      const { opener, acceptor } = converse(strategy, a, b, { salt: 1 });
      expect(b.get(bytes('k'))?.value).toEqual(bytes('v'));
      expect([opener.needsFull, acceptor.needsFull]).toEqual([true, true]);
      return;
    }
    const opening = strategy.converse(a, { salt: 1 }).begin(0);
    expect(strategy.converse(b, { salt: 1 }).receive(0, opening).refused).toBe('keyMismatch');
  });

  it('fills an empty store, from either side', () => {
    for (const isOpenerEmpty of [true, false]) {
      const full = new RegisterStore('full');
      const empty = new RegisterStore('empty');
      for (let i = 0; i < 3000; i++) full.write(bytes(`key ${i}`), bytes(`value ${i}`), i);
      const pair = isOpenerEmpty ? ([empty, full] as const) : ([full, empty] as const);
      converse(strategy, ...pair, { salt: 1, budgetBytes: 4096 });
      expect(empty.dump()).toEqual(full.dump());
      if (strategy !== PEEL_BACK) expect(empty.log.version('full')?.max).toBe(3000);
    }
  });

  it('sends a large state in rows of messages, so that round trips are few', () => {
    const [full, empty] = [new RegisterStore('full'), new RegisterStore('empty')];
    for (let i = 0; i < 3000; i++) full.write(bytes(`key ${i}`), new Uint8Array(50), i);
    const { messages, turns } = converse(strategy, empty, full, { salt: 1, budgetBytes: 4096 });
    expect(messages).toBeGreaterThan(50);
    if (strategy !== PEEL_BACK) expect(turns).toBeLessThan(messages / 4);
    const again = new RegisterStore('again');
    const alternating = converse(strategy, again, full, { salt: 1, budgetBytes: 4096, window: 1 });
    expect(alternating.turns).toBe(alternating.messages);
    expect(again.dump()).toEqual(full.dump());
  });

  it('goes on where a first sync broke off', () => {
    if (strategy === PEEL_BACK) return;
    const [full, empty] = [new RegisterStore('full'), new RegisterStore('empty')];
    for (let i = 0; i < 5000; i++) full.write(bytes(`key ${i}`), new Uint8Array(30), i);
    for (let breaks = 0; breaks < 3; breaks++) {
      let messages = 0;
      for (const _ of deliveries(strategy, empty, full, { salt: breaks, budgetBytes: 4096 }))
        if (++messages > 15) break;
    }
    const arrived = empty.size;
    expect(arrived).toBeGreaterThan(500);
    expect(arrived).toBeLessThan(5000);
    const { acceptor } = converse(strategy, empty, full, { salt: 9, budgetBytes: 4096 });
    expect(empty.dump()).toEqual(full.dump());
    expect(acceptor.stats.entriesSent).toBe(5000 - arrived);
  });

  it('does not bring back what was deleted and whose tombstone is collected', () => {
    const a = new RegisterStore('a');
    const b = new RegisterStore('b');
    const old = a.write(bytes('k'), bytes('v'), 1);
    b.apply(1, [old], []);
    // b sleeps; a deletes, everybody else has seen it, a collects.
    a.write(bytes('k'), bytes(''), 2, 1);
    a.collect(bytes('k'));
    b.write(bytes('other'), bytes('w'), 3);
    const { acceptor } = converse(strategy, b, a, { salt: 1 });
    expect(a.get(bytes('k'))).toBeUndefined();
    if (strategy === PEEL_BACK) {
      // It cannot say so, but it knows.
      expect(acceptor.needsFull).toBe(true);
      return;
    }
    expect(b.get(bytes('k'))).toBeUndefined();
    expect(a.dump()).toEqual(b.dump());
  });
});

describe('scuttlebutt', () => {
  it('makes stores the same that heard of each other only in order, in a message or many', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 0, max: 300 }),
        fc.constantFrom(512, 65_536),
        (seed, steps, budgetBytes) => {
          const prng = new Prng(seed);
          const [a, b, c] = ['a', 'b', 'c'].map((name) => new RegisterStore(name)) as [
            RegisterStore,
            RegisterStore,
            RegisterStore,
          ];
          for (let i = 1; i <= steps; i++) {
            const [one, two] = [[a, b, c][prng.below(3)], [a, b, c][prng.below(3)]] as [RegisterStore, RegisterStore];
            randomWrite(one, prng, i);
            if (one !== two && prng.below(20) === 0) converse(SCUTTLEBUTT, one, two, { salt: i, budgetBytes });
          }
          converse(SCUTTLEBUTT, a, b, { salt: 1, budgetBytes });
          expect(a.dump()).toEqual(b.dump());
          expect(a.log.sum).toEqual(b.log.sum);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('asks for what is missing alone when rumors came out of order', () => {
    const [a, b] = [new RegisterStore('a'), new RegisterStore('b')];
    for (let i = 1; i <= 500; i++) {
      const entry = a.write(bytes(`key ${i}`), bytes('v'), i);
      if (i % 100 !== 50) b.apply(i, [entry], []);
    }
    const { opener, acceptor } = converse(SCUTTLEBUTT, b, a, { salt: 1 });
    expect(opener.stats.entriesApplied).toBe(5);
    expect(acceptor.stats.entriesSent).toBe(5);
    expect(b.log.version('a')).toMatchObject({ max: 500, ahead: [] });
  });

  it('tells the writer with most to tell first, and after a break only the rest', () => {
    const [a, b] = [new RegisterStore('a'), new RegisterStore('b')];
    const [few, many] = [new RegisterStore('few'), new RegisterStore('many')];
    for (let i = 1; i <= 5; i++) a.apply(i, [few.write(bytes(`few ${i}`), new Uint8Array(10), i)], []);
    for (let i = 1; i <= 60; i++) a.apply(i, [many.write(bytes(`many ${i}`), new Uint8Array(10), i)], []);
    const first = SCUTTLEBUTT.converse(b, { salt: 1, budgetBytes: 1000 });
    const reply = SCUTTLEBUTT.converse(a, { salt: 1, budgetBytes: 1000 }).receive(0, first.begin(0))
      .reply as Uint8Array;
    first.receive(0, reply);
    const told = b.log.version('many')?.max ?? 0;
    expect(told).toBeGreaterThan(10);
    expect(told).toBeLessThan(60);
    expect(b.log.version('few')).toBeUndefined();
    const { acceptor } = converse(SCUTTLEBUTT, b, a, { salt: 2, budgetBytes: 1000 });
    expect(acceptor.stats.entriesSent).toBe(65 - told);
    expect(b.dump()).toEqual(a.dump());
  });

  it('leaves coverage alone and asks for a full comparison when tombstones were collected that the other has not seen', () => {
    const [a, b] = [new RegisterStore('a'), new RegisterStore('b')];
    const writer = new RegisterStore('writer');
    const old = writer.write(bytes('k'), bytes('v'), 1);
    for (const store of [a, b]) store.apply(1, [old], []);
    a.apply(2, [writer.write(bytes('k'), bytes(''), 2, 1)], []);
    a.collect(bytes('k'));
    a.apply(3, [writer.write(bytes('l'), bytes('w'), 3)], []);
    const { opener, acceptor } = converse(SCUTTLEBUTT, b, a, { salt: 1 });
    expect(opener.needsFull || acceptor.needsFull).toBe(true);
    expect(b.log.version('writer')?.max).toBe(1);
    converse(RANGE, b, a, { salt: 1 });
    expect(b.dump()).toEqual(a.dump());
    expect(b.get(bytes('k'))).toBeUndefined();
  });
});

describe('a handful of stores', () => {
  it('become the same by talking to partners drawn at random, most conversations breaking off, while all write', () => {
    fc.assert(
      fc.property(fc.integer(), fc.boolean(), (seed, isWeighted) => {
        const prng = new Prng(seed);
        const stores = Array.from({ length: 6 }, (_, i) => new RegisterStore(`node-${i}`));
        const talk = (breakOff: number) => {
          for (const [i, store] of stores.entries()) {
            const others = stores.filter((other) => other !== store);
            const choice = { exponent: 1.5, distance: (k: number) => 1 + Math.abs(k - i) };
            const partner = others[
              choosePartner(prng, others.length, isWeighted ? choice : undefined)
            ] as RegisterStore;
            for (const _ of deliveries(CHECKSUM_FIRST, store, partner, { salt: prng.next(), budgetBytes: 1200 })) {
              if (prng.below(100) < breakOff) break;
            }
          }
        };
        for (let round = 1; round < 25; round++) {
          for (const store of stores) {
            const entry = randomWrite(store, prng, round);
            // A rumor, as it reaches some.
            for (const other of stores) if (prng.below(3) === 0) other.apply(round, [entry], []);
          }
          talk(40);
        }
        // Push-pull among n stores is through after log2(n) + ln(n) + a few rounds (Demers et al. 1987, section 1.3): 4.4 for six, and 6 more to be sure.
        for (let round = 0; round < 10; round++) talk(0);
        for (const store of stores) expect(store.dump()).toEqual((stores[0] as RegisterStore).dump());
      }),
      { numRuns: 15 },
    );
  });
});

test('ten differences among 100,000 records take at most 8 KiB and 4 round trips', () => {
  const a = new RegisterStore('a');
  const b = new RegisterStore('b');
  const source = new RegisterStore('source');
  for (let i = 0; i < 100_000; i++) {
    const entry = source.write(bytes(`key-${i}`), bytes(`value of ${i}`), i);
    for (const store of [a, b]) store.apply(i, [entry], []);
  }
  for (let i = 0; i < 10; i++)
    (i % 2 === 0 ? a : b).write(bytes(`key-${i * 9973}`), bytes(`new value of ${i}`), 200_000 + i);
  const { turns, bytes: total } = converse(RANGE, a, b, { salt: 1 });
  expect(a.dump()).toEqual(b.dump());
  expect(total).toBeLessThanOrEqual(8192);
  expect(turns).toBeLessThanOrEqual(8);
});
