import type { EngineKernels } from '../kernels/contract.ts';
import type { Prng } from '../util/prng.ts';
import type { Awareness } from './awareness.ts';
import type { EngineConfig } from './config.ts';
import type { Roster } from './roster.ts';
import type { Self } from './self.ts';
import type { EngineStats } from './stats.ts';
import type { Timers } from './timers.ts';
import type { GossipEvent } from './types.ts';

/** What the parts of one engine share. They know this and what they are handed, not each other. */
export interface Context {
  readonly config: EngineConfig;
  readonly kernels: EngineKernels;
  readonly roster: Roster;
  readonly self: Self;
  readonly timers: Timers;
  readonly prng: Prng;
  readonly awareness: Awareness;
  readonly stats: EngineStats;
  emit(event: GossipEvent): void;
}
