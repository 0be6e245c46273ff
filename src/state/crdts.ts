import { bytesOf, concatBytes, textOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { checkLength } from './limits.ts';
import type { MapStore } from './map-store.ts';
import { MessageReader, MessageWriter } from './reconcile/codec.ts';
import {
  dotOf,
  elementKey,
  latin1,
  parseElement,
  parseKey,
  type RecordKey,
  recordKey,
  SPACE,
  tagOf,
} from './record.ts';

/**
 * Delta-state CRDTs (Shapiro et al. 2011; Almeida, Shoker, Baquero 2018) laid out as records that the last writer wins: each piece of state is written by one writer
 * alone, or once, so that joining two states is taking what is newer, record by record, and the deltas are the records themselves. Rumors, anti-entropy, tombstones and snapshots
 * need to know nothing of them.
 */

const COUNT_MAX = Number.MAX_SAFE_INTEGER;

/** What all of them need: their map's store, their name in it, a clock, and a check that the map is open. */
class Part {
  protected readonly store: MapStore;
  protected readonly name: Uint8Array;
  protected readonly now: () => number;
  protected readonly assertOpen: () => void;

  constructor(store: MapStore, name: Uint8Array, now: () => number, assertOpen: () => void) {
    this.store = store;
    this.name = name;
    this.now = now;
    this.assertOpen = assertOpen;
  }
}

/** A counter that all nodes add to: each has its own pair of sums, and the value is what all of them add up to (PN-counter). */
export class Counter extends Part {
  get value(): number {
    let value = 0;
    for (const slot of this.store.group(SPACE.counter, this.name)) {
      const { up, down } = this.#sums(slot);
      value += up - down;
    }
    return value;
  }

  /** Adds a whole number, below 0 to take away. Throws ERR_ARGUMENT_INVALID, ERR_MAP_LIMIT. */
  add(amount = 1): void {
    this.assertOpen();
    if (!Number.isSafeInteger(amount)) {
      throw new HearsayError('ERR_ARGUMENT_INVALID', `amount: expected a whole number, got ${String(amount)}`);
    }
    const { store } = this;
    const key = recordKey(SPACE.counter, this.name, bytesOf(store.nextWrite(SPACE.counter).writer));
    const slot = store.table.find(key);
    const { up, down } = slot < 0 ? { up: 0, down: 0 } : this.#sums(slot);
    const out = new MessageWriter(20);
    out.varint(Math.min(COUNT_MAX, up + Math.max(0, amount)));
    out.varint(Math.min(COUNT_MAX, down + Math.max(0, -amount)));
    store.write(this.now(), key, out.take());
  }

  #sums(slot: number): { readonly up: number; readonly down: number } {
    const value = this.store.valueAt(this.now(), slot);
    const input = new MessageReader(value?.payload ?? new Uint8Array(0));
    const up = input.varint();
    const down = input.varint();
    return input.refused === undefined ? { up, down } : { up: 0, down: 0 };
  }
}

/** A set of byte strings in which an element that is added anew survives a deletion that did not know of it (OR-set: each adding has a tag of its own). */
export class MapSet extends Part {
  /** Adds an element (bytes, or text as UTF-8). Throws ERR_MAP_LIMIT. */
  add(element: Uint8Array | string): void {
    this.assertOpen();
    const bytes = asBytes(element);
    checkLength('element', bytes.length, this.store.limits.keyBytes);
    const { writer, sequence } = this.store.nextWrite(SPACE.set);
    const seen = this.#slotsOf(bytes);
    const key = recordKey(SPACE.set, this.name, elementKey(bytes, tagOf(writer, sequence)));
    this.store.write(this.now(), key, new Uint8Array(0));
    // One tag is enough: those that were seen go. Behind the write, so that no reader finds the element missing.
    this.#end(seen);
  }

  /** Deletes an element as far as it is known here; false when it is not there. */
  delete(element: Uint8Array | string): boolean {
    this.assertOpen();
    const seen = this.#slotsOf(asBytes(element));
    this.#end(seen);
    return seen.length > 0;
  }

  has(element: Uint8Array | string): boolean {
    return this.#slotsOf(asBytes(element)).length > 0;
  }

  /** All elements, as copies. */
  values(): Uint8Array[] {
    const found = new Map<string, Uint8Array>();
    for (const slot of this.store.group(SPACE.set, this.name)) {
      const element = this.#elementAt(slot);
      if (element) found.set(latin1(element), element.slice());
    }
    return [...found.values()];
  }

  /** All elements as text, ordered. */
  texts(): string[] {
    return this.values().map(textOf).sort();
  }

  get size(): number {
    return this.values().length;
  }

  /** The element in a record's key. */
  static elementIn(rest: Uint8Array): Uint8Array | undefined {
    return parseElement(rest)?.element;
  }

  #elementAt(slot: number): Uint8Array | undefined {
    if (this.store.valueAt(this.now(), slot) === undefined) return undefined;
    return parseElement((parseKey(this.store.table.read(slot).key) as RecordKey).rest)?.element;
  }

  #slotsOf(element: Uint8Array): number[] {
    const wanted = latin1(element);
    return [...this.store.group(SPACE.set, this.name)].filter((slot) => {
      const found = this.#elementAt(slot);
      return found !== undefined && found.length === element.length && latin1(found) === wanted;
    });
  }

  #end(slots: readonly number[]): void {
    const keys = slots.map((slot) => this.store.table.read(slot).key.slice());
    for (const key of keys) this.store.remove(this.now(), key);
  }
}

/**
 * A register that shows what was written by writers who did not know of each other side by side. Each value carries its dot and, as a version vector, what its writer
 * had seen (dotted version vectors, Preguiça et al. 2010): a value is gone once another one's vector covers its dot.
 */
export class MultiRegister extends Part {
  /** Writes a value in place of all that are seen here. Throws ERR_MAP_LIMIT. */
  set(value: Uint8Array | string): void {
    this.assertOpen();
    const siblings = this.#siblings();
    const context = new Map<string, number>();
    const note = (writer: string, sequence: number): void =>
      void context.set(writer, Math.max(context.get(writer) ?? 0, sequence));
    for (const { dot, vector } of siblings) {
      note(dot.writer, dot.sequence);
      for (const [writer, sequence] of vector) note(writer, sequence);
    }
    const { writer, sequence } = this.store.nextWrite(SPACE.register);
    const bytes = asBytes(value);
    const key = recordKey(SPACE.register, this.name, tagOf(writer, sequence));
    this.store.write(this.now(), key, encodeSibling(context, bytes));
    this.#end(siblings);
  }

  /** What is there: none, one, or what was written side by side, as copies in a fixed order. */
  values(): Uint8Array[] {
    return this.#live().map(({ value }) => value.slice());
  }

  /** The same as text. */
  texts(): string[] {
    return this.values().map(textOf);
  }

  /** Deletes all values that are seen here; false when there is none. */
  delete(): boolean {
    this.assertOpen();
    const siblings = this.#siblings();
    this.#end(siblings);
    return siblings.length > 0;
  }

  /** The value in a payload. */
  static valueIn(payload: Uint8Array): Uint8Array | undefined {
    return decodeSibling(payload)?.value;
  }

  #live(): Sibling[] {
    const siblings = this.#siblings();
    return siblings.filter(({ dot }) => !siblings.some(({ vector }) => (vector.get(dot.writer) ?? 0) >= dot.sequence));
  }

  #siblings(): Sibling[] {
    const found: Sibling[] = [];
    for (const slot of this.store.group(SPACE.register, this.name)) {
      const payload = this.store.valueAt(this.now(), slot)?.payload;
      const sibling = payload && decodeSibling(payload);
      if (!sibling) continue;
      const { rest } = parseKey(this.store.table.read(slot).key) as RecordKey;
      found.push({ ...sibling, slot, dot: dotOf(rest) });
    }
    return found.sort((a, b) =>
      a.dot.writer < b.dot.writer ? -1 : a.dot.writer > b.dot.writer ? 1 : a.dot.sequence - b.dot.sequence,
    );
  }

  #end(siblings: readonly Sibling[]): void {
    const keys = siblings.map(({ slot }) => this.store.table.read(slot).key.slice());
    for (const key of keys) this.store.remove(this.now(), key);
  }
}

interface Sibling {
  readonly slot: number;
  readonly dot: { readonly writer: string; readonly sequence: number };
  readonly vector: ReadonlyMap<string, number>;
  readonly value: Uint8Array;
}

function encodeSibling(vector: ReadonlyMap<string, number>, value: Uint8Array): Uint8Array {
  const out = new MessageWriter(value.length + 16);
  out.varint(vector.size);
  for (const [writer, sequence] of vector) {
    const bytes = bytesOf(writer);
    out.varint(bytes.length);
    out.bytes(bytes);
    out.varint(sequence);
  }
  return concatBytes([out.take(), value]);
}

function decodeSibling(payload: Uint8Array): Pick<Sibling, 'vector' | 'value'> | undefined {
  const input = new MessageReader(payload);
  const vector = new Map<string, number>();
  for (let left = input.count(2); left > 0 && input.refused === undefined; left--) {
    const writer = textOf(input.bytes(input.varint()));
    vector.set(writer, input.varint());
  }
  const value = input.bytes(input.left);
  return input.refused === undefined ? { vector, value } : undefined;
}

function asBytes(value: Uint8Array | string): Uint8Array {
  if (typeof value === 'string') return bytesOf(value);
  if (value instanceof Uint8Array) return value;
  throw new HearsayError('ERR_ARGUMENT_INVALID', `value: expected bytes or a text, got ${typeof value}`);
}
