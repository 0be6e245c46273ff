import { describe, expect, it } from 'vitest';
import { ROW } from '../../src/kernels/layout.ts';
import { hasNativeClass } from '../../src/kernels/native.ts';
import {
  BoundsChecker,
  CalmChecker,
  FalsePositiveChecker,
  flipFlop,
  IncarnationChecker,
  LATENCY,
  OwnershipChecker,
  Simulation,
  SuspicionChecker,
  TombstoneChecker,
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
  });

  it('checkers see what they are for: an incarnation that its member never had', () => {
    const sim = together(9);
    const checker = new OwnershipChecker();
    checker.settle(sim);
    const { table } = sim.node('n0').kernels;
    const slot = table.find(bytesOf('n1'));
    const at = (table.rowsOffset + slot * ROW.stride + ROW.incarnation) >>> 2;
    table.u32[at] = 9;
    expect(() => checker.settle(sim)).toThrow(/ownership: n0 holds n1 at incarnation 9, which itself is at 1/);
  });

  it('checkers see what they are for: life after the funeral, events and packets in a calm, too many failed probes', () => {
    const sim = together(10);
    const node = sim.node('n0');
    const member = sim.node('n1').engine.self;
    const tombstones = new TombstoneChecker();
    tombstones.event(node, { type: 'join', member }, 0);
    tombstones.bury(['n1']);
    expect(() => tombstones.event(node, { type: 'join', member }, 5)).toThrow(/at 5 ms n0 heard "join" of n1/);

    const calm = new CalmChecker();
    calm.event(node, { type: 'suspect', member }, 0);
    calm.begin(sim);
    sim.run(5000);
    calm.end(sim, 1000);
    calm.begin(sim);
    expect(() => calm.event(node, { type: 'suspect', member }, 6)).toThrow(/heard "suspect" of n1/);
    sim.run(5000);
    expect(() => calm.end(sim, 5000)).toThrow(/packets in 3 periods of 4 members, expected at most 24/);

    const suspicions = new SuspicionChecker();
    suspicions.begin(sim);
    sim.partition(['n0', 'n1']);
    sim.run(8000);
    expect(() => suspicions.end(sim, 0)).toThrow(/failed probes, expected 0.0/);
    suspicions.begin(sim);
    expect(() => suspicions.event(node, { type: 'dead', member }, 7)).toThrow(/declared n1 dead/);
  });

  it('a slow link makes packets wait, and loses those that find no room', () => {
    const arrivals = (bandwidth: number, queueBytes: number): number => {
      const network = { latency: { kind: 'fixed', ms: 1 }, bandwidth, queueBytes } as const;
      const sim = new Simulation({ seed: 4, tuning: { compression: false }, network });
      sim.addNodes(2);
      sim.joinAll();
      for (let i = 0; i < 20; i++) sim.act('n0', (engine, now) => engine.send(now, 'n1', new Uint8Array(1000), false));
      sim.run(500);
      return sim.node('n1').messages().length;
    };
    expect(arrivals(0, 1)).toBe(20);
    // 10 bytes per ms: a message takes 0.1 s, five fit into half a second.
    expect(arrivals(10, 1_000_000)).toBe(4);
    expect(arrivals(1000, 3000)).toBeLessThan(6);
  });

  it('a node with a slow CPU answers late, and in time again afterwards', () => {
    const sim = together(11);
    const feed = sim.starve('n1', 700);
    sim.run(30_000);
    expect(sim.node('n0').story()).toContain('suspect n1');
    feed();
    sim.until(() => sim.isConverged(), 120_000);
  });

  it('a member that comes back remembering its incarnation goes on from there', () => {
    const sim = together(12);
    sim.crash('n2');
    sim.run(1000);
    sim.restart('n2', { incarnation: 7 });
    expect(sim.node('n2').engine.self.incarnation).toBe(8);
    sim.act('n2', (engine, now) => engine.join(now, [sim.node('n0').address]));
    sim.run(5000);
    expect(sim.node('n1').member('n2')).toMatchObject({ incarnation: 8, status: 0 });
  });

  it('acquaint() is what joining would have led to, and goes on like it', () => {
    const sim = new Simulation({ seed: 13 });
    sim.addNodes(30);
    sim.acquaint();
    expect(sim.isConverged()).toBe(true);
    expect(
      new Set(
        sim
          .node('n4')
          .engine.members()
          .map(({ name }) => name),
      ).size,
    ).toBe(30);
    sim.crash('n7');
    sim.until(() => sim.isConverged(), 60_000);
    sim.restart('n7');
    sim.act('n7', (engine, now) => engine.join(now, [sim.node('n0').address]));
    sim.addNode('later');
    sim.act('later', (engine, now) => engine.join(now, [sim.node('n9').address]));
    sim.until(() => sim.isConverged(), 60_000);
    new BoundsChecker().settle(sim);
  });
});

/** Four nodes that know each other. */
function together(seed: number): Simulation {
  const sim = new Simulation({ seed });
  sim.addNodes(4);
  sim.joinAll();
  sim.run(10_000);
  return sim;
}
