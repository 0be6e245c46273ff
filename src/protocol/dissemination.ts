import { grownBroadcastQueueArena } from '../kernels/arenas/broadcast-queue.ts';
import { EXT, LANE, MESSAGE, type PacketCodec, PICK, REJECT } from '../kernels/contract.ts';
import { BLOCK_BYTES_MAX, HEADER, QUEUE, QUEUE_ITEM, RECORD } from '../kernels/layout.ts';
import { textOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { encodeAlive, encodeDead, encodeSuspect } from '../wire/messages.ts';
import { encodeRumor, parseRumor, RUMOR_ID_BYTES, RUMOR_ORIGIN_BYTES_MAX, rumorPrefixBytes } from '../wire/rumor.ts';
import type { Context } from './context.ts';
import { largestNews, type Outbox, SEND } from './outbox.ts';
import { SeenSet } from './seen-set.ts';
import { countReject } from './stats.ts';
import { TIMER } from './timers.ts';

/** Pause between two eager pushes, ms: many members that fail together are told together. */
const EAGER_PAUSE_MS = 20;
/** While news keeps coming the pause doubles up to this: many failures are told in fewer packets. */
const EAGER_PAUSE_MAX_MS = 40;
/** Peers from this protocol version on check a CRC (protocol §16). */
const CRC_VERSION = 5;
const VSN_BYTES = 6;
/** Most broadcasts that wait at once, and the room that each counts for on average. */
const ENTRIES_MAX = 8192;
const ENTRY_BYTES = 256;
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
  #staged = 0;
  #inTop = 0;
  #pushToken = 0;
  #pauseMs: number = EAGER_PAUSE_MS;
  #isPushWaiting = false;
  /** When the next gossip tick is due, or was at the latest; NaN when there is no gossip. */
  #tickMs = Number.NaN;
  #isTickScheduled = false;

  /** `onFinished` hears of broadcasts with a token that were sent often enough, replaced or evicted. */
  constructor(context: Context, overheadBytes: () => number, onFinished: (token: number) => void) {
    this.#context = context;
    this.#overheadBytes = overheadBytes;
    this.#onFinished = onFinished;
    this.#seen = new SeenSet(context.config.seenRumorsMax);
  }

  attach(outbox: Outbox): void {
    this.#outbox = outbox;
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

  /** Gives news to a few random members. Where there is none the ticks stop until there is some: most members have none most of the time. */
  gossipTick(nowMs: number): void {
    const { config, kernels, roster, timers } = this.#context;
    this.#tickMs = nowMs + config.gossipIntervalMs;
    this.#isTickScheduled = this.#staged > 0 || kernels.queue.u32[HEADER.live >>> 2] !== 0;
    if (!this.#isTickScheduled) return;
    timers.schedule(this.#tickMs, TIMER.gossipTick, 0);
    const mask = PICK.alive | PICK.suspect | PICK.dead;
    const picked = kernels.table.sample(nowMs, config.gossipNodes, mask, config.gossipToTheDeadMs, -1);
    for (let i = 0; i < picked; i++) {
      const slot = kernels.table.u32[(kernels.table.picksOffset >>> 2) + i] as number;
      if (roster.hasAddress(slot)) this.#outbox?.gossip(roster.address(slot), this.sendFlags(slot));
    }
  }

  /**
   * Gives news to `eagerFanout` random members at once, without waiting for the tick; what comes within the pause after that goes together. Called on first sight of the news, so
   * it runs through the cluster in some hops of a millisecond.
   */
  push(nowMs: number): void {
    const { config, kernels, roster, stats, timers } = this.#context;
    if (config.eagerFanout === 0) return;
    if (this.#pushToken !== 0) {
      this.#isPushWaiting = true;
      return;
    }
    this.#isPushWaiting = false;
    this.#pushToken = timers.schedule(nowMs + this.#pauseMs, TIMER.eagerPush, 0);
    const picked = kernels.table.sample(nowMs, config.eagerFanout, PICK.alive | PICK.suspect, 0, -1);
    for (let i = 0; i < picked; i++) {
      const slot = kernels.table.u32[(kernels.table.picksOffset >>> 2) + i] as number;
      if (!roster.hasAddress(slot)) continue;
      stats.eagerPackets++;
      this.#outbox?.gossip(roster.address(slot), this.sendFlags(slot));
    }
  }

  /** The pause after a push is over. */
  pushTick(nowMs: number): void {
    this.#pushToken = 0;
    this.#pauseMs = this.#isPushWaiting ? Math.min(2 * this.#pauseMs, EAGER_PAUSE_MAX_MS) : EAGER_PAUSE_MS;
    if (this.#isPushWaiting) this.push(nowMs);
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
    const { config, roster } = this.#context;
    const at = codec.recordsOffset + record * RECORD.stride;
    const vsnLength = Math.min(VSN_BYTES, codec.u8[at + RECORD.vsnLength] as number);
    const port = (codec.u8[at + RECORD.port] as number) | ((codec.u8[at + RECORD.port + 1] as number) << 8);
    this.#stage(roster.nameId(slot), LANE.membership, 0, 0, (out, to) =>
      encodeAlive(out, to, {
        incarnation: codec.u32[(at + RECORD.number) >>> 2] as number,
        node: roster.nameBytes(slot),
        addr: viewOf(codec, at + RECORD.ipOffset),
        port: port === 0 ? config.address.port : port,
        meta: orNull(viewOf(codec, at + RECORD.dataOffset)),
        vsn: vsnLength === 0 ? null : codec.u8.subarray(at + RECORD.vsn, at + RECORD.vsn + vsnLength),
        ext: roster.ext(slot),
      }),
    );
  }

  /** Says that we are alive, at our present incarnation. */
  announceSelf(token: number): void {
    const { roster } = this.#context;
    const slot = roster.selfSlot;
    this.#stage(roster.nameId(slot), LANE.membership, token, 0, (out, to) =>
      this.encodeOwnAlive(out, to, roster.incarnation(slot)),
    );
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
    const { roster } = this.#context;
    const encode = kind === MESSAGE.suspect ? encodeSuspect : encodeDead;
    this.#stage(roster.nameId(slot), LANE.membership, token, 0, (out, to) =>
      encode(out, to, { incarnation, node: roster.nameBytes(slot), from }),
    );
  }

  /** Starts a user broadcast. Throws ERR_BROADCAST_TOO_LARGE when it fits no packet. */
  broadcast(payload: Uint8Array): void {
    const { config, self } = this.#context;
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
      this.#stage(0, LANE.user, 0, 0, (out, to) => writePlain(out, to, payload));
      return;
    }
    this.#nextRumorId();
    this.#seen.add(rumorKey(this.#rumorId, origin));
    this.#stage(0, LANE.user, 0, prefix, (out, to) => encodeRumor(out, to, { id: this.#rumorId, origin, payload }));
  }

  /** A rumor arrived: undefined when it is old news or broken, else who started it and what it says; it is passed on then. */
  takeRumor(codec: PacketCodec, record: number): { from: string; payload: Uint8Array } | undefined {
    const { stats } = this.#context;
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
      this.#stage(0, LANE.user, 0, rumorPrefixBytes(rumor.origin.length), (out, to) => encodeRumor(out, to, rumor));
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

  #stage(
    key: number,
    lane: number,
    token: number,
    prefix: number,
    encode: (out: Uint8Array, at: number) => number,
  ): void {
    const { queue } = this.#context.kernels;
    const itemCapacity = queue.u32[QUEUE.inItemCapacity >>> 2] as number;
    if (this.#staged >= itemCapacity || this.#inTop + BLOCK_BYTES_MAX > queue.inBytes) this.flush();
    const start = queue.inOffset + this.#inTop;
    const end = encode(queue.u8, start);
    const item = (queue.itemsOffset + this.#staged * QUEUE_ITEM.stride) >>> 2;
    queue.u32[item + (QUEUE_ITEM.key >>> 2)] = key;
    queue.u32[item + (QUEUE_ITEM.offset >>> 2)] = this.#inTop;
    queue.u32[item + (QUEUE_ITEM.length >>> 2)] = end - start;
    queue.u32[item + (QUEUE_ITEM.token >>> 2)] = token;
    queue.u32[item + (QUEUE_ITEM.prefix >>> 2)] = prefix;
    queue.u32[item + (QUEUE_ITEM.lane >>> 2)] = lane;
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
