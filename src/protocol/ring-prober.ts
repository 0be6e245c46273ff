import { EXT, MESSAGE, PICK, STATUS } from '../kernels/contract.ts';
import type { Address } from '../util/address.ts';
import { bytesEqual } from '../util/bytes.ts';
import { encodeIndirectPing, encodePing } from '../wire/messages.ts';
import type { Context } from './context.ts';
import type { Dissemination } from './dissemination.ts';
import { scaledProbeIntervalMs } from './math.ts';
import type { Membership } from './membership.ts';
import { type Outbox, SEND } from './outbox.ts';
import { PING_BYTES_MAX } from './prober.ts';
import { ringDistance, ringPosition } from './ring.ts';
import { RoundTrips } from './round-trips.ts';
import type { Sequences, Waiting } from './sequences.ts';
import { Shedding } from './shedding.ts';
import { TIMER, type Timer } from './timers.ts';

/** After the first timeout, so many more until the verdict: an indirect ping takes two round trips. */
const INDIRECT_TIMEOUTS = 1.5;
/** Members on the way to the next one that are probed at once, when one after the other turns out to be dead. */
const WALK_MAX = 8;
/** A beat is waited for at most so many ring timeouts longer than its interval, however late beats come. */
const LATENESS_TIMEOUTS_MAX = 3;
const LOST_SHARE = 0.8;
/** Sequence number of a ping that nobody is to answer. */
export const BEAT = 0;
/** So many others must have said that they hear nothing of a member either, for a suspicion that only the suspect is told of. */
const WITNESSES = 2;
/** Beats without the repair of what all were told, in a row while timers are late, at most. */
const SHED_BEATS_MAX = 20;

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

/** A beat that comes or goes again and again, byte for byte: its packet when it comes, its message when it goes. */
interface Beat {
  readonly bytes: Uint8Array;
  readonly slot: number;
  readonly nameId: number;
  /** Extension word of whoever it is from. */
  readonly ext: number;
}
interface OwnBeat extends Beat {
  readonly to: Address;
}

/** One of the two neighbours on the ring: slot and name, slot -1 = none is known. */
interface Neighbour {
  slot: number;
  nameId: number;
  distance: number;
}

/**
 * The second way of the fast profile to find failures (protocol §24): all members that announced EXT.fast stand on a ring. Every `ringIntervalMs` each tells its predecessor that it is alive, with a beat, and whoever does not hear
 * its successor in time probes it. So a dead one is found within one interval, and not only on average (SWIM's random order needs 4.6 intervals for 99 %), at half the packets of pings and acks. The random walk of the Prober goes on beside
 * it and keeps SWIM's guarantees; towards members that did not announce it there is nothing else.
 *
 * A probe: ping; no ack after a timeout that follows the round trips: ask others and ping once more; no ack after 1.5 more timeouts: suspect, unless no other answered either, which is
 * taken for a fault of our own (Lifeguard). A successor that is no longer alive is walked past at once. Two members that disagree about who is whose neighbour cost pings instead of beats, nothing else.
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
  readonly #shedding: Shedding;
  /** Whom we watch, and who watches us. */
  readonly #successor: Neighbour = noNeighbour();
  readonly #predecessor: Neighbour = noNeighbour();
  /** The neighbours are to be searched for among all members. */
  #isStale = true;
  /** When the successor was last known to be alive. */
  #heardMs = 0;
  /** When its last beat came, and whose that was; and how late beats come as a rule: where they do, nobody hurries. */
  #beatMs = 0;
  #beatName = 0;
  readonly #lateness = new RoundTrips();
  /** Our beat for the predecessor, and the last one of the successor, until something about them changes. */
  #beatOut: OwnBeat | undefined;
  #beatIn: Beat | undefined;
  #walked = 0;
  #walkToken = 0;

  constructor(context: Context, membership: Membership, news: Dissemination, outbox: Outbox, sequences: Sequences) {
    this.#context = context;
    this.#membership = membership;
    this.#news = news;
    this.#outbox = outbox;
    this.#sequences = sequences;
    this.#shedding = new Shedding(context, SHED_BEATS_MAX);
    this.#position = ringPosition(context.self.name);
  }

  /** Probes under way. */
  get inFlight(): number {
    return this.#probes.size;
  }

  start(nowMs: number): void {
    const { config, prng, self, timers } = this.#context;
    if (!self.isFast) return;
    timers.schedule(nowMs + 1 + prng.below(config.ringIntervalMs), TIMER.ringTick, 0);
    timers.schedule(nowMs + 1 + prng.below(config.ringIntervalMs), TIMER.ringWatch, 0);
  }

  /** Time for a beat, so much too late. */
  tick(nowMs: number, lateMs: number): void {
    const { config, stats, timers } = this.#context;
    timers.schedule(nowMs + config.ringIntervalMs, TIMER.ringTick, 0);
    this.#walked = 0;
    if (this.#isStale) this.#search();
    const { slot } = this.#predecessor;
    if (slot < 0) return;
    stats.ringBeatsSent++;
    // One without news is the same as the one before, which whoever gets it knows without decoding it.
    const isBare = this.#news.canWait(nowMs) && this.#shedding.sheds(lateMs);
    this.#sendBeat(slot, isBare ? SEND.extended : SEND.piggyback | SEND.extended);
  }

  /** Most beats say what the one before said: encoding costs more than all the rest of it. */
  #sendBeat(slot: number, flags: number): void {
    const { roster, self } = this.#context;
    let beat = this.#beatOut;
    if (beat?.slot !== slot || beat.nameId !== roster.nameId(slot) || beat.ext !== self.ext) {
      // First, since it may replace the buffer.
      const end = this.#encodePing(slot, BEAT);
      const bytes = this.#outbox.bytes.slice(this.#outbox.top, end);
      beat = { bytes, slot, nameId: roster.nameId(slot), ext: self.ext, to: roster.address(slot) };
      this.#beatOut = beat;
    }
    this.#outbox.commitKept(beat.bytes, beat.to, flags);
  }

  /** Looks whether the successor was heard. */
  watch(nowMs: number, timer: Timer): void {
    const { awareness, config, timers } = this.#context;
    const graceMs = Math.max(
      Math.ceil(config.ringTimeoutMs / 2),
      Math.min(this.#lateness.timeoutMs(0), config.ringTimeoutMs * LATENESS_TIMEOUTS_MAX),
    );
    const intervalMs = scaledProbeIntervalMs(config.ringIntervalMs, awareness.score);
    const dueMs = this.#heardMs + intervalMs + graceMs;
    if (nowMs < dueMs) {
      timers.schedule(dueMs, TIMER.ringWatch, 0);
    } else if (nowMs - timer.dueMs > graceMs && timer.subject === 0) {
      // We were late ourselves: what the successor sent may lie unread in the socket.
      timers.schedule(nowMs + graceMs, TIMER.ringWatch, 1);
    } else {
      timers.schedule(nowMs + intervalMs, TIMER.ringWatch, 0);
      this.#probeSuccessor(nowMs);
    }
  }

  /** The member in this slot, -1 = unknown, says that it is alive. */
  beat(nowMs: number, from: number): void {
    const { awareness, config, roster, stats } = this.#context;
    stats.ringBeatsReceived++;
    const { slot, nameId } = this.#successor;
    if (slot < 0 || from !== slot || roster.nameId(slot) !== nameId) return;
    const { ringIntervalMs } = config;
    const lateMs = nowMs - this.#beatMs - ringIntervalMs;
    // One that was lost is not late.
    if (this.#beatName === nameId && lateMs < ringIntervalMs * LOST_SHARE) this.#lateness.add(Math.max(0, lateMs));
    this.#beatName = nameId;
    this.#beatMs = nowMs;
    this.#heardMs = nowMs;
    awareness.apply(-1);
  }

  /** The member in this slot sent a beat, with this extension word, as this packet and nothing else in it. */
  remember(slot: number, ext: number, packet: Uint8Array): void {
    const { slot: successor, nameId } = this.#successor;
    if (slot === successor) this.#beatIn = { bytes: packet.slice(), slot, nameId, ext };
  }

  /** True when a packet is the successor's last beat again: what it says is known without decoding it, and changes nothing but the time at which it was heard. */
  isRepeated(packet: Uint8Array): boolean {
    const beat = this.#beatIn;
    if (beat === undefined || !bytesEqual(packet, beat.bytes)) return false;
    const { roster } = this.#context;
    return (
      beat.slot === this.#successor.slot &&
      roster.nameId(beat.slot) === beat.nameId &&
      roster.ext(beat.slot) === beat.ext
    );
  }

  /** isRepeated() was true of a packet. */
  repeated(nowMs: number): void {
    this.beat(nowMs, this.#successor.slot);
  }

  /** Goes on to the next one between two ticks. */
  walk(nowMs: number): void {
    this.#walkToken = 0;
    this.#walked++;
    this.#probeSuccessor(nowMs);
  }

  /** Something about this member changed: is it a neighbour now, or no longer? */
  changed(nowMs: number, slot: number): void {
    const isEligible = this.#isEligible(slot);
    const wasSuccessor = slot === this.#successor.slot;
    if (wasSuccessor || slot === this.#predecessor.slot) {
      this.#beatOut = undefined;
      this.#beatIn = undefined;
      const { nameId } = wasSuccessor ? this.#successor : this.#predecessor;
      if (isEligible && this.#context.roster.nameId(slot) === nameId) return;
      this.forget();
      if (wasSuccessor) this.#walkOn(nowMs);
      return;
    }
    if (!this.#isStale && isEligible && this.#consider(slot)) this.#walkOn(nowMs);
  }

  #walkOn(nowMs: number): void {
    const { self, timers } = this.#context;
    if (self.isFast && this.#walked < WALK_MAX && this.#walkToken === 0)
      this.#walkToken = timers.schedule(nowMs, TIMER.ringWalk, 0);
  }

  acked(nowMs: number, probe: RingProbe, ext: number): void {
    const { awareness, roster, stats } = this.#context;
    stats.ringProbesAcked++;
    if (probe.slot === this.#successor.slot) this.#heardMs = nowMs;
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
    this.#ping(probe.slot, probe.seqNo);
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
    const isWitnessed = probe.nacks >= WITNESSES;
    if (!isWitnessed) this.#news.tellSuspect(probe.slot, probe.incarnation, this.#context.self.name);
    this.#membership.accuse(nowMs, probe.slot, MESSAGE.suspect, probe.incarnation, isWitnessed);
  }

  #probeSuccessor(nowMs: number): void {
    const { config, roster, stats, timers } = this.#context;
    if (this.#isStale) this.#search();
    const { slot, nameId } = this.#successor;
    if (slot < 0) return;
    for (const probe of this.#probes.values()) if (probe.slot === slot) return;
    const probe = new RingProbe(this, slot, nameId, roster.incarnation(slot), nowMs);
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
    this.#ping(slot, probe.seqNo);
  }

  #ping(slot: number, seqNo: number): void {
    const end = this.#encodePing(slot, seqNo);
    this.#outbox.commit(end, this.#context.roster.address(slot), SEND.piggyback | SEND.extended);
  }

  /** Encodes at the outbox's top; the end. */
  #encodePing(slot: number, seqNo: number): number {
    const { roster, self } = this.#context;
    this.#outbox.reserve(PING_BYTES_MAX);
    return encodePing(this.#outbox.bytes, this.#outbox.top, {
      seqNo,
      node: roster.nameBytes(slot),
      sourceAddr: self.address.ip,
      sourcePort: self.address.port,
      sourceNode: self.name,
      ext: self.ext,
    });
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
    return roster.status(slot) === STATUS.alive && roster.isFastPeer(slot);
  }

  /** The neighbours are to be searched for. */
  forget(): void {
    Object.assign(this.#successor, noNeighbour());
    Object.assign(this.#predecessor, noNeighbour());
    this.#isStale = true;
  }

  /** Looks at all members: needed at the start, and when a neighbour is gone, which for each death is the case at two members. */
  #search(): void {
    const { roster } = this.#context;
    this.forget();
    this.#isStale = false;
    for (let slot = 0; slot < roster.slotsEnd; slot++) if (this.#isEligible(slot)) this.#consider(slot);
  }

  /** Puts a member in its place beside us; true when it is the successor now. */
  #consider(slot: number): boolean {
    const { roster } = this.#context;
    const position = roster.ringPosition(slot);
    const behind = ringDistance(position, this.#position);
    if (behind < this.#predecessor.distance) become(this.#predecessor, slot, roster.nameId(slot), behind);
    const ahead = ringDistance(this.#position, position);
    if (ahead >= this.#successor.distance) return false;
    become(this.#successor, slot, roster.nameId(slot), ahead);
    return true;
  }
}

function noNeighbour(): Neighbour {
  return { slot: -1, nameId: 0, distance: Number.POSITIVE_INFINITY };
}

function become(neighbour: Neighbour, slot: number, nameId: number, distance: number): void {
  neighbour.slot = slot;
  neighbour.nameId = nameId;
  neighbour.distance = distance;
}
