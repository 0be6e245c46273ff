import { type BroadcastQueueSections, broadcastQueueSections } from '../arenas/broadcast-queue.ts';
import { checkCount } from '../arenas/header.ts';
import type { Arena, BroadcastQueue } from '../contract.ts';
import { HEADER, QUEUE } from '../layout.ts';
import { type KernelHandle, NativeKernel } from './native-kernel.ts';

interface BroadcastQueueHandle extends KernelHandle {
  enqueue(count: number): number;
  fill(count: number, transmitLimit: number, userShare: number): number;
  invalidate(key: number): void;
  prune(lane: number, keep: number): void;
}

/** The C++ engine of the broadcast queue; native/kernels/broadcast_queue.hpp does the work. */
export class NativeBroadcastQueue
  extends NativeKernel<BroadcastQueueHandle, BroadcastQueueSections>
  implements BroadcastQueue
{
  /** Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createBroadcastQueueArena. */
  constructor(arena: Arena) {
    super('BroadcastQueue', broadcastQueueSections, arena);
  }

  get capacity(): number {
    return this.u32[HEADER.capacity >> 2] as number;
  }
  get requestCapacity(): number {
    return this.u32[QUEUE.requestCapacity >> 2] as number;
  }
  get requestsOffset(): number {
    return this.sections.requests;
  }
  get packetsOffset(): number {
    return this.sections.packets;
  }
  get finishedOffset(): number {
    return this.sections.finished;
  }
  get entriesOffset(): number {
    return this.sections.entries;
  }
  get itemsOffset(): number {
    return this.sections.items;
  }
  get inOffset(): number {
    return this.sections.in;
  }
  get inBytes(): number {
    return this.u32[QUEUE.inBytes >> 2] as number;
  }
  get outOffset(): number {
    return this.sections.out;
  }
  get outBytes(): number {
    return this.u32[QUEUE.outBytes >> 2] as number;
  }

  enqueue(count: number): number {
    checkCount('BroadcastQueue.enqueue count', count, 0, this.u32[QUEUE.inItemCapacity >> 2] as number);
    return this.handle.enqueue(count);
  }

  fill(count: number, transmitLimit: number, userShare: number): number {
    checkCount('BroadcastQueue.fill count', count, 0, this.requestCapacity);
    checkCount('BroadcastQueue.fill transmitLimit', transmitLimit, 0, 0xffffffff);
    checkCount('BroadcastQueue.fill userShare', userShare, 0, 256);
    return this.handle.fill(count, transmitLimit, userShare);
  }

  invalidate(key: number): void {
    checkCount('BroadcastQueue.invalidate key', key, 0, 0xffffffff);
    this.handle.invalidate(key);
  }

  prune(lane: number, keep: number): void {
    checkCount('BroadcastQueue.prune lane', lane, 0, 1);
    checkCount('BroadcastQueue.prune keep', keep, 0, 0xffffffff);
    this.handle.prune(lane, keep);
  }
}
