/** Buffers kept per length. */
const KEPT_PER_LENGTH = 1024;
/** Longer ones are left to the garbage collector. */
const LENGTH_MAX = 2048;

/**
 * Buffers of packets on their way. A simulated minute of thousands of nodes is millions of packets, most of a few lengths; an ArrayBuffer
 * each would keep the garbage collector busier than the engines are.
 */
export class PacketPool {
  readonly #free: (Uint8Array[] | undefined)[] = [];

  /** A copy of `bytes`. */
  copy(bytes: Uint8Array): Uint8Array {
    const kept = this.#free[bytes.length]?.pop();
    if (kept === undefined) return bytes.slice();
    kept.set(bytes);
    return kept;
  }

  /** Takes a copy back; nobody may hold it any more. */
  give(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length > LENGTH_MAX) return;
    let free = this.#free[length];
    if (free === undefined) {
      free = [];
      this.#free[length] = free;
    }
    if (free.length < KEPT_PER_LENGTH) free.push(bytes);
  }
}
