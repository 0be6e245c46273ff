import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import { firstDetectionPeriods, worstDetectionPeriods } from '../../src/protocol/math.ts';
import { Group, type TestNode } from '../helpers/pair.ts';

const PERIOD_MS = 1000;

/** Time from the crash of the last of `size` nodes until the first other one suspects it, in periods. */
function firstDetection(size: number, seed: number): number {
  const group = new Group({ seed, startMs: seed * 17 });
  for (let i = 0; i < size; i++) group.add(`n${i}`, { rngSeed: seed * 1000 + i });
  group.joinAll();
  group.run(5000 + (seed % 10) * 100);
  const victim = `n${size - 1}`;
  group.crash(victim);
  const startMs = group.nowMs;
  const others = [...group.nodes.values()].filter((node) => node.isUp);
  group.until(() => others.some((node) => node.status(victim) === STATUS.suspect), 120_000);
  return (group.nowMs - startMs) / PERIOD_MS;
}

describe('SWIM', () => {
  it('§2.2: first detection takes about e/(e-1) periods plus the probe itself, whatever the size', () => {
    const mean = (size: number): number => {
      const samples = Array.from({ length: 12 }, (_, i) => firstDetection(size, i + 1));
      return samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
    };
    // Until the first probe starts 1 / (1 - 1/e) periods at most, and one more until it has failed.
    const expected = firstDetectionPeriods() + 1;
    for (const size of [8, 24]) {
      expect(mean(size)).toBeGreaterThan(1);
      expect(mean(size)).toBeLessThan(expected * 1.3);
    }
  });

  it('§2.1: round-robin bounds detection at every single member, gossip or not, by 2n-1 periods', () => {
    const size = 10;
    const group = new Group();
    const nodes = group.addMany(size, { gossipIntervalMs: 0, pushPullIntervalMs: 0, retransmitMult: 1 });
    for (const node of nodes) {
      const addresses = nodes.map((other) => other.address);
      group.act(node, (engine, now) => engine.join(now, addresses));
    }
    group.until(() => group.isConverged(), 10_000);
    group.run(10_000);
    group.crash('n9');
    const startMs = group.nowMs;
    const bound = (worstDetectionPeriods(size) + 2) * PERIOD_MS;
    group.until(() => nodes.slice(0, 9).every((node) => (node.status('n9') ?? STATUS.dead) !== STATUS.alive), bound);
    expect(group.nowMs - startMs).toBeLessThanOrEqual(bound);
  });

  it('§2.1: a member that joins is probed although others joined before it in the round', () => {
    const group = new Group();
    const nodes = group.addMany(6);
    group.joinAll();
    const late = group.add('late');
    group.act(late, (engine, now) => engine.join(now, [(nodes[0] as TestNode).address]));
    group.run(20_000);
    const before = late.engine.stats.packetsReceived;
    group.run(20_000);
    expect(late.engine.stats.packetsReceived - before).toBeGreaterThan(20);
  });

  it('§2.2: three indirect probes keep a cluster with 5 % packet loss free of false deaths', () => {
    const group = new Group({ loss: 0.05 });
    const nodes = group.addMany(20, { disableTcpPings: true });
    group.joinAll();
    group.run(600_000);
    expect(nodes.flatMap((node) => node.story()).filter((line) => line.startsWith('dead'))).toEqual([]);
    expect(group.isConverged()).toBe(true);
  });
});

describe('Lifeguard', () => {
  it('§3.1: a member whose packets are slow both ways stretches its own period instead of accusing', () => {
    const group = new Group();
    const nodes = group.addMany(8, { disableTcpPings: true });
    group.joinAll();
    group.run(5000);
    group.rule(({ from, to, via }) => (via === 'packet' && (from === 'n0' || to === 'n0') ? 600 : undefined));
    group.run(30_000);
    const slow = nodes[0] as TestNode;
    expect(slow.engine.healthScore).toBeGreaterThan(2);
    const before = slow.engine.stats.probesSent;
    group.run(30_000);
    expect(slow.engine.stats.probesSent - before).toBeLessThan(20);
  });

  it('§3.1: health comes back one point per answered probe', () => {
    const group = new Group();
    const nodes = group.addMany(6);
    group.joinAll();
    group.run(2000);
    const sick = nodes[0] as TestNode;
    const heal = group.rule(({ from, to }) => (from === 'n0' || to === 'n0' ? 'drop' : undefined));
    group.until(() => sick.engine.healthScore >= 4, 60_000);
    heal();
    group.until(() => sick.engine.healthScore === 0, 60_000);
    group.until(() => group.isConverged(), 60_000);
  });

  it('§3.2: members that block for seconds do not drag healthy ones down with them', () => {
    const group = new Group();
    const nodes = group.addMany(24);
    group.joinAll();
    group.run(10_000);
    for (let round = 0; round < 5; round++) {
      for (const name of ['n1', 'n2', 'n3']) group.pause(name, 4000);
      group.run(8000);
    }
    group.run(30_000);
    const slow = new Set(['n1', 'n2', 'n3']);
    const falseDeaths = nodes.flatMap((node) =>
      node.story().filter((line) => line.startsWith('dead') && !slow.has(line.slice('dead '.length))),
    );
    expect(falseDeaths).toEqual([]);
    expect(group.isConverged()).toBe(true);
  });
});
