import { type Backend, chooseBackend, STATE_CODEC_SIZES } from '../kernels/backend.ts';
import type { BackendName, PacketCodec } from '../kernels/contract.ts';
import { type Coders, type OpenOutcome, open, pack, type StreamJob } from '../wire/stream-job.ts';

/** A job as it crosses to the pool's thread. */
export interface PoolInput {
  readonly backend: BackendName;
  readonly job: StreamJob;
}
/** What a job gives: a message that was opened or why it cannot be, or one that was packed. */
export type PoolOutput = OpenOutcome | { readonly packed: Uint8Array };

const coders = new Map<BackendName, Coders>();

/** Does a job, on whatever thread this is. */
export function runJob({ backend, job }: PoolInput): PoolOutput {
  return job.kind === 'open' ? open(job, codersOf(backend)) : { packed: pack(job, codersOf(backend)) };
}

function codersOf(name: BackendName): Coders {
  let found = coders.get(name);
  if (found === undefined) {
    const backend: Backend = chooseBackend(name);
    const codec: PacketCodec = backend.createPacketCodec({ ...STATE_CODEC_SIZES, shared: false });
    found = {
      compress: (source, out) => codec.compress(source, out),
      decompress: (source, out) => codec.decompress(source, out),
    };
    coders.set(name, found);
  }
  return found;
}
