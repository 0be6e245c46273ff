import { describe, expect, it } from 'vitest';
import { hasNativeClass } from '../../src/kernels/native.ts';
import {
  BoundsChecker,
  FalsePositiveChecker,
  flipFlop,
  IncarnationChecker,
  LATENCY,
  Simulation,
} from '../../src/sim/index.ts';
import { bytesOf } from '../../src/util/bytes.ts';

const backends = hasNativeClass('MemberTable') ? (['js', 'native', 'mixed'] as const) : (['js'] as const);

/** A run with every kind of fault; returns what happened, a line per event. */
function eventful(backend: (typeof backends)[number], seed: number): string[] {
  const lines: string[] = [];
  const sim = new Simulation({
    seed,
    backend,
    network: { latency: LATENCY.lan, loss: 0.05, duplication: 0.05, reordering: 0.1, brokenStreams: 0.1 },
    trace: (line) => lines.push(line),
  });
  sim.check(IncarnationChecker.of(sim), new BoundsChecker());
  sim.addNodes(12);
  sim.joinAll();
  sim.act('n1', (engine, now) => engine.broadcast(now, bytesOf('hello')));
  sim.crash('n2');
  sim.pause('n3', 2000);
  sim.run(20_000);
  const heal = sim.partition(['n4', 'n5', 'n6']);
  sim.run(15_000);
  heal();
  sim.restart('n2');
  sim.act('n2', (engine, now) => engine.join(now, [sim.node('n0').address]));
  sim.act('n7', (engine, now) => engine.leave(now));
  sim.run(30_000);
  return lines;
}

describe('a simulation', () => {
  it.each(backends)('on %s does the same twice with one seed, and something else with another', (backend) => {
    const first = eventful(backend, 11);
    expect(first.length).toBeGreaterThan(200);
    expect(eventful(backend, 11)).toEqual(first);
    expect(eventful(backend, 12)).not.toEqual(first);
  });

  it.runIf(backends.length > 1)('leaves the same trace on native kernels, twins, and a mix of both', () => {
    const traces = backends.map((backend) => eventful(backend, 5));
    for (const trace of traces) expect(trace).toEqual(traces[0]);
  });

  it('detects a crash within the time that the suspicion formula gives', () => {
    const sim = new Simulation({ seed: 3 });
    sim.addNodes(30);
    sim.joinAll();
    sim.crash('n7');
    const took = sim.until(() => sim.up.every((node) => node.member('n7')?.status === 2), 30_000);
    // Shortest suspicion 4 x log10(30) x 1 s = 5.9 s; longest 35.4 s with nobody to confirm.
    expect(took).toBeGreaterThan(5_900);
    expect(took).toBeLessThan(12_000);
  });

  it('a quiet cluster under 1 % loss declares nobody dead in ten minutes', () => {
    const sim = new Simulation({ seed: 4, network: { loss: 0.01 } });
    const deaths = FalsePositiveChecker.of(sim, 0);
    sim.check(deaths);
    sim.addNodes(20);
    sim.joinAll();
    sim.run(600_000);
    expect(deaths.count).toBe(0);
    expect(sim.isConverged()).toBe(true);
  });

  it('a process paused for two seconds is not declared dead, and a rule that cuts nodes off one way is felt', () => {
    const sim = new Simulation({ seed: 5 });
    const deaths = FalsePositiveChecker.of(sim);
    sim.check(deaths);
    sim.addNodes(10);
    sim.joinAll();
    for (let i = 0; i < 5; i++) {
      sim.pause('n4', 2000);
      sim.run(10_000);
    }
    expect(deaths.count).toBe(0);
    sim.rule(flipFlop(['n4'], 1e9, 0));
    sim.until(() => deaths.members.has('n4'), 60_000);
  });

  it('clocks that run 2 % apart change nothing that matters', () => {
    const sim = new Simulation({ seed: 6 });
    const deaths = FalsePositiveChecker.of(sim, 0);
    sim.check(deaths, IncarnationChecker.of(sim));
    for (let i = 0; i < 10; i++) sim.addNode(`n${i}`, { clockRate: 0.98 + i * 0.004 });
    sim.joinAll();
    sim.run(120_000);
    expect(sim.isConverged()).toBe(true);
  });

  it('names the seed when a condition does not come true', () => {
    const sim = new Simulation({ seed: 77 });
    sim.addNode('a');
    expect(() => sim.until(() => false, 1000)).toThrow(/1000 ms of virtual time \(seed 77\)/);
    expect(() => sim.addNode('a')).toThrow(/no node has yet/);
    expect(() => sim.node('b')).toThrow(/no node is called "b"/);
  });

  it('checkers see what they are for: a member that goes back is reported', () => {
    const sim = new Simulation({ seed: 8 });
    sim.addNodes(2);
    const checker = IncarnationChecker.of(sim);
    const node = sim.node('n0');
    const member = { ...sim.node('n1').engine.self, incarnation: 1 };
    checker.event(node, { type: 'dead', member: { ...member, status: 2 } }, 0);
    expect(() => checker.event(node, { type: 'join', member }, 1)).toThrow(/only with a higher one/);
    expect(() => checker.event(node, { type: 'suspect', member: { ...member, incarnation: 0, status: 1 } }, 1)).toThrow(
      /had seen 1/,
    );
    expect(() => checker.event(node, { type: 'suspect', member: { ...member, incarnation: 9, status: 1 } }, 1)).toThrow(
      /itself is at 1/,
    );
  });
});
