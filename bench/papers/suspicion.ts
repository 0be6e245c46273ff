import { Suspicion } from '../../src/protocol/suspicion.ts';
import { around, type Experiment, type Row } from './experiment.ts';

interface Job {
  readonly name: string;
  readonly limits: {
    readonly suspicionMult: number;
    readonly suspicionMaxTimeoutMult: number;
    readonly probeIntervalMs: number;
  };
  /** Published timeouts for 0, 1, ... confirmations, s. */
  readonly published: readonly number[];
}

const NODES = 128;

export const suspicion: Experiment<Job, Job & { readonly measured: number[] }> = {
  name: 'suspicion',
  title: 'Lifeguard: suspicion timer',
  source: 'Dadgar, Phillips, Currey 2018, §IV-B; memberlist suspicion.go',
  method: `The engine's own Suspicion with ${NODES} members, confirmations at once; the timeout after each.`,
  jobs: () => [
    {
      name: 'α=5, β=6, K=3',
      limits: { suspicionMult: 5, suspicionMaxTimeoutMult: 6, probeIntervalMs: 1000 },
      published: [63.2, 36.9, 21.5, 10.54],
    },
    {
      name: 'memberlist (4, 6, K=2)',
      limits: { suspicionMult: 4, suspicionMaxTimeoutMult: 6, probeIntervalMs: 1000 },
      published: [50.6, 24.0, 8.43],
    },
  ],
  work(job) {
    const suspicion = new Suspicion(0, 'accuser', NODES, job.limits);
    const measured = job.published.map((_, confirmations) => {
      if (confirmations > 0) suspicion.confirm(0, `witness ${confirmations}`);
      return suspicion.deadlineMs / 1000;
    });
    return { ...job, measured };
  },
  report(results) {
    const rows: Row[] = results.flatMap(({ name, published, measured }) =>
      // Published to one digit after the point.
      published.map((seconds, c) =>
        around(`timeout, ${name}, ${c} confirmations`, measured[c] as number, seconds, 0.06, { unit: 's' }),
      ),
    );
    return { rows, data: results };
  },
};
