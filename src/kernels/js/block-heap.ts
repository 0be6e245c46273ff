import { BLOCK_BYTES_MAX, BLOCK_CLASS_BYTES, BLOCK_CLASS_COUNT } from '../layout.ts';

/**
 * A heap of byte blocks inside an arena, without state of its own: `heads` and the bump pointer lie in the arena too.
 * `native/kernels/block_heap.hpp` is the other half and leaves the same bytes.
 *
 * Offsets handed out are relative to the heap section, so an arena grows by copying the section. A block serves lengths up
 * to its class; an empty string takes the smallest class. A freed block is zero but for its first word, the link to the
 * next free block of its class (relative offset + 1).
 */
export class BlockHeap {
  #u8: Uint8Array;
  #u32: Uint32Array;
  #heads = 0;
  #top = 0;
  #base = 0;
  #bytes = 0;

  /**
   * @param u8 bytes of the whole arena
   * @param u32 words of the same arena
   * @param headsOffset absolute offset of the BLOCK_CLASS_COUNT head words
   * @param topOffset absolute offset of the word that holds the relative end of the bump-allocated part
   * @param heapOffset absolute offset of the heap section, 8-byte aligned
   * @param heapBytes its size
   */
  constructor(
    u8: Uint8Array,
    u32: Uint32Array,
    headsOffset: number,
    topOffset: number,
    heapOffset: number,
    heapBytes: number,
  ) {
    this.#u8 = u8;
    this.#u32 = u32;
    this.#heads = headsOffset >>> 2;
    this.#top = topOffset >>> 2;
    this.#base = heapOffset;
    this.#bytes = heapBytes;
  }

  /** Relative offset of a zeroed block for `length` bytes, or -1 when there is none or the length is above BLOCK_BYTES_MAX. */
  alloc(length: number): number {
    if (length > BLOCK_BYTES_MAX) return -1;
    const blockClass = blockClassOf(length);
    const size = blockClass * BLOCK_CLASS_BYTES;
    const head = this.#heads + blockClass - 1;
    const top = this.#u32[this.#top] as number;
    const linked = this.#u32[head] as number;
    if (linked !== 0) {
      const offset = linked - 1;
      if (offset + size <= top && top <= this.#bytes && (offset & 15) === 0) {
        const word = (this.#base + offset) >>> 2;
        this.#u32[head] = this.#u32[word] as number;
        this.#u32[word] = 0;
        return offset;
      }
      // A list that points outside the heap is lost, not followed: C++ must never trust an index read from memory.
      this.#u32[head] = 0;
    }
    if (top + size > this.#bytes) return -1;
    this.#u32[this.#top] = top + size;
    return top;
  }

  /** Gives a block back. `length` is the one it was allocated for. */
  free(offset: number, length: number): void {
    if (length > BLOCK_BYTES_MAX) return;
    const blockClass = blockClassOf(length);
    const size = blockClass * BLOCK_CLASS_BYTES;
    if (offset + size > this.#bytes || (offset & 15) !== 0) return;
    const head = this.#heads + blockClass - 1;
    const at = this.#base + offset;
    this.#u8.fill(0, at, at + size);
    this.#u32[at >>> 2] = this.#u32[head] as number;
    this.#u32[head] = offset + 1;
  }

  /** True when `alloc(length)` would succeed. */
  hasRoom(length: number): boolean {
    if (length > BLOCK_BYTES_MAX) return false;
    const blockClass = blockClassOf(length);
    if (this.#u32[this.#heads + blockClass - 1] !== 0) return true;
    return (this.#u32[this.#top] as number) + blockClass * BLOCK_CLASS_BYTES <= this.#bytes;
  }
}

/** Size class of a length: 1 for 0..16 bytes, BLOCK_CLASS_COUNT for BLOCK_BYTES_MAX. */
export function blockClassOf(length: number): number {
  const blockClass = (length + BLOCK_CLASS_BYTES - 1) >>> 4;
  return blockClass === 0 ? 1 : Math.min(blockClass, BLOCK_CLASS_COUNT);
}
