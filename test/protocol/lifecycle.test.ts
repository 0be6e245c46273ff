import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import { lan } from '../../src/protocol/config.ts';
import { encodeAlive, encodeDead } from '../../src/wire/messages.ts';
import { Group, pair, type TestNode, text } from '../helpers/pair.ts';

const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

function alive(node: string, incarnation: number, ip: number[], port = 7946, meta = ''): Uint8Array {
  const out = new Uint8Array(1024);
  const message = { incarnation, node: text(node), addr: Uint8Array.from(ip), port, meta: text(meta), vsn: VSN };
  return out.slice(0, encodeAlive(out, 0, message));
}

function metaOf(node: TestNode, name: string): string {
  return Buffer.from(node.engine.member(name)?.meta ?? []).toString();
}

describe('metadata', () => {
  it('reaches everybody, and is done once it was told often enough', () => {
    const group = new Group();
    const [a, b, c] = group.addMany(3) as [TestNode, TestNode, TestNode];
    group.joinAll();
    const request = group.act(a, (engine, now) => engine.setMeta(now, text('v2')));
    expect(a.done(request)).toBeUndefined();
    group.until(() => metaOf(b, 'n0') === 'v2' && metaOf(c, 'n0') === 'v2', 2000);
    group.until(() => a.done(request) !== undefined, 5000);
    expect(a.done(request)?.ok).toBe(true);
    expect(b.story()).toContain('update n0');
    expect(a.story()).toContain('update n0');
    expect(b.engine.member('n0')?.incarnation).toBe(2);
  });

  it('is done at once when nobody else is there', () => {
    const group = new Group();
    const a = group.add('a');
    const request = group.act(a, (engine, now) => engine.setMeta(now, text('v2')));
    expect(a.done(request)?.ok).toBe(true);
  });

  it('of more than 512 bytes is refused with the limit', () => {
    const { group, a } = pair();
    expect(() => a.engine.setMeta(group.nowMs, new Uint8Array(513))).toThrow(/at most 512 bytes, got 513/);
  });

  it('set twice in a row ends both requests, and the later one wins', () => {
    const { group, a, b } = pair();
    const first = group.act(a, (engine, now) => engine.setMeta(now, text('one')));
    const second = group.act(a, (engine, now) => engine.setMeta(now, text('two')));
    expect(a.done(first)?.ok).toBe(true);
    group.until(() => a.done(second) !== undefined, 5000);
    expect(metaOf(b, 'a')).toBe('two');
  });
});

describe('leaving', () => {
  it('is told to everybody in a small cluster even when gossip carries nothing', () => {
    const group = new Group();
    const nodes = group.addMany(12, { gossipIntervalMs: 0, probeIntervalMs: 0, pushPullIntervalMs: 0 });
    const [first, ...others] = nodes as [TestNode, ...TestNode[]];
    for (const node of others) group.act(node, (engine, now) => engine.join(now, [first.address]));
    group.run(5000);
    const leaver = first;
    expect(leaver.engine.members().filter(({ status }) => status === STATUS.alive)).toHaveLength(12);
    group.act(leaver, (engine, now) => engine.leave(now));
    group.run(100);
    for (const node of others) expect(node.status(leaver.name)).toBe(STATUS.left);
  });

  it('is seen as left by all, never as dead or suspect', () => {
    const group = new Group();
    const nodes = group.addMany(4);
    group.joinAll();
    const leaver = nodes[3] as TestNode;
    const request = group.act(leaver, (engine, now) => engine.leave(now));
    group.until(() => leaver.done(request) !== undefined, 5000);
    group.until(() => nodes.slice(0, 3).every((node) => node.status('n3') === STATUS.left), 2000);
    group.crash('n3');
    group.run(60_000);
    for (const node of nodes.slice(0, 3)) {
      expect(node.story()).toContain('leave n3');
      expect(node.story().filter((line) => /suspect|dead/.test(line))).toEqual([]);
    }
  });

  it('is done at once when nobody else is there, and a second time too', () => {
    const group = new Group();
    const a = group.add('a');
    const first = group.act(a, (engine, now) => engine.leave(now));
    const second = group.act(a, (engine, now) => engine.leave(now));
    expect([a.done(first)?.ok, a.done(second)?.ok]).toEqual([true, true]);
    expect(a.engine.self.status).toBe(STATUS.left);
  });

  it('does not stop a node from answering until it is shut down', () => {
    const { group, a, b } = pair();
    group.act(b, (engine, now) => engine.leave(now));
    group.run(5000);
    const request = group.act(a, (engine, now) => engine.ping(now, 'b'));
    group.run(100);
    expect(a.done(request)).toEqual({ ok: true, detail: '2' });
  });

  it('a node that left and starts again is a member again', () => {
    const { group, a, b } = pair();
    group.act(b, (engine, now) => engine.leave(now));
    group.run(2000);
    group.crash('b');
    const again = group.add('b', { address: { ip: Uint8Array.of(10, 7, 7, 7), port: 7946 } });
    group.act(again, (engine, now) => engine.join(now, [a.address]));
    group.until(() => a.status('b') === STATUS.alive, 5000);
    expect(a.story().slice(-2)).toEqual(['leave b', 'join b']);
    expect([...(a.engine.member('b')?.address.ip ?? [])]).toEqual([10, 7, 7, 7]);
  });
});

describe('suspicion', () => {
  it('of a live member is refuted, and nobody declares it dead', () => {
    const group = new Group();
    const [a, b, c] = group.addMany(5) as [TestNode, TestNode, TestNode];
    group.joinAll();
    group.run(1000);
    // For two seconds nobody hears n1's answers, but n1 hears everything.
    const heal = group.rule(({ from }) => (from === 'n1' ? 'drop' : undefined));
    group.until(() => a.status('n1') === STATUS.suspect, 10_000);
    heal();
    group.until(() => a.status('n1') === STATUS.alive && c.status('n1') === STATUS.alive, 5000);
    group.run(30_000);
    expect(a.story()).toContain('alive n1');
    expect(a.story()).not.toContain('dead n1');
    expect(b.engine.self.incarnation).toBeGreaterThan(1);
    expect(b.engine.stats.refutations).toBeGreaterThan(0);
  });

  it('is confirmed by others, which brings the death sentence forward from 24 s to 4 s', () => {
    const group = new Group();
    const nodes = group.addMany(8);
    group.joinAll();
    group.run(5000);
    const crashedMs = group.nowMs;
    group.crash('n7');
    const others = nodes.slice(0, 7);
    group.until(() => others.some((node) => node.status('n7') === STATUS.suspect), 10_000);
    const suspectedMs = group.nowMs;
    group.until(() => others.every((node) => node.status('n7') === STATUS.dead), 30_000);
    expect(others.some((node) => node.engine.stats.suspicionsConfirmed >= 2)).toBe(true);
    expect(group.nowMs - suspectedMs).toBeLessThan(12_000);
    expect(group.nowMs - crashedMs).toBeLessThan(20_000);
  });
});

describe('addresses and names', () => {
  it('a name claimed from another address is a conflict and changes nothing', () => {
    const { group, a } = pair();
    group.inject({ ip: Uint8Array.of(10, 0, 0, 77), port: 7946 }, a, alive('b', 9, [10, 0, 0, 77]));
    const conflict = a.events.find((event) => event.type === 'conflict');
    expect(conflict).toMatchObject({ member: { name: 'b' }, other: { port: 7946 } });
    expect([...(a.engine.member('b')?.address.ip ?? [])]).toEqual([10, 0, 0, 2]);
    expect(a.engine.stats.conflicts).toBe(1);
  });

  it('a dead member may come back from another address after the reclaim time, not before', () => {
    const group = new Group();
    const a = group.add('a', { deadNodeReclaimMs: 20_000, gossipToTheDeadMs: 600_000 });
    group.add('b');
    group.joinAll();
    group.crash('b');
    group.until(() => a.status('b') === STATUS.dead, 40_000);
    const sender = { ip: Uint8Array.of(10, 0, 0, 77), port: 7946 };
    group.run(19_000);
    group.inject(sender, a, alive('b', 1, [10, 0, 0, 77]));
    expect(a.status('b')).toBe(STATUS.dead);
    expect(a.engine.stats.conflicts).toBe(1);
    group.run(2000);
    group.inject(sender, a, alive('b', 1, [10, 0, 0, 77]));
    expect(a.status('b')).toBe(STATUS.alive);
    expect([...(a.engine.member('b')?.address.ip ?? [])]).toEqual([10, 0, 0, 77]);
  });

  it('a dead member is forgotten once nobody gossips to it any more', () => {
    const group = new Group();
    const [a] = group.addMany(3) as [TestNode];
    group.joinAll();
    group.crash('n2');
    group.until(() => a.status('n2') === STATUS.dead, 40_000);
    group.run(29_000);
    expect(a.status('n2')).toBe(STATUS.dead);
    group.until(() => a.status('n2') === undefined, 10_000);
    expect(a.engine.stats.membersReaped).toBe(1);
    expect(a.engine.memberCount).toBe(2);
  });

  it('a node whose last companion died forgets it too, although it has nobody to probe', () => {
    const { group, a } = pair();
    group.crash('b');
    group.until(() => a.status('b') === STATUS.dead, 40_000);
    group.until(() => a.status('b') === undefined, 60_000);
    expect(a.engine.memberCount).toBe(1);
  });

  it('the memory of reaped members is used again', () => {
    const group = new Group({ preset: lan });
    const a = group.add('a', { gossipToTheDeadMs: 100, probeIntervalMs: 20, probeTimeoutMs: 10 });
    const sender = { ip: Uint8Array.of(10, 0, 9, 9), port: 7946 };
    for (let i = 0; i < 1000; i++) {
      group.inject(sender, a, alive(`guest${i}`, 1, [10, 1, i >> 8, i & 255], 7946, `meta ${i}`));
      const out = new Uint8Array(256);
      const name = text(`guest${i}`);
      group.inject(sender, a, out.slice(0, encodeDead(out, 0, { incarnation: 1, node: name, from: name })));
      if (i % 10 === 9) group.run(1000);
    }
    group.run(5000);
    expect(a.engine.memberCount).toBe(1);
    expect(a.engine.stats.membersReaped).toBe(1000);
    expect(a.kernels.table.capacity).toBeLessThanOrEqual(128);
  });
});
