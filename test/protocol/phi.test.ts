import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../src/protocol/config.ts';
import { ArrivalWindow, phiExponential, phiLogistic, phiNormal } from '../../src/protocol/phi.ts';
import { PHI_WATCHED } from '../../src/protocol/phi-monitor.ts';
import { oneWay, Simulation } from '../../src/sim/index.ts';

const PHI = { phiThreshold: 8 };

function cluster(nodes: number, seed = 1): Simulation {
  const sim = new Simulation({ seed, tuning: PHI, rejoinIntervalMs: 0 });
  sim.addNodes(nodes);
  sim.acquaint();
  sim.run(5000);
  return sim;
}

describe('formulas', () => {
  it('normal: the standard deviations at which phi is 1, 2, 3, 5, 8, 10, 12', () => {
    for (const [phi, y] of [
      [1, 1.282],
      [2, 2.326],
      [3, 3.09],
      [5, 4.265],
      [8, 5.612],
      [10, 6.361],
      [12, 7.035],
    ] as const)
      expect(phiNormal(100 + 10 * y, 100, 10)).toBeCloseTo(phi, 1);
  });

  it('normal: half of all heartbeats are later than the mean; neither tail is infinite or below 0', () => {
    expect(phiNormal(100, 100, 10)).toBeCloseTo(Math.log10(2), 6);
    expect(phiNormal(0, 1000, 10)).toBeGreaterThanOrEqual(0);
    expect(phiNormal(0, 1000, 10)).toBeLessThan(1e-300);
    expect(phiNormal(1e6, 100, 10)).toBeGreaterThan(1e6);
    expect(Number.isFinite(phiNormal(1e9, 100, 10))).toBe(true);
  });

  it("Akka's logistic crosses 8 at 5.226 deviations, Cassandra's exponential at 18.42 means", () => {
    expect(phiLogistic(5.226, 0, 1)).toBeCloseTo(8, 2);
    expect(phiLogistic(1e6, 0, 1)).toBeGreaterThan(1e9);
    expect(phiExponential(18.42 * 7, 7)).toBeCloseTo(8, 2);
  });
});

describe('ArrivalWindow', () => {
  it('starts around the expected interval and forgets what is older than its size', () => {
    const window = new ArrivalWindow(0, 1000, 4);
    expect(window.meanMs).toBe(1000);
    expect(window.sdMs).toBe(250);
    for (let i = 1; i <= 4; i++) window.heartbeat(100 * i, 1000);
    expect(window.meanMs).toBe(100);
    expect(window.sdMs).toBe(0);
    expect(window.silenceMs(450)).toBe(50);
  });

  it('takes no outage for an interval, and excuses those of the observer', () => {
    const window = new ArrivalWindow(0, 1000);
    window.heartbeat(60_000, 4000);
    expect(window.meanMs).toBe(1000);
    expect(window.silenceMs(60_500)).toBe(500);
    window.excuse(400);
    expect(window.silenceMs(60_500)).toBe(100);
  });
});

describe('engines with phi accrual', () => {
  it('find a crash within the forgiven pause and a few periods, all of them, and never suspect', () => {
    const sim = cluster(30);
    sim.crash('n7');
    const ms = sim.until(() => sim.isConverged(), 20_000);
    expect(ms).toBeGreaterThan(3000);
    expect(ms).toBeLessThan(8000);
    for (const { events } of sim.up) expect(events.some(({ type }) => type === 'suspect')).toBe(false);
  });

  it('watch nine members each, and say how sure they are', () => {
    const sim = cluster(30);
    const [first] = sim.up;
    const watched = [...sim.nodes.keys()].filter(
      (name) => sim.act('n0', (engine, now) => engine.phi(now, name)) !== undefined,
    );
    expect(watched).toHaveLength(PHI_WATCHED);
    expect(first?.engine.phi(5000, 'nobody')).toBeUndefined();
    const [name] = watched as [string];
    const before = sim.act('n0', (engine, now) => engine.phi(now, name)) as number;
    sim.crash(name);
    sim.run(3900);
    expect(sim.act('n0', (engine, now) => engine.phi(now, name))).toBeGreaterThan(before);
  });

  it('send as much each whether 30 or 120 are there', () => {
    const perMember = [30, 120].map((nodes) => {
      const sim = cluster(nodes);
      const before = sim.packetsSent;
      sim.run(10_000);
      return (sim.packetsSent - before) / nodes / 10;
    });
    // Nine pings and as many acks for others.
    for (const sent of perMember) expect(sent).toBeCloseTo(2 * PHI_WATCHED, 0);
  });

  it('do not take 2 % loss for death, and are not taken for dead by a pause shorter than forgiven', () => {
    const sim = new Simulation({ seed: 3, tuning: PHI, network: { loss: 0.02 }, rejoinIntervalMs: 0 });
    sim.addNodes(20);
    sim.acquaint();
    sim.run(30_000);
    sim.pause('n3', 2500);
    sim.run(60_000);
    for (const { events } of sim.up) expect(events.some(({ type }) => type === 'dead')).toBe(false);
  });

  it('who slept does not accuse the others', () => {
    const sim = cluster(20);
    sim.pause('n5', 30_000);
    sim.run(29_000);
    sim.run(10_000);
    expect(sim.node('n5').events.some(({ type }) => type === 'dead')).toBe(false);
    expect(sim.until(() => sim.isConverged(), 60_000)).toBeLessThan(60_000);
  });

  it('hear the wrongly accused refute, and reap the dead', () => {
    const sim = cluster(12);
    const heal = sim.rule(
      oneWay(
        ['n4'],
        [...sim.nodes.keys()].filter((name) => name !== 'n4'),
      ),
    );
    sim.until(() => sim.up.some(({ events }) => events.some(({ type }) => type === 'dead')), 20_000);
    heal();
    sim.until(() => sim.isConverged(), 120_000);
    expect(sim.node('n0').member('n4')?.incarnation).toBeGreaterThan(0);
    sim.crash('n2');
    sim.run(120_000);
    expect(sim.node('n0').member('n2')).toBeUndefined();
  });

  it('live with those that probe', () => {
    const sim = new Simulation({ seed: 5, rejoinIntervalMs: 0 });
    for (let i = 0; i < 20; i++) sim.addNode(`n${i}`, { tuning: i % 2 === 0 ? PHI : {} });
    sim.acquaint();
    sim.run(5000);
    sim.crash('n1');
    expect(sim.until(() => sim.isConverged(), 30_000)).toBeLessThan(8000);
  });

  it('repeat themselves on both backends', () => {
    const trace = (backend: 'js' | 'native'): string => {
      const lines: string[] = [];
      const sim = new Simulation({
        seed: 9,
        backend,
        tuning: PHI,
        network: { loss: 0.05 },
        trace: (line) => lines.push(line),
      });
      sim.addNodes(15);
      sim.joinAll();
      sim.crash('n3');
      sim.run(30_000);
      return lines.join('\n');
    };
    expect(trace('js')).toBe(trace('native'));
  });

  it('want a threshold that is one', () => {
    const config = cluster(1).node('n0').engine.config;
    expect(() => validateConfig({ ...config, phiThreshold: -1 })).toThrow('phiThreshold: expected 0 to 300, got -1');
    expect(() => validateConfig({ ...config, phiThreshold: Number.NaN })).toThrow('phiThreshold');
  });
});
