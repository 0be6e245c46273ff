import { averaging } from './averaging.ts';
import { certificates } from './certificates.ts';
import { convergence } from './convergence.ts';
import { demers } from './demers.ts';
import { estimate } from './estimate.ts';
import type { AnyExperiment } from './experiment.ts';
import { lifeguard } from './lifeguard.ts';
import { phi } from './phi.ts';
import { survival } from './survival.ts';
import { suspicion } from './suspicion.ts';
import { swim } from './swim.ts';

/** All of them, in the order of docs/papers.md. */
export const EXPERIMENTS: readonly AnyExperiment[] = [
  demers,
  certificates,
  averaging,
  estimate,
  swim,
  suspicion,
  lifeguard,
  convergence,
  survival,
  phi,
] as unknown as AnyExperiment[];

/** The experiment of this name. */
export function experimentOf(name: string): AnyExperiment {
  const found = EXPERIMENTS.find((each) => each.name === name);
  if (!found)
    throw new Error(
      `no experiment ${JSON.stringify(name)}; there are: ${EXPERIMENTS.map((each) => each.name).join(', ')}`,
    );
  return found;
}
