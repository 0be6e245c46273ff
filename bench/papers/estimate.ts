import { settled } from './cluster.ts';
import { type Experiment, near, quantile, type Row } from './experiment.ts';

interface Job {
  readonly nodes: number;
  readonly loss: number;
  readonly estimates: number;
}

interface Result extends Job {
  /** What members were told, one after the other. */
  readonly sizes: number[];
}

const CYCLES = 40;

export const estimate: Experiment<Job, Result> = {
  name: 'estimate',
  title: 'cluster.estimate() on the engine',
  source: 'Jelasity, Montresor, Babaoglu 2005 (COUNT)',
  method: `The engine in the simulator, LAN preset, ${CYCLES} cycles; the published number is the true size. Exchanges overlap and are not in step, as the model of rounds has it not.`,
  jobs: (scale) =>
    scale === 'full'
      ? [
          { nodes: 10, loss: 0, estimates: 5 },
          { nodes: 100, loss: 0, estimates: 5 },
          { nodes: 1000, loss: 0, estimates: 3 },
          { nodes: 100, loss: 0.01, estimates: 21 },
          { nodes: 100, loss: 0.05, estimates: 21 },
        ]
      : [{ nodes: 30, loss: 0, estimates: 2 }],
  work(job) {
    const { nodes, loss, estimates } = job;
    const sim = settled(nodes, { seed: 1, network: { loss } }, 5000);
    const sizes: number[] = [];
    let request = 0;
    let asked = '';
    sim.check({
      name: 'estimates',
      event: (node, event) => {
        if (event.type === 'done' && event.request === request && node.name === asked) sizes.push(Number(event.detail));
      },
    });
    for (let i = 0; i < estimates; i++) {
      asked = `n${(7 * i) % nodes}`;
      request = sim.act(asked, (engine, now) => engine.estimate(now, CYCLES));
      sim.until(() => sizes.length > i, 60_000);
      sim.run(1000);
    }
    return { ...job, sizes };
  },
  report(results) {
    const rows: Row[] = results.map(({ nodes, loss, sizes }) =>
      near(
        `${nodes} members${loss === 0 ? '' : `, ${100 * loss} % loss`}: median of ${sizes.length}`,
        quantile(sizes, 0.5),
        nodes,
        loss === 0 ? 0.005 : 0.15,
        loss === 0
          ? {}
          : {
              note: `from ${Math.round(Math.min(...sizes))} to ${Math.round(Math.max(...sizes))}: a lost answer leaves the sum wrong`,
            },
      ),
    );
    return { rows, data: results };
  },
};
