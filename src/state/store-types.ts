import type { Stamp } from './clock.ts';
import type { MapLimits } from './limits.ts';
import type { StateEntry } from './reconcile/port.ts';
import type { Space } from './record.ts';

/** Something that became different. Bytes are copies. */
export interface StoreChange {
  readonly space: Space;
  readonly group: Uint8Array;
  readonly rest: Uint8Array;
  /** 'expire': its time to live is over, or its owner is gone. */
  readonly type: 'set' | 'delete' | 'expire';
  /** What is there now; undefined unless 'set'. */
  readonly payload: Uint8Array | undefined;
  readonly previous: Uint8Array | undefined;
  /** Name of the node that wrote it. */
  readonly node: string;
  readonly isLocal: boolean;
}

/** Two values met, and whoever wrote the one that stays had not seen the other. Bytes are copies. */
export interface StoreConflict {
  readonly key: Uint8Array;
  readonly winner: { readonly payload: Uint8Array | undefined; readonly node: string };
  readonly loser: { readonly payload: Uint8Array | undefined; readonly node: string };
  /** True on the one node whose write lost: it may write again. */
  readonly isOurs: boolean;
}

/** A tombstone that everybody has seen, kept aside. */
export interface Dormant extends Stamp {
  /** Who wrote it: decides against a value of the same moment. */
  readonly writer: string;
  readonly keptMs: number;
}

export interface StoreOptions {
  readonly node: string;
  /** Larger than in any earlier life of this node. */
  readonly generation: number;
  readonly hashKey: Uint32Array;
  readonly limits: MapLimits;
  /** How far ahead of ours a clock may be, ms; what is further ahead is refused. */
  readonly driftMaxMs: number;
  /** Dormant tombstones, at most. */
  readonly dormantMax: number;
  readonly changed?: (change: StoreChange) => void;
  /** Whether anybody hears of changes: nothing is copied for nobody. */
  readonly isWatched?: () => boolean;
  readonly conflicted?: (conflict: StoreConflict) => void;
  /** A record was taken that may be news to others. */
  readonly fresh?: (slot: number) => void;
  /** The same with what it says, for who checks promises. */
  readonly taken?: (entry: StateEntry, isLocal: boolean) => void;
}

/** What came and went, counted. */
export interface StoreStats {
  written: number;
  applied: number;
  stale: number;
  /** Over a limit, from a clock too far ahead, or not its writer's to write. */
  refused: number;
  /** Records that peers offered and whose end was seen here. */
  obsolete: number;
  /** Records of ours whose end a peer had seen. */
  discarded: number;
  expired: number;
  conflicts: number;
  tombstonesCollected: number;
  /** Dormant tombstones that met an old version and became active again. */
  awakened: number;
}
