/**
 * What keeping news in order costs, by the number of updates already waiting. Messages are 40 to 120 bytes, like alive
 * messages with little metadata; a packet has 1,400 bytes. Goal: one packet from 1,000 updates in at most 5 us.
 */
import type { Backend } from '../../src/kernels/backend.ts';
import { type BroadcastQueue, LANE } from '../../src/kernels/contract.ts';
import { QUEUE_ITEM, QUEUE_REQUEST } from '../../src/kernels/layout.ts';
import { Prng } from '../../src/util/prng.ts';
import type { BenchCase, BenchSuite, Subject } from '../harness.ts';

const BATCH = 10;
const PACKET_BYTES = 1400;
const OPERATIONS = 10;
/** Never reached, so that the number of waiting updates stays what the case says. */
const NO_LIMIT = 0xffffffff;

class QueueSubject {
  readonly queue: BroadcastQueue;
  readonly #prng = new Prng(4);
  readonly #queued: number;
  #key = 0;

  constructor(backend: Backend, queued: number) {
    this.#queued = queued;
    this.queue = backend.createBroadcastQueue({
      capacity: queued + BATCH,
      heapBytes: (queued + BATCH) * 200 + 4096,
      requestCapacity: 4,
      finishedCapacity: 1,
      inBytes: BATCH * 128,
      outBytes: 4 * 1536,
      inItemCapacity: BATCH,
      shared: false,
    });
    for (let i = 0; i < this.queue.inBytes; i++) this.queue.u8[this.queue.inOffset + i] = this.#prng.below(256);
    for (let i = 0; i < queued; i += BATCH) this.enqueue();
    for (let i = 0; i < 4; i++) {
      this.queue.u32[(this.queue.requestsOffset + i * QUEUE_REQUEST.stride + QUEUE_REQUEST.limit) >> 2] = PACKET_BYTES;
    }
  }

  /** Ten messages, each replacing the one about the same member. */
  enqueue(): void {
    const { u32, itemsOffset } = this.queue;
    for (let i = 0; i < BATCH; i++) {
      const at = (itemsOffset + i * QUEUE_ITEM.stride) >> 2;
      this.#key = this.#key === this.#queued ? 1 : this.#key + 1;
      u32[at + (QUEUE_ITEM.key >> 2)] = this.#key;
      u32[at + (QUEUE_ITEM.offset >> 2)] = i * 128;
      u32[at + (QUEUE_ITEM.length >> 2)] = 40 + this.#prng.below(81);
      u32[at + (QUEUE_ITEM.lane >> 2)] = i < 8 ? LANE.membership : LANE.user;
    }
    this.queue.enqueue(BATCH);
  }
}

function queueCase(name: string, queued: number, work: (subject: QueueSubject) => void): BenchCase {
  return {
    name: `${name}, ${queued.toLocaleString('en-US')} waiting`,
    operations: OPERATIONS,
    smoke: queued <= 100,
    setup(backend): Subject {
      const subject = new QueueSubject(backend, queued);
      return {
        run: () => {
          for (let i = 0; i < OPERATIONS; i++) work(subject);
        },
        output: () => [subject.queue.u8],
      };
    },
  };
}

export const broadcastQueueSuite: BenchSuite = {
  name: 'broadcast-queue',
  cases: [
    ...[10, 100, 1_000, 10_000].map((queued) => queueCase('enqueue 10', queued, (subject) => subject.enqueue())),
    ...[10, 100, 1_000, 10_000].map((queued) =>
      queueCase('fill one packet', queued, (subject) => subject.queue.fill(1, NO_LIMIT, 64)),
    ),
    queueCase('gossip tick: enqueue 10, fill 3 packets', 1_000, (subject) => {
      subject.enqueue();
      subject.queue.fill(3, 8, 64);
    }),
  ],
};
