import { EXT, MESSAGE, PICK, STATUS } from '../kernels/contract.ts';
import { encodeIndirectPing, encodePing, encodeSuspect } from '../wire/messages.ts';
import type { Context } from './context.ts';
import type { Dissemination } from './dissemination.ts';
import { scaledProbeIntervalMs } from './math.ts';
import type { Membership } from './membership.ts';
import { type Outbox, SEND } from './outbox.ts';
import { PING_BYTES_MAX } from './prober.ts';
import { ringDistance, ringPosition } from './ring.ts';
import { RoundTrips } from './round-trips.ts';
import type { Sequences, Waiting } from './sequences.ts';
import { TIMER, type Timer } from './timers.ts';

/** After the first timeout, so many more until the verdict: an indirect ping takes two round trips. */
const INDIRECT_TIMEOUTS = 1.5;
/** Members on the way to the next one that are probed at once, when one after the other turns out to be dead. */
const WALK_MAX = 8;

class RingProbe implements Waiting {
  readonly prober: RingProber;
  readonly slot: number;
  readonly nameId: number;
  readonly incarnation: number;
  readonly startMs: number;
  seqNo = 0;
  timeoutToken = 0;
  endToken = 0;
  relaysAsked = 0;
  nacks = 0;

  constructor(prober: RingProber, slot: number, nameId: number, incarnation: number, nowMs: number) {
    this.prober = prober;
    this.slot = slot;
    this.nameId = nameId;
    this.incarnation = incarnation;
    this.startMs = nowMs;
  }

  onAck(nowMs: number, ext: number): void {
    this.prober.acked(nowMs, this, ext);
  }

  onNack(): void {
    this.nacks++;
  }
}

/**
 * The second probe of the fast profile (protocol §24): every `ringIntervalMs` each member probes its successor on a ring of all members that announced EXT.fast, so a dead one is
 * found within one interval, and not only on average (SWIM's random order needs 4.6 intervals for 99 %). The random walk of the Prober goes on beside it and keeps SWIM's
 * guarantees; towards members that did not announce it there is nothing else.
 *
 * A probe: ping; no ack after a timeout that follows the round trips: ask others and ping once more; no ack after 1.5 more timeouts: suspect, unless no other answered either, which is
 * taken for a fault of our own (Lifeguard). A successor that is no longer alive is walked past at once.
 */
export class RingProber {
  readonly #context: Context;
  readonly #membership: Membership;
  readonly #news: Dissemination;
  readonly #outbox: Outbox;
  readonly #sequences: Sequences;
  readonly #trips = new RoundTrips();
  readonly #probes = new Map<number, RingProbe>();
  readonly #position: number;
  /** Slot and name of the successor, -1 = none is known. */
  #successor = -1;
  #successorName = 0;
  #distance = Number.POSITIVE_INFINITY;
  /** The successor is to be searched for among all members. */
  #isStale = true;
  #walked = 0;
  #walkToken = 0;

  constructor(context: Context, membership: Membership, news: Dissemination, outbox: Outbox, sequences: Sequences) {
    this.#context = context;
    this.#membership = membership;
    this.#news = news;
    this.#outbox = outbox;
    this.#sequences = sequences;
    this.#position = ringPosition(context.self.name);
  }

  /** Probes under way. */
  get inFlight(): number {
    return this.#probes.size;
  }

  start(nowMs: number): void {
    const { config, prng, self, timers } = this.#context;
    if ((self.ext & EXT.fast) === 0) return;
    timers.schedule(nowMs + 1 + prng.below(config.ringIntervalMs), TIMER.ringTick, 0);
  }

  tick(nowMs: number): void {
    const { awareness, config, timers } = this.#context;
    timers.schedule(nowMs + scaledProbeIntervalMs(config.ringIntervalMs, awareness.score), TIMER.ringTick, 0);
    this.#walked = 0;
    this.#probeSuccessor(nowMs);
  }

  /** Goes on to the next one between two ticks. */
  walk(nowMs: number): void {
    this.#walkToken = 0;
    this.#walked++;
    this.#probeSuccessor(nowMs);
  }

  /** Something about this member changed: is it the successor now, or no longer? */
  changed(nowMs: number, slot: number): void {
    if (slot === this.#successor) {
      if (this.#isEligible(slot) && this.#context.roster.nameId(slot) === this.#successorName) return;
      this.#forget();
      const { self, timers } = this.#context;
      if ((self.ext & EXT.fast) !== 0 && this.#walked < WALK_MAX && this.#walkToken === 0)
        this.#walkToken = timers.schedule(nowMs, TIMER.ringWalk, 0);
      return;
    }
    if (this.#isStale || !this.#isEligible(slot)) return;
    this.#consider(slot);
  }

  acked(nowMs: number, probe: RingProbe, ext: number): void {
    const { awareness, roster, stats } = this.#context;
    stats.ringProbesAcked++;
    if (probe.relaysAsked === 0) this.#trips.add(nowMs - probe.startMs);
    awareness.apply(-1);
    if (ext !== 0 && roster.nameId(probe.slot) === probe.nameId) this.#membership.noteExt(nowMs, probe.slot, ext);
    this.#end(probe);
  }

  /** No direct ack in time. */
  timedOut(nowMs: number, timer: Timer): void {
    const probe = this.#probes.get(timer.subject);
    if (probe === undefined) return;
    const { config, kernels, roster, self } = this.#context;
    if (!this.#isSame(probe)) return;
    this.#ping(probe);
    const target = roster.address(probe.slot);
    const { table } = kernels;
    const picked = table.sample(nowMs, config.indirectChecks, PICK.alive, 0, probe.slot);
    for (let i = 0; i < picked; i++) {
      const slot = table.u32[(table.picksOffset >>> 2) + i] as number;
      if (!roster.hasAddress(slot)) continue;
      // Only who also has the profile says in time that it hears nothing.
      const isFast = (roster.ext(slot) & EXT.fast) !== 0;
      if (isFast) probe.relaysAsked++;
      this.#outbox.reserve(PING_BYTES_MAX);
      const end = encodeIndirectPing(this.#outbox.bytes, this.#outbox.top, {
        seqNo: probe.seqNo,
        target: target.ip,
        port: target.port,
        node: roster.nameBytes(probe.slot),
        nack: isFast,
        sourceAddr: self.address.ip,
        sourcePort: self.address.port,
        sourceNode: self.name,
      });
      this.#outbox.commit(end, roster.address(slot), SEND.piggyback | (this.#news.sendFlags(slot) & SEND.extended));
    }
  }

  /** The probe is over and nobody heard of the member. */
  ended(nowMs: number, timer: Timer): void {
    const probe = this.#probes.get(timer.subject);
    if (probe === undefined) return;
    const { awareness, stats } = this.#context;
    this.#end(probe);
    if (!this.#isSame(probe)) return;
    if (probe.relaysAsked > 0 && probe.nacks === 0) {
      // Nobody at all answered: more likely it is us.
      stats.ringProbesDoubted++;
      awareness.apply(1);
      return;
    }
    stats.ringProbesFailed++;
    this.#tellSuspect(probe);
    this.#membership.accuse(nowMs, probe.slot, MESSAGE.suspect, probe.incarnation);
  }

  #probeSuccessor(nowMs: number): void {
    const { config, roster, stats, timers } = this.#context;
    if (this.#isStale) this.#search();
    const slot = this.#successor;
    if (slot < 0) return;
    for (const probe of this.#probes.values()) if (probe.slot === slot) return;
    const probe = new RingProbe(this, slot, this.#successorName, roster.incarnation(slot), nowMs);
    probe.seqNo = this.#sequences.take(probe);
    this.#probes.set(probe.seqNo, probe);
    const timeoutMs = this.#trips.timeoutMs(config.ringTimeoutMs);
    probe.timeoutToken = timers.schedule(nowMs + timeoutMs, TIMER.ringTimeout, probe.seqNo);
    probe.endToken = timers.schedule(
      nowMs + Math.ceil(timeoutMs * (1 + INDIRECT_TIMEOUTS)),
      TIMER.ringEnd,
      probe.seqNo,
    );
    stats.ringProbesSent++;
    this.#ping(probe);
  }

  #ping(probe: RingProbe): void {
    const { roster, self } = this.#context;
    this.#outbox.reserve(PING_BYTES_MAX);
    const end = encodePing(this.#outbox.bytes, this.#outbox.top, {
      seqNo: probe.seqNo,
      node: roster.nameBytes(probe.slot),
      sourceAddr: self.address.ip,
      sourcePort: self.address.port,
      sourceNode: self.name,
      ext: self.ext,
    });
    this.#outbox.commit(end, roster.address(probe.slot), SEND.piggyback | SEND.extended);
  }

  /** Who is accused hears it first, from the accuser: its refutation is on its way while the accusation still spreads. */
  #tellSuspect({ slot, incarnation }: RingProbe): void {
    const { roster, self } = this.#context;
    this.#outbox.reserve(PING_BYTES_MAX);
    const end = encodeSuspect(this.#outbox.bytes, this.#outbox.top, {
      incarnation,
      node: roster.nameBytes(slot),
      from: self.name,
    });
    this.#outbox.commit(end, roster.address(slot), this.#news.sendFlags(slot) & SEND.crc);
  }

  #end(probe: RingProbe): void {
    const { timers } = this.#context;
    timers.cancel(probe.timeoutToken);
    timers.cancel(probe.endToken);
    this.#sequences.release(probe.seqNo);
    this.#probes.delete(probe.seqNo);
  }

  /** Still the member that was probed, and still alive for us. */
  #isSame({ slot, nameId, incarnation }: RingProbe): boolean {
    const { roster } = this.#context;
    return (
      roster.nameId(slot) === nameId && roster.status(slot) === STATUS.alive && roster.incarnation(slot) === incarnation
    );
  }

  #isEligible(slot: number): boolean {
    const { roster } = this.#context;
    return (
      roster.isUsed(slot) &&
      roster.status(slot) === STATUS.alive &&
      (roster.ext(slot) & EXT.fast) !== 0 &&
      !roster.isSelf(slot) &&
      roster.hasAddress(slot)
    );
  }

  #forget(): void {
    this.#successor = -1;
    this.#successorName = 0;
    this.#distance = Number.POSITIVE_INFINITY;
    this.#isStale = true;
  }

  /** Looks at all members: needed at the start, and when the successor is gone, which for each death is the case at one member. */
  #search(): void {
    const { roster } = this.#context;
    this.#forget();
    this.#isStale = false;
    for (let i = 0; i < roster.count; i++) {
      const slot = roster.slotAt(i);
      if (this.#isEligible(slot)) this.#consider(slot);
    }
  }

  #consider(slot: number): void {
    const { roster } = this.#context;
    const distance = ringDistance(this.#position, ringPosition(roster.nameBytes(slot)));
    if (distance >= this.#distance) return;
    this.#successor = slot;
    this.#successorName = roster.nameId(slot);
    this.#distance = distance;
  }
}
