import { Hash64 } from '../../kernels/js/hash64.ts';
import { assert } from '../../util/assert.ts';
import { bytesOf } from '../../util/bytes.ts';
import type { StateEntry } from './port.ts';

/** Names whose hashes are kept; a store has about as many writers as the cluster had nodes. */
const WRITERS_MAX = 65_536;
/** Hash of the key, hash of the writer, sequence, milliseconds, counter, kind, hash of the value. */
const RECORD_WORDS = 12;

interface Halves {
  readonly low: number;
  readonly high: number;
}

/**
 * The hashes of one map, under one secret key of 128 bits: whoever chooses keys and values of records but does not know it can neither
 * crowd records into one place nor make two different sets of records sum up to the same (the lesson of Meyer's section on
 * adversarial inputs). SipHash-2-4 where an attacker chooses, XXH3 with a secret seed for the bulk of a value, because its hash
 * only has to tell two values of the same write apart.
 *
 * Results are left in fields, so that hashing allocates nothing.
 */
export class StateHash {
  /** Where the key stands: the upper half of its hash. */
  position = 0;
  /** Fingerprint of the record as a whole, or whatever else was hashed last. */
  low = 0;
  high = 0;
  /** Tells whether another map hashes with the same key without giving it away, u32. */
  readonly keyId: number;
  readonly #key: Uint32Array;
  readonly #hash = new Hash64();
  readonly #words = new Uint32Array(RECORD_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  readonly #writers = new Map<string, Halves>();

  /** `key` is four u32 words. Every node of a cluster must use the same one; it never leaves the nodes. */
  constructor(key: Uint32Array) {
    assert(key.length === 4, `the key of a map's hashes has four words, got ${key.length}`);
    this.#key = key.slice();
    const label = bytesOf('hearsay state key id');
    this.#hash.siphash24(label, 0, label.length, this.#key);
    this.keyId = this.#hash.high;
  }

  /** Sets `position` of a key. */
  ofKey(key: Uint8Array): void {
    this.#hash.siphash24(key, 0, key.length, this.#key);
    this.low = this.#hash.low;
    this.high = this.#hash.high;
    this.position = this.high;
  }

  /** Sets `position`, `low` and `high` of a record: equal on two nodes when they hold the same write with the same bytes. */
  ofRecord(entry: StateEntry): void {
    const words = this.#words;
    this.ofKey(entry.key);
    words[0] = this.low;
    words[1] = this.high;
    const writer = this.#ofWriter(entry.writer);
    words[2] = writer.low;
    words[3] = writer.high;
    this.#number(4, entry.sequence);
    this.#number(6, entry.timeMs);
    words[8] = entry.counter;
    words[9] = entry.kind;
    this.#hash.xxh3(entry.value, 0, entry.value.length, this.#key[0] as number, this.#key[1] as number);
    words[10] = this.#hash.low;
    words[11] = this.#hash.high;
    this.#finish(RECORD_WORDS);
  }

  /** Sets `low` and `high` of what is known of a writer. */
  ofVersion(name: string, max: number, gc: number): void {
    const writer = this.#ofWriter(name);
    this.#words[0] = writer.low;
    this.#words[1] = writer.high;
    this.#number(2, max);
    this.#number(4, gc);
    this.#finish(6);
  }

  #number(at: number, value: number): void {
    this.#words[at] = value >>> 0;
    this.#words[at + 1] = Math.floor(value / 4294967296);
  }

  #finish(words: number): void {
    this.#hash.siphash24(this.#bytes, 0, 4 * words, this.#key);
    this.low = this.#hash.low;
    this.high = this.#hash.high;
  }

  #ofWriter(name: string): Halves {
    const known = this.#writers.get(name);
    if (known) return known;
    const bytes = bytesOf(name);
    this.#hash.siphash24(bytes, 0, bytes.length, this.#key);
    const halves = { low: this.#hash.low, high: this.#hash.high };
    if (this.#writers.size >= WRITERS_MAX) this.#writers.clear();
    this.#writers.set(name, halves);
    return halves;
  }
}

/** A fingerprint of a range for the wire, u32: sum and count mixed with the salt of the conversation (finalizer of murmur3). */
export function shortSum(count: number, low: number, high: number, salt: number): number {
  if (count === 0) return 0;
  const mixed = shortId(low ^ Math.imul(count, 0x9e3779b1), high, salt);
  // 0 says that the range is empty.
  return mixed === 0 ? 1 : mixed;
}

/** A record's name within a range for the wire, u32: its fingerprint mixed with the salt of the conversation. */
export function shortId(low: number, high: number, salt: number): number {
  let mixed = low ^ salt;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed ^= high;
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  mixed = Math.imul(mixed ^ (mixed >>> 16) ^ salt, 0x27d4eb2f);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
