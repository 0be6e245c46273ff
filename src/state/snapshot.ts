import { Hash64 } from '../kernels/js/hash64.ts';
import { bytesOf, concatBytes, textOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import type { MapStore } from './map-store.ts';
import { EntryReader, EntryWriter, MessageReader, MessageWriter } from './reconcile/codec.ts';
import type { StateEntry, WriterVersion } from './reconcile/port.ts';
import { latin1 } from './record.ts';
import type { Dormant } from './store-types.ts';

/**
 * A map on disk (docs/wire.md §12): the magic, then frames, each with its length and the hash of everything up to its end, the last one of kind `end`. So a file that was
 * cut, or in which a bit has changed, is found out.
 *
 *   "hearsay map 1\n"  { kind u8 | length u32 LE | body | XXH3 of all bytes of the file before it, u64 LE } ...
 */
const MAGIC = bytesOf('hearsay map 1\n');
const FRAME = { name: 1, versions: 2, dormant: 3, entries: 4, end: 5 } as const;
const HEAD_BYTES = 5;
const HASH_BYTES = 8;
const FRAME_BYTES = 65_536;
/** Records in one frame, at most: what a reader takes. */
const ENTRIES_MAX = 512;
const VERSIONS_MAX = 256;
const DORMANT_MAX = 1024;
const RUNS_MAX = 1024;

/** What a restored snapshot held. */
export interface RestoredSnapshot {
  readonly records: number;
  readonly bytes: number;
}

/**
 * The pieces of a snapshot. What is covered is written first and the records afterwards, so that whatever the file claims to cover it also holds, or something newer, even
 * when the map changes while it is written.
 */
export function* snapshotChunks(store: MapStore, name: string): IterableIterator<Uint8Array> {
  const frames = new Frames();
  yield MAGIC;
  frames.feed(MAGIC);
  yield frames.frame(FRAME.name, bytesOf(name));
  const versions = [...store.log.versions()];
  for (let i = 0; i < versions.length; i += VERSIONS_MAX)
    yield frames.frame(FRAME.versions, encodeVersions(versions.slice(i, i + VERSIONS_MAX)));
  const dormant = [...store.dormant];
  for (let i = 0; i < dormant.length; i += DORMANT_MAX)
    yield frames.frame(FRAME.dormant, encodeDormant(dormant.slice(i, i + DORMANT_MAX)));
  let body = new MessageWriter(FRAME_BYTES);
  let writer = new EntryWriter(body);
  let count = 0;
  for (const slot of store.all()) {
    writer.entry(store.read(slot));
    if (++count < ENTRIES_MAX && body.length < FRAME_BYTES) continue;
    yield frames.frame(FRAME.entries, counted(count, body));
    body = new MessageWriter(FRAME_BYTES);
    writer = new EntryWriter(body);
    count = 0;
  }
  if (count > 0) yield frames.frame(FRAME.entries, counted(count, body));
  yield frames.frame(FRAME.end, new Uint8Array(0));
}

/** Takes a snapshot over, all of it or nothing. Throws ERR_SNAPSHOT_INVALID. */
export function restoreSnapshot(store: MapStore, name: string, nowMs: number, bytes: Uint8Array): RestoredSnapshot {
  const { entries, versions, dormant, holder } = read(bytes);
  if (holder !== name) throw invalid(`it is of map ${JSON.stringify(holder)}, not ${JSON.stringify(name)}`);
  for (const entry of entries) store.restore(entry);
  for (const { writer, max, gc, ahead } of versions) {
    store.apply(nowMs, [], [{ writer, from: 0, to: max }]);
    for (let i = 0; i < ahead.length; i += 2) {
      store.apply(nowMs, [], [{ writer, from: (ahead[i] as number) - 1, to: ahead[i + 1] as number }]);
    }
    if (gc > 0) store.table.log.collect(writer, gc);
  }
  for (const [key, value] of dormant) store.keepDormant(key, value);
  store.adopt(nowMs);
  return { records: entries.length, bytes: bytes.length };
}

interface Contents {
  holder: string;
  readonly entries: StateEntry[];
  readonly versions: WriterVersion[];
  readonly dormant: [string, Dormant][];
}

function read(bytes: Uint8Array): Contents {
  const contents: Contents = { holder: '', entries: [], versions: [], dormant: [] };
  if (latin1(bytes.subarray(0, MAGIC.length)) !== latin1(MAGIC)) throw invalid('it does not begin like one');
  const frames = new Frames();
  frames.feed(MAGIC);
  for (let at = MAGIC.length; ; ) {
    if (at + HEAD_BYTES + HASH_BYTES > bytes.length)
      throw invalid(`it ends after ${bytes.length} bytes, in the middle`);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const kind = bytes[at] as number;
    const end = at + HEAD_BYTES + view.getUint32(at + 1, true);
    if (end + HASH_BYTES > bytes.length) throw invalid(`it ends after ${bytes.length} bytes, in the middle`);
    const isSame = frames.isNext(bytes.subarray(at, end), bytes.subarray(end, end + HASH_BYTES));
    if (!isSame) throw invalid(`the frame at byte ${at} is damaged`);
    take(contents, kind, bytes.subarray(at + HEAD_BYTES, end), at);
    at = end + HASH_BYTES;
    if (kind !== FRAME.end) continue;
    if (at !== bytes.length) throw invalid(`${bytes.length - at} bytes follow its end`);
    return contents;
  }
}

function take(contents: Contents, kind: number, body: Uint8Array, at: number): void {
  const input = new MessageReader(body);
  if (kind === FRAME.name) {
    contents.holder = textOf(body);
    return;
  }
  if (kind === FRAME.versions) contents.versions.push(...new EntryReader(input).versions());
  else if (kind === FRAME.entries) contents.entries.push(...new EntryReader(input).entries());
  else if (kind === FRAME.dormant) contents.dormant.push(...decodeDormant(input));
  else if (kind !== FRAME.end) throw invalid(`the frame at byte ${at} is of an unknown kind`);
  if (!input.isWhole()) throw invalid(`the frame at byte ${at} cannot be read`);
}

function encodeVersions(versions: readonly WriterVersion[]): Uint8Array {
  const out = new MessageWriter();
  const writer = new EntryWriter(out);
  out.varint(versions.length);
  for (const version of versions) writer.version(version, RUNS_MAX);
  return out.take();
}

function encodeDormant(dormant: readonly (readonly [string, Dormant])[]): Uint8Array {
  const out = new MessageWriter();
  out.varint(dormant.length);
  for (const [key, { writer, timeMs, counter, keptMs }] of dormant) {
    out.varint(key.length);
    out.bytes(Uint8Array.from(key, (character) => character.charCodeAt(0)));
    const name = bytesOf(writer);
    out.varint(name.length);
    out.bytes(name);
    out.varint(timeMs);
    out.varint(counter);
    out.varint(keptMs);
  }
  return out.take();
}

function decodeDormant(input: MessageReader): [string, Dormant][] {
  const dormant: [string, Dormant][] = [];
  for (let left = input.count(5); left > 0 && input.refused === undefined; left--) {
    const key = latin1(input.bytes(input.varint()));
    const writer = textOf(input.bytes(input.varint()));
    const timeMs = input.varint();
    dormant.push([key, { writer, timeMs, counter: input.varint(), keptMs: input.varint() }]);
  }
  return dormant;
}

function counted(count: number, body: MessageWriter): Uint8Array {
  const head = new MessageWriter(8);
  head.varint(count);
  return concatBytes([head.take(), body.take()]);
}

/** Frames with a hash over everything so far: each one's hash begins with the last. */
class Frames {
  readonly #hash = new Hash64();
  #low = 0;
  #high = 0;

  feed(bytes: Uint8Array): void {
    this.#hash.xxh3(bytes, 0, bytes.length, this.#low, this.#high);
    this.#low = this.#hash.low;
    this.#high = this.#hash.high;
  }

  frame(kind: number, body: Uint8Array): Uint8Array {
    const out = new Uint8Array(HEAD_BYTES + body.length + HASH_BYTES);
    out[0] = kind;
    const view = new DataView(out.buffer);
    view.setUint32(1, body.length, true);
    out.set(body, HEAD_BYTES);
    this.feed(out.subarray(0, HEAD_BYTES + body.length));
    view.setUint32(HEAD_BYTES + body.length, this.#low, true);
    view.setUint32(HEAD_BYTES + body.length + 4, this.#high, true);
    return out;
  }

  /** Takes the next frame and says whether this is its hash. */
  isNext(frame: Uint8Array, hash: Uint8Array): boolean {
    this.feed(frame);
    const view = new DataView(hash.buffer, hash.byteOffset);
    return view.getUint32(0, true) === this.#low && view.getUint32(4, true) === this.#high;
  }
}

function invalid(problem: string): HearsayError {
  return new HearsayError('ERR_SNAPSHOT_INVALID', `this is no snapshot that can be restored: ${problem}`);
}
