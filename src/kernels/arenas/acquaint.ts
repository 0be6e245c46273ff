import { type EngineKernels, type Interner, STATUS } from '../contract.ts';
import { HEADER, INTERNER_ENTRY, ROW, ROW_FLAG, TABLE } from '../layout.ts';
import { internerEntry } from './interner.ts';
import { grownMemberTableArena } from './member-table.ts';

/**
 * Makes every one of these tables hold the local members of all the others for alive, as if each had merged a state with all of them: the start of a
 * simulation. Each table holds nobody but its own member yet. Tables that share an interner get one image, written once and copied, so ten thousand tables of
 * ten thousand rows take seconds.
 */
export function acquaint(all: readonly EngineKernels[]): void {
  const groups = new Map<Interner, EngineKernels[]>();
  for (const kernels of all) groups.set(kernels.names, [...(groups.get(kernels.names) ?? []), kernels]);
  if (groups.size !== 1) throw new Error('hearsay: acquaint() works on tables that share their interners');
  for (const group of groups.values()) acquaintGroup(group);
}

function acquaintGroup(group: readonly EngineKernels[]): void {
  const first = group[0];
  if (first === undefined) return;
  const { names, profiles } = first;
  const count = group.length;
  const rows = new Uint8Array(count * ROW.stride);
  const words = new Uint32Array(rows.buffer);
  group.forEach(({ table }, i) => {
    const at = table.rowsOffset + ((table.u32[TABLE.selfSlot >>> 2] as number) - 1) * ROW.stride;
    rows.set(table.u8.subarray(at, at + ROW.stride), i * ROW.stride);
    rows[i * ROW.stride + ROW.flags] = 0;
    words[(i * ROW.stride + ROW.orderIndex) >>> 2] = i;
  });
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const slotOf = new Uint32Array(names.capacity + 1);
  for (let slot = 0; slot < count; slot++) slotOf[words[(slot * ROW.stride + ROW.nameId) >>> 2] as number] = slot + 1;
  for (const [i, { table, queue }] of group.entries()) {
    // That it is alive is no news any more.
    queue.invalidate(words[(i * ROW.stride + ROW.nameId) >>> 2] as number);
    install({ table, names, rows, order, slotOf }, i);
  }
  for (let i = 0; i < count; i++) {
    if (rows[i * ROW.stride + ROW.status] !== STATUS.alive)
      throw new Error('hearsay: acquaint() takes members that are alive');
    addReferences(names, words[(i * ROW.stride + ROW.nameId) >>> 2] as number, count - 1);
    addReferences(profiles, words[(i * ROW.stride + ROW.profileId) >>> 2] as number, count - 1);
  }
}

/**
 * Makes tables hold what `source` holds: it has merged a state with all of them, and with others that live elsewhere, and they share its interners. Each
 * is one of its rows. Nobody has news to pass on afterwards.
 */
export function acquaintLike(source: EngineKernels, others: readonly EngineKernels[]): void {
  const { table: from, names, profiles } = source;
  const word = (offset: number): number => from.u32[offset >>> 2] as number;
  const count = word(TABLE.rowTop);
  const rows = from.u8.slice(from.rowsOffset, from.rowsOffset + count * ROW.stride);
  const words = new Uint32Array(rows.buffer);
  const slotOf = new Uint32Array(names.capacity + 1);
  const self = (word(TABLE.selfSlot) - 1) * ROW.stride;
  rows[self + ROW.flags] = (rows[self + ROW.flags] as number) & ~ROW_FLAG.self;
  for (let slot = 0; slot < count; slot++) {
    words[(slot * ROW.stride + ROW.orderIndex) >>> 2] = slot;
    const nameId = words[(slot * ROW.stride + ROW.nameId) >>> 2] as number;
    slotOf[nameId] = slot + 1;
    source.queue.invalidate(nameId);
    addReferences(names, nameId, others.length);
    addReferences(profiles, words[(slot * ROW.stride + ROW.profileId) >>> 2] as number, others.length);
  }
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (const { table, queue } of others) {
    const own = table.rowsOffset + ((table.u32[TABLE.selfSlot >>> 2] as number) - 1) * ROW.stride;
    const nameId = table.u32[(own + ROW.nameId) >>> 2] as number;
    const profileId = table.u32[(own + ROW.profileId) >>> 2] as number;
    queue.invalidate(nameId);
    const slot = (slotOf[nameId] as number) - 1;
    if (slot < 0) throw new Error('hearsay: acquaintLike() takes tables whose members the source has');
    install({ table, names, rows, order, slotOf }, slot);
    // It referred to its own row once before.
    addReferences(names, nameId, -1);
    addReferences(profiles, profileId, -1);
  }
}

interface Installation {
  readonly table: EngineKernels['table'];
  readonly names: Interner;
  readonly rows: Uint8Array;
  readonly order: Uint32Array;
  /** Slot of each name, plus one. */
  readonly slotOf: Uint32Array;
}

/** Puts an image of rows, all of them alive, into a table whose own member is in `slot`. */
function install({ table, names, rows, order, slotOf }: Installation, slot: number): void {
  const count = order.length;
  const nameCapacity = Math.max(names.capacity, (table.u32[TABLE.nameCapacity >>> 2] as number) - 1);
  if (count > table.capacity || nameCapacity >= (table.u32[TABLE.nameCapacity >>> 2] as number)) {
    const capacity = Math.max(table.capacity, count);
    table.rehome(grownMemberTableArena(table.arena, { capacity, nameCapacity }));
  }
  const { u8, u32, rowsOffset, orderOffset, slotOfOffset } = table;
  u8.set(rows, rowsOffset);
  u8[rowsOffset + slot * ROW.stride + ROW.flags] = ROW_FLAG.self;
  u32.set(order, orderOffset >>> 2);
  u32.set(slotOf, slotOfOffset >>> 2);
  u32[HEADER.live >>> 2] = count;
  u32[TABLE.rowTop >>> 2] = count;
  u32[TABLE.aliveCount >>> 2] = count;
  u32[TABLE.selfSlot >>> 2] = slot + 1;
  // The walk begins at its end, where the list is shuffled: every node probes in an order of its own.
  u32[TABLE.probeIndex >>> 2] = count;
  u32[HEADER.changeCount >>> 2] = (u32[HEADER.changeCount >>> 2] as number) + 1;
}

/** Each table that refers to a string counts. */
function addReferences({ u32 }: Interner, id: number, more: number): void {
  const at = internerEntry(u32, id) + (INTERNER_ENTRY.refs >>> 2);
  u32[at] = (u32[at] as number) + more;
}
