import type { EngineStats } from '../protocol/stats.ts';
import type { TransportStats } from '../transport/transport.ts';
import type { EventStats } from './event-outbox.ts';

/** Counters of a node since its start, and what it looks like now. */
export interface ClusterStats {
  readonly backend: 'native' | 'js';
  readonly packets: 'dgram' | 'batched' | 'custom';
  readonly uptimeMs: number;
  /** Rows of the member table by status, this node included. */
  readonly members: { readonly alive: number; readonly suspect: number; readonly dead: number; readonly left: number };
  /** The protocol: probes, suspicions, refutations, and everything dropped with its reason. */
  readonly engine: EngineStats;
  /** Bytes and packets through the sockets. */
  readonly transport: TransportStats;
  /** Events on their way to the program, and what was dropped because it was too slow. */
  readonly events: EventStats;
}
