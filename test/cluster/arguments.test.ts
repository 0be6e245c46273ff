import type { Cluster } from 'hearsay';
import { describe, expect, it } from 'vitest';
import { startNode, startNodes } from '../helpers/clusters.ts';

const HEX = 'a1'.repeat(16);

describe('arguments that are refused', () => {
  it.each<[what: string, call: (cluster: Cluster, wrong: never) => Promise<unknown>, wrong: unknown, problem: string]>([
    [
      'send to nobody',
      (c, to) => c.send(to, 'x'),
      undefined,
      'to: expected a member, its name or its "ip:port", got undefined',
    ],
    ['send nothing', (c, data) => c.send('a', data), undefined, 'data: expected a Uint8Array or text, got undefined'],
    [
      'send an object',
      (c, data) => c.send('a', data),
      {},
      'data: expected a Uint8Array or text, got an object; use JSON',
    ],
    [
      'send with a misspelt option',
      (c, options) => c.send('a', 'x', options),
      { relyable: true },
      'relyable: unknown option, did you mean "reliable"?',
    ],
    [
      'send with no options',
      (c, options) => c.send('a', 'x', options),
      true,
      'options: expected an object with reliable, got true',
    ],
    [
      'send with a text for reliable',
      (c, options) => c.send('a', 'x', options),
      { reliable: 'yes' },
      'reliable: expected true or false, got "yes"',
    ],
    [
      'join a text',
      (c, seeds) => c.join(seeds),
      '10.0.0.1:7946',
      'seeds: expected an array of "host:port", got "10.0.0.1:7946"',
    ],
    ['join nobody', (c, seeds) => c.join(seeds), [], 'seeds: expected at least one "host:port", got an empty array'],
    ['join a number', (c, seeds) => c.join(seeds), [1], 'seeds[0]: expected "host:port", got 1'],
    [
      'setMeta of nothing',
      (c, meta) => c.setMeta(meta),
      undefined,
      'meta: expected a Uint8Array or text, got undefined',
    ],
    [
      'broadcast of nothing',
      (c, data) => c.broadcast(data),
      undefined,
      'data: expected a Uint8Array or text, got undefined',
    ],
    [
      'ping of nobody',
      (c, member) => c.ping(member),
      undefined,
      'member: expected a member, its name or its "ip:port", got undefined',
    ],
    [
      'ping of a list',
      (c, member) => c.ping(member),
      [],
      'member: expected a member, its name or its "ip:port", got an empty array',
    ],
    [
      'leave with a negative wait',
      (c, options) => c.leave(options),
      { timeoutMs: -1 },
      'timeoutMs: expected a whole number of ms',
    ],
    [
      'leave that lingers too long',
      (c, options) => c.leave(options),
      { lingerMs: 2 ** 31 },
      'lingerMs: expected a whole number of ms from 0 to 2147483647, got 2147483648',
    ],
    [
      'leave with a number',
      (c, options) => c.leave(options),
      1000,
      'options: expected an object with timeoutMs, lingerMs, got 1000',
    ],
  ])('%s', async (_, call, wrong, problem) => {
    const a = await startNode('a', { thread: 'inline' });
    await expect(call(a, wrong as never)).rejects.toMatchObject({
      code: 'ERR_ARGUMENT_INVALID',
      message: expect.stringContaining(problem),
    });
    expect(a.isStopped).toBe(false);
  });

  it.each(['add', 'use', 'remove'] as const)('keys.%s of what is no key', async (method) => {
    const a = await startNode('a', { thread: 'inline', keys: [new Uint8Array(16)] });
    for (const [wrong, problem] of [
      [HEX, "pass Buffer.from(hex, 'hex')"],
      [undefined, 'got undefined'],
      ['no base64!', 'not base64'],
      [new Uint8Array(3), 'got 3 bytes'],
    ] as const) {
      await expect(a.keys[method](wrong as never)).rejects.toMatchObject({
        code: 'ERR_KEY_INVALID',
        message: expect.stringContaining(problem),
      });
    }
  });

  it('events with a signal that is none', async () => {
    const a = await startNode('a', { thread: 'inline' });
    expect(() => a.events({ signal: 1 as never })).toThrow('signal: expected an AbortSignal, got 1');
  });
});

it('ping takes a member, its name and its address, and no address of nobody', async () => {
  const [a, b] = (await startNodes(['a', 'b'], { thread: 'inline' })) as [Cluster, Cluster];
  for (const target of [b.self, 'b', b.self.address]) expect(await a.ping(target)).toBeGreaterThan(0);
  await expect(a.ping('127.0.0.1:1')).rejects.toMatchObject({ code: 'ERR_MEMBER_UNKNOWN' });
});

it('a key that is not there is removed without complaint', async () => {
  const a = await startNode('a', { thread: 'inline', keys: [new Uint8Array(16)] });
  await a.keys.remove(new Uint8Array(32));
  expect(await a.keys.list()).toHaveLength(1);
});

it('a broadcast of 800 bytes fits in the worst case', async () => {
  const a = await startNode('n'.repeat(255), {
    thread: 'inline',
    label: 'l'.repeat(255),
    keys: [new Uint8Array(16)],
    // Speaks the older encryption, which pads.
    protocolVersion: 1,
  });
  await a.broadcast(new Uint8Array(800));
  await expect(a.broadcast(new Uint8Array(830))).rejects.toMatchObject({ code: 'ERR_BROADCAST_TOO_LARGE' });
});

it('a message of 65,501 bytes is the largest for one datagram', async () => {
  const a = await startNode('a', { thread: 'inline' });
  await a.send('a', new Uint8Array(65_501));
  await expect(a.send('a', new Uint8Array(65_502))).rejects.toMatchObject({ code: 'ERR_MESSAGE_TOO_LARGE' });
});
