import { MESSAGE, PICK, STATUS } from '../kernels/contract.ts';
import { type Address, sameEndpoint } from '../util/address.ts';
import { assert } from '../util/assert.ts';
import { encodeCompound } from '../wire/compound.ts';
import { encodeIndirectPing, encodePing, encodeSuspect } from '../wire/messages.ts';
import { areBothFast, type Context } from './context.ts';
import type { Dissemination } from './dissemination.ts';
import { scaledProbeIntervalMs } from './math.ts';
import type { Membership } from './membership.ts';
import { type Outbox, SEND } from './outbox.ts';
import type { Sequences, Waiting } from './sequences.ts';
import { Shedding } from './shedding.ts';
import { TIMER, type Timer } from './timers.ts';

/** Peers from these protocol versions on answer a stream ping, and say nack (protocol §16). */
const STREAM_PING_VERSION = 3;
const NACK_VERSION = 4;
/** Most room a ping or indirect ping takes: two names of 512 bytes and the rest. */
export const PING_BYTES_MAX = 1536;

/** How far a probe has come. Append only. */
const STAGE = {
  /** Waiting for the target itself. */
  direct: 0,
  /** Others were asked, a stream ping may be under way. */
  indirect: 1,
} as const;

/** Opens a stream ping; `report` hears whether the right ack came. */
export type StreamPing = (
  nowMs: number,
  to: Address,
  ping: Uint8Array,
  seqNo: number,
  deadlineMs: number,
  report: (ok: boolean) => void,
) => void;

/** Who has heard anything for so many probe intervals does not hear well, but hears. */
const DOUBT_INTERVALS = 5;
/** Periods without a probe in a row while timers are late, at most: on the ring members go on being watched. */
const SHED_PERIODS_MAX = 5;

/** One probe of one member (protocol §11.2). */
class Probe implements Waiting {
  readonly prober: Prober;
  readonly slot: number;
  readonly nameId: number;
  readonly incarnation: number;
  readonly startMs: number;
  /** 0 = nobody asked for the outcome. */
  readonly request: number;
  seqNo = 0;
  stage: number = STAGE.direct;
  endMs: number;
  timeoutToken = 0;
  endToken = 0;
  nacksExpected = 0;
  nacksReceived = 0;
  /** The system refused our packet: an ack that comes in spite of that is no sign of our own health. */
  isUnreachable = false;
  isAckedByStream = false;
  isDeferred = false;

  constructor(
    prober: Prober,
    slot: number,
    nameId: number,
    incarnation: number,
    nowMs: number,
    periodMs: number,
    request: number,
  ) {
    this.prober = prober;
    this.slot = slot;
    this.nameId = nameId;
    this.incarnation = incarnation;
    this.startMs = nowMs;
    this.endMs = nowMs + periodMs;
    this.request = request;
  }

  onAck(nowMs: number, ext: number): void {
    this.prober.acked(nowMs, this, ext);
  }

  onNack(): void {
    this.prober.nacked(this);
  }
}

/**
 * The failure detector (protocol §11). Each protocol period starts the next probe of a round-robin walk, whether or not earlier
 * ones are over: a member that does not answer costs its own probe time, not the others' turn. The period grows with
 * the health score.
 *
 * A probe: ping; no ack after probeTimeoutMs: ask others, and try a stream; no ack by the end of the period: suspect.
 */
export class Prober {
  readonly #context: Context;
  readonly #membership: Membership;
  readonly #news: Dissemination;
  readonly #outbox: Outbox;
  readonly #sequences: Sequences;
  readonly #streamPing: StreamPing;
  /** Probes in flight by sequence number; at most one per member and at most the score range plus the forced ones. */
  readonly #probes = new Map<number, Probe>();
  readonly #scratch = new Uint8Array(PING_BYTES_MAX);
  /** When we looked last and packets had come since the look before, and how many had come by then. */
  #heardMs = Number.NEGATIVE_INFINITY;
  #packetsThen = 0;
  readonly #shedding: Shedding;

  constructor(
    context: Context,
    membership: Membership,
    news: Dissemination,
    outbox: Outbox,
    sequences: Sequences,
    streamPing: StreamPing,
  ) {
    this.#context = context;
    this.#membership = membership;
    this.#news = news;
    this.#outbox = outbox;
    this.#sequences = sequences;
    this.#streamPing = streamPing;
    this.#shedding = new Shedding(context, SHED_PERIODS_MAX);
  }

  get inFlight(): number {
    return this.#probes.size;
  }

  start(nowMs: number): void {
    const { config, prng, timers } = this.#context;
    if (config.probeIntervalMs === 0) return;
    // Members started together must not probe in step for ever.
    timers.schedule(nowMs + 1 + prng.below(config.probeIntervalMs), TIMER.probeTick, 0);
  }

  /** A protocol period begins, so much too late. */
  tick(nowMs: number, lateMs: number): void {
    const { awareness, config, roster, timers } = this.#context;
    timers.schedule(nowMs + scaledProbeIntervalMs(config.probeIntervalMs, awareness.score), TIMER.probeTick, 0);
    this.#listen(nowMs);
    if (this.#shedding.sheds(lateMs)) return;
    if (!roster.hasTargets) {
      // Nobody to probe; the walk goes on all the same, because reaping happens at its end.
      this.#membership.nextProbe(nowMs);
      return;
    }
    // One try more than members under probe, and one for a walk that gave up at the end of the list: without it a cluster of two
    // would leave every second period unused.
    for (let tries = this.#probes.size + 2; tries > 0; tries--) {
      const slot = this.#membership.nextProbe(nowMs);
      if (slot < 0 || this.#isProbed(slot)) continue;
      this.probe(nowMs, slot, 0);
      return;
    }
  }

  /** Probes one member now. `request` is reported as done with the outcome; 0 = nobody waits. */
  probe(nowMs: number, slot: number, request: number): void {
    const { awareness, config, roster, stats, timers } = this.#context;
    if (!roster.hasAddress(slot)) return;
    const periodMs = scaledProbeIntervalMs(
      Math.max(config.probeIntervalMs, config.probeTimeoutMs + 1),
      awareness.score,
    );
    const probe = new Probe(this, slot, roster.nameId(slot), roster.incarnation(slot), nowMs, periodMs, request);
    probe.seqNo = this.#sequences.take(probe);
    this.#probes.set(probe.seqNo, probe);
    probe.timeoutToken = timers.schedule(nowMs + config.probeTimeoutMs, TIMER.probeTimeout, probe.seqNo);
    probe.endToken = timers.schedule(probe.endMs, TIMER.probeEnd, probe.seqNo);
    stats.probesSent++;
    if (roster.status(slot) === STATUS.suspect) this.#pingSuspect(probe);
    else this.#ping(probe);
  }

  acked(nowMs: number, probe: Probe, ext: number): void {
    const { config, stats } = this.#context;
    if (ext !== 0 && this.#isSameMember(probe)) this.#membership.noteExt(nowMs, probe.slot, ext);
    stats.probesAcked++;
    if (probe.stage === STAGE.direct) {
      if (config.probeEvents && this.#isSameMember(probe)) {
        this.#context.emit({
          type: 'probe',
          member: this.#context.roster.info(probe.slot),
          rttMs: nowMs - probe.startMs,
        });
      }
    } else stats.probesAckedIndirectly++;
    this.#succeed(nowMs, probe);
  }

  nacked(probe: Probe): void {
    this.#context.stats.nacksReceived++;
    probe.nacksReceived = Math.min(probe.nacksReceived + 1, probe.nacksExpected);
  }

  /** No direct ack in time. */
  timedOut(nowMs: number, timer: Timer): void {
    const probe = this.#probes.get(timer.subject);
    if (probe === undefined || probe.stage !== STAGE.direct) return;
    const { config, timers } = this.#context;
    // A timer that comes late must not shorten the time others have to answer.
    const lateMs = nowMs - timer.dueMs;
    if (lateMs > config.probeTimeoutMs >> 2) {
      probe.endMs += lateMs;
      timers.cancel(probe.endToken);
      probe.endToken = timers.schedule(probe.endMs, TIMER.probeEnd, probe.seqNo);
      this.#context.stats.verdictsDeferred++;
    }
    this.#askOthers(nowMs, probe);
  }

  /** The system says that packets to this address do not arrive: no use to wait for a direct ack. */
  unreachable(nowMs: number, address: Address): void {
    for (const probe of this.#probes.values()) {
      if (probe.stage !== STAGE.direct || !this.#isSameMember(probe)) continue;
      if (!sameEndpoint(this.#context.roster.address(probe.slot), address)) continue;
      probe.isUnreachable = true;
      this.#context.timers.cancel(probe.timeoutToken);
      this.#askOthers(nowMs, probe);
    }
  }

  /** The period of a probe is over. */
  ended(nowMs: number, timer: Timer): void {
    const probe = this.#probes.get(timer.subject);
    if (probe === undefined) return;
    const { awareness, config, roster, stats, timers } = this.#context;
    assert(
      probe.stage === STAGE.indirect,
      'a probe ended without asking others: a bug in the driver, which must hand in timeouts in order of time',
    );
    if (!probe.isDeferred && nowMs - timer.dueMs > config.probeTimeoutMs >> 2) {
      // We slept through the end; the ack may lie unread in the socket.
      probe.isDeferred = true;
      probe.endToken = timers.schedule(nowMs + config.probeTimeoutMs, TIMER.probeEnd, probe.seqNo);
      stats.verdictsDeferred++;
      return;
    }
    if (probe.isAckedByStream) {
      stats.probesAcked++;
      stats.probesAckedByStream++;
      this.#succeed(nowMs, probe);
      return;
    }
    this.#forget(probe);
    this.#report(probe, false, 'no answer');
    if (!this.#isSameMember(probe) || roster.status(probe.slot) > STATUS.suspect) {
      stats.probesMoot++;
      return;
    }
    awareness.apply(probe.nacksExpected > 0 ? probe.nacksExpected - probe.nacksReceived : 1);
    if (this.#isOurFault(nowMs, probe)) {
      stats.probesDoubted++;
      return;
    }
    stats.probesFailed++;
    this.#membership.accuse(nowMs, probe.slot, MESSAGE.suspect, probe.incarnation);
  }

  /**
   * Members of the fast profile say nack in time (protocol §24.2). When none does, but packets come in, it is more likely our own that are lost. Who hears nothing at all is cut off, and accuses as in SWIM:
   * it is to see the others go.
   */
  #isOurFault(nowMs: number, { slot, nacksExpected, nacksReceived, startMs }: Probe): boolean {
    if (nacksExpected === 0 || nacksReceived > 0 || !areBothFast(this.#context, slot)) return false;
    const { config, roster } = this.#context;
    this.#listen(nowMs);
    // Where all others were asked, those who are left are not a sample: if they are gone too, nobody says nack.
    const wereAllAsked = nacksExpected + 2 >= roster.aliveCount;
    const windowMs = wereAllAsked ? nowMs - startMs : DOUBT_INTERVALS * config.probeIntervalMs;
    return nowMs - this.#heardMs < windowMs;
  }

  /** Notes whether packets have come since it was called last. */
  #listen(nowMs: number): void {
    const { packetsReceived } = this.#context.stats;
    if (packetsReceived !== this.#packetsThen) this.#heardMs = nowMs;
    this.#packetsThen = packetsReceived;
  }

  #isProbed(slot: number): boolean {
    for (const probe of this.#probes.values()) if (probe.slot === slot) return true;
    return false;
  }

  #ping(probe: Probe): void {
    const { roster } = this.#context;
    const outbox = this.#outbox;
    outbox.reserve(PING_BYTES_MAX);
    const end = this.#encodePing(outbox.bytes, outbox.top, probe);
    outbox.commit(end, roster.address(probe.slot), SEND.piggyback | (this.#news.sendFlags(probe.slot) & SEND.extended));
  }

  /** A suspect learns with the ping that it is suspected, so it can refute at once (Lifeguard, Buddy System). */
  #pingSuspect(probe: Probe): void {
    const { roster, self } = this.#context;
    const { slot } = probe;
    const outbox = this.#outbox;
    const ping = new Uint8Array(PING_BYTES_MAX);
    const pingEnd = this.#encodePing(ping, 0, probe);
    const suspect = this.#scratch;
    const suspectEnd = encodeSuspect(suspect, 0, {
      incarnation: probe.incarnation,
      node: roster.nameBytes(slot),
      from: self.name,
    });
    outbox.reserve(2 * PING_BYTES_MAX);
    const end = encodeCompound(outbox.bytes, outbox.top, [ping.subarray(0, pingEnd), suspect.subarray(0, suspectEnd)]);
    outbox.commit(end, roster.address(slot), this.#news.sendFlags(slot) & SEND.crc);
  }

  #encodePing(out: Uint8Array, at: number, probe: Probe): number {
    const { roster, self } = this.#context;
    return encodePing(out, at, {
      seqNo: probe.seqNo,
      node: roster.nameBytes(probe.slot),
      sourceAddr: self.address.ip,
      sourcePort: self.address.port,
      sourceNode: self.name,
      ext: self.ext,
    });
  }

  #askOthers(nowMs: number, probe: Probe): void {
    probe.stage = STAGE.indirect;
    const { config, kernels, roster, self } = this.#context;
    if (!this.#isSameMember(probe)) return;
    const target = roster.address(probe.slot);
    const { table } = kernels;
    const picked = table.sample(nowMs, config.indirectChecks, PICK.alive, 0, probe.slot);
    for (let i = 0; i < picked; i++) {
      const slot = table.u32[(table.picksOffset >>> 2) + i] as number;
      const nack = roster.protocolMax(slot) >= NACK_VERSION;
      if (nack) probe.nacksExpected++;
      this.#outbox.reserve(PING_BYTES_MAX);
      const end = encodeIndirectPing(this.#outbox.bytes, this.#outbox.top, {
        seqNo: probe.seqNo,
        target: target.ip,
        port: target.port,
        node: roster.nameBytes(probe.slot),
        nack,
        sourceAddr: self.address.ip,
        sourcePort: self.address.port,
        sourceNode: self.name,
      });
      this.#outbox.commit(end, roster.address(slot), SEND.piggyback | (this.#news.sendFlags(slot) & SEND.extended));
    }
    if (config.disableTcpPings || roster.protocolMax(probe.slot) < STREAM_PING_VERSION) return;
    const ping = this.#scratch.slice(0, this.#encodePing(this.#scratch, 0, probe));
    this.#streamPing(nowMs, target, ping, probe.seqNo, probe.endMs, (ok) => {
      if (ok) probe.isAckedByStream = true;
    });
  }

  #succeed(nowMs: number, probe: Probe): void {
    if (!probe.isUnreachable) this.#context.awareness.apply(-1);
    this.#forget(probe);
    this.#report(probe, true, String(nowMs - probe.startMs));
  }

  #forget(probe: Probe): void {
    const { timers } = this.#context;
    timers.cancel(probe.timeoutToken);
    timers.cancel(probe.endToken);
    this.#sequences.release(probe.seqNo);
    this.#probes.delete(probe.seqNo);
  }

  #report(probe: Probe, ok: boolean, detail: string): void {
    if (probe.request !== 0) this.#context.emit({ type: 'done', request: probe.request, ok, detail });
  }

  /** Slots are used again once a member is reaped. */
  #isSameMember(probe: Probe): boolean {
    return this.#context.roster.nameId(probe.slot) === probe.nameId;
  }
}
