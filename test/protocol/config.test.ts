import { describe, expect, it } from 'vitest';
import { type EngineConfig, lan, local, validateConfig, wan } from '../../src/protocol/config.ts';
import { createStats, REJECT_NAMES } from '../../src/protocol/stats.ts';
import type { HearsayError } from '../../src/util/errors.ts';

const NEEDED = { name: 'a', address: { ip: Uint8Array.of(10, 0, 0, 1), port: 7946 } };

function problemsOf(config: EngineConfig): string {
  try {
    validateConfig(config);
  } catch (error) {
    expect((error as HearsayError).code).toBe('ERR_CONFIG_INVALID');
    return (error as Error).message;
  }
  return '';
}

describe('presets', () => {
  it('have the numbers of memberlist', () => {
    const pick = (config: EngineConfig): number[] => [
      config.tcpTimeoutMs,
      config.indirectChecks,
      config.retransmitMult,
      config.suspicionMult,
      config.suspicionMaxTimeoutMult,
      config.pushPullIntervalMs,
      config.probeIntervalMs,
      config.probeTimeoutMs,
      config.awarenessMaxMultiplier,
      config.gossipIntervalMs,
      config.gossipNodes,
      config.gossipToTheDeadMs,
      config.udpBufferBytes,
      config.deadNodeReclaimMs,
      config.protocolVersion,
    ];
    expect(pick(lan(NEEDED))).toEqual([10_000, 3, 4, 4, 6, 30_000, 1000, 500, 8, 200, 3, 30_000, 1400, 0, 2]);
    expect(pick(wan(NEEDED))).toEqual([30_000, 3, 4, 6, 6, 60_000, 5000, 3000, 8, 500, 4, 60_000, 1400, 0, 2]);
    expect(pick(local(NEEDED))).toEqual([1000, 1, 2, 3, 6, 15_000, 1000, 200, 8, 100, 3, 15_000, 1400, 0, 2]);
  });

  it('are valid, and give way to what is set', () => {
    for (const preset of [lan, wan, local]) {
      expect(problemsOf(preset(NEEDED))).toBe('');
      expect(preset({ ...NEEDED, probeIntervalMs: 7000 }).probeIntervalMs).toBe(7000);
    }
  });
});

describe('validateConfig', () => {
  it('lists every problem in one error, with field, value and expectation', () => {
    const message = problemsOf(
      lan({
        name: '',
        address: { ip: new Uint8Array(5), port: 0 },
        meta: new Uint8Array(513),
        probeIntervalMs: 100,
        probeTimeoutMs: 100,
        protocolVersion: 6,
        udpBufferBytes: 100,
        label: 'x'.repeat(256),
        allowedCidrs: ['10.0.0.0/8', 'nonsense'],
        userShareRatio: 2,
        delegateProtocolMin: 3,
        suspicionMult: 1.5,
      }),
    );
    expect(message.split('; ').map((problem) => problem.split(':')[0])).toEqual([
      'name',
      'address',
      'address',
      'meta',
      'suspicionMult',
      'udpBufferBytes',
      'protocolVersion',
      'probeTimeoutMs',
      'userShareRatio',
      'delegateProtocolMin',
      'label',
      'allowedCidrs',
    ]);
    expect(message).toContain('protocolVersion: expected an integer from 1 to 5, got 6');
    expect(message).toContain('allowedCidrs: expected networks like 10.0.0.0/8 or fd00::/8, got nonsense');
  });

  it('accepts the limits themselves', () => {
    expect(
      problemsOf(lan({ ...NEEDED, name: 'n'.repeat(512), meta: new Uint8Array(512), label: 'x'.repeat(255) })),
    ).toBe('');
    expect(problemsOf(lan({ ...NEEDED, name: 'n'.repeat(513) }))).toContain('name');
  });
});

describe('stats', () => {
  it('start at zero and have a counter for every reason to reject', () => {
    const { rejected, ...others } = createStats();
    expect(Object.keys(rejected)).toEqual(REJECT_NAMES.slice(1));
    expect(new Set([...Object.values(rejected), ...Object.values(others)])).toEqual(new Set([0]));
  });
});
