import { runTrial, type TrialReport } from '../sim/trial/trial.ts';
import type { SwarmInput } from './swarm.ts';

/** The inside of a thread of the swarm: one trial. */
export default function work({ seed, backend }: SwarmInput): TrialReport {
  return runTrial(seed, backend ? { backend } : {});
}
