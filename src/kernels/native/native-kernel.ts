import type { Arena } from '../contract.ts';
import { lend, nativeClass } from '../native.ts';

/** What every object of the addon that works in an arena can do. */
export interface KernelHandle {
  rehome(arena: Uint8Array): void;
}

/** A kernel whose work is done by an object of the addon: the arena, the views of it, and where its sections lie. */
export abstract class NativeKernel<Handle extends KernelHandle, Sections> {
  readonly backend = 'native';
  /** The object of the addon, for others that work with it. */
  readonly handle: Handle;
  arena: Arena;
  u8: Uint8Array;
  u32: Uint32Array;
  protected sections: Sections;
  readonly #sectionsOf: (arena: Arena) => Sections;

  /**
   * `name` of the addon's class, which is made of the arena and of `others`. Throws ERR_BACKEND_UNAVAILABLE when there is no addon, and what
   * `sectionsOf` throws (ERR_ARENA_INVALID) when the arena is none of this kernel.
   */
  protected constructor(
    name: string,
    sectionsOf: (arena: Arena) => Sections,
    arena: Arena,
    ...others: readonly KernelHandle[]
  ) {
    const Handle = nativeClass<Handle, [Uint8Array, ...KernelHandle[]]>(name);
    this.#sectionsOf = sectionsOf;
    this.sections = sectionsOf(arena);
    this.arena = arena;
    this.u8 = lend(arena);
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
    this.handle = new Handle(this.u8, ...others);
  }

  rehome(arena: Arena): void {
    const sections = this.#sectionsOf(arena);
    const u8 = lend(arena);
    this.handle.rehome(u8);
    this.sections = sections;
    this.arena = arena;
    this.u8 = u8;
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
  }
}
