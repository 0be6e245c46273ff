import { sfc32Below } from '../../util/prng.ts';
import { type MemberTableSections, memberTableSections } from '../arenas/member-table.ts';
import { type Arena, CHANGE_FLAG, CHANGE_KIND, STATUS } from '../contract.ts';
import { CHANGE, HEADER, ROW, ROW_FLAG, TABLE } from '../layout.ts';

const SEQ = HEADER.seq >>> 2;
const LIVE = HEADER.live >>> 2;
const PRNG = HEADER.prng >>> 2;
const CHANGE_COUNT = HEADER.changeCount >>> 2;

/**
 * The memory of a member table: rows, the order list, the index by name id and the list of changes. Knows where things lie
 * and keeps the counts right; knows no protocol.
 */
export class MemberRows {
  arena!: Arena;
  u8!: Uint8Array;
  u32!: Uint32Array;
  f64!: Float64Array;
  sections!: MemberTableSections;
  #order = 0;
  #slotOf = 0;

  constructor(arena: Arena) {
    this.rehome(arena);
  }

  rehome(arena: Arena): void {
    this.sections = memberTableSections(arena);
    this.arena = arena;
    this.u8 = new Uint8Array(arena);
    this.u32 = new Uint32Array(arena, 0, arena.byteLength >>> 2);
    this.f64 = new Float64Array(arena, 0, arena.byteLength >>> 3);
    this.#order = this.sections.orderOffset >>> 2;
    this.#slotOf = this.sections.slotOfOffset >>> 2;
  }

  /** Makes the sequence lock odd. False when the caller had done so already: then it is the caller's to end. */
  begin(): boolean {
    if ((Atomics.load(this.u32, SEQ) & 1) !== 0) return false;
    Atomics.add(this.u32, SEQ, 1);
    return true;
  }

  end(began: boolean): void {
    if (began) Atomics.add(this.u32, SEQ, 1);
  }

  /** Word of the header or sub-header. */
  word(offset: number): number {
    return this.u32[offset >>> 2] as number;
  }

  setWord(offset: number, value: number): void {
    this.u32[offset >>> 2] = value;
  }

  get live(): number {
    return this.u32[LIVE] as number;
  }

  /** Absolute offset of a row. */
  at(slot: number): number {
    return this.sections.rowsOffset + slot * ROW.stride;
  }

  /** True when the slot is that of a member. */
  isUsed(slot: number): boolean {
    return slot >= 0 && slot < this.sections.capacity && this.u32[(this.at(slot) + ROW.nameId) >>> 2] !== 0;
  }

  slotAt(position: number): number {
    return this.u32[this.#order + position] as number;
  }

  slotOf(nameId: number): number {
    return nameId > 0 && nameId < this.sections.nameCapacity ? (this.u32[this.#slotOf + nameId] as number) - 1 : -1;
  }

  hasRow(): boolean {
    return this.word(TABLE.freeRow) !== 0 || this.word(TABLE.rowTop) < this.sections.capacity;
  }

  /** A new row, dead at incarnation 0 since never, at a random position of the order list (§9.2 step 4). Needs hasRow(). */
  create(nameId: number, profileId: number): number {
    const u32 = this.u32;
    const free = this.word(TABLE.freeRow);
    const slot = free !== 0 ? free - 1 : this.word(TABLE.rowTop);
    const at = this.at(slot);
    if (free !== 0) this.setWord(TABLE.freeRow, u32[(at + ROW.ext) >>> 2] as number);
    else this.setWord(TABLE.rowTop, slot + 1);

    const live = this.live;
    u32[(at + ROW.nameId) >>> 2] = nameId;
    u32[(at + ROW.profileId) >>> 2] = profileId;
    u32[(at + ROW.incarnation) >>> 2] = 0;
    this.u8[at + ROW.status] = STATUS.dead;
    this.u8[at + ROW.flags] = 0;
    const generation =
      (((this.u8[at + ROW.generation + 1] as number) << 8) | (this.u8[at + ROW.generation] as number)) + 1;
    this.u8[at + ROW.generation] = generation & 255;
    this.u8[at + ROW.generation + 1] = (generation >>> 8) & 255;
    this.f64[(at + ROW.statusSinceMs) >>> 3] = -1;
    u32[(at + ROW.ext) >>> 2] = 0;
    u32[this.#slotOf + nameId] = slot + 1;
    this.setWord(TABLE.deadCount, this.word(TABLE.deadCount) + 1);
    u32[LIVE] = live + 1;

    const position = sfc32Below(u32, PRNG, live + 1);
    if (position !== live) this.#place(live, this.slotAt(position));
    this.#place(position, slot);
    this.touch();
    return slot;
  }

  /** Takes the member at a position of the order list out; the last of the list moves there. References stay the caller's to drop. */
  remove(position: number): void {
    const slot = this.slotAt(position);
    const at = this.at(slot);
    const last = this.live - 1;
    const u32 = this.u32;
    this.#count(this.u8[at + ROW.status] as number, -1);
    u32[this.#slotOf + (u32[(at + ROW.nameId) >>> 2] as number)] = 0;
    if (position !== last) this.#place(position, this.slotAt(last));
    u32[this.#order + last] = 0;
    u32[LIVE] = last;
    this.u8.fill(0, at, at + ROW.generation);
    this.u8.fill(0, at + ROW.statusSinceMs, at + ROW.stride);
    u32[(at + ROW.ext) >>> 2] = this.word(TABLE.freeRow);
    this.setWord(TABLE.freeRow, slot + 1);
  }

  /** Fisher-Yates over the whole order list. */
  shuffle(): void {
    for (let i = this.live - 1; i > 0; i--) {
      const j = sfc32Below(this.u32, PRNG, i + 1);
      const slot = this.slotAt(i);
      this.#place(i, this.slotAt(j));
      this.#place(j, slot);
    }
  }

  setStatus(slot: number, status: number, nowMs: number): void {
    const at = this.at(slot);
    this.#count(this.u8[at + ROW.status] as number, -1);
    this.#count(status, 1);
    this.u8[at + ROW.status] = status;
    this.f64[(at + ROW.statusSinceMs) >>> 3] = nowMs;
  }

  /** Ends a suspicion; returns the flag that says so, or 0. */
  endSuspicion(slot: number): number {
    const flags = this.at(slot) + ROW.flags;
    const value = this.u8[flags] as number;
    if ((value & ROW_FLAG.suspicion) === 0) return 0;
    this.u8[flags] = value & ~ROW_FLAG.suspicion;
    return CHANGE_FLAG.suspicionEnded;
  }

  isOutFull(): boolean {
    return this.word(TABLE.outCount) >= this.sections.outCapacity;
  }

  /** Lists one change of a row, with what the row holds now. */
  push(kind: number, slot: number, prevStatus: number, incarnation: number, record: number, flags: number): void {
    const count = this.word(TABLE.outCount);
    const at = this.at(slot);
    const to = this.sections.outOffset + count * CHANGE.stride;
    const u8 = this.u8;
    const u32 = this.u32;
    const isSelf = ((u8[at + ROW.flags] as number) & ROW_FLAG.self) !== 0;
    u8[to + CHANGE.kind] = kind;
    u8[to + CHANGE.prevStatus] = prevStatus;
    u8[to + CHANGE.status] = u8[at + ROW.status] as number;
    u8[to + CHANGE.flags] = flags | (isSelf ? CHANGE_FLAG.self : 0);
    u32[(to + CHANGE.slot) >>> 2] = slot;
    u32[(to + CHANGE.incarnation) >>> 2] = incarnation;
    u32[(to + CHANGE.record) >>> 2] = record;
    u32[(to + CHANGE.nameId) >>> 2] = u32[(at + ROW.nameId) >>> 2] as number;
    u32[(to + CHANGE.ext) >>> 2] = u32[(at + ROW.ext) >>> 2] as number;
    this.setWord(TABLE.outCount, count + 1);
    if (kind !== CHANGE_KIND.confirm && kind !== CHANGE_KIND.conflict) this.touch();
  }

  /** Readers shall look again. */
  touch(): void {
    this.u32[CHANGE_COUNT] = (this.u32[CHANGE_COUNT] as number) + 1;
  }

  #place(position: number, slot: number): void {
    this.u32[this.#order + position] = slot;
    this.u32[(this.at(slot) + ROW.orderIndex) >>> 2] = position;
  }

  #count(status: number, by: number): void {
    const offset = TABLE.aliveCount + 4 * status;
    this.setWord(offset, this.word(offset) + by);
  }
}
