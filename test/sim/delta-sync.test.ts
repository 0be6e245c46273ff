// Delta push-pull in simulated clusters: all agree in the end, and both engines take the same way there.
import { describe, expect, it } from 'vitest';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { IncarnationChecker, LATENCY, Simulation, type SimulationOptions } from '../../src/sim/index.ts';
import { bytesOf } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';

const backends = hasNativeClass('Digest') ? (['js', 'native', 'mixed'] as const) : (['js'] as const);

interface Outcome {
  readonly lines: readonly string[];
  readonly packets: number;
  readonly bytes: number;
  /** Delta exchanges by outcome, over all nodes. */
  readonly started: number;
  readonly equal: number;
  readonly rows: number;
  readonly failed: number;
  readonly syncBytes: readonly number[];
}

const tables = (sim: Simulation): Set<string> =>
  new Set(
    sim.up.map(({ engine }) =>
      engine
        .members()
        .map(
          ({ name, status, incarnation, meta }) =>
            `${name} ${status} ${incarnation} ${Buffer.from(meta).toString('hex')}`,
        )
        .sort()
        .join('\n'),
    ),
  );

/** Lets time pass until all tables say the same. They are compared now and then only: that costs more than a step. */
function agree(sim: Simulation, limitMs: number): void {
  for (const endMs = sim.nowMs + limitMs; !(sim.isConverged() && tables(sim).size === 1); sim.run(500)) {
    if (sim.nowMs > endMs) throw new Error(`${tables(sim).size} different tables after ${limitMs} ms`);
  }
}

/** 30 nodes through loss, broken streams, a partition and changes of metadata, until all tables are the same. */
function troubled(seed: number, backend: SimulationOptions['backend']): Outcome {
  const lines: string[] = [];
  const sim = new Simulation({
    seed,
    ...(backend ? { backend } : {}),
    tuning: { deltaSync: true, pushPullIntervalMs: 3000, compression: false },
    network: { latency: LATENCY.lan, loss: 0.1, duplication: 0.02, reordering: 0.1, brokenStreams: 0.2 },
    trace: (line) => lines.push(line),
  });
  sim.check(IncarnationChecker.of(sim));
  const nodes = sim.addNodes(30);
  sim.joinAll();
  const prng = new Prng(seed);
  const change = (text: string): void => {
    sim.act(`n${prng.below(30)}`, (engine, now) => engine.setMeta(now, bytesOf(text)));
  };
  // Short enough that no side forgets the other: then nobody would be left to ask (protocol §14.3).
  const heal = sim.partition(nodes.slice(0, 11).map(({ name }) => name));
  for (let i = 0; i < 12; i++) {
    sim.run(400);
    change(`cut ${i}`);
  }
  heal();
  for (let i = 0; i < 12; i++) {
    sim.run(300);
    change(`whole ${i}`);
  }
  sim.network.options = { ...sim.network.options, loss: 0.02 };
  agree(sim, 300_000);
  const total = (pick: (stats: (typeof nodes)[number]['engine']['stats']) => number): number =>
    nodes.reduce((sum, { engine }) => sum + pick(engine.stats), 0);
  return {
    lines,
    packets: sim.packetsSent,
    bytes: sim.bytesSent,
    started: total((stats) => stats.syncsStarted),
    equal: total((stats) => stats.syncsEqual),
    rows: total((stats) => stats.syncRowsReceived),
    failed: total((stats) => stats.pushPullsFailed),
    syncBytes: nodes.map(({ engine }) => engine.stats.syncBytesSent),
  };
}

describe('a simulated cluster with delta push-pull', () => {
  it.each([1, 2, 3])('agrees after loss, broken streams and a partition (seed %d)', (seed) => {
    const { started, rows, failed } = troubled(seed, backends[seed % backends.length]);
    expect(started).toBeGreaterThan(30);
    expect(rows).toBeGreaterThan(0);
    // Broken streams are noticed, and do not keep anybody from agreeing.
    expect(failed).toBeGreaterThan(0);
  });

  it.runIf(backends.length > 1)('leaves the same trace on native kernels, twins, and a mix of both', () => {
    const runs = backends.map((backend) => troubled(9, backend));
    expect(runs[0]?.lines.length).toBeGreaterThan(500);
    for (const run of runs) expect(run).toEqual(runs[0]);
  });

  it('carries all messages of a stream: without gossip, what both sides of an exchange hold reaches the other', () => {
    const sim = new Simulation({
      seed: 2,
      tuning: { deltaSync: true, gossipIntervalMs: 0, probeIntervalMs: 0, pushPullIntervalMs: 5000 },
    });
    // More than 16 members, so that exchanges begin with a sketch and need three messages when both sides have news.
    sim.addNodes(24);
    sim.joinAll();
    for (const { name } of sim.up) sim.act(name, (engine, now) => engine.setMeta(now, bytesOf(`of ${name}`)));
    agree(sim, 120_000);
    const stats = sim.up.map(({ engine }) => engine.stats);
    expect(stats.every(({ syncsStarted }) => syncsStarted > 0)).toBe(true);
    expect(
      stats.every(({ pushPullsFailed, streamRepliesUnknown }) => pushPullsFailed + streamRepliesUnknown === 0),
    ).toBe(true);
  });

  it('an exchange takes a round trip to connect and one hop per message', () => {
    const sim = new Simulation({
      seed: 3,
      network: { latency: { kind: 'fixed', ms: 10 } },
      tuning: { deltaSync: true, gossipIntervalMs: 0, probeIntervalMs: 0, pushPullIntervalMs: 0 },
    });
    const nodes = sim.addNodes(20);
    // The first time the first one hears of all, the second time all hear of all.
    for (let round = 0; round < 2; round++) {
      for (const { name } of nodes.slice(1)) sim.act(name, (engine, now) => engine.join(now, [sim.node('n0').address]));
      sim.run(1000);
    }
    expect(sim.isConverged()).toBe(true);
    sim.act('n1', (engine, now) => engine.setMeta(now, bytesOf('one')));
    sim.act('n2', (engine, now) => engine.setMeta(now, bytesOf('two')));
    const startMs = sim.nowMs;
    sim.act('n1', (engine, now) => engine.exchange(now, 'n2'));
    const knows = (name: string, of: string): boolean => (sim.node(name).member(of)?.meta.length ?? 0) > 0;
    // Connect 20, sketch 10; rows of n2 and what it wants 10; the rows that it wants 10.
    sim.until(() => knows('n1', 'n2'), 1000);
    expect(sim.nowMs - startMs).toBe(40);
    sim.until(() => knows('n2', 'n1'), 1000);
    expect(sim.nowMs - startMs).toBe(50);
  });
});
