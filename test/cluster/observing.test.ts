import { inspect } from 'node:util';
import type { Cluster, Logger } from 'hearsay';
import { describe, expect, it } from 'vitest';
import { nextEvent, startNode, startNodes } from '../helpers/clusters.ts';

type Line = { level: keyof Logger; fields: Record<string, unknown>; message: string };

/** A logger that keeps what it is told. */
function recorder(): { logger: Logger; lines: Line[]; of(member: string): string[] } {
  const lines: Line[] = [];
  const note =
    (level: keyof Logger) =>
    (fields: object, message: string): void =>
      void lines.push({ level, fields: fields as Record<string, unknown>, message });
  const logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  const of = (member: string): string[] =>
    lines.filter((line) => line.fields['member'] === member).map((line) => `${line.level} ${line.fields['event']}`);
  return { logger, lines, of };
}

describe('a logger', () => {
  it('hears where and how the cluster started, and that it stopped', async () => {
    const { logger, lines } = recorder();
    const a = await startNode('a', { backend: 'js', label: 'blue', keys: [new Uint8Array(16)], logger });
    const { address } = a.self;
    await a.stop();
    await a.stop();
    const about = lines.filter(({ message }) => message.startsWith('cluster '));
    expect(about).toEqual([
      {
        level: 'info',
        fields: {
          cluster: 'a',
          address,
          backend: 'js',
          reason: 'asked for by option backend',
          packets: 'dgram',
          encrypted: true,
          label: 'blue',
        },
        message: 'cluster started',
      },
      { level: 'info', fields: { cluster: 'a' }, message: 'cluster stopped' },
    ]);
  });

  it('hears of members: that they come, go and fail by info, the rest by debug', async () => {
    const { logger, lines, of } = recorder();
    const tuning = { probeIntervalMs: 100, probeTimeoutMs: 40, suspicionMult: 2 };
    const a = await startNode('a', { tuning, logger });
    const joined = nextEvent(a, 'join', (member) => member.name === 'c');
    const [b, c] = [
      await startNode('b', { tuning, seeds: [a.self.address] }),
      await startNode('c', { tuning, seeds: [a.self.address] }),
    ];
    await joined;
    const updated = nextEvent(a, 'update');
    await b.setMeta('new');
    await updated;
    const left = nextEvent(a, 'leave');
    await b.leave();
    await left;
    const dead = nextEvent(a, 'dead');
    await c.stop();
    await dead;
    const important = (name: string): string[] => of(name).filter((line) => line.startsWith('info'));
    expect(important('a')).toEqual(['info join']);
    expect(important('b')).toEqual(['info join', 'info leave']);
    expect(important('c')).toEqual(['info join', 'info dead']);
    expect(of('b')).toContain('debug update');
    expect(of('c')).toContain('debug suspect');
    expect(lines.find(({ fields }) => fields['event'] === 'dead')).toEqual({
      level: 'info',
      fields: { cluster: 'a', event: 'dead', member: 'c', address: expect.stringMatching(/^127\.0\.0\.1:\d+$/) },
      message: 'member failed',
    });
  });
});

describe.each(['worker', 'inline'] as const)('console.log of a cluster on thread %s', (thread) => {
  it('shows who and where it is and how many members it sees', async () => {
    const [a] = (await startNodes(['a', 'b'], { thread, backend: 'js' })) as [Cluster, Cluster];
    const members = 'members: { alive: 2, suspect: 0, dead: 0, left: 0 }';
    const about = `name: 'a', address: '${a.self.address}', backend: 'js', ${members}`;
    const oneLine = { breakLength: Number.POSITIVE_INFINITY, compact: 10 };
    expect(inspect(a, oneLine)).toBe(`Cluster { ${about}, state: 'running' }`);
    expect(inspect({ deep: { down: { a } } }, { depth: 2 })).toContain('[Cluster a]');
    await a.stop();
    expect(inspect(a, oneLine)).toBe(`Cluster { ${about}, state: 'stopped' }`);
  });
});
