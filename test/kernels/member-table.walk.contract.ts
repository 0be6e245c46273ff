import { describe, expect, it } from 'vitest';
import { createMemberTableArena, grownMemberTableArena } from '../../src/kernels/arenas/member-table.ts';
import { EXT, MESSAGE, PICK, STATUS } from '../../src/kernels/contract.ts';
import { HEADER, NO_RECORD, TABLE } from '../../src/kernels/layout.ts';
import { bytesOf } from '../../src/util/bytes.ts';
import { alive, bring, dead, Rig, suspect, type TableEngine } from './member-table.fixtures.ts';

const word = (sequence: number): number => ((sequence << EXT.sequenceShift) | EXT.present) >>> 0;

/** Names n0..n(count-1), alive since 0, each with its own address. */
function fill(rig: Rig, count: number): void {
  for (let i = 0; i < count; i++) rig.merge(0, [alive(`n${i}`, 1, { ip: `10.1.${i >> 8}.${i & 255}` })]);
}

/** Probing, sampling, encoding, and the arena itself. */
export function memberTableWalkContract(engine: TableEngine): void {
  describe(`member table, ${engine.name}: probing order`, () => {
    it('visits every other living member once per round, in a new order each round', () => {
      const rig = new Rig(engine);
      rig.start();
      fill(rig, 20);
      bring(rig, 0, 'n3', STATUS.suspect, 1);
      rig.merge(0, [dead('n4', 1), dead('n5', 1, 'n5')]);
      const round = (): number[] => Array.from({ length: 18 }, () => rig.table.nextProbe(1, 1000));
      const rounds = [round(), round(), round()];
      for (const slots of rounds) {
        expect(new Set(slots).size).toBe(18);
        for (const name of ['self', 'n4', 'n5']) expect(slots).not.toContain(rig.slot(name));
      }
      expect(rounds[1]).not.toEqual(rounds[2]);
      expect(
        rig.order().map((slot, position) => rig.table.u32[(rig.table.rowsOffset + slot * 32 + 24) >>> 2] === position),
      ).not.toContain(false);
    });

    it('gives up when there is nobody to probe', () => {
      const rig = new Rig(engine);
      rig.start();
      bring(rig, 0, 'n1', STATUS.dead, 1);
      expect(rig.table.nextProbe(1, 1000)).toBe(-1);
    });

    it('reaps members dead or left for longer than asked, at the end of a round', () => {
      const rig = new Rig(engine);
      rig.start();
      fill(rig, 4);
      rig.merge(100, [dead('n0', 1), dead('n1', 1, 'n1'), alive('zero', 0)]);
      rig.merge(150, [dead('n2', 1)]);
      const [n0, n1, zero] = ['n0', 'n1', 'zero'].map((name) => rig.slot(name)) as [number, number, number];
      rig.setWord(TABLE.probeIndex, rig.live);
      rig.table.nextProbe(200, 100);
      // Exactly 100 ms is not more than 100 ms; a member that was never alive is older than anything.
      expect(rig.changes().map(({ kind, slot }) => [kind, slot])).toEqual([['reap', zero]]);
      rig.setWord(TABLE.probeIndex, rig.live);
      rig.table.nextProbe(201, 100);
      expect(new Set(rig.changes().map(({ slot }) => slot))).toEqual(new Set([n0, n1]));
      expect(rig.changes()[0]).toMatchObject({ kind: 'reap', record: NO_RECORD, incarnation: 1 });
      expect([rig.live, rig.slot('n0'), rig.slot('n2') >= 0]).toEqual([3, -1, true]);
      expect([rig.names, rig.profiles].map((interner) => interner.u32[HEADER.live >>> 2])).toEqual([3, 3]);
    });

    it('never reaps itself', () => {
      const rig = new Rig(engine);
      rig.start();
      rig.setWord(TABLE.leaving, 1);
      rig.table.accuse(1, rig.slot('self'), MESSAGE.dead, 1);
      rig.setWord(TABLE.probeIndex, rig.live);
      rig.table.nextProbe(10_000, 1);
      expect([rig.live, rig.changes()]).toEqual([1, []]);
    });

    it('stops reaping when OUT is full and goes on at the next round', () => {
      const rig = new Rig(engine, { outCapacity: 3 });
      rig.start();
      for (let i = 0; i < 5; i++) bring(rig, 0, `n${i}`, STATUS.dead, 1);
      rig.setWord(TABLE.probeIndex, rig.live);
      rig.table.nextProbe(100, 1);
      expect([rig.live, rig.kinds().length]).toEqual([3, 3]);
      rig.setWord(TABLE.probeIndex, rig.live);
      rig.table.nextProbe(100, 1);
      expect([rig.live, rig.kinds().length]).toEqual([1, 2]);
    });

    it('reuses rows of reaped members under a higher generation', () => {
      const rig = new Rig(engine);
      rig.start();
      bring(rig, 0, 'old', STATUS.dead, 9, { ext: word(3) });
      const slot = rig.slot('old');
      rig.setWord(TABLE.probeIndex, rig.live);
      rig.table.nextProbe(100, 1);
      bring(rig, 200, 'new', STATUS.alive, 1);
      expect(rig.row('new')).toMatchObject({ slot, generation: 2, ext: 0, incarnation: 1, flags: 0 });
    });

    it('puts new members at any position of the order', () => {
      const seen = new Set<number>();
      for (let seed = 0; seed < 60; seed++) {
        const rig = new Rig(engine, { rngSeed: seed });
        fill(rig, 6);
        seen.add(rig.order().indexOf(rig.slot('n5')));
      }
      expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    });
  });

  describe(`member table, ${engine.name}: sampling`, () => {
    for (const members of [7, 40]) {
      it(`picks distinct members of the wanted kinds among ${members}, each about as often`, () => {
        const rig = new Rig(engine);
        rig.start();
        fill(rig, members);
        rig.merge(50, [suspect('n0', 1), dead('n1', 1), dead('n2', 1, 'n2')]);
        const except = rig.slot('n3');
        const times = new Map<number, number>();
        for (let i = 0; i < 1000; i++) {
          const found = rig.table.sample(100, 3, PICK.alive | PICK.suspect, 0, except);
          const picks = rig.picks(found);
          expect(new Set(picks).size).toBe(3);
          for (const slot of picks) times.set(slot, (times.get(slot) ?? 0) + 1);
        }
        const others = Array.from({ length: members }, (_, i) => `n${i}`).filter(
          (name) => !['n1', 'n2', 'n3'].includes(name),
        );
        expect([...times.keys()].sort((a, b) => a - b)).toEqual(
          others.map((name) => rig.slot(name)).sort((a, b) => a - b),
        );
        const mean = 3000 / others.length;
        for (const count of times.values()) expect(Math.abs(count - mean)).toBeLessThan(6 * Math.sqrt(mean));
      });
    }

    it('takes the dead only while they are fresh, the left only when asked for', () => {
      const rig = new Rig(engine);
      rig.start();
      bring(rig, 100, 'gone', STATUS.dead, 1);
      bring(rig, 100, 'left', STATUS.left, 1);
      rig.merge(100, [alive('never', 0)]);
      expect(rig.table.sample(150, 3, PICK.alive | PICK.suspect | PICK.dead, 50, -1)).toBe(1);
      expect(rig.picks(1)).toEqual([rig.slot('gone')]);
      expect(rig.table.sample(151, 3, PICK.dead, 50, -1)).toBe(0);
      expect(rig.table.sample(150, 3, PICK.dead | PICK.left, 50, -1)).toBe(2);
      expect(rig.table.sample(150, 3, PICK.dead, Number.POSITIVE_INFINITY, -1)).toBe(1);
    });

    it('finds everybody in a small cluster', () => {
      const rig = new Rig(engine);
      rig.start();
      fill(rig, 3);
      for (let i = 0; i < 50; i++) expect(rig.table.sample(1, 3, PICK.alive, 0, -1)).toBe(3);
    });

    it('gives no more than there is room for', () => {
      const rig = new Rig(engine, { pickCapacity: 4 });
      fill(rig, 30);
      expect(rig.table.sample(1, 10, PICK.alive, 0, -1)).toBe(4);
      expect(rig.table.sample(1, 0, PICK.alive, 0, -1)).toBe(0);
    });
  });

  describe(`member table, ${engine.name}: encoding its state`, () => {
    it('writes one node state as the wire has it', () => {
      const rig = new Rig(engine);
      rig.start('alpha', 1, { ip: '127.0.0.1', port: 39573, meta: 'meta-a' });
      const out = new Uint8Array(200);
      const end = rig.table.encodeState(out, 3);
      // The example of protocol §7.6.
      expect(Buffer.from(out.subarray(3, end)).toString('hex')).toBe(
        '87a441646472a47f000001ab496e6361726e6174696f6e01a44d657461a66d6574612d61a44e616d65a5616c706861a4506f7274cd9a95a5537461746500a356736ea6010502000000',
      );
    });

    it('writes nil for no metadata, Hs where there is a word, and all lengths of integers', () => {
      const rig = new Rig(engine);
      rig.merge(0, [alive('n', 200, { port: 80, ext: word(0x102) })]);
      const out = Buffer.alloc(200);
      const text = (): string => out.subarray(0, rig.table.encodeState(out, 0)).toString('hex');
      expect(text()).toContain('88a441646472a40a000002a24873ce00010201ab496e6361726e6174696f6eccc8a44d657461c0');
      rig.merge(1, [alive('n', 0x1234, { port: 80 })]);
      expect(text()).toContain('ab496e6361726e6174696f6ecd1234');
      rig.merge(1, [alive('n', 0x12345678, { port: 80 }), dead('n', 0x12345678, 'n')]);
      expect(text()).toContain('ab496e6361726e6174696f6ece12345678');
      expect(text()).toMatch(/a5537461746503a356736ea6010502000000$/);
    });

    it('writes long names and metadata, of every member in order', () => {
      const rig = new Rig(engine, { nameHeapBytes: 4096, profileHeapBytes: 4096 });
      rig.merge(0, [alive('n'.repeat(300), 1, { meta: 'm'.repeat(40) }), alive('b', 1), alive('c', 1)]);
      const out = Buffer.alloc(2000);
      const end = rig.table.encodeState(out, 0);
      const hex = out.subarray(0, end).toString('hex');
      expect(hex).toContain(`a44d657461da0028${'6d'.repeat(40)}a44e616d65da012c${'6e'.repeat(300)}`);
      const positions = rig
        .order()
        .map((slot) =>
          hex.indexOf(`a44e616d65${slot === 0 ? 'da' : `a1${Buffer.from(rig.rowAt(slot).name).toString('hex')}`}`),
        );
      expect(positions).toEqual([...positions].sort((a, b) => a - b));
      expect(positions).not.toContain(-1);
    });

    it('says how long the buffer must be when it is too short, and writes nothing', () => {
      const rig = new Rig(engine);
      rig.start();
      const long = new Uint8Array(500);
      const end = rig.table.encodeState(long, 10);
      const short = new Uint8Array(end - 1);
      expect(rig.table.encodeState(short, 10)).toBe(-end);
      expect(short).toEqual(new Uint8Array(end - 1));
      expect(rig.table.encodeState(new Uint8Array(end), 10)).toBe(end);
    });
  });

  describe(`member table, ${engine.name}: its arena`, () => {
    it('costs at most 44 bytes per member at 10,000', () => {
      const { byteLength } = createMemberTableArena({ capacity: 10_000, nameCapacity: 10_000, rngSeed: 1 });
      expect(byteLength).toBeLessThanOrEqual(44 * 10_000);
    });

    it('goes on the same in a larger arena', () => {
      const options = { capacity: 16, rngSeed: 9 };
      const [stay, grow] = [new Rig(engine, { ...options, capacity: 64 }), new Rig(engine, options)];
      for (const rig of [stay, grow]) {
        rig.start();
        fill(rig, 10);
      }
      grow.table.rehome(grownMemberTableArena(grow.table.arena, { capacity: 64, nameCapacity: 64 }));
      expect(new Uint8Array(grow.table.arena)).toEqual(new Uint8Array(stay.table.arena));
      for (const rig of [stay, grow]) rig.table.nextProbe(1, 1);
      expect(new Uint8Array(grow.table.arena)).toEqual(new Uint8Array(stay.table.arena));
    });

    it('refuses an arena that is not its own, too short, or made smaller', () => {
      const rig = new Rig(engine);
      const arena = rig.table.arena as ArrayBuffer;
      expect(() => engine.table(arena.slice(0, arena.byteLength - 8), rig.names, rig.profiles)).toThrow(/arena/);
      expect(() => engine.table(rig.names.arena, rig.names, rig.profiles)).toThrow(/kernel/);
      expect(() => grownMemberTableArena(arena, { capacity: 8 })).toThrow(/capacity/);
      expect(() => createMemberTableArena({ capacity: 0, nameCapacity: 1, rngSeed: 1 })).toThrow(/capacity/);
    });

    it('refuses more records than the codec has', () => {
      const rig = new Rig(engine, { records: 4 });
      expect(() => rig.table.merge(0, rig.codec, 2, 3, 0)).toThrow(/first \+ count/);
    });

    it('finds members by name and by the id of the name', () => {
      const rig = new Rig(engine);
      fill(rig, 3);
      expect(rig.table.find(bytesOf('n2'))).toBe(2);
      expect(rig.table.find(bytesOf('n3'))).toBe(-1);
      expect(rig.table.slotOf(rig.names.lookup(bytesOf('n1')))).toBe(1);
      for (const id of [0, 60, 9999, -1]) expect(rig.table.slotOf(id)).toBe(-1);
    });

    it('works in shared memory', () => {
      const rig = new Rig(engine, { shared: true });
      rig.start();
      expect(rig.table.arena).toBeInstanceOf(SharedArrayBuffer);
      expect(rig.row('self')?.status).toBe(STATUS.alive);
    });
  });
}
