/** Records per block, at most. */
const BLOCK_MAX = 256;
/** Neighbours that hold no more than this together become one block. */
const MERGE_MAX = 128;
const BLOCK_MIN = 8;

interface Block {
  sequences: Float64Array;
  slots: Uint32Array;
  length: number;
}

/**
 * Slots in the order of their sequences: a B-tree of two levels in typed arrays. Appending, which is what a writer does, costs O(1); inserting
 * and removing anywhere costs a binary search and moving at most 256 records. Memory: 12 bytes per record, at least half of it in use
 * once there are many.
 */
export class SequenceList {
  readonly #blocks: Block[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Adds a sequence, or gives it another slot. */
  set(sequence: number, slot: number): void {
    if (this.#blocks.length === 0) this.#blocks.push(newBlock(BLOCK_MIN));
    const index = Math.min(this.#blockOf(sequence), this.#blocks.length - 1);
    let block = this.#blocks[index] as Block;
    let at = placeIn(block, sequence);
    if (at < block.length && block.sequences[at] === sequence) {
      block.slots[at] = slot;
      return;
    }
    if (block.length === BLOCK_MAX) {
      // A writer only appends: then a full block stays full and a new one begins, instead of two halves.
      const keep = at === BLOCK_MAX && index === this.#blocks.length - 1 ? BLOCK_MAX : BLOCK_MAX >> 1;
      const rest = newBlock(BLOCK_MAX);
      move(block, keep, rest, 0, BLOCK_MAX - keep);
      rest.length = BLOCK_MAX - keep;
      block.length = keep;
      this.#blocks.splice(index + 1, 0, rest);
      if (at >= keep) {
        block = rest;
        at -= keep;
      }
    } else if (block.length === block.sequences.length) {
      const larger = newBlock(2 * block.length);
      move(block, 0, larger, 0, block.length);
      larger.length = block.length;
      this.#blocks[index] = larger;
      block = larger;
    }
    block.sequences.copyWithin(at + 1, at, block.length);
    block.slots.copyWithin(at + 1, at, block.length);
    block.sequences[at] = sequence;
    block.slots[at] = slot;
    block.length++;
    this.#length++;
  }

  /** False when the sequence was not there. */
  delete(sequence: number): boolean {
    const index = this.#blockOf(sequence);
    const block = this.#blocks[index];
    if (!block) return false;
    const at = placeIn(block, sequence);
    if (at >= block.length || block.sequences[at] !== sequence) return false;
    block.sequences.copyWithin(at, at + 1, block.length);
    block.slots.copyWithin(at, at + 1, block.length);
    block.length--;
    this.#length--;
    if (block.length === 0) this.#blocks.splice(index, 1);
    else if (!this.#merge(index)) this.#merge(index - 1);
    return true;
  }

  /** Slot of a sequence, -1 when there is none. */
  get(sequence: number): number {
    const block = this.#blocks[this.#blockOf(sequence)];
    if (!block) return -1;
    const at = placeIn(block, sequence);
    return at < block.length && block.sequences[at] === sequence ? (block.slots[at] as number) : -1;
  }

  countAfter(after: number): number {
    let index = this.#blockOf(after + 1);
    const first = this.#blocks[index];
    if (!first) return 0;
    let count = first.length - placeIn(first, after + 1);
    for (index++; index < this.#blocks.length; index++) count += (this.#blocks[index] as Block).length;
    return count;
  }

  /** Ascending, until `visit` returns false. The list must not change meanwhile. */
  visitAfter(after: number, visit: (sequence: number, slot: number) => boolean): void {
    for (let index = this.#blockOf(after + 1); index < this.#blocks.length; index++) {
      const block = this.#blocks[index] as Block;
      for (let i = placeIn(block, after + 1); i < block.length; i++) {
        if (!visit(block.sequences[i] as number, block.slots[i] as number)) return;
      }
    }
  }

  /** The first block whose last sequence is not below this one; the number of blocks when there is none. */
  #blockOf(sequence: number): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const block = this.#blocks[middle] as Block;
      if ((block.sequences[block.length - 1] as number) < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #merge(index: number): boolean {
    const left = this.#blocks[index];
    const right = this.#blocks[index + 1];
    if (!left || !right || left.length + right.length > MERGE_MAX) return false;
    const merged = newBlock(BLOCK_MAX);
    move(left, 0, merged, 0, left.length);
    move(right, 0, merged, left.length, right.length);
    merged.length = left.length + right.length;
    this.#blocks.splice(index, 2, merged);
    return true;
  }
}

function newBlock(capacity: number): Block {
  return { sequences: new Float64Array(capacity), slots: new Uint32Array(capacity), length: 0 };
}

function move(source: Block, from: number, target: Block, at: number, count: number): void {
  target.sequences.set(source.sequences.subarray(from, from + count), at);
  target.slots.set(source.slots.subarray(from, from + count), at);
}

/** Index of the first sequence that is not below this one. */
function placeIn(block: Block, sequence: number): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((block.sequences[middle] as number) < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}
