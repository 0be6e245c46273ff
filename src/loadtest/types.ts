import type { BackendName } from '../kernels/contract.ts';
import type { EngineConfig, ProfileName } from '../protocol/config.ts';

/** Milliseconds that latencies are told apart by, up to a minute; what takes longer is in the last one. */
export const LATENCY_BUCKETS = 60_001;

/** What a shard is told when its thread starts. */
export interface ShardInput {
  readonly index: number;
  readonly shards: number;
  readonly nodes: number;
  readonly profile: ProfileName;
  readonly tuning: Partial<EngineConfig>;
  readonly backend: BackendName | undefined;
  readonly udp: 'auto' | 'dgram' | 'batched';
  readonly seed: number;
  /** How often a node tries to reach one of those that failed, as a Cluster does, ms. */
  readonly rejoinIntervalMs: number;
}

/** A fault of the network, decided where a packet arrives. */
export type Fault =
  | { readonly kind: 'loss'; readonly ratio: number }
  /** Nothing passes between the nodes below `border` and the others. */
  | { readonly kind: 'partition'; readonly border: number }
  /** What these nodes should receive is lost with this ratio (and what they send, unless oneWay), all the time or in every other period of so many ms. */
  | {
      readonly kind: 'some';
      readonly nodes: readonly number[];
      readonly ratio: number;
      readonly oneWay: boolean;
      readonly periodMs: number;
    };

/** Coordinator to shard. Times are ms of the clock that all threads share (performance.timeOrigin + performance.now()). */
export type ToShard =
  | { readonly kind: 'ports'; readonly ports: readonly number[] }
  | { readonly kind: 'join'; readonly seeds: readonly number[]; readonly atOnce: number }
  | { readonly kind: 'acquaint' }
  | { readonly kind: 'kill'; readonly nodes: readonly number[]; readonly atMs: number }
  | { readonly kind: 'restart'; readonly nodes: readonly number[]; readonly seed: number }
  | { readonly kind: 'pause'; readonly nodes: readonly number[]; readonly ms: number }
  | { readonly kind: 'fault'; readonly fault: Fault | undefined }
  /** Forgets what was counted. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'sample'; readonly id: number; readonly isFull: boolean }
  | { readonly kind: 'stop' };

/** Shard to coordinator. */
export type FromShard =
  | { readonly kind: 'bound'; readonly port: number; readonly packets: 'dgram' | 'batched' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'sample'; readonly id: number; readonly sample: Sample }
  | { readonly kind: 'failed'; readonly message: string };

/** What one shard counted. */
export interface Sample {
  /** Members that its live nodes hold for alive or suspect: least, mean, most; and how many nodes are live. */
  readonly view: { readonly min: number; readonly sum: number; readonly max: number; readonly nodes: number };
  /** Deaths declared about nodes that were killed (each observer once), by ms since the kill; and when each was declared first. */
  readonly verdicts: Uint32Array | undefined;
  readonly verdictCount: number;
  readonly firsts: readonly (readonly [node: number, ms: number])[];
  /** Deaths declared about live nodes, by healthy observers, and the nodes. */
  readonly falsePositives: number;
  readonly accused: readonly number[];
  readonly suspicions: number;
  readonly refutations: number;
  readonly packetsSent: number;
  /** By the system because a buffer was full, and because it would not take them. */
  readonly kernelDrops: number;
  readonly sendDrops: number;
  /** Packets and bytes sent by each live node; full samples only. */
  readonly perNode: { readonly packets: Float64Array; readonly bytes: Float64Array } | undefined;
  readonly loopDelay: { readonly p50: number; readonly p99: number; readonly max: number };
  /** How late timers of engines fired, ms: mean and most. */
  readonly lateness: { readonly mean: number; readonly max: number };
}
