/** What carrying differences costs: ten rows and all 10,000 rows as blocks, and read back. Goal: a delta for 10 of 10,000 in at most 150 us. */

import { DELTA } from '../../src/kernels/layout.ts';
import type { BenchCase, BenchSuite, Subject } from '../harness.ts';
import { filledTable } from './filled-table.ts';

function deltaCase(rows: number, members: number, isRead: boolean): BenchCase {
  return {
    name: `delta for ${rows.toLocaleString('en-US')} of ${members.toLocaleString('en-US')}, ${isRead ? 'read' : 'produced'}`,
    operations: 1,
    smoke: members <= 1000,
    setup(backend): Subject {
      const { table } = filledTable(backend, members);
      const delta = backend.createDelta({ capacity: members });
      const step = members / rows;
      delta.u32.set(
        Uint32Array.from({ length: rows }, (_, i) => i * step),
        delta.slotsOffset >>> 2,
      );
      const codec = backend.createPacketCodec({
        packetCapacity: 0,
        recordCapacity: 8192,
        inboxBytes: 65536,
        scratchBytes: 1 << 18,
      });
      const produce = (): void => {
        for (let at = 0; at < rows; ) at += delta.encode(table, at, rows - at, delta.blockBytes);
      };
      produce();
      const length = delta.u32[DELTA.outLength >>> 2] as number;
      codec.u8.set(delta.u8.subarray(delta.outOffset, delta.outOffset + length), codec.inboxOffset);
      return { run: isRead ? () => void delta.decode(codec, 0, length) : produce, output: () => [delta.u8, codec.u8] };
    },
  };
}

export const deltaSuite: BenchSuite = {
  name: 'delta',
  cases: [
    deltaCase(10, 1000, false),
    deltaCase(10, 10_000, false),
    deltaCase(10, 10_000, true),
    deltaCase(10_000, 10_000, false),
  ],
};
