import { HearsayError } from '../../util/errors.ts';
import type { Arena } from '../contract.ts';
import { ARENA_MAGIC, HEADER, HEADER_BYTES, LAYOUT_VERSION } from '../layout.ts';

/** A zeroed arena of `byteLength` bytes; shared when threads other than the owner read it. */
export function allocateArena(byteLength: number, shared: boolean): Arena {
  return shared ? new SharedArrayBuffer(byteLength) : new ArrayBuffer(byteLength);
}

/** Writes the header of a new arena; everything that is not named here stays 0. */
export function writeArenaHeader(arena: Arena, kernelId: number, capacity: number): void {
  const u32 = new Uint32Array(arena, 0, HEADER_BYTES / 4);
  u32[HEADER.magic / 4] = ARENA_MAGIC;
  u32[HEADER.layoutVersion / 4] = LAYOUT_VERSION;
  u32[HEADER.kernelId / 4] = kernelId;
  u32[HEADER.capacity / 4] = capacity;
  u32[HEADER.byteLength / 4] = arena.byteLength;
}

/** Throws ERR_ARENA_INVALID unless the buffer holds an arena of this kernel and layout version. */
export function checkArenaHeader(arena: Arena, kernelId: number, kernel: string): void {
  const fail = (field: string, value: unknown, expected: string): never => {
    throw new HearsayError('ERR_ARENA_INVALID', `${kernel} arena: ${field} is ${value}, expected ${expected}`);
  };
  if (arena.byteLength < HEADER_BYTES) fail('byteLength', arena.byteLength, `at least ${HEADER_BYTES}`);
  const u32 = new Uint32Array(arena, 0, HEADER_BYTES / 4);
  if (u32[HEADER.magic / 4] !== ARENA_MAGIC) fail('magic', u32[HEADER.magic / 4], `${ARENA_MAGIC}`);
  if (u32[HEADER.layoutVersion / 4] !== LAYOUT_VERSION)
    fail('layoutVersion', u32[HEADER.layoutVersion / 4], `${LAYOUT_VERSION}`);
  if (u32[HEADER.kernelId / 4] !== kernelId) fail('kernelId', u32[HEADER.kernelId / 4], `${kernelId}`);
  if ((u32[HEADER.byteLength / 4] as number) > arena.byteLength) {
    fail('header byteLength', u32[HEADER.byteLength / 4], `at most ${arena.byteLength}`);
  }
}

/** Throws ERR_ARENA_INVALID when a section would end behind the arena. */
export function checkArenaEnd(arena: Arena, end: number, kernel: string): void {
  if (end > arena.byteLength) {
    throw new HearsayError(
      'ERR_ARENA_INVALID',
      `${kernel} arena: sections end at ${end}, but it has ${arena.byteLength} bytes`,
    );
  }
}

/** Throws ERR_ARGUMENT_INVALID unless `value` is an integer in [min, max]. */
export function checkCount(field: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new HearsayError('ERR_ARGUMENT_INVALID', `${field}: expected an integer from ${min} to ${max}, got ${value}`);
  }
}
