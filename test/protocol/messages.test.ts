import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import { parseIp } from '../../src/util/address.ts';
import { encodeUserHeader } from '../../src/wire/messages.ts';
import { encodeRumor } from '../../src/wire/rumor.ts';
import { Group, pair, type TestNode, text } from '../helpers/pair.ts';

function userStream(said: string): Uint8Array {
  const out = new Uint8Array(64);
  const end = encodeUserHeader(out, 0, said.length);
  out.set(text(said), end);
  return out.slice(0, end + said.length);
}

function heard(node: TestNode, word: string): number {
  return node.messages().filter(({ text: said }) => said === word).length;
}

describe('a user message', () => {
  it('by packet arrives with the name of its sender', () => {
    const { group, a, b } = pair();
    const request = group.act(a, (engine, now) => engine.send(now, 'b', text('hello'), false));
    group.run(5);
    expect(a.done(request)?.ok).toBe(true);
    expect(b.messages()).toEqual([{ from: 'a', text: 'hello', via: 'packet' }]);
  });

  it('by stream arrives with the name of its sender, whatever its size', () => {
    const { group, a, b } = pair();
    const large = 'x'.repeat(100_000);
    const request = group.act(a, (engine, now) => engine.send(now, 'b', text(large), true));
    group.run(20);
    expect(a.done(request)).toEqual({ ok: true, detail: 'sent' });
    expect(b.messages()).toEqual([{ from: 'a', text: large, via: 'stream' }]);
  });

  it('by stream to a dead process is reported as failed', () => {
    const { group, a } = pair();
    group.crash('b');
    const request = group.act(a, (engine, now) => engine.send(now, 'b', text('hello'), true));
    group.run(20);
    expect(a.done(request)).toEqual({ ok: false, detail: 'connection refused' });
  });

  it('from a member that writes its IPv4 address in 16 bytes still has the name of its sender', () => {
    const group = new Group();
    const mapped = parseIp('::ffff:10.0.0.1') as Uint8Array;
    const a = group.add('a', { address: { ip: mapped, port: 7946 } });
    const b = group.add('b');
    group.joinAll();
    // What a socket says about the sender: four bytes.
    group.inject({ ip: Uint8Array.of(10, 0, 0, 1), port: 7946 }, b, Uint8Array.of(8, ...text('psst')));
    group.act(b, (engine, now) =>
      engine.handleStream(now, { ip: Uint8Array.of(10, 0, 0, 1), port: 50000 }, userStream('loud')),
    );
    expect(b.status(a.name)).toBe(STATUS.alive);
    expect(b.messages()).toEqual([
      { from: 'a', text: 'psst', via: 'packet' },
      { from: 'a', text: 'loud', via: 'stream' },
    ]);
  });

  it('to an address needs no member', () => {
    const group = new Group();
    const a = group.add('a');
    const b = group.add('b');
    group.act(a, (engine, now) => engine.send(now, b.address, text('psst'), false));
    group.run(5);
    expect(b.messages()).toEqual([{ from: '', text: 'psst', via: 'packet' }]);
  });

  it('to an unknown name, or one too large, is refused with a reason', () => {
    const { group, a } = pair();
    expect(() => a.engine.send(group.nowMs, 'nobody', text('x'), false)).toThrow(/no member is named "nobody"/);
    expect(() => a.engine.send(group.nowMs, 'b', new Uint8Array(65507), false)).toThrow(
      /at most 65501 bytes by packet/,
    );
    expect(() => a.engine.send(group.nowMs, 'b', new Uint8Array(20 * 1048576 + 1), true)).toThrow(/by stream/);
  });

  it('may be empty by packet, and says nothing by stream', () => {
    const { group, a, b } = pair();
    group.act(a, (engine, now) => engine.send(now, 'b', text(''), false));
    group.act(a, (engine, now) => engine.send(now, 'b', text(''), true));
    group.run(20);
    expect(b.messages()).toEqual([{ from: 'a', text: '', via: 'packet' }]);
  });
});

describe('a broadcast', () => {
  it('reaches every member exactly once, also those that the first one never talks to', () => {
    const group = new Group();
    const nodes = group.addMany(40);
    group.joinAll();
    const first = nodes[0] as TestNode;
    group.act(first, (engine, now) => engine.broadcast(now, text('news')));
    group.until(() => nodes.slice(1).every((node) => heard(node, 'news') === 1), 10_000);
    group.run(20_000);
    for (const node of nodes) expect(heard(node, 'news')).toBe(node === first ? 0 : 1);
    expect((nodes[39] as TestNode).messages()).toEqual([{ from: 'n0', text: 'news', via: 'broadcast' }]);
  });

  it('is delivered once although it also rides on pings made for others, their forwarded acks, and nacks', () => {
    // No gossip ticks: news travels on probe messages alone. Direct packets between a and b are lost, so they probe each other through c.
    const group = new Group();
    const [a, b, c] = group.addMany(3, { gossipIntervalMs: 0, disableTcpPings: true }) as [
      TestNode,
      TestNode,
      TestNode,
    ];
    group.joinAll();
    group.rule(({ from, to, via }) => (via === 'packet' && [from, to].sort().join() === 'n0,n1' ? 'drop' : undefined));
    for (let i = 0; i < 5; i++) {
      group.act(c, (engine, now) => engine.broadcast(now, text(`news ${i}`)));
      group.run(5_000);
    }
    expect(b.engine.stats.rumorsReceived + a.engine.stats.rumorsReceived).toBeGreaterThan(10);
    expect(a.engine.stats.acksForwarded + b.engine.stats.acksForwarded + c.engine.stats.acksForwarded).toBeGreaterThan(
      0,
    );
    for (const node of [a, b]) {
      expect(node.messages().map((message) => message.text)).toEqual([0, 1, 2, 3, 4].map((i) => `news ${i}`));
      expect(node.engine.stats.userMessagesReceived).toBe(0);
    }
  });

  it('reaches members that never announced extensions as a plain user message', () => {
    const group = new Group();
    const a = group.add('a');
    const plain = group.add('plain', { extensions: false });
    group.joinAll();
    group.run(5000);
    expect(a.engine.member('plain')?.extended).toBe(false);
    group.act(a, (engine, now) => engine.broadcast(now, text('news')));
    group.until(() => heard(plain, 'news') > 0, 5000);
    expect(plain.messages()[0]).toEqual({ from: 'a', text: 'news', via: 'packet' });
  });

  it('of a plain member arrives as a plain user message', () => {
    const group = new Group();
    const plain = group.add('plain', { extensions: false });
    const b = group.add('b');
    group.joinAll();
    group.act(plain, (engine, now) => engine.broadcast(now, text('news')));
    group.until(() => heard(b, 'news') > 0, 5000);
    expect(b.messages()[0]).toEqual({ from: 'plain', text: 'news', via: 'packet' });
  });

  it('that fits no packet is refused with the limit, one byte less is taken and arrives', () => {
    const { group, a, b } = pair({}, { label: 'blue' });
    let limit = 0;
    try {
      a.engine.broadcast(group.nowMs, new Uint8Array(5000));
    } catch (error) {
      limit = Number(/at most (\d+) bytes/.exec((error as Error).message)?.[1]);
    }
    expect(limit).toBeGreaterThan(1300);
    expect(() => a.engine.broadcast(group.nowMs, new Uint8Array(limit + 1))).toThrow(/ERR_BROADCAST_TOO_LARGE|at most/);
    group.act(a, (engine, now) => engine.broadcast(now, text('y'.repeat(limit))));
    group.until(() => b.messages().length === 1, 5000);
  });

  it('is not starved by membership news, nor starves it', () => {
    const group = new Group({ latencyMs: 1 });
    const nodes = group.addMany(20);
    group.joinAll();
    group.run(10_000);
    const [first] = nodes as [TestNode];
    let version = 0;
    // Everybody changes its metadata all the time: more news than packets can carry.
    const churn = (): void => {
      for (const node of nodes)
        group.act(node, (engine, now) => engine.setMeta(now, text(`v${version}`.padEnd(400, '.'))));
      version++;
    };
    churn();
    group.run(100);
    for (let i = 0; i < 5; i++) group.act(first, (engine, now) => engine.broadcast(now, text(`rumor ${i}`)));
    for (let i = 0; i < 40; i++) {
      churn();
      group.run(100);
    }
    for (const node of nodes.slice(1)) for (let i = 0; i < 5; i++) expect(heard(node, `rumor ${i}`)).toBe(1);
    group.run(10_000);
    const meta = (node: TestNode, name: string): string => Buffer.from(node.engine.member(name)?.meta ?? []).toString();
    for (const node of nodes) for (const other of nodes) expect(meta(node, other.name)).toMatch(/^v40\./);
  });

  it('cut short on the wire is dropped and counted', () => {
    const { group, a } = pair({}, { compression: false });
    const out = new Uint8Array(100);
    const rumor = { id: new Uint8Array(8), origin: text('b'), payload: text('x') };
    const whole = out.slice(0, encodeRumor(out, 0, rumor));
    group.inject({ ip: Uint8Array.of(10, 0, 0, 2), port: 7946 }, a, whole.slice(0, 9));
    group.inject({ ip: Uint8Array.of(10, 0, 0, 2), port: 7946 }, a, whole.slice(0, 1));
    expect(a.messages()).toEqual([]);
    expect(a.engine.stats.rejected['truncated']).toBe(2);
  });

  it('of two members with equal seeds is not taken for one', () => {
    const group = new Group();
    const nodes = group.addMany(3, { rngSeed: 7 });
    group.joinAll();
    group.act(nodes[0] as TestNode, (engine, now) => engine.broadcast(now, text('one')));
    group.act(nodes[1] as TestNode, (engine, now) => engine.broadcast(now, text('two')));
    group.run(5000);
    expect(
      (nodes[2] as TestNode)
        .messages()
        .map((message) => message.text)
        .sort(),
    ).toEqual(['one', 'two']);
  });
});

describe('the stalled state', () => {
  it('is seen by others within a probe round, is not suspicion, and goes away', () => {
    const group = new Group();
    const nodes = group.addMany(5);
    group.joinAll();
    const [a, b] = nodes as [TestNode, TestNode];
    group.act(b, (engine, now) => engine.setStalled(now, true));
    group.until(() => nodes.every((node) => node === b || node.engine.member('n1')?.stalled === true), 3000);
    expect(a.story()).toContain('stall n1');
    expect(b.engine.self.incarnation).toBe(1);
    group.run(10_000);
    expect(a.status('n1')).toBe(0);
    group.act(b, (engine, now) => engine.setStalled(now, false));
    group.until(() => nodes.every((node) => node.engine.member('n1')?.stalled === false), 3000);
    expect(a.story().filter((line) => line.endsWith('n1'))).toEqual(['join n1', 'stall n1', 'resume n1']);
  });

  it('is told by pings and acks alone when no news can spread', () => {
    const { group, a, b } = pair({}, { gossipIntervalMs: 0, pushPullIntervalMs: 0 });
    group.run(20_000);
    group.act(b, (engine, now) => engine.setStalled(now, true));
    group.until(() => a.engine.member('b')?.stalled === true, 3000);
  });

  it('is told once per change, however often it is set', () => {
    const { group, a, b } = pair();
    for (let i = 0; i < 10; i++) {
      group.act(b, (engine, now) => engine.setStalled(now, true));
      group.run(500);
    }
    expect(a.story().filter((line) => line === 'stall b')).toHaveLength(1);
  });

  it('ends with the process: one that comes back before anybody missed it is not stalled for ever', () => {
    const { group, a, b } = pair();
    group.act(b, (engine, now) => engine.setStalled(now, true));
    group.until(() => a.engine.member('b')?.stalled === true, 3000);
    group.crash('b');
    const again = group.add('b', { address: b.address });
    group.act(again, (engine, now) => engine.join(now, [a.address]));
    group.until(() => a.engine.member('b')?.stalled === false, 3000);
    group.run(20_000);
    expect(a.story().filter((line) => line.endsWith(' b'))).toEqual(['join b', 'stall b', 'resume b']);
    expect(again.engine.self.incarnation).toBe(2);
  });

  it('cannot be told by a node without extensions', () => {
    const { group, a, b } = pair({}, { extensions: false });
    group.act(b, (engine, now) => engine.setStalled(now, true));
    group.run(5000);
    expect([a.engine.member('b')?.stalled, a.engine.member('b')?.extended]).toEqual([false, false]);
  });
});
