import { Cluster, type ClusterOptions, HearsayError } from 'hearsay';
import { describe, expect, it } from 'vitest';
import { startNode } from '../helpers/clusters.ts';

const KEY = new Uint8Array(32).fill(7);
const HEX = 'a1'.repeat(32);

/** What a program in JavaScript may pass. */
async function refusal(options: unknown): Promise<string> {
  const error = await Cluster.start(options as ClusterOptions).catch((caught: unknown) => caught);
  if (error instanceof Cluster) {
    await error.stop();
    throw new Error('it was accepted');
  }
  expect(error).toBeInstanceOf(HearsayError);
  expect((error as HearsayError).code).toBe('ERR_CONFIG_INVALID');
  return (error as HearsayError).message;
}

const NO_LOGGER = 'logger: expected an object with the methods debug, info, warn, error, got';
const KEY_FORMS = '16, 24 or 32 bytes, or their base64';
const HOST_PORT = '"host:port" with a port up to 65535 (IPv6 in brackets)';

describe('options that are refused', () => {
  it.each<[what: string, options: unknown, problem: string]>([
    ['a misspelt option', { seed: [] }, 'seed: unknown option, did you mean "seeds"?'],
    ['a shortened option', { tune: {}, log: 1 }, 'log: unknown option, did you mean "logger"?'],
    ['an option like no other', { x: 1 }, 'x: unknown option'],
    ['a setting beside tuning', { probeIntervalMs: 1 }, 'unknown option, did you mean "tuning.probeIntervalMs"?'],
    [
      'a misspelt setting',
      { tuning: { probeInterval: 1 } },
      'tuning.probeInterval: unknown option, did you mean "prob',
    ],
    ['a misspelt part of bind', { bind: { hots: 'a' } }, 'bind.hots: unknown option, did you mean "host"?'],
    [
      'a misspelt version',
      { delegateVersions: { min: 1, max: 1, curent: 1 } },
      'unknown option, did you mean "current"?',
    ],
    ['a port beside bind', { port: 7946 }, 'port: unknown option, did you mean "bind.port"?'],
    ['an option in tuning', { tuning: { label: 'x' } }, 'tuning.label: unknown option, did you mean "label"?'],
    ['no object', null, 'Cluster options: expected an object, got null'],
    ['a list', [], 'Cluster options: expected an object, got an empty array'],

    ['a text as a boolean', { verifyIncoming: 'false' }, 'verifyIncoming: expected true or false, got "false"'],
    ['null as a boolean', { verifyOutgoing: null }, 'verifyOutgoing: expected true or false, got null'],
    ['a number as a boolean', { unref: 1 }, 'unref: expected true or false, got 1'],
    ['requireJoin without seeds', { requireJoin: true }, 'requireJoin: expected seeds to join through, got none'],
    [
      'requireJoin with none',
      { requireJoin: true, seeds: [] },
      'requireJoin: expected seeds to join through, got none',
    ],

    [
      'a setting of another type',
      { tuning: { probeIntervalMs: '1s' } },
      'tuning.probeIntervalMs: expected a number, got "1s"',
    ],
    [
      'a setting out of range',
      { tuning: { gossipNodes: 65 } },
      'tuning.gossipNodes: expected an integer from 0 to 64, got 65',
    ],
    [
      'a setting that is no integer',
      { tuning: { suspicionMult: 1.5 } },
      'tuning.suspicionMult: expected an integer from 1',
    ],
    ['a ratio as text', { tuning: { userShareRatio: '0.5' } }, 'tuning.userShareRatio: expected a number, got "0.5"'],
    ['a switch that is a number', { tuning: { compression: 0 } }, 'tuning.compression: expected true or false, got 0'],
    ['tuning that is no object', { tuning: 'fast' }, 'tuning: expected an object, got "fast"'],
    [
      'a setting that does not go with the profile',
      { tuning: { probeIntervalMs: 400 } },
      "tuning.probeTimeoutMs: expected less than probeIntervalMs (400), got 500 (profile 'lan')",
    ],
    [
      'versions out of range',
      { delegateVersions: { min: -1, max: 0, current: 0 } },
      'delegateVersions.min: expected a whole',
    ],
    [
      'versions with a part missing',
      { delegateVersions: { min: 0, max: 1 } },
      'delegateVersions.current: expected a whole number',
    ],
    [
      'versions in the wrong order',
      { delegateVersions: { min: 5, max: 2, current: 3 } },
      'delegateVersions.min: expected at most delegateVersions.max (2), got 5',
    ],
    [
      'a current version outside',
      { delegateVersions: { min: 1, max: 2, current: 3 } },
      'delegateVersions.current: expected a version from min (1) to max (2), got 3',
    ],
    ['a network that is none', { allowedCidrs: ['10.0.0.0/8', '10.0.0.0'] }, 'allowedCidrs[1]: expected a network'],
    ['one network without a list', { allowedCidrs: '10.0.0.0/8' }, 'allowedCidrs: expected an array of networks'],
    [
      'a name to advertise',
      { advertise: 'web-1:7946' },
      'advertise: expected "ip:port" or "ip" that others can reach, got "web-1:7946"',
    ],
    [
      'a wildcard to advertise',
      { advertise: '0.0.0.0' },
      'advertise: expected "ip:port" or "ip" that others can reach',
    ],
    [
      'a number to advertise',
      { advertise: 7946 },
      'advertise: expected "ip:port" or "ip" that others can reach, got 7946',
    ],

    ['a logger without its methods', { logger: { info() {}, error() {} } }, `${NO_LOGGER} one without debug, warn`],
    ['a logger that is true', { logger: true }, `${NO_LOGGER} true`],
    ['keys that are no list', { keys: HEX }, 'keys: expected an array of keys, got a text'],
    ['a key of another type', { keys: [42] }, `keys[0]: expected ${KEY_FORMS}, got 42`],
    ['a key of another length', { keys: [KEY, new Uint8Array(5)] }, `keys[1]: expected ${KEY_FORMS}, got 5 bytes`],
    ['a key in hex', { keys: [HEX] }, "got 64 hex characters; pass Buffer.from(hex, 'hex')"],
    ['a short key in hex', { keys: ['A1'.repeat(16)] }, "got 32 hex characters; pass Buffer.from(hex, 'hex')"],
    ['base64 of another length', { keys: ['AAAA'] }, `keys[0]: expected ${KEY_FORMS}, got base64 of 3 bytes`],
    ['base64 with a line end', { keys: [`${Buffer.from(KEY).toString('base64')}\n`] }, 'a text that is not base64'],
    [
      'base64 without padding',
      { keys: [Buffer.from(KEY).toString('base64').slice(0, -1)] },
      'a text that is not base64',
    ],
    [
      'one seed without a list',
      { seeds: '10.0.0.1:7946' },
      'seeds: expected an array of "host:port", got "10.0.0.1:7946"',
    ],
    [
      'a Promise of seeds',
      { seeds: Promise.resolve([]) },
      'seeds: expected an array of "host:port", got a Promise (await it)',
    ],
    ['a number as a seed', { seeds: ['a:1', 7946] }, 'seeds[1]: expected "host:port", got 7946'],
    ['a port as a seed', { seeds: ['7946'] }, `seeds[0]: expected ${HOST_PORT}, got "7946"`],
    ['a URL as a seed', { seeds: ['http://a:7946'] }, `seeds[0]: expected ${HOST_PORT}, got "http://a:7946"`],
    ['a seed with port 0', { seeds: ['10.0.0.1:0'] }, 'seeds[0]: expected a port from 1 to 65535, got "10.0.0.1:0"'],
    ['a number to bind to', { bind: 7999 }, 'bind: expected "host:port", "host", ":port" or { host, port }, got 7999'],
    [
      'a port of text to bind to',
      { bind: { port: '7999' } },
      'bind.port: expected a whole number from 0 to 65535, got "7999"',
    ],
    [
      'a port as text to bind to',
      { bind: '7999' },
      'bind: expected "host:port", "host", ":port" or { host, port }, got "7999"',
    ],
    ['a host with its port', { bind: { host: '10.0.0.1:7999' } }, 'bind.host: expected an IP or a host name'],
    [
      'a controller as a signal',
      { signal: new AbortController() },
      'signal: expected an AbortSignal, got an object; pass controller.signal',
    ],
    ['a signal that is none', { signal: 5000 }, 'signal: expected an AbortSignal, got 5000'],
    [
      'metadata as an object',
      { meta: { role: 'db' } },
      'meta: expected a Uint8Array or text, got an object; use JSON.stringify for objects',
    ],
    ['a number as metadata', { meta: 7 }, 'meta: expected a Uint8Array or text, got 7'],
    ['metadata that is too long', { meta: 'x'.repeat(513) }, 'has no room for more), got 513 bytes'],
    [
      'a name that is too long',
      { name: 'n'.repeat(600) },
      `name: expected a text of 1 to 512 bytes, got "${'n'.repeat(60)}…" (600 characters)`,
    ],
    [
      'a label that is too long',
      { label: 'l'.repeat(256) },
      `label: expected a text of 0 to 255 bytes, got "${'l'.repeat(60)}…" (256 characters)`,
    ],
    ['a number as a name', { name: 7 }, 'name: expected a text of 1 to 512 bytes, got 7'],
    ['a profile that is none', { profile: 'LAN' }, `profile: expected 'lan', 'wan', 'local' or 'fast', got "LAN"`],
    ['a thread that is none', { thread: true }, "thread: expected 'worker' or 'inline', got true"],
    [
      'a time below zero',
      { stallAfterMs: -1 },
      'stallAfterMs: expected a whole number from 0 to 2147483647 (ms; 0 = off), got -1',
    ],
    [
      'a filter that is no function',
      { thread: 'inline', aliveFilter: true },
      'aliveFilter: expected a function, got true',
    ],
    [
      'an object as transport',
      { thread: 'inline', transport: { send() {} } },
      'an object without start, flush, connect, close',
    ],
    [
      'a transport that is none',
      { transport: 'tcp' },
      "transport: expected 'auto', 'dgram', 'batched' or a Transport, got \"tcp\"",
    ],
  ])('%s', async (_, options, problem) => {
    const message = await refusal(options);
    expect(message).toMatch(/^Cluster options: /);
    expect(message).toContain(problem);
  });

  it('are told all at once, and nothing else is', async () => {
    const message = await refusal({
      name: '',
      sedes: ['a'],
      requireJoin: true,
      tuning: { probeIntervalMs: -1, gosipNodes: 3 },
      delegateVersions: { min: 3, max: 2, current: 2 },
      advertise: 'x',
    });
    expect(
      message
        .replace('Cluster options: ', '')
        .split('; ')
        .map((line) => line.slice(0, line.indexOf(':'))),
    ).toEqual([
      'sedes',
      'name',
      'advertise',
      'requireJoin',
      'tuning.gosipNodes',
      'tuning.probeIntervalMs',
      'delegateVersions.min',
    ]);
  });

  it('never show a key', async () => {
    const secret = 'c2VjcmV0IGtleSB0aGF0IG5vYm9keSBzaGFsbCBzZWU';
    for (const keys of [secret, [secret], [HEX], [Buffer.from(secret)]]) {
      const message = await refusal({ keys });
      expect(message).toContain('keys');
      expect(message).not.toContain(secret.slice(0, 8));
      expect(message).not.toContain(HEX.slice(0, 8));
    }
  });
});

describe('options that are accepted', () => {
  it('a port alone, as in Go, is one of all addresses', async () => {
    const free = await startNode('free');
    const { port } = free.self;
    await free.stop();
    const a = await startNode('a', { bind: `:${port}`, advertise: '127.0.0.1' });
    expect(a.self.address).toBe(`127.0.0.1:${port}`);
    await expect(startNode('b', { bind: `0.0.0.0:${port}` })).rejects.toMatchObject({ code: 'ERR_BIND_FAILED' });
  });

  it('an option that is undefined has its default', async () => {
    const a = await startNode('a', {
      tuning: { probeIntervalMs: undefined },
      label: undefined,
      keys: undefined,
    } as never);
    expect(a.members()).toHaveLength(1);
  });

  it('a signal of another class of its kind', async () => {
    const { signal } = new AbortController();
    const other = {
      aborted: false,
      addEventListener: signal.addEventListener.bind(signal),
      removeEventListener: signal.removeEventListener.bind(signal),
    };
    expect((await startNode('a', { signal: other as unknown as AbortSignal })).isStopped).toBe(false);
  });
});
