import {
  beginMessage,
  ENTRY_BYTES_MIN,
  EntryReader,
  EntryWriter,
  type MessageReader,
  MessageWriter,
  openMessage,
  readSum,
  writeSum,
} from './codec.ts';
import {
  KEY_BYTES_MAX,
  type RangeSum,
  REFUSED,
  type Refused,
  type StateEntry,
  type WriteName,
  type WriterVersion,
} from './port.ts';

/**
 * Messages of range-based and Merkle reconciliation:
 *
 *   strategy u8 | version u8 | flags u8 | step varint | key id u32 | root, when flagged: count varint, sum 8, writers varint, sum of versions 8
 *   entries | versions | obsolete | pulls | sums | lists | wants        each begins with its count, varint
 *
 *   entry      see EntryWriter
 *   obsolete   writer, sequence (signed difference), length of the key varint, key
 *   pull       depth u8, prefix u32
 *   sums       groups of (depth u8, bits u8, n varint, n x (prefix varint, 2^bits fingerprints))
 *   lists      groups of (depth u8, n varint, n x (prefix varint, count varint, ids)); wants the same
 *
 * Prefixes are written as differences to the one before in their group, u32 with wrap-around.
 */

export const RANGE_FLAG = {
  /** The sender has more to say: answer, with nothing if need be. */
  more: 1,
  /** Sums of the whole store follow. */
  root: 2,
  /** The sender is done: no answer. */
  last: 4,
  /** Another message follows at once: no answer yet. */
  stream: 8,
} as const;
const FLAGS_ALL = 15;
/** Children of one node, as bits, at most. */
export const SPLIT_BITS_MAX = 12;

/** Part of the hash space: the upper `depth` bits, right-aligned. */
export interface Range {
  readonly prefix: number;
  readonly depth: number;
}

/** Fingerprints of the 2^bits parts of a range; words per fingerprint as the plan says. */
export interface SumsPart extends Range {
  readonly bits: number;
  readonly sums: Uint32Array;
}

/** Ids of records in a range: words per id as the plan says. */
export interface IdsPart extends Range {
  readonly ids: Uint32Array;
}

export interface Roots {
  readonly records: RangeSum;
  readonly versions: RangeSum;
}

export interface RangeMessage {
  readonly flags: number;
  readonly step: number;
  readonly keyId: number;
  readonly roots: Roots | undefined;
  readonly entries: readonly StateEntry[];
  readonly versions: readonly WriterVersion[];
  readonly obsolete: readonly WriteName[];
  readonly pulls: readonly Range[];
  readonly sums: readonly SumsPart[];
  readonly lists: readonly IdsPart[];
  readonly wants: readonly IdsPart[];
}

/** Words of a fingerprint and of an id, 1 or 2. */
export interface Widths {
  readonly sumWords: number;
  readonly idWords: number;
}

/** What is put together for one message. Entries are written at once, because they are views of a store. */
export class RangeDraft {
  readonly pulls: Range[] = [];
  readonly sums: SumsPart[] = [];
  readonly lists: IdsPart[] = [];
  readonly wants: IdsPart[] = [];
  readonly obsolete: WriteName[] = [];
  entries = 0;
  readonly #body = new MessageWriter();
  readonly #entries = new EntryWriter(this.#body);
  #partBytes = 0;

  /** Bytes so far, rounded up a little. */
  get length(): number {
    return this.#body.length + this.#partBytes;
  }

  /** True when it says or asks something. */
  get isEmpty(): boolean {
    return this.entries === 0 && this.obsolete.length === 0 && !this.isAsking;
  }

  get isAsking(): boolean {
    return this.pulls.length + this.sums.length + this.lists.length + this.wants.length > 0;
  }

  entry(entry: StateEntry): void {
    this.#entries.entry(entry);
    this.entries++;
  }

  pull(range: Range): void {
    this.pulls.push(range);
    this.#partBytes += 5;
  }

  addSums(part: SumsPart): void {
    this.sums.push(part);
    this.#partBytes += 4 + 4 * part.sums.length;
  }

  addList(part: IdsPart): void {
    this.lists.push(part);
    this.#partBytes += 5 + 4 * part.ids.length;
  }

  addWants(part: IdsPart): void {
    this.wants.push(part);
    this.#partBytes += 5 + 4 * part.ids.length;
  }

  encode(
    strategy: number,
    { flags, step, keyId }: { readonly flags: number; readonly step: number; readonly keyId: number },
    roots: Roots | undefined,
    versions: readonly WriterVersion[],
    runsMax: number,
  ): Uint8Array {
    const out = beginMessage(strategy, flags | (roots ? RANGE_FLAG.root : 0), this.length + 128);
    out.varint(step);
    out.word(keyId);
    if (roots) {
      writeSum(out, roots.records);
      writeSum(out, roots.versions);
    }
    out.varint(this.entries);
    this.#body.varint(versions.length);
    for (const version of versions) this.#entries.version(version, runsMax);
    this.#body.varint(this.obsolete.length);
    for (const { key, writer, sequence } of this.obsolete) {
      const known = this.#entries.writer(writer);
      this.#body.signed(sequence - known.sequence);
      this.#body.varint(key.length);
      this.#body.bytes(key);
      known.sequence = sequence;
    }
    out.bytes(this.#body.take());
    out.varint(this.pulls.length);
    for (const { depth, prefix } of this.pulls) {
      out.byte(depth);
      out.word(prefix);
    }
    writeGroups(out, this.sums, true);
    writeGroups(out, this.lists, false);
    writeGroups(out, this.wants, false);
    return out.take();
  }
}

type Part = Range & { readonly bits?: number; readonly sums?: Uint32Array; readonly ids?: Uint32Array };

function writeGroups(out: MessageWriter, parts: readonly Part[], hasBits: boolean): void {
  const groups: Part[][] = [];
  for (const part of parts) {
    const group = groups.at(-1);
    const first = group?.[0];
    if (group && first?.depth === part.depth && first.bits === part.bits) group.push(part);
    else groups.push([part]);
  }
  out.varint(groups.length);
  for (const group of groups) {
    const { depth, bits } = group[0] as Part;
    out.byte(depth);
    if (hasBits) out.byte(bits as number);
    out.varint(group.length);
    let previous = 0;
    for (const { prefix, sums, ids } of group) {
      out.varint((prefix - previous) >>> 0);
      previous = prefix;
      if (ids) out.varint(ids.length);
      for (const word of sums ?? ids ?? []) out.word(word);
    }
  }
}

/** Reads a whole message of this strategy, or says why not. Nothing of a refused one is of use. */
export function decodeRange(
  strategy: number,
  bytes: Uint8Array,
  { sumWords, idWords }: Widths,
): RangeMessage | Refused {
  const { input, flags } = openMessage(strategy, bytes, FLAGS_ALL);
  const step = input.varint();
  const keyId = input.word();
  const roots = (flags & RANGE_FLAG.root) !== 0 ? { records: readSum(input), versions: readSum(input) } : undefined;
  const reader = new EntryReader(input);
  const entries = reader.entries();
  const versions = reader.versions();
  const obsolete: WriteName[] = [];
  for (let left = input.count(4); left > 0 && input.refused === undefined; left--) {
    const known = reader.writer();
    known.sequence += input.signed();
    const key = input.bytes(input.varint(KEY_BYTES_MAX));
    obsolete.push({ key, writer: known.name, sequence: known.sequence });
  }
  const pulls: Range[] = [];
  for (let left = input.count(5); left > 0 && input.refused === undefined; left--) {
    const depth = input.byte();
    pulls.push(checked(input, { depth, prefix: input.word() }));
  }
  const sums: SumsPart[] = [];
  readGroups(input, true, (range, bits) => {
    if (bits > SPLIT_BITS_MAX || range.depth + bits > 32) input.fail(REFUSED.malformed);
    sums.push({ ...range, bits, sums: readWords(input, sumWords << Math.min(bits, SPLIT_BITS_MAX)) });
  });
  const lists: IdsPart[] = [];
  const wants: IdsPart[] = [];
  for (const parts of [lists, wants]) {
    readGroups(input, false, (range) => {
      const count = input.count(4);
      if (count % idWords !== 0) input.fail(REFUSED.malformed);
      parts.push({ ...range, ids: readWords(input, count) });
    });
  }
  if (!input.isWhole()) return input.refused as Refused;
  return { flags, step, keyId, roots, entries, versions, obsolete, pulls, sums, lists, wants };
}

function readGroups(input: MessageReader, hasBits: boolean, read: (range: Range, bits: number) => void): void {
  for (let groups = input.count(3); groups > 0 && input.refused === undefined; groups--) {
    const depth = input.byte();
    const bits = hasBits ? input.byte() : 0;
    let prefix = 0;
    for (let left = input.count(2); left > 0 && input.refused === undefined; left--) {
      prefix = (prefix + input.varint(0xffffffff)) >>> 0;
      read(checked(input, { prefix, depth }), bits);
    }
  }
}

function readWords(input: MessageReader, count: number): Uint32Array {
  if (4 * count > input.left) {
    input.fail(REFUSED.truncated);
    return new Uint32Array(0);
  }
  return Uint32Array.from({ length: count }, () => input.word());
}

function checked(input: MessageReader, range: Range): Range {
  if (range.depth > 32 || (range.depth < 32 && range.prefix >>> range.depth !== 0)) input.fail(REFUSED.malformed);
  return range;
}

/** What a message takes besides its parts, at most, without versions. */
export const RANGE_HEAD_BYTES = 48 + ENTRY_BYTES_MIN;
