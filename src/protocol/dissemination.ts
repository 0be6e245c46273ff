import { grownBroadcastQueueArena } from '../kernels/arenas/broadcast-queue.ts';
import { EXT, LANE, MESSAGE, type PacketCodec, PICK, REJECT, STATUS } from '../kernels/contract.ts';
import { BLOCK_BYTES_MAX, HEADER, QUEUE, QUEUE_ITEM, RECORD } from '../kernels/layout.ts';
import { textOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { encodeAlive, encodeDead, encodeSuspect } from '../wire/messages.ts';
import { encodeRumor, parseRumor, RUMOR_ID_BYTES, RUMOR_ORIGIN_BYTES_MAX, rumorPrefixBytes } from '../wire/rumor.ts';
import type { Context } from './context.ts';
import { largestNews, type Outbox, SEND } from './outbox.ts';
import { SeenSet } from './seen-set.ts';
import { Shedding } from './shedding.ts';
import { COUNTED_MS, type Slices, URGENCY } from './slices.ts';
import { countReject } from './stats.ts';
import { TIMER } from './timers.ts';

/** Peers from this protocol version on check a CRC (protocol §16). */
const CRC_VERSION = 5;
const VSN_BYTES = 6;
/** Most broadcasts that wait at once, and the room that each counts for on average. */
const ENTRIES_MAX = 8192;
const ENTRY_BYTES = 256;
/** Most room that one piece of membership news takes: two names and the metadata of 512 bytes each, and the rest. */
const NEWS_BYTES_MAX = 2048;
/** After so many ticks, to several members each, news has been sent often enough. */
const UNTOLD_TICKS = 16;
/** So many times as often gossip ticks while those who should tell urgent news may be dead. */
const HURRY = 4;
/** Ticks without repair of what all were told, in a row while timers are late, at most. */
const SHED_TICKS_MAX = 20;
/** A refutation is gossiped for so many suspicions of the fast profile, whatever else there is to do: it has to be there before the longest of them ends. */
const DEFENDED_SUSPICIONS = 4;
const EMPTY = new Uint8Array(0);

/**
 * News on its way out: membership news and user broadcasts are staged here during a turn, queued together, and leave by
 * piggyback or with the gossip tick (protocol §10, §14.1).
 *
 * Everything about one member is queued under its name, also a refutation, so newer news replaces older news that is still waiting
 * (protocol §9.5 has the reason).
 */
export class Dissemination {
  readonly #context: Context;
  readonly #onFinished: (token: number) => void;
  readonly #seen: SeenSet;
  readonly #rumorId = new Uint8Array(RUMOR_ID_BYTES);
  readonly #overheadBytes: () => number;
  #outbox: Outbox | undefined;
  #exchangesFrom: ((nowMs: number, delayMs: number) => void) | undefined;
  #staged = 0;
  #inTop = 0;
  #slices: Slices | undefined;
  /** Of the membership news that is staged next: URGENCY. */
  urgency: number = URGENCY.none;
  /** When the next gossip tick is due, or was at the latest; NaN when there is no gossip. */
  #tickMs = Number.NaN;
  #isTickScheduled = false;
  #wasHurried = false;
  /** Until then the crowd of joins is seen to. */
  #crowdedUntilMs = Number.NEGATIVE_INFINITY;
  /** Until then there may be news that depends on gossip. */
  #untoldUntilMs = Number.NEGATIVE_INFINITY;
  /** Until then there may be refutations that others wait for. */
  #defendedUntilMs = Number.NEGATIVE_INFINITY;
  readonly #shedding: Shedding;

  /** `onFinished` hears of broadcasts with a token that were sent often enough, replaced or evicted. */
  constructor(context: Context, overheadBytes: () => number, onFinished: (token: number) => void) {
    this.#context = context;
    this.#overheadBytes = overheadBytes;
    this.#onFinished = onFinished;
    this.#shedding = new Shedding(context, SHED_TICKS_MAX);
    this.#seen = new SeenSet(context.config.seenRumorsMax);
  }

  /** `exchangesFrom` has states exchanged with somebody after one to two such delays, and then a few times more. */
  attach(outbox: Outbox, slices: Slices, exchangesFrom: (nowMs: number, delayMs: number) => void): void {
    this.#exchangesFrom = exchangesFrom;
    this.#outbox = outbox;
    this.#slices = slices;
  }

  start(nowMs: number): void {
    const { config, prng, timers } = this.#context;
    // Four random bytes and four that count: unique within a life by the counter, across lives by the start.
    prng.fill(this.#rumorId);
    if (config.gossipIntervalMs === 0 || config.gossipNodes === 0) return;
    this.#tickMs = nowMs + 1 + prng.below(config.gossipIntervalMs);
    this.#isTickScheduled = true;
    timers.schedule(this.#tickMs, TIMER.gossipTick, 0);
  }

  /** Gives news to a few random members, so much too late. Where there is none the ticks stop until there is some: most members have none most of the time. */
  gossipTick(nowMs: number, lateMs: number): void {
    const { config, kernels, roster, timers } = this.#context;
    if (this.canWait(nowMs) && this.#shedding.sheds(lateMs)) {
      this.#tickMs = nowMs + config.gossipIntervalMs;
      timers.schedule(this.#tickMs, TIMER.gossipTick, 0);
      return;
    }
    const isHurried = this.#slices?.isHeadless(nowMs) === true;
    if (isHurried && !this.#wasHurried) this.#repeatDeaths(nowMs);
    this.#wasHurried = isHurried;
    this.#tickMs = nowMs + (isHurried ? Math.ceil(config.gossipIntervalMs / HURRY) : config.gossipIntervalMs);
    this.#isTickScheduled = this.#staged > 0 || kernels.queue.u32[HEADER.live >>> 2] !== 0;
    if (!this.#isTickScheduled) return;
    timers.schedule(this.#tickMs, TIMER.gossipTick, 0);
    // Half of the members may be dead: what is sent to them is lost.
    const mask = isHurried ? PICK.alive | PICK.suspect : PICK.alive | PICK.suspect | PICK.dead;
    // News that all were told needs no more than a little repair.
    const nodes = this.#isRepair(nowMs) ? 1 : config.gossipNodes;
    const picked = kernels.table.sample(nowMs, nodes, mask, config.gossipToTheDeadMs, -1);
    for (let i = 0; i < picked; i++) {
      const slot = kernels.table.u32[(kernels.table.picksOffset >>> 2) + i] as number;
      if (roster.hasAddress(slot)) this.#outbox?.gossip(roster.address(slot), this.sendFlags(slot));
    }
  }

  /** All that waits was told to everybody by leaders: it is gossiped for those whom that did not reach. */
  #isRepair(nowMs: number): boolean {
    return nowMs >= this.#untoldUntilMs;
  }

  /** What waits are deaths that leaders told: who missed one can learn of it later. Who misses a refutation declares somebody dead. */
  canWait(nowMs: number): boolean {
    return this.#isRepair(nowMs) && nowMs >= this.#defendedUntilMs;
  }

  /** True when we are one of those who are told of a suspicion before all others, to tell the accused. */
  get isHerald(): boolean {
    return this.#context.config.urgentNews && this.#slices?.isLeader() === true;
  }

  /** Tells a member itself that `from` suspects it, so that its refutation is on its way before anybody else hears of it. */
  tellSuspect(slot: number, incarnation: number, from: Uint8Array): void {
    const { roster } = this.#context;
    const outbox = this.#outbox as Outbox;
    outbox.reserve(NEWS_BYTES_MAX);
    const end = encodeSuspect(outbox.bytes, outbox.top, { incarnation, node: roster.nameBytes(slot), from });
    outbox.commit(end, roster.address(slot), this.sendFlags(slot) & SEND.crc);
  }

  /** Tells a member itself that we are alive. */
  tellAlive(slot: number): void {
    const { roster } = this.#context;
    const outbox = this.#outbox as Outbox;
    outbox.reserve(NEWS_BYTES_MAX);
    const end = this.encodeOwnAlive(outbox.bytes, outbox.top, roster.incarnation(roster.selfSlot));
    outbox.commit(end, roster.address(slot), this.sendFlags(slot) & SEND.crc);
  }

  /** The first deaths of many were left to leaders that are perhaps among the dead. */
  #repeatDeaths(nowMs: number): void {
    const { roster, self } = this.#context;
    // What half of a cluster gossips while it learns whom it lost reaches nearly all of the rest; exchanges of states find what is left. The first may be with one of the dead.
    this.#exchangesFrom?.(nowMs, COUNTED_MS / 2);
    for (let slot = 0; slot < roster.slotsEnd; slot++) {
      if (!roster.isUsed(slot) || roster.status(slot) !== STATUS.dead) continue;
      if (nowMs - roster.statusSinceMs(slot) > COUNTED_MS) continue;
      this.accusation(MESSAGE.dead, slot, roster.incarnation(slot), self.name, 0);
    }
  }

  /** Who is busy with joining misses some of those who join meanwhile: what it lacks it is told when most are there. */
  #exchangeAfterCrowd(nowMs: number): void {
    if (nowMs < this.#crowdedUntilMs) return;
    this.#crowdedUntilMs = nowMs + COUNTED_MS;
    this.#exchangesFrom?.(nowMs, COUNTED_MS);
  }

  /** A member was made known to us that those who made it known tell of themselves. */
  learned(nowMs: number): void {
    const slices = this.#slices as Slices;
    slices.noteJoin(nowMs);
    if (slices.isCrowded(nowMs)) this.#exchangeAfterCrowd(nowMs);
  }

  /** SEND bits that depend on what a member understands. */
  sendFlags(slot: number): number {
    const { roster } = this.#context;
    return (
      (roster.protocolMax(slot) >= CRC_VERSION ? SEND.crc : 0) |
      ((roster.ext(slot) & EXT.present) !== 0 ? SEND.extended : 0)
    );
  }

  /** Passes on an alive message (or an alive entry of a push/pull) about `slot` as it came, with the newest extension word. */
  relayAlive(codec: PacketCodec, record: number, slot: number): void {
    const { config, kernels, roster, timers } = this.#context;
    if (this.urgency === URGENCY.joinPassedOn && this.#slices?.isLeftToLeaders(timers.nowMs)) {
      this.#exchangeAfterCrowd(timers.nowMs);
      return;
    }
    this.#defend();
    const at = codec.recordsOffset + record * RECORD.stride;
    const vsnLength = Math.min(VSN_BYTES, codec.u8[at + RECORD.vsnLength] as number);
    const port = (codec.u8[at + RECORD.port] as number) | ((codec.u8[at + RECORD.port + 1] as number) << 8);
    const start = this.#open();
    const end = encodeAlive(kernels.queue.u8, start, {
      incarnation: codec.u32[(at + RECORD.number) >>> 2] as number,
      node: roster.nameBytes(slot),
      addr: viewOf(codec, at + RECORD.ipOffset),
      port: port === 0 ? config.address.port : port,
      meta: orNull(viewOf(codec, at + RECORD.dataOffset)),
      vsn: vsnLength === 0 ? null : codec.u8.subarray(at + RECORD.vsn, at + RECORD.vsn + vsnLength),
      ext: roster.ext(slot),
    });
    this.#close(end, roster.nameId(slot), LANE.membership, 0, 0);
  }

  /** Says that we are alive, at our present incarnation. */
  announceSelf(token: number): void {
    const { kernels, roster } = this.#context;
    this.#defend();
    const slot = roster.selfSlot;
    const at = this.#open();
    const end = this.encodeOwnAlive(kernels.queue.u8, at, roster.incarnation(slot));
    this.#close(end, roster.nameId(slot), LANE.membership, token, 0);
  }

  /** An alive message may refute something. */
  #defend(): void {
    const { config, timers } = this.#context;
    this.#defendedUntilMs = timers.nowMs + DEFENDED_SUSPICIONS * config.fastSuspicionMs;
  }

  /** Our alive message at an incarnation. */
  encodeOwnAlive(out: Uint8Array, at: number, incarnation: number): number {
    const { self } = this.#context;
    return encodeAlive(out, at, {
      incarnation,
      node: self.name,
      addr: self.address.ip,
      port: self.address.port,
      meta: orNull(self.meta),
      vsn: self.vsn,
      ext: self.ext,
    });
  }

  /** Passes on that `from` suspects a member, or that it is dead or has left. */
  accusation(kind: number, slot: number, incarnation: number, from: Uint8Array, token: number): void {
    const { kernels, roster } = this.#context;
    const encode = kind === MESSAGE.suspect ? encodeSuspect : encodeDead;
    const at = this.#open();
    const end = encode(kernels.queue.u8, at, { incarnation, node: roster.nameBytes(slot), from });
    this.#close(end, roster.nameId(slot), LANE.membership, token, 0);
  }

  /** Starts a user broadcast. Throws ERR_BROADCAST_TOO_LARGE when it fits no packet. */
  broadcast(payload: Uint8Array): void {
    const { config, kernels, self } = this.#context;
    const origin = self.name.length <= RUMOR_ORIGIN_BYTES_MAX ? self.name : EMPTY;
    const prefix = config.extensions ? rumorPrefixBytes(origin.length) : 1;
    const limit = Math.min(BLOCK_BYTES_MAX, largestNews(config.udpBufferBytes, this.#overheadBytes())) - prefix;
    if (payload.length > limit) {
      throw new HearsayError(
        'ERR_BROADCAST_TOO_LARGE',
        `payload: expected at most ${limit} bytes so that it fits one packet of ${config.udpBufferBytes}, got ${payload.length}`,
      );
    }
    if (!config.extensions) {
      const at = this.#open();
      this.#close(writePlain(kernels.queue.u8, at, payload), 0, LANE.user, 0, 0);
      return;
    }
    this.#nextRumorId();
    this.#seen.add(rumorKey(this.#rumorId, origin));
    const at = this.#open();
    const end = encodeRumor(kernels.queue.u8, at, { id: this.#rumorId, origin, payload });
    this.#close(end, 0, LANE.user, 0, prefix);
  }

  /** A rumor arrived: undefined when it is old news or broken, else who started it and what it says; it is passed on then. */
  takeRumor(codec: PacketCodec, record: number): { from: string; payload: Uint8Array } | undefined {
    const { kernels, stats } = this.#context;
    const at = codec.recordsOffset + record * RECORD.stride;
    const offset = codec.u32[(at + RECORD.dataOffset) >>> 2] as number;
    const length = codec.u32[(at + RECORD.dataLength) >>> 2] as number;
    // The byte before the data is the type byte, also inside a compound.
    const rumor = offset === 0 ? -1 : parseRumor(codec.u8, offset - 1, offset + length);
    if (typeof rumor === 'number') {
      countReject(stats, REJECT.truncated);
      return undefined;
    }
    stats.rumorsReceived++;
    if (!this.#seen.add(rumorKey(rumor.id, rumor.origin))) {
      stats.rumorsDuplicate++;
      return undefined;
    }
    if (length + 1 <= BLOCK_BYTES_MAX) {
      const start = this.#open();
      const end = encodeRumor(kernels.queue.u8, start, rumor);
      this.#close(end, 0, LANE.user, 0, rumorPrefixBytes(rumor.origin.length));
    }
    return { from: textOf(rumor.origin), payload: rumor.payload.slice() };
  }

  /** Queues what is staged. One crossing per turn, more only when the section was full. */
  flush(): void {
    if (this.#staged === 0) return;
    const { kernels, stats } = this.#context;
    this.#makeRoom();
    stats.broadcastsQueued += kernels.queue.enqueue(this.#staged);
    this.#staged = 0;
    this.#inTop = 0;
    this.collectFinished();
  }

  /** Reports the tokens that the last call of the queue finished. */
  collectFinished(): void {
    const { queue } = this.#context.kernels;
    const count = queue.u32[QUEUE.finishedCount >>> 2] as number;
    for (let i = 0; i < count; i++) this.#onFinished(queue.u32[(queue.finishedOffset >>> 2) + i] as number);
  }

  /** Lets the queue follow the size of the cluster, so that a join does not push out its own news; within a bound. */
  #makeRoom(): void {
    const { kernels, roster } = this.#context;
    const { queue } = kernels;
    const word = (offset: number): number => queue.u32[offset >>> 2] as number;
    const entries = word(HEADER.live) + this.#staged;
    const bytes = word(QUEUE.laneBytes0) + word(QUEUE.laneBytes1) + this.#inTop;
    const heapBytes = word(QUEUE.heapBytes);
    // The queue uses three quarters of its heap, see its layout.
    if (entries <= queue.capacity && bytes <= heapBytes - (heapBytes >>> 2)) return;
    const capacityMax = Math.min(ENTRIES_MAX, Math.max(queue.capacity, 2 * roster.count));
    const capacity = entries <= queue.capacity ? queue.capacity : Math.min(capacityMax, 2 * entries);
    const heap = Math.min(Math.max(heapBytes, capacityMax * ENTRY_BYTES), Math.max(heapBytes, 2 * bytes));
    if (capacity <= queue.capacity && heap <= heapBytes) return;
    queue.rehome(grownBroadcastQueueArena(queue.arena, { capacity, heapBytes: (heap + 7) & ~7 }));
  }

  /** Where the next piece of news is to be encoded, into the queue's bytes; #close() follows. */
  #open(): number {
    const { queue } = this.#context.kernels;
    const itemCapacity = queue.u32[QUEUE.inItemCapacity >>> 2] as number;
    if (this.#staged >= itemCapacity || this.#inTop + BLOCK_BYTES_MAX > queue.inBytes) this.flush();
    return queue.inOffset + this.#inTop;
  }

  /** Stages what was encoded from #open() to `end`. */
  #close(end: number, key: number, lane: number, token: number, prefix: number): void {
    const { config, kernels, timers } = this.#context;
    const { queue } = kernels;
    const start = queue.inOffset + this.#inTop;
    let transmits = 0;
    if (lane === LANE.membership && this.urgency !== URGENCY.none) {
      const slices = this.#slices as Slices;
      transmits = slices.tell(timers.nowMs, this.urgency, queue.u8, start, end);
      if (slices.isCrowded(timers.nowMs)) this.#exchangeAfterCrowd(timers.nowMs);
    }
    if (transmits === 0) this.#untoldUntilMs = timers.nowMs + UNTOLD_TICKS * config.gossipIntervalMs;
    const item = (queue.itemsOffset + this.#staged * QUEUE_ITEM.stride) >>> 2;
    queue.u32[item + (QUEUE_ITEM.key >>> 2)] = key;
    queue.u32[item + (QUEUE_ITEM.offset >>> 2)] = this.#inTop;
    queue.u32[item + (QUEUE_ITEM.length >>> 2)] = end - start;
    queue.u32[item + (QUEUE_ITEM.token >>> 2)] = token;
    queue.u32[item + (QUEUE_ITEM.prefix >>> 2)] = prefix;
    queue.u32[item + (QUEUE_ITEM.lane >>> 2)] = lane | (transmits << 16);
    this.#inTop += end - start;
    this.#staged++;
    if (!this.#isTickScheduled) this.#resumeTicks();
  }

  /** Goes on with the gossip ticks, at the times at which they would have been. */
  #resumeTicks(): void {
    const { config, timers } = this.#context;
    if (Number.isNaN(this.#tickMs)) return;
    const missed = Math.ceil((timers.nowMs - this.#tickMs) / config.gossipIntervalMs);
    if (missed > 0) this.#tickMs += missed * config.gossipIntervalMs;
    this.#isTickScheduled = true;
    timers.schedule(this.#tickMs, TIMER.gossipTick, 0);
  }

  #nextRumorId(): void {
    const id = this.#rumorId;
    for (let i = id.length - 1; i >= 4; i--) {
      id[i] = ((id[i] as number) + 1) & 255;
      if (id[i] !== 0) return;
    }
  }
}

/** Bytes named by an (offset, length) pair of a record. */
export function viewOf(codec: PacketCodec, span: number): Uint8Array {
  const offset = codec.u32[span >>> 2] as number;
  return codec.u8.subarray(offset, offset + (codec.u32[(span >>> 2) + 1] as number));
}

function orNull(bytes: Uint8Array): Uint8Array | null {
  return bytes.length === 0 ? null : bytes;
}

function writePlain(out: Uint8Array, at: number, payload: Uint8Array): number {
  out[at] = MESSAGE.user;
  out.set(payload, at + 1);
  return at + 1 + payload.length;
}

/** Ids of different origins never meet, so members with equal seeds do not silence each other. */
function rumorKey(id: Uint8Array, origin: Uint8Array): string {
  let key = '';
  for (const byte of id) key += String.fromCharCode(byte);
  for (const byte of origin) key += String.fromCharCode(byte);
  return key;
}
