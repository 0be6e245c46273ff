// A plain store of last-writer-wins registers behind the port, for benchmarks and tests of the strategies by themselves: columns and bytes in pages, so that a
// million records cost no objects. What a real map has besides (limits, subscriptions, dormant tombstones, snapshots) would only be noise here.
import { HashIndex } from '../../src/state/reconcile/hash-index.ts';
import { StateHash } from '../../src/state/reconcile/hashes.ts';
import type { ApplyResult, Cover, ReconcileStore, StateEntry, WriteName } from '../../src/state/reconcile/port.ts';
import { RecentList } from '../../src/state/reconcile/recent-list.ts';
import { WriterLog } from '../../src/state/reconcile/writer-log.ts';
import { bytesEqual } from '../../src/util/bytes.ts';

export const KIND = { value: 0, tombstone: 1 } as const;
export const TEST_KEY = Uint32Array.of(0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210);

const PAGE = 1 << 14;
const HEAP_PAGE_BYTES = 1 << 20;

class Page {
  readonly sequence = new Float64Array(PAGE);
  readonly timeMs = new Float64Array(PAGE);
  readonly writer = new Uint32Array(PAGE);
  readonly heapPage = new Uint32Array(PAGE);
  readonly heapAt = new Uint32Array(PAGE);
  readonly position = new Uint32Array(PAGE);
  readonly keyLength = new Uint16Array(PAGE);
  readonly valueLength = new Uint32Array(PAGE);
  readonly counter = new Uint16Array(PAGE);
  readonly kind = new Uint8Array(PAGE);
}

export class RegisterStore implements ReconcileStore {
  readonly hash: StateHash;
  readonly index: HashIndex;
  readonly log: WriterLog;
  readonly recent = new RecentList();
  readonly #name: string;
  readonly #pages: Page[] = [];
  readonly #heap: Uint8Array[] = [];
  #heapTop = HEAP_PAGE_BYTES;
  readonly #writers: string[] = [];
  readonly #writerNumbers = new Map<string, number>();
  readonly #free: number[] = [];
  #slots = 0;
  #sequence = 0;

  constructor(name: string, key = TEST_KEY) {
    this.#name = name;
    this.hash = new StateHash(key);
    this.index = new HashIndex(this.hash.keyId);
    this.log = new WriterLog(this.hash);
  }

  get size(): number {
    return this.index.size;
  }

  /** A write of this node itself. */
  write(key: Uint8Array, value: Uint8Array, timeMs: number, kind: number = KIND.value): StateEntry {
    this.#sequence++;
    const entry = { key, writer: this.#name, sequence: this.#sequence, timeMs, counter: 0, kind, value };
    this.apply(timeMs, [entry], [{ writer: this.#name, from: this.#sequence - 1, to: this.#sequence }]);
    return entry;
  }

  get(key: Uint8Array): StateEntry | undefined {
    this.hash.ofKey(key);
    const slot = this.#find(this.hash.position, key);
    return slot < 0 ? undefined : this.read(slot);
  }

  read(slot: number): StateEntry {
    const page = this.#pages[Math.floor(slot / PAGE)] as Page;
    const at = slot % PAGE;
    const heap = this.#heap[page.heapPage[at] as number] as Uint8Array;
    const from = page.heapAt[at] as number;
    const middle = from + (page.keyLength[at] as number);
    return {
      key: heap.subarray(from, middle),
      writer: this.#writers[page.writer[at] as number] as string,
      sequence: page.sequence[at] as number,
      timeMs: page.timeMs[at] as number,
      counter: page.counter[at] as number,
      kind: page.kind[at] as number,
      value: heap.subarray(middle, middle + (page.valueLength[at] as number)),
    };
  }

  apply(_nowMs: number, entries: readonly StateEntry[], covers: readonly Cover[]): ApplyResult {
    let applied = 0;
    let stale = 0;
    const obsolete: number[] = [];
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as StateEntry;
      this.hash.ofRecord(entry);
      const { position, low, high } = this.hash;
      const known = this.#find(position, entry.key);
      if (known < 0) {
        if (this.log.isCovered(entry.writer, entry.sequence)) {
          obsolete.push(i);
          continue;
        }
        this.#put(this.#free.pop() ?? this.#slots++, entry, position, low, high);
        applied++;
      } else if (supersedes(entry, this.read(known))) {
        this.#take(known);
        this.#put(known, entry, position, low, high);
        applied++;
      } else stale++;
      this.log.cover(entry.writer, entry.sequence - 1, entry.sequence);
    }
    for (const { writer, from, to } of covers) this.log.cover(writer, from, to);
    return { applied, stale, refused: 0, obsolete };
  }

  discard(_nowMs: number, { key, writer, sequence }: WriteName): void {
    this.hash.ofKey(key);
    const slot = this.#find(this.hash.position, key);
    if (slot < 0) return;
    const held = this.read(slot);
    if (held.writer === writer && held.sequence === sequence) this.#drop(slot);
  }

  /** Forgets a tombstone, as a store does when everybody has seen it. */
  collect(key: Uint8Array): void {
    this.hash.ofKey(key);
    const slot = this.#find(this.hash.position, key);
    if (slot < 0) return;
    const { writer, sequence, kind } = this.read(slot);
    if (kind !== KIND.tombstone) return;
    this.#drop(slot);
    this.log.collect(writer, sequence);
  }

  /** All records as text, ordered: two stores are the same when these are. */
  dump(): string[] {
    const lines: string[] = [];
    this.index.visit(0, 0, (slot) => {
      const { key, writer, sequence, timeMs, counter, kind, value } = this.read(slot);
      return lines.push(`${key} ${writer} ${sequence} ${timeMs} ${counter} ${kind} ${value}`) > 0;
    });
    return lines.sort();
  }

  #find(position: number, key: Uint8Array): number {
    return this.index.find(position, (slot) => {
      const page = this.#pages[Math.floor(slot / PAGE)] as Page;
      const at = slot % PAGE;
      if (page.keyLength[at] !== key.length) return false;
      const heap = this.#heap[page.heapPage[at] as number] as Uint8Array;
      const from = page.heapAt[at] as number;
      for (let i = 0; i < key.length; i++) if (heap[from + i] !== key[i]) return false;
      return true;
    });
  }

  #put(slot: number, entry: StateEntry, position: number, low: number, high: number): void {
    while (Math.floor(slot / PAGE) >= this.#pages.length) this.#pages.push(new Page());
    const page = this.#pages[Math.floor(slot / PAGE)] as Page;
    const at = slot % PAGE;
    const { key, value } = entry;
    const bytes = key.length + value.length;
    if (this.#heapTop + bytes > HEAP_PAGE_BYTES) {
      this.#heap.push(new Uint8Array(Math.max(HEAP_PAGE_BYTES, bytes)));
      this.#heapTop = 0;
    }
    const heap = this.#heap.at(-1) as Uint8Array;
    heap.set(key, this.#heapTop);
    heap.set(value, this.#heapTop + key.length);
    page.heapPage[at] = this.#heap.length - 1;
    page.heapAt[at] = this.#heapTop;
    this.#heapTop += bytes;
    page.keyLength[at] = key.length;
    page.valueLength[at] = value.length;
    page.writer[at] = this.#writerNumber(entry.writer);
    page.sequence[at] = entry.sequence;
    page.timeMs[at] = entry.timeMs;
    page.counter[at] = entry.counter;
    page.kind[at] = entry.kind;
    page.position[at] = position;
    this.index.add(slot, position, low, high);
    this.log.add(entry.writer, entry.sequence, slot);
    this.recent.touch(slot);
  }

  #drop(slot: number): void {
    this.#take(slot);
    this.#free.push(slot);
  }

  #take(slot: number): void {
    const page = this.#pages[Math.floor(slot / PAGE)] as Page;
    const at = slot % PAGE;
    this.index.remove(slot, page.position[at] as number);
    this.log.remove(this.#writers[page.writer[at] as number] as string, page.sequence[at] as number);
    this.recent.remove(slot);
  }

  #writerNumber(name: string): number {
    const known = this.#writerNumbers.get(name);
    if (known !== undefined) return known;
    this.#writers.push(name);
    this.#writerNumbers.set(name, this.#writers.length - 1);
    return this.#writers.length - 1;
  }
}

/** Newer clock, then the writer's name, then its sequence, then the bytes: total, so that all stores choose alike. */
function supersedes(a: StateEntry, b: StateEntry): boolean {
  if (a.timeMs !== b.timeMs) return a.timeMs > b.timeMs;
  if (a.counter !== b.counter) return a.counter > b.counter;
  if (a.writer !== b.writer) return a.writer > b.writer;
  if (a.sequence !== b.sequence) return a.sequence > b.sequence;
  if (a.kind !== b.kind) return a.kind > b.kind;
  if (bytesEqual(a.value, b.value)) return false;
  return String(a.value) > String(b.value);
}
