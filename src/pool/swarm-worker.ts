import { runMapTrial } from '../sim/trial/map-trial.ts';
import { runTrial, type TrialReport } from '../sim/trial/trial.ts';
import type { SwarmInput } from './swarm.ts';

/** The inside of a thread of the swarm: one trial. */
export default function work({ seed, maps, backend }: SwarmInput): TrialReport {
  return (maps ? runMapTrial : runTrial)(seed, backend ? { backend } : {});
}
