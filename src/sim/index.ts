/** hearsay/sim: thousands of real engines in virtual time, from a seed. */
export { BoundsChecker } from './checkers/bounds.ts';
export { CalmChecker } from './checkers/calm.ts';
export { FalsePositiveChecker } from './checkers/false-positives.ts';
export { IncarnationChecker } from './checkers/incarnations.ts';
export { OwnershipChecker } from './checkers/ownership.ts';
export { RecordChecker } from './checkers/records.ts';
export { SuspicionChecker } from './checkers/suspicions.ts';
export { TombstoneChecker } from './checkers/tombstones.ts';
export {
  flipFlop,
  type Hop,
  LATENCY,
  type LatencyModel,
  lossAt,
  NETWORK_DEFAULTS,
  type Network,
  type NetworkOptions,
  oneWay,
  partition,
  type Rule,
  slow,
  type Verdict,
} from './network.ts';
export type { SimNode } from './sim-node.ts';
export { type Checker, type NodeOptions, Simulation, type SimulationOptions } from './simulation.ts';
export { type MapTrialOptions, runMapTrial } from './trial/map-trial.ts';
export { describeTrial, drawTrial, type Fault, type FaultKind, type TrialParameters } from './trial/parameters.ts';
export { runTrial, type TrialOptions, type TrialReport } from './trial/trial.ts';
