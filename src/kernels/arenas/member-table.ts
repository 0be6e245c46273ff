import { sfc32Seed } from '../../util/prng.ts';
import type { Arena } from '../contract.ts';
import { align8, CHANGE, HEADER, KERNEL_ID, ROW, TABLE } from '../layout.ts';
import { allocateArena, checkArenaEnd, checkArenaHeader, checkCount, writeArenaHeader } from './header.ts';

export interface MemberTableArenaOptions {
  /** Most members known at once, dead ones included. At most 2^21. */
  readonly capacity: number;
  /** Capacity of the interner of names that the table works with. */
  readonly nameCapacity: number;
  /** Changes that one call can list. Default 1024. */
  readonly outCapacity?: number;
  /** Slots that sample() can work with, at least three times the largest count asked for. Default 64. */
  readonly pickCapacity?: number;
  /** Decides the order of probing and every random pick. */
  readonly rngSeed: number;
  /** Replaces port 0 in what others send (protocol §7.6). Default 0. */
  readonly defaultPort?: number;
  /** How long a member must be dead before another address may take its name, ms. Default 0 = never (protocol §9.2). */
  readonly deadReclaimMs?: number;
  /** True when other threads read the members. Default false. */
  readonly shared?: boolean;
}

/** Every field: default as before. */
export interface GrownMemberTableArenaOptions {
  readonly capacity?: number;
  readonly nameCapacity?: number;
  readonly outCapacity?: number;
  readonly pickCapacity?: number;
  readonly shared?: boolean;
}

/** Where the sections of a table arena lie. Offsets are absolute, `nameCapacity` is the length of slotOf. */
export interface MemberTableSections {
  readonly capacity: number;
  readonly nameCapacity: number;
  readonly outCapacity: number;
  readonly pickCapacity: number;
  readonly outOffset: number;
  readonly picksOffset: number;
  readonly rowsOffset: number;
  readonly orderOffset: number;
  readonly slotOfOffset: number;
  readonly end: number;
}

/** Random positions are exact up to this many rows (util/prng.ts). */
const CAPACITY_MAX = 1 << 21;
const LENGTH_MAX = 1 << 24;

function layOut(
  capacity: number,
  nameCapacity: number,
  outCapacity: number,
  pickCapacity: number,
): MemberTableSections {
  const picksOffset = TABLE.outOffset + outCapacity * CHANGE.stride;
  const rowsOffset = picksOffset + align8(pickCapacity * 4);
  const orderOffset = rowsOffset + capacity * ROW.stride;
  const slotOfOffset = orderOffset + align8(capacity * 4);
  const end = slotOfOffset + align8(nameCapacity * 4);
  return {
    capacity,
    nameCapacity,
    outCapacity,
    pickCapacity,
    outOffset: TABLE.outOffset,
    picksOffset,
    rowsOffset,
    orderOffset,
    slotOfOffset,
    end,
  };
}

/** Reads the sections out of the header; throws ERR_ARENA_INVALID when they do not fit the arena. */
export function memberTableSections(arena: Arena): MemberTableSections {
  checkArenaHeader(arena, KERNEL_ID.memberTable, 'member table');
  checkArenaEnd(arena, TABLE.outOffset, 'member table');
  const u32 = new Uint32Array(arena, 0, TABLE.outOffset / 4);
  const word = (offset: number): number => u32[offset / 4] as number;
  const sections = layOut(
    word(HEADER.capacity),
    word(TABLE.nameCapacity),
    word(TABLE.outCapacity),
    word(TABLE.pickCapacity),
  );
  const isSane =
    sections.capacity <= CAPACITY_MAX &&
    Math.max(sections.nameCapacity, sections.outCapacity, sections.pickCapacity) <= LENGTH_MAX + 1;
  checkArenaEnd(arena, isSane ? sections.end : Number.POSITIVE_INFINITY, 'member table');
  return sections;
}

/** A new, empty table: 40 bytes per member, 32 per change that can be listed. */
export function createMemberTableArena(options: MemberTableArenaOptions): Arena {
  const outCapacity = options.outCapacity ?? 1024;
  const pickCapacity = options.pickCapacity ?? 64;
  checkCount('capacity', options.capacity, 1, CAPACITY_MAX);
  checkCount('nameCapacity', options.nameCapacity, 1, LENGTH_MAX);
  checkCount('outCapacity', outCapacity, 1, LENGTH_MAX);
  checkCount('pickCapacity', pickCapacity, 1, LENGTH_MAX);
  checkCount('defaultPort', options.defaultPort ?? 0, 0, 65535);
  const sections = layOut(options.capacity, options.nameCapacity + 1, outCapacity, pickCapacity);
  const arena = allocateArena(sections.end, options.shared ?? false);
  writeArenaHeader(arena, KERNEL_ID.memberTable, options.capacity);
  const u32 = new Uint32Array(arena, 0, TABLE.outOffset / 4);
  u32[TABLE.nameCapacity / 4] = sections.nameCapacity;
  u32[TABLE.outCapacity / 4] = outCapacity;
  u32[TABLE.pickCapacity / 4] = pickCapacity;
  u32[TABLE.defaultPort / 4] = options.defaultPort ?? 0;
  new Float64Array(arena, TABLE.deadReclaimMs, 1)[0] = options.deadReclaimMs ?? 0;
  sfc32Seed(u32, HEADER.prng / 4, options.rngSeed);
  return arena;
}

/** The same table with more room. Changes that were listed stay listed; slots, generations and random state stay. */
export function grownMemberTableArena(old: Arena, options: GrownMemberTableArenaOptions): Arena {
  const from = memberTableSections(old);
  const capacity = options.capacity ?? from.capacity;
  const nameCapacity = options.nameCapacity ?? from.nameCapacity - 1;
  const outCapacity = options.outCapacity ?? from.outCapacity;
  const pickCapacity = options.pickCapacity ?? from.pickCapacity;
  checkCount('capacity', capacity, from.capacity, CAPACITY_MAX);
  checkCount('nameCapacity', nameCapacity, from.nameCapacity - 1, LENGTH_MAX);
  checkCount('outCapacity', outCapacity, from.outCapacity, LENGTH_MAX);
  checkCount('pickCapacity', pickCapacity, from.pickCapacity, LENGTH_MAX);
  const to = layOut(capacity, nameCapacity + 1, outCapacity, pickCapacity);
  const arena = allocateArena(to.end, options.shared ?? old instanceof SharedArrayBuffer);
  const source = new Uint8Array(old);
  const target = new Uint8Array(arena);
  target.set(source.subarray(0, TABLE.outOffset));
  writeArenaHeader(arena, KERNEL_ID.memberTable, capacity);
  const u32 = new Uint32Array(arena, 0, TABLE.outOffset / 4);
  u32[TABLE.nameCapacity / 4] = to.nameCapacity;
  u32[TABLE.outCapacity / 4] = outCapacity;
  u32[TABLE.pickCapacity / 4] = pickCapacity;
  target.set(source.subarray(from.outOffset, from.picksOffset), to.outOffset);
  target.set(source.subarray(from.rowsOffset, from.orderOffset), to.rowsOffset);
  target.set(source.subarray(from.orderOffset, from.orderOffset + from.capacity * 4), to.orderOffset);
  target.set(source.subarray(from.slotOfOffset, from.slotOfOffset + from.nameCapacity * 4), to.slotOfOffset);
  return arena;
}

/**
 * Tells readers on other threads that the table, or an interner that its rows refer to, went on in another arena: what
 * they hold has stopped changing. `before` and `after` are views of the table's arena, the same one only when nobody else reads it and
 * just an interner grew.
 * Called before a row can refer to anything that is not in the old arenas.
 */
export function raiseHome(before: Uint32Array, after: Uint32Array): void {
  const home = Atomics.add(before, HEADER.home / 4, 1) + 1;
  if (after !== before) Atomics.store(after, HEADER.home / 4, home);
}
