import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { BackendName } from '../kernels/contract.ts';
import type { TrialReport } from '../sim/trial/trial.ts';

/** What a thread of the swarm is given. */
export interface SwarmInput {
  readonly seed: number;
  /** A replicated map instead of membership alone. */
  readonly maps: boolean;
  readonly backend: BackendName | 'mixed' | undefined;
}

export interface SwarmOptions {
  readonly firstSeed: number;
  readonly seeds: number;
  readonly maps?: boolean;
  readonly backend?: BackendName | 'mixed' | undefined;
  /** Default: one per processor. */
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Hears of each trial as it ends, in no order. */
  readonly done: (report: TrialReport) => void;
}

/** Trials that each thread has waiting. */
const WAITING_PER_THREAD = 4;

/** Runs the trials of many seeds on all processors. Rejects when aborted, or when a thread fails. */
export async function runSwarm(options: SwarmOptions): Promise<void> {
  const { firstSeed, seeds, maps = false, backend, signal, done } = options;
  const threads = Math.min(options.threads ?? availableParallelism(), seeds);
  // Always from dist/, as the engine's thread (worker-link.ts).
  const filename = fileURLToPath(new URL('../../dist/pool/swarm-worker.js', import.meta.url));
  const pool = new Piscina({ filename, minThreads: threads, maxThreads: threads, recordTiming: false });
  let next = 0;
  const runner = async (): Promise<void> => {
    for (let at = next++; at < seeds; at = next++) {
      signal?.throwIfAborted();
      const input: SwarmInput = { seed: firstSeed + at, maps, backend };
      done((await pool.run(input, signal ? { signal } : {})) as TrialReport);
    }
  };
  try {
    await Promise.all(Array.from({ length: threads * WAITING_PER_THREAD }, runner));
  } finally {
    await pool.destroy();
  }
}
