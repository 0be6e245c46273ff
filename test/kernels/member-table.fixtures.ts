import { createInternerArena } from '../../src/kernels/arenas/interner.ts';
import { createMemberTableArena, type MemberTableArenaOptions } from '../../src/kernels/arenas/member-table.ts';
import { createPacketCodecArena } from '../../src/kernels/arenas/packet-codec.ts';
import type { Arena, Interner, MemberTable, PacketCodec } from '../../src/kernels/contract.ts';
import { CHANGE_FLAG, CHANGE_KIND, MERGE_FLAG, MESSAGE, PROFILE, STATUS } from '../../src/kernels/contract.ts';
import { JsInterner } from '../../src/kernels/js/interner.ts';
import { JsMemberTable } from '../../src/kernels/js/member-table.ts';
import { JsPacketCodec } from '../../src/kernels/js/packet-codec.ts';
import { CHANGE, HEADER, RECORD, ROW, TABLE } from '../../src/kernels/layout.ts';
import { NativeInterner } from '../../src/kernels/native/interner.ts';
import { NativeMemberTable } from '../../src/kernels/native/member-table.ts';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { parseIp } from '../../src/util/address.ts';
import { bytesOf, textOf } from '../../src/util/bytes.ts';

/** How to make the kernels of one backend. */
export interface TableEngine {
  readonly name: 'js' | 'native';
  interner(arena: Arena): Interner;
  table(arena: Arena, names: Interner, profiles: Interner): MemberTable;
}

const JS: TableEngine = {
  name: 'js',
  interner: (arena) => new JsInterner(arena),
  table: (arena, names, profiles) => new JsMemberTable(arena, names as JsInterner, profiles as JsInterner),
};
const NATIVE: TableEngine = {
  name: 'native',
  interner: (arena) => new NativeInterner(arena),
  table: (arena, names, profiles) => new NativeMemberTable(arena, names as NativeInterner, profiles as NativeInterner),
};

/** The engines that this machine can run. */
export const ENGINES: readonly TableEngine[] = hasNativeClass('MemberTable') ? [JS, NATIVE] : [JS];

/** One record as a test writes it; what is left out is zero. */
export interface RecordSpec {
  readonly kind: number;
  readonly name: string;
  readonly incarnation: number;
  readonly from?: string;
  readonly ip?: string | Uint8Array;
  readonly port?: number;
  readonly meta?: string;
  readonly vsn?: readonly number[];
  readonly status?: number;
  readonly ext?: number;
  readonly refused?: boolean;
}

export const VSN: readonly number[] = [1, 5, 2, 0, 0, 0];

export const alive = (name: string, incarnation: number, more: Partial<RecordSpec> = {}): RecordSpec => ({
  kind: MESSAGE.alive,
  name,
  incarnation,
  ip: '10.0.0.2',
  port: 7946,
  vsn: VSN,
  ...more,
});
export const suspect = (name: string, incarnation: number, from = 'x0'): RecordSpec => ({
  kind: MESSAGE.suspect,
  name,
  incarnation,
  from,
});
export const dead = (name: string, incarnation: number, from = 'x0'): RecordSpec => ({
  kind: MESSAGE.dead,
  name,
  incarnation,
  from,
});
export const nodeState = (
  name: string,
  incarnation: number,
  status: number,
  more: Partial<RecordSpec> = {},
): RecordSpec => ({
  ...alive(name, incarnation, more),
  kind: MESSAGE.pushPull,
  status,
});

/** Writes records 0.. of a codec as index() would leave them. */
export function writeRecords(codec: PacketCodec, specs: readonly RecordSpec[]): void {
  let top = codec.inboxOffset;
  const put = (bytes: Uint8Array): number => {
    if (bytes.length === 0) return 0;
    codec.u8.set(bytes, top);
    top += bytes.length;
    return top - bytes.length;
  };
  specs.forEach((spec, i) => {
    const at = codec.recordsOffset + i * RECORD.stride;
    codec.u8.fill(0, at, at + RECORD.stride);
    const set = (field: number, value: number): void => {
      codec.u32[(at + field) >>> 2] = value;
    };
    const name = bytesOf(spec.name);
    const from = bytesOf(spec.from ?? '');
    const ip = typeof spec.ip === 'string' ? (parseIp(spec.ip) as Uint8Array) : (spec.ip ?? new Uint8Array(0));
    const meta = bytesOf(spec.meta ?? '');
    const port = spec.port ?? 0;
    codec.u8[at + RECORD.kind] = spec.kind;
    codec.u8[at + RECORD.flags] = spec.refused ? 1 : 0;
    codec.u8[at + RECORD.port] = port & 255;
    codec.u8[at + RECORD.port + 1] = port >>> 8;
    set(RECORD.number, spec.incarnation);
    set(RECORD.nameOffset, put(name));
    set(RECORD.nameLength, name.length);
    set(RECORD.fromOffset, put(from));
    set(RECORD.fromLength, from.length);
    set(RECORD.ipOffset, put(ip));
    set(RECORD.ipLength, ip.length);
    set(RECORD.dataOffset, put(meta));
    set(RECORD.dataLength, meta.length);
    (spec.vsn ?? []).slice(0, 6).forEach((byte, k) => {
      codec.u8[at + RECORD.vsn + k] = byte;
    });
    codec.u8[at + RECORD.vsnLength] = (spec.vsn ?? []).length;
    codec.u8[at + RECORD.status] = spec.status ?? 0;
    set(RECORD.ext, spec.ext ?? 0);
  });
}

export interface ChangeView {
  readonly kind: string;
  readonly slot: number;
  readonly prevStatus: number;
  readonly status: number;
  readonly flags: readonly string[];
  readonly incarnation: number;
  readonly record: number;
  readonly nameId: number;
  readonly ext: number;
}

export interface RowView {
  readonly slot: number;
  readonly name: string;
  readonly status: number;
  readonly incarnation: number;
  readonly flags: number;
  readonly statusSinceMs: number;
  readonly generation: number;
  readonly ext: number;
  readonly vsn: readonly number[];
  readonly port: number;
  readonly ip: readonly number[];
  readonly meta: string;
}

export interface RigOptions extends Partial<MemberTableArenaOptions> {
  readonly nameHeapBytes?: number;
  readonly profileHeapBytes?: number;
  readonly profileCapacity?: number;
  readonly internerCapacity?: number;
  readonly records?: number;
}

/** A table with its interners and a codec to write records into. */
export class Rig {
  readonly engine: TableEngine;
  readonly names: Interner;
  readonly profiles: Interner;
  readonly table: MemberTable;
  readonly codec: PacketCodec;

  constructor(engine: TableEngine, options: RigOptions = {}) {
    const capacity = options.capacity ?? 64;
    const records = options.records ?? 64;
    const internerCapacity = options.internerCapacity ?? capacity;
    this.engine = engine;
    this.names = engine.interner(
      createInternerArena({
        capacity: internerCapacity,
        heapBytes: options.nameHeapBytes ?? capacity * 32,
        hashSeed: 7,
      }),
    );
    this.profiles = engine.interner(
      createInternerArena({
        capacity: options.profileCapacity ?? internerCapacity,
        heapBytes: options.profileHeapBytes ?? capacity * 80,
        hashSeed: 9,
      }),
    );
    this.table = engine.table(
      createMemberTableArena({ rngSeed: 1, nameCapacity: internerCapacity, ...options, capacity }),
      this.names,
      this.profiles,
    );
    this.codec = new JsPacketCodec(
      createPacketCodecArena({
        packetCapacity: 1,
        recordCapacity: records,
        inboxBytes: records * 1700,
        scratchBytes: 64,
      }),
    );
  }

  /** Merges records; returns how many were used up. */
  merge(nowMs: number, specs: readonly RecordSpec[], flags = 0): number {
    writeRecords(this.codec, specs);
    return this.table.merge(nowMs, this.codec, 0, specs.length, flags);
  }

  /** Starts the local member. */
  start(name = 'self', incarnation = 1, more: Partial<RecordSpec> = {}): void {
    this.merge(0, [alive(name, incarnation, { ip: '10.0.0.1', ...more })], MERGE_FLAG.bootstrap);
  }

  word(offset: number): number {
    return this.table.u32[offset >>> 2] as number;
  }

  setWord(offset: number, value: number): void {
    this.table.u32[offset >>> 2] = value;
  }

  get live(): number {
    return this.word(HEADER.live);
  }

  slot(name: string): number {
    return this.table.find(bytesOf(name));
  }

  order(): number[] {
    return Array.from({ length: this.live }, (_, i) => this.table.u32[(this.table.orderOffset >>> 2) + i] as number);
  }

  picks(count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.table.u32[(this.table.picksOffset >>> 2) + i] as number);
  }

  changes(): ChangeView[] {
    const { u8, u32, outOffset } = this.table;
    return Array.from({ length: this.word(TABLE.outCount) }, (_, i) => {
      const at = outOffset + i * CHANGE.stride;
      const word = (field: number): number => u32[(at + field) >>> 2] as number;
      const flags = u8[at + CHANGE.flags] as number;
      return {
        kind: keyOf(CHANGE_KIND, u8[at + CHANGE.kind] as number),
        slot: word(CHANGE.slot),
        prevStatus: u8[at + CHANGE.prevStatus] as number,
        status: u8[at + CHANGE.status] as number,
        flags: Object.entries(CHANGE_FLAG)
          .filter(([, bit]) => (flags & bit) !== 0)
          .map(([key]) => key),
        incarnation: word(CHANGE.incarnation),
        record: word(CHANGE.record),
        nameId: word(CHANGE.nameId),
        ext: word(CHANGE.ext),
      };
    });
  }

  kinds(): string[] {
    return this.changes().map(({ kind }) => kind);
  }

  row(name: string): RowView | undefined {
    const slot = this.slot(name);
    return slot < 0 ? undefined : this.rowAt(slot);
  }

  rowAt(slot: number): RowView {
    const { u8, u32, rowsOffset } = this.table;
    const at = rowsOffset + slot * ROW.stride;
    const word = (field: number): number => u32[(at + field) >>> 2] as number;
    const profile = this.profiles.bytes(word(ROW.profileId));
    const ipEnd = PROFILE.ip + (profile[PROFILE.ipLength] as number);
    return {
      slot,
      name: textOf(this.names.bytes(word(ROW.nameId))),
      status: u8[at + ROW.status] as number,
      incarnation: word(ROW.incarnation),
      flags: u8[at + ROW.flags] as number,
      statusSinceMs: new Float64Array(this.table.arena, at + ROW.statusSinceMs, 1)[0] as number,
      generation: (u8[at + ROW.generation] as number) | ((u8[at + ROW.generation + 1] as number) << 8),
      ext: word(ROW.ext),
      vsn: [...profile.subarray(0, 6)],
      port: ((profile[PROFILE.port] as number) << 8) | (profile[PROFILE.port + 1] as number),
      ip: [...profile.subarray(PROFILE.ip, ipEnd)],
      meta: textOf(profile.subarray(ipEnd)),
    };
  }

  /** Clears a flag of a row behind the kernel's back. */
  clearFlag(name: string, flag: number): void {
    const at = this.table.rowsOffset + this.slot(name) * ROW.stride + ROW.flags;
    this.table.u8[at] = (this.table.u8[at] as number) & ~flag;
  }
}

export const STATUS_NAMES = ['alive', 'suspect', 'dead', 'left'] as const;

/** Brings a member to a status at an incarnation, as messages would. */
export function bring(
  rig: Rig,
  nowMs: number,
  name: string,
  status: number,
  incarnation: number,
  more: Partial<RecordSpec> = {},
): void {
  rig.merge(nowMs, [alive(name, incarnation, more)]);
  if (status === STATUS.suspect) rig.merge(nowMs, [suspect(name, incarnation, 'somebody')]);
  if (status === STATUS.dead) rig.merge(nowMs, [dead(name, incarnation, 'somebody')]);
  if (status === STATUS.left) rig.merge(nowMs, [dead(name, incarnation, name)]);
}

function keyOf(table: Readonly<Record<string, number>>, value: number): string {
  return Object.keys(table).find((key) => table[key] === value) ?? `unknown ${value}`;
}
