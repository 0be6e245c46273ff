import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Cluster, HearsayError } from 'hearsay';
import { describe, expect, it } from 'vitest';
import { nextEvent, startNode, startNodes, untilMembers } from '../helpers/clusters.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe.each(['worker', 'inline'] as const)('a cluster with its engine on thread %s', (thread) => {
  it('joins through a seed, and both sides see each other with metadata', async () => {
    const a = await startNode('a', { thread, meta: 'role=a' });
    const joined = nextEvent(a, 'join', (member) => member.name === 'b');
    const b = await startNode('b', { thread, meta: 'role=b', seeds: [a.self.address] });
    expect(text((await joined).meta)).toBe('role=b');
    await untilMembers(b, (members) => members.length === 2);
    expect(
      b
        .members()
        .map((member) => [member.name, text(member.meta), member.status, member.isSelf])
        .sort(),
    ).toEqual([
      ['a', 'role=a', 'alive', false],
      ['b', 'role=b', 'alive', true],
    ]);
  });

  it('delivers the events of the first join to listeners added after start', async () => {
    const a = await startNode('a', { thread });
    const b = await startNode('b', { thread, seeds: [a.self.address] });
    const joins = ['a', 'b'].map((name) => nextEvent(b, 'join', (member) => member.name === name));
    expect((await Promise.all(joins)).map((member) => member.status)).toEqual(['alive', 'alive']);
  });

  it('shows a metadata change as an update', async () => {
    const [a, b] = (await startNodes(['a', 'b'], { thread })) as [Cluster, Cluster];
    const updated = nextEvent(a, 'update');
    expect(await b.setMeta('v2')).toBe(true);
    expect(await updated).toMatchObject({ name: 'b' });
    expect(text(a.member('b')?.meta ?? new Uint8Array(0))).toBe('v2');
    expect(text(b.self.meta)).toBe('v2');
  });

  it('sends messages by packet and by stream, and names the sender', async () => {
    const [a, b] = (await startNodes(['a', 'b'], { thread })) as [Cluster, Cluster];
    const first = nextEvent(b, 'message');
    await a.send('b', 'small');
    expect(await first).toMatchObject({ from: 'a', via: 'packet' });
    const second = nextEvent(b, 'message');
    const large = new Uint8Array(300_000).map((_, i) => i * 7);
    await a.send(b.self, large, { reliable: true });
    const got = await second;
    expect(got.via).toBe('stream');
    expect(Buffer.compare(got.data, large)).toBe(0);
  });

  it('delivers a broadcast once to every other member', async () => {
    const nodes = await startNodes(['a', 'b', 'c', 'd', 'e'], { thread });
    const counts = new Map<string, number>();
    for (const node of nodes) {
      node.on('message', (message) =>
        counts.set(`${node.name} ${text(message.data)}`, (counts.get(`${node.name} ${text(message.data)}`) ?? 0) + 1),
      );
    }
    const others = nodes
      .slice(1)
      .map((node) => nextEvent(node, 'message', (message) => text(message.data) === 'second'));
    await nodes[0]?.broadcast('first');
    await nodes[0]?.broadcast('second');
    const messages = await Promise.all(others);
    expect(messages.every((message) => message.via === 'broadcast' && message.from === 'a')).toBe(true);
    expect([...counts.values()].every((count) => count === 1)).toBe(true);
    expect([...counts.keys()].filter((key) => key.startsWith('a '))).toEqual([]);
  });

  it('shows a graceful leave as left, not as a failure', async () => {
    const [a, b] = (await startNodes(['a', 'b'], { thread })) as [Cluster, Cluster];
    const failures: string[] = [];
    a.on('dead', (member) => failures.push(member.name));
    const left = nextEvent(a, 'leave');
    await b.leave();
    expect(await left).toMatchObject({ name: 'b', status: 'left' });
    expect(failures).toEqual([]);
    expect(a.members().map((member) => member.name)).toEqual(['a']);
    expect(a.member('b')?.status).toBe('left');
  });

  it('declares a node that stopped without a word dead', async () => {
    const tuning = { probeIntervalMs: 100, probeTimeoutMs: 40, suspicionMult: 2 };
    const nodes = (await startNodes(['a', 'b', 'c'], { thread, tuning })) as [Cluster, Cluster, Cluster];
    const deaths = nodes.slice(0, 2).map((node) => nextEvent(node, 'dead'));
    await nodes[2].stop();
    for (const dead of await Promise.all(deaths)) expect(dead).toMatchObject({ name: 'c', status: 'dead' });
  });

  it('measures the round trip of a ping and refuses unknown names', async () => {
    const [a] = (await startNodes(['a', 'b'], { thread })) as [Cluster, Cluster];
    expect(await a.ping('b')).toBeGreaterThan(0);
    await expect(a.ping('nobody')).rejects.toMatchObject({ code: 'ERR_MEMBER_UNKNOWN' });
    await expect(a.send('nobody', 'x')).rejects.toMatchObject({ code: 'ERR_MEMBER_UNKNOWN' });
  });

  it('yields events to for await until the cluster stops', async () => {
    const a = await startNode('a', { thread });
    const names: string[] = [];
    const reading = (async () => {
      for await (const event of a.events()) {
        if (event.type === 'join') names.push(event.member.name);
        if (names.includes('b')) await a.stop();
      }
    })();
    await startNode('b', { thread, seeds: [a.self.address] });
    await reading;
    expect(names).toContain('b');
    expect(a.isStopped).toBe(true);
  });

  it('rotates keys while running and keeps out who has none', async () => {
    const keys = ['AAECAwQFBgcICQoLDA0ODw==', 'EBESExQVFhcYGRobHB0eHw=='];
    const first = keys[0] as string;
    const next = keys[1] as string;
    const [a, b] = (await startNodes(['a', 'b'], { thread, keys: [first], label: 'blue' })) as [Cluster, Cluster];
    for (const step of ['add', 'use'] as const) for (const node of [a, b]) await node.keys[step](next);
    for (const node of [a, b]) await node.keys.remove(first);
    expect((await a.keys.list()).map((key) => Buffer.from(key).toString('base64'))).toEqual([next]);
    await expect(a.keys.remove(next)).rejects.toMatchObject({ code: 'ERR_KEY_IN_USE' });
    expect(await a.ping('b')).toBeGreaterThan(0);
    await expect(
      startNode('c', { thread, label: 'blue', seeds: [a.self.address], requireJoin: true }),
    ).rejects.toMatchObject({ code: 'ERR_JOIN_FAILED' });
    const d = await startNode('d', { thread, label: 'blue', keys: [next], seeds: [a.self.address], requireJoin: true });
    await untilMembers(d, (members) => members.length === 3);
  });
});

describe('starting', () => {
  it('lists every problem of the options in one error', async () => {
    const problem = await Cluster.start({
      name: '',
      meta: 'x'.repeat(513),
      keys: [new Uint8Array(5)],
      protocolVersion: 9,
      bind: 'a:b:c:99',
    }).catch((error: unknown) => error);
    expect(problem).toBeInstanceOf(HearsayError);
    expect((problem as HearsayError).code).toBe('ERR_CONFIG_INVALID');
    for (const field of ['name', 'meta', 'keys[0]', 'protocolVersion', 'bind'])
      expect((problem as Error).message).toContain(field);
  });

  it('rejects a port that is taken with ERR_BIND_FAILED', async () => {
    const a = await startNode('a');
    await expect(startNode('b', { bind: a.self.address })).rejects.toMatchObject({ code: 'ERR_BIND_FAILED' });
  });

  it('rejects with ERR_ABORTED when aborted first and stops when aborted later', async () => {
    await expect(Cluster.start({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    const controller = new AbortController();
    const a = await startNode('a', { signal: controller.signal });
    controller.abort();
    expect(a.isStopped).toBe(true);
    await expect(a.stats()).rejects.toMatchObject({ code: 'ERR_CLUSTER_STOPPED' });
  });

  it('refuses functions that cannot cross to the engine thread, with advice', async () => {
    await expect(Cluster.start({ aliveFilter: () => true })).rejects.toThrow(/aliveFilter.*thread: 'inline'/);
  });

  it('comes up alone when no seed answers, and joins later by itself', async () => {
    const seedPort = await startNode('late');
    const { address } = seedPort.self;
    await seedPort.stop();
    const a = await startNode('a', { seeds: [address], rejoinIntervalMs: 500 });
    expect(a.members().map((member) => member.name)).toEqual(['a']);
    const late = await startNode('late', { bind: address });
    await untilMembers(a, (members) => members.length === 2);
    await untilMembers(late, (members) => members.length === 2);
  });

  it('passes its own address among the seeds over', async () => {
    const probe = await startNode('x');
    const { address } = probe.self;
    await probe.stop();
    const a = await startNode('a', { bind: address, seeds: [address], requireJoin: true });
    expect(a.members()).toHaveLength(1);
  });

  it('says which backend runs', async () => {
    const a = await startNode('a', { backend: 'js' });
    expect(a.backend.name).toBe('js');
    expect(a.backend.reason).not.toBe('');
    expect((await a.stats()).backend).toBe('js');
  });
});

describe('observing', () => {
  it('publishes events on diagnostics channels', async () => {
    const seen: unknown[] = [];
    const note = (message: unknown): void => void seen.push(message);
    subscribe('hearsay:event', note);
    try {
      const a = await startNode('a');
      await nextEvent(a, 'join');
      expect(seen).toContainEqual({
        cluster: 'a',
        event: { type: 'join', member: expect.objectContaining({ name: 'a' }) },
      });
    } finally {
      unsubscribe('hearsay:event', note);
    }
  });

  it('bounds the buffer of events() and counts what it dropped', async () => {
    const a = await startNode('a');
    const events = a.events({ capacity: 2 });
    const names = ['b', 'c', 'd', 'e'];
    for (const name of names) await startNode(name, { seeds: [a.self.address] });
    await untilMembers(a, (members) => members.length === 5);
    expect(events.dropped).toBeGreaterThan(0);
    const first = await events.next();
    expect(first.done).toBe(false);
    await events.return();
  });

  it('merges two clusters that ran apart when one joins the other', async () => {
    const a = await startNode('a');
    const b = await startNode('b');
    await a.join([b.self.address]);
    await untilMembers(b, (members) => members.length === 2);
    expect((await b.stats()).members.alive).toBe(2);
  });

  it('leaves when disposed', async () => {
    const a = await startNode('a');
    const left = nextEvent(a, 'leave');
    {
      await using b = await startNode('b', { seeds: [a.self.address] });
      await untilMembers(b, (members) => members.length === 2);
    }
    expect((await left).name).toBe('b');
  });
});
