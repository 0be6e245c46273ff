import type { Prng } from '../util/prng.ts';
import { Certificates } from './certificates.ts';
import { type ExchangeMode, type ExchangeReport, Exchanges } from './exchanges.ts';
import type { MapStore } from './map-store.ts';
import { MessageReader, MessageWriter } from './reconcile/codec.ts';
import { FlowControl } from './reconcile/flow-control.ts';
import { choosePartner } from './reconcile/partners.ts';
import type { StateEntry, Strategy } from './reconcile/port.ts';
import { CHECKSUM_FIRST, RANGE } from './reconcile/strategies.ts';
import { copyEntry } from './record.ts';
import { type RecordName, Rumors, readNames, readRumors, writeEntries, writeNames } from './rumors.ts';

/** First byte of a message about one map, behind its name (docs/wire.md §11). */
const BODY = { rumors: 1, want: 2, exchange: 3, unknown: 4 } as const;

/** Packets of rumors for one member in one tick, at most. */
const PACKETS_MAX = 16;
/** Bytes of records that are sent for one request by name, about, and for all of one tick. */
const WANTED_BYTES_MAX = 1 << 20;
const GIVEN_BYTES_MAX = 8 << 20;
/** How long a member that said it has no such map is left alone, ms. */
const UNKNOWN_MS = 60_000;
/** After an exchange that found something: the next one soon, because there may be more news about. */
const SOON_MS = 1000;
/** Times that a record is told: SWIM's λ log n with memberlist's 4; in a small cluster to everybody, up to this number. */
const RETRANSMIT_MULT = 4;
const TOLD_ALL_MAX = 8;
/** What one exchange carries in a row: 128 messages of 128 records. */
const FLOW_MAX = 16_384;
/** How long a record that was asked for is not asked for again, ms; and such records, at most. */
const ASKED_MS = 2000;
const ASKED_MAX = 4096;

/** A member as the maps see it. */
export interface Peer {
  readonly name: string;
  readonly isLive: boolean;
  /** When it stopped being live, ms on the map's clock; 0 for a live one. */
  readonly goneSinceMs: number;
}

export interface ReplicaOptions {
  /** Which records travel first, and how; see docs/reconciliation.md. Default checksum-first. */
  readonly strategy: Strategy;
  readonly mode: ExchangeMode;
  /** Pause between exchanges, ms; 0 = none of ours. */
  readonly intervalMs: number;
  /** Ticks of rumors, ms, and members told in one. */
  readonly gossipMs: number;
  readonly fanout: number;
  readonly packetBytes: number;
  /** How long a member that is gone owns something, ms. */
  readonly ownerTtlMs: number;
  readonly certificates: ConstructorParameters<typeof Certificates>[1];
  /** Distance of members, for partners by distance. */
  readonly distance?: { readonly exponent: number; readonly of: (peer: string) => number };
}

/** What a replica wants sent. `ticket` ≠ 0: sent() is wanted. */
export type Send = (to: string, body: Uint8Array, isReliable: boolean, ticket: number) => void;

/** What went on between this node's map and the others', counted. */
export interface ReplicaStats {
  packetsSent: number;
  packetBytes: number;
  streamsSent: number;
  streamBytes: number;
  exchanges: number;
  exchangesFailed: number;
  entriesByRumor: number;
  entriesByExchange: number;
  /** Messages that could not be read. */
  messagesRefused: number;
}

/**
 * One map on one node among others: tells what is fresh, compares with partners, lets go of what everybody has seen. Sans-I/O like the engine: time comes as an argument,
 * what is to be sent goes to `send`, and work() is called until it says that nothing is left.
 */
export class Replica {
  readonly store: MapStore;
  readonly stats: ReplicaStats = {
    packetsSent: 0,
    packetBytes: 0,
    streamsSent: 0,
    streamBytes: 0,
    exchanges: 0,
    exchangesFailed: 0,
    entriesByRumor: 0,
    entriesByExchange: 0,
    messagesRefused: 0,
  };
  readonly rumors: Rumors;
  /** How many writes between two exchanges the others can keep up with, as far as Scuttlebutt's exchanges tell. Nobody is held to it. */
  readonly flow = new FlowControl(FLOW_MAX);
  readonly #options: ReplicaOptions;
  readonly #prng: Prng;
  readonly #send: Send;
  readonly #exchanges: Exchanges;
  readonly #certificates: Certificates;
  /** Live members that are not known to have no such map. */
  #live: string[] = [];
  #others: string[] = [];
  #liveSet: ReadonlySet<string> = new Set();
  /** Whom rumors go to next, last first. */
  #order: string[] = [];
  #gone: readonly Peer[] = [];
  /** Owners that are no live members, and since when. */
  readonly #absentSince = new Map<string, number>();
  readonly #unknownUntil = new Map<string, number>();
  readonly #asked = new Map<string, number>();
  #gossipAtMs: number;
  #exchangeAtMs: number;
  #certificatesAtMs: number;
  #wantsFull = false;
  #writtenBefore = 0;
  /** Bytes sent by name since the last tick. */
  #given = 0;

  constructor(nowMs: number, store: MapStore, options: ReplicaOptions, prng: Prng, send: Send) {
    this.store = store;
    this.#options = options;
    this.#prng = prng;
    this.#send = (to, body, isReliable, ticket) => {
      if (isReliable) {
        this.stats.streamsSent++;
        this.stats.streamBytes += body.length;
      } else {
        this.stats.packetsSent++;
        this.stats.packetBytes += body.length;
      }
      send(to, body, isReliable, ticket);
    };
    this.rumors = new Rumors(store);
    this.#exchanges = new Exchanges({
      store,
      flow: this.flow,
      packetBytes: options.packetBytes,
      send: (to, body, isReliable, ticket) => this.#say(to, BODY.exchange, body, isReliable, ticket),
      finished: (report) => this.#finished(report),
    });
    this.#certificates = new Certificates(store, options.certificates);
    // Nodes that start together do not tick together.
    this.#gossipAtMs = nowMs + Math.floor(prng.unit() * options.gossipMs);
    this.#exchangeAtMs = nowMs + Math.floor(prng.unit() * Math.min(SOON_MS, options.intervalMs));
    this.#certificatesAtMs = nowMs + Math.floor(prng.unit() * options.certificates.intervalMs);
  }

  /** Members that share the map, as far as is known, without this node. */
  get peers(): readonly string[] {
    return this.#others;
  }

  /** A record was taken here: tell others. */
  fresh(slot: number): void {
    const n = this.#live.length;
    const times = Math.max(RETRANSMIT_MULT * Math.ceil(Math.log10(n + 1)), Math.min(n - 1, TOLD_ALL_MAX));
    if (n < 2 || this.rumors.add(slot, times)) return;
    // More news than rumors can carry: comparing is cheaper for so much.
    this.#exchangeSoon();
  }

  /** The members have changed. */
  setPeers(nowMs: number, peers: readonly Peer[]): void {
    const { node } = this.store;
    for (const [name, untilMs] of this.#unknownUntil) if (untilMs <= nowMs) this.#unknownUntil.delete(name);
    this.#live = [node, ...peers.filter(({ name, isLive }) => isLive && name !== node).map(({ name }) => name)].filter(
      (name) => !this.#unknownUntil.has(name),
    );
    this.#others = this.#live.filter((name) => name !== node);
    const hadNobody = this.#liveSet.size <= 1;
    this.#liveSet = new Set(this.#live);
    this.#gone = peers.filter(({ isLive }) => !isLive);
    for (const name of this.store.goneOwners) if (this.#liveSet.has(name)) this.store.setOwnerGone(name, false);
    this.#expireOwners(nowMs);
    // Whoever finds company after being alone has something to catch up with.
    if (hadNobody && this.#others.length > 0) this.#exchangeAtMs = Math.min(this.#exchangeAtMs, nowMs);
  }

  /** A message about this map from a member. */
  receive(nowMs: number, from: string, message: Uint8Array): void {
    const body = message.subarray(1);
    // Who talks about it has it.
    if (message[0] !== BODY.unknown && this.#unknownUntil.delete(from) && !this.#liveSet.has(from)) {
      this.#live.push(from);
      this.#others.push(from);
      this.#liveSet = new Set(this.#live);
    }
    switch (message[0]) {
      case BODY.rumors:
        this.#hear(nowMs, from, body);
        break;
      case BODY.want:
        this.#give(from, body);
        break;
      case BODY.exchange:
        this.#exchanges.receive(nowMs, from, body);
        break;
      case BODY.unknown:
        this.#unknownUntil.set(from, nowMs + UNKNOWN_MS);
        this.#live = this.#live.filter((name) => name !== from);
        this.#others = this.#others.filter((name) => name !== from);
        this.#liveSet = new Set(this.#live);
        break;
      default:
        this.stats.messagesRefused++;
    }
  }

  /** A stream was written, or could not be. */
  sent(nowMs: number, ticket: number, isWritten: boolean): void {
    this.#exchanges.sent(nowMs, ticket, isWritten);
  }

  /** Does a piece of what waits; false when nothing does. */
  work(nowMs: number): boolean {
    return this.#exchanges.work(nowMs);
  }

  /** When tick() is due. */
  get dueMs(): number {
    const gossipMs = this.rumors.waiting > 0 ? this.#gossipAtMs : this.#gossipAtMs + SOON_MS;
    return Math.min(gossipMs, this.#exchangeAtMs, this.#certificatesAtMs);
  }

  /** Does what is due. */
  tick(nowMs: number): void {
    const { gossipMs, intervalMs, certificates } = this.#options;
    this.store.sweep(nowMs);
    this.#exchanges.tick(nowMs, (peer) => this.#liveSet.has(peer));
    if (nowMs >= this.#gossipAtMs) {
      this.#gossipAtMs = nowMs + gossipMs;
      this.#given = 0;
      this.#gossip();
    }
    if (nowMs >= this.#certificatesAtMs) {
      this.#certificatesAtMs = nowMs + Math.max(1, Math.floor(certificates.intervalMs / 4));
      this.#expireOwners(nowMs);
      this.#certificates.tick(nowMs, this.#live);
      this.#askMissing(nowMs);
    }
    if (intervalMs > 0 && nowMs >= this.#exchangeAtMs) {
      // Between 0.75 and 1.25 of the interval, so that nodes do not fall into step.
      this.#exchangeAtMs = nowMs + Math.floor(intervalMs * (0.75 + this.#prng.unit() / 2));
      const peer = this.#partner();
      if (peer !== undefined) this.exchange(nowMs, peer);
    }
  }

  /** Compares with a member now, unless that is under way. */
  exchange(nowMs: number, peer: string, report?: (report: ExchangeReport) => void): void {
    if (!report && this.#exchanges.isTalkingTo(peer)) return;
    const chosen = this.#wantsFull && this.#options.strategy !== CHECKSUM_FIRST ? RANGE : this.#options.strategy;
    this.#wantsFull = false;
    this.flow.desired = this.store.stats.written - this.#writtenBefore;
    this.#writtenBefore = this.store.stats.written;
    this.stats.exchanges++;
    this.#exchanges.begin(nowMs, peer, chosen, this.#options.mode, this.#prng.next(), report);
  }

  close(nowMs: number): void {
    this.#exchanges.close(nowMs);
  }

  #partner(): string | undefined {
    const { distance } = this.#options;
    const peers = this.#others;
    const choice = distance && {
      exponent: distance.exponent,
      distance: (i: number) => distance.of(peers[i] as string),
    };
    return peers[choosePartner(this.#prng, peers.length, choice)];
  }

  #finished(report: ExchangeReport): void {
    this.stats.entriesByExchange += report.stats.entriesApplied;
    if (report.needsFull) this.#wantsFull = true;
    if (!report.isOpener) return;
    if (!report.isComplete) this.stats.exchangesFailed++;
    const { entriesApplied, entriesSent, entriesObsolete } = report.stats;
    const hasFound = entriesApplied + entriesSent + entriesObsolete > 0;
    if (!hasFound && !this.#wantsFull) return;
    this.#exchangeSoon();
  }

  #exchangeSoon(): void {
    if (this.#options.intervalMs === 0 || this.#exchangeAtMs <= this.#gossipAtMs + SOON_MS) return;
    this.#exchangeAtMs = this.#gossipAtMs + Math.floor(SOON_MS * (0.5 + this.#prng.unit()));
  }

  #gossip(): void {
    if (this.rumors.waiting === 0 || this.#others.length === 0) return;
    const { fanout, packetBytes } = this.#options;
    for (const peer of this.#sample(fanout)) {
      const told = new Set<number>();
      for (let i = 0; i < PACKETS_MAX; i++) {
        const packet = this.rumors.packet(packetBytes, told);
        if (!packet) break;
        this.#say(peer, BODY.rumors, packet, false, 0);
      }
    }
    this.rumors.settle();
  }

  /** The next few in a random order that is drawn anew when all have had their turn, as SWIM probes: nobody is left out by chance. */
  #sample(count: number): string[] {
    const chosen: string[] = [];
    while (chosen.length < Math.min(count, this.#others.length)) {
      const next = this.#order.pop();
      if (next === undefined) {
        this.#order = [...this.#others];
        for (let i = this.#order.length - 1; i > 0; i--) {
          const j = this.#prng.below(i + 1);
          [this.#order[i], this.#order[j]] = [this.#order[j] as string, this.#order[i] as string];
        }
      } else if (this.#liveSet.has(next) && !chosen.includes(next)) chosen.push(next);
    }
    return chosen;
  }

  #hear(nowMs: number, from: string, body: Uint8Array): void {
    const rumors = readRumors(body);
    if (typeof rumors === 'string') {
      this.stats.messagesRefused++;
      return;
    }
    const { applied } = this.store.apply(nowMs, rumors.entries, []);
    this.stats.entriesByRumor += applied;
    const wanted = rumors.names.filter(
      ({ writer, sequence }) =>
        !this.store.table.log.isCovered(writer, sequence) && this.#asks(nowMs, writer, sequence),
    );
    if (wanted.length === 0) return;
    const out = new MessageWriter();
    writeNames(out, wanted);
    this.#say(from, BODY.want, out.take(), false, 0);
  }

  #asks(nowMs: number, writer: string, sequence: number): boolean {
    const id = `${sequence} ${writer}`;
    if ((this.#asked.get(id) ?? 0) > nowMs) return false;
    if (this.#asked.size >= ASKED_MAX) this.#asked.clear();
    this.#asked.set(id, nowMs + ASKED_MS);
    return true;
  }

  /** Large records, for who asked by name. */
  #give(from: string, body: Uint8Array): void {
    const input = new MessageReader(body);
    const names: RecordName[] = readNames(input);
    if (!input.isWhole()) {
      this.stats.messagesRefused++;
      return;
    }
    const entries: StateEntry[] = [];
    let bytes = 0;
    for (const { writer, sequence } of names) {
      const slot = this.store.table.log.slotOf(writer, sequence);
      // Whoever asks without end gets no more than this per tick, and finds the rest by comparing.
      if (slot < 0 || bytes > WANTED_BYTES_MAX || this.#given > GIVEN_BYTES_MAX) continue;
      const entry = copyEntry(this.store.read(slot));
      bytes += entry.value.length;
      this.#given += entry.value.length;
      entries.push(entry);
    }
    if (entries.length > 0) this.#say(from, BODY.rumors, writeEntries(entries), true, 0);
  }

  #expireOwners(nowMs: number): void {
    const gone = new Map(this.#gone.map(({ name, goneSinceMs }) => [name, goneSinceMs]));
    for (const owner of this.store.owners()) {
      if (owner === this.store.node || this.#liveSet.has(owner)) {
        this.#absentSince.delete(owner);
        continue;
      }
      // Who is not remembered as a member any more counts from when that was noticed.
      const sinceMs = gone.get(owner) ?? this.#absentSince.get(owner) ?? nowMs;
      this.#absentSince.set(owner, sinceMs);
      if (nowMs - sinceMs < this.#options.ownerTtlMs) continue;
      this.#absentSince.delete(owner);
      this.store.setOwnerGone(owner, true);
    }
  }

  /** Whose certificate is missing may not have the map: an exchange tells. */
  #askMissing(nowMs: number): void {
    const { missing } = this.#certificates;
    if (missing.length === 0) return;
    const peer = missing[this.#prng.below(missing.length)] as string;
    if (peer !== this.store.node && this.#options.intervalMs > 0) this.exchange(nowMs, peer);
  }

  #say(to: string, kind: number, body: Uint8Array, isReliable: boolean, ticket: number): void {
    const message = new Uint8Array(1 + body.length);
    message[0] = kind;
    message.set(body, 1);
    this.#send(to, message, isReliable, ticket);
  }
}

/** The answer to a message about a map that is not open here; undefined when it is such an answer itself. */
export function unknownMap(message: Uint8Array): Uint8Array | undefined {
  return message[0] === BODY.unknown ? undefined : Uint8Array.of(BODY.unknown);
}
