import { bytesEqual, compareBytes } from '../util/bytes.ts';
import { ByteHeap } from './byte-heap.ts';
import { HashIndex } from './reconcile/hash-index.ts';
import { StateHash } from './reconcile/hashes.ts';
import type { StateEntry } from './reconcile/port.ts';
import { RecentList } from './reconcile/recent-list.ts';
import { WriterLog } from './reconcile/writer-log.ts';

/** Kinds of records: how StateEntry.kind is used. Append only. */
export const KIND = { value: 0, tombstone: 1 } as const;

const PAGE_BITS = 14;
const PAGE = 1 << PAGE_BITS;
const MASK = PAGE - 1;

class Columns {
  readonly sequence = new Float64Array(PAGE);
  readonly timeMs = new Float64Array(PAGE);
  readonly writer = new Uint32Array(PAGE);
  readonly heapPage = new Uint32Array(PAGE);
  readonly heapAt = new Uint32Array(PAGE);
  readonly position = new Uint32Array(PAGE);
  readonly low = new Uint32Array(PAGE);
  readonly high = new Uint32Array(PAGE);
  readonly keyLength = new Uint16Array(PAGE);
  readonly valueLength = new Uint32Array(PAGE);
  readonly counter = new Uint16Array(PAGE);
  readonly kind = new Uint8Array(PAGE);
}

/**
 * Records by slot, and what the strategies want of them: the two indexes and the list of what is recent. Columns in typed arrays and bytes in pages. Holds one
 * record per key; knows no rules about which one.
 */
export class RecordTable {
  readonly hash: StateHash;
  readonly index: HashIndex;
  readonly log: WriterLog;
  readonly recent = new RecentList();
  readonly #columns: Columns[] = [];
  readonly #heap = new ByteHeap();
  readonly #writers: string[] = [];
  readonly #writerNumbers = new Map<string, number>();
  /** Records by number of their writer; a number without any is used again. */
  readonly #writerRecords: number[] = [];
  readonly #freeWriters: number[] = [];
  readonly #free: number[] = [];
  #slots = 0;
  /** Bytes of keys and values. */
  bytes = 0;

  /** `key`: four u32 words, the same on all nodes (StateHash). */
  constructor(key: Uint32Array) {
    this.hash = new StateHash(key);
    this.index = new HashIndex(this.hash.keyId);
    this.log = new WriterLog(this.hash);
  }

  /** Number of records. */
  get size(): number {
    return this.index.size;
  }

  /** Slots that were ever used: a loop over all of them asks has(). */
  get slots(): number {
    return this.#slots;
  }

  has(slot: number): boolean {
    const columns = this.#columns[slot >>> PAGE_BITS];
    return columns !== undefined && columns.sequence[slot & MASK] !== 0;
  }

  /** Slot of a key; -1 when it is not there. Leaves `hash.position` at the key. */
  find(key: Uint8Array): number {
    this.hash.ofKey(key);
    return this.findAt(this.hash.position, key);
  }

  /** The same for a position that is known. */
  findAt(position: number, key: Uint8Array): number {
    return this.index.find(position, (slot) => {
      const columns = this.#columns[slot >>> PAGE_BITS] as Columns;
      const at = slot & MASK;
      if (columns.keyLength[at] !== key.length) return false;
      const heap = this.#heap.bytes(columns.heapPage[at] as number);
      const from = columns.heapAt[at] as number;
      for (let i = 0; i < key.length; i++) if (heap[from + i] !== key[i]) return false;
      return true;
    });
  }

  /** The record in a slot. Key and value are views that hold until the table changes. */
  read(slot: number): StateEntry {
    const columns = this.#columns[slot >>> PAGE_BITS] as Columns;
    const at = slot & MASK;
    const heap = this.#heap.bytes(columns.heapPage[at] as number);
    const from = columns.heapAt[at] as number;
    const middle = from + (columns.keyLength[at] as number);
    return {
      key: heap.subarray(from, middle),
      writer: this.#writers[columns.writer[at] as number] as string,
      sequence: columns.sequence[at] as number,
      timeMs: columns.timeMs[at] as number,
      counter: columns.counter[at] as number,
      kind: columns.kind[at] as number,
      value: heap.subarray(middle, middle + (columns.valueLength[at] as number)),
    };
  }

  sequence(slot: number): number {
    return this.#columns[slot >>> PAGE_BITS]?.sequence[slot & MASK] ?? 0;
  }

  timeMs(slot: number): number {
    return this.#columns[slot >>> PAGE_BITS]?.timeMs[slot & MASK] ?? 0;
  }

  kind(slot: number): number {
    return this.#columns[slot >>> PAGE_BITS]?.kind[slot & MASK] ?? 0;
  }

  /** Adds the fingerprint of a record to a sum. */
  addTo(sum: { count: number; low: number; high: number }, slot: number): void {
    const columns = this.#columns[slot >>> PAGE_BITS] as Columns;
    const low = sum.low + (columns.low[slot & MASK] as number);
    sum.count++;
    sum.high = (sum.high + (columns.high[slot & MASK] as number) + (low > 0xffffffff ? 1 : 0)) >>> 0;
    sum.low = low >>> 0;
  }

  /** Stores a record whose key is not there, or in place of the one in `slot`; the slot. Bytes are copied; they must not be views of this table. */
  put(entry: StateEntry, slot = -1): number {
    this.hash.ofRecord(entry);
    const { position, low, high } = this.hash;
    const { key, value } = entry;
    if (slot >= 0) this.#take(slot);
    const target = slot >= 0 ? slot : (this.#free.pop() ?? this.#slots++);
    while (target >>> PAGE_BITS >= this.#columns.length) this.#columns.push(new Columns());
    const columns = this.#columns[target >>> PAGE_BITS] as Columns;
    const at = target & MASK;
    this.#heap.allocate(key.length + value.length);
    const heap = this.#heap.bytes(this.#heap.page);
    heap.set(key, this.#heap.at);
    heap.set(value, this.#heap.at + key.length);
    this.bytes += key.length + value.length;
    columns.heapPage[at] = this.#heap.page;
    columns.heapAt[at] = this.#heap.at;
    columns.keyLength[at] = key.length;
    columns.valueLength[at] = value.length;
    columns.writer[at] = this.#writerNumber(entry.writer);
    columns.sequence[at] = entry.sequence;
    columns.timeMs[at] = entry.timeMs;
    columns.counter[at] = entry.counter;
    columns.kind[at] = entry.kind;
    columns.position[at] = position;
    columns.low[at] = low;
    columns.high[at] = high;
    this.index.add(target, position, low, high);
    this.log.add(entry.writer, entry.sequence, target);
    this.recent.touch(target);
    return target;
  }

  /** Removes a record. Says nothing about coverage. */
  drop(slot: number): void {
    this.#take(slot);
    (this.#columns[slot >>> PAGE_BITS] as Columns).sequence[slot & MASK] = 0;
    this.#free.push(slot);
  }

  /** All records as text, ordered: two tables hold the same when these are equal. For tests and small tables. */
  dump(): string[] {
    const lines: string[] = [];
    this.index.visit(0, 0, (slot) => {
      const { key, writer, sequence, timeMs, counter, kind, value } = this.read(slot);
      return lines.push(`${key} ${writer} ${sequence} ${timeMs} ${counter} ${kind} ${value}`) > 0;
    });
    return lines.sort();
  }

  #take(slot: number): void {
    const columns = this.#columns[slot >>> PAGE_BITS] as Columns;
    const at = slot & MASK;
    const length = (columns.keyLength[at] as number) + (columns.valueLength[at] as number);
    this.index.remove(slot, columns.position[at] as number);
    this.#releaseWriter(columns.writer[at] as number, columns.sequence[at] as number);
    this.recent.remove(slot);
    this.#heap.free(columns.heapPage[at] as number, columns.heapAt[at] as number, length);
    this.bytes -= length;
  }

  #writerNumber(name: string): number {
    const number = this.#writerNumbers.get(name) ?? this.#freeWriters.pop() ?? this.#writers.length;
    if (this.#writers[number] !== name) {
      this.#writers[number] = name;
      this.#writerNumbers.set(name, number);
      this.#writerRecords[number] = 0;
    }
    this.#writerRecords[number] = (this.#writerRecords[number] as number) + 1;
    return number;
  }

  #releaseWriter(number: number, sequence: number): void {
    const name = this.#writers[number] as string;
    this.log.remove(name, sequence);
    const left = (this.#writerRecords[number] as number) - 1;
    this.#writerRecords[number] = left;
    if (left > 0) return;
    this.#writerNumbers.delete(name);
    this.#writers[number] = '';
    this.#freeWriters.push(number);
  }
}

/** Newer clock, then the writer's name, then its sequence, then kind and bytes: total, so that all stores choose alike. */
export function supersedes(a: StateEntry, b: StateEntry): boolean {
  if (a.timeMs !== b.timeMs) return a.timeMs > b.timeMs;
  if (a.counter !== b.counter) return a.counter > b.counter;
  if (a.writer !== b.writer) return a.writer > b.writer;
  if (a.sequence !== b.sequence) return a.sequence > b.sequence;
  if (a.kind !== b.kind) return a.kind > b.kind;
  return !bytesEqual(a.value, b.value) && compareBytes(a.value, b.value) > 0;
}
