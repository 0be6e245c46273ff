/** What does the work of a comparison: our two engines over the kernels, and plain JavaScript. */
import { createHash } from 'node:crypto';
import type { Backend } from '../../src/kernels/backend.ts';
import {
  type BroadcastQueue,
  LANE,
  MERGE_FLAG,
  type MemberTable,
  type PacketCodec,
  STATUS,
} from '../../src/kernels/contract.ts';
import { CODEC, PACKET, QUEUE_ITEM, QUEUE_PACKET, QUEUE_REQUEST } from '../../src/kernels/layout.ts';
import { bytesOf } from '../../src/util/bytes.ts';
import { encodeNodeState } from '../../src/wire/messages.ts';
import { type PlainMember, PlainMembership, PlainQueue } from '../drivers/plain-js.ts';
import { memberName } from '../kernels/messages.ts';
import { MEMBERS, PACKET_BYTES, stamp, type VersusInputs } from './inputs.ts';

/** Prepared work. before() is not timed. */
export interface VersusSubject {
  before?(): void;
  run(): void;
  /** What the work has left behind, as text that every contender must agree on. */
  view(): string;
  /** How much less than the others it does in one run. Default 1. */
  readonly scale?: number;
}

const SELF = 'bench-self';
const NO_LIMIT = 0xffffffff;
export const BATCH = 10;
export const QUEUE_OPERATIONS = 10;

/** Our kernels, with ourselves in the table. */
export class KernelMembership {
  readonly table: MemberTable;
  readonly codec: PacketCodec;
  readonly out = new Uint8Array(2 * 1024 * 1024);
  readonly #arenas: Uint8Array[];
  #empty: Uint8Array[] = [];

  constructor(backend: Backend, bodyBytes: number) {
    const capacity = MEMBERS + 1;
    const names = backend.createInterner({ capacity, heapBytes: capacity * 16 + 4096, hashSeed: 1 });
    const profiles = backend.createInterner({ capacity, heapBytes: capacity * 64 + 4096, hashSeed: 2 });
    this.table = backend.createMemberTable(
      { capacity, nameCapacity: capacity, outCapacity: capacity, rngSeed: 3 },
      names,
      profiles,
    );
    this.codec = backend.createPacketCodec({
      packetCapacity: 1,
      recordCapacity: MEMBERS,
      inboxBytes: bodyBytes + 4096,
      scratchBytes: 4096,
    });
    this.#arenas = [this.table.u8, names.u8, profiles.u8];
    this.#start();
    this.#empty = this.#arenas.map((u8) => u8.slice());
  }

  reset(): void {
    this.#arenas.forEach((u8, i) => {
      u8.set(this.#empty[i] as Uint8Array);
    });
  }

  mergeBody(body: Uint8Array, flags = 0, nodes = MEMBERS): void {
    const { codec, table } = this;
    codec.u8.set(body, codec.inboxOffset);
    codec.u32[CODEC.inboxTop >>> 2] = body.length;
    if (codec.indexState(0, nodes) !== body.length) throw new Error('the codec refuses the body');
    if (table.merge(1000, codec, 0, nodes, flags) !== nodes) throw new Error('the table has no room for the body');
  }

  receive(packet: Uint8Array): void {
    const { codec, table } = this;
    codec.u8.set(packet, codec.inboxOffset);
    const at = codec.packetsOffset;
    codec.u32[(at + PACKET.offset) >>> 2] = codec.inboxOffset;
    codec.u32[(at + PACKET.length) >>> 2] = packet.length;
    codec.u32[CODEC.inboxTop >>> 2] = packet.length;
    const records = codec.index(1);
    table.merge(1000, codec, 0, records, 0);
  }

  encodeState(): Uint8Array {
    return this.out.subarray(0, this.table.encodeState(this.out, 0));
  }

  view(): string {
    return bodyView(this.encodeState());
  }

  #start(): void {
    const self = new Uint8Array(256);
    const length = encodeNodeState(self, 0, {
      name: bytesOf(SELF),
      addr: Uint8Array.of(127, 0, 0, 1),
      port: 7946,
      meta: null,
      incarnation: 1,
      state: STATUS.alive,
      vsn: Uint8Array.of(1, 5, 2, 0, 0, 0),
    });
    this.mergeBody(self.subarray(0, length), MERGE_FLAG.bootstrap, 1);
  }
}

type Membership = Pick<KernelMembership, 'mergeBody' | 'receive' | 'encodeState' | 'view'> & { drain?(): void };

export function plainMembership(): Membership {
  const plain = new PlainMembership();
  return {
    mergeBody: (body) => plain.mergeBody(body),
    receive: (packet) => plain.receive(packet),
    encodeState: () => plain.encodeState(),
    view: () => membersView(plain.members.values()),
  };
}

/** A table that knows everybody is told the same again. */
export function unchanged(membership: Membership, inputs: VersusInputs): VersusSubject {
  membership.mergeBody(inputs.body);
  return { run: () => membership.mergeBody(inputs.body), view: () => membership.view() };
}

/** A first join: the table knows nobody before each run. */
export function intoEmpty(fresh: () => Membership, inputs: VersusInputs): VersusSubject {
  let membership = fresh();
  return {
    before: () => {
      membership = fresh();
    },
    run: () => membership.mergeBody(inputs.body),
    view: () => membership.view(),
  };
}

/** All packets of a set, one call each; `news` makes them news before each run. */
export function packets(membership: Membership, inputs: VersusInputs, news: boolean): VersusSubject {
  membership.mergeBody(inputs.body);
  let generation = -1;
  const set = () => inputs.packets[generation & 1] as readonly Uint8Array[];
  return {
    before: () => {
      membership.drain?.();
      if (!news && generation >= 0) return;
      generation++;
      stamp(set(), generation);
    },
    run: () => {
      for (const packet of set()) membership.receive(packet);
    },
    view: () => membership.view(),
  };
}

export function encoding(membership: Membership, inputs: VersusInputs): VersusSubject {
  membership.mergeBody(inputs.body);
  let last = new Uint8Array(0);
  return {
    run: () => {
      last = membership.encodeState() as Uint8Array<ArrayBuffer>;
    },
    view: () => bodyView(last),
  };
}

interface Queue {
  /** Ten messages about ten members, each replacing the one before. */
  enqueue(): void;
  fill(): { bytes: number; parts: number };
}

export function kernelQueue(backend: Backend, messages: readonly Uint8Array[]): Queue {
  const queue: BroadcastQueue = backend.createBroadcastQueue({
    capacity: messages.length + BATCH,
    heapBytes: messages.length * 256 + 4096,
    requestCapacity: 1,
    finishedCapacity: 1,
    inBytes: BATCH * 128,
    outBytes: 2048,
    inItemCapacity: BATCH,
    shared: false,
  });
  // The limit is for the messages; type and count of the compound come on top.
  queue.u32[(queue.requestsOffset + QUEUE_REQUEST.limit) >> 2] = PACKET_BYTES - 2;
  let next = 0;
  return {
    enqueue: () => {
      const { u8, u32, itemsOffset, inOffset } = queue;
      let top = 0;
      for (let i = 0; i < BATCH; i++) {
        const message = messages[next] as Uint8Array;
        const at = (itemsOffset + i * QUEUE_ITEM.stride) >> 2;
        u8.set(message, inOffset + top);
        u32[at + (QUEUE_ITEM.key >> 2)] = next + 1;
        u32[at + (QUEUE_ITEM.offset >> 2)] = top;
        u32[at + (QUEUE_ITEM.length >> 2)] = message.length;
        u32[at + (QUEUE_ITEM.lane >> 2)] = LANE.membership;
        top += message.length;
        next = (next + 1) % messages.length;
      }
      queue.enqueue(BATCH);
    },
    fill: () => {
      queue.fill(1, NO_LIMIT, 64);
      const at = queue.packetsOffset >> 2;
      return {
        bytes: queue.u32[at + (QUEUE_PACKET.length >> 2)] as number,
        parts: queue.u32[at + (QUEUE_PACKET.parts >> 2)] as number,
      };
    },
  };
}

export function plainQueue(messages: readonly Uint8Array[]): Queue {
  const queue = new PlainQueue(Number.POSITIVE_INFINITY);
  const names = messages.map((_, i) => memberName(i));
  let next = 0;
  return {
    enqueue: () => {
      for (let i = 0; i < BATCH; i++) {
        queue.enqueue(names[next] as string, messages[next] as Uint8Array);
        next = (next + 1) % messages.length;
      }
    },
    fill: () => {
      const { packet, parts } = queue.fill(PACKET_BYTES);
      return { bytes: packet.length, parts };
    },
  };
}

export function queueing(queue: Queue, messages: readonly Uint8Array[], operation: 'fill' | 'enqueue'): VersusSubject {
  for (let i = 0; i < messages.length / BATCH; i++) queue.enqueue();
  return {
    run: () => {
      for (let i = 0; i < QUEUE_OPERATIONS; i++) queue[operation]();
    },
    view: () => {
      let [bytes, parts] = [0, 0];
      for (let i = 0; i < 100; i++) {
        const packet = queue.fill();
        bytes += packet.bytes;
        parts += packet.parts;
      }
      return `100 packets: ${bytes} bytes, ${parts} messages`;
    },
  };
}

function bodyView(body: Uint8Array): string {
  return membersView(new PlainMembership().decodeStates(body));
}

/** The same text as the Go program's. */
function membersView(members: Iterable<PlainMember>): string {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  const lines = [...members]
    .filter(({ name }) => name !== SELF)
    .map((m) => `${m.name} ${hex(m.addr)} ${m.port} ${hex(m.meta)} ${m.incarnation} ${m.state} ${hex(m.vsn)}\n`)
    .sort();
  const hash = createHash('sha256').update(lines.join('')).digest('hex').slice(0, 16);
  return `${lines.length} members ${hash}`;
}
