import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { freePort } from './children.ts';
import { GoNode } from './go-peer.ts';
import { bench, GO_PEER, QUICK, unique, until } from './harness.ts';
import { DIRECTIONS, type NodeSettings, names, pair, SOON_MS } from './pairs.ts';
import { type Peer, receives, sees } from './peer.ts';

const nodes = bench();

const HAS_IPV6 = Object.values(networkInterfaces()).some((list) => list?.some((entry) => entry.address === '::1'));

const WIRES: readonly { title: string; settings: NodeSettings }[] = [
  { title: 'a plain', settings: { compression: false } },
  { title: 'a compressed', settings: { compression: true } },
  { title: 'a labelled', settings: { compression: false, label: 'blue' } },
  { title: 'an encrypted (AES-128)', settings: { compression: false, keys: [randomBytes(16)] } },
  { title: 'an encrypted (AES-192)', settings: { compression: false, keys: [randomBytes(24)] } },
  {
    title: 'a compressed, labelled and encrypted (AES-256)',
    settings: { compression: true, label: 'blue', keys: [randomBytes(32)] },
  },
];

for (const direction of DIRECTIONS) {
  describe.runIf(GO_PEER !== '')(`memberlist: ${direction.title}`, () => {
    for (const wire of WIRES) {
      test(`metadata and user messages pass over ${wire.title} wire`, async () => {
        const metas = [randomBytes(512), Buffer.from('role=second')] as const;
        const two = await pair(nodes, direction, wire.settings, [{ meta: metas[0] }, { meta: metas[1] }]);
        await converse(two, metas);
        if (wire.settings.compression) await provesCompression(two);
        await hearsNoComplaint(two);
      });
    }

    test('metadata and user messages pass between nodes of protocol version 1', async () => {
      // Version 1 has no ports in its messages, so all its nodes share one port number, and encrypts with version 0.
      const settings = { protocolVersion: 1, keys: [randomBytes(32)], compression: true, port: await freePort() };
      const metas = [Buffer.from('first'), Buffer.from('second')] as const;
      const two = await pair(nodes, direction, settings, [{ meta: metas[0] }, { meta: metas[1], host: '127.0.0.2' }]);
      await converse(two, metas);
      await hearsNoComplaint(two);
    });

    test.runIf(HAS_IPV6)('metadata and user messages pass over IPv6', async () => {
      const metas = [Buffer.from('first'), Buffer.from('second')] as const;
      const each = [{ meta: metas[0] }, { meta: metas[1] }] as const;
      const two = await pair(nodes, direction, { host: '::1', keys: [randomBytes(32)] }, each);
      expect(two.map((node) => node.address.startsWith('[::1]:'))).toEqual([true, true]);
      await converse(two, metas);
      await hearsNoComplaint(two);
    });

    test('a graceful leave is seen as left', async () => {
      const [first, second] = await pair(nodes, direction);
      const third = await nodes.start(direction.first, { ...QUICK, name: unique('c'), seeds: [first.address] });
      await Promise.all([sees(second, 'join', third.name, SOON_MS), sees(third, 'join', second.name, SOON_MS)]);
      await second.leave();
      await Promise.all([sees(first, 'leave', second.name, SOON_MS), sees(third, 'leave', second.name, SOON_MS)]);
      await third.leave();
      await sees(first, 'leave', third.name, SOON_MS);
      expect(first.events.filter((e) => e.type === 'dead')).toEqual([]);
      expect(await names(first)).toEqual([first.name]);
    });

    test('a kill is seen as failed', async () => {
      const [first, second] = await pair(nodes, direction);
      await second.kill();
      await sees(first, 'suspect', second.name, 10_000);
      await sees(first, 'dead', second.name, 20_000);
      expect(first.events.filter((e) => e.type === 'leave')).toEqual([]);
      expect(await names(first)).toEqual([first.name]);
    });

    test('a member that was killed is taken back under its name and address', async () => {
      const [first, second] = await pair(nodes, direction);
      const port = Number(second.address.split(':')[1]);
      await second.kill();
      await sees(first, 'dead', second.name, 20_000);
      const mark = first.events.mark();
      await nodes.start(direction.second, { ...QUICK, name: second.name, port, seeds: [first.address] });
      await sees(first, 'join', second.name, SOON_MS, mark);
    });

    test('a member that left comes back from another address', async () => {
      const [first, second] = await pair(nodes, direction);
      await second.leave();
      await sees(first, 'leave', second.name, SOON_MS);
      await second.kill();
      const mark = first.events.mark();
      const again = await nodes.start(direction.second, { ...QUICK, name: second.name, seeds: [first.address] });
      const seen = await sees(first, 'join', second.name, SOON_MS, mark);
      expect(seen?.address).toBe(again.address);
    });

    test('news about a third member reaches those that never spoke to it', async () => {
      const [first, second] = await pair(nodes, direction);
      const meta = Buffer.from('third');
      const third = await nodes.start(direction.second, { ...QUICK, name: unique('c'), seeds: [second.address], meta });
      const seen = await sees(first, 'join', third.name, SOON_MS);
      expect(Buffer.from(seen?.meta ?? [])).toEqual(meta);
      await sees(third, 'join', first.name, SOON_MS);
      const mark = first.events.mark();
      await third.setMeta(Buffer.from('changed'));
      const updated = await sees(first, 'update', third.name, SOON_MS, mark);
      expect(Buffer.from(updated?.meta ?? []).toString()).toBe('changed');
    });

    test('a second node with a taken name is reported as a conflict and changes nothing', async () => {
      const [first, second] = await pair(nodes, direction);
      await nodes
        .start(direction.second, { ...QUICK, name: second.name, seeds: [first.address] })
        .catch(() => undefined);
      await first.events.wait('conflict', (e) => e.type === 'conflict', SOON_MS);
      const kept = (await first.members()).find((m) => m.name === second.name);
      expect(kept?.address).toBe(second.address);
    });
  });
}

describe.runIf(GO_PEER !== '')('memberlist: crowd', () => {
  test('a cluster of 130 members is handed over whole, to us and by us', async () => {
    // More than 127: the count is then no longer a one-byte integer, and releases differ in how they write it.
    // They hardly talk: 130 nodes that probe each other would keep the machine busy with something else.
    const lan = { profile: 'lan', watch: false, probeIntervalMs: 60_000, gossipIntervalMs: 5000 } as const;
    const first = await nodes.start('memberlist', { ...lan, name: unique('a') });
    const join = (): Promise<Peer> => nodes.go({ ...lan, name: unique('m'), seeds: [first.address] });
    for (let i = 0; i < 16; i++) await Promise.all(Array.from({ length: 8 }, join));
    await until('the first knows the crowd', SOON_MS, async () => (await names(first)).length === 129);
    const middle = await nodes.start('ours', { ...lan, name: unique('h'), seeds: [first.address] });
    await until('we know all', SOON_MS, async () => (await names(middle)).length === 130);
    const last = await nodes.start('memberlist', { ...lan, name: unique('z'), seeds: [middle.address] });
    await until('the next one knows all', SOON_MS, async () => (await names(last)).length === 131);
  });
});

/** Metadata, and user messages by packet, stream and broadcast, in both directions at once. */
async function converse(two: readonly [Peer, Peer], metas: readonly [Uint8Array, Uint8Array]): Promise<void> {
  for (const i of [0, 1] as const) {
    const seen = (await (two[i] as Peer).members()).find((m) => m.name === two[1 - i]?.name);
    expect(Buffer.from(seen?.meta ?? [])).toEqual(Buffer.from(metas[1 - i] as Uint8Array));
    expect(seen?.state).toBe('alive');
  }
  await Promise.all([talk(two[0], two[1]), talk(two[1], two[0])]);

  const marks = two.map((node) => node.events.mark());
  const changed = Buffer.from('changed by the first');
  const [atSecond, atFirst] = await Promise.all([
    sees(two[1], 'update', two[0].name, SOON_MS, marks[1]),
    sees(two[0], 'update', two[1].name, SOON_MS, marks[0]),
    two[0].setMeta(changed),
    two[1].setMeta(new Uint8Array(0)),
  ]);
  expect(Buffer.from(atSecond?.meta ?? [])).toEqual(changed);
  expect(atFirst?.meta.length).toBe(0);
}

async function talk(from: Peer, to: Peer): Promise<void> {
  const packets = [randomBytes(300), Buffer.alloc(1100, `from ${from.name} `), Uint8Array.of(0)];
  const streams = [randomBytes(200_000), Buffer.alloc(300_000, `from ${from.name} `), Uint8Array.of(1)];
  const rumor = randomBytes(200);
  await Promise.all([
    ...packets.flatMap((bytes) => [from.send(to.name, bytes, { reliable: false }), receives(to, bytes, SOON_MS)]),
    ...streams.flatMap((bytes) => [from.send(to.name, bytes, { reliable: true }), receives(to, bytes, SOON_MS)]),
    from.broadcast(rumor),
    receives(to, rumor, SOON_MS),
  ]);
}

/** Ten packets that shrink well must take far fewer bytes on the wire than they hold, as memberlist counts them. */
async function provesCompression(two: readonly [Peer, Peer]): Promise<void> {
  const real = two.find((node) => node instanceof GoNode);
  const other = two.find((node) => node !== real);
  if (!(real instanceof GoNode) || !other) throw new Error('no memberlist node in this pair');
  for (const [from, to, counter] of [
    [other, real, 'udp.received'],
    [real, other, 'udp.sent'],
  ] as const) {
    const before = (await real.counters())[counter] ?? 0;
    const contents = Array.from({ length: 10 }, (_, i) => Buffer.alloc(1200, `${from.name} says ${i} `));
    const received = contents.map((bytes) => receives(to, bytes, SOON_MS));
    for (const bytes of contents) await from.send(to.name, bytes, { reliable: false });
    await Promise.all(received);
    const used = ((await real.counters())[counter] ?? 0) - before;
    expect(used).toBeLessThan(6000);
  }
}

/** memberlist logs a warning or an error for everything it cannot read. */
async function hearsNoComplaint(two: readonly [Peer, Peer]): Promise<void> {
  for (const node of two) {
    if (!(node instanceof GoNode)) continue;
    const counted = Object.keys(await node.counters());
    expect(counted.filter((key) => key.startsWith('log.ERR') || key.startsWith('log.WARN'))).toEqual([]);
  }
}
