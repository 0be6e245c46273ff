import { META_BYTES_MAX, NAME_BYTES_MAX } from '../kernels/contract.ts';
import type { Address } from '../util/address.ts';
import { bytesOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import type { NonceSource } from '../wire/crypto.ts';
import type { Keyring } from '../wire/keyring.ts';
import { parseCidr } from './cidr.ts';
import type { AliveFilter, MergeFilter } from './types.ts';

/** Lowest and highest memberlist protocol version that is understood (protocol §16). */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 5;
/** Longest label, bytes (protocol §6.5). */
export const LABEL_BYTES_MAX = 255;
/** Smallest udpBufferBytes: room for one alive message with the longest name and metadata, and all layers around it. */
export const UDP_BUFFER_BYTES_MIN = 1400;
/** Largest UDP payload over IPv4. */
export const UDP_BUFFER_BYTES_MAX = 65507;

/**
 * Everything an engine is told at birth. Flat and readonly. Make one with lan(), wan() or local() and check it with
 * validateConfig(); the engine does so too.
 */
export interface EngineConfig {
  /** Unique in the cluster; the key of the member table. 1 to 512 bytes of UTF-8. */
  readonly name: string;
  /** Where others reach us; IP of 4 or 16 bytes, always given in one form (protocol §9.1). */
  readonly address: Address;
  /** What we say about ourselves, at most 512 bytes. Default none. */
  readonly meta: Uint8Array;
  /** Decides every random choice: two engines with equal inputs and seeds behave equally. u32. Default 1. */
  readonly rngSeed: number;

  /** Length of a protocol period, in which one member is probed. Shorter finds failures faster and costs more packets. 0 = never probe. */
  readonly probeIntervalMs: number;
  /** Wait for a direct ack before asking others. About the 99th percentile of round trips; below probeIntervalMs. */
  readonly probeTimeoutMs: number;
  /** Members asked to probe for us when a direct ack is missing. 3 makes a false accusation at 5 % loss a 0.1 % event (SWIM §2.2). */
  readonly indirectChecks: number;
  /** No stream ping when packets get no answer. Default false. */
  readonly disableTcpPings: boolean;
  /** Health score range, 1 to 32: the period grows to at most this many times probeIntervalMs. */
  readonly awarenessMaxMultiplier: number;
  /** Shortest suspicion = this x log10(n) x probeIntervalMs. More gives the accused more time. At least 1. */
  readonly suspicionMult: number;
  /** Longest suspicion = this x shortest; it is shortened by confirmations. At least 1. */
  readonly suspicionMaxTimeoutMult: number;

  /**
   * 0: failures are found by SWIM's probes. Above: by phi accrual (protocol §23), which declares a member dead when the probability that
   * it merely is late is below 10^-phiThreshold; 8 is usual. At most 300. Default 0.
   */
  readonly phiThreshold: number;

  /** Time between gossip ticks; 0 = news only rides on probes. */
  readonly gossipIntervalMs: number;
  /** Members that get news in each tick (fanout); 0 = none. */
  readonly gossipNodes: number;
  /** The dead still get news for this long, so that the wrongly accused can refute; then they are reaped. */
  readonly gossipToTheDeadMs: number;
  /** One piece of news is sent this x ceil(log10(n + 1)) times by each member. At least 1. */
  readonly retransmitMult: number;
  /** Part of each packet's room kept for user broadcasts while there are any, 0 to 1. Default 0.25. */
  readonly userShareRatio: number;
  /** Ids of user broadcasts remembered, so that each is delivered and passed on once. Default 8192. */
  readonly seenRumorsMax: number;
  /** Room in one datagram, before the 5 bytes of a CRC. Below the path MTU. 1400 to 65507. */
  readonly udpBufferBytes: number;

  /** Time between full state exchanges, stretched in clusters above 32 members; 0 = never. */
  readonly pushPullIntervalMs: number;
  /** Time for a whole stream exchange. */
  readonly tcpTimeoutMs: number;
  /** A dead member's name may be claimed from another address after this long; 0 = never (a left one's always). */
  readonly deadNodeReclaimMs: number;
  /** Members kept at most; news about more is refused and counted, so that nobody can fill our memory. Default 131072. */
  readonly membersMax: number;

  /** memberlist protocol version to speak, 1 to 5. Default 2. */
  readonly protocolVersion: number;
  /** Version range of the application above; Serf pools need 2, 5, 4. Default 0, 0, 0. */
  readonly delegateProtocolMin: number;
  readonly delegateProtocolMax: number;
  readonly delegateProtocolVersion: number;
  /**
   * Exchange only what differs with members that do so too (protocol §21), instead of everything. Needs `extensions`. Default true.
   */
  readonly deltaSync: boolean;
  /**
   * How often the successor on the ring is probed (protocol §24), ms; 0 = no ring, and the node does not announce the fast profile. Needs `extensions`. Default 0, fast 250.
   */
  readonly ringIntervalMs: number;
  /** Least wait for the ack of a ring probe before others are asked, ms; longer where round trips are. Default 60. */
  readonly ringTimeoutMs: number;
  /** How long a member that announced the fast profile has to refute a suspicion, ms, whatever the size of the cluster. Default 350. */
  readonly fastSuspicionMs: number;
  /** News of suspicions, deaths and refutations of such members is told to all of them in two hops, besides gossip. Default false, fast true. */
  readonly urgentNews: boolean;
  /** Key of the hashes that delta push-pull compares, four u32, hard to guess for those outside. Default: from rngSeed. */
  readonly syncKey: Uint32Array | undefined;
  /** Say hearsay's extension word (protocol §20). Default true; false makes every byte equal to memberlist's. */
  readonly extensions: boolean;

  /** LZW where it makes a packet shorter, and on all streams. */
  readonly compression: boolean;
  /** Keeps clusters that share a network apart, at most 255 bytes of UTF-8. Default ''. */
  readonly label: string;
  /** The label is removed by somebody else: refuse packets that carry one. Default false. */
  readonly skipInboundLabelCheck: boolean;
  /** AES keys, shared with whoever rotates them. Default none: plain text. */
  readonly keyring: Keyring | undefined;
  /** Refuse what is not encrypted, when there is a key. Default true. */
  readonly verifyIncoming: boolean;
  /** Encrypt what we send, when there is a key. Default true. */
  readonly verifyOutgoing: boolean;
  /** Where encryption takes nonces from; only simulations that must repeat byte for byte give one. Default: the system's random source. */
  readonly nonces: NonceSource | undefined;
  /** "10.0.0.0/8", ...: only members in these networks are accepted. undefined or empty = all. */
  readonly allowedCidrs: readonly string[] | undefined;

  /** Report each answered probe as an event. Default false: most programs do not look. */
  readonly probeEvents: boolean;
  /** Asked about every alive message about others; false ignores it. Must be quick and pure. */
  readonly aliveFilter: AliveFilter | undefined;
  /** Asked once per join with all that the other side sent; false refuses it. */
  readonly mergeFilter: MergeFilter | undefined;
  /** Bytes to hand over in a push/pull (memberlist's LocalState). */
  readonly localState: ((join: boolean) => Uint8Array) | undefined;
  /** Bytes that the other side handed over (memberlist's MergeRemoteState). The view is valid during the call. */
  readonly mergeRemoteState: ((state: Uint8Array, join: boolean) => void) | undefined;
  /** Bytes to put into each ack we send (memberlist's AckPayload). Keep it to some tens of bytes. */
  readonly pingPayload: (() => Uint8Array) | undefined;
}

/** What has no default, and whatever else shall differ from a preset. */
export type EngineOptions = Pick<EngineConfig, 'name' | 'address'> & Partial<EngineConfig>;

const COMMON = {
  meta: new Uint8Array(0),
  rngSeed: 1,
  disableTcpPings: false,
  awarenessMaxMultiplier: 8,
  suspicionMaxTimeoutMult: 6,
  phiThreshold: 0,
  userShareRatio: 0.25,
  seenRumorsMax: 8192,
  udpBufferBytes: 1400,
  deadNodeReclaimMs: 0,
  membersMax: 131072,
  protocolVersion: 2,
  delegateProtocolMin: 0,
  delegateProtocolMax: 0,
  delegateProtocolVersion: 0,
  deltaSync: true,
  ringIntervalMs: 0,
  ringTimeoutMs: 60,
  fastSuspicionMs: 350,
  urgentNews: false,
  syncKey: undefined,
  extensions: true,
  compression: true,
  label: '',
  skipInboundLabelCheck: false,
  keyring: undefined,
  verifyIncoming: true,
  verifyOutgoing: true,
  nonces: undefined,
  allowedCidrs: undefined,
  probeEvents: false,
  aliveFilter: undefined,
  mergeFilter: undefined,
  localState: undefined,
  mergeRemoteState: undefined,
  pingPayload: undefined,
} as const;

/** memberlist's settings for one data centre. */
export function lan(options: EngineOptions): EngineConfig {
  return {
    ...COMMON,
    tcpTimeoutMs: 10_000,
    indirectChecks: 3,
    retransmitMult: 4,
    suspicionMult: 4,
    pushPullIntervalMs: 30_000,
    probeIntervalMs: 1000,
    probeTimeoutMs: 500,
    gossipIntervalMs: 200,
    gossipNodes: 3,
    gossipToTheDeadMs: 30_000,
    ...options,
  };
}

/** memberlist's settings for members spread over the world. */
export function wan(options: EngineOptions): EngineConfig {
  return lan({
    tcpTimeoutMs: 30_000,
    suspicionMult: 6,
    pushPullIntervalMs: 60_000,
    probeIntervalMs: 5000,
    probeTimeoutMs: 3000,
    gossipIntervalMs: 500,
    gossipNodes: 4,
    gossipToTheDeadMs: 60_000,
    ...options,
  });
}

/** memberlist's settings for one machine. */
export function local(options: EngineOptions): EngineConfig {
  return lan({
    tcpTimeoutMs: 1000,
    indirectChecks: 1,
    retransmitMult: 2,
    suspicionMult: 3,
    pushPullIntervalMs: 15_000,
    probeTimeoutMs: 200,
    gossipIntervalMs: 100,
    gossipToTheDeadMs: 15_000,
    ...options,
  });
}

/**
 * lan, and failures of members that have this profile too known to all within a second: ring probing, fast suspicion, urgent news in two hops (protocol §24). Towards other members it is lan.
 * For networks whose round trips are some ms.
 */
export function fast(options: EngineOptions): EngineConfig {
  return lan({ ringIntervalMs: 250, urgentNews: true, ...options });
}

/** The presets by name. */
export const PROFILES = { lan, wan, local, fast } as const;
export type ProfileName = keyof typeof PROFILES;

/** Integer fields and their ranges. */
const INTEGERS = {
  rngSeed: [0, 0xffffffff],
  probeIntervalMs: [0, 3_600_000],
  probeTimeoutMs: [1, 3_600_000],
  indirectChecks: [0, 64],
  awarenessMaxMultiplier: [1, 32],
  suspicionMult: [1, 1000],
  suspicionMaxTimeoutMult: [1, 1000],
  gossipIntervalMs: [0, 3_600_000],
  gossipNodes: [0, 64],
  gossipToTheDeadMs: [0, 0x7fffffff],
  retransmitMult: [1, 1000],
  ringIntervalMs: [0, 3_600_000],
  ringTimeoutMs: [1, 3_600_000],
  fastSuspicionMs: [1, 3_600_000],
  seenRumorsMax: [1, 1 << 22],
  udpBufferBytes: [UDP_BUFFER_BYTES_MIN, UDP_BUFFER_BYTES_MAX],
  pushPullIntervalMs: [0, 0x7fffffff],
  tcpTimeoutMs: [1, 3_600_000],
  deadNodeReclaimMs: [0, 0x7fffffff],
  membersMax: [1, 1 << 20],
  protocolVersion: [PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MAX],
  delegateProtocolMin: [0, 255],
  delegateProtocolMax: [0, 255],
  delegateProtocolVersion: [0, 255],
} as const satisfies Partial<Record<keyof EngineConfig, readonly [number, number]>>;

/**
 * The same settings as an object of one shape. Settings that were put together by spreading are tables to V8, one of their own for each engine, and every look at one costs a
 * miss: with a thousand engines in a process that was one twentieth of all time.
 */
export function inOneShape(config: EngineConfig): EngineConfig {
  return {
    name: config.name,
    address: config.address,
    meta: config.meta,
    rngSeed: config.rngSeed,
    probeIntervalMs: config.probeIntervalMs,
    probeTimeoutMs: config.probeTimeoutMs,
    indirectChecks: config.indirectChecks,
    disableTcpPings: config.disableTcpPings,
    awarenessMaxMultiplier: config.awarenessMaxMultiplier,
    suspicionMult: config.suspicionMult,
    suspicionMaxTimeoutMult: config.suspicionMaxTimeoutMult,
    phiThreshold: config.phiThreshold,
    gossipIntervalMs: config.gossipIntervalMs,
    gossipNodes: config.gossipNodes,
    gossipToTheDeadMs: config.gossipToTheDeadMs,
    retransmitMult: config.retransmitMult,
    userShareRatio: config.userShareRatio,
    seenRumorsMax: config.seenRumorsMax,
    udpBufferBytes: config.udpBufferBytes,
    pushPullIntervalMs: config.pushPullIntervalMs,
    tcpTimeoutMs: config.tcpTimeoutMs,
    deadNodeReclaimMs: config.deadNodeReclaimMs,
    membersMax: config.membersMax,
    protocolVersion: config.protocolVersion,
    delegateProtocolMin: config.delegateProtocolMin,
    delegateProtocolMax: config.delegateProtocolMax,
    delegateProtocolVersion: config.delegateProtocolVersion,
    deltaSync: config.deltaSync,
    ringIntervalMs: config.ringIntervalMs,
    ringTimeoutMs: config.ringTimeoutMs,
    fastSuspicionMs: config.fastSuspicionMs,
    urgentNews: config.urgentNews,
    syncKey: config.syncKey,
    extensions: config.extensions,
    compression: config.compression,
    label: config.label,
    skipInboundLabelCheck: config.skipInboundLabelCheck,
    keyring: config.keyring,
    verifyIncoming: config.verifyIncoming,
    verifyOutgoing: config.verifyOutgoing,
    nonces: config.nonces,
    allowedCidrs: config.allowedCidrs,
    probeEvents: config.probeEvents,
    aliveFilter: config.aliveFilter,
    mergeFilter: config.mergeFilter,
    localState: config.localState,
    mergeRemoteState: config.mergeRemoteState,
    pingPayload: config.pingPayload,
  };
}

/** Throws one ERR_CONFIG_INVALID that lists every problem: field, value, what was expected. */
export function validateConfig(config: EngineConfig): void {
  const problems: string[] = [];
  const refuse = (field: keyof EngineConfig, got: unknown, expected: string): void => {
    problems.push(`${field}: expected ${expected}, got ${String(got)}`);
  };

  const nameBytes = typeof config.name === 'string' ? bytesOf(config.name).length : 0;
  if (nameBytes < 1 || nameBytes > NAME_BYTES_MAX) {
    refuse('name', nameBytes, `a text of 1 to ${NAME_BYTES_MAX} bytes`);
  }
  checkAddress(config.address, refuse);
  if (!(config.meta instanceof Uint8Array) || config.meta.length > META_BYTES_MAX) {
    refuse('meta', config.meta?.length, `at most ${META_BYTES_MAX} bytes`);
  }
  for (const [field, [min, max]] of Object.entries(INTEGERS) as [keyof typeof INTEGERS, readonly [number, number]][]) {
    const value = config[field];
    if (!Number.isInteger(value) || value < min || value > max)
      refuse(field, value, `an integer from ${min} to ${max}`);
  }
  if (config.probeIntervalMs > 0 && config.probeTimeoutMs >= config.probeIntervalMs) {
    refuse('probeTimeoutMs', config.probeTimeoutMs, `less than probeIntervalMs (${config.probeIntervalMs})`);
  }
  if (!(config.userShareRatio >= 0 && config.userShareRatio <= 1))
    refuse('userShareRatio', config.userShareRatio, '0 to 1');
  if (!(config.phiThreshold >= 0 && config.phiThreshold <= 300))
    refuse('phiThreshold', config.phiThreshold, '0 to 300');
  if (config.delegateProtocolMin > config.delegateProtocolMax) {
    refuse(
      'delegateProtocolMin',
      config.delegateProtocolMin,
      `at most delegateProtocolMax (${config.delegateProtocolMax})`,
    );
  }
  const labelBytes = typeof config.label === 'string' ? bytesOf(config.label).length : -1;
  if (labelBytes < 0 || labelBytes > LABEL_BYTES_MAX)
    refuse('label', labelBytes, `a text of at most ${LABEL_BYTES_MAX} bytes`);
  for (const cidr of config.allowedCidrs ?? []) {
    if (parseCidr(cidr) === undefined) refuse('allowedCidrs', cidr, 'networks like 10.0.0.0/8 or fd00::/8');
  }
  if (problems.length > 0) throw new HearsayError('ERR_CONFIG_INVALID', problems.join('; '));
}

function checkAddress(
  address: Address | undefined,
  refuse: (field: keyof EngineConfig, got: unknown, expected: string) => void,
): void {
  const ipLength = address?.ip instanceof Uint8Array ? address.ip.length : 0;
  if (ipLength !== 4 && ipLength !== 16) refuse('address', `${ipLength} bytes`, 'an IP of 4 or 16 bytes');
  const port = address?.port;
  if (port === undefined || !Number.isInteger(port) || port < 1 || port > 65535) {
    refuse('address', `port ${String(port)}`, 'a port from 1 to 65535');
  }
}
