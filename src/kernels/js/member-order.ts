import { sfc32Below } from '../../util/prng.ts';
import { CHANGE_KIND, STATUS } from '../contract.ts';
import { HEADER, NO_RECORD, ROW, TABLE } from '../layout.ts';
import type { JsInterner } from './interner.ts';
import type { MemberRows } from './member-rows.ts';

const PRNG = HEADER.prng >>> 2;

/** Walks over the members of a table: the probing round with its reaping (§11.1, §14.3), and random picks (§14.4). */
export class MemberOrder {
  readonly #rows: MemberRows;
  readonly #names: JsInterner;
  readonly #profiles: JsInterner;

  constructor(rows: MemberRows, names: JsInterner, profiles: JsInterner) {
    this.#rows = rows;
    this.#names = names;
    this.#profiles = profiles;
  }

  nextProbe(nowMs: number, reapAfterMs: number): number {
    const rows = this.#rows;
    rows.setWord(TABLE.outCount, 0);
    const self = rows.word(TABLE.selfSlot) - 1;
    for (let steps = 0; steps < rows.live; steps++) {
      const index = rows.word(TABLE.probeIndex);
      if (index >= rows.live) {
        const began = rows.begin();
        this.#reap(nowMs, reapAfterMs);
        rows.shuffle();
        rows.setWord(TABLE.probeIndex, 0);
        rows.end(began);
        continue;
      }
      rows.setWord(TABLE.probeIndex, index + 1);
      const slot = rows.slotAt(index);
      if (slot !== self && (rows.u8[rows.at(slot) + ROW.status] as number) <= STATUS.suspect) return slot;
    }
    return -1;
  }

  sample(nowMs: number, count: number, mask: number, deadForMs: number, exceptSlot: number): number {
    const rows = this.#rows;
    const u32 = rows.u32;
    const picks = rows.sections.picksOffset >>> 2;
    const room = rows.sections.pickCapacity;
    const live = rows.live;
    const wanted = Math.min(count, room);
    let found = 0;
    if (wanted <= 0 || live === 0) return 0;
    if (live < 3 * wanted && live <= room) {
      // A small cluster is searched exhaustively (§14.4). The shuffle stops as soon as enough are found; picks go to the front of
      // the copy, which the shuffle has passed by then.
      for (let i = 0; i < live; i++) u32[picks + i] = rows.slotAt(i);
      for (let i = 0; i < live && found < wanted; i++) {
        const j = i + sfc32Below(u32, PRNG, live - i);
        const slot = u32[picks + j] as number;
        u32[picks + j] = u32[picks + i] as number;
        u32[picks + i] = slot;
        if (this.#qualifies(nowMs, slot, mask, deadForMs, exceptSlot)) u32[picks + found++] = slot;
      }
      return found;
    }
    for (let draws = 3 * live; draws > 0 && found < wanted; draws--) {
      const slot = rows.slotAt(sfc32Below(u32, PRNG, live));
      if (!this.#qualifies(nowMs, slot, mask, deadForMs, exceptSlot)) continue;
      let known = 0;
      while (known < found && u32[picks + known] !== slot) known++;
      if (known === found) u32[picks + found++] = slot;
    }
    return found;
  }

  /** Removes dead and left members whose time is over (§14.3). Never ourselves: a node that left still has to answer. */
  #reap(nowMs: number, reapAfterMs: number): void {
    const rows = this.#rows;
    let position = 0;
    while (position < rows.live && !rows.isOutFull()) {
      const slot = rows.slotAt(position);
      const row = rows.at(slot);
      const status = rows.u8[row + ROW.status] as number;
      const isSelf = rows.word(TABLE.selfSlot) === slot + 1;
      if (
        status <= STATUS.suspect ||
        isSelf ||
        !isOlder(rows.f64[(row + ROW.statusSinceMs) >>> 3] as number, nowMs, reapAfterMs)
      ) {
        position++;
        continue;
      }
      rows.push(CHANGE_KIND.reap, slot, status, rows.u32[(row + ROW.incarnation) >>> 2] as number, NO_RECORD, 0);
      this.#names.release(rows.u32[(row + ROW.nameId) >>> 2] as number);
      this.#profiles.release(rows.u32[(row + ROW.profileId) >>> 2] as number);
      rows.remove(position);
    }
  }

  #qualifies(nowMs: number, slot: number, mask: number, deadForMs: number, exceptSlot: number): boolean {
    const rows = this.#rows;
    if (slot === exceptSlot || slot + 1 === rows.word(TABLE.selfSlot)) return false;
    const row = rows.at(slot);
    const status = rows.u8[row + ROW.status] as number;
    if (((1 << status) & mask) === 0) return false;
    return status <= STATUS.suspect || !isOlder(rows.f64[(row + ROW.statusSinceMs) >>> 3] as number, nowMs, deadForMs);
  }
}

/** Whether something that happened at `sinceMs` (-1 = never) is more than `ageMs` ago. */
export function isOlder(sinceMs: number, nowMs: number, ageMs: number): boolean {
  return sinceMs < 0 || nowMs - sinceMs > ageMs;
}
