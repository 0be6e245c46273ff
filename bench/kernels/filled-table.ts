import type { Backend } from '../../src/kernels/backend.ts';
import { type Interner, MESSAGE, type MemberTable, STATUS } from '../../src/kernels/contract.ts';
import { CODEC } from '../../src/kernels/layout.ts';
import { bytesOf } from '../../src/util/bytes.ts';
import { encodeNodeState } from '../../src/wire/messages.ts';

const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

/** A table of `members` members with names of 10 bytes and 24 bytes of metadata; the first `newer` of them are at a later incarnation. */
export function filledTable(
  backend: Backend,
  members: number,
  newer = 0,
): { readonly table: MemberTable; readonly names: Interner; readonly profiles: Interner } {
  const names = backend.createInterner({ capacity: members, heapBytes: members * 16, hashSeed: 1 });
  const profiles = backend.createInterner({ capacity: members, heapBytes: members * 48, hashSeed: 2 });
  const table = backend.createMemberTable(
    { capacity: members, nameCapacity: members, outCapacity: members, rngSeed: 3 },
    names,
    profiles,
  );
  const codec = backend.createPacketCodec({
    packetCapacity: 0,
    recordCapacity: members,
    inboxBytes: members * 160,
    scratchBytes: 64,
  });
  const inbox = codec.u8.subarray(codec.inboxOffset, codec.inboxOffset + codec.inboxBytes);
  let at = 0;
  for (let i = 0; i < members; i++) {
    at = encodeNodeState(inbox, at, {
      name: bytesOf(`node-${String(i).padStart(5, '0')}`),
      addr: Uint8Array.of(10, 0, i >> 8, i & 255),
      port: 7946,
      meta: new Uint8Array(24).fill(i & 127),
      incarnation: i < newer ? 100 : 1 + (i & 63),
      state: STATUS.alive,
      vsn: VSN,
    });
  }
  codec.u32[CODEC.inboxTop >>> 2] = at;
  if (codec.indexState(0, members) !== at || table.merge(0, codec, 0, members, 0) !== members) {
    throw new Error(`the bench wrote node states (kind ${MESSAGE.pushPull}) that the kernels refuse`);
  }
  return { table, names, profiles };
}
