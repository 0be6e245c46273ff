import { describe, expect, it } from 'vitest';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { STATUS } from '../../src/kernels/contract.ts';
import { lan } from '../../src/protocol/config.ts';
import { GossipEngine } from '../../src/protocol/engine.ts';
import { encodeNodeState, encodePing, encodePushPullHeader } from '../../src/wire/messages.ts';
import { parsePushPull } from '../../src/wire/stream-body.ts';
import { Group, pair, type TestNode, text } from '../helpers/pair.ts';

const QUIET = { gossipIntervalMs: 0, probeIntervalMs: 0 } as const;
const FROM = { ip: Uint8Array.of(10, 0, 0, 99), port: 40000 };

interface Entry {
  name: string;
  vsn?: number[];
  state?: number;
  incarnation?: number;
}

function body(entries: Entry[], { join = false, userState = '' } = {}): Uint8Array {
  const out = new Uint8Array(256 + entries.length * 128 + userState.length);
  let at = encodePushPullHeader(out, 0, { nodes: entries.length, userStateLength: userState.length, join });
  for (const [i, { name, vsn, state, incarnation }] of entries.entries()) {
    at = encodeNodeState(out, at, {
      name: text(name),
      addr: Uint8Array.of(10, 20, i >> 8, i & 255),
      port: 7946,
      meta: null,
      incarnation: incarnation ?? 1,
      state: state ?? STATUS.alive,
      vsn: vsn === undefined ? Uint8Array.of(1, 5, 2, 0, 0, 0) : Uint8Array.from(vsn),
    });
  }
  out.set(text(userState), at);
  return out.slice(0, at + userState.length);
}

describe('the push/pull tick', () => {
  it('brings two halves together that never gossip', () => {
    const group = new Group();
    const [a, b, c] = group.addMany(3, QUIET) as [TestNode, TestNode, TestNode];
    group.act(b, (engine, now) => engine.join(now, [a.address]));
    group.run(10);
    group.act(c, (engine, now) => engine.join(now, [a.address]));
    group.run(10);
    expect(b.status('n2')).toBeUndefined();
    group.until(() => b.status('n2') === STATUS.alive, 120_000);
  });

  it('comes at the interval, stretched in clusters above 32 members', () => {
    const count = (size: number): number => {
      const group = new Group();
      const a = group.add('a', { ...QUIET, pushPullIntervalMs: 1000 });
      const entries = Array.from({ length: size - 1 }, (_, i) => ({ name: `m${i}` }));
      if (size > 1) group.act(a, (engine, now) => engine.handleStream(now, FROM, body(entries)));
      group.run(61_000);
      return a.engine.stats.pushPullsStarted;
    };
    expect(count(1)).toBe(0);
    expect(count(32)).toBeGreaterThanOrEqual(59);
    expect(count(33)).toBeGreaterThanOrEqual(29);
    expect(count(33)).toBeLessThanOrEqual(30);
    expect(count(129)).toBeGreaterThanOrEqual(14);
    expect(count(129)).toBeLessThanOrEqual(15);
  });

  it('never comes with an interval of 0', () => {
    const { group, a } = pair({}, { pushPullIntervalMs: 0 });
    const before = a.engine.stats.pushPullsStarted;
    group.run(300_000);
    expect(a.engine.stats.pushPullsStarted).toBe(before);
  });
});

describe('an accepted push/pull', () => {
  it('is answered with the state from before the merge and the join flag that came', () => {
    const group = new Group();
    const a = group.add('a', { compression: false });
    for (const join of [true, false]) {
      const answer = group.act(a, (engine, now) =>
        engine.handleStream(now, FROM, body([{ name: join ? 'x' : 'y' }], { join })),
      );
      expect(parsePushPull(answer.bytes)).toMatchObject({ join, nodes: join ? 1 : 2 });
    }
    expect(
      a.engine
        .members()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['a', 'x', 'y']);
  });

  it('with versions that cannot work together is answered but not merged', () => {
    const group = new Group();
    const a = group.add('a');
    const answer = group.act(a, (engine, now) =>
      engine.handleStream(now, FROM, body([{ name: 'x', vsn: [1, 7, 6, 0, 0, 0] }])),
    );
    expect(answer.bytes.length).toBeGreaterThan(0);
    expect(a.engine.memberCount).toBe(1);
    expect(a.engine.stats.pushPullsRefused).toBe(1);
  });

  it('of more entries than one look takes is merged whole, and refused whole for one bad version at its end', () => {
    const entries = Array.from({ length: 40_000 }, (_, i) => ({ name: `member ${i}` }));
    const group = new Group();
    const a = group.add('a', QUIET);
    const bad = body([...entries, { name: 'bad', vsn: [0, 0, 0, 0, 0, 0] }]);
    group.act(a, (engine, now) => engine.handleStream(now, FROM, bad));
    group.until(() => a.engine.stats.pushPullsRefused === 1, 10_000);
    expect(a.engine.memberCount).toBe(1);
    group.act(a, (engine, now) => engine.handleStream(now, FROM, body(entries)));
    group.until(() => a.engine.stats.pushPullsMerged === 1, 10_000);
    expect(a.engine.memberCount).toBe(40_001);
    expect(a.kernels.stateCodec.recordCapacity).toBeLessThan(40_000);
    const shown = a.events.filter((event) => event.type === 'join').length;
    expect(shown).toBe(40_001);
  });

  it('cut short or damaged changes nothing and is counted', () => {
    const group = new Group();
    const a = group.add('a', QUIET);
    const whole = body([{ name: 'x' }, { name: 'y' }]);
    for (let length = 1; length < whole.length; length++) {
      group.act(a, (engine, now) => engine.handleStream(now, FROM, whole.subarray(0, length)));
    }
    expect(a.engine.memberCount).toBe(1);
    const rejected = Object.values(a.engine.stats.rejected).reduce((sum, n) => sum + n, 0);
    expect(rejected).toBeGreaterThan(0);
  });

  it('about more members than the limit is merged up to it, the rest is counted', () => {
    const group = new Group();
    const a = group.add('a', { ...QUIET, membersMax: 100 });
    const entries = Array.from({ length: 150 }, (_, i) => ({ name: `m${i}` }));
    group.act(a, (engine, now) => engine.handleStream(now, FROM, body(entries)));
    group.until(() => a.engine.stats.pushPullsMerged === 1, 10_000);
    expect([a.engine.memberCount, a.engine.stats.refusedByMembersMax]).toEqual([100, 51]);
  });

  it('with an unknown state value passes over that entry', () => {
    const group = new Group();
    const a = group.add('a');
    group.act(a, (engine, now) => engine.handleStream(now, FROM, body([{ name: 'x', state: 9 }, { name: 'y' }])));
    expect(
      a.engine
        .members()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['a', 'y']);
  });
});

describe('user state', () => {
  it('travels both ways with the join flag', () => {
    const seen: string[] = [];
    const hooks = (name: string) => ({
      localState: (join: boolean) => text(`${name} ${join}`),
      mergeRemoteState: (state: Uint8Array, join: boolean) =>
        void seen.push(`${name} got "${Buffer.from(state)}" ${join}`),
    });
    const group = new Group();
    const a = group.add('a', { ...QUIET, ...hooks('a') });
    const b = group.add('b', { ...QUIET, ...hooks('b') });
    group.act(b, (engine, now) => engine.join(now, [a.address]));
    group.run(10);
    expect(seen).toEqual(['a got "b true" true', 'b got "a true" true']);
  });

  it('of no bytes does not call the hook', () => {
    let calls = 0;
    const group = new Group();
    const a = group.add('a', { mergeRemoteState: () => void calls++ });
    group.act(a, (engine, now) => engine.handleStream(now, FROM, body([{ name: 'x' }])));
    expect([calls, a.engine.memberCount]).toEqual([0, 2]);
  });
});

describe('filters', () => {
  it('the merge filter sees everything that a join brings and can refuse it', () => {
    const asked: string[][] = [];
    const group = new Group();
    const a = group.add('a', QUIET);
    const b = group.add('b', {
      ...QUIET,
      mergeFilter: (members) => {
        asked.push(members.map(({ name, address }) => `${name} ${address.port}`));
        return false;
      },
    });
    const request = group.act(b, (engine, now) => engine.join(now, [a.address]));
    group.run(10);
    expect(asked).toEqual([['a 7946']]);
    expect(b.done(request)).toEqual({ ok: false, detail: 'refused by the merge filter' });
    expect(b.status('a')).toBeUndefined();
    // Only joins are asked about.
    group.act(b, (engine, now) => engine.handleStream(now, FROM, body([{ name: 'x' }])));
    expect([asked.length, b.status('x')]).toEqual([1, STATUS.alive]);
  });

  it('members outside the allowed networks are refused and counted', () => {
    const group = new Group();
    const a = group.add('a', { ...QUIET, allowedCidrs: ['10.0.0.0/16'] });
    group.act(a, (engine, now) => engine.handleStream(now, FROM, body([{ name: 'x' }])));
    expect([a.status('x'), a.engine.stats.refusedByCidr]).toEqual([undefined, 1]);
  });

  it('with protocol version 1 received ports are ignored', () => {
    const group = new Group();
    const address = { ip: Uint8Array.of(10, 0, 0, 1), port: 5555 };
    const a = group.add('a', { ...QUIET, address, protocolVersion: 1 });
    group.act(a, (engine, now) => engine.handleStream(now, FROM, body([{ name: 'x', vsn: [1, 5, 1, 0, 0, 0] }])));
    expect(a.engine.member('x')?.address.port).toBe(5555);
  });
});

describe('other streams', () => {
  const answerTo = (message: Uint8Array): { answer: Uint8Array; node: TestNode } => {
    const group = new Group();
    const node = group.add('a', { compression: false });
    return { answer: group.act(node, (engine, now) => engine.handleStream(now, FROM, message)).bytes, node };
  };
  const ping = (name: string): Uint8Array => {
    const out = new Uint8Array(128);
    return out.slice(
      0,
      encodePing(out, 0, { seqNo: 5, node: text(name), sourceAddr: null, sourcePort: 0, sourceNode: text('') }),
    );
  };

  it('a ping for us is acked, one for another name is not answered', () => {
    expect(answerTo(ping('a')).answer[0]).toBe(2);
    const { answer, node } = answerTo(ping('b'));
    expect([answer.length, node.engine.stats.pingsForOthers]).toEqual([0, 1]);
  });

  it('a message that does not belong on a stream is refused and counted', () => {
    const { answer, node } = answerTo(Uint8Array.of(4, 0x80));
    expect([answer.length, node.engine.stats.streamsRejected, node.engine.stats.rejected['unknownType']]).toEqual([
      0, 1, 1,
    ]);
    expect(answerTo(new Uint8Array(0)).node.engine.stats.rejected['empty']).toBe(1);
  });

  it('a remote error ends the exchange with its text', () => {
    const group = new Group();
    group.add('a', { label: 'blue', verifyIncoming: true });
    const b = group.add('b', { label: 'green' });
    const request = group.act(b, (engine, now) => engine.join(now, [group.node('a').address]));
    group.run(20_000);
    expect(b.done(request)?.ok).toBe(false);
    expect(group.node('a').engine.stats.rejected['labelMismatch']).toBe(1);
  });

  it('that the driver never reports on are given up', () => {
    const kernels = chooseBackend('js').createEngineKernels({ rngSeed: 1 });
    const engine = new GossipEngine(
      lan({ name: 'a', address: { ip: Uint8Array.of(10, 0, 0, 1), port: 7946 } }),
      kernels,
    );
    engine.start(0);
    const request = engine.join(0, [FROM]);
    while (engine.pollEvent());
    const stream = engine.pollStream();
    expect(stream?.deadlineMs).toBe(10_000);
    engine.handleTimeout(11_000);
    expect(engine.pollEvent()).toEqual({ type: 'done', request, ok: false, detail: 'timed out' });
    engine.handleStreamReply(11_001, stream?.id ?? 0, new Uint8Array(0));
    expect(engine.stats.streamRepliesUnknown).toBe(1);
  });
});
