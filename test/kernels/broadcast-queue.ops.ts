import type { BroadcastQueueArenaOptions } from '../../src/kernels/arenas/broadcast-queue.ts';
import type { BroadcastQueue } from '../../src/kernels/contract.ts';
import type { Prng } from '../../src/util/prng.ts';
import {
  DEFAULT_SIZES,
  enqueue,
  fill,
  type Item,
  message,
  type Packet,
  type Request,
} from './broadcast-queue.driver.ts';

/** One step of a generated log; a log is explained by its seed. */
export type Op =
  | { readonly kind: 'enqueue'; readonly items: readonly Item[] }
  | {
      readonly kind: 'fill';
      readonly requests: readonly Request[];
      readonly transmitLimit: number;
      readonly userShare: number;
    }
  | { readonly kind: 'invalidate'; readonly key: number }
  | { readonly kind: 'prune'; readonly lane: number; readonly keep: number };

/** Sizes small enough that entries, heap, out section and the parts of a compound all run out now and then. */
export function randomSizes(prng: Prng): BroadcastQueueArenaOptions {
  return {
    ...DEFAULT_SIZES,
    capacity: 1 + prng.below(prng.below(2) === 0 ? 12 : 300),
    heapBytes: 4096 + prng.below(6000),
    requestCapacity: 1 + prng.below(4),
    inBytes: 80_000,
    outBytes: 300 + prng.below(6000),
    inItemCapacity: 5 + prng.below(30),
  };
}

export class OpGenerator {
  readonly #prng: Prng;
  readonly #sizes: BroadcastQueueArenaOptions;
  #messages = 0;
  /** Chosen once per log, so that some logs have one size of message only, or one lane. */
  readonly #sizeStyle: number;
  readonly #laneStyle: number;
  readonly #keys: number;

  constructor(prng: Prng, sizes: BroadcastQueueArenaOptions) {
    this.#prng = prng;
    this.#sizes = sizes;
    this.#sizeStyle = prng.below(4);
    this.#laneStyle = prng.below(3);
    this.#keys = prng.below(2) === 0 ? 40 : 1000;
  }

  next(): Op {
    const prng = this.#prng;
    const choice = prng.below(20);
    if (choice < 9)
      return { kind: 'enqueue', items: this.#times(1 + prng.below(this.#sizes.inItemCapacity), this.#item) };
    if (choice < 17) {
      const requests = this.#times(1 + prng.below(this.#sizes.requestCapacity), this.#request);
      const userShare = [0, 1, 64, 128, 256][prng.below(5)] as number;
      return { kind: 'fill', requests, transmitLimit: prng.below(7), userShare };
    }
    if (choice < 19) return { kind: 'invalidate', key: prng.below(this.#keys) };
    return { kind: 'prune', lane: prng.below(2), keep: prng.below(this.#sizes.capacity + 2) };
  }

  #times<T>(count: number, make: () => T): T[] {
    return Array.from({ length: count }, () => make.call(this));
  }

  #item(): Item {
    const prng = this.#prng;
    const length = this.#length();
    const lane = this.#laneStyle === 0 ? 0 : this.#laneStyle === 1 ? prng.below(2) : prng.below(40) === 0 ? 2 : 1;
    return {
      bytes: message(++this.#messages, length),
      key: prng.below(3) === 0 ? 0 : prng.below(this.#keys),
      token: prng.below(2) === 0 ? 0 : this.#messages,
      prefix: prng.below(3) === 0 ? prng.below(length + 2) : 0,
      lane,
    };
  }

  #length(): number {
    const prng = this.#prng;
    const style = prng.below(30) === 0 ? 4 : this.#sizeStyle;
    if (style === 0) return 4;
    if (style === 1) return 4 + prng.below(8);
    if (style === 2) return 4 + prng.below(120);
    if (style === 3) return 4 + prng.below(1400);
    return prng.below(2) === 0 ? 2040 + prng.below(20) : prng.below(4);
  }

  #request(): Request {
    const prng = this.#prng;
    const limit = prng.below(8) === 0 ? prng.below(12) : prng.below(prng.below(4) === 0 ? 6000 : 1400);
    const flags = prng.below(2);
    if (prng.below(3) > 0) return { limit, flags };
    return { limit, flags, lead: message(prng.below(1000), 4 + prng.below(prng.below(10) === 0 ? 2500 : 60)) };
  }
}

/** Runs a step; what it returns shows in every engine alike. */
export function apply(queue: BroadcastQueue, op: Op): number | Packet[] {
  switch (op.kind) {
    case 'enqueue':
      return enqueue(queue, op.items);
    case 'fill':
      return fill(queue, op.requests, op.transmitLimit, op.userShare);
    case 'invalidate':
      queue.invalidate(op.key);
      return 0;
    case 'prune':
      queue.prune(op.lane, op.keep);
      return 0;
  }
}
