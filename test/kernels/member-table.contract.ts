import { describe, expect, it } from 'vitest';
import { grownInternerArena } from '../../src/kernels/arenas/interner.ts';
import { grownMemberTableArena } from '../../src/kernels/arenas/member-table.ts';
import { EXT, MERGE_FLAG, MESSAGE, META_BYTES_MAX, NEED, PICK, STATUS } from '../../src/kernels/contract.ts';
import { HEADER, NO_RECORD, ROW_FLAG, TABLE } from '../../src/kernels/layout.ts';
import { alive, bring, dead, nodeState, Rig, suspect, type TableEngine, VSN } from './member-table.fixtures.ts';

const word = (sequence: number, bits = 0): number => ((sequence << EXT.sequenceShift) | EXT.present | bits) >>> 0;

/** Start, news and effects that the vectors and the precedence table do not show. */
export function memberTableContract(engine: TableEngine): void {
  describe(`member table, ${engine.name}: starting`, () => {
    it('makes the bootstrap record the local member, with its incarnation', () => {
      const rig = new Rig(engine);
      rig.start('self', 7, { meta: 'm' });
      expect(rig.changes()).toMatchObject([
        {
          kind: 'alive',
          prevStatus: STATUS.dead,
          status: STATUS.alive,
          incarnation: 7,
          record: 0,
          flags: ['rebroadcast', 'created', 'self'],
        },
      ]);
      expect(rig.word(TABLE.selfSlot)).toBe(rig.slot('self') + 1);
      expect(rig.word(TABLE.incarnation)).toBe(7);
      expect(rig.row('self')).toMatchObject({
        status: STATUS.alive,
        flags: ROW_FLAG.self,
        statusSinceMs: 0,
        generation: 1,
      });
    });

    it('takes a metadata update of ours without refuting it', () => {
      const rig = new Rig(engine);
      rig.start('self', 1, { meta: 'old' });
      rig.merge(5, [alive('self', 2, { ip: '10.0.0.1', meta: 'new' })], MERGE_FLAG.bootstrap);
      expect(rig.changes()).toMatchObject([{ kind: 'alive', flags: ['rebroadcast', 'metaChanged', 'self'] }]);
      expect(rig.row('self')).toMatchObject({ meta: 'new', incarnation: 2, statusSinceMs: 0 });
      expect(rig.word(TABLE.incarnation)).toBe(2);
    });

    it('does nothing about itself before it has started', () => {
      const rig = new Rig(engine);
      rig.table.setOwnExt(word(1));
      expect(rig.table.nextProbe(0, 0)).toBe(-1);
      expect(rig.table.sample(0, 3, PICK.alive, 0, -1)).toBe(0);
      expect(rig.table.accuse(0, 0, MESSAGE.dead, 1)).toBe(0);
    });
  });

  describe(`member table, ${engine.name}: merging`, () => {
    it('lists an unknown member as created, in its row with all it said', () => {
      const rig = new Rig(engine);
      rig.merge(12, [alive('n1', 3, { ip: '10.0.0.9', port: 800, meta: 'meta', ext: word(1) })]);
      const slot = rig.slot('n1');
      expect(rig.changes()).toMatchObject([
        {
          kind: 'alive',
          slot,
          prevStatus: STATUS.dead,
          status: STATUS.alive,
          incarnation: 3,
          ext: word(1),
          flags: ['rebroadcast', 'created'],
        },
      ]);
      expect(rig.row('n1')).toEqual({
        slot,
        name: 'n1',
        status: STATUS.alive,
        incarnation: 3,
        flags: 0,
        statusSinceMs: 12,
        generation: 1,
        ext: word(1),
        vsn: VSN,
        port: 800,
        ip: [10, 0, 0, 9],
        meta: 'meta',
      });
      expect(rig.table.slotOf(rig.changes()[0]?.nameId as number)).toBe(slot);
      expect(rig.live).toBe(1);
    });

    it('counts members by status', () => {
      const rig = new Rig(engine);
      rig.start();
      [STATUS.alive, STATUS.alive, STATUS.suspect, STATUS.dead, STATUS.left, STATUS.left].forEach((status, i) => {
        bring(rig, 1, `n${i}`, status, 1);
      });
      const counts = [TABLE.aliveCount, TABLE.suspectCount, TABLE.deadCount, TABLE.leftCount].map((field) =>
        rig.word(field),
      );
      expect(counts).toEqual([3, 1, 1, 2]);
      expect(rig.live).toBe(7);
    });

    it('keeps the versions it knows when an update brings fewer than six', () => {
      const rig = new Rig(engine);
      bring(rig, 0, 'n1', STATUS.alive, 1);
      rig.merge(1, [alive('n1', 2, { vsn: [1, 5] })]);
      expect(rig.row('n1')).toMatchObject({ vsn: VSN, incarnation: 2 });
    });

    it('refutes an alive about itself without all six versions', () => {
      const rig = new Rig(engine);
      rig.start('self', 5);
      rig.merge(1, [alive('self', 5, { ip: '10.0.0.1', vsn: [] })]);
      expect(rig.kinds()).toEqual(['refute']);
    });

    it('puts the default port where none was sent', () => {
      const rig = new Rig(engine, { defaultPort: 7946 });
      rig.merge(0, [alive('n1', 1, { port: 0 })]);
      expect(rig.row('n1')?.port).toBe(7946);
      rig.merge(0, [alive('n1', 2, { port: 7946 })]);
      expect(rig.kinds()).toEqual(['alive']);
    });

    it('passes over refused records, other kinds, and states it does not know', () => {
      const rig = new Rig(engine);
      const before = new Uint8Array(rig.table.arena).slice();
      const used = rig.merge(0, [
        alive('a', 1, { refused: true }),
        { kind: MESSAGE.ping, name: 'b', incarnation: 1 },
        { kind: MESSAGE.user, name: '', incarnation: 0 },
        nodeState('c', 1, 255),
      ]);
      expect([used, rig.live, rig.changes()]).toEqual([4, 0, []]);
      const after = new Uint8Array(rig.table.arena).slice();
      new Uint32Array(after.buffer)[HEADER.seq >>> 2] = 0;
      expect(after).toEqual(before);
    });

    it('passes over records whose fields no codec would let through', () => {
      const rig = new Rig(engine);
      const used = rig.merge(0, [
        alive('', 1),
        alive('a', 1, { ip: new Uint8Array(0) }),
        alive('b', 1, { ip: new Uint8Array(5) }),
        alive('c', 1, { meta: 'm'.repeat(META_BYTES_MAX + 1) }),
        alive('d'.repeat(513), 1),
      ]);
      expect([used, rig.live]).toEqual([5, 0]);
    });

    it('says who may confirm a suspicion, and leaves the row alone', () => {
      const rig = new Rig(engine);
      bring(rig, 0, 'n1', STATUS.suspect, 5);
      const before = rig.row('n1');
      rig.merge(9, [suspect('n1', 8, 'x1'), nodeState('n1', 5, STATUS.dead)]);
      expect(rig.changes()).toMatchObject([
        { kind: 'confirm', incarnation: 8, record: 0, flags: [] },
        { kind: 'confirm', incarnation: 5, record: 1, flags: [] },
      ]);
      expect(rig.row('n1')).toEqual(before);
    });

    it('says that a suspicion ended, by an alive or by a death', () => {
      const rig = new Rig(engine);
      bring(rig, 0, 'n1', STATUS.suspect, 5);
      rig.merge(9, [alive('n1', 6)]);
      expect(rig.changes()).toMatchObject([
        { kind: 'alive', prevStatus: STATUS.suspect, flags: ['rebroadcast', 'suspicionEnded'] },
      ]);
      expect(rig.row('n1')).toMatchObject({ flags: 0, statusSinceMs: 9 });
      bring(rig, 10, 'n2', STATUS.suspect, 5);
      rig.merge(11, [dead('n2', 5)]);
      expect(rig.changes()).toMatchObject([{ kind: 'dead', flags: ['rebroadcast', 'suspicionEnded'] }]);
    });

    it('raises its incarnation past accusations in a row, each in the record order', () => {
      const rig = new Rig(engine);
      rig.start('self', 5);
      rig.merge(1, [suspect('self', 5), suspect('self', 5), suspect('self', 9), dead('self', 10)]);
      expect(rig.changes().map(({ kind, incarnation }) => [kind, incarnation])).toEqual([
        ['refute', 6],
        ['refute', 10],
        ['refute', 11],
      ]);
      expect(rig.word(TABLE.incarnation)).toBe(11);
    });

    it('stays at the largest incarnation instead of starting over', () => {
      const rig = new Rig(engine);
      rig.start('self', 5);
      rig.merge(1, [suspect('self', 0xffffffff)]);
      expect(rig.row('self')?.incarnation).toBe(0xffffffff);
    });

    it('lets a dead member move after the reclaim time, not before', () => {
      const rig = new Rig(engine, { deadReclaimMs: 100 });
      bring(rig, 1000, 'n1', STATUS.dead, 5);
      rig.merge(1100, [alive('n1', 1, { ip: '10.0.0.9' })]);
      expect(rig.kinds()).toEqual(['conflict']);
      rig.merge(1101, [alive('n1', 1, { ip: '10.0.0.9' })]);
      expect(rig.changes()).toMatchObject([
        { kind: 'alive', prevStatus: STATUS.dead, flags: ['rebroadcast', 'addressChanged'] },
      ]);
      expect(rig.row('n1')).toMatchObject({ incarnation: 1, ip: [10, 0, 0, 9] });
    });

    it('shares equal profiles and drops those that nobody has any more', () => {
      const rig = new Rig(engine);
      rig.merge(0, [alive('a', 1), alive('b', 1)]);
      const profiles = (): number => rig.profiles.u32[HEADER.live >>> 2] as number;
      expect(profiles()).toBe(1);
      rig.merge(0, [alive('a', 2, { meta: 'x' })]);
      expect(profiles()).toBe(2);
      rig.merge(0, [alive('b', 2, { meta: 'x' })]);
      expect(profiles()).toBe(1);
    });

    it('leaves the sequence even, and to the caller when the caller made it odd', () => {
      const rig = new Rig(engine);
      rig.start();
      const seq = rig.word(HEADER.seq);
      expect(seq & 1).toBe(0);
      rig.merge(1, [alive('n1', 1)]);
      expect(rig.word(HEADER.seq)).toBe(seq + 2);
      rig.setWord(HEADER.seq, seq + 3);
      rig.merge(1, [alive('n2', 1)]);
      rig.table.accuse(1, rig.slot('n2'), MESSAGE.suspect, 1);
      rig.table.noteExt(rig.slot('n1'), word(1));
      rig.table.setOwnExt(word(1));
      expect(rig.word(HEADER.seq)).toBe(seq + 3);
    });

    it('raises changeCount for what a reader can see, and for nothing else', () => {
      const rig = new Rig(engine);
      bring(rig, 0, 'n1', STATUS.alive, 5);
      const count = (): number => rig.word(HEADER.changeCount);
      const before = count();
      rig.merge(1, [alive('n1', 5), alive('n1', 6, { ip: '10.9.9.9' }), suspect('n1', 4), suspect('unknown', 1)]);
      expect(count()).toBe(before);
      rig.merge(1, [suspect('n1', 5)]);
      expect(count()).toBeGreaterThan(before);
    });
  });

  describe(`member table, ${engine.name}: running out`, () => {
    it('stops before a record when OUT is full, and goes on after', () => {
      const rig = new Rig(engine, { outCapacity: 2 });
      const records = [alive('a', 1), alive('b', 1), alive('c', 1)];
      expect([rig.merge(0, records), rig.word(TABLE.need)]).toEqual([2, NEED.out]);
      expect([rig.slot('c'), rig.kinds()]).toEqual([-1, ['alive', 'alive']]);
      expect([rig.table.merge(0, rig.codec, 2, 1, 0), rig.word(TABLE.need)]).toEqual([1, NEED.none]);
      expect(rig.slot('c')).toBeGreaterThanOrEqual(0);
    });

    for (const [what, need, options] of [
      ['rows', NEED.rows, { capacity: 2, internerCapacity: 8, nameHeapBytes: 512, profileHeapBytes: 512 }],
      ['names', NEED.names, { capacity: 8, nameHeapBytes: 32 }],
      ['ids of names', NEED.names, { capacity: 8, internerCapacity: 2, profileCapacity: 8 }],
      ['profiles', NEED.profiles, { capacity: 8, profileCapacity: 2 }],
      ['bytes of profiles', NEED.profiles, { capacity: 8, profileHeapBytes: 32 }],
      ['its index by name', NEED.names, { capacity: 8, nameCapacity: 2 }],
    ] as const) {
      it(`stops before a record when ${what} run out, goes on when they have grown`, () => {
        const rig = new Rig(engine, options);
        const records = ['a', 'b', 'c', 'd'].map((name, i) => alive(name, 1, { ip: `10.0.0.${i}`, ext: word(1) }));
        expect(rig.merge(0, records)).toBe(2);
        expect(rig.word(TABLE.need)).toBe(need);
        expect([rig.live, rig.slot('c'), rig.word(TABLE.outCount)]).toEqual([2, -1, 2]);
        expect([rig.names, rig.profiles].map((interner) => interner.u32[HEADER.live >>> 2])).toEqual([2, 2]);

        rig.names.rehome(grownInternerArena(rig.names.arena, { capacity: 16, heapBytes: 1024 }));
        rig.profiles.rehome(grownInternerArena(rig.profiles.arena, { capacity: 16, heapBytes: 1024 }));
        rig.table.rehome(grownMemberTableArena(rig.table.arena, { capacity: 8, nameCapacity: 16 }));
        expect(rig.table.merge(0, rig.codec, 2, 2, 0)).toBe(2);
        expect(['a', 'b', 'c', 'd'].map((name) => rig.row(name)?.ip[3])).toEqual([0, 1, 2, 3]);
        expect(rig.word(TABLE.need)).toBe(NEED.none);
      });
    }

    it('changes nothing of a known member when its new profile does not fit', () => {
      const rig = new Rig(engine, { profileHeapBytes: 16 });
      bring(rig, 0, 'n1', STATUS.suspect, 1);
      const before = rig.row('n1');
      expect(rig.merge(1, [alive('n1', 2, { meta: 'longer than what is left' })])).toBe(0);
      expect(rig.word(TABLE.need)).toBe(NEED.profiles);
      expect(rig.row('n1')).toEqual(before);
    });
  });

  describe(`member table, ${engine.name}: accusing`, () => {
    it('suspects, confirms and buries others', () => {
      const rig = new Rig(engine);
      rig.start();
      bring(rig, 0, 'n1', STATUS.alive, 3);
      const slot = rig.slot('n1');
      expect(rig.table.accuse(10, slot, MESSAGE.suspect, 3)).toBe(1);
      expect(rig.changes()).toMatchObject([
        { kind: 'suspect', incarnation: 3, record: NO_RECORD, flags: ['rebroadcast'] },
      ]);
      expect(rig.row('n1')).toMatchObject({ status: STATUS.suspect, statusSinceMs: 10, flags: ROW_FLAG.suspicion });
      expect([rig.table.accuse(11, slot, MESSAGE.suspect, 3), rig.kinds()]).toEqual([1, ['confirm']]);
      expect([rig.table.accuse(12, slot, MESSAGE.dead, 2), rig.kinds()]).toEqual([0, []]);
      expect(rig.table.accuse(13, slot, MESSAGE.dead, 3)).toBe(1);
      expect(rig.changes()).toMatchObject([
        { kind: 'dead', status: STATUS.dead, flags: ['rebroadcast', 'suspicionEnded'] },
      ]);
      expect(rig.table.accuse(14, slot, MESSAGE.alive, 3)).toBe(0);
      expect(rig.table.accuse(14, -1, MESSAGE.dead, 3)).toBe(0);
      expect(rig.table.accuse(14, 5000, MESSAGE.dead, 3)).toBe(0);
    });

    it('leaves by a death of its own, and refutes the same when it is not leaving', () => {
      const rig = new Rig(engine);
      rig.start('self', 4);
      const slot = rig.slot('self');
      rig.table.accuse(1, slot, MESSAGE.dead, 4);
      expect(rig.changes()).toMatchObject([{ kind: 'refute', incarnation: 5, flags: ['rebroadcast', 'self'] }]);
      rig.setWord(TABLE.leaving, 1);
      rig.table.accuse(2, slot, MESSAGE.dead, 5);
      expect(rig.changes()).toMatchObject([{ kind: 'dead', status: STATUS.left, flags: ['rebroadcast', 'self'] }]);
      rig.merge(3, [alive('self', 99, { ip: '10.7.7.7' })]);
      expect(rig.kinds()).toEqual([]);
    });
  });

  describe(`member table, ${engine.name}: the extension word`, () => {
    it('takes a newer word of an alive that is otherwise old news, and says when the stall changed', () => {
      const rig = new Rig(engine);
      rig.merge(0, [alive('n1', 5, { ext: word(1) })]);
      rig.merge(1, [alive('n1', 5, { ext: word(2, EXT.stalled) })]);
      expect(rig.changes()).toMatchObject([
        { kind: 'ext', ext: word(2, EXT.stalled), status: STATUS.alive, flags: ['rebroadcast', 'stallChanged'] },
      ]);
      rig.merge(2, [alive('n1', 5, { ext: word(3, EXT.stalled) })]);
      expect(rig.changes()).toMatchObject([{ kind: 'ext', flags: ['rebroadcast'] }]);
      rig.merge(3, [
        alive('n1', 5, { ext: word(3) }),
        alive('n1', 5, { ext: word(1) }),
        alive('n1', 5),
        alive('n1', 4, { ext: word(9) }),
        alive('n1', 5, { ext: word(9), ip: '10.3.3.3' }),
      ]);
      expect(rig.kinds()).toEqual(['conflict']);
      expect(rig.row('n1')?.ext).toBe(word(3, EXT.stalled));
    });

    it('keeps the word through relays that do not carry it, drops it when the member comes back without', () => {
      const rig = new Rig(engine);
      rig.merge(0, [alive('n1', 5, { ext: word(4) })]);
      rig.merge(1, [alive('n1', 6), suspect('n1', 6)]);
      expect(rig.row('n1')?.ext).toBe(word(4));
      rig.merge(2, [dead('n1', 6), alive('n1', 6, { ext: word(8) })]);
      expect(rig.row('n1')).toMatchObject({ status: STATUS.dead, ext: word(4) });
      rig.merge(3, [alive('n1', 7)]);
      expect(rig.row('n1')).toMatchObject({ status: STATUS.alive, ext: 0 });
    });

    it('takes any word of a higher incarnation', () => {
      const rig = new Rig(engine);
      rig.merge(0, [alive('n1', 5, { ext: word(4, EXT.stalled) })]);
      rig.merge(1, [alive('n1', 6, { ext: word(1) })]);
      expect(rig.changes()).toMatchObject([{ kind: 'alive', ext: word(1), flags: ['rebroadcast', 'stallChanged'] }]);
    });

    it('sets its own word, which no record can change', () => {
      const rig = new Rig(engine);
      rig.start();
      const count = rig.word(HEADER.changeCount);
      rig.table.setOwnExt(word(1));
      rig.table.setOwnExt(word(1));
      expect(rig.word(HEADER.changeCount)).toBe(count + 1);
      rig.merge(1, [alive('self', 1, { ip: '10.0.0.1', ext: word(9) })]);
      expect(rig.row('self')?.incarnation).toBe(2);
      rig.merge(1, [alive('self', 3, { ip: '10.0.0.1', ext: word(9) })], MERGE_FLAG.bootstrap);
      expect(rig.table.noteExt(rig.slot('self'), word(9))).toBe(0);
      expect(rig.row('self')?.ext).toBe(word(1));
    });

    it('refutes a word of an earlier life of ours, and not one that only lags behind', () => {
      const rig = new Rig(engine);
      rig.start();
      rig.table.setOwnExt(word(2));
      const echo = (incarnation: number, ext: number): number =>
        rig.merge(1, [alive('self', incarnation, { ip: '10.0.0.1', ext })]);
      for (const ext of [0, word(1), word(1, EXT.stalled), word(2)]) echo(1, ext);
      expect(rig.row('self')?.incarnation).toBe(1);
      echo(1, word(2, EXT.stalled));
      expect(rig.changes()).toMatchObject([{ kind: 'refute', incarnation: 2 }]);
      rig.merge(1, [nodeState('self', 2, STATUS.alive, { ip: '10.0.0.1', ext: word(3, EXT.stalled) })]);
      expect(rig.row('self')).toMatchObject({ incarnation: 3, ext: word(2) });
      echo(2, word(9));
      expect(rig.row('self')?.incarnation).toBe(3);
    });

    it('notes words heard directly, of members that live', () => {
      const rig = new Rig(engine);
      bring(rig, 0, 'n1', STATUS.suspect, 1);
      bring(rig, 0, 'n2', STATUS.dead, 1);
      expect(rig.table.noteExt(rig.slot('n1'), word(1, EXT.stalled))).toBe(1);
      expect(rig.changes()).toMatchObject([{ kind: 'ext', record: NO_RECORD, flags: ['stallChanged'] }]);
      expect(rig.table.noteExt(rig.slot('n1'), word(1, EXT.stalled))).toBe(0);
      expect(rig.changes()).toEqual([]);
      expect(rig.table.noteExt(rig.slot('n2'), word(1))).toBe(0);
      expect(rig.table.noteExt(-1, word(1))).toBe(0);
      expect(rig.table.noteExt(40, word(1))).toBe(0);
    });
  });
}
