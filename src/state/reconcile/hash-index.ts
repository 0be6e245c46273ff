import { assert } from '../../util/assert.ts';
import type { HashIndexView, RangeSum } from './port.ts';

/** Slots per page: growing adds a page and copies nothing. */
const PAGE_BITS = 14;
const PAGE_MASK = (1 << PAGE_BITS) - 1;
/** Words of a slot: position, fingerprint (low, high), next slot of its bucket plus one. */
const SLOT_WORDS = 4;
/** The upper bits of a position choose a part, which grows by itself, so that no write pays for rebuilding everything. */
const PART_BITS = 8;
const PARTS = 1 << PART_BITS;
/** A part with more records than this per bucket doubles its buckets. */
const LOAD_MAX = 16;
/** Words of a node: count, sum (low, high). */
const NODE_WORDS = 3;
/** Buckets of a part, as bits, at most: positions have 32 bits. */
const BITS_MAX = 32 - PART_BITS;

interface Part {
  /** log2 of the number of buckets. */
  bits: number;
  count: number;
  /** First slot of each bucket plus one. */
  heads: Uint32Array;
  /** A complete binary tree over the buckets in heap order: node 1 is the part, node 2^bits + b is bucket b. */
  tree: Uint32Array;
}

/**
 * Order statistics over the hash space, in typed arrays: a radix tree whose inner nodes hold count and sum of what is below
 * them. Positions are bits of a keyed hash, hence spread evenly whoever chooses the keys, and a radix tree needs no balancing;
 * that is why this is not a B-tree.
 *
 *   top tree, depth 0 to 8 ──> 256 parts ──> each a binary tree over its buckets ──> chains of about 16 slots
 *
 * A write touches one node per level: 16 additions for a million records. The sum of a prefix is one load down to the buckets.
 * Memory: 16 bytes per slot and 28 bytes per bucket, 18 to 20 bytes per record. Doubling the buckets of one part rehangs 1/256 of all
 * records (4,000 of a million), which is the longest a single write takes.
 */
export class HashIndex implements HashIndexView {
  readonly keyId: number;
  readonly #pages: Uint32Array[] = [];
  readonly #top = new Uint32Array(2 * PARTS * NODE_WORDS);
  readonly #parts: (Part | undefined)[] = [];

  /** `keyId` of the StateHash that positions and fingerprints come from. */
  constructor(keyId: number) {
    this.keyId = keyId;
    // Not all at once: most stores are small.
    for (let i = 0; i < PARTS; i++) this.#parts.push(undefined);
  }

  get size(): number {
    return this.#top[NODE_WORDS] as number;
  }

  /** Adds a slot that is not in the index. All numbers are u32; slots are dense from 0. */
  add(slot: number, position: number, low: number, high: number): void {
    while (slot >>> PAGE_BITS >= this.#pages.length) this.#pages.push(new Uint32Array(SLOT_WORDS << PAGE_BITS));
    const at = (slot & PAGE_MASK) * SLOT_WORDS;
    const page = this.#pages[slot >>> PAGE_BITS] as Uint32Array;
    const index = position >>> (32 - PART_BITS);
    let part = this.#parts[index];
    if (!part) {
      part = { bits: 0, count: 0, heads: new Uint32Array(1), tree: new Uint32Array(2 * NODE_WORDS) };
      this.#parts[index] = part;
    }
    if (part.count >= LOAD_MAX << part.bits && part.bits < BITS_MAX) this.#split(part);
    const bucket = bucketOf(position, part.bits);
    page[at] = position;
    page[at + 1] = low;
    page[at + 2] = high;
    page[at + 3] = part.heads[bucket] as number;
    part.heads[bucket] = slot + 1;
    part.count++;
    raise(part.tree, (1 << part.bits) + bucket, 1, low, high);
    raise(this.#top, PARTS + index, 1, low, high);
  }

  /** Takes a slot out; false when it was not in. Its position is asked again, so that a slot that was never added is no harm. */
  remove(slot: number, position: number): boolean {
    const part = this.#parts[position >>> (32 - PART_BITS)];
    if (!part) return false;
    const bucket = bucketOf(position, part.bits);
    let previous = -1;
    for (let link = part.heads[bucket] as number; link !== 0; ) {
      const page = this.#pages[(link - 1) >>> PAGE_BITS] as Uint32Array;
      const at = ((link - 1) & PAGE_MASK) * SLOT_WORDS;
      const next = page[at + 3] as number;
      if (link - 1 === slot) {
        if (previous < 0) part.heads[bucket] = next;
        else (this.#pages[previous >>> PAGE_BITS] as Uint32Array)[(previous & PAGE_MASK) * SLOT_WORDS + 3] = next;
        this.#forget(part, bucket, position, page[at + 1] as number, page[at + 2] as number);
        page.fill(0, at, at + SLOT_WORDS);
        return true;
      }
      previous = link - 1;
      link = next;
    }
    return false;
  }

  sum(prefix: number, depth: number, out: RangeSum): void {
    assert(depth >= 0 && depth <= 32, `depth ${depth} of a range`);
    if (depth <= PART_BITS) {
      load(this.#top, (1 << depth) + prefix, out);
      return;
    }
    const below = depth - PART_BITS;
    const part = this.#parts[prefix >>> below];
    if (part && below <= part.bits) {
      load(part.tree, (1 << below) + (prefix & ((1 << below) - 1)), out);
      return;
    }
    out.count = 0;
    out.low = 0;
    out.high = 0;
    if (!part) return;
    this.visit(prefix, depth, (_, low, high) => {
      const sum = out.low + low;
      out.count++;
      out.high = (out.high + high + (sum > 0xffffffff ? 1 : 0)) >>> 0;
      out.low = sum >>> 0;
      return true;
    });
  }

  visit(prefix: number, depth: number, visit: (slot: number, low: number, high: number) => boolean): void {
    assert(depth >= 0 && depth <= 32, `depth ${depth} of a range`);
    if (depth <= PART_BITS) {
      const width = PART_BITS - depth;
      for (let i = prefix << width; i < (prefix + 1) << width; i++) {
        const part = this.#parts[i];
        for (let b = 0; part && b < part.heads.length; b++) if (!this.#walk(part, b, 0, 0, visit)) return;
      }
      return;
    }
    const below = depth - PART_BITS;
    const part = this.#parts[prefix >>> below];
    if (!part) return;
    const within = prefix & ((1 << below) - 1);
    if (below > part.bits) {
      this.#walk(part, within >>> (below - part.bits), prefix, depth, visit);
      return;
    }
    const width = part.bits - below;
    for (let b = within << width; b < (within + 1) << width; b++) if (!this.#walk(part, b, 0, 0, visit)) return;
  }

  /** The slot of a key with this position for which `is` says yes; -1 when there is none. */
  find(position: number, is: (slot: number) => boolean): number {
    const part = this.#parts[position >>> (32 - PART_BITS)];
    if (!part) return -1;
    for (let link = part.heads[bucketOf(position, part.bits)] as number; link !== 0; ) {
      const page = this.#pages[(link - 1) >>> PAGE_BITS] as Uint32Array;
      const at = ((link - 1) & PAGE_MASK) * SLOT_WORDS;
      if (page[at] === position && is(link - 1)) return link - 1;
      link = page[at + 3] as number;
    }
    return -1;
  }

  /** False when `visit` wants no more. */
  #walk(
    part: Part,
    bucket: number,
    prefix: number,
    depth: number,
    visit: (slot: number, low: number, high: number) => boolean,
  ): boolean {
    for (let link = part.heads[bucket] as number; link !== 0; ) {
      const slot = link - 1;
      const page = this.#pages[slot >>> PAGE_BITS] as Uint32Array;
      const at = (slot & PAGE_MASK) * SLOT_WORDS;
      link = page[at + 3] as number;
      const isIn = depth === 0 || (page[at] as number) >>> (32 - depth) === prefix;
      if (isIn && !visit(slot, page[at + 1] as number, page[at + 2] as number)) return false;
    }
    return true;
  }

  #forget(part: Part, bucket: number, position: number, low: number, high: number): void {
    // Minus (low, high) is its two's complement.
    const minusLow = -low >>> 0;
    const minusHigh = (~high + (low === 0 ? 1 : 0)) >>> 0;
    part.count--;
    raise(part.tree, (1 << part.bits) + bucket, -1, minusLow, minusHigh);
    raise(this.#top, PARTS + (position >>> (32 - PART_BITS)), -1, minusLow, minusHigh);
  }

  /** Twice the buckets: the upper levels of the tree stay what they were, only the new lowest level is summed up. */
  #split(part: Part): void {
    const { heads, tree, bits } = part;
    const wider = new Uint32Array(2 * heads.length);
    const taller = new Uint32Array(2 * tree.length);
    taller.set(tree);
    for (let b = 0; b < heads.length; b++) {
      for (let link = heads[b] as number; link !== 0; ) {
        const page = this.#pages[(link - 1) >>> PAGE_BITS] as Uint32Array;
        const at = ((link - 1) & PAGE_MASK) * SLOT_WORDS;
        const next = page[at + 3] as number;
        const bucket = bucketOf(page[at] as number, bits + 1);
        page[at + 3] = wider[bucket] as number;
        wider[bucket] = link;
        add(taller, (2 << bits) + bucket, 1, page[at + 1] as number, page[at + 2] as number);
        link = next;
      }
    }
    part.bits = bits + 1;
    part.heads = wider;
    part.tree = taller;
  }
}

/** The `bits` bits of a position behind those that chose the part. */
function bucketOf(position: number, bits: number): number {
  return bits === 0 ? 0 : (position << PART_BITS) >>> (32 - bits);
}

function add(tree: Uint32Array, node: number, count: number, low: number, high: number): void {
  const at = node * NODE_WORDS;
  const sum = (tree[at + 1] as number) + low;
  tree[at] = (tree[at] as number) + count;
  tree[at + 1] = sum;
  tree[at + 2] = (tree[at + 2] as number) + high + (sum > 0xffffffff ? 1 : 0);
}

/** Adds to a node and all above it. */
function raise(tree: Uint32Array, leaf: number, count: number, low: number, high: number): void {
  for (let node = leaf; node >= 1; node >>>= 1) add(tree, node, count, low, high);
}

function load(tree: Uint32Array, node: number, out: RangeSum): void {
  out.count = tree[node * NODE_WORDS] as number;
  out.low = tree[node * NODE_WORDS + 1] as number;
  out.high = tree[node * NODE_WORDS + 2] as number;
}
