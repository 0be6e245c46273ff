import { HearsayError } from '../util/errors.ts';
import { type BroadcastQueueArenaOptions, createBroadcastQueueArena } from './arenas/broadcast-queue.ts';
import { createDeltaArena, type DeltaArenaOptions } from './arenas/delta.ts';
import { createDigestArena, type DigestArenaOptions } from './arenas/digest.ts';
import { createInternerArena, type InternerArenaOptions } from './arenas/interner.ts';
import { createMemberTableArena, type MemberTableArenaOptions } from './arenas/member-table.ts';
import { createPacketCodecArena, type PacketCodecOptions, STATE_CODEC_SIZES } from './arenas/packet-codec.ts';
import type {
  BackendName,
  BroadcastQueue,
  Delta,
  Digest,
  EngineKernels,
  Interner,
  MemberTable,
  PacketCodec,
  SyncKernels,
} from './contract.ts';
import { JsBroadcastQueue } from './js/broadcast-queue.ts';
import { JsDelta } from './js/delta.ts';
import { JsDigest } from './js/digest.ts';
import { JsInterner } from './js/interner.ts';
import { JsMemberTable } from './js/member-table.ts';
import { JsPacketCodec } from './js/packet-codec.ts';
import { NativeBroadcastQueue } from './native/broadcast-queue.ts';
import { NativeDelta } from './native/delta.ts';
import { NativeDigest } from './native/digest.ts';
import { NativeInterner } from './native/interner.ts';
import { NativeMemberTable } from './native/member-table.ts';
import { NativePacketCodec } from './native/packet-codec.ts';
import { loadNative, type NativeLoad } from './native.ts';

/** What may be asked for: `auto` takes the addon when it loads, else the TypeScript twins. */
export type BackendRequest = BackendName | 'auto';

/** Makes kernels of one kind, each in a fresh arena. Interners of one backend go with tables of the same backend. */
export interface Backend {
  readonly name: BackendName;
  /** Why this one, for people: shown by stats and by the command line. */
  readonly reason: string;
  createInterner(options: InternerArenaOptions): Interner;
  createPacketCodec(options: PacketCodecOptions): PacketCodec;
  createMemberTable(options: MemberTableArenaOptions, names: Interner, profiles: Interner): MemberTable;
  createBroadcastQueue(options: BroadcastQueueArenaOptions): BroadcastQueue;
  createDigest(options: DigestArenaOptions): Digest;
  createDelta(options: DeltaArenaOptions): Delta;
  /** Both, made when first used. */
  createSyncKernels(): SyncKernels;
  /** Everything one engine works with. Pass what it shares with other engines of the thread. */
  createEngineKernels(options: EngineKernelOptions): EngineKernels;
}

/** First sizes; the engine grows what turns out too small. */
export interface EngineKernelOptions {
  /** Members to make room for. Default 64. */
  readonly maxMembers?: number;
  /** Decides probing order, random picks, and the hashes of names. */
  readonly rngSeed: number;
  /** True when other threads read members: table and interners lie in shared memory. Default false. */
  readonly shared?: boolean;
  /** Replaces port 0 in what others send (protocol §7.6). Default 0. */
  readonly defaultPort?: number;
  /** How long a member must be dead before another address may take its name, ms. Default 0 = never. */
  readonly deadReclaimMs?: number;
  /** Kernels that all engines of a thread may share. Default: own ones. */
  readonly codec?: PacketCodec;
  readonly stateCodec?: PacketCodec;
  readonly names?: Interner;
  readonly profiles?: Interner;
  /** Begins small, for thousands of engines in one process. Default false. */
  readonly compact?: boolean;
  readonly sync?: SyncKernels;
}

export { STATE_CODEC_SIZES };

const DEFAULT_MEMBERS = 64;
/** Bytes kept per name and per profile at first; real ones are mostly shorter. */
const NAME_BYTES = 32;
const PROFILE_BYTES = 64;

/** Sizes of a codec for one turn's datagrams: a batch of recvmmsg, each datagram of at most one Ethernet frame or two. */
export const TURN_CODEC_SIZES = {
  packetCapacity: 64,
  recordCapacity: 1024,
  inboxBytes: 256 * 1024,
  scratchBytes: 128 * 1024,
} as const;
/** Sizes of one engine's broadcast queue. */
export const QUEUE_SIZES = {
  capacity: 256,
  heapBytes: 64 * 1024,
  requestCapacity: 16,
  finishedCapacity: 512,
  inBytes: 32 * 1024,
  outBytes: 32 * 1024,
  inItemCapacity: 128,
} as const;

/** The same for thousands of engines in one process: a tenth of the memory, grown where an engine needs more. */
const COMPACT_QUEUE_SIZES = {
  // Growing costs as much as a dozen pieces of news, at the moment at which all engines have some.
  capacity: 128,
  heapBytes: 8 * 1024,
  requestCapacity: 16,
  finishedCapacity: 64,
  inBytes: 4 * 1024,
  outBytes: 4 * 1024,
  inItemCapacity: 32,
} as const;
const COMPACT_CHANGES = 64;

/**
 * Chooses who does the work. `requested` defaults to the environment variable HEARSAY_BACKEND, and that to `auto`.
 * Throws ERR_BACKEND_UNAVAILABLE when `native` is asked for and cannot be had, or the request is none of the three.
 */
export function chooseBackend(requested?: string): Backend {
  if (requested !== undefined) return chooseBackendFrom(requested, loadNative, 'option backend');
  return chooseBackendFrom(process.env['HEARSAY_BACKEND'] || 'auto', loadNative);
}

/** The same with the addon's loader as an argument, and who asks, for the reason; `js` never calls the loader. */
export function chooseBackendFrom(requested: string, load: () => NativeLoad, asker = 'HEARSAY_BACKEND'): Backend {
  if (requested === 'js') return jsBackend(`asked for by ${asker}`);
  if (requested !== 'native' && requested !== 'auto') {
    throw new HearsayError(
      'ERR_BACKEND_UNAVAILABLE',
      `${asker}: expected "native", "js" or "auto", got ${JSON.stringify(requested)}`,
    );
  }
  const { addon, path, problem } = load();
  if (addon)
    return nativeBackend(requested === 'native' ? `asked for by ${asker}, from ${path}` : `loaded from ${path}`);
  if (requested === 'auto') return jsBackend(problem ?? 'no addon');
  throw new HearsayError(
    'ERR_BACKEND_UNAVAILABLE',
    `the native backend was asked for by ${asker} and cannot be used: ${problem}. Build it with \`make native\` (a C++20 compiler and ` +
      `cmake, or make and Python, are needed), or leave ${asker} unset: the TypeScript twins give the same results`,
  );
}

type Makers = Omit<Backend, 'name' | 'reason' | 'createEngineKernels' | 'createSyncKernels'>;

function jsBackend(reason: string): Backend {
  return withEngineKernels('js', reason, {
    createInterner: (options) => new JsInterner(createInternerArena(options)),
    createPacketCodec: (options) => new JsPacketCodec(createPacketCodecArena(options)),
    createMemberTable: (options, names, profiles) =>
      new JsMemberTable(
        createMemberTableArena(options),
        ofClass(JsInterner, names, 'names'),
        ofClass(JsInterner, profiles, 'profiles'),
      ),
    createBroadcastQueue: (options) => new JsBroadcastQueue(createBroadcastQueueArena(options)),
    createDigest: (options) => new JsDigest(createDigestArena(options)),
    createDelta: (options) => new JsDelta(createDeltaArena(options)),
  });
}

function nativeBackend(reason: string): Backend {
  return withEngineKernels('native', reason, {
    createInterner: (options) => new NativeInterner(createInternerArena(options)),
    createPacketCodec: (options) => new NativePacketCodec(createPacketCodecArena(options)),
    createMemberTable: (options, names, profiles) =>
      new NativeMemberTable(
        createMemberTableArena(options),
        ofClass(NativeInterner, names, 'names'),
        ofClass(NativeInterner, profiles, 'profiles'),
      ),
    createBroadcastQueue: (options) => new NativeBroadcastQueue(createBroadcastQueueArena(options)),
    createDigest: (options) => new NativeDigest(createDigestArena(options)),
    createDelta: (options) => new NativeDelta(createDeltaArena(options)),
  });
}

function ofClass<T extends Interner>(expected: abstract new (...args: never) => T, given: Interner, field: string): T {
  if (given instanceof expected) return given;
  throw new HearsayError(
    'ERR_ARGUMENT_INVALID',
    `${field}: expected an interner of the same backend as the table, got one of "${given.backend}"`,
  );
}

/** Rows to make room for at first. */
const SYNC_ROWS = 1024;

/** Most engines of a test or a simulator never exchange a digest, so nothing is made before it is asked for. */
function syncKernels(makers: Makers): SyncKernels {
  let digest: Digest | undefined;
  let delta: Delta | undefined;
  return {
    get digest() {
      digest ??= makers.createDigest({ capacity: SYNC_ROWS });
      return digest;
    },
    get delta() {
      delta ??= makers.createDelta({ capacity: SYNC_ROWS });
      return delta;
    },
  };
}

function withEngineKernels(name: BackendName, reason: string, makers: Makers): Backend {
  return {
    name,
    reason,
    ...makers,
    createSyncKernels: () => syncKernels(makers),
    createEngineKernels(options) {
      const members = options.maxMembers ?? DEFAULT_MEMBERS;
      const shared = options.shared ?? false;
      const { rngSeed } = options;
      // Different seeds for the hashes, so that one collision does not make two.
      const names =
        options.names ??
        makers.createInterner({ capacity: members, heapBytes: members * NAME_BYTES, hashSeed: rngSeed >>> 0, shared });
      const profiles =
        options.profiles ??
        makers.createInterner({
          capacity: members,
          heapBytes: members * PROFILE_BYTES,
          hashSeed: Math.imul(rngSeed, 0x9e3779b1) >>> 0,
          shared,
        });
      return {
        codec: options.codec ?? makers.createPacketCodec({ ...TURN_CODEC_SIZES, shared: false }),
        stateCodec: options.stateCodec ?? makers.createPacketCodec({ ...STATE_CODEC_SIZES, shared: false }),
        names,
        profiles,
        table: makers.createMemberTable(
          {
            capacity: members,
            nameCapacity: names.capacity,
            rngSeed,
            defaultPort: options.defaultPort ?? 0,
            deadReclaimMs: options.deadReclaimMs ?? 0,
            ...(options.compact ? { outCapacity: COMPACT_CHANGES } : {}),
            shared,
          },
          names,
          profiles,
        ),
        queue: makers.createBroadcastQueue({
          ...(options.compact ? COMPACT_QUEUE_SIZES : QUEUE_SIZES),
          shared: false,
        }),
        sync: options.sync ?? syncKernels(makers),
      };
    },
  };
}
