import { type BackendRequest, chooseBackend } from '../kernels/backend.ts';
import type { EngineKernels } from '../kernels/contract.ts';
import type { HostHello } from './link.ts';
import type { HostSettings } from './options.ts';

/**
 * Codec and interners of the engines that run inline in this thread, by backend. Their names and profiles are stored once
 * for all, which is what lets a process host a whole cluster.
 */
const ofThread = new Map<string, Pick<EngineKernels, 'codec' | 'stateCodec' | 'names' | 'profiles'>>();

/** First room in shared memory: about 200 KiB. Each growth has to be told to the readers, so most clusters should never grow. */
const SHARED_MEMBERS = 1024;
/** First room of a table that only its own thread reads: a process may host hundreds. */
const INLINE_MEMBERS = 64;

/** Kernels for one engine: all its own in shared memory when other threads read them, else the thread's and a table and queue of its own. */
export function acquireKernels(
  settings: HostSettings,
  shared: boolean,
  port: number,
  membersMax: number,
): { kernels: EngineKernels; backend: HostHello['backend'] } {
  const chosen = chooseBackend(settings.backend as BackendRequest | undefined);
  const backend = { name: chosen.name, reason: chosen.reason };
  const deadReclaimMs = settings.tuning.deadNodeReclaimMs ?? 0;
  const options = { rngSeed: settings.rngSeed, shared, defaultPort: port, deadReclaimMs };
  // Never more rows than members may be known: the table refuses what is beyond when its rows are used up.
  const maxMembers = Math.min(membersMax, shared ? SHARED_MEMBERS : INLINE_MEMBERS);
  if (shared) return { kernels: chosen.createEngineKernels({ ...options, maxMembers }), backend };
  const kernels = chosen.createEngineKernels({ ...options, ...ofThread.get(chosen.name), maxMembers });
  const { codec, stateCodec, names, profiles } = kernels;
  ofThread.set(chosen.name, { codec, stateCodec, names, profiles });
  return { kernels, backend };
}
