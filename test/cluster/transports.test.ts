import { networkInterfaces } from 'node:os';
import { type Cluster, FaultyNetwork, FaultyTransport, NetTransport, parseAddress, partition } from 'hearsay';
import { describe, expect, it } from 'vitest';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { nextEvent, startNode, untilMembers } from '../helpers/clusters.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const hasIpv6 = Object.values(networkInterfaces()).some((entries) => entries?.some((entry) => entry.address === '::1'));

// Batched UDP is in the addon, and there only on Linux.
const kinds = hasNativeClass('UdpSocket') ? (['dgram', 'batched'] as const) : (['dgram'] as const);

describe.each(kinds)('packets by %s', (transport) => {
  it('carry a cluster', async () => {
    const options = { transport, keys: ['AAECAwQFBgcICQoLDA0ODw=='], label: 'blue' };
    const a = await startNode('a', options);
    const b = await startNode('b', { ...options, seeds: [a.self.address], requireJoin: true });
    const message = nextEvent(b, 'message');
    await a.send('b', 'hello');
    expect(text((await message).data)).toBe('hello');
    expect((await a.stats()).packets).toBe(transport);
  });
});

it.runIf(hasIpv6)('a cluster works over IPv6', async () => {
  const a = await startNode('a', { bind: '[::1]:0' });
  expect(a.self.address).toMatch(/^\[::1\]:\d+$/);
  const b = await startNode('b', { bind: '[::1]:0', seeds: [a.self.address], requireJoin: true });
  await untilMembers(a, (members) => members.length === 2);
  const message = nextEvent(a, 'message');
  await b.send('a', 'six', { reliable: true });
  expect(text((await message).data)).toBe('six');
});

it('a transport of the user’s own carries the cluster, and a partition made with it heals', async () => {
  const network = new FaultyNetwork(1);
  const tuning = {
    probeIntervalMs: 100,
    probeTimeoutMs: 40,
    suspicionMult: 2,
    gossipIntervalMs: 50,
    disableTcpPings: true,
  };
  const start = (name: string, seeds: string[] = []): Promise<Cluster> =>
    startNode(name, {
      thread: 'inline',
      transport: new FaultyTransport(new NetTransport({ bind: parseAddress('127.0.0.1:0') }), network),
      tuning,
      seeds,
      rejoinIntervalMs: 300,
    });
  const a = await start('a');
  const b = await start('b', [a.self.address]);
  await untilMembers(a, (members) => members.length === 2);
  expect((await a.stats()).packets).toBe('custom');

  const deaths = [nextEvent(a, 'dead'), nextEvent(b, 'dead')];
  const port = a.self.port;
  const heal = network.add(partition((address) => address.port === port));
  expect((await Promise.all(deaths)).map((member) => member.name).sort()).toEqual(['a', 'b']);
  const returns = [nextEvent(a, 'join'), nextEvent(b, 'join')];
  heal();
  expect((await Promise.all(returns)).map((member) => member.name).sort()).toEqual(['a', 'b']);
});
