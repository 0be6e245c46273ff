import { grownInternerArena, internerUsedBytes } from '../kernels/arenas/interner.ts';
import { grownMemberTableArena, raiseHome } from '../kernels/arenas/member-table.ts';
import {
  CHANGE_FLAG,
  CHANGE_KIND,
  EXT,
  type Interner,
  MERGE_FLAG,
  MESSAGE,
  NEED,
  type PacketCodec,
  STATUS,
} from '../kernels/contract.ts';
import {
  BLOCK_BYTES_MAX,
  CHANGE,
  CODEC,
  HEADER,
  INTERNER,
  NO_RECORD,
  PACKET,
  RECORD,
  RECORD_FLAG,
  TABLE,
} from '../kernels/layout.ts';
import { assert } from '../util/assert.ts';
import { textOf } from '../util/bytes.ts';
import { areBothFast, type Context } from './context.ts';
import { type Dissemination, viewOf } from './dissemination.ts';
import { URGENCY } from './slices.ts';
import { Suspicion } from './suspicion.ts';
import { TIMER, type Timer } from './timers.ts';

/** How often a suspect is told of the suspicion while it lasts: four of five packets may be lost and it still knows, as a rule. */
const REMINDERS = 5;

/**
 * A suspicion of the fast profile that we were told of lasts so many times as long as our own: whoever accuses tells all of its verdict within some ms, and who heard of the suspicion
 * may have missed the refutation. The longer timer decides only where the accuser is gone itself.
 */
const HEARSAY = 2;

/** Where records come from: it decides who is told of the members that they make known. */
export const SOURCE = {
  /** Packets, which others got too: what is news to us is passed on, unless that is left to leaders. */
  packets: 0,
  /** An exchange in which a few rows differed: they gossip on. */
  exchange: 1,
  /** A join that makes two clusters one, or brings one member to ours: nobody else knows of them, so we tell. */
  join: 2,
  /** Many rows at once from somebody who has them from others: those others are told by whoever told him. */
  bulk: 3,
} as const;

/** Of a member that a SOURCE made known. */
const JOIN_URGENCY = [URGENCY.joinPassedOn, URGENCY.none, URGENCY.joinOwn, URGENCY.none] as const;

/**
 * Feeds the member table and acts on what it lists: events, news to pass on, suspicions, our own refutations (protocol §9).
 * What a record does to a row is decided by the table alone; what follows from it is decided here alone.
 */
export class Membership {
  readonly #context: Context;
  readonly #news: Dissemination;
  /** Running suspicions by slot. A slot has one exactly while its row has ROW_FLAG.suspicion. */
  readonly #suspicions = new Map<number, Suspicion>();
  #watch: ((nowMs: number, slot: number) => void) | undefined;
  /** Token for the next broadcast about ourselves, see withToken(). */
  #token = 0;
  #isWitnessed = false;
  #source: number = SOURCE.packets;

  constructor(context: Context, news: Dissemination) {
    this.#context = context;
    this.#news = news;
  }

  /** `watch` hears of every change of a row. */
  onChange(watch: (nowMs: number, slot: number) => void): void {
    this.#watch = watch;
  }

  suspicion(slot: number): Suspicion | undefined {
    return this.#suspicions.get(slot);
  }

  /** Runs `step`; the broadcast about ourselves that it causes reports `token` when it is finished. */
  withToken(token: number, step: () => void): void {
    this.#token = token;
    step();
    this.#token = 0;
  }

  /** Applies records [first, first + count) of a codec, growing whatever is too small; answers how many changes that made. */
  merge(
    nowMs: number,
    codec: PacketCodec,
    first: number,
    count: number,
    flags: number,
    source: number = SOURCE.packets,
  ): number {
    const { table } = this.#context.kernels;
    this.#source = source;
    let at = first;
    let changes = 0;
    const end = first + count;
    while (at < end) {
      const used = table.merge(nowMs, codec, at, end - at, flags);
      at += used;
      changes += table.u32[TABLE.outCount >>> 2] as number;
      this.#act(nowMs, codec);
      if (at === end) break;
      const need = table.u32[TABLE.need >>> 2] as number;
      // A full list of changes has been read by now, so merging goes on; anything else must grow first.
      if (need === NEED.out && used > 0) continue;
      const before = table.u32;
      if (this.#grow(need)) raiseHome(before, table.u32);
      else {
        const record = codec.recordsOffset + at * RECORD.stride;
        codec.u8[record + RECORD.flags] = (codec.u8[record + RECORD.flags] as number) | RECORD_FLAG.refused;
        this.#context.stats.refusedByMembersMax++;
      }
    }
    this.#source = SOURCE.packets;
    return changes;
  }

  /** Our own alive message, at the next incarnation, goes through the same table as everybody's. */
  announce(nowMs: number): void {
    const { kernels, roster } = this.#context;
    const { codec, table } = kernels;
    const incarnation = (table.u32[TABLE.incarnation >>> 2] as number) + 1;
    const end = this.#news.encodeOwnAlive(codec.u8, codec.inboxOffset, incarnation);
    const at = codec.packetsOffset >>> 2;
    codec.u32[at + (PACKET.offset >>> 2)] = codec.inboxOffset;
    codec.u32[at + (PACKET.length >>> 2)] = end - codec.inboxOffset;
    codec.u32[CODEC.inboxTop >>> 2] = end - codec.inboxOffset;
    const records = codec.index(1);
    assert(records === 1, 'our own alive message is valid');
    this.merge(nowMs, codec, 0, records, MERGE_FLAG.bootstrap);
    assert(roster.selfSlot >= 0, 'our own alive message made us a member');
  }

  /**
   * Our own verdict on a member: MESSAGE.suspect or MESSAGE.dead at an incarnation; dead about ourselves is a leave. A suspicion that `isWitnessed` (others said
   * that they do not hear the member either) is told to the suspect alone, and to all when it has become a verdict (protocol §24.3).
   */
  accuse(nowMs: number, slot: number, kind: number, incarnation: number, isWitnessed = false): void {
    if (this.#context.kernels.table.accuse(nowMs, slot, kind, incarnation) === 0) return;
    this.#isWitnessed = isWitnessed;
    this.#act(nowMs, undefined);
    this.#isWitnessed = false;
  }

  /** Reminds a suspect that only we accuse. */
  remind(nowMs: number, timer: Timer): void {
    const suspicion = this.#suspicions.get(timer.subject);
    if (suspicion?.remindToken !== timer.token) return;
    this.#remindSuspect(nowMs, timer.subject, suspicion);
  }

  /** Notes an extension word that a member told us itself. */
  noteExt(nowMs: number, slot: number, ext: number): void {
    if (ext === 0 || ext === this.#context.roster.ext(slot)) return;
    if (this.#context.kernels.table.noteExt(slot, ext) > 0) this.#act(nowMs, undefined);
  }

  /** Next member to probe, -1 = none; reaps when the list is through (protocol §11.1, §14.3). */
  nextProbe(nowMs: number): number {
    const { config, kernels } = this.#context;
    const slot = kernels.table.nextProbe(nowMs, config.gossipToTheDeadMs);
    if (kernels.table.u32[TABLE.outCount >>> 2] !== 0) this.#act(nowMs, undefined);
    return slot;
  }

  /** A suspicion timer fired (protocol §9.6). */
  suspicionEnded(nowMs: number, slot: number, token: number, lateMs: number, graceMs: number): void {
    const { roster, stats, timers } = this.#context;
    const suspicion = this.#suspicions.get(slot);
    if (suspicion === undefined || suspicion.token !== token) return;
    // A process that slept finds timers due whose refutations are still unread; reading comes first (protocol §12.3).
    if (lateMs > graceMs && !suspicion.graced) {
      suspicion.grace(nowMs + graceMs);
      suspicion.token = timers.schedule(suspicion.deadlineMs, TIMER.suspicion, slot);
      stats.verdictsDeferred++;
      return;
    }
    stats.suspicionsExpired++;
    this.accuse(nowMs, slot, MESSAGE.dead, roster.incarnation(slot));
  }

  #act(nowMs: number, codec: PacketCodec | undefined): void {
    const { table } = this.#context.kernels;
    const count = table.u32[TABLE.outCount >>> 2] as number;
    for (let i = 0; i < count; i++) {
      const at = table.outOffset + i * CHANGE.stride;
      const slot = table.u32[(at + CHANGE.slot) >>> 2] as number;
      this.#news.urgency = this.#urgency(codec, at, slot);
      this.#change(nowMs, codec, at);
      this.#news.urgency = URGENCY.none;
      this.#watch?.(nowMs, slot);
    }
  }

  /** In the fast profile accusations, deaths and refutations are told at once: others wait for them. */
  #urgency(codec: PacketCodec | undefined, at: number, slot: number): number {
    const { u8 } = this.#context.kernels.table;
    const kind = u8[at + CHANGE.kind] as number;
    const isAccusation = kind === CHANGE_KIND.suspect || kind === CHANGE_KIND.dead;
    const isRevival = kind === CHANGE_KIND.alive && u8[at + CHANGE.prevStatus] !== STATUS.alive;
    // A refutation of what we never heard of counts too: whoever lacks the new incarnation still believes a verdict that is on its way.
    const flags = u8[at + CHANGE.flags] as number;
    const isUpdate = (flags & (CHANGE_FLAG.metaChanged | CHANGE_FLAG.self)) !== 0;
    const isNewer = codec !== undefined && kind === CHANGE_KIND.alive && !isUpdate;
    const isUrgent = isAccusation || isRevival || isNewer || kind === CHANGE_KIND.refute;
    if (!isUrgent || !areBothFast(this.#context, slot)) return URGENCY.none;
    if (isRevival && isGone(u8[at + CHANGE.prevStatus] as number)) return JOIN_URGENCY[this.#source] as number;
    if (codec === undefined || kind === CHANGE_KIND.refute) return URGENCY.own;
    return kind === CHANGE_KIND.suspect ? URGENCY.suspicion : URGENCY.passedOn;
  }

  #change(nowMs: number, codec: PacketCodec | undefined, at: number): void {
    const { kernels, roster, stats } = this.#context;
    const { u8, u32 } = kernels.table;
    const kind = u8[at + CHANGE.kind] as number;
    const flags = u8[at + CHANGE.flags] as number;
    const slot = u32[(at + CHANGE.slot) >>> 2] as number;
    const incarnation = u32[(at + CHANGE.incarnation) >>> 2] as number;
    const record = u32[(at + CHANGE.record) >>> 2] as number;
    const prevStatus = u8[at + CHANGE.prevStatus] as number;
    if ((flags & CHANGE_FLAG.suspicionEnded) !== 0) this.#endSuspicion(slot);
    switch (kind) {
      case CHANGE_KIND.alive:
        if ((flags & CHANGE_FLAG.self) !== 0) this.#news.announceSelf(this.#token);
        else if (this.#source === SOURCE.bulk && isGone(prevStatus)) this.#news.learned(nowMs);
        else if (codec !== undefined && record !== NO_RECORD) this.#news.relayAlive(codec, record, slot);
        this.#aliveEvents(slot, prevStatus, flags);
        break;
      case CHANGE_KIND.suspect: {
        const from = this.#accuser(codec, record, slot);
        stats.suspicionsStarted++;
        this.#startSuspicion(nowMs, slot, textOf(from));
        if (!this.#isWitnessed) this.#news.accusation(MESSAGE.suspect, slot, incarnation, from, 0);
        if (this.#news.urgency === URGENCY.suspicion && roster.hasAddress(slot) && this.#news.isHerald)
          this.#news.tellSuspect(slot, incarnation, from);
        this.#emitMember('suspect', slot);
        break;
      }
      case CHANGE_KIND.confirm:
        this.#confirm(nowMs, slot, incarnation, this.#accuser(codec, record, slot));
        break;
      case CHANGE_KIND.dead: {
        const token = (flags & CHANGE_FLAG.self) !== 0 ? this.#token : 0;
        this.#news.accusation(MESSAGE.dead, slot, incarnation, this.#accuser(codec, record, slot), token);
        this.#emitMember(u8[at + CHANGE.status] === STATUS.left ? 'leave' : 'dead', slot);
        break;
      }
      case CHANGE_KIND.refute:
        stats.refutations++;
        this.#context.awareness.apply(1);
        this.#news.announceSelf(0);
        this.#answerAccuser(this.#accuser(codec, record, slot));
        break;
      case CHANGE_KIND.conflict:
        stats.conflicts++;
        if (codec !== undefined && record !== NO_RECORD) this.#conflict(codec, record, slot);
        break;
      case CHANGE_KIND.reap:
        stats.membersReaped++;
        break;
      case CHANGE_KIND.ext:
        if ((flags & CHANGE_FLAG.rebroadcast) !== 0 && codec !== undefined && record !== NO_RECORD) {
          this.#news.relayAlive(codec, record, slot);
        }
        this.#stallEvents(slot, flags);
        break;
      default:
    }
  }

  #aliveEvents(slot: number, prevStatus: number, flags: number): void {
    if (isGone(prevStatus)) this.#emitMember('join', slot);
    else {
      if (prevStatus === STATUS.suspect) this.#emitMember('alive', slot);
      if ((flags & CHANGE_FLAG.metaChanged) !== 0) this.#emitMember('update', slot);
    }
    this.#stallEvents(slot, flags);
  }

  #stallEvents(slot: number, flags: number): void {
    if ((flags & CHANGE_FLAG.stallChanged) === 0) return;
    this.#emitMember((this.#context.roster.ext(slot) & EXT.stalled) !== 0 ? 'stall' : 'resume', slot);
  }

  #emitMember(
    type: 'join' | 'update' | 'alive' | 'suspect' | 'dead' | 'leave' | 'stall' | 'resume',
    slot: number,
  ): void {
    this.#context.emit({ type, member: this.#context.roster.info(slot) });
  }

  #conflict(codec: PacketCodec, record: number, slot: number): void {
    const at = codec.recordsOffset + record * RECORD.stride;
    const port = (codec.u8[at + RECORD.port] as number) | ((codec.u8[at + RECORD.port + 1] as number) << 8);
    this.#context.emit({
      type: 'conflict',
      member: this.#context.roster.info(slot),
      other: {
        ip: viewOf(codec, at + RECORD.ipOffset).slice(),
        port: port === 0 ? this.#context.config.address.port : port,
      },
    });
  }

  /** Who says so: the sender of a message, the member itself in "left", ourselves in what we conclude from a push/pull or a probe. */
  #accuser(codec: PacketCodec | undefined, record: number, slot: number): Uint8Array {
    const { roster, self } = this.#context;
    if (codec === undefined || record === NO_RECORD) return self.name;
    const at = codec.recordsOffset + record * RECORD.stride;
    if (codec.u8[at + RECORD.kind] !== MESSAGE.pushPull) return viewOf(codec, at + RECORD.fromOffset);
    return codec.u8[at + RECORD.status] === STATUS.left ? roster.nameBytes(slot) : self.name;
  }

  #startSuspicion(nowMs: number, slot: number, accuser: string): void {
    const { config, roster, timers } = this.#context;
    const ownMs = config.fastSuspicionMs;
    const fixedMs = areBothFast(this.#context, slot) ? (accuser === config.name ? ownMs : HEARSAY * ownMs) : undefined;
    const suspicion = new Suspicion(nowMs, accuser, roster.count, config, fixedMs);
    suspicion.token = timers.schedule(suspicion.deadlineMs, TIMER.suspicion, slot);
    this.#suspicions.set(slot, suspicion);
    if (this.#isWitnessed) this.#remindSuspect(nowMs, slot, suspicion);
  }

  #remindSuspect(nowMs: number, slot: number, suspicion: Suspicion): void {
    const { config, roster, self, timers } = this.#context;
    this.#news.tellSuspect(slot, roster.incarnation(slot), self.name);
    suspicion.remindToken = timers.schedule(nowMs + Math.ceil(config.fastSuspicionMs / REMINDERS), TIMER.remind, slot);
  }

  /** Who accused us and is fast hears our refutation from us: it may be the only one who waits for it. */
  #answerAccuser(name: Uint8Array): void {
    const { roster } = this.#context;
    const slot = roster.find(name);
    if (slot >= 0 && !roster.isSelf(slot) && areBothFast(this.#context, slot) && roster.hasAddress(slot))
      this.#news.tellAlive(slot);
  }

  #confirm(nowMs: number, slot: number, incarnation: number, from: Uint8Array): void {
    const { stats, timers } = this.#context;
    const suspicion = this.#suspicions.get(slot);
    if (suspicion === undefined || suspicion.confirmations >= suspicion.wanted) return;
    if (!suspicion.confirm(nowMs, textOf(from))) return;
    stats.suspicionsConfirmed++;
    timers.cancel(suspicion.token);
    suspicion.token = timers.schedule(suspicion.deadlineMs, TIMER.suspicion, slot);
    this.#news.accusation(MESSAGE.suspect, slot, incarnation, from, 0);
  }

  #endSuspicion(slot: number): void {
    const suspicion = this.#suspicions.get(slot);
    if (suspicion === undefined) return;
    this.#context.timers.cancel(suspicion.token);
    this.#context.timers.cancel(suspicion.remindToken);
    this.#suspicions.delete(slot);
  }

  /** Makes room for what merge() needs. False when the limit of members is reached. */
  #grow(need: number): boolean {
    const { config, kernels } = this.#context;
    const { table, names, profiles } = kernels;
    if (need === NEED.out) {
      table.rehome(
        grownMemberTableArena(table.arena, { outCapacity: 2 * (table.u32[TABLE.outCapacity >>> 2] as number) }),
      );
      return true;
    }
    if (need === NEED.rows) {
      const capacity = Math.min(config.membersMax, 2 * table.capacity);
      if (capacity <= table.capacity) return false;
      table.rehome(grownMemberTableArena(table.arena, { capacity }));
    } else if (need === NEED.profiles) {
      grow(profiles);
      // The rows leave together with what they refer to: whoever still reads the old arenas in another thread finds them whole.
      if (table.arena instanceof SharedArrayBuffer) table.rehome(grownMemberTableArena(table.arena, {}));
    } else {
      // Names are shared: another engine may have made the interner larger than our index by name.
      if ((table.u32[TABLE.nameCapacity >>> 2] as number) > names.capacity) grow(names);
      const nameCapacity = Math.max(names.capacity, (table.u32[TABLE.nameCapacity >>> 2] as number) - 1);
      table.rehome(grownMemberTableArena(table.arena, { nameCapacity }));
    }
    return true;
  }
}

/** True of a row that was not there before too. */
function isGone(status: number): boolean {
  return status === STATUS.dead || status === STATUS.left;
}

/** Makes room for ids, bytes, or both. Packing alone is enough where half of the heap are blocks that were freed. */
function grow(interner: Interner): void {
  const { u32, capacity } = interner;
  const heapBytes = u32[INTERNER.heapBytes >>> 2] as number;
  const isFull = (u32[HEADER.live >>> 2] as number) >= capacity;
  const isPacked = 2 * (internerUsedBytes(interner.arena) + BLOCK_BYTES_MAX) > heapBytes;
  interner.rehome(
    grownInternerArena(interner.arena, {
      capacity: isFull ? 2 * capacity : capacity,
      heapBytes: isPacked ? 2 * heapBytes : heapBytes,
    }),
  );
}
