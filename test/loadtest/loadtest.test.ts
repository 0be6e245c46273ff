// The load test on real sockets, small.
import { describe, expect, it } from 'vitest';
import { addressOf, indexOf, ipOf } from '../../src/loadtest/addresses.ts';
import { htmlReport } from '../../src/loadtest/html.ts';
import { type LoadTestReport, problemOf } from '../../src/loadtest/report.ts';
import { checkMemory, type LoadTestOptions, runLoadTest, scenarioOf } from '../../src/loadtest/run.ts';
import { SCENARIOS, type Scenario } from '../../src/loadtest/scenarios.ts';
import { simulateLoadTest } from '../../src/loadtest/simulated.ts';
import { nativeUdp } from '../../src/transport/native.ts';

const LIMIT = { timeout: 90_000 };

function test(options: Partial<LoadTestOptions>, run = runLoadTest): Promise<LoadTestReport> {
  return run({
    nodes: 40,
    shards: 2,
    profile: 'fast',
    tuning: {},
    backend: undefined,
    udp: 'auto',
    scenario: scenarioOf('kill-10%'),
    start: 'acquainted',
    durationMs: 2000,
    settleMs: 1000,
    seed: 1,
    signal: AbortSignal.timeout(60_000),
    progress: () => undefined,
    ...options,
  });
}

describe('a load test', () => {
  it.each(nativeUdp() ? (['dgram', 'batched'] as const) : (['dgram'] as const))(
    'counts every verdict about nodes that were killed, with %s sockets',
    LIMIT,
    async (udp) => {
      const report = await test({ udp });
      expect(report).toMatchObject({ packets: udp, killed: 4, verdictsExpected: 4 * 36, verdicts: 4 * 36, accused: 0 });
      expect(report.every?.max).toBeGreaterThanOrEqual(report.first?.max ?? 0);
      expect(report.perNode.packets.mean).toBeGreaterThan(1);
      expect(report.curve.at(-1)?.[1]).toBe(4 * 36);
      const html = htmlReport(report, 'here & now.');
      expect(html).toContain('here &#38; now.');
      expect(html).not.toMatch(/NaN|undefined|https?:/);
    },
  );

  it('joins through one seed until all see all', LIMIT, async () => {
    const report = await test({
      nodes: 24,
      start: 'join',
      scenario: scenarioOf('steady'),
      durationMs: 1000,
      backend: 'js',
    });
    expect(report.joinMs).toBeGreaterThan(0);
    expect(report).toMatchObject({ live: 24, seen: { min: 24, max: 24 }, areAllAgreed: true });
    expect([report.verdictsExpected, report.accused]).toEqual([0, 0]);
  });

  it('measures a join storm that it starts itself', LIMIT, async () => {
    const report = await test({ nodes: 24, scenario: scenarioOf('join-storm'), durationMs: 500 });
    expect(report).toMatchObject({ start: 'join', killed: 0, accused: 0 });
    expect(report).toMatchObject({ live: 24, seen: { min: 24, max: 24 }, areAllAgreed: true });
    expect(report.joinMs).toBeLessThan(report.measuredMs);
  });

  it('heals a partition', LIMIT, async () => {
    const report = await test({
      nodes: 20,
      scenario: scenarioOf('partition'),
      durationMs: 3000,
      rejoinIntervalMs: 1000,
    });
    expect(Math.min(...report.trace.map(([, least]) => least))).toBe(10);
    expect(report).toMatchObject({ live: 20, areAllAgreed: true });
  });

  it('says what does not exist, and what does not fit, before it starts', () => {
    expect(() => scenarioOf('kill-2')).toThrow(/scenario: expected one of steady, kill-1,/);
    expect(() => checkMemory(10_000_000)).toThrow(
      /nodes: 10000000 take about \d+\.\d GiB, and \d+\.\d GiB are free here; about \d+ would fit/,
    );
  });

  it('gives each node an address of its own', () => {
    for (const index of [0, 1, 254, 255, 65_534, 65_535, 99_999]) expect(indexOf(ipOf(index))).toBe(index);
    expect(indexOf(Uint8Array.of(127, 0, 0, 1))).toBe(-1);
    expect(addressOf(3, [7000, 7001])).toEqual({ ip: ipOf(3), port: 7001 });
  });
});

describe('a simulated load test', () => {
  const simulate = (options: Partial<LoadTestOptions>): Promise<LoadTestReport> => test(options, simulateLoadTest);

  it('reports as one on sockets does, twice the same', async () => {
    const [a, b] = await Promise.all([simulate({}), simulate({})]);
    expect(a).toMatchObject({
      packets: 'simulated',
      killed: 4,
      verdictsExpected: 4 * 36,
      verdicts: 4 * 36,
      accused: 0,
    });
    expect(a.every?.p50).toBeGreaterThan(100);
    expect([a.every, a.perNode, a.trace]).toEqual([b.every, b.perNode, b.trace]);
    const html = htmlReport(a, '');
    expect(html).toContain('<p class="note">simulated, seed 1,');
    // It says nothing about a machine, and complains of nothing.
    expect(html).not.toMatch(/event loops|class="bad"/);
  });

  it('says what is missing, and who disagrees', async () => {
    const scenario: Scenario = {
      name: 'cut short',
      what: 'some are killed, and nobody waits for the verdicts',
      run: async (stage) => stage.kill(stage.pick(4)),
    };
    const report = await simulate({ scenario });
    expect(report).toMatchObject({ live: 36, seen: { min: 40, max: 40 }, areAllAgreed: false });
    expect(problemOf(report)).toBe('144 verdicts are missing');
    const html = htmlReport(report, '');
    expect(html).toContain('<p class="bad">144 verdicts are missing.</p>');
    expect(html).toContain('<td>36; 40</td>');
  });

  it.each(SCENARIOS.map(({ name }) => name))('plays %s to its end', async (name) => {
    const report = await simulate({ scenario: scenarioOf(name), durationMs: 3000, rejoinIntervalMs: 1000 });
    const live = 40 - (/^kill|flip|some$/.test(name) ? report.killed : 0);
    expect(report).toMatchObject({ live, areAllAgreed: true });
    if (name !== 'partition') expect(report.accused).toBe(0);
    expect(report.verdicts).toBeGreaterThanOrEqual(report.verdictsExpected);
    expect(report.perNode.packets.mean).toBeGreaterThan(1);
  });
});
