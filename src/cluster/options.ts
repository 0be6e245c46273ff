import type { EngineConfig, ProfileName } from '../protocol/config.ts';
import type { AliveFilter, MergeFilter } from '../protocol/types.ts';
import type { Transport } from '../transport/transport.ts';
import type { Logger } from './logger.ts';
import type { HostPort } from './resolve.ts';

export type { ProfileName };

/** Settings of the protocol that may be changed one by one on top of a profile; EngineConfig explains each. */
export type Tuning = Partial<
  Pick<
    EngineConfig,
    | 'deltaSync'
    | 'ringIntervalMs'
    | 'ringTimeoutMs'
    | 'fastSuspicionMs'
    | 'urgentNews'
    | 'probeIntervalMs'
    | 'probeTimeoutMs'
    | 'indirectChecks'
    | 'disableTcpPings'
    | 'awarenessMaxMultiplier'
    | 'suspicionMult'
    | 'suspicionMaxTimeoutMult'
    | 'phiThreshold'
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
  /** Address to listen on, UDP and TCP: "host:port", "host", ":port", or its parts. Port 0 takes a free one. Default "0.0.0.0:7946". */
  readonly bind?: string | { readonly host?: string; readonly port?: number };
  /** Address that others shall use, "ip:port" or "ip", when it differs from `bind` (NAT, containers). */
  readonly advertise?: string;
  /** Members to join through, "host:port" each; names resolve to all their addresses. Our own address among them is passed over. */
  readonly seeds?: readonly string[];
  /** Reject with ERR_JOIN_FAILED when no seed answers at the start; needs `seeds`. Default false: keep trying in the background. */
  readonly requireJoin?: boolean;
  /** memberlist's presets. Default 'lan'. */
  readonly profile?: ProfileName;
  readonly tuning?: Tuning;
  /** What this node says about itself, at most 512 bytes; text is sent as UTF-8. */
  readonly meta?: Uint8Array | string;
  /** AES keys of 16, 24 or 32 bytes, or their base64; the first encrypts, all decrypt. Default none: plain text. */
  readonly keys?: readonly (Uint8Array | string)[];
  /**
   * What happens, when keys are set, to packets and streams that are not encrypted: true (the default) refuses them, false accepts them.
   * Without keys it means nothing.
   *
   * false is for turning encryption on in a running cluster, in three rounds of restarts, each through all nodes:
   *   1. `keys` with `verifyIncoming: false` and `verifyOutgoing: false`: everybody can read both and still sends plain text;
   *   2. `verifyOutgoing: true` (or left out): everybody sends encrypted;
   *   3. `verifyIncoming: true` (or left out): plain text is refused from now on.
   */
  readonly verifyIncoming?: boolean;
  /** When keys are set: true (the default) encrypts what is sent, false sends plain text (round 1 above). */
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
