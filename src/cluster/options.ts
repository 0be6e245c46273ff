import { hostname } from 'node:os';
import { META_BYTES_MAX, NAME_BYTES_MAX } from '../kernels/contract.ts';
import type { EngineConfig } from '../protocol/config.ts';
import type { AliveFilter, MergeFilter } from '../protocol/types.ts';
import type { Transport } from '../transport/transport.ts';
import { bytesOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import { probeChannel } from './events.ts';
import type { Logger } from './logger.ts';
import { DEFAULT_PORT, type HostPort, parseHostPort } from './resolve.ts';

export type ProfileName = 'lan' | 'wan' | 'local';

/** Settings of the protocol that may be changed one by one on top of a profile; EngineConfig explains each. */
export type Tuning = Partial<
  Pick<
    EngineConfig,
    | 'probeIntervalMs'
    | 'probeTimeoutMs'
    | 'indirectChecks'
    | 'disableTcpPings'
    | 'awarenessMaxMultiplier'
    | 'suspicionMult'
    | 'suspicionMaxTimeoutMult'
    | 'gossipIntervalMs'
    | 'gossipNodes'
    | 'gossipToTheDeadMs'
    | 'retransmitMult'
    | 'userShareRatio'
    | 'udpBufferBytes'
    | 'pushPullIntervalMs'
    | 'tcpTimeoutMs'
    | 'deadNodeReclaimMs'
    | 'membersMax'
    | 'extensions'
    | 'compression'
    | 'skipInboundLabelCheck'
  >
>;

export interface ClusterOptions {
  /** Unique in the cluster, 1 to 512 bytes of UTF-8. Default: the host name. */
  readonly name?: string;
  /** Address to listen on, UDP and TCP: "host:port", "host", or its parts. Port 0 takes a free one. Default "0.0.0.0:7946". */
  readonly bind?: string | { readonly host?: string; readonly port?: number };
  /** Address that others shall use, "ip:port" or "ip", when it differs from `bind` (NAT, containers). */
  readonly advertise?: string;
  /** Members to join through, "host:port" each; names resolve to all their addresses. Our own address among them is passed over. */
  readonly seeds?: readonly string[];
  /** Reject with ERR_JOIN_FAILED when no seed answers at the start. Default false: keep trying in the background. */
  readonly requireJoin?: boolean;
  /** memberlist's presets. Default 'lan'. */
  readonly profile?: ProfileName;
  readonly tuning?: Tuning;
  /** What this node says about itself, at most 512 bytes; text is sent as UTF-8. */
  readonly meta?: Uint8Array | string;
  /** AES keys of 16, 24 or 32 bytes, or their base64; the first encrypts, all decrypt. Default none: plain text. */
  readonly keys?: readonly (Uint8Array | string)[];
  /** Accept plain packets although keys are set (turning encryption on in a running cluster). Default true = refuse them. */
  readonly verifyIncoming?: boolean;
  /** Encrypt what we send when keys are set. Default true. */
  readonly verifyOutgoing?: boolean;
  /** Keeps clusters that share a network apart, at most 255 bytes. Default none. */
  readonly label?: string;
  /** "a.b.c.d/len" or IPv6: only members from these networks are accepted. Default all. */
  readonly allowedCidrs?: readonly string[];
  /** memberlist protocol version to speak, 1 to 5. Default 2. */
  readonly protocolVersion?: number;
  /** Version range of the application above. Serf pools need { min: 2, max: 5, current: 4 }. Default all 0. */
  readonly delegateVersions?: { readonly min: number; readonly max: number; readonly current: number };
  /** Where the engine runs. Default 'worker': a thread of its own, so a busy application never looks dead. */
  readonly thread?: 'worker' | 'inline';
  /** Which kernels run. Default: HEARSAY_BACKEND, else 'auto'. */
  readonly backend?: 'auto' | 'native' | 'js';
  /** How packets move: 'auto' (batched where the addon offers it), 'dgram', 'batched', or your own (only with thread 'inline'). */
  readonly transport?: 'auto' | 'dgram' | 'batched' | Transport;
  /** Seed of every random choice; default random. Not for secrets: nonces come from node:crypto. */
  readonly rngSeed?: number;
  /** Report the application's event loop as stalled after this long without a turn, ms; 0 = never. Default 1000. Only with thread 'worker'. */
  readonly stallAfterMs?: number;
  /** How often a lost seed or failed member is tried again, ms; 0 = never. Default 30000 (Serf's reconnect interval). */
  readonly rejoinIntervalMs?: number;
  /** Stops the cluster (without a leave) when aborted; aborting during start rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal;
  /** pino-style; default silent. */
  readonly logger?: Logger;
  /** Do not keep the process alive. Default false. */
  readonly unref?: boolean;
  /** Answer false to ignore an alive message. Only with thread 'inline'. */
  readonly aliveFilter?: AliveFilter;
  /** Answer false to refuse a join. Only with thread 'inline'. */
  readonly mergeFilter?: MergeFilter;
  /** Bytes to hand to the other side in a push/pull (memberlist's LocalState). Only with thread 'inline'. */
  readonly localState?: (join: boolean) => Uint8Array;
  /** Bytes the other side handed over (memberlist's MergeRemoteState). Only with thread 'inline'. */
  readonly mergeRemoteState?: (state: Uint8Array, join: boolean) => void;
}

/** What crosses to the engine's thread: plain data, complete, checked. */
export interface HostSettings {
  readonly name: string;
  readonly bind: HostPort;
  readonly advertise: HostPort | undefined;
  readonly seeds: readonly string[];
  readonly profile: ProfileName;
  readonly tuning: Tuning;
  readonly meta: Uint8Array;
  readonly keys: readonly Uint8Array[];
  readonly verifyIncoming: boolean;
  readonly verifyOutgoing: boolean;
  readonly label: string;
  readonly allowedCidrs: readonly string[];
  readonly protocolVersion: number;
  readonly delegateVersions: { readonly min: number; readonly max: number; readonly current: number };
  readonly backend: 'auto' | 'native' | 'js' | undefined;
  readonly transport: 'auto' | 'dgram' | 'batched';
  readonly rngSeed: number;
  readonly stallAfterMs: number;
  readonly rejoinIntervalMs: number;
  readonly unref: boolean;
  /** Report answered probes (somebody listens to the diagnostics channel hearsay:probe). */
  readonly probeEvents: boolean;
}

/** What only an inline cluster can have: it does not cross threads. */
export interface HostHooks {
  readonly transport?: Transport;
  readonly aliveFilter?: AliveFilter;
  readonly mergeFilter?: MergeFilter;
  readonly localState?: (join: boolean) => Uint8Array;
  readonly mergeRemoteState?: (state: Uint8Array, join: boolean) => void;
}

const INLINE_ONLY = ['aliveFilter', 'mergeFilter', 'localState', 'mergeRemoteState'] as const;

/** Checks the options and lists every problem at once (ERR_CONFIG_INVALID). */
export function resolveOptions(options: ClusterOptions): {
  settings: HostSettings;
  hooks: HostHooks;
  thread: 'worker' | 'inline';
} {
  const problems: string[] = [];
  const problem = (field: string, value: unknown, expected: string): void => {
    problems.push(`${field}: expected ${expected}, got ${describe(value)}`);
  };

  const name = options.name ?? hostname();
  const nameLength = bytesOf(String(name)).length;
  if (typeof name !== 'string' || nameLength < 1 || nameLength > NAME_BYTES_MAX) {
    problem('name', name, `1 to ${NAME_BYTES_MAX} bytes of text`);
  }
  const meta = typeof options.meta === 'string' ? bytesOf(options.meta) : (options.meta ?? new Uint8Array(0));
  if (!(meta instanceof Uint8Array)) problem('meta', meta, 'a Uint8Array or text');
  else if (meta.length > META_BYTES_MAX) {
    problem('meta', `${meta.length} bytes`, `at most ${META_BYTES_MAX} bytes (memberlist's wire has no room for more)`);
  }
  const thread = options.thread ?? 'worker';
  if (thread !== 'worker' && thread !== 'inline') problem('thread', thread, "'worker' or 'inline'");
  const profile = options.profile ?? 'lan';
  if (!['lan', 'wan', 'local'].includes(profile)) problem('profile', profile, "'lan', 'wan' or 'local'");
  const backend = options.backend;
  if (backend !== undefined && !['auto', 'native', 'js'].includes(backend))
    problem('backend', backend, "'auto', 'native' or 'js'");
  const custom = typeof options.transport === 'object';
  if (!custom && !['auto', 'dgram', 'batched'].includes((options.transport as string | undefined) ?? 'auto')) {
    problem('transport', options.transport, "'auto', 'dgram', 'batched' or a Transport");
  }
  if (thread === 'worker') {
    for (const field of INLINE_ONLY) {
      if (options[field])
        problem(field, 'a function', "thread: 'inline' (functions cannot cross to the engine's thread)");
    }
    if (custom) problem('transport', 'an object', "thread: 'inline' (objects cannot cross to the engine's thread)");
  }
  const label = options.label ?? '';
  if (typeof label !== 'string' || bytesOf(label).length > 255) problem('label', label, 'at most 255 bytes of text');
  const keys = (options.keys ?? []).map((key, i) => {
    const bytes = typeof key === 'string' ? Buffer.from(key, 'base64') : key;
    if (![16, 24, 32].includes(bytes.length))
      problem(`keys[${i}]`, `${bytes.length} bytes`, '16, 24 or 32 bytes, or their base64');
    return new Uint8Array(bytes);
  });
  const protocolVersion = options.protocolVersion ?? 2;
  if (!isIntegerWithin(protocolVersion, 1, 5))
    problem('protocolVersion', protocolVersion, 'a whole number from 1 to 5');
  for (const field of ['stallAfterMs', 'rejoinIntervalMs'] as const) {
    const value = options[field];
    if (value !== undefined && !isIntegerWithin(value, 0, 2 ** 31 - 1))
      problem(field, value, 'a whole number of ms, 0 = off');
  }
  const rngSeed = options.rngSeed ?? crypto.getRandomValues(new Uint32Array(1))[0];
  if (!isIntegerWithin(rngSeed, 0, 2 ** 32 - 1)) problem('rngSeed', rngSeed, 'a whole number from 0 to 2^32 - 1');

  let bind: HostPort = { host: '0.0.0.0', port: DEFAULT_PORT };
  let advertise: HostPort | undefined;
  const seeds = options.seeds ?? [];
  try {
    bind =
      typeof options.bind === 'object'
        ? { host: options.bind.host ?? '0.0.0.0', port: options.bind.port ?? DEFAULT_PORT }
        : parseHostPort(options.bind ?? '0.0.0.0', DEFAULT_PORT, 'bind');
    if (!isIntegerWithin(bind.port, 0, 65535)) problem('bind.port', bind.port, 'a whole number from 0 to 65535');
    if (options.advertise !== undefined) advertise = parseHostPort(options.advertise, bind.port, 'advertise');
    for (const seed of seeds) parseHostPort(seed, bind.port || DEFAULT_PORT, 'seeds');
  } catch (error) {
    problems.push((error as Error).message);
  }
  if (problems.length > 0) {
    throw new HearsayError('ERR_CONFIG_INVALID', `Cluster options: ${problems.join('; ')}`);
  }
  const settings: HostSettings = {
    name,
    bind,
    advertise,
    seeds,
    profile,
    tuning: options.tuning ?? {},
    meta: new Uint8Array(meta),
    keys,
    verifyIncoming: options.verifyIncoming ?? true,
    verifyOutgoing: options.verifyOutgoing ?? true,
    label,
    allowedCidrs: options.allowedCidrs ?? [],
    protocolVersion,
    delegateVersions: options.delegateVersions ?? { min: 0, max: 0, current: 0 },
    backend,
    transport: custom ? 'auto' : ((options.transport as 'auto' | 'dgram' | 'batched' | undefined) ?? 'auto'),
    rngSeed: rngSeed as number,
    stallAfterMs: options.stallAfterMs ?? 1000,
    rejoinIntervalMs: options.rejoinIntervalMs ?? 30_000,
    unref: options.unref ?? false,
    probeEvents: probeChannel.hasSubscribers,
  };
  const hooks: HostHooks = {
    ...(custom ? { transport: options.transport as Transport } : {}),
    ...Object.fromEntries(INLINE_ONLY.flatMap((field) => (options[field] ? [[field, options[field]]] : []))),
  };
  return { settings, hooks, thread };
}

function isIntegerWithin(value: unknown, min: number, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

function describe(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
