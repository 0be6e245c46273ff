import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { bench, QUICK, SERF_BINARY, unique, until } from './harness.ts';
import { refused, SOON_MS } from './pairs.ts';
import { type Peer, type PeerSettings, receives, sees } from './peer.ts';
import { message, RawSocket, readTable, TYPE } from './raw-packets.ts';
import { SerfAgent, type SerfMember, type SerfSettings } from './serf-agent.ts';
import {
  decodeTags,
  encodeTags,
  keyQuery,
  leaveIntent,
  read,
  SERF_TYPE,
  SERF_VERSIONS,
  text,
  userEvent,
} from './serf-wire.ts';

const nodes = bench();

async function agent(settings: Omit<SerfSettings, 'name'> = {}): Promise<SerfAgent> {
  const started = await SerfAgent.start({ ...settings, name: unique('serf') });
  nodes.cleanup.add(() => started.kill());
  return started;
}

function ours(settings: Partial<PeerSettings> = {}): Promise<Peer> {
  const meta = encodeTags({ role: 'ours' });
  return nodes.start('ours', { ...QUICK, delegateVersions: SERF_VERSIONS, meta, name: unique('ours'), ...settings });
}

/** Waits until `serf members` shows the member like this. */
async function lists(serf: SerfAgent, name: string, status: string, withinMs = SOON_MS): Promise<SerfMember> {
  let member: SerfMember | undefined;
  await until(`serf members shows ${name} as ${status}`, withinMs, async () => {
    member = await serf.member(name);
    return member?.status === status;
  });
  return member as SerfMember;
}

/** A leave that a Serf pool takes for one: the intent first, and when it has arrived, memberlist's leave. */
async function leavePool(node: Peer, witness: SerfAgent): Promise<void> {
  await node.broadcast(leaveIntent(node.name, 1));
  await witness.logs('leave intent', new RegExp(`messageLeaveType: ${node.name}`), SOON_MS);
  await node.leave();
}

const DIRECTIONS = [
  { title: 'we join serf', weJoin: true },
  { title: 'serf joins us', weJoin: false },
] as const;

for (const { title, weJoin } of DIRECTIONS) {
  const pool = async (
    settings: Partial<PeerSettings> & Omit<SerfSettings, 'name'> = {},
  ): Promise<[SerfAgent, Peer]> => {
    const { tags, encrypt, keys, compression } = settings;
    const forSerf = {
      ...(tags ? { tags } : {}),
      ...(encrypt ? { encrypt } : {}),
      ...(compression === undefined ? {} : { compression }),
    };
    const forUs = { ...(keys ? { keys } : {}), ...(compression === undefined ? {} : { compression }) };
    if (weJoin) {
      const serf = await agent(forSerf);
      const node = await ours({ ...forUs, seeds: [serf.address] });
      await Promise.all([
        sees(node, 'join', serf.name, SOON_MS),
        serf.logs('join', new RegExp(`EventMemberJoin: ${node.name} `), SOON_MS),
      ]);
      return [serf, node];
    }
    const node = await ours(forUs);
    const serf = await agent({ ...forSerf, join: [node.address] });
    await Promise.all([
      sees(node, 'join', serf.name, SOON_MS),
      serf.logs('join', new RegExp(`EventMemberJoin: ${node.name} `), SOON_MS),
    ]);
    return [serf, node];
  };

  describe.runIf(SERF_BINARY !== '')(`serf: ${title}`, () => {
    test('serf members lists us, alive, with our tags, and we read the tags of serf', async () => {
      const [serf, node] = await pool({ tags: { role: 'agent', rack: 'r1' } });
      const listed = await lists(serf, node.name, 'alive');
      expect(listed.addr).toBe(node.address);
      expect(listed.tags).toEqual({ role: 'ours' });
      const seen = (await node.members()).find((m) => m.name === serf.name);
      expect(decodeTags(seen?.meta ?? new Uint8Array(0))).toEqual({ role: 'agent', rack: 'r1' });
      expect(seen?.address).toBe(serf.address);
    });

    test('a change of tags is seen by the other', async () => {
      const [serf, node] = await pool();
      await node.setMeta(encodeTags({ role: 'ours', version: '2' }));
      await serf.logs('update', new RegExp(`EventMemberUpdate: ${node.name}`), SOON_MS);
      expect((await lists(serf, node.name, 'alive')).tags).toEqual({ role: 'ours', version: '2' });
      await serf.done('tags', '-set', 'state=ready');
      const updated = await sees(node, 'update', serf.name, SOON_MS);
      expect(decodeTags(updated?.meta ?? new Uint8Array(0))).toEqual({ state: 'ready' });
    });

    for (const compression of [false, true]) {
      test(`user events pass ${compression ? 'compressed' : 'uncompressed'}, by broadcast, packet and stream`, async () => {
        const [serf, node] = await pool({ compression });
        const payload = 'x'.repeat(400);
        await serf.done('event', '-coalesce=false', 'deploy', payload);
        const seen = await node.events.wait(
          'the user event of serf',
          (e) => e.type === 'message' && text(read(SERF_TYPE.userEvent, e.bytes)?.['Name']) === 'deploy',
          SOON_MS,
        );
        expect(seen.type === 'message' && text(read(SERF_TYPE.userEvent, seen.bytes)?.['Payload'])).toBe(payload);
        await node.broadcast(userEvent('note', 'by broadcast', 10));
        await node.send(serf.name, userEvent('note', 'by packet', 11), { reliable: false });
        await node.send(serf.name, userEvent('note', 'by stream', 12), { reliable: true });
        for (const way of ['by broadcast', 'by packet', 'by stream'])
          await serf.logs(way, new RegExp(`script output: ${way}`), SOON_MS);
      });
    }

    test('our leave after a leave intent is shown as left', async () => {
      const [serf, node] = await pool();
      await leavePool(node, serf);
      await lists(serf, node.name, 'left');
      expect(serf.log.filter((line) => line.includes(`EventMemberFailed: ${node.name}`))).toEqual([]);
    });

    test('a leave of serf is a leave for us', async () => {
      const [serf, node] = await pool();
      await serf.leave();
      await sees(node, 'leave', serf.name, SOON_MS);
      expect(node.events.filter((e) => e.type === 'suspect' || e.type === 'dead')).toEqual([]);
    });

    test('our kill is shown as failed', async () => {
      const [serf, node] = await pool();
      await node.kill();
      await lists(serf, node.name, 'failed', 20_000);
    });

    test('a kill of serf is a failure for us', async () => {
      const [serf, node] = await pool();
      await serf.kill();
      await sees(node, 'suspect', serf.name, 10_000);
      await sees(node, 'dead', serf.name, 20_000);
    });

    test('a suspicion about us is refuted at serf, and one about serf at us', async () => {
      const [serf, node] = await pool({ compression: false });
      const socket = await RawSocket.open();
      nodes.cleanup.add(() => socket.close());
      const own = await node.incarnation(node.name);
      socket.send(serf.address, message(TYPE.suspect, { Incarnation: own, Node: node.name, From: 'nobody' }));
      await until('serf has our refutation', SOON_MS, async () => {
        const entry = (await readTable(serf.address)).get(node.name);
        return entry?.incarnation === own + 1 && entry.state === 'alive';
      });
      expect((await lists(serf, node.name, 'alive')).status).toBe('alive');

      const theirs = await node.incarnation(serf.name);
      socket.send(node.address, message(TYPE.suspect, { Incarnation: theirs, Node: serf.name, From: 'nobody' }));
      await sees(node, 'suspect', serf.name, SOON_MS);
      await sees(node, 'alive', serf.name, SOON_MS);
      expect(await node.incarnation(serf.name)).toBe(theirs + 1);
      await serf.logs('refutation', /Refuting a suspect message/, SOON_MS);
      expect(node.events.filter((e) => e.type === 'dead')).toEqual([]);
    });

    test('an encrypted pool rotates its keys through serf keys, with us in it', async () => {
      const [oldKey, newKey] = [randomBytes(32), randomBytes(32)];
      const [serf, node] = await pool({ encrypt: oldKey.toString('base64'), keys: [oldKey] });
      answerKeyQueries(node, [oldKey]);
      for (const step of ['-install', '-use', '-remove'] as const) {
        const key = step === '-remove' ? oldKey : newKey;
        // Exit 0 means that all members answered and none reported an error.
        await serf.done('keys', `${step}=${key.toString('base64')}`);
      }
      expect(await serf.done('keys', '-list')).toMatch(/\[2\/2\]/);
      const bytes = userEvent('rotated', 'with the new key', 20);
      await node.send(serf.name, bytes, { reliable: true });
      await serf.logs('event', /script output: with the new key/, SOON_MS);
      const late = await ours({ keys: [newKey], seeds: [node.address] });
      await lists(serf, late.name, 'alive');
      await node.broadcast(userEvent('rotated', 'to all', 21));
      await receives(late, userEvent('rotated', 'to all', 21), SOON_MS);
    });
  });
}

describe.runIf(SERF_BINARY !== '')('serf: rules', () => {
  test('our leave without a leave intent is shown as failed, then as left when the intent follows', async () => {
    const serf = await agent();
    const node = await ours({ seeds: [serf.address] });
    const other = await ours({ seeds: [serf.address] });
    await lists(serf, node.name, 'alive');
    await node.leave();
    await lists(serf, node.name, 'failed');
    await sees(other, 'leave', node.name, SOON_MS);
    await other.broadcast(leaveIntent(node.name, 1));
    await lists(serf, node.name, 'left');
  });

  test('serf force-leave turns our killed node into a left one', async () => {
    const serf = await agent();
    const node = await ours({ seeds: [serf.address] });
    await lists(serf, node.name, 'alive');
    await node.kill();
    await lists(serf, node.name, 'failed', 20_000);
    await serf.done('force-leave', node.name);
    await lists(serf, node.name, 'left');
  });

  test('three agents and three of ours see all six', async () => {
    // The local profile sends each piece of news twice: it may miss one of six. Frequent push/pulls see to the rest.
    const often = { pushPullIntervalMs: 1000 };
    const first = await agent();
    const a = await ours({ ...often, seeds: [first.address] });
    const second = await agent({ join: [a.address] });
    const b = await ours({ ...often, seeds: [second.address] });
    const third = await agent({ join: [b.address] });
    const c = await ours({ ...often, seeds: [third.address] });
    const everybody = [first, second, third, a, b, c].map((n) => n.name).sort();
    for (const node of [a, b, c]) {
      await until(`${node.name} sees all`, 10_000, async () => (await node.members()).length === 6);
      expect((await node.members()).map((m) => m.name).sort()).toEqual(everybody);
    }
    for (const serf of [first, second, third]) {
      await until(`${serf.name} sees all`, 10_000, async () => (await serf.members()).length === 6);
      expect((await serf.members()).map((m) => `${m.name} ${m.status}`).sort()).toEqual(
        everybody.map((name) => `${name} alive`),
      );
    }
  });

  test('a node without the delegate versions of serf is kept out', async () => {
    const serf = await agent();
    const stranger = nodes.start('ours', { ...QUICK, name: unique('stranger'), seeds: [serf.address] });
    await refused(stranger);
    expect((await serf.members()).map((m) => m.name)).toEqual([serf.name]);
  });
});

/** Does what serf's key queries ask for and says so, as an agent would. */
function answerKeyQueries(node: Peer, keys: Uint8Array[]): void {
  const ring = keys.map((key) => Buffer.from(key).toString('base64'));
  node.events.on((event) => {
    const query = event.type === 'message' ? keyQuery(event.bytes) : undefined;
    if (query) void apply(query);
  });
  const apply = async (query: NonNullable<ReturnType<typeof keyQuery>>): Promise<void> => {
    const key = Buffer.from(query.key).toString('base64');
    const others = ring.filter((known) => known !== key);
    if (query.name === '_serf_install-key') {
      await node.addKey(query.key);
      ring.splice(0, ring.length, ...others, key);
    } else if (query.name === '_serf_use-key') {
      await node.useKey(query.key);
      ring.splice(0, ring.length, key, ...others);
    } else if (query.name === '_serf_remove-key') {
      await node.removeKey(query.key);
      ring.splice(0, ring.length, ...others);
    }
    const listed = query.name === '_serf_list-keys' ? { keys: ring } : {};
    await node.send(query.asker, query.answer({ ok: true, ...listed }, node.name), { reliable: false });
  };
}
