import { describe, expect, it } from 'vitest';
import {
  createPacketCodecArena,
  grownPacketCodecArena,
  type PacketCodecOptions,
} from '../../src/kernels/arenas/packet-codec.ts';
import type { PacketCodec } from '../../src/kernels/contract.ts';
import { JsPacketCodec } from '../../src/kernels/js/packet-codec.ts';
import { CODEC } from '../../src/kernels/layout.ts';
import { NativePacketCodec } from '../../src/kernels/native/packet-codec.ts';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { lzwBound } from '../../src/wire/lzw.ts';
import { deliver, deliverState, resultOf, unusedIsZero } from './packet-codec.fixtures.ts';
import { DatagramGenerator } from './packet-codec.generator.ts';

/** HEARSAY_TWIN_DATAGRAMS and HEARSAY_TWIN_SEED make longer or other runs. */
const DATAGRAMS = Number(process.env['HEARSAY_TWIN_DATAGRAMS'] ?? 24_000);
const SEED = Number(process.env['HEARSAY_TWIN_SEED'] ?? 20_260_728);

/** From roomy to so tight that records, scratch or both run out often. */
const SHAPES: readonly PacketCodecOptions[] = [
  { packetCapacity: 12, recordCapacity: 512, inboxBytes: 1 << 20, scratchBytes: 1 << 16 },
  { packetCapacity: 8, recordCapacity: 7, inboxBytes: (1 << 19) + 5, scratchBytes: 1 << 14 },
  { packetCapacity: 8, recordCapacity: 64, inboxBytes: 1 << 19, scratchBytes: 203, shared: true },
];

const sameArena = (twin: PacketCodec, native: PacketCodec) =>
  Buffer.from(twin.arena).equals(Buffer.from(native.arena)) || firstDifference(twin, native);

function firstDifference(twin: PacketCodec, native: PacketCodec): string {
  const at = twin.u8.findIndex((byte, i) => byte !== native.u8[i]);
  const section = at < twin.recordsOffset ? 'packets' : at < twin.inboxOffset ? 'records' : 'inbox or scratch';
  return `byte ${at} (${section}) is ${twin.u8[at]} in TypeScript, ${native.u8[at]} in C++`;
}

/** A twin and a native codec over equal arenas. */
function pair(shape: PacketCodecOptions): [PacketCodec, PacketCodec] {
  return [new JsPacketCodec(createPacketCodecArena(shape)), new NativePacketCodec(createPacketCodecArena(shape))];
}

describe.runIf(hasNativeClass('PacketCodec'))(`packet codec, twin against native, seed ${SEED}`, () => {
  it('leaves the same bytes after the same datagrams', { timeout: 3_600_000 }, () => {
    const random = new DatagramGenerator(SEED);
    const codecs = SHAPES.map(pair);
    const codes = new Set<number>();
    let accepted = 0;
    for (let seen = 0; seen < DATAGRAMS; ) {
      const [twin, native] = codecs[random.below(codecs.length)] as [PacketCodec, PacketCodec];
      const batch = Array.from({ length: 1 + random.below(twin.packetCapacity) }, () => random.datagram());
      deliver(twin, batch);
      deliver(native, batch);
      const records = twin.index(batch.length);
      expect(native.index(batch.length)).toBe(records);
      expect(sameArena(twin, native), `datagrams ${seen} to ${seen + batch.length}`).toBe(true);
      for (let i = 0; i < batch.length; i++) {
        const { code } = resultOf(twin, i);
        codes.add(code);
        if (code === 0) accepted++;
      }
      seen += batch.length;
    }
    for (const [twin, native] of codecs) {
      twin.index(0);
      expect(unusedIsZero(twin)).toBe(true);
      native.index(0);
      expect(sameArena(twin, native)).toBe(true);
    }
    // The generator earns its keep only if it reaches every outcome: 0 to 9, and a fair part of the inputs is accepted.
    expect([...codes].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(accepted / DATAGRAMS).toBeGreaterThan(0.15);
  });

  it('leaves the same bytes after the same push/pull bodies', { timeout: 600_000 }, () => {
    const random = new DatagramGenerator(SEED + 1);
    const [twin, native] = pair({ packetCapacity: 0, recordCapacity: 60, inboxBytes: 1 << 18, scratchBytes: 64 });
    let accepted = 0;
    for (let round = 0; round < DATAGRAMS / 20; round++) {
      const nodes = 1 + random.below(round % 5 === 0 ? 62 : 6);
      const body = random.body(nodes);
      const from = random.below(4) === 0 ? random.below(20) : 0;
      const top = random.below(10) === 0 ? random.below(body.length + 1) : body.length;
      for (const codec of [twin, native]) {
        deliverState(codec, body);
        codec.u32[CODEC.inboxTop >>> 2] = top;
      }
      const end = twin.indexState(from, nodes);
      expect(native.indexState(from, nodes)).toBe(end);
      expect(sameArena(twin, native), `round ${round}`).toBe(true);
      if (end >= 0) accepted++;
    }
    expect(accepted).toBeGreaterThan(DATAGRAMS / 200);
  });

  it('compresses and decompresses to the same bytes', () => {
    const random = new DatagramGenerator(SEED + 2);
    const [twin, native] = pair({ packetCapacity: 0, recordCapacity: 0, inboxBytes: 0, scratchBytes: 0 });
    for (let round = 0; round < Math.max(300, DATAGRAMS / 50); round++) {
      const text = random.text();
      const room = random.below(3) === 0 ? random.below(text.length + 10) : lzwBound(text.length);
      const [a, b] = [new Uint8Array(room), new Uint8Array(room)];
      const length = twin.compress(text, a);
      expect(native.compress(text, b)).toBe(length);
      if (length < 0) continue;
      expect(Buffer.compare(a.subarray(0, length), b.subarray(0, length))).toBe(0);
      const packed = random.below(2) === 0 ? a.subarray(0, length) : random.damaged(a.subarray(0, length));
      const [plainA, plainB] = [new Uint8Array(text.length), new Uint8Array(text.length)];
      const plain = twin.decompress(packed, plainA);
      expect(native.decompress(packed, plainB)).toBe(plain);
      if (plain >= 0) expect(Buffer.compare(plainA, plainB)).toBe(0);
    }
  });

  it('goes on in the same grown arena', () => {
    const random = new DatagramGenerator(SEED + 3);
    const [twin, native] = pair(SHAPES[1] as PacketCodecOptions);
    for (let round = 0; round < 20; round++) {
      const batch = Array.from({ length: twin.packetCapacity }, () => random.datagram());
      const larger = { recordCapacity: twin.recordCapacity + random.below(9), scratchBytes: random.below(1 << 16) };
      for (const codec of [twin, native]) {
        deliver(codec, batch);
        codec.index(batch.length);
        codec.rehome(grownPacketCodecArena(codec.arena, larger));
        codec.index(batch.length);
      }
      expect(sameArena(twin, native), `round ${round}`).toBe(true);
    }
  });
});
