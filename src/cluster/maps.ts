import { performance } from 'node:perf_hooks';
import type { GossipEvent, MemberInfo } from '../protocol/types.ts';
import type { MapOptions } from '../state/map-options.ts';
import { PeerTracker } from '../state/peers.ts';
import { Replicator } from '../state/replicator.ts';
import { HearsayError } from '../util/errors.ts';
import type { HostLink } from './link.ts';
import { ClusterMap } from './map.ts';

/** Timers are not set for less, ms. */
const TICK_MS_MIN = 5;

export type StateEvent = Extract<GossipEvent, { type: 'message' | 'state' }>;

/**
 * The maps of one Cluster: lets a Replicator run on the application's thread, so that reading and writing them are plain calls, with the cluster as its network. A piece
 * of work per turn of the event loop.
 */
export class ClusterMaps {
  readonly #replicator: Replicator;
  readonly #maps = new Map<string, ClusterMap>();
  readonly #link: () => HostLink;
  readonly #unref: boolean;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #isAwake = false;
  #isStopped = false;
  #isAnnounced = false;
  #members: readonly MemberInfo[] = [];
  readonly #peers = new PeerTracker();

  constructor(node: string, link: () => HostLink, unref: boolean) {
    this.#link = link;
    this.#unref = unref;
    this.#replicator = new Replicator({
      node,
      now,
      seed: Math.floor(Math.random() * 2 ** 32),
      wake: () => this.#wake(),
    });
  }

  open(name: string, options: MapOptions | undefined): ClusterMap {
    const known = this.#maps.get(name);
    if (known) {
      if (options !== undefined) {
        throw new HearsayError(
          'ERR_ARGUMENT_INVALID',
          `map: ${JSON.stringify(name)} is open already; give options only the first time, or close() it before`,
        );
      }
      return known;
    }
    const map = new ClusterMap(this.#replicator.open(name, options), () => this.#maps.delete(name));
    this.#maps.set(name, map);
    if (!this.#isAnnounced) {
      this.#isAnnounced = true;
      void this.#link().call('replicate').catch(ignore);
    }
    this.#look(now());
    this.#wake();
    return map;
  }

  /** A piece of state from another member. */
  take(event: StateEvent): void {
    this.#replicator.receive(now(), event.from, event.payload);
    this.#wake();
  }

  /** Members may have changed. */
  notice(): void {
    if (this.#isAnnounced) this.#wake();
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#replicator.close(now());
    for (const map of this.#maps.values()) map.end();
  }

  #wake(): void {
    if (this.#isAwake || this.#isStopped) return;
    this.#isAwake = true;
    setImmediate(() => {
      this.#isAwake = false;
      if (!this.#isStopped) this.#turn();
    });
  }

  #turn(): void {
    const nowMs = now();
    this.#look(nowMs);
    if ((this.#replicator.dueMs ?? Number.POSITIVE_INFINITY) <= nowMs) this.#replicator.tick(nowMs);
    const hasMore = this.#replicator.work(nowMs);
    this.#flush();
    if (hasMore) this.#wake();
    this.#arm(nowMs);
  }

  #flush(): void {
    for (let message = this.#replicator.poll(); message; message = this.#replicator.poll()) {
      const { to, bytes, isReliable, id } = message;
      const call = this.#link().call('sendState', to, bytes, isReliable);
      if (id === 0) call.catch(ignore);
      else {
        const settle = (isWritten: boolean): void => {
          this.#replicator.sent(now(), id, isWritten);
          this.#wake();
        };
        call.then(
          () => settle(true),
          () => settle(false),
        );
      }
    }
  }

  #arm(nowMs: number): void {
    const dueMs = this.#replicator.dueMs;
    if (dueMs === undefined || this.#timerAtMs === dueMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = dueMs;
    this.#timer = setTimeout(
      () => {
        this.#timerAtMs = Number.POSITIVE_INFINITY;
        this.#wake();
      },
      Math.max(TICK_MS_MIN, dueMs - nowMs),
    );
    if (this.#unref) this.#timer.unref();
  }

  /** Hands the members on when they are others than before. */
  #look(nowMs: number): void {
    const members = this.#link().members();
    if (members === this.#members) return;
    this.#members = members;
    this.#replicator.setPeers(nowMs, this.#peers.of(nowMs, members));
  }
}

/** Ms since 1970 on a clock that never goes back while the process lives. */
function now(): number {
  return Math.floor(performance.timeOrigin + performance.now());
}

/** What is lost on the way is found by the next exchange. */
function ignore(): void {}
