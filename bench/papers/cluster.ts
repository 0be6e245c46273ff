import { Simulation, type SimulationOptions } from '../../src/sim/index.ts';

/** A cluster whose members know each other, after a while in which their timers fall out of step. */
export function settled(nodes: number, options: SimulationOptions, settleMs: number): Simulation {
  const sim = new Simulation({ history: 0, rejoinIntervalMs: 0, ...options });
  sim.addNodes(nodes);
  sim.acquaint();
  sim.run(settleMs);
  return sim;
}

/** Least squares line through points: [slope, intercept, r^2]. */
export function lineThrough(points: readonly (readonly [number, number])[]): [number, number, number] {
  const n = points.length;
  const mx = points.reduce((sum, [x]) => sum + x, 0) / n;
  const my = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const sxy = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  const sxx = points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  const syy = points.reduce((sum, [, y]) => sum + (y - my) ** 2, 0);
  return [sxy / sxx, my - (sxy / sxx) * mx, sxy ** 2 / (sxx * syy)];
}
