import { MESSAGE, STATUS } from '../kernels/contract.ts';
import { encodePing } from '../wire/messages.ts';
import type { Context } from './context.ts';
import type { Dissemination } from './dissemination.ts';
import type { Membership } from './membership.ts';
import { type Outbox, SEND } from './outbox.ts';
import { ArrivalWindow, phiNormal } from './phi.ts';
import { PING_BYTES_MAX } from './prober.ts';
import type { Sequences, Waiting } from './sequences.ts';
import { TIMER } from './timers.ts';

/** Members that each one watches: the next ones on a ring of hashed names (Akka watches as many). */
export const PHI_WATCHED = 9;
/** A silence of so many periods more than usual is forgiven before phi begins to grow (Akka's acceptable pause: 3 s of 1 s heartbeats). */
const PAUSE_PERIODS = 3;
/** Intervals are never taken for more regular than this share of a period (Akka: 100 ms of 1 s). */
const SD_SHARE = 0.1;

/** A member under watch. */
class Watch implements Waiting {
  readonly monitor: PhiMonitor;
  readonly slot: number;
  readonly nameId: number;
  readonly window: ArrivalWindow;
  /** The ping of this period. */
  seqNo = 0;
  /** The tick in which the member was last on the ring. */
  seenTick = 0;

  constructor(monitor: PhiMonitor, slot: number, nameId: number, window: ArrivalWindow) {
    this.monitor = monitor;
    this.slot = slot;
    this.nameId = nameId;
    this.window = window;
  }

  onAck(nowMs: number, ext: number): void {
    this.monitor.acked(nowMs, this, ext);
  }

  onNack(): void {}
}

/**
 * The other failure detector (protocol §23): with `phiThreshold` above 0 it takes the place of SWIM's probes. Each period it pings up to nine members, always
 * the same ones while the membership stays; acks are their heartbeats. A member whose phi passes the threshold is declared dead at once, without a suspicion: the threshold
 * is the patience. Everything else, refuting included, is as with SWIM.
 */
export class PhiMonitor {
  readonly #context: Context;
  readonly #membership: Membership;
  readonly #news: Dissemination;
  readonly #outbox: Outbox;
  readonly #sequences: Sequences;
  /** By name id. */
  readonly #watches = new Map<number, Watch>();
  /** Places on the ring by name id. */
  readonly #places = new Map<number, number>();
  #tick = 0;
  /** Members reaped when #places was last emptied. */
  #reaped = 0;

  constructor(context: Context, membership: Membership, news: Dissemination, outbox: Outbox, sequences: Sequences) {
    this.#context = context;
    this.#membership = membership;
    this.#news = news;
    this.#outbox = outbox;
    this.#sequences = sequences;
  }

  get watched(): number {
    return this.#watches.size;
  }

  /** How sure this member is that another one is gone; undefined when it does not watch it. */
  phi(nowMs: number, name: string): number | undefined {
    for (const watch of this.#watches.values()) {
      if (this.#context.roster.name(watch.slot) === name) return this.#phi(nowMs, watch);
    }
    return undefined;
  }

  /** A period begins; `lateMs` after it should have. */
  tick(nowMs: number, lateMs: number): void {
    const { config, roster, stats, timers } = this.#context;
    timers.schedule(nowMs + config.probeIntervalMs, TIMER.probeTick, 0);
    // The walk is not followed, but at its end the dead are reaped.
    this.#membership.nextProbe(nowMs);
    this.#tick++;
    // Ids of names are used again once their members are reaped.
    if (stats.membersReaped !== this.#reaped) this.#places.clear();
    this.#reaped = stats.membersReaped;
    const ring = this.#ring();
    for (const slot of ring) {
      const nameId = roster.nameId(slot);
      let watch = this.#watches.get(nameId);
      if (watch?.slot !== slot) {
        if (watch) this.#sequences.release(watch.seqNo);
        watch = new Watch(this, slot, nameId, new ArrivalWindow(nowMs, config.probeIntervalMs));
        this.#watches.set(nameId, watch);
      }
      watch.seenTick = this.#tick;
      // Who slept, or was not scheduled, has acks lying unread (Cassandra's local pause).
      if (lateMs > config.probeIntervalMs) watch.window.excuse(lateMs);
      if (this.#phi(nowMs, watch) >= config.phiThreshold) this.#convict(nowMs, watch);
      else this.#ping(watch);
    }
    if (lateMs > config.probeIntervalMs) stats.verdictsDeferred++;
    for (const watch of this.#watches.values()) if (watch.seenTick !== this.#tick) this.#forget(watch);
  }

  acked(nowMs: number, watch: Watch, ext: number): void {
    const { config, roster, stats } = this.#context;
    this.#sequences.release(watch.seqNo);
    watch.seqNo = 0;
    stats.probesAcked++;
    if (roster.nameId(watch.slot) !== watch.nameId) return;
    if (ext !== 0) this.#membership.noteExt(nowMs, watch.slot, ext);
    watch.window.heartbeat(nowMs, (1 + PAUSE_PERIODS) * config.probeIntervalMs);
  }

  #phi(nowMs: number, { window }: Watch): number {
    const { probeIntervalMs } = this.#context.config;
    const sdMs = Math.max(window.sdMs, SD_SHARE * probeIntervalMs);
    return phiNormal(window.silenceMs(nowMs), window.meanMs + PAUSE_PERIODS * probeIntervalMs, sdMs);
  }

  #convict(nowMs: number, watch: Watch): void {
    const { roster, stats } = this.#context;
    stats.probesFailed++;
    this.#forget(watch);
    this.#membership.accuse(nowMs, watch.slot, MESSAGE.dead, roster.incarnation(watch.slot));
  }

  #forget(watch: Watch): void {
    if (watch.seqNo !== 0) this.#sequences.release(watch.seqNo);
    this.#watches.delete(watch.nameId);
  }

  #ping(watch: Watch): void {
    const { roster, self, stats } = this.#context;
    // An ack that comes after the next ping is none: it would count a heartbeat late.
    if (watch.seqNo !== 0) this.#sequences.release(watch.seqNo);
    watch.seqNo = this.#sequences.take(watch);
    stats.probesSent++;
    const outbox = this.#outbox;
    outbox.reserve(PING_BYTES_MAX);
    const end = encodePing(outbox.bytes, outbox.top, {
      seqNo: watch.seqNo,
      node: roster.nameBytes(watch.slot),
      sourceAddr: self.address.ip,
      sourcePort: self.address.port,
      sourceNode: self.name,
      ext: self.ext,
    });
    outbox.commit(end, roster.address(watch.slot), SEND.piggyback | (this.#news.sendFlags(watch.slot) & SEND.extended));
  }

  /** The members that follow us on the ring, nearest first. */
  #ring(): number[] {
    const { roster } = this.#context;
    const own = this.#place(roster.selfSlot);
    const nearest: { readonly slot: number; readonly distance: number }[] = [];
    for (const slot of roster.slots()) {
      if (roster.isSelf(slot) || roster.status(slot) > STATUS.suspect || !roster.hasAddress(slot)) continue;
      const distance = (this.#place(slot) - own) >>> 0;
      const last = nearest.at(-1);
      if (nearest.length === PHI_WATCHED && last && distance >= last.distance) continue;
      let at = nearest.length;
      while (at > 0 && (nearest[at - 1] as (typeof nearest)[number]).distance > distance) at--;
      nearest.splice(at, 0, { slot, distance });
      if (nearest.length > PHI_WATCHED) nearest.pop();
    }
    return nearest.map(({ slot }) => slot);
  }

  /** FNV-1a of the name, mixed: the same for everybody. */
  #place(slot: number): number {
    const { roster } = this.#context;
    const nameId = roster.nameId(slot);
    const known = this.#places.get(nameId);
    if (known !== undefined) return known;
    const hash = roster.ringPosition(slot);
    this.#places.set(nameId, hash);
    return hash;
  }
}
