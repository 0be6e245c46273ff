import type { Cluster, Conflict, Logger } from 'hearsay';
import { expect, it } from 'vitest';
import { nextEvent, startNode, startNodes } from '../helpers/clusters.ts';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** A logger that keeps what it is told, and resolves who waits for a line. */
function recorder(): { logger: Logger; until(condition: (line: Line) => boolean): Promise<Line> } {
  const lines: Line[] = [];
  const waiting: { condition: (line: Line) => boolean; resolve: (line: Line) => void }[] = [];
  const note =
    (level: string) =>
    (fields: object, message: string): void => {
      const line = { level, message, fields: fields as Record<string, unknown> };
      lines.push(line);
      for (const waiter of waiting) if (waiter.condition(line)) waiter.resolve(line);
    };
  const logger: Logger = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  return {
    logger,
    until: (condition) =>
      new Promise((resolve) => {
        const found = lines.find(condition);
        if (found) resolve(found);
        else waiting.push({ condition, resolve });
      }),
  };
}

it('a second node with our name is refused when it requires to join, and the first one says so in its log, once', async () => {
  const { logger, until } = recorder();
  const conflicts: Conflict[] = [];
  const a = await startNode('same', { logger });
  a.on('conflict', (conflict) => conflicts.push(conflict));
  const first = nextEvent(a, 'conflict');
  await expect(startNode('same', { seeds: [a.self.address], requireJoin: true })).rejects.toMatchObject({
    code: 'ERR_NAME_CONFLICT',
  });
  expect((await first).member.isSelf).toBe(true);
  expect(await until((line) => line.level === 'error')).toMatchObject({ fields: { name: 'same' } });
  expect(conflicts).toHaveLength(1);
});

it('packets that cannot be decrypted are complained about where they arrive', async () => {
  const { logger, until } = recorder();
  const a = await startNode('a', { logger, keys: ['AAECAwQFBgcICQoLDA0ODw=='] });
  const wrong = { keys: ['EBESExQVFhcYGRobHB0eHw=='], seeds: [a.self.address], requireJoin: true };
  await expect(startNode('b', wrong)).rejects.toMatchObject({ code: 'ERR_JOIN_FAILED' });
  expect(await until((line) => line.level === 'warn' && line.fields['reason'] === 'decryptFailed')).toMatchObject({
    message: expect.stringContaining('other keys'),
  });
}, 30_000);

it('a first key is not added to a node without encryption, because that would cut it off', async () => {
  const [a, b] = (await startNodes(['a', 'b'])) as [Cluster, Cluster];
  await expect(a.keys.add('AAECAwQFBgcICQoLDA0ODw==')).rejects.toMatchObject({ code: 'ERR_ENCRYPTION_OFF' });
  expect(await a.keys.list()).toEqual([]);
  expect(await b.ping('a')).toBeGreaterThan(0);
});
