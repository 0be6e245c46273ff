import { type InternerSections, internerSections } from '../arenas/interner.ts';
import type { Arena, Interner } from '../contract.ts';
import { JsInterner } from '../js/interner.ts';
import { INTERNER_ENTRY } from '../layout.ts';
import { type KernelHandle, NativeKernel } from './native-kernel.ts';

/** The object behind a NativeInterner, for natives that work with it. */
export interface InternerHandle extends KernelHandle {
  intern(bytes: Uint8Array): number;
  lookup(bytes: Uint8Array): number;
  retain(id: number): void;
  release(id: number): void;
}

/** The C++ engine of the interner; native/kernels/interner.hpp does the work. */
export class NativeInterner extends NativeKernel<InternerHandle, InternerSections> implements Interner {
  /** The twin over the same arena, for calls so small that entering C++ costs more than the work (docs/benchmarks.md). */
  readonly twin: JsInterner;

  /** Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createInternerArena. */
  constructor(arena: Arena) {
    super('Interner', internerSections, arena);
    this.twin = new JsInterner(arena);
  }

  override rehome(arena: Arena): void {
    super.rehome(arena);
    this.twin.rehome(arena);
  }

  get capacity(): number {
    return this.sections.capacity;
  }

  intern(bytes: Uint8Array): number {
    return this.handle.intern(bytes);
  }

  lookup(bytes: Uint8Array): number {
    return this.twin.lookup(bytes);
  }

  retain(id: number): void {
    this.handle.retain(id);
  }

  release(id: number): void {
    this.handle.release(id);
  }

  /** Read straight from the arena: no crossing for a name. */
  bytes(id: number): Uint8Array {
    const { capacity, entriesOffset, heapOffset } = this.sections;
    if (!(id >= 1 && id <= capacity)) return this.u8.subarray(0, 0);
    const entry = (entriesOffset + (id - 1) * INTERNER_ENTRY.stride) >>> 2;
    const offset = heapOffset + (this.u32[entry + (INTERNER_ENTRY.offset >>> 2)] as number);
    return this.u8.subarray(offset, offset + (this.u32[entry + (INTERNER_ENTRY.length >>> 2)] as number));
  }
}
