import { COMPOUND_PARTS_MAX, EXT, STATUS } from '../kernels/contract.ts';
import { encodeCompound } from '../wire/compound.ts';
import type { Context } from './context.ts';
import { transmitLimit } from './math.ts';
import { COMPOUND_HEADER_BYTES, type Outbox, PART_BYTES, SEND } from './outbox.ts';
import { mixed, ringPosition } from './ring.ts';
import type { Roster } from './roster.ts';
import { TIMER } from './timers.ts';

/** Up to so many members whoever has urgent news tells all of them itself. */
const DIRECT_MEMBERS = 32;
/** Pause between two packets of a leader to its slice, ms: failures that come together are told together. */
const PAUSE_MS = 20;
/** While news keeps coming the pause doubles up to this. */
const PAUSE_MAX_MS = 40;
/** Where many join, so that packets are full. */
const CROWDED_PAUSE_MAX_MS = 160;
/** Bytes that wait to be told at most; what comes on top spreads by gossip alone. */
const WAITING_BYTES_MAX = 65536;
/**
 * What all were told gossips on this often, not as often as news that depends on it: of those who missed it, one in 20,000 is left to the next exchange of states.
 * Where more than one in FEW_SHARE members is not told, or so many are what the news of the last COUNTED_MS is about, that leaders are among them, gossip carries the news as ever.
 */
const REPAIR_TRANSMITS = 10;
const FEW_SHARE = 20;
export const COUNTED_MS = 2000;
/** Fewer joins than this are no crowd, however few the members are. */
const CROWD_MIN = 32;

/** Whether membership news is told to all at once (protocol §24.4), or only gossips. */
export const URGENCY = {
  none: 0,
  /** Others have it too; we pass it on. */
  passedOn: 1,
  /** Nobody else has it yet. */
  own: 2,
  /** The same of members that are new to us: no failure. */
  joinPassedOn: 3,
  joinOwn: 4,
  /** A suspicion of others': for the accused, not for all. */
  suspicion: 5,
} as const;

/** Messages that wait to be told to the same members. */
class Batch {
  readonly parts: Uint8Array[] = [];
  #bytes = 0;

  /** False when there is no more room. */
  add(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#bytes + end - start > WAITING_BYTES_MAX) return false;
    this.#bytes += end - start;
    this.parts.push(bytes.slice(start, end));
    return true;
  }

  clear(): void {
    this.#bytes = 0;
    this.parts.length = 0;
  }
}

/** Who leads a slice, slot -1 = nobody. */
interface Leader {
  slot: number;
  nameId: number;
  rank: number;
}

/** How many of something there were in the last COUNTED_MS, about. */
class Lately {
  #count = 0;
  #fromMs = Number.NEGATIVE_INFINITY;

  note(nowMs: number): void {
    if (nowMs - this.#fromMs > COUNTED_MS) {
      this.#fromMs = nowMs;
      this.#count = 0;
    }
    this.#count++;
  }

  isMany(nowMs: number, members: number, least = 0): boolean {
    return nowMs - this.#fromMs <= COUNTED_MS && this.#count >= least && this.#count * FEW_SHARE > members;
  }
}

/**
 * How urgent news of the fast profile reaches everybody in two hops (protocol §24.4; after Gupta, Liskov, Rodrigues 2004, "Efficient Routing for Peer-to-Peer Overlays"). The members are dealt by a
 * hash of their names to about sqrt(n) slices. The first alive one of each slice is its leader, which nobody elects: each member reads it off its table. Who has news of its own tells the leaders; a leader that
 * hears news for the first time tells its slice. Gossip goes on beside it and repairs what a lost packet or a dead leader left out, so two members that disagree about who leads lose some ms and nothing else.
 *
 * Packets are plain gossip. Nothing on the wire says who leads.
 */
export class Slices {
  readonly #context: Context;
  readonly #outbox: Outbox;
  readonly #ownRank: number;
  /** News of our own, for the leaders; and news for the slice that we lead. */
  readonly #forLeaders = new Batch();
  readonly #forSlice = new Batch();
  #isWaiting = false;
  #isPaused = false;
  #pauseMs = PAUSE_MS;
  /** The leader of our slice; slot -1: to be searched for. */
  readonly #leader: Leader = nobody();
  /** Bits that tell the slices apart when the leader was searched for. */
  #bits = -1;
  /** Where we lead: slots of our slice, of whatever status, once somebody asked. */
  #followers: number[] | undefined;
  /** Members at that time, and those of them whom nobody tells: they do not run the profile. */
  #searchedCount = 0;
  #strangers = 0;
  /** Leaders by slice, once we had news of our own; slot -1: nobody is there. */
  #all: Leader[] | undefined;
  /** Urgent news lately. */
  readonly #failures = new Lately();
  readonly #joins = new Lately();

  constructor(context: Context, outbox: Outbox) {
    this.#context = context;
    this.#outbox = outbox;
    this.#ownRank = sliceRank(ringPosition(context.self.name));
  }

  /**
   * Tells all: it is news of our own (`urgency`), or news to us that our slice may not have. The message is bytes[start, end). Answers how many transmits by gossip that spares.
   */
  tell(nowMs: number, urgency: number, bytes: Uint8Array, start: number, end: number): number {
    const { config, roster, self, timers } = this.#context;
    if (!config.urgentNews || !self.isFast) return 0;
    const isOwn = urgency === URGENCY.own || urgency === URGENCY.joinOwn;
    const isLeader = this.isLeader();
    let isTold = true;
    if (isOwn) isTold = this.#forLeaders.add(bytes, start, end);
    else if (isLeader && urgency !== URGENCY.suspicion) isTold = this.#forSlice.add(bytes, start, end);
    if ((this.#forLeaders.parts.length > 0 || this.#forSlice.parts.length > 0) && !this.#isWaiting) {
      this.#isWaiting = true;
      if (!this.#isPaused) timers.schedule(nowMs, TIMER.urgentNews, 0);
    }
    const isJoin = urgency === URGENCY.joinOwn || urgency === URGENCY.joinPassedOn;
    (isJoin ? this.#joins : this.#failures).note(nowMs);
    if (!isTold || this.#strangers * FEW_SHARE > roster.count || this.isHeadless(nowMs)) return 0;
    return Math.max(0, transmitLimit(config.retransmitMult, roster.count) - REPAIR_TRANSMITS);
  }

  /** Many members were made known to us at once, by somebody who has them from others. */
  noteJoin(nowMs: number): void {
    this.#joins.note(nowMs);
  }

  /** We heard that somebody joined. True when so many do that it is left to the leaders and to exchanges of states to tell of it. */
  isLeftToLeaders(nowMs: number): boolean {
    const { roster, self } = this.#context;
    if (!self.isFast || !this.isCrowded(nowMs) || this.isLeader()) return false;
    this.#joins.note(nowMs);
    return this.#strangers * FEW_SHARE <= roster.count;
  }

  /** Sends what waits, unless a pause has yet to end. */
  tick(nowMs: number): void {
    this.#isPaused = false;
    if (!this.#isWaiting) {
      this.#pauseMs = PAUSE_MS;
      return;
    }
    this.#isWaiting = false;
    this.#isPaused = true;
    this.#context.timers.schedule(nowMs + this.#pauseMs, TIMER.urgentNews, 0);
    this.#pauseMs = Math.min(2 * this.#pauseMs, this.isCrowded(nowMs) ? CROWDED_PAUSE_MAX_MS : PAUSE_MAX_MS);
    if (this.#forLeaders.parts.length > 0) this.#send(this.#forLeaders, this.#leaders());
    if (this.#forSlice.parts.length > 0) this.#send(this.#forSlice, this.#slice());
    this.#forLeaders.clear();
    this.#forSlice.clear();
  }

  /** So much news lately that it is about leaders too: what they would tell has to be gossiped, and fast. */
  isHeadless(nowMs: number): boolean {
    return this.#failures.isMany(nowMs, this.#context.roster.count);
  }

  /** So many join, with urgent news at all, that some of the news will pass by those who are busy with joining. */
  isCrowded(nowMs: number): boolean {
    const { config, roster } = this.#context;
    return config.urgentNews && this.#joins.isMany(nowMs, roster.count, CROWD_MIN);
  }

  /** Looks up who leads when that is not known, so that nobody has to when there is news. */
  prepare(): void {
    if (this.#context.config.urgentNews && this.isLeader() && this.#followers === undefined) this.#slice();
  }

  /** Something about this member changed: does it lead our slice now, or no longer? */
  changed(slot: number): void {
    const { roster } = this.#context;
    if (this.#all !== undefined && roster.isUsed(slot)) this.#consider(this.#all, Math.log2(this.#all.length), slot);
    if (this.#leader.slot < 0) return;
    // A slot that is used again is another member's.
    if (this.#followers !== undefined && !roster.isUsed(slot)) this.#followers = undefined;
    if (slot === this.#leader.slot) {
      if (!isEligible(roster, slot) || roster.nameId(slot) !== this.#leader.nameId) this.#leader.slot = -1;
      return;
    }
    if (!isEligible(roster, slot)) return;
    const rank = sliceRank(roster.ringPosition(slot));
    if (sliceOf(rank, this.#bits) !== sliceOf(this.#ownRank, this.#bits)) return;
    if (this.#followers?.includes(slot) === false) this.#followers.push(slot);
    if (rank < this.#leader.rank) this.#lead(this.#leader, slot, rank);
  }

  /** The leader of our slice is to be searched for. */
  forget(): void {
    this.#leader.slot = -1;
    this.#all = undefined;
  }

  /** True for members that pass urgent news on; where there are few members nobody does. */
  isLeader(): boolean {
    const { roster } = this.#context;
    const bits = sliceBits(roster.count);
    if (this.#leader.slot < 0 || bits !== this.#bits || roster.count > this.#searchedCount * 1.1) this.#search(bits);
    return this.#leader.slot === roster.selfSlot && roster.count > DIRECT_MEMBERS;
  }

  /** Looks at all members: needed when the leader of our slice is gone, or the number of slices changes. */
  #search(bits: number): void {
    const { roster } = this.#context;
    this.#bits = bits;
    this.#followers = undefined;
    this.#searchedCount = roster.count;
    this.#strangers = 0;
    const own = sliceOf(this.#ownRank, bits);
    this.#lead(this.#leader, roster.selfSlot, this.#ownRank);
    for (let slot = 0; slot < roster.slotsEnd; slot++) {
      if (roster.isUsed(slot) && (roster.ext(slot) & EXT.fast) === 0) this.#strangers++;
      if (!roster.isUsed(slot) || roster.status(slot) > STATUS.suspect) continue;
      const rank = sliceRank(roster.ringPosition(slot));
      if (rank < this.#leader.rank && sliceOf(rank, bits) === own && isEligible(roster, slot))
        this.#lead(this.#leader, slot, rank);
    }
  }

  #lead(leader: Leader, slot: number, rank: number): void {
    leader.slot = slot;
    leader.nameId = this.#context.roster.nameId(slot);
    leader.rank = rank;
  }

  /** Slots of those that pass our news on; where we lead, our slice instead of ourselves; all where there are few. */
  #leaders(): number[] {
    const { roster } = this.#context;
    const slots: number[] = [];
    if (roster.count <= DIRECT_MEMBERS) {
      for (let slot = 0; slot < roster.slotsEnd; slot++) if (isEligible(roster, slot)) slots.push(slot);
      return slots;
    }
    const bits = sliceBits(roster.count);
    let all = this.#all;
    if (all?.length !== 1 << bits || !this.#isStillLed(all)) {
      all = this.#searchAll(bits);
      this.#all = all;
    }
    for (const { slot } of all) {
      if (slot < 0) continue;
      if (slot === roster.selfSlot) slots.push(...this.#slice());
      else slots.push(slot);
    }
    return slots;
  }

  /** None of the leaders is gone; one that came is noticed by changed(). */
  #isStillLed(all: readonly Leader[]): boolean {
    const { roster } = this.#context;
    for (const { slot, nameId } of all) {
      if (slot < 0 || slot === roster.selfSlot) continue;
      if (roster.nameId(slot) !== nameId || !isEligible(roster, slot)) return false;
    }
    return true;
  }

  /** Looks at all members for the leaders of all slices. */
  #searchAll(bits: number): Leader[] {
    const { roster } = this.#context;
    const all = Array.from({ length: 1 << bits }, nobody);
    for (let slot = 0; slot < roster.slotsEnd; slot++) if (roster.isUsed(slot)) this.#consider(all, bits, slot);
    return all;
  }

  /** Puts a member in its place if it leads its slice, as far as we know. */
  #consider(all: readonly Leader[], bits: number, slot: number): void {
    const { roster } = this.#context;
    if (roster.status(slot) > STATUS.suspect) return;
    const rank = sliceRank(roster.ringPosition(slot));
    const leader = all[sliceOf(rank, bits)] as Leader;
    if (leader.slot >= 0 && leader.rank <= rank) return;
    if (!roster.isSelf(slot) && !isEligible(roster, slot)) return;
    this.#lead(leader, slot, rank);
  }

  /** Slots of the others in our slice. */
  #slice(): number[] {
    const { roster } = this.#context;
    const bits = sliceBits(roster.count);
    const own = sliceOf(this.#ownRank, bits);
    if (this.#followers === undefined) {
      this.#followers = [];
      for (let slot = 0; slot < roster.slotsEnd; slot++) {
        if (roster.isUsed(slot) && sliceOf(sliceRank(roster.ringPosition(slot)), bits) === own)
          this.#followers.push(slot);
      }
    }
    return this.#followers.filter((slot) => isEligible(roster, slot));
  }

  /** As few packets as hold the batch, the same bytes to all. */
  #send(batch: Batch, slots: readonly number[]): void {
    const { stats } = this.#context;
    if (slots.length === 0) return;
    const room = this.#outbox.newsRoom;
    const { parts } = batch;
    for (let first = 0, next = 0; first < parts.length; first = next) {
      let bytes = 0;
      do bytes += PART_BYTES + (parts[next++] as Uint8Array).length;
      while (
        next < parts.length &&
        next - first < COMPOUND_PARTS_MAX &&
        bytes + PART_BYTES + (parts[next] as Uint8Array).length <= room
      );
      this.#outbox.reserve(COMPOUND_HEADER_BYTES + bytes);
      const end = encodeCompound(this.#outbox.bytes, this.#outbox.top, parts.slice(first, next));
      this.#outbox.commitToAll(end, slots, SEND.crc);
      stats.urgentPackets += slots.length;
    }
  }
}

function nobody(): Leader {
  return { slot: -1, nameId: 0, rank: 0 };
}

/** Members that may lead, and that are told. */
function isEligible(roster: Roster, slot: number): boolean {
  return roster.status(slot) <= STATUS.suspect && roster.isFastPeer(slot);
}

/** Position of a member among all, by its position on the ring: its highest bits are its slice, and the lowest of a slice leads. Has nothing to do with the neighbours on the ring, so a ring probe takes news to another slice. */
export function sliceRank(position: number): number {
  return mixed(position ^ 0x9e3779b9);
}

/** Slices are a power of two near the square root of the members, so that members who count a little differently agree on them. */
export function sliceBits(members: number): number {
  let bits = 0;
  for (let some = 2; some < members; some *= 4) bits++;
  return bits;
}

function sliceOf(rank: number, bits: number): number {
  return bits === 0 ? 0 : rank >>> (32 - bits);
}
