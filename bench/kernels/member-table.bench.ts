/**
 * What membership costs: a push/pull body of mostly known members, a first join, a packet of news, a random pick, the next
 * probe, our own push/pull body. Members have names of 10 bytes and 24 bytes of metadata. Goal: 10,000 unchanged node states
 * in at most 2 ms.
 */
import type { Backend } from '../../src/kernels/backend.ts';
import type { Interner, MemberTable, PacketCodec } from '../../src/kernels/contract.ts';
import { MERGE_FLAG, MESSAGE, STATUS } from '../../src/kernels/contract.ts';
import { CODEC, HEADER, RECORD } from '../../src/kernels/layout.ts';
import { bytesOf } from '../../src/util/bytes.ts';
import { encodeNodeState } from '../../src/wire/messages.ts';
import type { BenchCase, BenchSuite, Subject } from '../harness.ts';

const STATE_BYTES = 160;
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

/** A table that knows `members` members, and a codec that holds one node state of each. */
class TableSubject {
  readonly names: Interner;
  readonly profiles: Interner;
  readonly table: MemberTable;
  readonly codec: PacketCodec;
  readonly members: number;

  constructor(backend: Backend, members: number) {
    this.members = members;
    const capacity = members + 1;
    this.names = backend.createInterner({ capacity, heapBytes: capacity * 16, hashSeed: 1 });
    this.profiles = backend.createInterner({ capacity, heapBytes: capacity * 48, hashSeed: 2 });
    this.table = backend.createMemberTable(
      { capacity, nameCapacity: capacity, outCapacity: capacity, rngSeed: 3 },
      this.names,
      this.profiles,
    );
    this.codec = backend.createPacketCodec({
      packetCapacity: 1,
      recordCapacity: capacity,
      inboxBytes: capacity * STATE_BYTES,
      scratchBytes: 64,
    });
    this.#load();
  }

  /** Our own member is the first of the records. */
  start(): void {
    this.table.merge(0, this.codec, 0, 1, MERGE_FLAG.bootstrap);
  }

  mergeAll(): number {
    return this.table.merge(0, this.codec, 0, this.members, 0);
  }

  arenas(): Uint8Array[] {
    return [this.table.u8, this.names.u8, this.profiles.u8];
  }

  #load(): void {
    const { codec, members } = this;
    const inbox = codec.u8.subarray(codec.inboxOffset, codec.inboxOffset + codec.inboxBytes);
    let at = 0;
    for (let i = 0; i < members; i++) {
      at = encodeNodeState(inbox, at, {
        name: bytesOf(`node-${String(i).padStart(5, '0')}`),
        addr: Uint8Array.of(10, 0, i >> 8, i & 255),
        port: 7946,
        meta: new Uint8Array(24).fill(i & 127),
        incarnation: 1 + (i & 63),
        state: STATUS.alive,
        vsn: VSN,
      });
    }
    codec.u32[CODEC.inboxTop >>> 2] = at;
    if (codec.indexState(0, members) !== at) throw new Error('the bench wrote node states that the codec refuses');
  }
}

function sized(members: number): string {
  return members.toLocaleString('en-US');
}

/** A case on a table that knows everybody. */
function knownCase(
  name: string,
  members: number,
  operations: number,
  work: (subject: TableSubject, out: Uint8Array) => number,
): BenchCase {
  return {
    name: `${name}, ${sized(members)} members`,
    operations,
    smoke: members <= 256,
    setup(backend): Subject {
      const subject = new TableSubject(backend, members);
      const out = new Uint8Array(members * STATE_BYTES);
      const last = new Float64Array(1);
      subject.start();
      subject.mergeAll();
      return {
        run: () => {
          last[0] = work(subject, out);
        },
        output: () => [...subject.arenas(), out, new Uint8Array(last.buffer)],
      };
    },
  };
}

function times(count: number, work: (subject: TableSubject) => number): (subject: TableSubject) => number {
  return (subject) => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += work(subject);
    return sum;
  };
}

/** Work over all members, repeated for small tables so that a run is long against the clock. */
function perMember(name: string, members: number, work: (subject: TableSubject, out: Uint8Array) => number): BenchCase {
  const repeats = Math.ceil(1000 / members);
  return knownCase(name, members, members * repeats, (subject, out) => {
    let sum = 0;
    for (let i = 0; i < repeats; i++) sum += work(subject, out);
    return sum;
  });
}

/** Puts the table back to empty before each run; the copying is part of the time, for both engines alike. */
function emptyCase(members: number): BenchCase {
  return {
    name: `merge a first join, per node state of ${sized(members)}`,
    operations: members,
    smoke: members <= 256,
    setup(backend): Subject {
      const subject = new TableSubject(backend, members);
      const empty = subject.arenas().map((u8) => u8.slice());
      return {
        run: () => {
          subject.arenas().forEach((u8, i) => {
            u8.set(empty[i] as Uint8Array);
          });
          subject.start();
          subject.mergeAll();
        },
        output: () => subject.arenas(),
      };
    },
  };
}

/** Ten records as gossip brings them: five members raise their incarnation, five are suspected; all of it news. */
function newsCase(members: number): BenchCase {
  return knownCase('merge a packet of 10 news', members, 10, (subject) => {
    const { codec, table } = subject;
    let changes = 0;
    for (let packet = 0; packet < 10; packet++) {
      for (let i = 0; i < 10; i++) {
        const at = codec.recordsOffset + (1 + i) * RECORD.stride;
        const incarnation = (codec.u32[(at + RECORD.number) >>> 2] as number) + 1;
        codec.u32[(at + RECORD.number) >>> 2] = incarnation;
        // A suspicion, and in the next packet the refutation that makes room for another suspicion.
        codec.u8[at + RECORD.kind] = i >= 5 && packet % 2 === 0 ? MESSAGE.suspect : MESSAGE.alive;
      }
      changes += table.merge(0, codec, 1, 10, 0);
    }
    return changes + (table.u32[HEADER.changeCount >>> 2] as number);
  });
}

export const memberTableSuite: BenchSuite = {
  name: 'member-table',
  cases: [
    ...[1, 16, 256, 10_000].map((members) =>
      perMember('merge unchanged, per node state', members, (subject) => subject.mergeAll()),
    ),
    ...[256, 10_000].map(emptyCase),
    newsCase(256),
    newsCase(10_000),
    ...[16, 10_000].map((members) =>
      knownCase(
        'next probe',
        members,
        100,
        times(100, ({ table }) => table.nextProbe(0, 1000)),
      ),
    ),
    ...[16, 10_000].map((members) =>
      perMember('encode the state, per member', members, ({ table }, out) => table.encodeState(out, 0)),
    ),
    knownCase(
      'look a name up',
      256,
      100,
      times(100, ({ names }) => names.lookup(NAME)),
    ),
  ],
};

const NAME = bytesOf('node-00077');
