import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import { lan } from '../../src/protocol/config.ts';
import { fromHex } from '../../src/util/bytes.ts';
import { decodeCompound } from '../../src/wire/compound.ts';
import { decodeMessage, type Message } from '../../src/wire/decode.ts';
import { encodeAck, encodeIndirectPing, encodePing } from '../../src/wire/messages.ts';
import { Group, type LinkRule, pair, type TestNode, text } from '../helpers/pair.ts';

const PLAIN = { compression: false, extensions: false } as const;

/** Messages in the datagrams of a trace, CRC and compound taken off. */
function sent(group: Group, from: string): { atMs: number; to: string; message: Message }[] {
  return group.trace.flatMap((line) => {
    const [atMs, hop, hex] = line.split(' ') as [string, string, string];
    const [name, to] = hop.split('>') as [string, string];
    if (name !== from) return [];
    let bytes = fromHex(hex);
    if (bytes[0] === 12) bytes = bytes.subarray(5);
    const compound = bytes[0] === 7 ? decodeCompound(bytes) : { parts: [bytes] };
    if (typeof compound === 'number') throw new Error('a compound of ours cannot be read');
    return compound.parts.map((part) => ({ atMs: Number(atMs), to, message: decodeMessage(part) as Message }));
  });
}

function kinds(group: Group, from: string): string[] {
  return sent(group, from).map(({ message }) => message.type);
}

/** Packets between two nodes are lost in both directions; streams pass. */
function cutPackets(one: string, other: string): LinkRule {
  return ({ from, to, via }) =>
    via === 'packet' && ((from === one && to === other) || (from === other && to === one)) ? 'drop' : undefined;
}
function cut(one: string, other: string): LinkRule {
  return ({ from, to }) => ((from === one && to === other) || (from === other && to === one) ? 'drop' : undefined);
}

describe('a probe', () => {
  it('whose direct way is cut succeeds through another member, and nobody is suspected', () => {
    const group = new Group();
    const [a, b] = group.addMany(4) as [TestNode, TestNode];
    group.joinAll();
    group.rule(cut('n0', 'n1'));
    group.run(30_000);
    expect([a.status('n1'), b.status('n0')]).toEqual([STATUS.alive, STATUS.alive]);
    expect(a.story().filter((line) => line.startsWith('suspect'))).toEqual([]);
    expect(a.engine.stats.probesAckedIndirectly).toBeGreaterThan(3);
    expect(a.engine.healthScore).toBe(0);
  });

  it('without any packet coming through succeeds by stream at its end', () => {
    const { group, a, b } = pair();
    group.rule(cutPackets('a', 'b'));
    group.run(30_000);
    expect([a.status('b'), b.status('a')]).toEqual([STATUS.alive, STATUS.alive]);
    expect(a.engine.stats.probesAckedByStream).toBeGreaterThan(10);
    expect(a.engine.stats.probesFailed).toBe(0);
  });

  it('fails without packets when stream pings are off', () => {
    const { group, a } = pair({}, { disableTcpPings: true, pushPullIntervalMs: 0 });
    group.rule(cutPackets('a', 'b'));
    group.until(() => a.status('b') === STATUS.suspect, 5000);
    expect(a.engine.stats.probesAckedByStream).toBe(0);
  });

  it('asks others after the probe timeout and suspects at the end of the period', () => {
    const group = new Group({ trace: true });
    const [a] = group.addMany(5, { ...PLAIN, gossipIntervalMs: 0, pushPullIntervalMs: 0 }) as [TestNode];
    group.joinAll();
    group.run(500);
    group.crash('n4');
    group.trace.length = 0;
    group.act(a, (engine, now) => engine.forceProbe(now, 'n4'));
    const startMs = group.nowMs;
    group.until(() => a.status('n4') === STATUS.suspect, 5000);
    expect(group.nowMs - startMs).toBe(1000);
    const asked = sent(group, 'n0').filter(({ message }) => message.type === 'indirectPing');
    expect(asked).toHaveLength(3);
    expect(new Set(asked.map(({ to }) => to)).size).toBe(3);
    for (const { atMs, message } of asked) {
      expect(atMs - startMs).toBe(500);
      expect(message).toMatchObject({ nack: true, node: text('n4'), port: 7946 });
    }
  });

  it('Lifeguard §3.1: relays say nack at 80 % of the probe timeout, in time for the prober to count it', () => {
    const group = new Group({ trace: true });
    const [a] = group.addMany(5, { ...PLAIN, gossipIntervalMs: 0, pushPullIntervalMs: 0 }) as [TestNode];
    group.joinAll();
    group.run(500);
    group.crash('n4');
    const startMs = group.nowMs;
    const request = group.act(a, (engine, now) => engine.forceProbe(now, 'n4'));
    group.until(() => a.done(request) !== undefined, 5000);
    const nacks = ['n1', 'n2', 'n3'].flatMap((name) =>
      sent(group, name).filter(({ to, message }) => message.type === 'nack' && to === '10.0.0.1:7946'),
    );
    expect(nacks.map(({ atMs }) => atMs - startMs)).toEqual([901, 901, 901]);
    expect(a.engine.stats.nacksReceived).toBeGreaterThanOrEqual(3);
    // All nacks came, so the fault is not ours.
    expect(a.engine.healthScore).toBe(0);
  });

  it('Lifeguard §3.1: each expected nack that does not come counts against ourselves', () => {
    const group = new Group();
    const [a] = group.addMany(5, { gossipIntervalMs: 0, pushPullIntervalMs: 0 }) as [TestNode];
    group.joinAll();
    group.run(500);
    group.rule(({ from, to }) => (from === 'n0' || to === 'n0' ? 'drop' : undefined));
    const request = group.act(a, (engine, now) => engine.forceProbe(now, 'n4'));
    const endMs = group.nowMs + 1000;
    group.until(() => a.done(request) !== undefined, 5000);
    expect(group.nowMs).toBe(endMs);
    expect(a.engine.healthScore).toBeGreaterThanOrEqual(3);
  });

  it('a late ack is still forwarded after the nack, and ends the probe well', () => {
    const group = new Group();
    const [a, b, relay] = group.addMany(3, {
      ...PLAIN,
      gossipIntervalMs: 0,
      pushPullIntervalMs: 0,
      disableTcpPings: true,
    }) as [TestNode, TestNode, TestNode];
    group.joinAll();
    group.run(500);
    group.rule(cut('n0', 'n1'));
    group.rule(({ from, to }) => (from === 'n1' && to === 'n2' ? 420 : undefined));
    const request = group.act(a, (engine, now) => engine.forceProbe(now, 'n1'));
    group.until(() => a.done(request) !== undefined, 5000);
    expect(a.done(request)?.ok).toBe(true);
    expect(relay.engine.stats.nacksSent).toBeGreaterThan(0);
    expect(relay.engine.stats.acksForwarded).toBeGreaterThan(0);
    expect(a.engine.stats.nacksReceived).toBeGreaterThan(0);
    void b;
  });

  it('of an address that the system refuses goes to others at once', () => {
    const group = new Group({ trace: true });
    const nodes = group.addMany(4, { ...PLAIN, gossipIntervalMs: 0, pushPullIntervalMs: 0 });
    const a = nodes[0] as TestNode;
    group.joinAll();
    group.run(500);
    group.crash('n3');
    group.trace.length = 0;
    group.act(a, (engine, now) => engine.forceProbe(now, 'n3'));
    group.act(a, (engine, now) => engine.handleUnreachable(now, (nodes[3] as TestNode).address));
    expect(kinds(group, 'n0').filter((kind) => kind === 'indirectPing')).toHaveLength(2);
  });

  it('that fails does not hold up the walk: the next period probes the next member', () => {
    const group = new Group({ trace: true });
    group.addMany(8, { ...PLAIN, gossipIntervalMs: 0, pushPullIntervalMs: 0, awarenessMaxMultiplier: 1 });
    group.joinAll();
    group.run(1000);
    for (const name of ['n4', 'n5', 'n6', 'n7']) group.crash(name);
    group.trace.length = 0;
    group.run(20_000);
    const pings = sent(group, 'n0').filter(({ message, to }) => message.type === 'ping' && to.startsWith('10.0.'));
    const probed = pings.filter(({ message }) => message.type === 'ping' && message.sourceNode.length > 0);
    // One probe per period, though half of them take the whole of it.
    expect(probed.length).toBeGreaterThanOrEqual(20);
  });

  it('of a suspect carries the suspicion, so that it can refute with its ack (Lifeguard, Buddy System)', () => {
    const group = new Group({ trace: true });
    const [a, b] = group.addMany(5, { ...PLAIN, gossipIntervalMs: 0, pushPullIntervalMs: 0 }) as [TestNode, TestNode];
    group.joinAll();
    group.run(1000);
    const heal = group.rule(({ from }) => (from === 'n1' ? 'drop' : undefined));
    group.until(() => a.status('n1') === STATUS.suspect, 10_000);
    heal();
    group.trace.length = 0;
    group.act(a, (engine, now) => engine.forceProbe(now, 'n1'));
    expect(
      sent(group, 'n0')
        .slice(0, 2)
        .map(({ message }) => message.type),
    ).toEqual(['ping', 'suspect']);
    group.run(2);
    expect(a.status('n1')).toBe(STATUS.alive);
    expect(b.engine.stats.refutations).toBeGreaterThan(0);
  });

  it('is not sent when nobody else is there', () => {
    const group = new Group();
    const a = group.add('a');
    group.run(60_000);
    expect([a.engine.stats.probesSent, group.packetsSent]).toEqual([0, 0]);
  });

  it('is not sent at all with an interval of 0', () => {
    const { group, a } = pair({ preset: (options) => lan({ ...options, probeIntervalMs: 0 }) });
    group.crash('b');
    group.run(60_000);
    expect([a.engine.stats.probesSent, a.status('b')]).toEqual([0, STATUS.alive]);
  });

  it('of a member that leaves meanwhile counts neither for nor against us', () => {
    const { group, a, b } = pair({}, { gossipIntervalMs: 20 });
    group.act(b, (engine, now) => engine.leave(now));
    group.rule(({ from, to }) => (from === 'a' && to === 'b' ? 'drop' : undefined));
    const request = group.act(a, (engine, now) => engine.forceProbe(now, 'b'));
    group.until(() => a.done(request) !== undefined, 5000);
    expect(a.status('b')).toBe(STATUS.left);
    expect([a.engine.stats.probesMoot, a.engine.stats.probesFailed, a.engine.healthScore]).toEqual([1, 0, 0]);
  });
});

describe('acks', () => {
  it('with an unknown number are ignored and counted', () => {
    const { group, a } = pair();
    const out = new Uint8Array(64);
    group.inject(
      { ip: Uint8Array.of(10, 0, 0, 2), port: 7946 },
      a,
      out.slice(0, encodeAck(out, 0, { seqNo: 1, payload: null })),
    );
    expect(a.engine.stats.acksUnknown).toBe(1);
  });

  it('go to the source that the ping names', () => {
    const group = new Group({ trace: true });
    const a = group.add('a', PLAIN);
    const out = new Uint8Array(256);
    const ping = {
      seqNo: 7,
      node: text('a'),
      sourceAddr: Uint8Array.of(10, 5, 5, 5),
      sourcePort: 999,
      sourceNode: text('x'),
    };
    group.inject({ ip: Uint8Array.of(10, 0, 0, 2), port: 1 }, a, out.slice(0, encodePing(out, 0, ping)));
    expect(sent(group, 'a')[0]).toMatchObject({ to: '10.5.5.5:999', message: { type: 'ack', seqNo: 7 } });
  });

  it('go to where the ping came from when it names no source', () => {
    const group = new Group({ trace: true });
    const a = group.add('a', PLAIN);
    const out = new Uint8Array(256);
    const ping = { seqNo: 7, node: text('a'), sourceAddr: null, sourcePort: 0, sourceNode: text('') };
    group.inject({ ip: Uint8Array.of(10, 0, 0, 2), port: 77 }, a, out.slice(0, encodePing(out, 0, ping)));
    expect(sent(group, 'a')[0]).toMatchObject({ to: '10.0.0.2:77', message: { type: 'ack', seqNo: 7 } });
  });

  it('are not given to pings meant for another name', () => {
    const group = new Group();
    const a = group.add('a');
    const out = new Uint8Array(256);
    const ping = { seqNo: 7, node: text('b'), sourceAddr: null, sourcePort: 0, sourceNode: text('') };
    group.inject({ ip: Uint8Array.of(10, 0, 0, 2), port: 77 }, a, out.slice(0, encodePing(out, 0, ping)));
    expect([group.packetsSent, a.engine.stats.pingsForOthers]).toEqual([0, 1]);
  });

  it('carry the payload of the ping hook, forwarded ones never do', () => {
    const group = new Group({ trace: true });
    const nodes = group.addMany(3, {
      ...PLAIN,
      pingPayload: () => text('payload'),
      gossipIntervalMs: 0,
      pushPullIntervalMs: 0,
      disableTcpPings: true,
    });
    group.joinAll();
    group.run(500);
    group.trace.length = 0;
    group.rule(cut('n0', 'n1'));
    const request = group.act(nodes[0] as TestNode, (engine, now) => engine.forceProbe(now, 'n1'));
    group.until(() => (nodes[0] as TestNode).done(request) !== undefined, 5000);
    const acks = [...sent(group, 'n1'), ...sent(group, 'n2')].flatMap(({ to, message }) =>
      message.type === 'ack' ? [{ to, message }] : [],
    );
    const forwarded = acks.filter(({ message }) => message.payload === null);
    expect(forwarded).toHaveLength(1);
    expect(forwarded[0]?.to).toBe('10.0.0.1:7946');
    expect(acks.length).toBeGreaterThan(1);
  });
});

describe('the ping command', () => {
  it('reports the round trip, and no answer after the probe timeout', () => {
    const { group, a } = pair({ latencyMs: 7 });
    const ok = group.act(a, (engine, now) => engine.ping(now, 'b'));
    group.run(20);
    expect(a.done(ok)).toEqual({ ok: true, detail: '14' });
    group.crash('b');
    const startMs = group.nowMs;
    const failed = group.act(a, (engine, now) => engine.ping(now, 'b'));
    group.until(() => a.done(failed) !== undefined, 5000);
    expect(a.done(failed)?.ok).toBe(false);
    expect(group.nowMs - startMs).toBe(500);
    expect(() => a.engine.ping(group.nowMs, 'nobody')).toThrow(/no member is named "nobody"/);
  });
});

describe('a process that slept', () => {
  it('does not accuse others of what it missed', () => {
    const group = new Group();
    const nodes = group.addMany(6);
    group.joinAll();
    group.run(5000);
    const sleeper = nodes[2] as TestNode;
    group.pause('n2', 3000);
    group.run(60_000);
    for (const node of nodes) {
      expect(node.story().filter((line) => line.startsWith('dead'))).toEqual([]);
    }
    expect(sleeper.story().filter((line) => line.startsWith('suspect'))).toEqual([]);
  });
});

describe('relays', () => {
  it('under way are bounded; the rest is refused and counted', () => {
    const group = new Group();
    const a = group.add('a');
    const out = new Uint8Array(256);
    for (let i = 0; i < 1500; i++) {
      const ping = {
        seqNo: i,
        target: Uint8Array.of(10, 8, 8, 8),
        port: 1,
        node: text('x'),
        nack: true,
        sourceAddr: null,
        sourcePort: 0,
        sourceNode: text(''),
      };
      group.inject({ ip: Uint8Array.of(10, 0, 0, 2), port: 7 }, a, out.slice(0, encodeIndirectPing(out, 0, ping)));
    }
    expect([a.engine.stats.relaysAsked, a.engine.stats.relaysRefused]).toEqual([1500, 476]);
    group.run(2000);
    expect(a.engine.stats.nacksSent).toBe(1024);
  });
});
