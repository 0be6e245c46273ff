import type { EngineConfig, ProfileName } from '../../protocol/config.ts';
import { Prng } from '../../util/prng.ts';
import { LATENCY, type NetworkOptions } from '../network.ts';

/** Something that goes wrong for a while. Times are in protocol periods from the start of the safety phase. */
export interface Fault {
  readonly kind: FaultKind;
  readonly at: number;
  /** How long it lasts, at most to the end of the safety phase; what has no end ignores it. */
  readonly lasts: number;
  /** Whom it concerns. */
  readonly nodes: readonly string[];
  /** Its strength, from 0 to 1; what that means depends on the kind. */
  readonly strength: number;
}

export const FAULT_KINDS = [
  'crash',
  'restart',
  'restart-remembering',
  'pause',
  'starve',
  'partition',
  'one-way',
  'flip-flop',
  'loss',
  'slow',
  'leave',
  'metadata',
  'broadcast',
  'accuse',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Everything that a trial is made of, drawn from its seed. */
export interface TrialParameters {
  readonly seed: number;
  readonly nodes: number;
  readonly profile: ProfileName;
  readonly tuning: Partial<EngineConfig>;
  /** Clock speeds, one per node. */
  readonly clockRates: readonly number[];
  readonly network: Partial<NetworkOptions>;
  readonly faults: readonly Fault[];
}

const NODES_MIN = 3;
const NODES_MAX = 20;
const FAULTS_MAX = 8;
/** Length of the safety phase, periods. */
export const SAFETY_PERIODS = 30;
/** Round trips in ms as somebody measured them between three data centres, halved. */
const MEASURED_MS = [0.2, 0.3, 0.3, 0.4, 0.5, 0.7, 1.2, 6, 6.5, 7, 12, 14, 35];

/** Draws a trial. The same seed gives the same one, on every machine. */
export function drawTrial(seed: number): TrialParameters {
  const prng = new Prng(seed ^ 0x51_1a_5e_ed);
  const pick = <T>(list: readonly T[]): T => list[prng.below(list.length)] as T;
  const chance = (ratio: number): boolean => prng.unit() < ratio;
  const upTo = (max: number): number => Math.round(prng.unit() * max * 1000) / 1000;
  const nodes = NODES_MIN + prng.below(NODES_MAX - NODES_MIN + 1);
  const profile = pick(['lan', 'lan', 'local', 'wan'] as const);
  const isLossless = chance(0.4);
  const network: Partial<NetworkOptions> = {
    latency: profile === 'wan' ? LATENCY.wan : pick([LATENCY.lan, { kind: 'measured', ms: MEASURED_MS }]),
    loss: isLossless ? 0 : upTo(0.15),
    duplication: chance(0.5) ? 0 : upTo(0.1),
    reordering: chance(0.5) ? 0 : upTo(0.2),
    brokenStreams: chance(0.5) ? 0 : upTo(0.3),
    mtuBytes: chance(0.8) ? 65_507 : 1500,
    // 10 Mbit/s and 1 Mbit/s.
    bandwidth: pick([0, 0, 1250, 125]),
  };
  const tuning: Partial<EngineConfig> = {
    deltaSync: chance(0.7),
    compression: chance(0.7),
    ...(chance(0.3) ? { gossipToTheDeadMs: 5000 } : {}),
    ...(chance(0.3) ? { pushPullIntervalMs: 5000 } : {}),
    ...(chance(0.2) ? { indirectChecks: 1 } : {}),
    ...(chance(0.5) ? { disableTcpPings: true } : {}),
  };
  const names = Array.from({ length: nodes }, (_, i) => `n${i}`);
  const faults = Array.from({ length: prng.below(FAULTS_MAX + 1) }, (): Fault => {
    const kind = pick(FAULT_KINDS);
    const isMany =
      kind === 'partition' || kind === 'flip-flop' || kind === 'loss' || kind === 'slow' || kind === 'one-way';
    const count = isMany ? 1 + prng.below(Math.max(1, nodes - 1)) : 1;
    const chosen = new Set<string>();
    while (chosen.size < count) chosen.add(pick(names));
    return {
      kind,
      at: Math.round(prng.unit() * SAFETY_PERIODS * 10) / 10,
      lasts: Math.round(prng.unit() * SAFETY_PERIODS * 7) / 10,
      nodes: [...chosen],
      strength: upTo(1),
    };
  });
  const clockRates = names.map(() => (chance(0.5) ? 1 : 0.98 + upTo(0.04)));
  return { seed, nodes, profile, tuning, clockRates, network, faults: faults.sort((a, b) => a.at - b.at) };
}

/** The parameters as lines for people. */
export function describeTrial({
  seed,
  nodes,
  profile,
  tuning,
  network,
  clockRates,
  faults,
}: TrialParameters): string[] {
  const listed = (values: object): string =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
      .join(', ');
  const drifting = clockRates.filter((rate) => rate !== 1).length;
  return [
    `seed ${seed}: ${nodes} nodes, profile ${profile}, ${drifting} clocks drift`,
    `network: ${listed(network)}`,
    `tuning: ${listed(tuning)}`,
    ...faults.map(
      ({ kind, at, lasts, nodes: whom, strength }) =>
        `fault: ${kind} of ${whom.join(' ')} at period ${at} for ${lasts}, strength ${strength}`,
    ),
  ];
}
