import { bytesOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';
import type { ExchangeMode } from './exchanges.ts';
import type { MapLimits } from './limits.ts';
import type { Strategy } from './reconcile/port.ts';
import { CHECKSUM_FIRST, MERKLE, PEEL_BACK, RANGE, SCUTTLEBUTT } from './reconcile/strategies.ts';
import type { ReplicaOptions } from './replica.ts';

/** Strategies by the names that users know them under. */
export const STRATEGY_NAMES = {
  checksumFirst: CHECKSUM_FIRST,
  range: RANGE,
  merkle: MERKLE,
  scuttlebutt: SCUTTLEBUTT,
  peelBack: PEEL_BACK,
} as const satisfies Record<string, Strategy>;
export type StrategyName = keyof typeof STRATEGY_NAMES;

/** How a map is replicated. Limits, `secret` and `certificateIntervalMs` should be the same on all nodes. */
export interface MapOptions {
  readonly limits?: Partial<MapLimits>;
  /** Pause between exchanges with a random partner, ms; 0 = this node opens none. Default 10,000. After an exchange that found something the next one comes after about a second. */
  readonly antiEntropyIntervalMs?: number;
  /** How two nodes find what differs; docs/reconciliation.md says where each wins. Default 'checksumFirst'. */
  readonly strategy?: StrategyName;
  /** Which way records go in exchanges that this node opens. Default 'pushPull'; the others are for comparison with the literature. */
  readonly mode?: ExchangeMode;
  /** Ticks in which what is fresh is told to others, ms, and to how many. Default 200 and 3. */
  readonly gossipIntervalMs?: number;
  readonly gossipFanout?: number;
  /** Bytes of state in one packet, at most. Default 1,200. */
  readonly packetBytes?: number;
  /** How long what a node owns outlives it, ms. Default 60,000. */
  readonly ownerTtlMs?: number;
  /** How far ahead another node's clock may be, ms; what is further ahead is refused. Default 60,000. */
  readonly clockDriftMaxMs?: number;
  /** How often nodes compare what they have of tombstones, ms. Default 30,000. */
  readonly certificateIntervalMs?: number;
  /** Members that keep a tombstone aside after all have seen it, how long, ms, and how many one keeps at most. Default 4, seven days, 100,000. */
  readonly retentionSites?: number;
  readonly retentionMs?: number;
  readonly retentionMax?: number;
  /** Keys the hashes of the map: set it, the same on all nodes, where strangers choose keys and could crowd them into one place. */
  readonly secret?: Uint8Array | string;
  /** Draws partners near rather than far: the distance of a member (a round trip, say), and the exponent a of distance^-a, 1 to 2. Default uniform. */
  readonly distance?: { readonly exponent: number; readonly of: (member: string) => number };
}

export interface ResolvedMapOptions extends ReplicaOptions {
  readonly driftMaxMs: number;
  readonly dormantMax: number;
  readonly secret: Uint8Array;
}

const NUMBERS = {
  antiEntropyIntervalMs: { fallback: 10_000, min: 0, max: 86_400_000 },
  gossipIntervalMs: { fallback: 200, min: 1, max: 60_000 },
  gossipFanout: { fallback: 3, min: 0, max: 100 },
  packetBytes: { fallback: 1200, min: 512, max: 60_000 },
  ownerTtlMs: { fallback: 60_000, min: 0, max: 31_536_000_000 },
  clockDriftMaxMs: { fallback: 60_000, min: 0, max: 31_536_000_000 },
  certificateIntervalMs: { fallback: 30_000, min: 100, max: 86_400_000 },
  retentionSites: { fallback: 4, min: 0, max: 1000 },
  retentionMs: { fallback: 7 * 86_400_000, min: 0, max: 31_536_000_000 },
  retentionMax: { fallback: 100_000, min: 1, max: 10_000_000 },
} as const;
const OTHERS = ['limits', 'strategy', 'mode', 'secret', 'distance'];
const MODES: readonly ExchangeMode[] = ['pushPull', 'push', 'pull'];

/** Throws ERR_ARGUMENT_INVALID, which lists every problem. */
export function resolveMapOptions(options: MapOptions): ResolvedMapOptions {
  const problems: string[] = [];
  for (const name of Object.keys(options)) {
    if (!(name in NUMBERS) && !OTHERS.includes(name)) problems.push(`${name}: is no option of a map`);
  }
  const number = (name: keyof typeof NUMBERS): number => {
    const { fallback, min, max } = NUMBERS[name];
    const value = options[name] ?? fallback;
    if (!Number.isInteger(value) || value < min || value > max)
      problems.push(`${name}: expected a whole number from ${min} to ${max}, got ${String(value)}`);
    return value;
  };
  const { strategy = 'checksumFirst', mode = 'pushPull', secret = '', distance } = options;
  if (!Object.hasOwn(STRATEGY_NAMES, strategy))
    problems.push(`strategy: expected one of ${Object.keys(STRATEGY_NAMES).join(', ')}, got ${String(strategy)}`);
  if (!MODES.includes(mode)) problems.push(`mode: expected one of ${MODES.join(', ')}, got ${String(mode)}`);
  if (distance && (typeof distance.of !== 'function' || !(distance.exponent >= 0)))
    problems.push('distance: expected { exponent, of } with an exponent from 0 up and a function');
  const intervalMs = number('certificateIntervalMs');
  const resolved: ResolvedMapOptions = {
    strategy: STRATEGY_NAMES[strategy],
    mode,
    intervalMs: number('antiEntropyIntervalMs'),
    gossipMs: number('gossipIntervalMs'),
    fanout: number('gossipFanout'),
    packetBytes: number('packetBytes'),
    ownerTtlMs: number('ownerTtlMs'),
    driftMaxMs: number('clockDriftMaxMs'),
    dormantMax: number('retentionMax'),
    certificates: {
      intervalMs,
      settleMs: Math.floor(intervalMs / 2),
      sites: number('retentionSites'),
      retentionMs: number('retentionMs'),
    },
    secret: typeof secret === 'string' ? bytesOf(secret) : secret,
    ...(distance ? { distance } : {}),
  };
  if (problems.length > 0) throw new HearsayError('ERR_ARGUMENT_INVALID', problems.join('; '));
  return resolved;
}
