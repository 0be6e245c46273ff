// Urgent news in two hops, beats and witnessed suspicions (protocol §24), in simulated clusters.
import { describe, expect, it } from 'vitest';
import { ringPosition } from '../../src/protocol/ring.ts';
import { sliceBits, sliceRank } from '../../src/protocol/slices.ts';
import type { EngineStats } from '../../src/protocol/stats.ts';
import { type SimNode, Simulation, type SimulationOptions } from '../../src/sim/index.ts';
import { bytesOf } from '../../src/util/bytes.ts';

function cluster(n: number, options: SimulationOptions = {}): Simulation {
  const sim = new Simulation({ seed: n, profile: 'fast', history: 100, rejoinIntervalMs: 0, ...options });
  sim.addNodes(n);
  sim.acquaint();
  sim.run(3000);
  return sim;
}

const sum = (sim: Simulation, field: keyof EngineStats): number =>
  sim.up.reduce((total, { engine }) => total + (engine.stats[field] as number), 0);

const leadersOf = (sim: Simulation): string[] => {
  const bits = sliceBits(sim.up.length);
  const best = new Map<number, { rank: number; name: string }>();
  for (const { name } of sim.up) {
    const rank = sliceRank(ringPosition(bytesOf(name)));
    const slice = rank >>> (32 - bits);
    const known = best.get(slice);
    if (known === undefined || rank < known.rank) best.set(slice, { rank, name });
  }
  return [...best.values()].map(({ name }) => name);
};

const knowing = (sim: Simulation, name: string): number =>
  sim.up.filter(({ engine }) => (engine.member(name)?.status ?? 0) >= 2).length;

describe('slices', () => {
  it('are a power of two near the square root of the members', () => {
    expect([1, 2, 3, 8, 33, 100, 1000, 5000, 10_000, 100_000].map(sliceBits)).toEqual([0, 0, 1, 1, 3, 3, 5, 6, 7, 8]);
  });

  it('have nothing to do with neighbours on the ring', () => {
    const names = Array.from({ length: 256 }, (_, i) => bytesOf(`n${i}`));
    const byRing = names
      .sort((a, b) => ringPosition(a) - ringPosition(b))
      .map((name) => sliceRank(ringPosition(name)) >>> 28);
    const pairs = byRing.filter((slice, i) => slice === byRing[(i + 1) % byRing.length]);
    // 16 slices: 16 pairs are expected by chance.
    expect(pairs.length).toBeLessThan(40);
  });
});

describe('urgent news', () => {
  it('of a death takes about one packet per member, and two hops', () => {
    const sim = cluster(200);
    const leaders = leadersOf(sim);
    const victim = sim.up.find(({ name }) => !leaders.includes(name))?.name as string;
    const before = sum(sim, 'urgentPackets');
    sim.crash(victim);
    sim.until(() => knowing(sim, victim) > 0, 5000);
    sim.run(5);
    expect(knowing(sim, victim)).toBe(199);
    const packets = sum(sim, 'urgentPackets') - before;
    expect(packets).toBeGreaterThanOrEqual(198);
    expect(packets).toBeLessThan(199 + 2 * leaders.length);
  });

  it('reaches the slice of a leader that is dead itself', () => {
    const sim = cluster(200);
    const [leader] = leadersOf(sim);
    const victims = [leader as string, sim.up.find(({ name }) => name !== leader)?.name as string];
    for (const name of victims) sim.crash(name);
    sim.until(() => victims.every((name) => knowing(sim, name) === 198), 3000);
  });

  it('is gossiped as ever where many members are strangers to it', () => {
    const sim = new Simulation({ seed: 3, profile: 'fast', history: 100 });
    sim.addNodes(20);
    for (let i = 0; i < 40; i++) sim.addNode(`plain${i}`, { tuning: { ringIntervalMs: 0, urgentNews: false } });
    sim.acquaint();
    sim.run(3000);
    sim.crash('n7');
    sim.until(() => knowing(sim, 'n7') === 59, 10_000);
  });
});

describe('a suspicion with two witnesses', () => {
  it('is known to nobody but the accuser and the accused', () => {
    const sim = cluster(100);
    sim.pause('n9', 500);
    sim.run(440);
    const suspecting = sim.up.filter(({ engine }) => engine.member('n9')?.status === 1);
    expect(suspecting).toHaveLength(1);
    sim.run(3000);
    expect(sim.isConverged()).toBe(true);
    expect(sim.node('n9').engine.stats.refutations).toBe(1);
    expect(knowing(sim, 'n9')).toBe(0);
  });
});

describe('a suspicion without witnesses', () => {
  it('is told to the leaders, who tell the accused and not their slices', () => {
    const sim = cluster(200);
    const leaders = leadersOf(sim);
    const ill = sim.up.find(({ name }) => !leaders.includes(name))?.name as string;
    const around = sim.up.map(({ name }) => name).sort((a, b) => ringPosition(bytesOf(a)) - ringPosition(bytesOf(b)));
    const next = around[(around.indexOf(ill) + 1) % around.length] as string;
    // It no longer hears the next one; nor do those whom it asks, but of three that say so about one reaches it.
    sim.rule(({ from, to }, random) => {
      if (to === ill) return from === next || random.unit() < 0.8 ? 'drop' : undefined;
      return to === next && from !== ill && !leaders.includes(from) ? 'drop' : undefined;
    });
    const heard = new Set<string>();
    sim.check({
      name: 'suspicions',
      event: ({ name }, event) => {
        if (event.type === 'suspect' && event.member.name === next) heard.add(name);
      },
    });
    sim.until(() => heard.has(ill), 3000);
    const { stats } = sim.node(next).engine;
    sim.until(() => stats.refutations > 0, 100);
    sim.run(1);
    heard.delete(ill);
    const others = [...heard].filter((name) => !leaders.includes(name));
    expect(heard.size - others.length).toBeGreaterThan(leaders.length / 2);
    // The first that gossip reached; slices would be all of the 199.
    expect(others.length).toBeLessThan(5);
    sim.run(3000);
    // What the ill one believes is another matter.
    expect(knowing(sim, next) - (sim.node(ill).engine.member(next)?.status === 2 ? 1 : 0)).toBe(0);
  });
});

describe('beats', () => {
  it('go to one neighbour four times a second, and spare the probes', () => {
    const sim = cluster(50);
    const before = {
      beats: sum(sim, 'ringBeatsSent'),
      heard: sum(sim, 'ringBeatsReceived'),
      probes: sum(sim, 'ringProbesSent'),
    };
    sim.run(10_000);
    expect(sum(sim, 'ringBeatsSent') - before.beats).toBe(50 * 40);
    expect(sum(sim, 'ringBeatsReceived') - before.heard).toBeGreaterThan(50 * 40 - 10);
    expect(sum(sim, 'ringProbesSent') - before.probes).toBe(0);
  });
});

describe('joins', () => {
  const join = (sim: Simulation, node: SimNode | undefined, seed: SimNode | undefined): number =>
    sim.act((node as SimNode).name, (engine, nowMs) => engine.join(nowMs, [(seed as SimNode).address]));
  const seeing = (sim: Simulation, members: number): number =>
    sim.up.filter(({ engine }) => engine.aliveCount === members).length;

  it('are told in two hops by the member that was joined', () => {
    const sim = cluster(200);
    const [seed, ...others] = sim.up;
    expect(others.length).toBe(199);
    const before = sum(sim, 'urgentPackets');
    const node = sim.addNode('joiner');
    join(sim, node, seed);
    sim.until(() => node.engine.aliveCount === 201, 2000);
    // The two hops, far less than gossip takes; it has had one or two ticks.
    sim.run(60);
    expect(seeing(sim, 201)).toBe(201);
    expect(sum(sim, 'urgentPackets') - before).toBeLessThan(201 + 2 * leadersOf(sim).length);
  });

  it('bring no news about those whom the joiner learns of', () => {
    const sim = cluster(200);
    const node = sim.addNode('joiner');
    join(sim, node, sim.up[0]);
    sim.until(() => node.engine.aliveCount === 201, 2000);
    sim.run(1000);
    // Itself, and perhaps an answer to doubts; not two hundred.
    expect(node.engine.stats.broadcastsQueued).toBeLessThan(5);
  });

  it('of many at once leave nobody out, though most of them pass on nothing', () => {
    const sim = cluster(100);
    const news = (): number => sum(sim, 'broadcastsQueued');
    const before = news();
    const nodes = sim.addNodes(100, 'joiner');
    for (const node of nodes) join(sim, node, sim.up[0]);
    sim.until(() => seeing(sim, 200) === 200, 20_000);
    expect(news() - before).toBeLessThan(100 * 200 * 0.75);
  });

  it('of two clusters make one cluster by gossip', () => {
    const sim = new Simulation({ seed: 5, profile: 'fast', history: 100, rejoinIntervalMs: 0 });
    const halves = [sim.addNodes(60, 'a'), sim.addNodes(60, 'b')];
    for (const half of halves) for (const node of half.slice(1)) join(sim, node, half[0]);
    sim.until(() => seeing(sim, 60) === 120, 30_000);
    join(sim, halves[0]?.[7], halves[1]?.[9]);
    sim.until(() => seeing(sim, 120) === 120, 30_000);
  });
});
