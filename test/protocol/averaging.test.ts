// Averaging and the size of the network (protocol §22), in simulated clusters.
import { describe, expect, it } from 'vitest';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { AVERAGINGS_MAX } from '../../src/protocol/averaging.ts';
import { Simulation, type SimulationOptions } from '../../src/sim/index.ts';

function cluster(n: number, options: SimulationOptions = {}): Simulation {
  const sim = new Simulation({ seed: n, ...options });
  sim.addNodes(n);
  sim.acquaint();
  sim.run(2000);
  return sim;
}

/** What `name` finds. */
function estimate(sim: Simulation, name: string, cycles?: number): number {
  const request = sim.act(name, (engine, now) => engine.estimate(now, cycles));
  let found: number | undefined;
  sim.until(() => {
    const done = sim.node(name).events.find((event) => event.type === 'done' && event.request === request);
    if (done?.type === 'done') found = Number(done.detail);
    return done !== undefined;
  }, 120_000);
  return found as number;
}

describe('averaging', () => {
  it.each([1, 2, 3, 10, 200])('finds %i members', (n) => {
    expect(estimate(cluster(n), 'n0')).toBeCloseTo(n, 1);
  });

  it('is within a thousandth for 300 members, and follows crashes and joins', () => {
    const sim = cluster(300, { history: 100 });
    expect(Math.abs(estimate(sim, 'n7') / 300 - 1)).toBeLessThan(0.001);
    for (let i = 10; i < 50; i++) sim.crash(`n${i}`);
    sim.until(() => sim.isConverged(), 120_000);
    expect(Math.abs(estimate(sim, 'n7') / 260 - 1)).toBeLessThan(0.001);
  });

  it('ends everywhere, and costs nothing afterwards', () => {
    const sim = cluster(50);
    estimate(sim, 'n3', 30);
    sim.run(3000);
    const before = sim.up.reduce((sum, { engine }) => sum + engine.stats.averagesReceived, 0);
    expect(before).toBeGreaterThan(50 * 25);
    sim.run(20_000);
    expect(sim.up.reduce((sum, { engine }) => sum + engine.stats.averagesReceived, 0)).toBe(before);
  });

  it('is off by some per cent when packets are lost', () => {
    const errors = [1, 2, 3, 4, 5].map((seed) => {
      const sim = cluster(100, { seed, network: { loss: 0.01 } });
      return Math.abs(estimate(sim, 'n0') / 100 - 1);
    });
    expect(Math.max(...errors)).toBeLessThan(0.5);
    expect(errors.toSorted((a, b) => a - b)[2]).toBeLessThan(0.15);
  });

  it('counts only those who take part, and refuses without extensions', () => {
    const sim = new Simulation({ seed: 4 });
    sim.addNodes(10);
    for (let i = 0; i < 5; i++) sim.addNode(`plain${i}`, { tuning: { extensions: false } });
    sim.joinAll();
    expect(estimate(sim, 'n0')).toBeCloseTo(10, 1);
    const request = sim.act('plain0', (engine, now) => engine.estimate(now));
    expect(sim.node('plain0').events).toContainEqual({ type: 'done', request, ok: false, detail: 'needs extensions' });
    expect(sim.node('plain0').engine.stats.averagesReceived).toBe(0);
  });

  it('takes part in so many at once and no more', () => {
    const sim = cluster(3);
    for (let i = 0; i <= AVERAGINGS_MAX; i++) sim.act('n0', (engine, now) => engine.estimate(now));
    const outcomes = sim.node('n0').events.filter((event) => event.type === 'done');
    expect(outcomes).toMatchObject([{ ok: false, detail: `${AVERAGINGS_MAX} averagings are under way` }]);
    for (let i = 0; i < AVERAGINGS_MAX; i++) sim.act('n1', (engine, now) => engine.estimate(now));
    sim.run(1000);
    expect(sim.node('n2').engine.stats.averagesRefused).toBeGreaterThan(0);
    expect(() => sim.act('n0', (engine, now) => engine.estimate(now, 0))).toThrow(
      /cycles: expected .* 1 to 255, got 0/,
    );
  });

  it.runIf(hasNativeClass('PacketCodec'))('is the same on both backends', () => {
    const [native, js] = (['native', 'js'] as const).map((backend) => estimate(cluster(60, { backend }), 'n1'));
    expect(native).toBe(js);
  });
});
