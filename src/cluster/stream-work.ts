import type { BackendName } from '../kernels/contract.ts';
import { jobPool } from '../pool/pool.ts';
import type { StreamReader, StreamResult } from '../wire/stream.ts';
import type { PackJob } from '../wire/stream-job.ts';

/** Reads and seals the streams of one cluster; what is too much for a turn of the event loop is done by the pool. */
export class StreamWork {
  #backend: BackendName = 'js';
  #isStarted = false;

  start(backend: BackendName): void {
    this.#backend = backend;
    this.#isStarted = true;
    jobPool.acquire();
  }

  /** Takes the next bytes of a stream; `done` hears the result, now or after the pool has done its part. */
  push(reader: StreamReader, chunk: Uint8Array, done: (result: StreamResult) => void): void {
    const step = reader.pushOrDefer(chunk);
    if (step === 'more') return;
    if (step.kind !== 'open') done(step);
    else void jobPool.open(this.#backend, step).then((outcome) => done(reader.settle(outcome)));
  }

  /** Compresses a large message. */
  pack(job: PackJob): Promise<Uint8Array> {
    return jobPool.pack(this.#backend, job);
  }

  async close(): Promise<void> {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    await jobPool.release();
  }
}
