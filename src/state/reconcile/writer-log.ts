import type { StateHash } from './hashes.ts';
import type { RangeSum, WriterLogView, WriterVersion } from './port.ts';
import { SequenceList } from './sequence-list.ts';

/** Runs of sequences that came before the ones below them; more are not remembered, which costs a repetition and nothing else. */
export const AHEAD_MAX = 256;

/** Writers of whom nothing is held are remembered up to this number: a peer may name as many as it likes. */
const WRITERS_MAX = 65_536;

interface Writer {
  readonly list: SequenceList;
  version: WriterVersion;
  /** What version.ahead shows. */
  readonly ahead: number[];
  /** What the sum holds of this writer. */
  countedMax: number;
  countedGc: number;
  isDirty: boolean;
}

/**
 * Records by writer and sequence, and how much of each writer is covered (van Renesse et al. 2008: max(map); chitchat: max version and gc
 * version). Rumors arrive in any order, so coverage also remembers runs above a gap, until the gap is filled.
 */
export class WriterLog implements WriterLogView {
  readonly #sum: RangeSum = { count: 0, low: 0, high: 0 };
  /** Writers whose version moved since the sum was last asked for: a million writes of one writer are hashed once. */
  readonly #dirty: Writer[] = [];
  readonly #hash: StateHash;
  readonly #writers = new Map<string, Writer>();

  constructor(hash: StateHash) {
    this.#hash = hash;
  }

  get writers(): number {
    return this.#writers.size;
  }

  get sum(): RangeSum {
    for (const writer of this.#dirty) {
      const { max, gc } = writer.version;
      this.#count(writer, -1);
      writer.countedMax = max;
      writer.countedGc = gc;
      this.#count(writer, 1);
      writer.isDirty = false;
    }
    this.#dirty.length = 0;
    return this.#sum;
  }

  version(writer: string): WriterVersion | undefined {
    return this.#writers.get(writer)?.version;
  }

  *versions(): IterableIterator<WriterVersion> {
    for (const { version } of this.#writers.values()) yield version;
  }

  countAfter(writer: string, after: number): number {
    return this.#writers.get(writer)?.list.countAfter(after) ?? 0;
  }

  visitAfter(writer: string, after: number, visit: (sequence: number, slot: number) => boolean): void {
    this.#writers.get(writer)?.list.visitAfter(after, visit);
  }

  /** Slot of a write; -1 when the store does not hold it. */
  slotOf(writer: string, sequence: number): number {
    return this.#writers.get(writer)?.list.get(sequence) ?? -1;
  }

  /** A record was stored. Says nothing about coverage. */
  add(writer: string, sequence: number, slot: number): void {
    this.#writer(writer).list.set(sequence, slot);
  }

  /** A record was removed or superseded; false when it was not there. */
  remove(writer: string, sequence: number): boolean {
    return this.#writers.get(writer)?.list.delete(sequence) ?? false;
  }

  /** True when this write was taken here, or something that supersedes it. */
  isCovered(writer: string, sequence: number): boolean {
    const known = this.#writers.get(writer);
    if (!known) return false;
    if (sequence <= known.version.max) return true;
    return sequence >= (known.ahead[runAt(known.ahead, sequence)] ?? Infinity);
  }

  /** Everything of `writer` after `from` up to `to` is covered. A single write is cover(writer, sequence - 1, sequence). */
  cover(name: string, from: number, to: number): void {
    if (this.#writers.size >= WRITERS_MAX && !this.#writers.has(name)) return;
    const writer = this.#writer(name);
    const { ahead, version } = writer;
    if (to <= version.max || to <= from) return;
    if (ahead.length === 0 && from <= version.max) {
      this.#become(writer, { ...version, max: to });
      return;
    }
    let first = from + 1;
    let last = to;
    // Runs that end before this one begins stay; those that touch it become one with it.
    const at = runAt(ahead, first - 1);
    let end = at;
    for (; end < ahead.length && (ahead[end] as number) <= last + 1; end += 2) {
      first = Math.min(first, ahead[end] as number);
      last = Math.max(last, ahead[end + 1] as number);
    }
    ahead.splice(at, end - at, first, last);
    let { max } = version;
    while (ahead.length > 0 && (ahead[0] as number) <= max + 1) {
      max = Math.max(max, ahead[1] as number);
      ahead.splice(0, 2);
    }
    if (ahead.length > 2 * AHEAD_MAX) ahead.length = 2 * AHEAD_MAX;
    if (max > version.max) this.#become(writer, { ...version, max });
  }

  /** A tombstone, the write `gc` of this writer, was let go here; others before it may have been. Says nothing about other writes below. Never goes back. */
  collect(name: string, gc: number): void {
    this.cover(name, gc - 1, gc);
    const writer = this.#writer(name);
    if (gc > writer.version.gc) this.#become(writer, { ...writer.version, gc });
  }

  /** Forgets a writer without records; false when it has some. Whatever it wrote would be news again. */
  forget(name: string): boolean {
    const writer = this.#writers.get(name);
    if (!writer || writer.list.length > 0) return false;
    this.#become(writer, { ...writer.version, max: 0, gc: 0 });
    this.#writers.delete(name);
    return true;
  }

  #writer(name: string): Writer {
    const known = this.#writers.get(name);
    if (known) return known;
    const ahead: number[] = [];
    const writer: Writer = {
      list: new SequenceList(),
      version: { writer: name, max: 0, gc: 0, ahead },
      ahead,
      countedMax: 0,
      countedGc: 0,
      isDirty: false,
    };
    this.#writers.set(name, writer);
    return writer;
  }

  #become(writer: Writer, version: WriterVersion): void {
    writer.version = version;
    if (writer.isDirty) return;
    writer.isDirty = true;
    this.#dirty.push(writer);
  }

  /** A writer of whom nothing is known counts as none. */
  #count({ version, countedMax, countedGc }: Writer, sign: 1 | -1): void {
    if (countedMax === 0 && countedGc === 0) return;
    const sum = this.#sum;
    this.#hash.ofVersion(version.writer, countedMax, countedGc);
    const low = sum.low + sign * this.#hash.low;
    sum.count += sign;
    sum.high = (sum.high + sign * this.#hash.high + Math.floor(low / 4294967296)) >>> 0;
    sum.low = low >>> 0;
  }
}

/** Index of the first run that does not end before `sequence`. */
function runAt(ahead: readonly number[], sequence: number): number {
  let low = 0;
  let high = ahead.length >>> 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ahead[2 * middle + 1] as number) < sequence) low = middle + 1;
    else high = middle;
  }
  return 2 * low;
}
