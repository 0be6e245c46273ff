// What a thread does with all its kernels in one turn: decode, merge, probe, digest, delta, pack. For the children of
// lifecycle.test.ts.
import { CODEC, DELTA, PACKET } from '../../../dist/kernels/layout.js';

/** alive: node alpha at 10.0.0.1:7946, incarnation 1. */
const ALIVE = Buffer.from(
  '0486a441646472a40a000001ab496e6361726e6174696f6e01a44d657461940102cc8003a44e6f6465a5616c706861a4506f7274cd1f0aa356736ea6010502000000',
  'hex',
);

/** A turn, and the kernels that it works on. */
export function makeTurn(backend) {
  const kernels = backend.createEngineKernels({ rngSeed: 1, shared: true });
  const { names, codec, queue, table } = kernels;
  const { digest, delta } = kernels.sync;
  const name = new Uint8Array(16);
  const out = new Uint8Array(8192);
  const receive = (bytes) => {
    codec.u8.set(bytes, codec.inboxOffset);
    codec.u32[(codec.packetsOffset + PACKET.offset) >>> 2] = codec.inboxOffset;
    codec.u32[(codec.packetsOffset + PACKET.length) >>> 2] = bytes.length;
    codec.u32[CODEC.packetCount >>> 2] = 1;
    codec.u32[CODEC.inboxTop >>> 2] = bytes.length;
  };
  let now = 0;
  const turn = () => {
    now++;
    name[now & 15] = now;
    const id = names.intern(name);
    if (id > 0) names.release(id);
    receive(ALIVE);
    if (codec.index(1) !== 1) throw new Error('the datagram was rejected');
    table.merge(now, codec, 0, 1, 0);
    table.nextProbe(now, 1000);
    table.encodeState(out, 0);
    queue.fill(1, 3, 128);
    digest.hashTable(table);
    digest.rangeSums(4);
    if (digest.peel(12, out.subarray(0, digest.sketch(12, out, 0)), 0) !== 0) throw new Error('differs from itself');
    delta.u32[delta.slotsOffset >>> 2] = 0;
    delta.encode(table, 0, 1, 1400);
    const length = delta.u32[DELTA.outLength >>> 2];
    codec.u8.set(delta.u8.subarray(delta.outOffset, delta.outOffset + length), codec.inboxOffset);
    if (delta.decode(codec, 0, length) !== 1) throw new Error('a row was lost');
  };
  return { kernels, turn };
}
