// Generated operation logs, run by the twin and by C++ side by side; after each operation the three arenas must be equal byte
// for byte. HEARSAY_TWIN_OPS and HEARSAY_TWIN_SEED widen or repeat a run.
import { describe, expect, it } from 'vitest';
import { grownInternerArena } from '../../src/kernels/arenas/interner.ts';
import { grownMemberTableArena } from '../../src/kernels/arenas/member-table.ts';
import { type Arena, MERGE_FLAG, MESSAGE, NEED } from '../../src/kernels/contract.ts';
import { CHANGE, HEADER, RECORD, ROW, TABLE } from '../../src/kernels/layout.ts';
import { Prng } from '../../src/util/prng.ts';
import { ENGINES, type RecordSpec, Rig, type RigOptions, writeRecords } from './member-table.fixtures.ts';

const OPERATIONS = Number(process.env['HEARSAY_TWIN_OPS'] ?? 100_000);
const SEED = Number(process.env['HEARSAY_TWIN_SEED'] ?? 1);
/** Operations on one pair of tables before a fresh pair of other sizes takes over. */
const EPISODE = 2500;

const IPS = ['10.0.0.1', '10.0.0.1', '10.0.0.1', '10.0.0.2', '::ffff:10.0.0.1', 'fe80::1'];
const METAS = ['', '', 'm', 'role=db', 'x'.repeat(100)];
const VERSIONS = [
  [1, 5, 2, 0, 0, 0],
  [1, 5, 2, 0, 0, 0],
  [1, 5, 2, 0, 0, 0],
  [1, 4, 2, 2, 5, 4],
  [],
  [1, 5],
  [0, 5, 2, 0, 0, 0],
  [1, 5, 2, 0, 0, 0, 9],
];
const KINDS = [
  MESSAGE.alive,
  MESSAGE.alive,
  MESSAGE.alive,
  MESSAGE.suspect,
  MESSAGE.dead,
  MESSAGE.pushPull,
  MESSAGE.pushPull,
  MESSAGE.ping,
];
const STATUSES = [0, 0, 1, 2, 3, 255];

/** Draws operations; both rigs of an episode are fed from one of these. */
class Log {
  readonly prng: Prng;
  nowMs = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed);
  }

  one<T>(from: readonly T[]): T {
    return from[this.prng.below(from.length)] as T;
  }

  chance(in1000: number): boolean {
    return this.prng.below(1000) < in1000;
  }

  name(): string {
    const n = this.prng.below(18);
    return n === 0 ? 'self' : n === 1 ? 'a-much-longer-name-than-the-others' : `n${n}`;
  }

  ext(): number {
    return this.chance(500) ? 0 : ((this.prng.below(5) << 8) | 1 | (this.prng.below(2) << 1)) >>> 0;
  }

  incarnation(): number {
    return this.chance(10) ? this.prng.next() : this.prng.below(12);
  }

  record(): RecordSpec {
    const name = this.name();
    return {
      kind: this.one(KINDS),
      name,
      incarnation: this.incarnation(),
      from: this.chance(300) ? name : this.name(),
      ip: this.one(IPS),
      port: this.one([7946, 7946, 7946, 0, 80]),
      meta: this.one(METAS),
      vsn: this.one(VERSIONS),
      status: this.one(STATUSES),
      ext: this.ext(),
      refused: this.chance(30),
    };
  }

  sizes(seed: number): RigOptions {
    return {
      rngSeed: seed,
      capacity: 2 + this.prng.below(12),
      internerCapacity: 2 + this.prng.below(16),
      profileCapacity: 2 + this.prng.below(16),
      nameHeapBytes: 16 * (2 + this.prng.below(20)),
      profileHeapBytes: 16 * (4 + this.prng.below(40)),
      outCapacity: 1 + this.prng.below(8),
      pickCapacity: 1 + this.prng.below(40),
      defaultPort: 7946,
      deadReclaimMs: this.one([0, 0, 40]),
      records: 12,
    };
  }
}

const arenasOf = (rig: Rig): readonly Arena[] => [rig.table.arena, rig.names.arena, rig.profiles.arena];
const ARENA_NAMES = ['table', 'names', 'profiles'];

function grow(rig: Rig, need: number, by: number): void {
  const { table, names, profiles } = rig;
  const bigger = (field: number): number => rig.word(field) + by;
  if (need === NEED.rows)
    table.rehome(
      grownMemberTableArena(table.arena, { capacity: table.capacity + by, pickCapacity: bigger(TABLE.pickCapacity) }),
    );
  if (need === NEED.out) table.rehome(grownMemberTableArena(table.arena, { outCapacity: bigger(TABLE.outCapacity) }));
  if (need === NEED.names) {
    names.rehome(
      grownInternerArena(names.arena, { capacity: names.capacity + by, heapBytes: 32 * (names.capacity + by) + 512 }),
    );
    table.rehome(grownMemberTableArena(table.arena, { nameCapacity: names.capacity }));
  }
  if (need === NEED.profiles) {
    profiles.rehome(
      grownInternerArena(profiles.arena, {
        capacity: profiles.capacity + by,
        heapBytes: 160 * (profiles.capacity + by) + 512,
      }),
    );
  }
}

/** Draws one operation; the function runs it on a rig and gives what the kernel answered. */
function draw(log: Log, lead: Rig): { readonly title: string; run(rig: Rig): unknown } {
  const { prng, nowMs } = log;
  const slot = prng.below(lead.table.capacity + 2) - 1;
  const dice = prng.below(100);
  if (dice < 45) {
    const records = Array.from({ length: 1 + prng.below(8) }, () => log.record());
    const flags = log.chance(30) ? MERGE_FLAG.bootstrap : 0;
    if (flags !== 0)
      records.splice(0, records.length, {
        ...log.record(),
        kind: MESSAGE.alive,
        name: 'self',
        ip: '10.0.0.1',
        refused: false,
      });
    writeRecords(lead.codec, records);
    // Now and then a field that no codec would write.
    if (log.chance(20)) {
      const at = lead.codec.recordsOffset + prng.below(records.length) * RECORD.stride;
      lead.codec.u32[(at + 4 * (2 + prng.below(10))) >>> 2] = log.chance(500) ? prng.next() : prng.below(700);
    }
    return {
      title: `merge ${JSON.stringify(records)} flags ${flags}`,
      run: (rig) => rig.table.merge(nowMs, lead.codec, 0, records.length, flags),
    };
  }
  if (dice < 58) {
    const kind = log.one([MESSAGE.suspect, MESSAGE.dead, MESSAGE.dead, MESSAGE.alive]);
    const known = slot >= 0 && slot < lead.table.capacity ? lead.rowAt(slot).incarnation : 0;
    const incarnation = log.chance(700) ? known : log.incarnation();
    return {
      title: `accuse ${slot} ${kind} ${incarnation}`,
      run: (rig) => rig.table.accuse(nowMs, slot, kind, incarnation),
    };
  }
  if (dice < 74) {
    const afterMs = prng.below(60);
    return { title: `nextProbe ${afterMs}`, run: (rig) => rig.table.nextProbe(nowMs, afterMs) };
  }
  if (dice < 86) {
    const [count, mask, deadForMs] = [prng.below(9), prng.below(16), prng.below(60)];
    return {
      title: `sample ${count} ${mask} ${deadForMs} ${slot}`,
      run: (rig) => rig.table.sample(nowMs, count, mask, deadForMs, slot),
    };
  }
  const ext = log.ext();
  if (dice < 88) return { title: `setOwnExt ${ext}`, run: (rig) => rig.table.setOwnExt(ext) };
  if (dice < 93) return { title: `noteExt ${slot} ${ext}`, run: (rig) => rig.table.noteExt(slot, ext) };
  if (dice < 98) {
    const [length, at] = [log.one([0, 300, 4000]), prng.below(20)];
    return {
      title: `encodeState ${length} ${at}`,
      run: (rig) => {
        const out = new Uint8Array(length);
        return [rig.table.encodeState(out, at), Buffer.from(out).toString('base64')];
      },
    };
  }
  if (dice < 99) {
    const value = log.chance(200) ? 1 : 0;
    return { title: `leaving ${value}`, run: (rig) => rig.setWord(TABLE.leaving, value) };
  }
  const [need, by] = [1 + prng.below(4), 1 + prng.below(6)];
  return { title: `grow ${need} by ${by}`, run: (rig) => (rig.table.capacity < 40 ? grow(rig, need, by) : undefined) };
}

/** What must hold after every operation, whoever ran it. */
function brokenInvariant(rig: Rig): string | undefined {
  const counts = [TABLE.aliveCount, TABLE.suspectCount, TABLE.deadCount, TABLE.leftCount].map((field) =>
    rig.word(field),
  );
  if (counts.reduce((sum, count) => sum + count, 0) !== rig.live) return `counts ${counts} of ${rig.live} members`;
  if (rig.names.u32[HEADER.live >>> 2] !== rig.live) return 'a name without a member';
  if ((rig.word(HEADER.seq) & 1) !== 0) return 'the sequence is odd';
  const { u8, u32, rowsOffset } = rig.table;
  const order = rig.order();
  for (const [position, slot] of order.entries()) {
    const at = rowsOffset + slot * ROW.stride;
    if (u32[(at + ROW.orderIndex) >>> 2] !== position) return `order index of slot ${slot}`;
    if (rig.table.slotOf(u32[(at + ROW.nameId) >>> 2] as number) !== slot) return `name of slot ${slot}`;
    const isSuspicion = ((u8[at + ROW.flags] as number) & 1) !== 0;
    if (isSuspicion !== (u8[at + ROW.status] === 1)) return `suspicion of slot ${slot}`;
  }
  // While we live: a leave is stored at the incarnation it was announced with, and the counter is not used any more.
  const self = rowsOffset + (rig.word(TABLE.selfSlot) - 1) * ROW.stride;
  if (rig.word(TABLE.selfSlot) !== 0 && u8[self + ROW.status] === 0) {
    if (u32[(self + ROW.incarnation) >>> 2] !== rig.word(TABLE.incarnation)) return 'own incarnation';
  }
  return undefined;
}

function differing(a: Rig, b: Rig): string | undefined {
  const [left, right] = [arenasOf(a), arenasOf(b)];
  for (let i = 0; i < left.length; i++) {
    const [x, y] = [new Uint8Array(left[i] as ArrayBuffer), new Uint8Array(right[i] as ArrayBuffer)];
    if (Buffer.compare(x, y) !== 0) return `${ARENA_NAMES[i]} at byte ${x.findIndex((byte, at) => byte !== y[at])}`;
  }
  return undefined;
}

function runEpisodes(
  rigsOf: (options: RigOptions) => readonly Rig[],
  operations: number,
): { changes: Set<number>; needs: Set<number> } {
  const log = new Log(SEED);
  const seen = { changes: new Set<number>(), needs: new Set<number>() };
  let rigs: readonly Rig[] = [];
  const titles: string[] = [];
  for (let step = 0; step < operations; step++) {
    if (step % EPISODE === 0) rigs = rigsOf(log.sizes(step));
    const lead = rigs[0] as Rig;
    if (log.chance(300)) log.nowMs += log.prng.below(30);
    const operation = draw(log, lead);
    titles.push(operation.title);
    if (titles.length > 3) titles.shift();
    const answers = rigs.map((rig) => JSON.stringify(operation.run(rig)));
    const others = rigs.slice(1);
    const problem =
      answers.find((answer) => answer !== answers[0]) ??
      others.map((rig) => differing(lead, rig)).find((difference) => difference !== undefined) ??
      brokenInvariant(lead);
    if (problem !== undefined) {
      expect.fail(
        `seed ${SEED}, step ${step}: ${problem}; answers ${answers.join(' | ')}; last operations:\n${titles.join('\n')}`,
      );
    }
    for (let i = 0; i < lead.word(TABLE.outCount); i++)
      seen.changes.add(lead.table.u8[lead.table.outOffset + i * CHANGE.stride] as number);
    const need = lead.word(TABLE.need);
    seen.needs.add(need);
    if (need !== NEED.none && log.chance(60) && lead.table.capacity < 40) for (const rig of rigs) grow(rig, need, 4);
  }
  return seen;
}

if (ENGINES.length > 1) {
  describe('member table: native matches the twin', () => {
    it(
      `leaves the same bytes after each of ${OPERATIONS} operations`,
      () => {
        const seen = runEpisodes((options) => ENGINES.map((engine) => new Rig(engine, options)), OPERATIONS);
        // A log that never refutes or never runs out of names would prove little.
        expect([...seen.changes].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
        expect([...seen.needs].sort()).toEqual([0, 1, 2, 3, 4]);
      },
      60_000 + OPERATIONS,
    );
  });
}

describe('member table: invariants of the twin', () => {
  it('hold after each of 20,000 operations', () => {
    const [twin] = ENGINES;
    if (!twin) throw new Error('there is always a twin');
    const seen = runEpisodes((options) => [new Rig(twin, options)], 20_000);
    expect(seen.changes.size).toBe(8);
  });
});
