import type { BenchSuite } from './harness.ts';
import { broadcastQueueSuite } from './kernels/broadcast-queue.bench.ts';
import { deltaSuite } from './kernels/delta.bench.ts';
import { digestSuite } from './kernels/digest.bench.ts';
import { memberTableSuite } from './kernels/member-table.bench.ts';
import { packetCodecSuite } from './kernels/packet-codec.bench.ts';

export const SUITES: readonly BenchSuite[] = [
  packetCodecSuite,
  memberTableSuite,
  broadcastQueueSuite,
  digestSuite,
  deltaSuite,
];
