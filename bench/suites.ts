import type { BenchSuite } from './harness.ts';
import { broadcastQueueSuite } from './kernels/broadcast-queue.bench.ts';
import { memberTableSuite } from './kernels/member-table.bench.ts';
import { packetCodecSuite } from './kernels/packet-codec.bench.ts';

export const SUITES: readonly BenchSuite[] = [packetCodecSuite, memberTableSuite, broadcastQueueSuite];
