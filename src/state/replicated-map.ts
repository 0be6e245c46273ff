import { bytesOf, textOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { Counter, MapSet, MultiRegister } from './crdts.ts';
import type { ExchangeReport } from './exchanges.ts';
import { checkLength } from './limits.ts';
import type { MapStore } from './map-store.ts';
import type { StateEntry } from './reconcile/port.ts';
import { parseKey, recordKey, SPACE, type Space } from './record.ts';
import type { Replica, ReplicaStats } from './replica.ts';
import { type RestoredSnapshot, restoreSnapshot, snapshotChunks } from './snapshot.ts';
import type { StoreChange, StoreConflict, StoreStats } from './store-types.ts';

const NO_GROUP = new Uint8Array(0);
const TTL_MAX_MS = 31_536_000_000_000;

export interface SetOptions {
  /** The value ends by itself after this long, ms from now. Default never. */
  readonly ttlMs?: number;
}

/** Something in a map became different. */
export interface MapChange {
  /** 'set', 'delete', or 'expire': its time is over, or its owner is gone. */
  readonly type: 'set' | 'delete' | 'expire';
  /** Where: a key of the map, of an owner's namespace, or the name of a counter, set or register. */
  readonly space: 'shared' | 'own' | 'counter' | 'set' | 'register';
  readonly key: string;
  /** Whose namespace; undefined unless space is 'own'. */
  readonly owner: string | undefined;
  /** What is there now: undefined unless 'set'. For a set, the element. */
  readonly value: Uint8Array | undefined;
  /** What was there before. */
  readonly previous: Uint8Array | undefined;
  /** The node that wrote it. */
  readonly node: string;
  readonly isLocal: boolean;
}

/** Two nodes wrote one key without knowing of each other. */
export interface MapConflict {
  readonly key: string;
  /** What stays, and who wrote it; undefined value = it was deleted. */
  readonly winner: { readonly value: Uint8Array | undefined; readonly node: string };
  readonly loser: { readonly value: Uint8Array | undefined; readonly node: string };
}

/** Is told of each conflict on every node where both meet. What it returns is written in their place, by the node whose write lost alone. */
export type ConflictHandler = (conflict: MapConflict) => Uint8Array | undefined;

export interface MapStats extends StoreStats, ReplicaStats {
  /** Records, tombstones among them, and bytes of all keys and values. */
  readonly records: number;
  readonly tombstones: number;
  /** Tombstones kept aside. */
  readonly dormant: number;
  readonly bytes: number;
  /** Fresh records that wait to be told. */
  readonly rumorsWaiting: number;
  readonly rumorsDropped: number;
  /** Writes between two exchanges that the others can keep up with, by Scuttlebutt's flow control; and what this node made between its last two. Writing more works, and takes longer to arrive. */
  readonly writesAllowed: number;
  readonly writesWanted: number;
}

/** Keys and values of one owner. */
export interface Namespace {
  readonly owner: string;
  get(key: string): Uint8Array | undefined;
  entries(): IterableIterator<[key: string, value: Uint8Array]>;
}

/** A map that every node reads and writes locally and that becomes the same everywhere; see docs/anti-entropy.md. All of it is synchronous: nothing waits for other nodes. */
export class ReplicatedMap {
  readonly name: string;
  /** Sees every record that is taken, before anybody else does; for checkers. */
  observer: ((entry: StateEntry, isLocal: boolean) => void) | undefined;
  readonly #store: MapStore;
  readonly #replica: Replica;
  readonly #now: () => number;
  readonly #forget: () => void;
  /** Each with whether it wants to hear at all. */
  readonly #changeHandlers = new Map<(change: MapChange) => void, () => boolean>();
  #conflictHandler: ConflictHandler | undefined;
  #isClosed = false;

  /** `now`: ms since 1970. Made by a Replicator. */
  constructor(name: string, store: MapStore, replica: Replica, now: () => number, forget: () => void) {
    this.name = name;
    this.#store = store;
    this.#replica = replica;
    this.#now = now;
    this.#forget = forget;
  }

  /** The value under a key; undefined when there is none. A copy. */
  get(key: string): Uint8Array | undefined {
    return this.#get(SPACE.shared, NO_GROUP, key);
  }

  /** The value as JSON; undefined when there is none. Throws SyntaxError when it is no JSON. */
  getJson(key: string): unknown {
    const value = this.get(key);
    return value && JSON.parse(textOf(value));
  }

  has(key: string): boolean {
    return this.#store.get(this.#now(), recordKey(SPACE.shared, NO_GROUP, bytesOf(key))) !== undefined;
  }

  /** Writes a value: bytes, or text as UTF-8. Throws ERR_MAP_LIMIT, ERR_MAP_CLOSED. */
  set(key: string, value: Uint8Array | string, options: SetOptions = {}): void {
    this.#set(SPACE.shared, NO_GROUP, key, value, options);
  }

  setJson(key: string, value: unknown, options: SetOptions = {}): void {
    this.set(key, jsonOf(value), options);
  }

  /** Deletes a key; false when it is not there. */
  delete(key: string): boolean {
    this.#assertOpen();
    return this.#store.remove(this.#now(), recordKey(SPACE.shared, NO_GROUP, bytesOf(key)));
  }

  /** Keys and values, those whose key begins with `prefix`, in no particular order. Values are copies. What changes meanwhile may be missed. */
  *entries({ prefix = '' }: { readonly prefix?: string } = {}): IterableIterator<[key: string, value: Uint8Array]> {
    const store = this.#store;
    for (const slot of store.all()) {
      const key = store.table.read(slot).key;
      if (key[0] !== SPACE.shared) continue;
      const text = textOf(key.subarray(1));
      const value = text.startsWith(prefix) ? store.valueAt(this.#now(), slot) : undefined;
      if (value) yield [text, value.payload.slice()];
    }
  }

  *keys(options: { readonly prefix?: string } = {}): IterableIterator<string> {
    for (const [key] of this.entries(options)) yield key;
  }

  /** Number of keys; counts them. */
  get size(): number {
    let size = 0;
    for (const _ of this.entries()) size++;
    return size;
  }

  /** What this node owns: only it writes here, others read it with of(). Gone `ownerTtlMs` after the node. */
  readonly own = {
    get: (key: string): Uint8Array | undefined => this.#get(SPACE.own, this.#nodeBytes, key),
    set: (key: string, value: Uint8Array | string, options: SetOptions = {}): void =>
      this.#set(SPACE.own, this.#nodeBytes, key, value, options),
    setJson: (key: string, value: unknown, options: SetOptions = {}): void => this.own.set(key, jsonOf(value), options),
    delete: (key: string): boolean => {
      this.#assertOpen();
      return this.#store.remove(this.#now(), recordKey(SPACE.own, this.#nodeBytes, bytesOf(key)));
    },
    entries: (): IterableIterator<[key: string, value: Uint8Array]> => this.of(this.#store.node).entries(),
  } as const;

  /** What another node owns. */
  of(owner: string): Namespace {
    const group = bytesOf(owner);
    const store = this.#store;
    const now = this.#now;
    return {
      owner,
      get: (key) => this.#get(SPACE.own, group, key),
      *entries() {
        for (const slot of [...store.group(SPACE.own, group)]) {
          const value = store.table.has(slot) ? store.valueAt(now(), slot) : undefined;
          const key = value && parseKey(store.table.read(slot).key);
          if (value && key) yield [textOf(key.rest), value.payload.slice()];
        }
      },
    };
  }

  /** Nodes that own something here. */
  owners(): string[] {
    return [...this.#store.owners()].filter((name) => !this.of(name).entries().next().done);
  }

  /** A counter that all nodes add to (PN-counter). */
  counter(name: string): Counter {
    return new Counter(this.#store, this.#nameBytes(name), this.#now, () => this.#assertOpen());
  }

  /** A set in which adding wins over a deletion that did not know of it (OR-set). */
  orSet(name: string): MapSet {
    return new MapSet(this.#store, this.#nameBytes(name), this.#now, () => this.#assertOpen());
  }

  /** A register that keeps all values that were written without knowing of each other (multi-value register, dotted version vectors). */
  register(name: string): MultiRegister {
    return new MultiRegister(this.#store, this.#nameBytes(name), this.#now, () => this.#assertOpen());
  }

  /** Calls `handler` with each change until the returned function is called; changes are not even looked at while nobody `isListening`. */
  onChange(handler: (change: MapChange) => void, isListening: () => boolean = () => true): () => void {
    this.#changeHandlers.set(handler, isListening);
    return () => void this.#changeHandlers.delete(handler);
  }

  /** Sets who is told of conflicts; see ConflictHandler. */
  onConflict(handler: ConflictHandler | undefined): void {
    this.#conflictHandler = handler;
  }

  /** Compares with a member now; `report` hears how it went. */
  exchange(member: string, report?: (report: ExchangeReport) => void): void {
    this.#assertOpen();
    this.#replica.exchange(this.#now(), member, report);
  }

  /** Members that share the map, as far as is known, without this node. */
  get peers(): readonly string[] {
    return this.#replica.peers;
  }

  /** Equal on two nodes when they hold the same records: number of records and a sum of 64 bits. */
  get digest(): string {
    const sum = { count: 0, low: 0, high: 0 };
    this.#store.index.sum(0, 0, sum);
    return `${sum.count}-${sum.high.toString(16).padStart(8, '0')}${sum.low.toString(16).padStart(8, '0')}`;
  }

  /** A record as it is held, by its whole key (record.ts); for checkers. */
  record(key: Uint8Array): StateEntry | undefined {
    const slot = this.#store.table.find(key);
    return slot < 0 ? undefined : this.#store.read(slot);
  }

  /** Everything it holds as lines of text, ordered, tombstones included. For tests. */
  dump(): string[] {
    return this.#store.table.dump();
  }

  get stats(): MapStats {
    return {
      ...this.#store.stats,
      ...this.#replica.stats,
      records: this.#store.table.size,
      tombstones: this.#store.tombstones,
      dormant: this.#store.dormant.size,
      bytes: this.#store.table.bytes,
      rumorsWaiting: this.#replica.rumors.waiting,
      rumorsDropped: this.#replica.rumors.dropped,
      writesAllowed: this.#replica.flow.allowed,
      writesWanted: this.#replica.flow.desired,
    };
  }

  /** Pieces of a snapshot, some ten thousand bytes each; the map may be written between them. */
  snapshot(): IterableIterator<Uint8Array> {
    return snapshotChunks(this.#store, this.name);
  }

  /** Takes over what a snapshot holds; what is newer here stays. Throws ERR_SNAPSHOT_INVALID; then nothing was taken over. */
  restore(bytes: Uint8Array): RestoredSnapshot {
    this.#assertOpen();
    return restoreSnapshot(this.#store, this.name, this.#now(), bytes);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Stops replicating. What it holds can still be read. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#replica.close(this.#now());
    this.#forget();
  }

  /** For the replicator. */
  get isWatched(): boolean {
    for (const isListening of this.#changeHandlers.values()) if (isListening()) return true;
    return false;
  }

  /** For the replicator. */
  changed(change: StoreChange): void {
    if (this.#changeHandlers.size === 0) return;
    const public_ = toMapChange(change);
    for (const handler of this.#changeHandlers.keys()) handler(public_);
  }

  /** For the replicator. */
  conflicted({ key, winner, loser, isOurs }: StoreConflict): void {
    const text = textOf(key);
    const side = ({ payload, node }: StoreConflict['winner']) => ({ value: payload, node });
    const merged = this.#conflictHandler?.({ key: text, winner: side(winner), loser: side(loser) });
    // Behind the record that is being taken.
    if (merged && isOurs) this.#merges.push([text, merged]);
  }

  readonly #merges: [key: string, value: Uint8Array][] = [];

  /** For the replicator: writes what conflict handlers returned. */
  settle(): void {
    for (const [key, value] of this.#merges.splice(0)) if (!this.#isClosed) this.set(key, value);
  }

  get #nodeBytes(): Uint8Array {
    return bytesOf(this.#store.node);
  }

  #nameBytes(name: string): Uint8Array {
    const bytes = bytesOf(name);
    checkLength('name', bytes.length, this.#store.limits.keyBytes);
    return bytes;
  }

  #get(space: Space, group: Uint8Array, key: string): Uint8Array | undefined {
    return this.#store.get(this.#now(), recordKey(space, group, bytesOf(key)))?.payload.slice();
  }

  #set(space: Space, group: Uint8Array, key: string, value: Uint8Array | string, { ttlMs = 0 }: SetOptions): void {
    this.#assertOpen();
    const keyBytes = bytesOf(key);
    checkLength('key', keyBytes.length, this.#store.limits.keyBytes);
    if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
      throw new HearsayError('ERR_ARGUMENT_INVALID', `value: expected bytes or a text, got ${typeof value}`);
    }
    if (!Number.isInteger(ttlMs) || ttlMs < 0 || ttlMs > TTL_MAX_MS) {
      throw new HearsayError(
        'ERR_ARGUMENT_INVALID',
        `ttlMs: expected a whole number from 0 to ${TTL_MAX_MS}, got ${String(ttlMs)}`,
      );
    }
    const nowMs = this.#now();
    const bytes = typeof value === 'string' ? bytesOf(value) : value;
    this.#store.write(nowMs, recordKey(space, group, keyBytes), bytes, ttlMs === 0 ? 0 : nowMs + ttlMs);
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new HearsayError('ERR_MAP_CLOSED', `map ${JSON.stringify(this.name)} was closed`);
  }
}

const SPACE_NAMES: Record<number, MapChange['space']> = {
  [SPACE.shared]: 'shared',
  [SPACE.own]: 'own',
  [SPACE.counter]: 'counter',
  [SPACE.set]: 'set',
  [SPACE.register]: 'register',
};

function toMapChange({ space, group, rest, type, payload, previous, node, isLocal }: StoreChange): MapChange {
  const isKeyed = space === SPACE.shared || space === SPACE.own;
  const element = space === SPACE.set ? MapSet.elementIn(rest) : undefined;
  return {
    type,
    space: SPACE_NAMES[space] as MapChange['space'],
    key: textOf(isKeyed ? rest : group),
    owner: space === SPACE.own ? textOf(group) : undefined,
    value:
      element && type === 'set'
        ? element
        : payload && space === SPACE.register
          ? MultiRegister.valueIn(payload)
          : payload,
    previous:
      element && type !== 'set'
        ? element
        : previous && space === SPACE.register
          ? MultiRegister.valueIn(previous)
          : previous,
    node,
    isLocal,
  };
}

function jsonOf(value: unknown): string {
  const text = JSON.stringify(value);
  if (text === undefined) {
    throw new HearsayError('ERR_ARGUMENT_INVALID', `value: expected something that JSON can hold, got ${typeof value}`);
  }
  return text;
}
