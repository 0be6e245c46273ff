import {
  type BroadcastQueueArenaOptions,
  createBroadcastQueueArena,
} from '../../src/kernels/arenas/broadcast-queue.ts';
import type { BackendName, BroadcastQueue } from '../../src/kernels/contract.ts';
import { JsBroadcastQueue } from '../../src/kernels/js/broadcast-queue.ts';
import { HEADER, QUEUE, QUEUE_ITEM, QUEUE_PACKET, QUEUE_REQUEST } from '../../src/kernels/layout.ts';
import { NativeBroadcastQueue } from '../../src/kernels/native/broadcast-queue.ts';
import { hasNativeClass } from '../../src/kernels/native.ts';

export const ENGINES: readonly BackendName[] = hasNativeClass('BroadcastQueue') ? ['js', 'native'] : ['js'];

export interface Item {
  readonly key?: number;
  readonly bytes: Uint8Array;
  readonly token?: number;
  readonly prefix?: number;
  readonly lane?: number;
  /** Transmits that count as made already. */
  readonly transmits?: number;
}

export interface Request {
  readonly limit: number;
  readonly lead?: Uint8Array;
  readonly flags?: number;
}

export interface Packet {
  readonly length: number;
  readonly parts: readonly Uint8Array[];
  readonly bytes: Uint8Array;
}

export const DEFAULT_SIZES: BroadcastQueueArenaOptions = {
  capacity: 64,
  heapBytes: 1 << 16,
  requestCapacity: 8,
  finishedCapacity: 1,
  inBytes: 1 << 14,
  outBytes: 1 << 16,
  inItemCapacity: 64,
  shared: false,
};

export function makeQueue(engine: BackendName, sizes: Partial<BroadcastQueueArenaOptions> = {}): BroadcastQueue {
  const arena = createBroadcastQueueArena({ ...DEFAULT_SIZES, ...sizes });
  return engine === 'native' ? new NativeBroadcastQueue(arena) : new JsBroadcastQueue(arena);
}

/** Writes the items into the in section and queues them. */
export function enqueue(queue: BroadcastQueue, items: readonly Item[]): number {
  let top = 0;
  items.forEach((item, i) => {
    const at = (queue.itemsOffset + i * QUEUE_ITEM.stride) / 4;
    queue.u8.set(item.bytes, queue.inOffset + top);
    queue.u32[at + QUEUE_ITEM.key / 4] = item.key ?? 0;
    queue.u32[at + QUEUE_ITEM.offset / 4] = top;
    queue.u32[at + QUEUE_ITEM.length / 4] = item.bytes.length;
    queue.u32[at + QUEUE_ITEM.token / 4] = item.token ?? 0;
    queue.u32[at + QUEUE_ITEM.prefix / 4] = item.prefix ?? 0;
    queue.u32[at + QUEUE_ITEM.lane / 4] = (item.lane ?? 0) | ((item.transmits ?? 0) << 16);
    top += item.bytes.length;
  });
  return queue.enqueue(items.length);
}

/** Writes the requests, fills, and reads the packets back. */
export function fill(queue: BroadcastQueue, requests: readonly Request[], limit: number, userShare = 0): Packet[] {
  let top = 0;
  requests.forEach((request, i) => {
    const at = (queue.requestsOffset + i * QUEUE_REQUEST.stride) / 4;
    if (request.lead) queue.u8.set(request.lead, queue.inOffset + top);
    queue.u32[at + QUEUE_REQUEST.leadOffset / 4] = top;
    queue.u32[at + QUEUE_REQUEST.leadLength / 4] = request.lead?.length ?? 0;
    queue.u32[at + QUEUE_REQUEST.limit / 4] = request.limit;
    queue.u32[at + QUEUE_REQUEST.flags / 4] = request.flags ?? 0;
    top += request.lead?.length ?? 0;
  });
  queue.fill(requests.length, limit, userShare);
  return requests.map((_, i) => readPacket(queue, i));
}

export function readPacket(queue: BroadcastQueue, index: number): Packet {
  const at = (queue.packetsOffset + index * QUEUE_PACKET.stride) / 4;
  const offset = queue.u32[at + QUEUE_PACKET.offset / 4] as number;
  const length = queue.u32[at + QUEUE_PACKET.length / 4] as number;
  const count = queue.u32[at + QUEUE_PACKET.parts / 4] as number;
  const bytes = queue.u8.slice(offset, offset + length);
  if (count < 2) return { length, bytes, parts: count === 0 ? [] : [bytes] };
  if (bytes[0] !== 7 || bytes[1] !== count) throw new Error('not the compound that the descriptor announces');
  const parts: Uint8Array[] = [];
  let from = 2 + 2 * count;
  for (let i = 0; i < count; i++) {
    const size = ((bytes[2 + 2 * i] as number) << 8) | (bytes[3 + 2 * i] as number);
    parts.push(bytes.slice(from, from + size));
    from += size;
  }
  if (from !== length) throw new Error(`compound ends at ${from}, descriptor says ${length}`);
  return { length, bytes, parts };
}

export function finishedTokens(queue: BroadcastQueue): number[] {
  const from = queue.finishedOffset / 4;
  return [...queue.u32.subarray(from, from + word(queue, QUEUE.finishedCount))];
}

export function word(queue: BroadcastQueue, offset: number): number {
  return queue.u32[offset / 4] as number;
}

export function live(queue: BroadcastQueue): number {
  return word(queue, HEADER.live);
}

/** A message of `length` bytes that carries a number in its first bytes (as far as they reach). */
export function message(id: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(0xab);
  for (let i = 0; i < Math.min(4, length); i++) bytes[i] = (id >>> (8 * i)) & 255;
  return bytes;
}

export function messageId(bytes: Uint8Array): number {
  let id = 0;
  for (let i = 0; i < 4; i++) id += (bytes[i] as number) * 2 ** (8 * i);
  return id;
}
