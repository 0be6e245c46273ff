import { bytesOf, concatBytes, textOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { Prng } from '../util/prng.ts';
import { checkLimits } from './limits.ts';
import { type MapOptions, type ResolvedMapOptions, resolveMapOptions } from './map-options.ts';
import { MapStore } from './map-store.ts';
import type { StateEntry } from './reconcile/port.ts';
import { type Peer, Replica, unknownMap } from './replica.ts';
import { ReplicatedMap } from './replicated-map.ts';
import type { StoreChange, StoreConflict } from './store-types.ts';

/** Bytes of a map's name: its length travels in one byte. */
export const MAP_NAME_BYTES_MAX = 255;

/** A message for a member's replicator: MESSAGE.state of the engine. `id` ≠ 0: sent() is wanted. */
export interface StateMessage {
  readonly to: string;
  readonly bytes: Uint8Array;
  readonly isReliable: boolean;
  readonly id: number;
}

export interface ReplicatorOptions {
  /** Name of this node. */
  readonly node: string;
  /** Ms since 1970, an integer that never goes back while the process lives. */
  readonly now: () => number;
  /** For everything random. */
  readonly seed: number;
  /** Something is to be done: poll() and work(). */
  readonly wake: () => void;
}

interface OpenMap {
  readonly map: ReplicatedMap;
  readonly replica: Replica;
  readonly prefix: Uint8Array;
}

/**
 * The replicated maps of one node. Sans-I/O: the driver hands in messages, members and time, and carries out what poll() gives. The same on sockets and in simulation.
 */
export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #maps = new Map<string, OpenMap>();
  readonly #outgoing: StateMessage[] = [];
  /** Streams of which the outcome is wanted: whose they are. */
  readonly #tickets = new Map<number, { readonly replica: Replica; readonly ticket: number }>();
  #lastId = 0;
  #peers: readonly Peer[] = [];
  /** Messages about maps that are not open here, and those that cannot be read. */
  readonly stats = { unknownMaps: 0, refused: 0 };

  constructor(options: ReplicatorOptions) {
    this.#options = options;
  }

  /** Opens a map, or gives the open one; then without options. Throws ERR_ARGUMENT_INVALID. */
  open(name: string, options: MapOptions = {}): ReplicatedMap {
    const known = this.#maps.get(name);
    if (known) return known.map;
    const nameBytes = bytesOf(name);
    if (nameBytes.length < 1 || nameBytes.length > MAP_NAME_BYTES_MAX) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `map: expected a name of 1 to ${MAP_NAME_BYTES_MAX} bytes, got ${nameBytes.length}`,
      );
    }
    const resolved = resolveMapOptions(options);
    const { node, now, seed, wake } = this.#options;
    const nowMs = now();
    const listeners: Listeners = { changed: undefined, conflicted: undefined, taken: undefined };
    let replica: Replica | undefined;
    const store = new MapStore({
      node,
      generation: nowMs,
      hashKey: hashKeyOf(name, resolved),
      limits: checkLimits(options.limits),
      driftMaxMs: resolved.driftMaxMs,
      dormantMax: resolved.dormantMax,
      isWatched: () => listeners.changed !== undefined && map.isWatched,
      changed: (change) => listeners.changed?.(change),
      conflicted: (conflict) => listeners.conflicted?.(conflict),
      taken: (entry, isLocal) => listeners.taken?.(entry, isLocal),
      fresh: (slot) => {
        replica?.fresh(slot);
        wake();
      },
    });
    const prng = new Prng((seed ^ hash(name)) >>> 0);
    const prefix = concatBytes([Uint8Array.of(nameBytes.length), nameBytes]);
    replica = new Replica(nowMs, store, resolved, prng, (to, body, isReliable, ticket) =>
      this.#send(replica as Replica, prefix, to, body, isReliable, ticket),
    );
    const map = new ReplicatedMap(name, store, replica, now, () => this.#maps.delete(name));
    listeners.changed = (change) => map.changed(change);
    listeners.conflicted = (conflict) => map.conflicted(conflict);
    listeners.taken = (entry, isLocal) => map.observer?.(entry, isLocal);
    this.#maps.set(name, { map, replica, prefix });
    replica.setPeers(nowMs, this.#peers);
    wake();
    return map;
  }

  /** The members have changed: all that announced that they replicate, and those that are gone. */
  setPeers(nowMs: number, peers: readonly Peer[]): void {
    this.#peers = peers;
    for (const { replica } of this.#maps.values()) replica.setPeers(nowMs, peers);
  }

  /** A message from a member. */
  receive(nowMs: number, from: string, message: Uint8Array): void {
    const length = message[0] ?? 0;
    if (from === '' || length === 0 || message.length < length + 2) {
      this.stats.refused++;
      return;
    }
    const body = message.subarray(1 + length);
    const open = this.#maps.get(textOf(message.subarray(1, 1 + length)));
    if (open) {
      open.replica.receive(nowMs, from, body);
      open.map.settle();
      return;
    }
    this.stats.unknownMaps++;
    const answer = unknownMap(body);
    if (answer)
      this.#push({ to: from, bytes: concatBytes([message.subarray(0, 1 + length), answer]), isReliable: false, id: 0 });
  }

  /** The outcome of a message with an id. */
  sent(nowMs: number, id: number, isWritten: boolean): void {
    const entry = this.#tickets.get(id);
    this.#tickets.delete(id);
    entry?.replica.sent(nowMs, entry.ticket, isWritten);
  }

  /** When tick() is due; undefined without maps. */
  get dueMs(): number | undefined {
    let dueMs: number | undefined;
    for (const { replica } of this.#maps.values()) dueMs = Math.min(dueMs ?? Number.POSITIVE_INFINITY, replica.dueMs);
    return dueMs;
  }

  tick(nowMs: number): void {
    for (const { replica } of this.#maps.values()) replica.tick(nowMs);
  }

  /** Does a piece of work, some ms at most; false when nothing waits. */
  work(nowMs: number): boolean {
    let hasMore = false;
    for (const { map, replica } of this.#maps.values()) {
      hasMore = replica.work(nowMs) || hasMore;
      map.settle();
    }
    return hasMore;
  }

  /** The next message to send. */
  poll(): StateMessage | undefined {
    return this.#outgoing.shift();
  }

  /** Ends what is under way. Maps can still be read. */
  close(nowMs: number): void {
    for (const { map, replica } of this.#maps.values()) {
      replica.close(nowMs);
      map.close();
    }
  }

  #send(replica: Replica, prefix: Uint8Array, to: string, body: Uint8Array, isReliable: boolean, ticket: number): void {
    let id = 0;
    if (ticket !== 0) {
      id = ++this.#lastId;
      this.#tickets.set(id, { replica, ticket });
    }
    this.#push({ to, bytes: concatBytes([prefix, body]), isReliable, id });
  }

  #push(message: StateMessage): void {
    this.#outgoing.push(message);
    this.#options.wake();
  }
}

interface Listeners {
  changed: ((change: StoreChange) => void) | undefined;
  conflicted: ((conflict: StoreConflict) => void) | undefined;
  taken: ((entry: StateEntry, isLocal: boolean) => void) | undefined;
}

/** Four words from a secret, or from the map's name when there is none. */
function hashKeyOf(name: string, { secret }: ResolvedMapOptions): Uint32Array {
  const bytes = concatBytes([secret, bytesOf(`hearsay map ${name}`)]);
  const key = new Uint32Array(4);
  for (let i = 0; i < 4; i++) key[i] = hash(`${i} ${bytes}`);
  return key;
}

/** FNV-1a with a finalizer. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}
