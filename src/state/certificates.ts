import { bytesOf } from '../util/bytes.ts';
import type { MapStore } from './map-store.ts';
import { MessageReader, MessageWriter, readSum, writeSum } from './reconcile/codec.ts';
import { shortId } from './reconcile/hashes.ts';
import type { RangeSum } from './reconcile/port.ts';
import { isSame } from './reconcile/turns.ts';
import { recordKey, SPACE } from './record.ts';

const NO_GROUP = new Uint8Array(0);

export interface CertificateOptions {
  /** How often nodes compare, ms. All nodes should have the same; what differs costs rounds. */
  readonly intervalMs: number;
  /** Tombstones younger than this are not looked at, ms: they are still on their way. */
  readonly settleMs: number;
  /** Nodes that keep a collected tombstone. */
  readonly sites: number;
  /** How long those keep it, ms. */
  readonly retentionMs: number;
}

/** What one node has: all tombstones up to a time, and their sum. */
interface Horizon {
  readonly untilMs: number;
  readonly sum: RangeSum;
}

/**
 * When tombstones may go (Demers et al. 1987, §2: death certificates; chitchat's garbage collection has the same aim by waiting). A tombstone may be forgotten when every live member has
 * it. To find that out, each node that has tombstones, or sees that others have, publishes in its own namespace the sum over all of its tombstones up to a time (whole
 * intervals, so that most name the same). When what every live member published is what we hold up to that time, all of them have what is older than the earliest of those
 * times, and we let go of it: a few bytes per node and interval, whatever the number of tombstones, and nothing when there are none. Who is late finds out from
 * the others, who have seen the end of what it still holds.
 *
 * `sites` of the members, chosen by the key, keep them aside for `retentionMs`: who comes back after that with an old version, and meets nobody who covers it, brings
 * it back. That is the bound.
 */
export class Certificates {
  readonly #store: MapStore;
  readonly #options: CertificateOptions;
  #published: Horizon | undefined;
  #live: readonly string[] = [];
  /** Members whose horizon was missing or different when last looked: whoever answers that it has no such map is not asked again. */
  missing: readonly string[] = [];

  constructor(store: MapStore, options: CertificateOptions) {
    this.#store = store;
    this.#options = options;
    store.isKeptHere = (key) => this.#isKeptHere(key);
  }

  /** Publishes and compares. `live`: all live members that may have the map, this node included. */
  tick(nowMs: number, live: readonly string[]): void {
    const { intervalMs, settleMs, retentionMs } = this.#options;
    const store = this.#store;
    this.#live = live;
    store.forgetDormant(nowMs - retentionMs);
    this.missing = [];
    const untilMs = Math.floor((nowMs - settleMs) / intervalMs) * intervalMs;
    const sum = store.tombstoneSum(untilMs);
    if (sum.count === 0 && !this.#othersWait(nowMs, untilMs)) return;
    this.#publish(nowMs, { untilMs, sum });
    if (sum.count === 0) return;
    const missing: string[] = [];
    // Compared at their time, not ours: clocks need not agree on which interval it is.
    const sums = new Map([[untilMs, sum]]);
    let commonMs = untilMs;
    for (const name of live) {
      if (name === store.node) continue;
      const theirs = this.#horizonOf(nowMs, name);
      if (!theirs) {
        missing.push(name);
        continue;
      }
      const mine = sums.get(theirs.untilMs) ?? store.tombstoneSum(theirs.untilMs);
      sums.set(theirs.untilMs, mine);
      if (!isSame(theirs.sum, mine)) missing.push(name);
      commonMs = Math.min(commonMs, theirs.untilMs);
    }
    if (missing.length > 0) {
      this.missing = missing;
      return;
    }
    store.collectTombstones(nowMs, commonMs);
  }

  /** True when somebody else has published for this interval. */
  #othersWait(nowMs: number, untilMs: number): boolean {
    for (const slot of this.#store.group(SPACE.horizon, NO_GROUP)) {
      const value = this.#store.valueAt(nowMs, slot);
      const horizon = value && decode(value.payload);
      if (horizon && horizon.untilMs >= untilMs && horizon.sum.count > 0) return true;
    }
    return false;
  }

  #publish(nowMs: number, horizon: Horizon): void {
    const known = this.#published;
    if (known?.untilMs === horizon.untilMs && isSame(known.sum, horizon.sum)) return;
    this.#published = horizon;
    const { intervalMs } = this.#options;
    // It expires by itself when nobody waits any more.
    this.#store.write(nowMs, keyOf(this.#store.node), encode(horizon), nowMs + 4 * intervalMs);
  }

  #horizonOf(nowMs: number, name: string): Horizon | undefined {
    const value = this.#store.get(nowMs, keyOf(name));
    return value && decode(value.payload);
  }

  /** Rendezvous hashing (Thaler, Ravishankar 1998): all members agree on who keeps a key as far as they agree on who lives. */
  #isKeptHere(key: Uint8Array): boolean {
    const { hash } = this.#store.table;
    hash.ofKey(key);
    const { low, high } = hash;
    const scoreOf = (name: string): number => {
      hash.ofKey(bytesOf(name));
      return shortId(low ^ hash.low, high ^ hash.high, 0x5bd1e995);
    };
    const own = scoreOf(this.#store.node);
    let better = 0;
    for (const name of this.#live) {
      if (name !== this.#store.node && scoreOf(name) > own && ++better >= this.#options.sites) return false;
    }
    return true;
  }
}

function keyOf(name: string): Uint8Array {
  return recordKey(SPACE.horizon, NO_GROUP, bytesOf(name));
}

function encode({ untilMs, sum }: Horizon): Uint8Array {
  const out = new MessageWriter(32);
  out.varint(untilMs);
  writeSum(out, sum);
  return out.take();
}

function decode(payload: Uint8Array): Horizon | undefined {
  const input = new MessageReader(payload);
  const untilMs = input.varint();
  const sum = readSum(input);
  return input.isWhole() ? { untilMs, sum } : undefined;
}
