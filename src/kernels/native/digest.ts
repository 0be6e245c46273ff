import { HearsayError } from '../../util/errors.ts';
import { type DigestSections, digestSections } from '../arenas/digest.ts';
import type { Arena, Digest, MemberTable } from '../contract.ts';
import { type MemberTableHandle, NativeMemberTable } from './member-table.ts';
import { type KernelHandle, NativeKernel } from './native-kernel.ts';

interface DigestHandle extends KernelHandle {
  hashTable(table: MemberTableHandle): number;
  rangeSums(bits: number): number;
  sketch(cells: number, out: Uint8Array, at: number): number;
  peel(cells: number, source: Uint8Array, at: number): number;
  match(count: number): number;
  hashValues(source: Uint8Array, ends: Uint8Array, out: Uint8Array, seed: number): number;
}

/** The C++ engine of the digest; native/kernels/digest.hpp does the work. */
export class NativeDigest extends NativeKernel<DigestHandle, DigestSections> implements Digest {
  /** Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createDigestArena. */
  constructor(arena: Arena) {
    super('Digest', digestSections, arena);
  }

  get capacity(): number {
    return this.sections.capacity;
  }
  get cellCapacity(): number {
    return this.sections.cellCapacity;
  }
  get rangeCapacity(): number {
    return this.sections.rangeCapacity;
  }
  get nameCapacity(): number {
    return this.sections.nameCapacity;
  }
  get itemsOffset(): number {
    return this.sections.itemsOffset;
  }
  get rangesOffset(): number {
    return this.sections.rangesOffset;
  }
  get namesOffset(): number {
    return this.sections.namesOffset;
  }
  get slotsOffset(): number {
    return this.sections.slotsOffset;
  }

  hashTable(table: MemberTable): number {
    return this.handle.hashTable(nativeTable(table).handle);
  }

  rangeSums(bits: number): number {
    return this.handle.rangeSums(bits);
  }

  sketch(cells: number, out: Uint8Array, at: number): number {
    return this.handle.sketch(cells, out, at);
  }

  peel(cells: number, source: Uint8Array, at: number): number {
    return this.handle.peel(cells, source, at);
  }

  match(count: number): number {
    return this.handle.match(count);
  }

  hashValues(source: Uint8Array, ends: Uint8Array, out: Uint8Array, seed: number): number {
    return this.handle.hashValues(source, ends, out, seed);
  }
}

/** Throws ERR_ARGUMENT_INVALID for a table of the other backend. */
export function nativeTable(table: MemberTable): NativeMemberTable {
  if (table instanceof NativeMemberTable) return table;
  throw new HearsayError('ERR_ARGUMENT_INVALID', `table: expected one of the backend "native", got "${table.backend}"`);
}
