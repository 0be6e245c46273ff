import type { BenchSuite } from './harness.ts';
import { broadcastQueueSuite } from './kernels/broadcast-queue.bench.ts';
import { memberTableSuite } from './kernels/member-table.bench.ts';
import { packetCodecSuite } from './kernels/packet-codec.bench.ts';

export const SUITES: readonly BenchSuite[] = [packetCodecSuite, memberTableSuite, broadcastQueueSuite];

/** Cases that README.md shows, as "suite/name". */
export const HEADLINES: readonly string[] = [
  'packet-codec/a turn of 64 compounds of 10, 53,888 bytes',
  'member-table/merge unchanged, per node state, 10,000 members',
  'broadcast-queue/fill one packet, 1,000 waiting',
];
