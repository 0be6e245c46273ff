import { fileURLToPath } from 'node:url';
import type { BackendName } from '../kernels/contract.ts';
import type { OpenJob, OpenOutcome, PackJob } from '../wire/stream-job.ts';
import { type PoolInput, type PoolOutput, runJob } from './jobs.ts';

/** Large jobs are rare (a join, an exchange of a whole state) and short: one thread is enough, and it need not stay. */
const THREADS = 1;
const IDLE_MS = 30_000;

/** The part of piscina's pool that is used. */
export interface Threads {
  run(input: PoolInput): Promise<unknown>;
  destroy(): Promise<void>;
}

/** Counts for tests and for those who wonder. */
export interface PoolStats {
  /** Jobs done by the pool's thread. */
  done: number;
  /** Jobs done on the asking thread because the pool could not. */
  inline: number;
}

/**
 * Does jobs that are larger than a turn should be on another thread. The clusters of one thread share one; the thread behind it starts with the
 * first job, ends when nothing came for half a minute, and keeps no process alive. When it fails, the work is done here: slower, but done.
 */
export class JobPool {
  readonly stats: PoolStats = { done: 0, inline: 0 };
  readonly #open: () => Promise<Threads>;
  #threads: Promise<Threads> | undefined;
  #users = 0;
  /** After one failure nothing is tried again before all users have gone: whatever keeps a thread from starting will not go away. */
  #isBroken = false;

  constructor(open: () => Promise<Threads> = openPiscina) {
    this.#open = open;
  }

  /** A cluster begins; each acquire() wants a release(). */
  acquire(): void {
    this.#users++;
  }

  /** A cluster has ended; with the last one ends the pool. */
  async release(): Promise<void> {
    if (--this.#users > 0) return;
    const threads = this.#threads;
    this.#threads = undefined;
    this.#isBroken = false;
    await threads?.then((pool) => pool.destroy()).catch(() => undefined);
  }

  async open(backend: BackendName, job: OpenJob): Promise<OpenOutcome> {
    return (await this.#run({ backend, job })) as OpenOutcome;
  }

  /** The compress message around a message. */
  async pack(backend: BackendName, job: PackJob): Promise<Uint8Array> {
    return ((await this.#run({ backend, job })) as { packed: Uint8Array }).packed;
  }

  async #run(input: PoolInput): Promise<PoolOutput> {
    if (!this.#isBroken && this.#users > 0) {
      try {
        this.#threads ??= this.#open();
        const output = (await (await this.#threads).run(input)) as PoolOutput;
        this.stats.done++;
        return output;
      } catch {
        this.#isBroken = true;
      }
    }
    this.stats.inline++;
    return runJob(input);
  }
}

/** The pool of this thread. */
export const jobPool = new JobPool();

const importPiscina = () => import('piscina');
let loaded: ReturnType<typeof importPiscina> | undefined;

function piscina(): ReturnType<typeof importPiscina> {
  loaded ??= importPiscina();
  return loaded;
}

/**
 * Loads piscina, which takes some 30 ms: better while a program starts than when the first large stream arrives. Never rejects; a pool that cannot
 * be had shows when it is used.
 */
export async function preparePool(): Promise<void> {
  await piscina().catch(() => undefined);
}

async function openPiscina(): Promise<Threads> {
  const { Piscina } = await piscina();
  // Always from dist/, as the engine's thread (worker-link.ts).
  const filename = fileURLToPath(new URL('../../dist/pool/worker.js', import.meta.url));
  const pool = new Piscina({
    filename,
    minThreads: 0,
    maxThreads: THREADS,
    idleTimeout: IDLE_MS,
    recordTiming: false,
  });
  return { run: (input) => pool.run(input), destroy: () => pool.destroy() };
}
