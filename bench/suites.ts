import type { BenchSuite } from './harness.ts';
import { broadcastQueueSuite } from './kernels/broadcast-queue.bench.ts';

export const SUITES: readonly BenchSuite[] = [broadcastQueueSuite];
