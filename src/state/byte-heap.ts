const PAGE_BYTES = 1 << 20;
/** Blocks are multiples of this. */
const STEP = 16;
/** Up to here a class per step; above, four classes between powers of two. */
const FINE_BYTES = 256;
/** What is larger has a page of its own. */
const SHARED_MAX = 1 << 16;

/**
 * Byte strings of a store in pages: a million small ones make no million objects. Freed blocks are used again by their size class, at most a quarter larger than asked for;
 * pages stay.
 */
export class ByteHeap {
  readonly #pages: (Uint8Array | undefined)[] = [];
  readonly #freePages: number[] = [];
  /** By class: free blocks as page * PAGE_BYTES + offset. */
  readonly #free: number[][] = [];
  #openPage = -1;
  #top = PAGE_BYTES;
  /** Where the last block lies. */
  page = 0;
  at = 0;

  /** Makes room; `page` and `at` say where. */
  allocate(length: number): void {
    if (length > SHARED_MAX) {
      this.page = this.#newPage(new Uint8Array(length));
      this.at = 0;
      return;
    }
    const size = blockBytes(length);
    const block = this.#free[classOf(size)]?.pop();
    if (block !== undefined) {
      this.page = Math.floor(block / PAGE_BYTES);
      this.at = block % PAGE_BYTES;
      return;
    }
    if (this.#top + size > PAGE_BYTES) {
      this.#openPage = this.#newPage(new Uint8Array(PAGE_BYTES));
      this.#top = 0;
    }
    this.page = this.#openPage;
    this.at = this.#top;
    this.#top += size;
  }

  /** Gives a block of this length back. */
  free(page: number, at: number, length: number): void {
    if (length > SHARED_MAX) {
      this.#pages[page] = undefined;
      this.#freePages.push(page);
      return;
    }
    const number = classOf(blockBytes(length));
    let list = this.#free[number];
    if (list === undefined) {
      list = [];
      this.#free[number] = list;
    }
    list.push(page * PAGE_BYTES + at);
  }

  /** The bytes of a page. */
  bytes(page: number): Uint8Array {
    return this.#pages[page] as Uint8Array;
  }

  #newPage(bytes: Uint8Array): number {
    const page = this.#freePages.pop() ?? this.#pages.length;
    this.#pages[page] = bytes;
    return page;
  }
}

/** Room that a string of this length takes. */
export function blockBytes(length: number): number {
  if (length <= FINE_BYTES) return Math.max(STEP, Math.ceil(length / STEP) * STEP);
  const step = 2 ** (Math.floor(Math.log2(length - 1)) - 2);
  return Math.ceil(length / step) * step;
}

function classOf(size: number): number {
  if (size <= FINE_BYTES) return size / STEP;
  const power = Math.floor(Math.log2(size - 1));
  return FINE_BYTES / STEP + 4 * (power - 8) + Math.ceil(size / 2 ** (power - 2)) - 4;
}
