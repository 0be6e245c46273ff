/**
 * What reading datagrams and push/pull bodies into records costs, and compressing them. The datagrams lie in the inbox
 * already; copying them there is the driver's work.
 */

import { createPacketCodecArena } from '../../src/kernels/arenas/packet-codec.ts';
import type { Backend } from '../../src/kernels/backend.ts';
import { MESSAGE, type PacketCodec } from '../../src/kernels/contract.ts';
import { JsPacketCodec } from '../../src/kernels/js/packet-codec.ts';
import { CODEC, PACKET } from '../../src/kernels/layout.ts';
import { bytesOf, concatBytes } from '../../src/util/bytes.ts';
import { MsgpackWriter } from '../../src/wire/msgpack.ts';
import type { BenchCase, BenchSuite, Subject } from '../harness.ts';
import { alive, compound, nodeState, ping } from './messages.ts';

const SIZES = { packetCapacity: 64, recordCapacity: 1024, inboxBytes: 256 * 1024, scratchBytes: 128 * 1024 };

interface CodecCase {
  readonly name: string;
  readonly operations: number;
  readonly smoke?: boolean;
  readonly datagrams: readonly Uint8Array[];
  readonly records?: number;
  /** Returns what must not be negative. */
  readonly work: (codec: PacketCodec) => number;
}

/** Lays the datagrams into the inbox one behind the other and describes them. */
function deliver(codec: PacketCodec, datagrams: readonly Uint8Array[]): void {
  let top = 0;
  datagrams.forEach((datagram, i) => {
    codec.u8.set(datagram, codec.inboxOffset + top);
    const at = codec.packetsOffset + i * PACKET.stride;
    codec.u32[(at + PACKET.offset) >> 2] = codec.inboxOffset + top;
    codec.u32[(at + PACKET.length) >> 2] = datagram.length;
    top += datagram.length;
  });
  codec.u32[CODEC.inboxTop >> 2] = top;
}

function codecCase({ name, operations, smoke, datagrams, records, work }: CodecCase): BenchCase {
  const bytes = datagrams.reduce((sum, datagram) => sum + datagram.length, 0);
  return {
    name: `${name}, ${bytes.toLocaleString('en-US')} bytes`,
    operations,
    smoke: smoke ?? true,
    setup(backend: Backend): Subject {
      const codec = backend.createPacketCodec({
        ...SIZES,
        recordCapacity: records ?? SIZES.recordCapacity,
        inboxBytes: Math.max(SIZES.inboxBytes, bytes),
      });
      deliver(codec, datagrams);
      const run = () => {
        for (let i = 0; i < operations; i++) if (work(codec) < 0) throw new Error(`${name}: refused`);
      };
      return { run, output: () => [codec.u8, scratch] };
    },
  };
}

const TURN = 64;
const NODES = 10_000;
const ten = compound(Array.from({ length: 10 }, (_, i) => alive(i)));
const body = concatBytes(Array.from({ length: NODES }, (_, i) => nodeState(i)));
/** What compress() writes into. */
const scratch = new Uint8Array(ten.length);
const compressed = compressedMessage(ten);

function compressedMessage(plain: Uint8Array): Uint8Array {
  const packed = new Uint8Array(plain.length);
  const length = new JsPacketCodec(createPacketCodecArena(SIZES)).compress(plain, packed);
  if (length < 0) throw new Error('the message does not compress');
  const head = new MsgpackWriter().byte(MESSAGE.compress).mapHeader(2);
  head.raw(bytesOf('Algo')).uint(0).raw(bytesOf('Buf')).raw(packed.subarray(0, length));
  return head.written();
}

export const packetCodecSuite: BenchSuite = {
  name: 'packet-codec',
  cases: [
    codecCase({ name: 'one ping', operations: 200, datagrams: [ping()], work: (codec) => codec.index(1) }),
    codecCase({ name: 'compound of 10 alive', operations: 50, datagrams: [ten], work: (codec) => codec.index(1) }),
    codecCase({
      name: 'the same compressed',
      operations: 20,
      datagrams: [compressed],
      work: (codec) => codec.index(1),
    }),
    codecCase({
      name: 'a turn of 64 compounds of 10',
      operations: 1,
      datagrams: Array.from({ length: TURN }, () => ten),
      work: (codec) => codec.index(TURN),
    }),
    codecCase({
      name: 'push/pull body of 10,000 nodes',
      operations: 1,
      smoke: false,
      datagrams: [body],
      records: NODES,
      work: (codec) => codec.indexState(0, NODES),
    }),
    codecCase({
      name: 'compress a compound of 10 alive',
      operations: 20,
      datagrams: [ten],
      work: (codec) => codec.compress(ten, scratch),
    }),
  ],
};
