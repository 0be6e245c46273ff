import { describe, expect, test } from 'vitest';
import { grownPacketCodecArena } from '../../src/kernels/arenas/packet-codec.ts';
import { type PacketCodec, REJECT } from '../../src/kernels/contract.ts';
import { Hash64 } from '../../src/kernels/js/hash64.ts';
import { CODEC, RECORD } from '../../src/kernels/layout.ts';
import { Prng } from '../../src/util/prng.ts';
import { alive, bring, ENGINES, type RecordSpec } from './member-table.fixtures.ts';
import { SyncRig, someMember, stir } from './sync.fixtures.ts';

const OPTIONS = {
  capacity: 512,
  nameHeapBytes: 512 * 128,
  profileHeapBytes: 512 * 512,
  records: 512,
  outCapacity: 1024,
};

function filled(engine: (typeof ENGINES)[number], members: number): { rig: SyncRig; specs: RecordSpec[] } {
  const prng = new Prng(members);
  const specs = Array.from({ length: members }, (_, i) => someMember(prng, i));
  const rig = new SyncRig(engine, OPTIONS);
  rig.merge(1, specs);
  stir(rig, specs, prng);
  return { rig, specs };
}

/** Puts a block into the codec's inbox and reads it. */
function read(rig: SyncRig, codec: PacketCodec, block: Uint8Array): number {
  if (codec.inboxBytes < block.length || codec.u32[CODEC.scratchBytes >>> 2] !== 1 << 20) {
    codec.rehome(grownPacketCodecArena(codec.arena, { inboxBytes: block.length, scratchBytes: 1 << 20 }));
  }
  codec.u8.set(block, codec.inboxOffset);
  return rig.delta.decode(codec, 0, block.length);
}

/** The checksum made right again after a change. */
function sealed(block: Uint8Array): Uint8Array {
  const hash = new Hash64();
  hash.xxh3(block, 4, block.length - 4, 0, 0);
  const out = block.slice();
  new DataView(out.buffer).setUint32(0, hash.low, true);
  return out;
}

describe.each(ENGINES)('delta, $name', (engine) => {
  test('rows come out of a block as they went in', () => {
    const { rig } = filled(engine, 300);
    const slots = rig.used();
    const [block, ...others] = rig.encode(slots, 32768);
    expect(others).toEqual([]);
    expect(read(rig, rig.codec, block as Uint8Array)).toBe(slots.length);
    const copy = new SyncRig(engine, OPTIONS);
    expect(copy.table.merge(1, rig.codec, 0, slots.length, 0)).toBe(slots.length);
    for (const slot of slots) {
      const { name, status, incarnation, vsn, port, ip, meta, ext } = rig.rowAt(slot);
      if (status !== 0) expect(copy.row(name)).toBeUndefined();
      else expect(copy.row(name)).toMatchObject({ status, incarnation, vsn, port, ip, meta, ext });
    }
    // Those who are not alive are news about members that one knows.
    copy.merge(
      1,
      slots.map((slot) => rig.rowAt(slot)).map(({ name, incarnation }) => alive(name, incarnation)),
    );
    read(rig, rig.codec, block as Uint8Array);
    copy.table.merge(1, rig.codec, 0, slots.length, 0);
    for (const slot of slots) {
      const { name, status } = rig.rowAt(slot);
      // What a push/pull says about the dead is a suspicion (protocol §7.6).
      expect(copy.row(name)?.status).toBe(status === 2 ? 1 : status);
    }
  });

  test('a budget cuts between rows, and the next block goes on from there', () => {
    const { rig } = filled(engine, 200);
    const slots = rig.used();
    const whole = rig.encode(slots, 32768);
    const pieces = rig.encode(slots, 1400);
    expect(pieces.length).toBeGreaterThan(3);
    let records = 0;
    for (const piece of pieces) {
      expect(piece.length).toBeLessThanOrEqual(1400);
      records += read(rig, rig.codec, piece);
    }
    expect(records).toBe(slots.length);
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    expect(bytes).toBeGreaterThan((whole[0] as Uint8Array).length);
  });

  test('a budget below the first row takes nothing', () => {
    const { rig } = filled(engine, 3);
    rig.delta.u32[rig.delta.slotsOffset >>> 2] = rig.used()[0] as number;
    expect(rig.delta.encode(rig.table, 0, 1, 12)).toBe(0);
    expect(rig.delta.encode(rig.table, 0, 1, 1400)).toBe(1);
  });

  test('slots of no row are passed over', () => {
    const { rig } = filled(engine, 3);
    const [block] = rig.encode([400, rig.used()[1] as number, 511, 0xffffffff], 1400);
    expect(read(rig, rig.codec, block as Uint8Array)).toBe(1);
    expect(rig.encode([400, 401], 1400)).toEqual([]);
  });

  test('members that resemble their neighbours cost a few bytes each', () => {
    const rig = new SyncRig(engine, OPTIONS);
    rig.merge(
      1,
      Array.from({ length: 500 }, (_, i) =>
        alive(`node-${String(i).padStart(5, '0')}`, 1, { ip: `10.0.${i >> 8}.${i & 255}`, meta: 'role=db', ext: 257 }),
      ),
    );
    const [block] = rig.encode(rig.used(), 32768);
    expect((block as Uint8Array).length / 500).toBeLessThan(12);
  });

  test('every damaged byte is noticed by the checksum, and nothing of the block is left', () => {
    const { rig } = filled(engine, 20);
    const [block] = rig.encode(rig.used(), 32768) as [Uint8Array];
    for (let i = 0; i < block.length; i++) {
      const damaged = block.slice();
      damaged[i] = (damaged[i] as number) ^ (1 << (i & 7));
      expect(read(rig, rig.codec, damaged)).toBe(-REJECT.crcMismatch);
    }
    expect(rig.codec.u32[CODEC.recordCount >>> 2]).toBe(0);
    expect(
      rig.codec.u8.subarray(rig.codec.recordsOffset, rig.codec.recordsOffset + 64).every((byte) => byte === 0),
    ).toBe(true);
  });

  test('a block made wrong on purpose, its checksum right, is refused whole or read within all limits', () => {
    const { rig } = filled(engine, 30);
    const [block] = rig.encode(rig.used(), 32768) as [Uint8Array];
    const prng = new Prng(5);
    const results = new Map<number, number>();
    for (let i = 0; i < 1500; i++) {
      const damaged = block.slice(0, prng.below(8) === 0 ? 12 + prng.below(block.length - 12) : block.length);
      for (let k = prng.below(3); k >= 0; k--) {
        damaged[4 + prng.below(prng.below(2) === 0 ? 12 : damaged.length - 4)] = prng.below(256);
      }
      const result = read(rig, rig.codec, sealed(damaged));
      results.set(Math.min(result, 1), (results.get(Math.min(result, 1)) ?? 0) + 1);
      const { u8, u32, recordsOffset } = rig.codec;
      expect(u32[CODEC.recordCount >>> 2]).toBe(Math.max(result, 0));
      for (let r = 0; r < result; r++) {
        const at = recordsOffset + r * RECORD.stride;
        expect(u32[(at + RECORD.nameLength) >>> 2]).toBeLessThanOrEqual(512);
        for (const field of [RECORD.nameOffset, RECORD.ipOffset, RECORD.dataOffset]) {
          const end = (u32[(at + field) >>> 2] as number) + (u32[(at + field + 4) >>> 2] as number);
          expect(end).toBeLessThanOrEqual(u8.length);
        }
      }
    }
    // All kinds of refusal were met, and some changes are harmless.
    for (const code of [1, -REJECT.truncated, -REJECT.malformed, -REJECT.fieldInvalid])
      expect(results.get(code)).toBeGreaterThan(0);
  });

  test('blocks that are too short, too long, or too much for the codec are refused', () => {
    const { rig } = filled(engine, 30);
    const [block] = rig.encode(rig.used(), 32768) as [Uint8Array];
    expect(read(rig, rig.codec, block.subarray(0, 10))).toBe(-REJECT.truncated);
    expect(read(rig, rig.codec, new Uint8Array(65537))).toBe(-REJECT.oversized);
    const small = new SyncRig(engine, { ...OPTIONS, records: 4 });
    expect(read(small, small.codec, block)).toBe(-REJECT.oversized);
  });

  test('a block of a suspect, dead or left member is its name and little more', () => {
    const rig = new SyncRig(engine);
    for (const status of [1, 2, 3]) bring(rig, 1, `m${status}`, status, 9, { meta: 'x'.repeat(400) });
    const [block] = rig.encode(rig.used(), 1400) as [Uint8Array];
    expect(block.length).toBeLessThan(40);
    expect(read(rig, rig.codec, block)).toBe(3);
  });
});
