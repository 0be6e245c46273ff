import { type EngineKernels, EXT } from '../kernels/contract.ts';
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

/** True for members that run the fast profile (protocol §24), when we do: others are treated as memberlist treats them. */
export function areBothFast({ roster, self }: Context, slot: number): boolean {
  return (self.ext & roster.ext(slot) & EXT.fast) !== 0;
}
