import { broadcastQueueSections } from '../arenas/broadcast-queue.ts';
import { checkCount } from '../arenas/header.ts';
import { type Arena, type BroadcastQueue, COMPOUND_PARTS_MAX, LANE, MESSAGE } from '../contract.ts';
import {
  align8,
  BLOCK_BYTES_MAX,
  HEADER,
  QUEUE,
  QUEUE_ENTRY,
  QUEUE_ITEM,
  QUEUE_PACKET,
  QUEUE_REQUEST,
  REQUEST_FLAG,
} from '../layout.ts';
import { BroadcastHeap } from './broadcast-heap.ts';
import { BroadcastIndex } from './broadcast-index.ts';
import { BroadcastLane, PART_OVERHEAD, PacketDraft, STATE_QUEUED, STATE_TAKEN } from './broadcast-lane.ts';

const ENTRY_WORDS = QUEUE_ENTRY.stride >> 2;
const KEY = QUEUE_ENTRY.key >> 2;
const OFFSET = QUEUE_ENTRY.offset >> 2;
const LENGTH = QUEUE_ENTRY.length >> 2;
const ID = QUEUE_ENTRY.id >> 2;
const TOKEN = QUEUE_ENTRY.token >> 2;
/** The word that holds prefix, lane and state. */
const FACTS = QUEUE_ENTRY.prefix >> 2;
const NEXT = QUEUE_ENTRY.next >> 2;
const LANE_SHIFT = 16;
const STATE_SHIFT = 24;

const LIVE = HEADER.live >> 2;
const MEMBERSHIP_BYTES = QUEUE.laneBytes0 >> 2;
const USER_BYTES = QUEUE.laneBytes1 >> 2;
const NEXT_ID = QUEUE.nextId >> 3;
const FREE_ENTRY = QUEUE.freeEntry >> 2;
const ENTRY_TOP = QUEUE.entryTop >> 2;
const FINISHED_COUNT = QUEUE.finishedCount >> 2;
const EVICTED_COUNT = QUEUE.evictedCount >> 2;
const INVALIDATED_COUNT = QUEUE.invalidatedCount >> 2;
const TRANSMITS = QUEUE_ENTRY.transmits >> 2;
const TRANSMITTED_COUNT = QUEUE.transmittedCount >> 2;
const USER_CREDIT = QUEUE.userCredit >> 2;

/**
 * TypeScript twin of the broadcast queue, and its specification: `native/kernels/broadcast_queue.hpp` must leave the
 * same bytes behind.
 *
 * Sharing a packet between the lanes. Membership is served first, user messages with what is left, as in memberlist;
 * but while the user lane holds a message that fits the limit L at all, each packet adds its share L x userShare / 256
 * to a credit (at most L). Once the credit pays for the smallest waiting message, that much of the packet is kept from
 * the membership lane in the first pass. What the user lane took is subtracted from the credit; what it left over goes
 * back to the membership lane in a third pass. So at least one user message leaves in every (smallest length + 2) / share
 * packets however busy the membership lane is, and membership keeps its share however large the user messages are.
 * A userShare of 0 switches this off; an empty user lane gives exactly memberlist's packets.
 */
export class JsBroadcastQueue implements BroadcastQueue {
  readonly backend = 'js';
  arena!: Arena;
  u8!: Uint8Array;
  u32!: Uint32Array;
  capacity = 0;
  requestCapacity = 0;
  requestsOffset = 0;
  packetsOffset = 0;
  finishedOffset = 0;
  entriesOffset = 0;
  itemsOffset = 0;
  inOffset = 0;
  inBytes = 0;
  outOffset = 0;
  outBytes = 0;

  #f64!: Float64Array;
  readonly #heap = new BroadcastHeap();
  readonly #index = new BroadcastIndex();
  readonly #membership = new BroadcastLane(LANE.membership);
  readonly #user = new BroadcastLane(LANE.user);
  readonly #draft = new PacketDraft();
  /** Word offset of the entries, byte offset of the heap. */
  #entries = 0;
  #heapOffset = 0;
  #heapBytes = 0;
  #itemCapacity = 0;
  #finishedCapacity = 0;

  constructor(arena: Arena) {
    this.rehome(arena);
  }

  rehome(arena: Arena): void {
    const sections = broadcastQueueSections(arena);
    this.arena = arena;
    this.u8 = new Uint8Array(arena);
    this.u32 = new Uint32Array(arena);
    this.#f64 = new Float64Array(arena);
    const u32 = this.u32;
    this.capacity = u32[HEADER.capacity >> 2] as number;
    this.requestCapacity = u32[QUEUE.requestCapacity >> 2] as number;
    this.requestsOffset = sections.requests;
    this.packetsOffset = sections.packets;
    this.finishedOffset = sections.finished;
    this.entriesOffset = sections.entries;
    this.itemsOffset = sections.items;
    this.inOffset = sections.in;
    this.inBytes = u32[QUEUE.inBytes >> 2] as number;
    this.outOffset = sections.out;
    this.outBytes = u32[QUEUE.outBytes >> 2] as number;
    this.#entries = sections.entries >> 2;
    this.#heap.attach(arena, sections);
    this.#index.attach(arena, sections);
    this.#membership.attach(arena, sections);
    this.#user.attach(arena, sections);
    this.#heapOffset = sections.heap;
    this.#heapBytes = u32[QUEUE.heapBytes >> 2] as number;
    this.#itemCapacity = u32[QUEUE.inItemCapacity >> 2] as number;
    this.#finishedCapacity = u32[QUEUE.finishedCapacity >> 2] as number;
  }

  enqueue(count: number): number {
    checkCount('BroadcastQueue.enqueue count', count, 0, this.#itemCapacity);
    this.u32[FINISHED_COUNT] = 0;
    let queued = 0;
    for (let i = 0; i < count; i++) if (this.#enqueueItem((this.itemsOffset + i * QUEUE_ITEM.stride) >> 2)) queued++;
    return queued;
  }

  fill(count: number, transmitLimit: number, userShare: number): number {
    checkCount('BroadcastQueue.fill count', count, 0, this.requestCapacity);
    checkCount('BroadcastQueue.fill transmitLimit', transmitLimit, 0, 0xffffffff);
    checkCount('BroadcastQueue.fill userShare', userShare, 0, 256);
    this.u32[FINISHED_COUNT] = 0;
    let filled = 0;
    let top = 0;
    for (let i = 0; i < count; i++) {
      const length = this.#fillPacket(i, top, transmitLimit, userShare);
      if (length === 0) continue;
      top = align8(top + length);
      filled++;
    }
    return filled;
  }

  invalidate(key: number): void {
    checkCount('BroadcastQueue.invalidate key', key, 0, 0xffffffff);
    this.u32[FINISHED_COUNT] = 0;
    const entry = key === 0 ? -1 : this.#index.find(key);
    if (entry >= 0) this.#remove(entry);
  }

  prune(lane: number, keep: number): void {
    checkCount('BroadcastQueue.prune lane', lane, 0, 1);
    checkCount('BroadcastQueue.prune keep', keep, 0, 0xffffffff);
    this.u32[FINISHED_COUNT] = 0;
    const order = this.#lane(lane);
    while (order.count > keep) this.#release(order.removeLast());
  }

  // Queueing

  #enqueueItem(item: number): boolean {
    const u32 = this.u32;
    const key = u32[item + (QUEUE_ITEM.key >> 2)] as number;
    const offset = u32[item + (QUEUE_ITEM.offset >> 2)] as number;
    const length = u32[item + (QUEUE_ITEM.length >> 2)] as number;
    const prefix = u32[item + (QUEUE_ITEM.prefix >> 2)] as number;
    const lane = (u32[item + (QUEUE_ITEM.lane >> 2)] as number) & 0xffff;
    if (length === 0 || length > BLOCK_BYTES_MAX || lane > LANE.user || prefix > length) return false;
    if (offset + length > this.inBytes) return false;

    const old = key === 0 ? -1 : this.#index.find(key);
    if (old >= 0) {
      this.#remove(old);
      u32[INVALIDATED_COUNT] = (u32[INVALIDATED_COUNT] as number) + 1;
    }
    if (!this.#makeRoom(lane, length)) return false;

    const entry = this.#newEntry();
    const at = this.#entries + entry * ENTRY_WORDS;
    const id = this.#f64[NEXT_ID] as number;
    this.#f64[NEXT_ID] = id + 1;
    u32[at + KEY] = key;
    u32[at + LENGTH] = length;
    this.#f64[(at + ID) >> 1] = id;
    u32[at + TRANSMITS] = (u32[item + (QUEUE_ITEM.lane >> 2)] as number) >>> 16;
    u32[at + TOKEN] = u32[item + (QUEUE_ITEM.token >> 2)] as number;
    u32[at + FACTS] = prefix | (lane << LANE_SHIFT) | (STATE_QUEUED << STATE_SHIFT);
    this.#heap.push(entry, this.inOffset + offset, length);

    this.#lane(lane).insert(entry);
    const bytes = lane === LANE.user ? USER_BYTES : MEMBERSHIP_BYTES;
    u32[bytes] = (u32[bytes] as number) + length;
    u32[LIVE] = (u32[LIVE] as number) + 1;
    if (key !== 0) this.#index.put(key, entry);
    return true;
  }

  /**
   * Evicts until a message of `length` fits: the last in order of the user lane, else of the same lane. False, and
   * nothing evicted, when a user message does not fit beside the membership lane.
   */
  #makeRoom(lane: number, length: number): boolean {
    const u32 = this.u32;
    const budget = this.#heapBytes - (this.#heapBytes >>> 2);
    if (lane === LANE.user) {
      if (this.#membership.count >= this.capacity) return false;
      if ((u32[MEMBERSHIP_BYTES] as number) + length > budget) return false;
    }
    while (
      (u32[LIVE] as number) >= this.capacity ||
      (u32[MEMBERSHIP_BYTES] as number) + (u32[USER_BYTES] as number) + length > budget
    ) {
      const victims = this.#user.count > 0 ? this.#user : this.#lane(lane);
      if (victims.count === 0) return false;
      this.#release(victims.removeLast());
      u32[EVICTED_COUNT] = (u32[EVICTED_COUNT] as number) + 1;
    }
    return true;
  }

  // Filling

  #fillPacket(index: number, top: number, transmitLimit: number, userShare: number): number {
    const u32 = this.u32;
    const request = (this.requestsOffset + index * QUEUE_REQUEST.stride) >> 2;
    const packet = (this.packetsOffset + index * QUEUE_PACKET.stride) >> 2;
    const leadOffset = u32[request + (QUEUE_REQUEST.leadOffset >> 2)] as number;
    const leadLength = u32[request + (QUEUE_REQUEST.leadLength >> 2)] as number;
    const flags = u32[request + (QUEUE_REQUEST.flags >> 2)] as number;
    const room = this.outBytes - top;
    u32[packet] = 0;
    u32[packet + 1] = 0;
    u32[packet + 2] = 0;
    u32[packet + 3] = 0;
    if (leadLength > 0 && (leadLength > room || leadOffset + leadLength > this.inBytes)) return 0;

    // Type byte and count, and the lead's own place in the table of lengths.
    const framing = leadLength > 0 ? 2 + PART_OVERHEAD : 2;
    let limit = Math.min(u32[request + (QUEUE_REQUEST.limit >> 2)] as number, room - leadLength - framing);
    if (leadLength > 0xffff) limit = 0;
    this.#take(limit, leadLength > 0 ? COMPOUND_PARTS_MAX - 1 : COMPOUND_PARTS_MAX, userShare);

    const start = this.outOffset + top;
    const parts = this.#draft.count + (leadLength > 0 ? 1 : 0);
    if (parts === 0) return 0;
    const length = this.#write(
      start,
      parts,
      this.inOffset + leadOffset,
      leadLength,
      (flags & REQUEST_FLAG.extended) !== 0,
    );
    u32[packet + (QUEUE_PACKET.offset >> 2)] = start;
    u32[packet + (QUEUE_PACKET.length >> 2)] = length;
    u32[packet + (QUEUE_PACKET.parts >> 2)] = parts;
    u32[TRANSMITTED_COUNT] = (u32[TRANSMITTED_COUNT] as number) + this.#draft.count;
    this.#settle(transmitLimit);
    return length;
  }

  /** Chooses the messages of one packet. */
  #take(limit: number, partsMax: number, userShare: number): void {
    const draft = this.#draft;
    draft.clear();
    if (limit <= PART_OVERHEAD) return;
    const reserved = this.#reserve(limit, userShare);
    if (reserved === 0) {
      this.#membership.take(draft, limit, partsMax);
    } else {
      const parts = Math.max(1, (partsMax * userShare) >>> 8);
      this.#membership.take(draft, limit - reserved, partsMax - Math.min(parts, this.#user.count));
    }
    const before = draft.usedBytes;
    this.#user.take(draft, limit, partsMax);
    const spent = draft.usedBytes - before;
    if (spent > 0) this.u32[USER_CREDIT] = Math.max(0, (this.u32[USER_CREDIT] as number) - spent);
    if (reserved > 0) this.#membership.take(draft, limit, partsMax);
  }

  /** Bytes of this packet kept for the user lane; collects its credit. See the class comment. */
  #reserve(limit: number, userShare: number): number {
    const u32 = this.u32;
    const count = this.#user.count;
    if (count === 0 || userShare === 0) {
      u32[USER_CREDIT] = 0;
      return 0;
    }
    const smallest = this.#user.smallest() + PART_OVERHEAD;
    if (smallest > limit) return 0;
    const share = Math.max(1, Math.floor((limit * userShare) / 256));
    const credit = Math.min((u32[USER_CREDIT] as number) + share, limit);
    u32[USER_CREDIT] = credit;
    if (credit < smallest) return 0;
    return Math.min(credit, (u32[USER_BYTES] as number) + PART_OVERHEAD * count);
  }

  /** Writes the packet and returns its length: the bare message when there is one, else a compound (protocol §6.1). */
  #write(start: number, parts: number, lead: number, leadLength: number, extended: boolean): number {
    const { u8, u32 } = this;
    let table = start;
    let end = start;
    if (parts > 1) {
      u8[start] = MESSAGE.compound;
      u8[start + 1] = parts;
      table = start + 2;
      end = table + PART_OVERHEAD * parts;
    }
    if (leadLength > 0) {
      if (parts > 1) {
        u8[table++] = leadLength >>> 8;
        u8[table++] = leadLength & 255;
      }
      u8.copyWithin(end, lead, lead + leadLength);
      end += leadLength;
    }
    for (let i = 0; i < this.#draft.count; i++) {
      const at = this.#entries + (this.#draft.entries[i] as number) * ENTRY_WORDS;
      let from = this.#heapOffset + (u32[at + OFFSET] as number);
      let length = u32[at + LENGTH] as number;
      const prefix = (u32[at + FACTS] as number) & 0xffff;
      const partStart = end;
      if (prefix > 0 && !extended) {
        u8[end++] = MESSAGE.user;
        from += prefix;
        length -= prefix;
      }
      u8.copyWithin(end, from, from + length);
      end += length;
      if (parts > 1) {
        u8[table++] = (end - partStart) >>> 8;
        u8[table++] = (end - partStart) & 255;
      }
    }
    return end - start;
  }

  /** Counts the transmission of all taken entries; those at their limit leave the queue. */
  #settle(transmitLimit: number): void {
    this.#membership.settle(transmitLimit);
    this.#user.settle(transmitLimit);
    for (let i = 0; i < this.#draft.count; i++) {
      const entry = this.#draft.entries[i] as number;
      const at = this.#entries + entry * ENTRY_WORDS;
      if ((this.u32[at + FACTS] as number) >>> STATE_SHIFT === STATE_TAKEN) this.#release(entry);
    }
  }

  // Entries

  #lane(lane: number): BroadcastLane {
    return lane === LANE.user ? this.#user : this.#membership;
  }

  #newEntry(): number {
    const u32 = this.u32;
    const free = u32[FREE_ENTRY] as number;
    if (free === 0) {
      const top = u32[ENTRY_TOP] as number;
      u32[ENTRY_TOP] = top + 1;
      return top;
    }
    const at = this.#entries + (free - 1) * ENTRY_WORDS + NEXT;
    u32[FREE_ENTRY] = u32[at] as number;
    u32[at] = 0;
    return free - 1;
  }

  #remove(entry: number): void {
    const facts = this.u32[this.#entries + entry * ENTRY_WORDS + FACTS] as number;
    this.#lane((facts >>> LANE_SHIFT) & 0xff).remove(entry);
    this.#release(entry);
  }

  /** Reports and zeroes an entry that has left the order of its lane. */
  #release(entry: number): void {
    const u32 = this.u32;
    const at = this.#entries + entry * ENTRY_WORDS;
    const lane = ((u32[at + FACTS] as number) >>> LANE_SHIFT) & 0xff;
    const token = u32[at + TOKEN] as number;
    const finished = u32[FINISHED_COUNT] as number;
    if (token !== 0 && finished < this.#finishedCapacity) {
      u32[(this.finishedOffset >> 2) + finished] = token;
      u32[FINISHED_COUNT] = finished + 1;
    }
    if (u32[at + KEY] !== 0) this.#index.remove(u32[at + KEY] as number);
    this.#heap.drop(entry);
    const bytes = lane === LANE.user ? USER_BYTES : MEMBERSHIP_BYTES;
    u32[bytes] = (u32[bytes] as number) - (u32[at + LENGTH] as number);
    u32.fill(0, at, at + ENTRY_WORDS);
    u32[at + NEXT] = u32[FREE_ENTRY] as number;
    u32[FREE_ENTRY] = entry + 1;
    const live = (u32[LIVE] as number) - 1;
    u32[LIVE] = live;
    if (live === 0) this.#f64[NEXT_ID] = 1;
  }
}
