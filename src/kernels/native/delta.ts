import { type DeltaSections, deltaSections } from '../arenas/delta.ts';
import type { Arena, Delta, MemberTable, PacketCodec } from '../contract.ts';
import { nativeTable } from './digest.ts';
import type { MemberTableHandle } from './member-table.ts';
import { type KernelHandle, NativeKernel } from './native-kernel.ts';

interface DeltaHandle extends KernelHandle {
  encode(table: MemberTableHandle, first: number, count: number, budgetBytes: number): number;
  decode(codec: Uint8Array, from: number, length: number): number;
}

/** The C++ engine of the delta; native/kernels/delta.hpp does the work. */
export class NativeDelta extends NativeKernel<DeltaHandle, DeltaSections> implements Delta {
  /** Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createDeltaArena. */
  constructor(arena: Arena) {
    super('Delta', deltaSections, arena);
  }

  get capacity(): number {
    return this.sections.capacity;
  }
  get blockBytes(): number {
    return this.sections.blockBytes;
  }
  get slotsOffset(): number {
    return this.sections.slotsOffset;
  }
  get outOffset(): number {
    return this.sections.outOffset;
  }

  encode(table: MemberTable, first: number, count: number, budgetBytes: number): number {
    return this.handle.encode(nativeTable(table).handle, first, count, budgetBytes);
  }

  /** The codec may be of either backend: its arena is all that is used. */
  decode(codec: PacketCodec, from: number, length: number): number {
    return this.handle.decode(codec.u8, from, length);
  }
}
