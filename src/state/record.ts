import { bytesOf, concatBytes, textOf } from '../util/bytes.ts';
import type { Stamp } from './clock.ts';
import { MessageReader, MessageWriter } from './reconcile/codec.ts';
import type { StateEntry } from './reconcile/port.ts';

/**
 * What stands in the key and value of a map's records (docs/wire.md §11). Everything that a map offers is records that the last writer wins; what differs is whose they are:
 *
 *   01 key                                    a register that everybody writes
 *   02 length u16 LE, owner, key              a register in the namespace of a node, which alone writes it
 *   03 length u16 LE, name, writer            one writer's part of a counter: what it added and what it took away
 *   04 length u16 LE, name, element, tag      an element of a set, added under a tag that is used once
 *   05 length u16 LE, name, tag               a value of a multi-value register, written under a tag that is used once
 *   06 00 00, node                            how far a node has seen tombstones (certificates.ts)
 *
 * A tag is the writer and the sequence of the write, so it is a dot; before the tag of an element stands the element's length.
 */
export const SPACE = { shared: 1, own: 2, counter: 3, set: 4, register: 5, horizon: 6 } as const;
export type Space = (typeof SPACE)[keyof typeof SPACE];

const LENGTH_BYTES = 2;
const EMPTY = new Uint8Array(0);

/** A key taken apart; all are views. */
export interface RecordKey {
  readonly space: Space;
  /** Owner, or name of a counter, set or register; empty in the shared space. */
  readonly group: Uint8Array;
  /** Key within the group. */
  readonly rest: Uint8Array;
}

export function recordKey(space: Space, group: Uint8Array, rest: Uint8Array): Uint8Array {
  if (space === SPACE.shared) return concatBytes([Uint8Array.of(space), rest]);
  return concatBytes([Uint8Array.of(space, group.length & 255, group.length >>> 8), group, rest]);
}

/** undefined when it is no key of a map. */
export function parseKey(key: Uint8Array): RecordKey | undefined {
  const space = key[0] as Space;
  if (space === SPACE.shared) return { space, group: EMPTY, rest: key.subarray(1) };
  if (space > SPACE.horizon || key.length < 1 + LENGTH_BYTES) return undefined;
  const groupAt = 1 + LENGTH_BYTES;
  const restAt = groupAt + ((key[1] as number) | ((key[2] as number) << 8));
  if (restAt > key.length) return undefined;
  return { space, group: key.subarray(groupAt, restAt), rest: key.subarray(restAt) };
}

/** What records of one group have in common, as a key of a Map. */
export function groupId(space: Space, group: Uint8Array): string {
  return latin1(recordKey(space, group, EMPTY));
}

/** Bytes as a string of as many characters. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** What a node writes as: its name, its generation, and whether it is for its own namespace, whose writers can be forgotten with it. */
export function writerOf(node: string, generation: number, isOwn: boolean): string {
  return `${node}#${generation.toString(36)}${isOwn ? '!' : ''}`;
}

/** The node behind a writer. */
export function nodeOf(writer: string): string {
  return writer.slice(0, Math.max(0, writer.lastIndexOf('#')));
}

/** The generation behind a writer; 0 when there is none. */
export function generationOf(writer: string): number {
  const generation = Number.parseInt(writer.slice(writer.lastIndexOf('#') + 1).replace('!', ''), 36);
  return Number.isSafeInteger(generation) && generation > 0 ? generation : 0;
}

/** The tag of a write: a dot. */
export function tagOf(writer: string, sequence: number): Uint8Array {
  return bytesOf(`${writer}@${sequence.toString(36)}`);
}

/** Writer and sequence of a tag. */
export function dotOf(tag: Uint8Array): { readonly writer: string; readonly sequence: number } {
  const text = textOf(tag);
  const at = text.lastIndexOf('@');
  const sequence = Number.parseInt(text.slice(at + 1), 36);
  return { writer: text.slice(0, Math.max(0, at)), sequence: Number.isSafeInteger(sequence) ? sequence : 0 };
}

/** The rest of the key of a set's element. */
export function elementKey(element: Uint8Array, tag: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(element.length & 255, element.length >>> 8), element, tag]);
}

export function parseElement(rest: Uint8Array): { readonly element: Uint8Array; readonly tag: Uint8Array } | undefined {
  if (rest.length < LENGTH_BYTES) return undefined;
  const end = LENGTH_BYTES + ((rest[0] as number) | ((rest[1] as number) << 8));
  if (end > rest.length) return undefined;
  return { element: rest.subarray(LENGTH_BYTES, end), tag: rest.subarray(end) };
}

/**
 * Whether this writer may write this record: an owner its namespace and horizon, a writer its part of a counter, the writer of a tag what stands under it (whose end
 * everybody may write).
 */
export function mayWrite({ space, group, rest }: RecordKey, writer: string, isTombstone: boolean): boolean {
  const isOwn = writer.endsWith('!');
  switch (space) {
    case SPACE.shared:
      return !isOwn && rest.length > 0;
    case SPACE.own:
      return isOwn && rest.length > 0 && textOf(group) === nodeOf(writer);
    case SPACE.horizon:
      return isOwn && textOf(rest) === nodeOf(writer);
    case SPACE.counter:
      return !isOwn && textOf(rest) === writer;
    default: {
      const tag = space === SPACE.set ? parseElement(rest)?.tag : rest;
      return !isOwn && tag !== undefined && (isTombstone || dotOf(tag).writer === writer);
    }
  }
}

const FLAG = { expires: 1, base: 2 } as const;

/** The value of a record: head and payload. */
export interface RecordValue {
  /** When it ends, ms since 1970; 0 = never. */
  readonly expiresMs: number;
  /** Stamp of what the writer held under this key when it wrote; 0, 0 = nothing. */
  readonly base: Stamp;
  readonly payload: Uint8Array;
}

/** Bytes of a head, at most. */
export const VALUE_HEAD_BYTES = 20;

export function encodeValue({ expiresMs, base, payload }: RecordValue): Uint8Array {
  const hasBase = base.timeMs > 0;
  const out = new MessageWriter(payload.length + VALUE_HEAD_BYTES);
  out.byte((expiresMs > 0 ? FLAG.expires : 0) | (hasBase ? FLAG.base : 0));
  if (expiresMs > 0) out.varint(expiresMs);
  if (hasBase) {
    out.varint(base.timeMs);
    out.varint(base.counter);
  }
  out.bytes(payload);
  return out.take();
}

/** When a value ends, as RecordValue.expiresMs; -1 when its head cannot be read. Makes no objects. */
export function expiryOf(value: Uint8Array): number {
  const flags = value[0];
  if (flags === undefined || (flags & ~(FLAG.expires | FLAG.base)) !== 0) return -1;
  let expiresMs = 0;
  let at = 1;
  // The expiry, then time and counter of the base.
  const varints = (flags & FLAG.expires ? 1 : 0) + (flags & FLAG.base ? 2 : 0);
  for (let i = 0; i < varints; i++) {
    let number = 0;
    for (let scale = 1, bytes = 0; ; scale *= 128) {
      const byte = value[at++];
      if (byte === undefined || ++bytes > 8) return -1;
      number += (byte & 127) * scale;
      if (byte < 128) break;
    }
    if (!Number.isSafeInteger(number)) return -1;
    if (i === 0 && flags & FLAG.expires) expiresMs = number;
  }
  return expiresMs;
}

/** The payload is a view. undefined when it cannot be read. */
export function decodeValue(value: Uint8Array): RecordValue | undefined {
  const input = new MessageReader(value);
  const flags = input.byte();
  const expiresMs = flags & FLAG.expires ? input.varint() : 0;
  const base = flags & FLAG.base ? { timeMs: input.varint(), counter: input.varint() } : { timeMs: 0, counter: 0 };
  const payload = input.bytes(input.left);
  return input.refused === undefined && (flags & ~(FLAG.expires | FLAG.base)) === 0
    ? { expiresMs, base, payload }
    : undefined;
}

/** A copy that outlives the table. */
export function copyEntry(entry: StateEntry): StateEntry {
  return { ...entry, key: entry.key.slice(), value: entry.value.slice() };
}
