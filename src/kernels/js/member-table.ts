import { HearsayError } from '../../util/errors.ts';
import {
  type Arena,
  CHANGE_FLAG,
  CHANGE_KIND,
  EXT,
  MERGE_FLAG,
  MESSAGE,
  META_BYTES_MAX,
  type MemberTable,
  NAME_BYTES_MAX,
  NEED,
  type PacketCodec,
  STATUS,
} from '../contract.ts';
import { NO_RECORD, RECORD, RECORD_FLAG, ROW, ROW_FLAG, TABLE } from '../layout.ts';
import type { JsInterner } from './interner.ts';
import { isOlder, MemberOrder } from './member-order.ts';
import { MemberRows } from './member-rows.ts';
import { nodeStateSize, writeNodeState } from './node-state.ts';
import { extContradicts, extSupersedes, NEWS, refutingIncarnation, supersedes, VERDICT } from './precedence.ts';
import { ProfileDraft, sameBytes } from './profile-draft.ts';

/** TypeScript twin of the member table: the specification that native/kernels/member_table.hpp follows byte for byte. */
export class JsMemberTable implements MemberTable {
  readonly backend = 'js';
  readonly names: JsInterner;
  readonly profiles: JsInterner;
  readonly #rows: MemberRows;
  readonly #order: MemberOrder;
  /** What the alive record at hand says of its member. */
  readonly #draft: ProfileDraft;

  /** Attaches to an arena of createMemberTableArena(). Throws ERR_ARENA_INVALID when it is none. */
  constructor(arena: Arena, names: JsInterner, profiles: JsInterner) {
    this.names = names;
    this.profiles = profiles;
    this.#rows = new MemberRows(arena);
    this.#order = new MemberOrder(this.#rows, names, profiles);
    this.#draft = new ProfileDraft(profiles);
  }

  get arena(): Arena {
    return this.#rows.arena;
  }
  get u8(): Uint8Array {
    return this.#rows.u8;
  }
  get u32(): Uint32Array {
    return this.#rows.u32;
  }
  get capacity(): number {
    return this.#rows.sections.capacity;
  }
  get outOffset(): number {
    return this.#rows.sections.outOffset;
  }
  get picksOffset(): number {
    return this.#rows.sections.picksOffset;
  }
  get rowsOffset(): number {
    return this.#rows.sections.rowsOffset;
  }
  get orderOffset(): number {
    return this.#rows.sections.orderOffset;
  }
  get slotOfOffset(): number {
    return this.#rows.sections.slotOfOffset;
  }

  rehome(arena: Arena): void {
    this.#rows.rehome(arena);
  }

  merge(nowMs: number, codec: PacketCodec, first: number, count: number, flags: number): number {
    if (first + count > codec.recordCapacity) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `first + count: expected at most ${codec.recordCapacity} records, got ${first + count}`,
      );
    }
    const rows = this.#rows;
    const began = rows.begin();
    rows.setWord(TABLE.outCount, 0);
    rows.setWord(TABLE.need, NEED.none);
    let used = 0;
    for (; used < count; used++) {
      const need = this.#apply(nowMs, codec, first + used, flags);
      if (need !== NEED.none) {
        rows.setWord(TABLE.need, need);
        break;
      }
    }
    rows.end(began);
    return used;
  }

  accuse(nowMs: number, slot: number, kind: number, incarnation: number): number {
    const rows = this.#rows;
    if (!rows.isUsed(slot) || (kind !== MESSAGE.suspect && kind !== MESSAGE.dead)) return 0;
    const began = rows.begin();
    rows.setWord(TABLE.outCount, 0);
    // What we say about ourselves we say as ourselves: From equals Node, which is a leave (§9.4 step 4).
    const isSelf = rows.word(TABLE.selfSlot) === slot + 1;
    const status = kind === MESSAGE.suspect ? STATUS.suspect : isSelf ? STATUS.left : STATUS.dead;
    this.#accuseRow(nowMs, slot, status, incarnation >>> 0, NO_RECORD);
    rows.end(began);
    return rows.word(TABLE.outCount);
  }

  find(name: Uint8Array): number {
    return this.slotOf(this.names.lookup(name));
  }

  slotOf(nameId: number): number {
    return this.#rows.slotOf(nameId);
  }

  nextProbe(nowMs: number, reapAfterMs: number): number {
    return this.#order.nextProbe(nowMs, reapAfterMs);
  }

  sample(nowMs: number, count: number, mask: number, deadForMs: number, exceptSlot: number): number {
    return this.#order.sample(nowMs, count, mask, deadForMs, exceptSlot);
  }

  setOwnExt(ext: number): void {
    const rows = this.#rows;
    const slot = rows.word(TABLE.selfSlot) - 1;
    if (slot < 0) return;
    const word = (rows.at(slot) + ROW.ext) >>> 2;
    if (rows.u32[word] === ext >>> 0) return;
    const began = rows.begin();
    rows.u32[word] = ext;
    rows.touch();
    rows.end(began);
  }

  noteExt(slot: number, ext: number): number {
    const rows = this.#rows;
    rows.setWord(TABLE.outCount, 0);
    if (!rows.isUsed(slot) || rows.word(TABLE.selfSlot) === slot + 1) return 0;
    const incarnation = rows.u32[(rows.at(slot) + ROW.incarnation) >>> 2] as number;
    const began = rows.begin();
    // No rebroadcast: the member tells everybody it talks to, as it told us.
    const changed = this.#updateExt(slot, ext >>> 0, incarnation, NO_RECORD, 0);
    rows.end(began);
    return changed ? 1 : 0;
  }

  encodeState(out: Uint8Array, at: number): number {
    const rows = this.#rows;
    const live = rows.live;
    let end = at;
    for (let i = 0; i < live; i++) end += nodeStateSize(rows, this.names, this.profiles, rows.slotAt(i));
    if (end > out.length) return -end;
    let to = at;
    for (let i = 0; i < live; i++) to = writeNodeState(rows, this.names, this.profiles, rows.slotAt(i), out, to);
    return to;
  }

  /** One record. Returns NEED.none when it is used up, else what is missing; then nothing of it has been applied. */
  #apply(nowMs: number, codec: PacketCodec, index: number, flags: number): number {
    const rows = this.#rows;
    const u8 = codec.u8;
    const at = codec.recordsOffset + index * RECORD.stride;
    if (((u8[at + RECORD.flags] as number) & RECORD_FLAG.refused) !== 0) return NEED.none;
    let status = statusOf(u8[at + RECORD.kind] as number, u8[at + RECORD.status] as number);
    if (status < 0) return NEED.none;
    const nameOffset = codec.u32[(at + RECORD.nameOffset) >>> 2] as number;
    const nameLength = codec.u32[(at + RECORD.nameLength) >>> 2] as number;
    if (nameLength === 0 || nameLength > NAME_BYTES_MAX || nameOffset + nameLength > u8.length) return NEED.none;
    // Any record has at most one effect, so room for one is the worst case.
    if (rows.isOutFull()) return NEED.out;
    const nameId = this.names.lookupAt(u8, nameOffset, nameLength);
    const slot = rows.slotOf(nameId);
    if (status === STATUS.alive) return this.#applyAlive(nowMs, codec, index, slot, flags);
    if (slot < 0) return NEED.none;
    if (u8[at + RECORD.kind] === MESSAGE.dead) {
      const fromOffset = codec.u32[(at + RECORD.fromOffset) >>> 2] as number;
      const fromLength = codec.u32[(at + RECORD.fromLength) >>> 2] as number;
      if (fromLength === nameLength && sameBytes(u8, fromOffset, u8, nameOffset, nameLength)) status = STATUS.left;
    }
    this.#accuseRow(nowMs, slot, status, codec.u32[(at + RECORD.number) >>> 2] as number, index);
    return NEED.none;
  }

  /** alive (§9.2). The step numbers are those of the protocol. */
  #applyAlive(nowMs: number, codec: PacketCodec, index: number, knownSlot: number, mergeFlags: number): number {
    const rows = this.#rows;
    const u8 = codec.u8;
    const u32 = codec.u32;
    const at = codec.recordsOffset + index * RECORD.stride;
    const isBootstrap = (mergeFlags & MERGE_FLAG.bootstrap) !== 0;
    const selfSlot = rows.word(TABLE.selfSlot);
    const isSelf = selfSlot === 0 ? isBootstrap : knownSlot + 1 === selfSlot;
    // 1. A node that has left stays left.
    if (isSelf && rows.word(TABLE.leaving) !== 0) return NEED.none;
    // 2. Versions that nobody can speak. (3, the filter, is the engine's.)
    if ((u8[at + RECORD.vsnLength] as number) >= 3) {
      const min = u8[at + RECORD.vsn] as number;
      const max = u8[at + RECORD.vsn + 1] as number;
      if (min === 0 || max === 0 || min > max) return NEED.none;
    }
    const ipOffset = u32[(at + RECORD.ipOffset) >>> 2] as number;
    const ipLength = u32[(at + RECORD.ipLength) >>> 2] as number;
    const dataOffset = u32[(at + RECORD.dataOffset) >>> 2] as number;
    const dataLength = u32[(at + RECORD.dataLength) >>> 2] as number;
    if ((ipLength !== 4 && ipLength !== 16) || ipOffset + ipLength > u8.length) return NEED.none;
    if (dataLength > META_BYTES_MAX || dataOffset + dataLength > u8.length) return NEED.none;
    const incarnation = u32[(at + RECORD.number) >>> 2] as number;
    const ext = u32[(at + RECORD.ext) >>> 2] as number;
    this.#draft.compose(codec, at, rows.word(TABLE.defaultPort));

    // 4. A name we have not heard of.
    const isCreated = knownSlot < 0;
    let slot = knownSlot;
    if (isCreated) {
      const need = this.#reserve(codec, at);
      if (need < 0) return -need;
      slot = need;
    }
    const row = rows.at(slot);
    const word = row >>> 2;
    const profileWord = word + (ROW.profileId >>> 2);
    const status = rows.u8[row + ROW.status] as number;
    const knownIncarnation = rows.u32[word + (ROW.incarnation >>> 2)] as number;
    let news = (isSelf ? NEWS.self : 0) | (isBootstrap ? NEWS.bootstrap : 0);
    let changeFlags: number = isCreated ? CHANGE_FLAG.created : 0;

    // 5. Another address.
    if (!isCreated && !this.#draft.isSameAddress(rows.u32[profileWord] as number)) {
      if (!this.#mayMove(nowMs, row)) {
        rows.push(CHANGE_KIND.conflict, slot, status, knownIncarnation, index, 0);
        return NEED.none;
      }
      news |= NEWS.addressUpdate;
      changeFlags |= CHANGE_FLAG.addressChanged;
    }

    // 6, 7, 9.
    const verdict = supersedes(status, knownIncarnation, STATUS.alive, incarnation, news);
    if (
      verdict === VERDICT.refute ||
      (verdict === VERDICT.refuteIfDifferent &&
        (!this.#draft.isSameContent(rows.u32[profileWord] as number) ||
          extContradicts(rows.u32[word + (ROW.ext >>> 2)] as number, ext)))
    ) {
      this.#refute(slot, incarnation, index);
      return NEED.none;
    }
    if (verdict !== VERDICT.accept) {
      if (!isSelf && !isCreated && changeFlags === 0)
        this.#updateExt(slot, ext, incarnation, index, CHANGE_FLAG.rebroadcast);
      return NEED.none;
    }

    const knownProfile = rows.u32[profileWord] as number;
    if (!isCreated) {
      this.#draft.keepVersions(knownProfile);
      if (!this.#draft.isSameMeta(knownProfile)) changeFlags |= CHANGE_FLAG.metaChanged;
      if (!this.#draft.isSame(knownProfile)) {
        const profileId = this.#draft.intern();
        if (profileId === 0) return NEED.profiles;
        rows.u32[profileWord] = profileId;
        this.profiles.release(knownProfile);
      }
    }
    // 8. From here on nothing can stop it.
    changeFlags |= rows.endSuspicion(slot);
    rows.u32[word + (ROW.incarnation >>> 2)] = incarnation;
    if (isSelf) {
      rows.u8[row + ROW.flags] = (rows.u8[row + ROW.flags] as number) | ROW_FLAG.self;
      rows.setWord(TABLE.selfSlot, slot + 1);
      rows.setWord(TABLE.incarnation, incarnation);
    } else {
      const extWord = word + (ROW.ext >>> 2);
      const knownExt = rows.u32[extWord] as number;
      const isBack = status === STATUS.dead || status === STATUS.left;
      if (isBack || extSupersedes(knownExt, knownIncarnation, ext, incarnation)) {
        rows.u32[extWord] = ext;
        if (((ext ^ knownExt) & EXT.stalled) !== 0) changeFlags |= CHANGE_FLAG.stallChanged;
      }
    }
    if (status !== STATUS.alive) rows.setStatus(slot, STATUS.alive, nowMs);
    rows.push(CHANGE_KIND.alive, slot, status, incarnation, index, changeFlags | CHANGE_FLAG.rebroadcast);
    return NEED.none;
  }

  /** A row for an unknown name: its slot, or -NEED, and then nothing has changed but the order of free ids. */
  #reserve(codec: PacketCodec, at: number): number {
    if (!this.#rows.hasRow()) return -NEED.rows;
    const profileId = this.#draft.intern();
    if (profileId === 0) return -NEED.profiles;
    const nameId = this.names.internAt(
      codec.u8,
      codec.u32[(at + RECORD.nameOffset) >>> 2] as number,
      codec.u32[(at + RECORD.nameLength) >>> 2] as number,
    );
    // An interner shared with other tables may have grown while our index by name has not.
    if (nameId === 0 || nameId >= this.#rows.sections.nameCapacity) {
      this.names.release(nameId);
      this.profiles.release(profileId);
      return -NEED.names;
    }
    return this.#rows.create(nameId, profileId);
  }

  /** suspect, dead and left about a known member (§9.3, §9.4). */
  #accuseRow(nowMs: number, slot: number, newStatus: number, incarnation: number, record: number): void {
    const rows = this.#rows;
    const row = rows.at(slot);
    const incarnationWord = (row + ROW.incarnation) >>> 2;
    const status = rows.u8[row + ROW.status] as number;
    const isSuspicion = ((rows.u8[row + ROW.flags] as number) & ROW_FLAG.suspicion) !== 0;
    const news =
      (rows.word(TABLE.selfSlot) === slot + 1 ? NEWS.self : 0) |
      (isSuspicion ? NEWS.suspicion : 0) |
      (rows.word(TABLE.leaving) !== 0 ? NEWS.leaving : 0);
    switch (supersedes(status, rows.u32[incarnationWord] as number, newStatus, incarnation, news)) {
      case VERDICT.confirm:
        rows.push(CHANGE_KIND.confirm, slot, status, incarnation, record, 0);
        break;
      case VERDICT.refute:
        this.#refute(slot, incarnation, record);
        break;
      case VERDICT.accept: {
        const isSuspect = newStatus === STATUS.suspect;
        const ended = isSuspect ? 0 : rows.endSuspicion(slot);
        rows.u32[incarnationWord] = incarnation;
        if (isSuspect) rows.u8[row + ROW.flags] = (rows.u8[row + ROW.flags] as number) | ROW_FLAG.suspicion;
        rows.setStatus(slot, newStatus, nowMs);
        const kind = isSuspect ? CHANGE_KIND.suspect : CHANGE_KIND.dead;
        rows.push(kind, slot, status, incarnation, record, CHANGE_FLAG.rebroadcast | ended);
        break;
      }
      default:
    }
  }

  /** Raises our incarnation above an accusation (§9.5). */
  #refute(slot: number, accused: number, record: number): void {
    const rows = this.#rows;
    const row = rows.at(slot);
    const incarnation = refutingIncarnation(rows.word(TABLE.incarnation), accused);
    rows.setWord(TABLE.incarnation, incarnation);
    rows.u32[(row + ROW.incarnation) >>> 2] = incarnation;
    rows.push(
      CHANGE_KIND.refute,
      slot,
      rows.u8[row + ROW.status] as number,
      incarnation,
      record,
      CHANGE_FLAG.rebroadcast,
    );
  }

  /** Takes over a newer extension word of a member that is not dead; true when a change was listed. */
  #updateExt(slot: number, ext: number, incarnation: number, record: number, flags: number): boolean {
    const rows = this.#rows;
    const row = rows.at(slot);
    const status = rows.u8[row + ROW.status] as number;
    const extWord = (row + ROW.ext) >>> 2;
    const known = rows.u32[extWord] as number;
    const knownIncarnation = rows.u32[(row + ROW.incarnation) >>> 2] as number;
    if (status > STATUS.suspect || rows.isOutFull()) return false;
    if (!extSupersedes(known, knownIncarnation, ext, incarnation)) return false;
    rows.u32[extWord] = ext;
    const stall = ((ext ^ known) & EXT.stalled) !== 0 ? CHANGE_FLAG.stallChanged : 0;
    rows.push(CHANGE_KIND.ext, slot, status, knownIncarnation, record, flags | stall);
    return true;
  }

  /** A dead member may come back elsewhere after deadReclaimMs, one that left at any time (§9.2 step 5). */
  #mayMove(nowMs: number, row: number): boolean {
    const rows = this.#rows;
    const status = rows.u8[row + ROW.status] as number;
    if (status === STATUS.left) return true;
    const reclaimMs = rows.f64[TABLE.deadReclaimMs >>> 3] as number;
    return (
      status === STATUS.dead &&
      reclaimMs > 0 &&
      isOlder(rows.f64[(row + ROW.statusSinceMs) >>> 3] as number, nowMs, reclaimMs)
    );
  }
}

/** What a record claims about its member, as STATUS; -1 for records that claim nothing. */
function statusOf(kind: number, status: number): number {
  switch (kind) {
    case MESSAGE.alive:
      return STATUS.alive;
    case MESSAGE.suspect:
      return STATUS.suspect;
    case MESSAGE.dead:
      return STATUS.dead;
    case MESSAGE.pushPull:
      // What another node holds for dead is only a suspicion to us, so that the member gets its chance to refute (§7.6).
      return status === STATUS.dead ? STATUS.suspect : status <= STATUS.left ? status : -1;
    default:
      return -1;
  }
}
