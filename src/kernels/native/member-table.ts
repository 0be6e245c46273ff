import { type MemberTableSections, memberTableSections } from '../arenas/member-table.ts';
import { type Arena, type MemberTable, type PacketCodec, STATUS } from '../contract.ts';
import { MemberOrder } from '../js/member-order.ts';
import { MemberRows } from '../js/member-rows.ts';
import { HEADER, ROW, TABLE } from '../layout.ts';
import type { NativeInterner } from './interner.ts';
import { type KernelHandle, NativeKernel } from './native-kernel.ts';

/** The object behind a NativeMemberTable. */
export interface MemberTableHandle extends KernelHandle {
  merge(nowMs: number, codec: Uint8Array, first: number, count: number, flags: number): number;
  accuse(nowMs: number, slot: number, kind: number, incarnation: number): number;
  find(name: Uint8Array): number;
  nextProbe(nowMs: number, reapAfterMs: number): number;
  setOwnExt(ext: number): void;
  noteExt(slot: number, ext: number): number;
  encodeState(out: Uint8Array, at: number): number;
}

/** The C++ engine of the member table; native/kernels/member_table.hpp does the work. */
export class NativeMemberTable extends NativeKernel<MemberTableHandle, MemberTableSections> implements MemberTable {
  readonly names: NativeInterner;
  readonly profiles: NativeInterner;
  /** The twin's, over the same arena: drawing three members takes less than entering C++ does (docs/benchmarks.md). */
  readonly #rows: MemberRows;
  readonly #order: MemberOrder;

  /** Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createMemberTableArena. */
  constructor(arena: Arena, names: NativeInterner, profiles: NativeInterner) {
    super('MemberTable', memberTableSections, arena, names.handle, profiles.handle);
    this.names = names;
    this.profiles = profiles;
    this.#rows = new MemberRows(arena);
    this.#order = new MemberOrder(this.#rows, names.twin, profiles.twin);
  }

  override rehome(arena: Arena): void {
    super.rehome(arena);
    this.#rows.rehome(arena);
  }

  get capacity(): number {
    return this.sections.capacity;
  }
  get outOffset(): number {
    return this.sections.outOffset;
  }
  get picksOffset(): number {
    return this.sections.picksOffset;
  }
  get rowsOffset(): number {
    return this.sections.rowsOffset;
  }
  get orderOffset(): number {
    return this.sections.orderOffset;
  }
  get slotOfOffset(): number {
    return this.sections.slotOfOffset;
  }

  /** The codec may be of either backend: its arena is all that is read. */
  merge(nowMs: number, codec: PacketCodec, first: number, count: number, flags: number): number {
    return this.handle.merge(nowMs, codec.u8, first, count, flags);
  }

  accuse(nowMs: number, slot: number, kind: number, incarnation: number): number {
    return this.handle.accuse(nowMs, slot, kind, incarnation);
  }

  find(name: Uint8Array): number {
    return this.handle.find(name);
  }

  /** Read straight from the arena: no crossing. */
  slotOf(nameId: number): number {
    if (!(nameId > 0 && nameId < this.sections.nameCapacity)) return -1;
    return (this.u32[(this.sections.slotOfOffset >>> 2) + nameId] as number) - 1;
  }

  /** A step is read straight from the arena; only the end of a round, with its reaping and shuffling, is a crossing. */
  nextProbe(nowMs: number, reapAfterMs: number): number {
    const { u8, u32 } = this;
    const { orderOffset, rowsOffset } = this.sections;
    const self = (u32[TABLE.selfSlot >>> 2] as number) - 1;
    const live = u32[HEADER.live >>> 2] as number;
    for (let index = u32[TABLE.probeIndex >>> 2] as number; index < live; index++) {
      const slot = u32[(orderOffset >>> 2) + index] as number;
      if (slot === self || (u8[rowsOffset + slot * ROW.stride + ROW.status] as number) > STATUS.suspect) continue;
      u32[TABLE.probeIndex >>> 2] = index + 1;
      u32[TABLE.outCount >>> 2] = 0;
      return slot;
    }
    return this.handle.nextProbe(nowMs, finite(reapAfterMs));
  }

  sample(nowMs: number, count: number, mask: number, deadForMs: number, exceptSlot: number): number {
    return this.#order.sample(nowMs, count, mask, deadForMs, exceptSlot);
  }

  setOwnExt(ext: number): void {
    this.handle.setOwnExt(ext);
  }

  noteExt(slot: number, ext: number): number {
    return this.handle.noteExt(slot, ext);
  }

  encodeState(out: Uint8Array, at: number): number {
    return this.handle.encodeState(out, at);
  }
}

/** "For ever" as the addon takes it: it refuses numbers that are not finite. */
function finite(durationMs: number): number {
  return Math.min(durationMs, Number.MAX_VALUE);
}
