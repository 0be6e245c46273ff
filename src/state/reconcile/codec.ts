import { bytesOf, textOf } from '../../util/bytes.ts';
import {
  type Cover,
  KEY_BYTES_MAX,
  type RangeSum,
  REFUSED,
  type Refused,
  type StateEntry,
  VALUE_BYTES_MAX,
  WRITER_BYTES_MAX,
  type WriterVersion,
} from './port.ts';

/** Version of all message formats of this room. */
const FORMAT_VERSION = 1;
/** Bytes of a message, at most: a budget and one record above it. */
const MESSAGE_BYTES_MAX = 2 * VALUE_BYTES_MAX;
/** Bytes of it that are not records, at most, and records: what a receiver can deal with in a few milliseconds, whoever sent it. Senders stay well below. */
const REST_BYTES_MAX = 1 << 18;
const ENTRIES_READ_MAX = 1024;
/** Runs of one writer in a digest, at most. */
const RUNS_READ_MAX = 1024;
const COUNTER_MAX = 0xffff;
const TIME_MAX = 2 ** 48 - 1;

/** Appends to a buffer that grows; nothing here can fail. */
export class MessageWriter {
  #bytes: Uint8Array;
  #view: DataView;
  length = 0;

  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.length++] = value;
  }

  word(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.length, value, true);
    this.length += 4;
  }

  /** Unsigned below 2^53, 7 bits per byte, lowest first. */
  varint(value: number): void {
    this.#room(8);
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) this.#bytes[this.length++] = (rest % 128) | 128;
    this.#bytes[this.length++] = rest;
  }

  /** A difference of two such numbers: small ones take few bytes whatever their sign. */
  signed(value: number): void {
    this.varint(value >= 0 ? 2 * value : -2 * value - 1);
  }

  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** What was written, as an array of its own. */
  take(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + more));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Reads with all bounds checked. After the first failure everything reads as 0 and empty, and `refused` says why. */
export class MessageReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  refused: Refused | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    if (bytes.length > MESSAGE_BYTES_MAX) this.refused = REFUSED.oversized;
  }

  get left(): number {
    return this.refused === undefined ? this.#bytes.length - this.#at : 0;
  }

  fail(why: Refused): void {
    this.refused ??= why;
  }

  byte(): number {
    if (!this.#has(1)) return 0;
    return this.#bytes[this.#at++] as number;
  }

  word(): number {
    if (!this.#has(4)) return 0;
    const at = this.#at;
    const bytes = this.#bytes;
    this.#at += 4;
    const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    return (low | ((bytes[at + 3] as number) << 24)) >>> 0;
  }

  /** Refuses what is above `max`. */
  varint(max = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value <= max) return this.refused === undefined ? value : 0;
        break;
      }
      scale *= 128;
    }
    this.fail(REFUSED.malformed);
    return 0;
  }

  signed(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A view. */
  bytes(length: number): Uint8Array {
    if (!this.#has(length)) return EMPTY;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** A number of things that take `bytesEach` bytes at least: never more than the message can hold, so that nothing is allocated on a stranger's word. */
  count(bytesEach: number): number {
    const count = this.varint();
    if (count * bytesEach <= this.left) return count;
    this.fail(REFUSED.truncated);
    return 0;
  }

  /** True when all was read and nothing is left. */
  isWhole(): boolean {
    if (this.refused === undefined && this.#at !== this.#bytes.length) this.fail(REFUSED.malformed);
    return this.refused === undefined;
  }

  #has(length: number): boolean {
    if (this.refused !== undefined) return false;
    if (length <= this.#bytes.length - this.#at) return true;
    this.fail(REFUSED.truncated);
    return false;
  }
}

const EMPTY = new Uint8Array(0);

/** A message with its first three bytes: strategy, version of the format, flags. */
export function beginMessage(strategy: number, flags: number, capacity: number): MessageWriter {
  const out = new MessageWriter(capacity);
  out.byte(strategy);
  out.byte(FORMAT_VERSION);
  out.byte(flags);
  return out;
}

/** Reads those; flags beyond `flagsAll` are malformed. */
export function openMessage(
  strategy: number,
  bytes: Uint8Array,
  flagsAll: number,
): { readonly input: MessageReader; readonly flags: number } {
  const input = new MessageReader(bytes);
  if (input.byte() !== strategy) input.fail(REFUSED.unknown);
  if (input.byte() !== FORMAT_VERSION) input.fail(REFUSED.unknown);
  const flags = input.byte();
  if ((flags & ~flagsAll) !== 0) input.fail(REFUSED.malformed);
  return { input, flags };
}

export function writeSum(out: MessageWriter, { count, low, high }: RangeSum): void {
  out.varint(count);
  out.word(low);
  out.word(high);
}

export function readSum(input: MessageReader): RangeSum {
  return { count: input.varint(), low: input.word(), high: input.word() };
}

/** Records and versions of one message: writers are spelled out once, sequences and clocks are written as differences. */
export class EntryWriter {
  readonly #out: MessageWriter;
  /** Number of a writer, from 1 up, and the sequence written last. */
  readonly #writers = new Map<string, { readonly number: number; sequence: number }>();
  #timeMs = 0;

  constructor(out: MessageWriter) {
    this.#out = out;
  }

  entry({ key, writer, sequence, timeMs, counter, kind, value }: StateEntry): void {
    const out = this.#out;
    const known = this.writer(writer);
    out.signed(sequence - known.sequence);
    out.signed(timeMs - this.#timeMs);
    out.varint(counter);
    out.byte(kind);
    out.varint(key.length);
    out.bytes(key);
    out.varint(value.length);
    out.bytes(value);
    known.sequence = sequence;
    this.#timeMs = timeMs;
  }

  /** With its runs, as many as are asked for. */
  version({ writer, max, gc, ahead }: WriterVersion, runs = 0): void {
    this.writer(writer);
    this.#out.varint(max);
    this.#out.varint(gc);
    const numbers = Math.min(ahead.length, 2 * runs);
    this.#out.varint(numbers >>> 1);
    let last = max;
    for (let i = 0; i < numbers; i++) {
      this.#out.varint((ahead[i] as number) - last);
      last = ahead[i] as number;
    }
  }

  cover({ writer, from, to }: Cover): void {
    this.writer(writer);
    this.#out.varint(from);
    this.#out.varint(to - from);
  }

  writer(name: string): { sequence: number } {
    const known = this.#writers.get(name);
    if (known) {
      this.#out.varint(known.number);
      return known;
    }
    const bytes = bytesOf(name);
    this.#out.varint(0);
    this.#out.varint(bytes.length);
    this.#out.bytes(bytes);
    const added = { number: this.#writers.size + 1, sequence: 0 };
    this.#writers.set(name, added);
    return added;
  }
}

/** The least that an entry, a version and a cover take. */
export const ENTRY_BYTES_MIN = 8;
export const VERSION_BYTES_MIN = 4;
const COVER_BYTES_MIN = 3;

/** The other half of EntryWriter. Keys and values are views of the message. */
export class EntryReader {
  readonly #in: MessageReader;
  readonly #writers: { readonly name: string; sequence: number }[] = [];
  #timeMs = 0;

  constructor(input: MessageReader) {
    this.#in = input;
  }

  entries(): StateEntry[] {
    const entries: StateEntry[] = [];
    const count = this.#in.count(ENTRY_BYTES_MIN);
    if (count > ENTRIES_READ_MAX) this.#in.fail(REFUSED.oversized);
    for (let left = count; left > 0 && this.#in.refused === undefined; left--) {
      const entry = this.#entry();
      if (entry) entries.push(entry);
    }
    if (this.#in.left > REST_BYTES_MAX) this.#in.fail(REFUSED.oversized);
    return entries;
  }

  versions(): WriterVersion[] {
    const versions: WriterVersion[] = [];
    for (let left = this.#in.count(VERSION_BYTES_MIN); left > 0 && this.#in.refused === undefined; left--) {
      const { name } = this.writer();
      const max = this.#in.varint();
      const gc = this.#in.varint();
      const ahead: number[] = [];
      let last = max;
      const count = this.#in.count(2);
      if (count > RUNS_READ_MAX) this.#in.fail(REFUSED.oversized);
      for (let runs = count; runs > 0 && this.#in.refused === undefined; runs--) {
        // Apart from what is before it: otherwise it would be no run of its own.
        const first = last + this.#in.varint(Number.MAX_SAFE_INTEGER - last);
        if (first < last + 2) this.#in.fail(REFUSED.malformed);
        last = first + this.#in.varint(Number.MAX_SAFE_INTEGER - first);
        ahead.push(first, last);
      }
      versions.push({ writer: name, max, gc, ahead });
    }
    return versions;
  }

  covers(): Cover[] {
    const covers: Cover[] = [];
    for (let left = this.#in.count(COVER_BYTES_MIN); left > 0 && this.#in.refused === undefined; left--) {
      const { name } = this.writer();
      const from = this.#in.varint();
      covers.push({ writer: name, from, to: from + this.#in.varint(Number.MAX_SAFE_INTEGER - from) });
    }
    return covers;
  }

  writer(): { readonly name: string; sequence: number } {
    const number = this.#in.varint();
    if (number === 0) {
      const length = this.#in.varint(WRITER_BYTES_MAX);
      const writer = { name: textOf(this.#in.bytes(length)), sequence: 0 };
      if (length === 0) this.#in.fail(REFUSED.malformed);
      this.#writers.push(writer);
      return writer;
    }
    const known = this.#writers[number - 1];
    if (known) return known;
    this.#in.fail(REFUSED.malformed);
    return { name: '', sequence: 0 };
  }

  #entry(): StateEntry | undefined {
    const input = this.#in;
    const known = this.writer();
    const sequence = known.sequence + input.signed();
    const timeMs = this.#timeMs + input.signed();
    const counter = input.varint(COUNTER_MAX);
    const kind = input.byte();
    const key = input.bytes(input.varint(KEY_BYTES_MAX));
    const value = input.bytes(input.varint(VALUE_BYTES_MAX));
    if (key.length === 0 || !Number.isSafeInteger(sequence) || sequence < 1 || timeMs < 0 || timeMs > TIME_MAX) {
      input.fail(REFUSED.malformed);
      return undefined;
    }
    known.sequence = sequence;
    this.#timeMs = timeMs;
    return { key, writer: known.name, sequence, timeMs, counter, kind, value };
  }
}

/** Bytes that an entry takes in a message, at most, but for the name of its writer. */
export function entryBytesMax({ key, value }: StateEntry): number {
  return key.length + value.length + 32;
}
