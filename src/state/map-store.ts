import { bytesOf, textOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { compareStamps, HybridClock, type Stamp } from './clock.ts';
import { type MapLimits, RECORD_KEY_BYTES_MAX } from './limits.ts';
import type {
  ApplyResult,
  Cover,
  HashIndexView,
  RangeSum,
  RecentView,
  ReconcileStore,
  StateEntry,
  WriteName,
  WriterLogView,
} from './reconcile/port.ts';
import {
  copyEntry,
  decodeValue,
  encodeValue,
  expiryOf,
  groupId,
  latin1,
  mayWrite,
  nodeOf,
  parseKey,
  type RecordKey,
  type RecordValue,
  recordKey,
  SPACE,
  type Space,
  VALUE_HEAD_BYTES,
  writerOf,
} from './record.ts';
import { KIND, RecordTable, supersedes } from './record-table.ts';
import { Refusals } from './refusals.ts';
import type { Dormant, StoreChange, StoreOptions, StoreStats } from './store-types.ts';

const NO_BASE: Stamp = { timeMs: 0, counter: 0 };
const NO_PAYLOAD = new Uint8Array(0);
/** The value of every tombstone that time made. */
const EXPIRED = encodeValue({ expiresMs: 0, base: NO_BASE, payload: NO_PAYLOAD });
/** Expiries are kept by the second. */
const SECOND_MS = 1000;

/**
 * The records of one map on one node, with the rules about them. Sans-I/O; time is an argument, ms since 1970.
 *
 *  - The last writer wins, by hybrid logical clock, then by the writer's name.
 *  - A deleted record is a tombstone until every live member has seen it (certificates.ts decides); then some nodes keep it aside, dormant, and the others
 *    know by coverage that they saw the end of what came before (reconcile/port.ts, `obsolete`).
 *  - What expires becomes a tombstone, and what a node that is gone owned is removed, by each node for itself.
 */
export class MapStore implements ReconcileStore {
  readonly index: HashIndexView;
  readonly log: WriterLogView;
  readonly recent: RecentView;
  readonly clock = new HybridClock();
  readonly stats: StoreStats = {
    written: 0,
    applied: 0,
    stale: 0,
    refused: 0,
    obsolete: 0,
    discarded: 0,
    expired: 0,
    conflicts: 0,
    tombstonesCollected: 0,
    awakened: 0,
  };
  readonly table: RecordTable;
  /** Which tombstones stay here, aside, when they are let go of; Certificates decides. */
  isKeptHere: (key: Uint8Array) => boolean = () => false;
  readonly #options: StoreOptions;
  readonly #sharedWriter: string;
  readonly #ownWriter: string;
  readonly #sequences = new Map<string, number>();
  /** Slots by group, but for the shared space. */
  readonly #groups = new Map<string, Set<number>>();
  readonly #tombstones = new Set<number>();
  /** Slots by the second in which they expire; some may have changed since. */
  readonly #expiries = new Map<number, number[]>();
  #sweptSecond = 0;
  readonly #refusals = new Refusals();
  /** By key as latin1, oldest first. */
  readonly #dormant = new Map<string, Dormant>();
  /** Owners whose records are not taken, because they are gone. */
  readonly #goneOwners = new Set<string>();

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#sharedWriter = writerOf(options.node, options.generation, false);
    this.#ownWriter = writerOf(options.node, options.generation, true);
    this.table = new RecordTable(options.hashKey);
    this.index = this.table.index;
    this.log = this.table.log;
    this.recent = this.table.recent;
  }

  get node(): string {
    return this.#options.node;
  }

  get limits(): MapLimits {
    return this.#options.limits;
  }

  get #isWatched(): boolean {
    return this.#options.isWatched?.() ?? false;
  }

  get tombstones(): number {
    return this.#tombstones.size;
  }

  get dormant(): ReadonlyMap<string, Dormant> {
    return this.#dormant;
  }

  read(slot: number): StateEntry {
    return this.table.read(slot);
  }

  // What this node writes

  /** Writer of our records in a space, and the sequence of the next one. */
  nextWrite(space: Space): { readonly writer: string; readonly sequence: number } {
    const writer = space === SPACE.own || space === SPACE.horizon ? this.#ownWriter : this.#sharedWriter;
    // A peer that lies, or knows of a life that we have forgotten, may have us covered beyond what we wrote: we go on above that.
    const covered = this.log.version(writer);
    const known = Math.max(this.#sequences.get(writer) ?? 0, covered?.max ?? 0, covered?.ahead.at(-1) ?? 0);
    return { writer, sequence: known + 1 };
  }

  /** Writes a value. Throws ERR_MAP_LIMIT; then nothing has changed. */
  write(nowMs: number, key: Uint8Array, payload: Uint8Array, expiresMs = 0): void {
    const { limits } = this.#options;
    if (payload.length > limits.valueBytes) {
      throw new HearsayError(
        'ERR_MAP_LIMIT',
        `value: expected at most ${limits.valueBytes} bytes, got ${payload.length}`,
      );
    }
    const slot = this.table.find(key);
    if (slot < 0) this.#checkRoom(key.length + payload.length + VALUE_HEAD_BYTES);
    this.#write(nowMs, key, slot, KIND.value, payload, expiresMs);
  }

  /** Puts a tombstone in place of a value; false when there is none. */
  remove(nowMs: number, key: Uint8Array): boolean {
    const slot = this.table.find(key);
    if (slot < 0 || this.table.kind(slot) !== KIND.value) return false;
    this.#write(nowMs, key, slot, KIND.tombstone, NO_PAYLOAD, 0);
    return true;
  }

  #write(nowMs: number, key: Uint8Array, slot: number, kind: number, payload: Uint8Array, expiresMs: number): void {
    const held = slot < 0 ? undefined : this.read(slot);
    if (held) this.clock.observe(held);
    this.clock.tick(nowMs);
    const { timeMs, counter } = this.clock;
    const { writer, sequence } = this.nextWrite((key[0] ?? SPACE.shared) as Space);
    const base = held ? { timeMs: held.timeMs, counter: held.counter } : NO_BASE;
    const value = encodeValue({ expiresMs, base, payload });
    const entry = { key, writer, sequence, timeMs, counter, kind, value };
    this.stats.written++;
    this.#take(entry, parseKey(key) as RecordKey, slot, true);
  }

  #checkRoom(bytes: number): void {
    const { limits } = this.#options;
    if (this.table.size + 1 > limits.records) {
      throw new HearsayError('ERR_MAP_LIMIT', `records: expected at most ${limits.records}, tombstones included`);
    }
    if (this.table.bytes + bytes > limits.totalBytes) {
      throw new HearsayError(
        'ERR_MAP_LIMIT',
        `totalBytes: expected at most ${limits.totalBytes} bytes of keys and values, got ${this.table.bytes + bytes}`,
      );
    }
  }

  // What it reads

  /** The value under a key, as a view; undefined when there is none, or its time is over. */
  get(nowMs: number, key: Uint8Array): RecordValue | undefined {
    const slot = this.table.find(key);
    return slot < 0 ? undefined : this.valueAt(nowMs, slot);
  }

  /** The value in a slot, as a view. */
  valueAt(nowMs: number, slot: number): RecordValue | undefined {
    if (this.table.kind(slot) !== KIND.value) return undefined;
    const value = decodeValue(this.read(slot).value);
    return value && (value.expiresMs === 0 || value.expiresMs > nowMs) ? value : undefined;
  }

  /** Slots of a group, live or not. Do not write while walking. */
  group(space: Space, group: Uint8Array): ReadonlySet<number> {
    return this.#groups.get(groupId(space, group)) ?? NONE;
  }

  /** All slots. Do not write while walking. */
  *all(): IterableIterator<number> {
    for (let slot = 0; slot < this.table.slots; slot++) if (this.table.has(slot)) yield slot;
  }

  // What others wrote

  apply(nowMs: number, entries: readonly StateEntry[], covers: readonly Cover[]): ApplyResult {
    const result = { applied: 0, stale: 0, refused: 0, obsolete: [] as number[] };
    for (let i = 0; i < entries.length; i++) {
      const outcome = this.#apply(nowMs, entries[i] as StateEntry);
      if (outcome === 'obsolete') result.obsolete.push(i);
      else result[outcome]++;
      if (outcome === 'refused') this.#refusals.refused(nowMs, entries[i] as StateEntry);
      else this.#refusals.taken(entries[i] as StateEntry);
    }
    for (const cover of covers) this.#refusals.cover(this.table.log, nowMs, cover);
    this.stats.applied += result.applied;
    this.stats.stale += result.stale;
    this.stats.refused += result.refused;
    this.stats.obsolete += result.obsolete.length;
    return result;
  }

  #apply(nowMs: number, entry: StateEntry): 'applied' | 'stale' | 'refused' | 'obsolete' {
    const key = parseKey(entry.key);
    if (key === undefined || !this.#isAllowed(nowMs, entry, key)) return 'refused';
    const slot = this.table.find(entry.key);
    if (slot < 0) {
      if (this.table.log.isCovered(entry.writer, entry.sequence)) return 'obsolete';
      if (this.#awaken(entry)) {
        this.table.log.cover(entry.writer, entry.sequence - 1, entry.sequence);
        return 'stale';
      }
      const { limits } = this.#options;
      const bytes = this.table.bytes + entry.key.length + entry.value.length;
      if (this.table.size >= limits.records || bytes > limits.totalBytes) return 'refused';
    } else {
      const held = this.read(slot);
      if (!supersedes(entry, held)) {
        this.table.log.cover(entry.writer, entry.sequence - 1, entry.sequence);
        this.#noteConflict(held, entry, key);
        return 'stale';
      }
      this.#noteConflict(entry, held, key);
    }
    this.clock.observe(entry);
    this.#take(entry, key, slot, false);
    // What we owned in an earlier life, and do not know of any more: it ended with that life.
    if (entry.kind === KIND.value && this.#isOfEarlierLife(entry.writer)) this.remove(nowMs, entry.key.slice());
    return 'applied';
  }

  #isAllowed(nowMs: number, { key, writer, timeMs, kind, value }: StateEntry, parsed: RecordKey): boolean {
    const { driftMaxMs, limits } = this.#options;
    if (key.length > RECORD_KEY_BYTES_MAX || value.length > limits.valueBytes + VALUE_HEAD_BYTES) return false;
    if (timeMs > nowMs + driftMaxMs || kind > KIND.tombstone || expiryOf(value) < 0) return false;
    if (!mayWrite(parsed, writer, kind === KIND.tombstone)) return false;
    return !(writer.endsWith('!') && this.#goneOwners.has(nodeOf(writer)));
  }

  /** Stores a record that is newer than what is there. */
  #take(entry: StateEntry, key: RecordKey, slot: number, isLocal: boolean): void {
    const previous = slot < 0 ? undefined : this.#payload(slot);
    if (slot >= 0) this.#untrack(slot);
    const put = this.table.put(entry, slot);
    this.table.log.cover(entry.writer, entry.sequence - 1, entry.sequence);
    if (isLocal) this.#sequences.set(entry.writer, entry.sequence);
    this.#track(put, key, entry);
    this.#options.fresh?.(put);
    this.#options.taken?.(entry, isLocal);
    this.#tell(key, entry.kind === KIND.value ? 'set' : 'delete', put, previous, nodeOf(entry.writer), isLocal);
  }

  /** A peer saw the end of this write. */
  discard(nowMs: number, { key, writer, sequence }: WriteName): void {
    const slot = this.table.find(key);
    if (slot < 0) return;
    const held = this.read(slot);
    if (held.writer !== writer || held.sequence !== sequence) return;
    if (held.kind === KIND.value && nodeOf(writer) === this.node && writer.endsWith('!')) {
      // Ours alone, and we live: whoever saw it end took us for dead, or knows an earlier life. It begins anew.
      const value = decodeValue(held.value) as RecordValue;
      this.#write(nowMs, key.slice(), slot, KIND.value, value.payload.slice(), value.expiresMs);
      return;
    }
    this.stats.discarded++;
    if (held.kind === KIND.tombstone) {
      this.#collect(nowMs, slot);
      return;
    }
    const previous = this.#payload(slot);
    this.#drop(slot);
    this.#tell(parseKey(key) as RecordKey, 'expire', -1, previous, nodeOf(writer), false);
  }

  #noteConflict(winner: StateEntry, loser: StateEntry, { space, rest }: RecordKey): void {
    const { conflicted } = this.#options;
    // Two deletions are of one mind.
    if (space !== SPACE.shared || (winner.kind === KIND.tombstone && loser.kind === KIND.tombstone)) return;
    if (winner.writer === loser.writer) return;
    const base = decodeValue(winner.value)?.base ?? NO_BASE;
    // Whoever wrote the winner held something at least as new as the loser: it knew.
    if (compareStamps(base, loser) >= 0) return;
    this.stats.conflicts++;
    conflicted?.({
      key: rest.slice(),
      winner: { payload: payloadOf(winner), node: nodeOf(winner.writer) },
      loser: { payload: payloadOf(loser), node: nodeOf(loser.writer) },
      isOurs: nodeOf(loser.writer) === this.node,
    });
  }

  // What ends

  /** Removes what has expired. */
  sweep(nowMs: number): void {
    const second = Math.floor(nowMs / SECOND_MS);
    if (this.#expiries.size === 0 || second <= this.#sweptSecond) {
      this.#sweptSecond = Math.max(second, this.#sweptSecond);
      return;
    }
    this.#sweptSecond = second;
    for (const [due, slots] of this.#expiries) {
      if (due >= second) continue;
      this.#expiries.delete(due);
      for (const slot of slots) {
        if (!this.table.has(slot) || this.table.kind(slot) !== KIND.value) continue;
        const entry = copyEntry(this.read(slot));
        const expiresMs = expiryOf(entry.value);
        if (expiresMs <= 0 || Math.floor(expiresMs / SECOND_MS) !== due) continue;
        this.#expire(slot, entry);
      }
    }
  }

  /**
   * A value becomes a tombstone at its own stamp, on every node by itself: it still supersedes what was older. A horizon just goes, or there would be tombstones about
   * tombstones for ever.
   */
  #expire(slot: number, entry: StateEntry): void {
    const key = parseKey(entry.key) as RecordKey;
    const previous = this.#payload(slot);
    this.stats.expired++;
    if (key.space === SPACE.horizon) {
      this.#drop(slot);
      return;
    }
    this.#untrack(slot);
    this.table.put({ ...entry, kind: KIND.tombstone, value: EXPIRED }, slot);
    this.#track(slot, key, { kind: KIND.tombstone, value: EXPIRED });
    this.#tell(key, 'expire', -1, previous, nodeOf(entry.writer), false);
  }

  /** A node is gone for good, or is there (again): what it owns is removed and not taken, or taken. */
  setOwnerGone(node: string, isGone: boolean): void {
    if (isGone === this.#goneOwners.has(node)) return;
    if (!isGone) {
      this.#goneOwners.delete(node);
      this.#refusals.forget((writer) => nodeOf(writer) === node);
      return;
    }
    this.#goneOwners.add(node);
    const writers = new Set<string>();
    for (const slot of this.#slotsOfOwner(node)) {
      const { key, writer } = this.read(slot);
      const parsed = parseKey(key.slice()) as RecordKey;
      const previous = this.#payload(slot);
      writers.add(writer);
      this.stats.expired++;
      this.#drop(slot);
      if (previous) this.#tell(parsed, 'expire', -1, previous, node, false);
    }
    // Nothing is left of them, so nothing needs to be remembered: when the owner comes back, everything it says is news.
    for (const version of [...this.log.versions()]) {
      if (version.writer.endsWith('!') && nodeOf(version.writer) === node) writers.add(version.writer);
    }
    for (const writer of writers) this.table.log.forget(writer);
  }

  /** Owners that are gone. */
  get goneOwners(): ReadonlySet<string> {
    return this.#goneOwners;
  }

  /** Names of nodes that own something. */
  owners(): Set<string> {
    const names = new Set<string>();
    for (const id of this.#groups.keys()) {
      if (id.charCodeAt(0) === SPACE.own) names.add(textOf(unlatin1(id.slice(3))));
      else if (id.charCodeAt(0) === SPACE.horizon) {
        for (const slot of this.#groups.get(id) ?? NONE) names.add(nodeOf(this.read(slot).writer));
      }
    }
    return names;
  }

  #slotsOfOwner(node: string): number[] {
    const bytes = bytesOf(node);
    const horizon = this.table.find(recordKey(SPACE.horizon, NO_PAYLOAD, bytes));
    return [...this.group(SPACE.own, bytes), ...(horizon < 0 ? [] : [horizon])];
  }

  // Tombstones

  /** Sum over all tombstones that are not younger than `untilMs`. */
  tombstoneSum(untilMs: number): RangeSum {
    const sum = { count: 0, low: 0, high: 0 };
    for (const slot of this.#tombstones) if (this.table.timeMs(slot) <= untilMs) this.table.addTo(sum, slot);
    return sum;
  }

  /** Lets go of those: every live member has them. */
  collectTombstones(nowMs: number, untilMs: number): void {
    for (const slot of [...this.#tombstones]) {
      if (this.table.timeMs(slot) > untilMs) continue;
      this.#collect(nowMs, slot);
      this.stats.tombstonesCollected++;
    }
  }

  #collect(nowMs: number, slot: number): void {
    const { key, writer, sequence, timeMs, counter } = this.read(slot);
    // What one node alone may write nobody else may bring back to its end.
    if (!writer.endsWith('!') && this.isKeptHere(key))
      this.keepDormant(latin1(key), { timeMs, counter, writer, keptMs: nowMs });
    this.#drop(slot);
    this.table.log.collect(writer, sequence);
  }

  keepDormant(key: string, dormant: Dormant): void {
    this.#dormant.delete(key);
    this.#dormant.set(key, dormant);
    if (this.#dormant.size <= this.#options.dormantMax) return;
    for (const oldest of this.#dormant.keys()) {
      this.#dormant.delete(oldest);
      break;
    }
  }

  /** Forgets what was put aside before that. */
  forgetDormant(beforeMs: number): void {
    for (const [key, { keptMs }] of this.#dormant) {
      if (keptMs >= beforeMs) break;
      this.#dormant.delete(key);
    }
  }

  /**
   * An old version meets a dormant tombstone: that becomes active again, with the time of the deletion and a new place among our writes (Demers et al. 1987, §2.3). One step
   * later, because it now has another writer, which decides between equal stamps.
   */
  #awaken({ key, writer: other, timeMs: atMs, counter: step }: StateEntry): boolean {
    if (this.#dormant.size === 0) return false;
    const id = latin1(key);
    const dormant = this.#dormant.get(id);
    if (dormant === undefined) return false;
    this.#dormant.delete(id);
    const order = compareStamps(dormant, { timeMs: atMs, counter: step });
    if (order < 0 || (order === 0 && dormant.writer <= other)) return false;
    const stamp = new HybridClock();
    stamp.observe(dormant);
    stamp.tick(0);
    const { timeMs, counter } = stamp;
    const { writer, sequence } = this.nextWrite(SPACE.shared);
    this.stats.awakened++;
    this.#take(
      { key, writer, sequence, timeMs, counter, kind: KIND.tombstone, value: EXPIRED },
      parseKey(key) as RecordKey,
      -1,
      true,
    );
    return true;
  }

  // For snapshots

  /** A record as a snapshot holds it. Coverage comes separately. */
  restore(entry: StateEntry): void {
    const key = parseKey(entry.key);
    const slot = this.table.find(entry.key);
    if (key === undefined || (slot >= 0 && !supersedes(entry, this.read(slot)))) return;
    this.clock.observe(entry);
    this.#take(copyEntry(entry), key, slot, false);
  }

  /** What a snapshot held of ours is ours again, in this life. */
  adopt(nowMs: number): void {
    for (const slot of [...this.group(SPACE.own, bytesOf(this.node))]) {
      const held = this.read(slot);
      if (held.kind !== KIND.value || !this.#isOfEarlierLife(held.writer)) continue;
      const { payload, expiresMs } = decodeValue(held.value) as RecordValue;
      this.#write(nowMs, held.key.slice(), slot, KIND.value, payload.slice(), expiresMs);
    }
  }

  #isOfEarlierLife(writer: string): boolean {
    return writer.endsWith('!') && writer !== this.#ownWriter && nodeOf(writer) === this.node;
  }

  #drop(slot: number): void {
    this.#untrack(slot);
    this.table.drop(slot);
  }

  #track(slot: number, { space, group }: RecordKey, { kind, value }: Pick<StateEntry, 'kind' | 'value'>): void {
    if (space !== SPACE.shared) {
      const id = groupId(space, group);
      const slots = this.#groups.get(id);
      if (slots) slots.add(slot);
      else this.#groups.set(id, new Set([slot]));
    }
    if (kind === KIND.tombstone) {
      this.#tombstones.add(slot);
      return;
    }
    const expiresMs = expiryOf(value);
    if (expiresMs <= 0) return;
    const second = Math.floor(expiresMs / SECOND_MS);
    const slots = this.#expiries.get(second);
    if (slots) slots.push(slot);
    else this.#expiries.set(second, [slot]);
  }

  #untrack(slot: number): void {
    this.#tombstones.delete(slot);
    const { space, group } = parseKey(this.read(slot).key) as RecordKey;
    if (space === SPACE.shared) return;
    const id = groupId(space, group);
    const slots = this.#groups.get(id);
    slots?.delete(slot);
    if (slots?.size === 0) this.#groups.delete(id);
  }

  #payload(slot: number): Uint8Array | undefined {
    return this.#isWatched ? payloadOf(this.read(slot)) : undefined;
  }

  #tell(
    { space, group, rest }: RecordKey,
    type: StoreChange['type'],
    slot: number,
    previous: Uint8Array | undefined,
    node: string,
    isLocal: boolean,
  ): void {
    if (!this.#isWatched || space === SPACE.horizon) return;
    // A tombstone for what nobody here has seen changes nothing.
    if (type === 'delete' && previous === undefined) return;
    const payload = type === 'set' ? payloadOf(this.read(slot)) : undefined;
    this.#options.changed?.({
      space,
      group: group.slice(),
      rest: rest.slice(),
      type,
      payload,
      previous,
      node,
      isLocal,
    });
  }
}

const NONE: ReadonlySet<number> = new Set();

function payloadOf({ kind, value }: StateEntry): Uint8Array | undefined {
  return kind === KIND.value ? decodeValue(value)?.payload.slice() : undefined;
}

function unlatin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
