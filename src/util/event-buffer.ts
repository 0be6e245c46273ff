/** Bytes that may wait for a reader. */
const BUFFER_BYTES_MAX = 64 * 1024 * 1024;

/**
 * A bounded queue between a producer that cannot wait and a consumer that can: `cluster.events()`, `map.subscribe()`. When it
 * is full the oldest entry is dropped and counted, because the newest says most about the present.
 */
export class EventBuffer<T> implements AsyncIterableIterator<T> {
  readonly #capacity: number;
  readonly #capacityBytes: number;
  readonly #bytesOf: (item: T) => number;
  readonly #isWanted: (item: T) => boolean;
  readonly #items: T[] = [];
  #bytes = 0;
  readonly #onClose: () => void;
  #waiting: ((result: IteratorResult<T>) => void)[] = [];
  #closed = false;
  /** Entries lost because the consumer was too slow. */
  dropped = 0;

  /** `bytesOf` an entry count against `capacityBytes`; one entry fits always. What is not wanted is not taken. */
  constructor(
    capacity: number,
    onClose: () => void,
    bytesOf: (item: T) => number = () => 0,
    capacityBytes = BUFFER_BYTES_MAX,
    isWanted: (item: T) => boolean = () => true,
  ) {
    this.#isWanted = isWanted;
    this.#capacity = capacity;
    this.#capacityBytes = capacityBytes;
    this.#bytesOf = bytesOf;
    this.#onClose = onClose;
  }

  push(item: T): void {
    if (this.#closed || !this.#isWanted(item)) return;
    const waiter = this.#waiting.shift();
    if (waiter) {
      waiter({ value: item, done: false });
      return;
    }
    const bytes = this.#bytesOf(item);
    while (
      this.#items.length >= this.#capacity ||
      (this.#items.length > 0 && this.#bytes + bytes > this.#capacityBytes)
    ) {
      this.#shift();
      this.dropped++;
    }
    this.#items.push(item);
    this.#bytes += bytes;
  }

  /** Ends the iteration once what is buffered has been read. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const waiter of this.#waiting) waiter({ value: undefined, done: true });
    this.#waiting = [];
    this.#onClose();
  }

  next(): Promise<IteratorResult<T>> {
    const item = this.#shift();
    if (item !== undefined) return Promise.resolve({ value: item, done: false });
    if (this.#closed) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<T>> {
    this.#items.length = 0;
    this.#bytes = 0;
    this.close();
    return Promise.resolve({ value: undefined, done: true });
  }

  #shift(): T | undefined {
    const item = this.#items.shift();
    if (item !== undefined) this.#bytes -= this.#bytesOf(item);
    return item;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
