import { type DeltaSections, deltaSections } from '../arenas/delta.ts';
import type { Arena, Delta, MemberTable, PacketCodec } from '../contract.ts';
import { nativeClass } from '../native.ts';
import { nativeTable } from './digest.ts';
import type { MemberTableHandle } from './member-table.ts';

interface DeltaHandle {
  rehome(arena: Uint8Array): void;
  encode(table: MemberTableHandle, first: number, count: number, budgetBytes: number): number;
  decode(codec: Uint8Array, from: number, length: number): number;
}

/** The C++ engine of the delta; native/kernels/delta.hpp does the work. */
export class NativeDelta implements Delta {
  readonly backend = 'native';
  arena: Arena;
  u8: Uint8Array;
  u32: Uint32Array;
  #sections: DeltaSections;
  readonly #handle: DeltaHandle;

  /**
   * Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createDeltaArena.
   */
  constructor(arena: Arena) {
    const Handle = nativeClass<DeltaHandle, [Uint8Array]>('Delta');
    this.#sections = deltaSections(arena);
    this.arena = arena;
    this.u8 = new Uint8Array(arena);
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
    this.#handle = new Handle(this.u8);
  }

  rehome(arena: Arena): void {
    const sections = deltaSections(arena);
    const u8 = new Uint8Array(arena);
    this.#handle.rehome(u8);
    this.#sections = sections;
    this.arena = arena;
    this.u8 = u8;
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
  }

  get capacity(): number {
    return this.#sections.capacity;
  }
  get blockBytes(): number {
    return this.#sections.blockBytes;
  }
  get slotsOffset(): number {
    return this.#sections.slotsOffset;
  }
  get outOffset(): number {
    return this.#sections.outOffset;
  }

  encode(table: MemberTable, first: number, count: number, budgetBytes: number): number {
    return this.#handle.encode(nativeTable(table).handle, first, count, budgetBytes);
  }

  /** The codec may be of either backend: its arena is all that is used. */
  decode(codec: PacketCodec, from: number, length: number): number {
    return this.#handle.decode(codec.u8, from, length);
  }
}
