import { internerSections } from '../arenas/interner.ts';
import type { Arena, Interner } from '../contract.ts';
import { JsInterner } from '../js/interner.ts';
import { INTERNER_ENTRY } from '../layout.ts';
import { lend, nativeClass } from '../native.ts';

/** The object behind a NativeInterner, for natives that work with it. */
export interface InternerHandle {
  rehome(arena: Uint8Array): void;
  intern(bytes: Uint8Array): number;
  lookup(bytes: Uint8Array): number;
  retain(id: number): void;
  release(id: number): void;
}

/** The C++ engine of the interner; native/kernels/interner.hpp does the work. */
export class NativeInterner implements Interner {
  readonly backend = 'native';
  readonly handle: InternerHandle;
  /** The twin over the same arena, for calls so small that entering C++ costs more than the work (docs/benchmarks.md). */
  readonly twin: JsInterner;
  arena: Arena;
  u8: Uint8Array;
  u32: Uint32Array;
  capacity: number;
  #entriesOffset: number;
  #heapOffset: number;

  /** Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createInternerArena. */
  constructor(arena: Arena) {
    const Handle = nativeClass<InternerHandle, [Uint8Array]>('Interner');
    const sections = internerSections(arena);
    this.arena = arena;
    this.u8 = lend(arena);
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
    this.capacity = sections.capacity;
    this.#entriesOffset = sections.entriesOffset;
    this.#heapOffset = sections.heapOffset;
    this.handle = new Handle(this.u8);
    this.twin = new JsInterner(arena);
  }

  rehome(arena: Arena): void {
    const sections = internerSections(arena);
    const u8 = lend(arena);
    this.handle.rehome(u8);
    this.twin.rehome(arena);
    this.arena = arena;
    this.u8 = u8;
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
    this.capacity = sections.capacity;
    this.#entriesOffset = sections.entriesOffset;
    this.#heapOffset = sections.heapOffset;
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
    if (!(id >= 1 && id <= this.capacity)) return this.u8.subarray(0, 0);
    const entry = (this.#entriesOffset + (id - 1) * INTERNER_ENTRY.stride) >>> 2;
    const offset = this.#heapOffset + (this.u32[entry + (INTERNER_ENTRY.offset >>> 2)] as number);
    return this.u8.subarray(offset, offset + (this.u32[entry + (INTERNER_ENTRY.length >>> 2)] as number));
  }
}
