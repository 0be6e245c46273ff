/**
 * Decoding and merging together with what follows in an engine: the news is encoded again and queued for gossip. memberlist does both in one
 * function, so its figure is the same in both lines; here the first line has the kernels alone and this one what src/protocol adds.
 */
import type { Backend } from '../../src/kernels/backend.ts';
import { CHANGE_FLAG, CHANGE_KIND, LANE } from '../../src/kernels/contract.ts';
import { CHANGE, QUEUE_ITEM, RECORD, TABLE } from '../../src/kernels/layout.ts';
import { encodeAlive, encodeSuspect } from '../../src/wire/messages.ts';
import { KernelMembership } from './contenders.ts';
import { MEMBERS } from './inputs.ts';

const BATCH = 64;
const MESSAGE_BYTES = 256;

export class RelayingMembership extends KernelMembership {
  readonly #queue;

  constructor(backend: Backend, bodyBytes: number) {
    super(backend, bodyBytes);
    this.#queue = backend.createBroadcastQueue({
      capacity: MEMBERS + BATCH,
      heapBytes: MEMBERS * 160,
      requestCapacity: 1,
      finishedCapacity: 1,
      inBytes: BATCH * MESSAGE_BYTES,
      outBytes: 2048,
      inItemCapacity: BATCH,
      shared: false,
    });
  }

  override receive(packet: Uint8Array): void {
    super.receive(packet);
    this.#relay();
  }

  override mergeBody(body: Uint8Array, flags = 0, nodes = MEMBERS): void {
    super.mergeBody(body, flags, nodes);
    // Not ourselves, before there is a queue.
    if (nodes > 1) this.#relay();
  }

  /** Nothing waits. */
  drain(): void {
    this.#queue.prune(LANE.membership, 0);
  }

  #relay(): void {
    const { codec, table } = this;
    const queue = this.#queue;
    const count = table.u32[TABLE.outCount >>> 2] as number;
    let [staged, top] = [0, 0];
    for (let i = 0; i < count; i++) {
      const change = table.outOffset + i * CHANGE.stride;
      const kind = table.u8[change + CHANGE.kind];
      if (((table.u8[change + CHANGE.flags] as number) & CHANGE_FLAG.rebroadcast) === 0) continue;
      const record = codec.recordsOffset + (table.u32[(change + CHANGE.record) >>> 2] as number) * RECORD.stride;
      const incarnation = codec.u32[(record + RECORD.number) >>> 2] as number;
      const node = this.#view(record + RECORD.nameOffset);
      const start = queue.inOffset + top;
      const end =
        kind === CHANGE_KIND.suspect
          ? encodeSuspect(queue.u8, start, { incarnation, node, from: this.#view(record + RECORD.fromOffset) })
          : encodeAlive(queue.u8, start, {
              incarnation,
              node,
              addr: this.#view(record + RECORD.ipOffset),
              port: (codec.u8[record + RECORD.port] as number) | ((codec.u8[record + RECORD.port + 1] as number) << 8),
              meta: this.#view(record + RECORD.dataOffset),
              vsn: codec.u8.subarray(record + RECORD.vsn, record + RECORD.vsn + 6),
            });
      const item = (queue.itemsOffset + staged * QUEUE_ITEM.stride) >>> 2;
      queue.u32[item + (QUEUE_ITEM.key >>> 2)] = table.u32[(change + CHANGE.nameId) >>> 2] as number;
      queue.u32[item + (QUEUE_ITEM.offset >>> 2)] = top;
      queue.u32[item + (QUEUE_ITEM.length >>> 2)] = end - start;
      queue.u32[item + (QUEUE_ITEM.lane >>> 2)] = LANE.membership;
      top += end - start;
      if (++staged === BATCH) {
        queue.enqueue(staged);
        [staged, top] = [0, 0];
      }
    }
    if (staged > 0) queue.enqueue(staged);
  }

  #view(span: number): Uint8Array {
    const { u8, u32 } = this.codec;
    const offset = u32[span >>> 2] as number;
    return u8.subarray(offset, offset + (u32[(span >>> 2) + 1] as number));
  }
}
