import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import { HEADER, INTERNER } from '../../src/kernels/layout.ts';
import { fromHex } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';
import { Keyring } from '../../src/wire/keyring.ts';
import { encodeAlive } from '../../src/wire/messages.ts';
import { Group, pair, type TestNode, text } from '../helpers/pair.ts';

const SENDER = { ip: Uint8Array.of(10, 0, 0, 2), port: 7946 };

function alive(node: string, incarnation: number, meta: Uint8Array | null = null): Uint8Array {
  const out = new Uint8Array(1024);
  const message = {
    incarnation,
    node: text(node),
    addr: Uint8Array.of(10, 3, 3, 3),
    port: 7946,
    meta,
    vsn: Uint8Array.of(1, 5, 2, 0, 0, 0),
  };
  return out.slice(0, encodeAlive(out, 0, message));
}

function rejections(node: TestNode): number {
  return Object.values(node.engine.stats.rejected).reduce((sum, n) => sum + n, 0);
}

describe('packets', () => {
  it('that come twice, late or out of order change nothing the second time', () => {
    const group = new Group({ trace: true });
    const nodes = group.addMany(5);
    group.joinAll();
    group.act(nodes[1] as TestNode, (engine, now) => engine.setMeta(now, text('v2')));
    group.run(10_000);
    const stories = nodes.map((node) => node.story());
    const recorded = group.trace.flatMap((line) => {
      const [, hop, hex] = line.split(' ') as [string, string, string];
      const target = nodes.find((node) => hop.endsWith(`>10.0.0.${nodes.indexOf(node) + 1}:7946`));
      return hop.includes('=>') || !target ? [] : [{ target, bytes: fromHex(hex) }];
    });
    expect(recorded.length).toBeGreaterThan(100);
    for (const { target, bytes } of recorded.reverse()) group.inject(SENDER, target, bytes);
    group.run(10_000);
    expect(nodes.map((node) => node.story())).toEqual(stories);
  });

  it('of any bytes at all never throw, and what is rejected is counted', () => {
    const { group, a } = pair({}, { compression: false });
    const prng = new Prng(42);
    for (let i = 0; i < 20_000; i++) {
      const bytes = new Uint8Array(prng.below(60));
      prng.fill(bytes);
      if (bytes.length > 0) bytes[0] = prng.below(16);
      group.inject(SENDER, a, bytes);
    }
    expect(rejections(a)).toBeGreaterThan(10_000);
    expect(a.status('b')).toBe(STATUS.alive);
  });

  it('mutated from real ones never throw and never make the table inconsistent', () => {
    const layers = JSON.parse(
      readFileSync(new URL('../vectors/memberlist-messages.json', import.meta.url), 'utf8'),
    ) as object;
    const samples = [...JSON.stringify(layers).matchAll(/"([0-9a-f]{16,600})"/g)].map((match) =>
      fromHex(match[1] as string),
    );
    expect(samples.length).toBeGreaterThan(10);
    const { group, a } = pair();
    const prng = new Prng(7);
    for (let i = 0; i < 20_000; i++) {
      const bytes = (samples[prng.below(samples.length)] as Uint8Array).slice();
      for (let flips = prng.below(3); flips > 0; flips--) bytes[prng.below(bytes.length)] = prng.below(256);
      group.inject(SENDER, a, bytes.subarray(0, 1 + prng.below(bytes.length)));
    }
    const members = a.engine.members();
    expect(members).toHaveLength(a.engine.memberCount);
    for (const member of members) expect(a.engine.member(member.name)?.incarnation).toBe(member.incarnation);
  });

  it('half good are dropped whole', () => {
    const { group, a } = pair({}, { compression: false });
    const good = alive('x', 1);
    const compound = Uint8Array.of(7, 2, 0, good.length, 0, 3, ...good, 4, 0xc1, 0xc1);
    group.inject(SENDER, a, compound);
    expect([a.status('x'), rejections(a)]).toEqual([undefined, 1]);
  });

  it('with one unknown part in a compound lose that part only', () => {
    const { group, a } = pair({}, { compression: false });
    const good = alive('x', 1);
    group.inject(SENDER, a, Uint8Array.of(7, 2, 0, 2, 0, good.length, 99, 0, ...good));
    expect([a.status('x'), a.engine.stats.skippedParts]).toEqual([STATUS.alive, 1]);
  });

  it('naming ever new members fill the table up to its limit and not further', () => {
    const group = new Group();
    const a = group.add('a', { membersMax: 500, probeIntervalMs: 0 });
    for (let i = 0; i < 3000; i++) group.inject(SENDER, a, alive(`ghost ${i}`, 1));
    expect([a.engine.memberCount, a.engine.stats.refusedByMembersMax]).toEqual([500, 2501]);
    expect(a.kernels.table.capacity).toBeLessThanOrEqual(500);
  });

  it('leave a full table able to follow the members it has', () => {
    const group = new Group();
    const a = group.add('a', { membersMax: 64, probeIntervalMs: 0 });
    for (let i = 0; i < 100; i++) group.inject(SENDER, a, alive(`m${i}`, 1));
    const known = group.act(a, (engine) => engine.members()).filter(({ name }) => name !== 'a');
    // Together more than the memory of addresses and metadata that the table began with.
    for (const { name } of known) group.inject(SENDER, a, alive(name, 2, text(name.padEnd(500))));
    const now = a.engine.members().filter(({ name }) => name !== 'a');
    expect(now.every(({ incarnation, meta }) => incarnation === 2 && meta.length === 500)).toBe(true);
    expect(a.engine.stats.refusedByMembersMax).toBe(100 - known.length);
  });

  it('that change metadata to every size in turn take no more memory than the largest of them', () => {
    const group = new Group();
    const a = group.add('a', { probeIntervalMs: 0, gossipIntervalMs: 0 });
    const members = 200;
    for (let size = 16; size <= 512; size += 16) {
      for (let i = 0; i < members; i++) group.inject(SENDER, a, alive(`m${i}`, size, text(`m${i}`.padEnd(size))));
    }
    expect(a.engine.member('m7')?.meta.length).toBe(512);
    expect(a.kernels.profiles.u32[INTERNER.heapBytes >>> 2]).toBeLessThanOrEqual(4 * members * (512 + 32));
  });

  it('of rumors without end leave the queue and the memory of ids bounded', () => {
    const { group, a } = pair({}, { compression: false, seenRumorsMax: 100 });
    for (let i = 0; i < 5000; i++) {
      const rumor = Uint8Array.of(200, 0, 0, 0, 0, 0, 0, i >> 8, i & 255, 1, 0x78, ...new Array<number>(500).fill(1));
      a.engine.handlePacket(group.nowMs, SENDER, rumor);
      while (a.engine.pollEvent());
    }
    expect(a.kernels.queue.u32[HEADER.live >>> 2]).toBeLessThanOrEqual(256);
    expect(a.engine.stats.broadcastsEvicted).toBeGreaterThan(4000);
  });
});

describe('sealed clusters', () => {
  const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
  const ring = (...keys: Uint8Array[]): Keyring => Keyring.create(keys, keys[0] as Uint8Array);

  it('with a key, a label and compression do all that plain ones do', () => {
    const group = new Group();
    const nodes = Array.from({ length: 4 }, (_, i) => group.add(`n${i}`, { keyring: ring(key(1)), label: 'blue' }));
    group.joinAll();
    group.act(nodes[0] as TestNode, (engine, now) => engine.broadcast(now, text('secret')));
    group.act(nodes[0] as TestNode, (engine, now) => engine.send(now, 'n1', text('direct '.repeat(100)), true));
    group.run(5000);
    expect(
      (nodes[1] as TestNode)
        .messages()
        .map(({ via }) => via)
        .sort(),
    ).toEqual(['broadcast', 'stream']);
    group.crash('n3');
    group.until(() => nodes.slice(0, 3).every((node) => node.status('n3') === STATUS.dead), 60_000);
    expect(nodes.map(rejections)).toEqual([0, 0, 0, 0]);
  });

  it('change their key without losing anybody', () => {
    const group = new Group();
    const rings = [1, 2, 3].map(() => ring(key(1)));
    const nodes = rings.map((keyring, i) => group.add(`n${i}`, { keyring }));
    group.joinAll();
    for (const step of ['add', 'use', 'remove'] as const) {
      for (const keyring of rings) {
        keyring[step](key(step === 'remove' ? 1 : 2));
        group.run(3000);
      }
    }
    group.run(10_000);
    expect(group.isConverged()).toBe(true);
    expect(nodes.map(rejections)).toEqual([0, 0, 0]);
    expect(nodes.flatMap((node) => node.story()).filter((line) => line.startsWith('suspect'))).toEqual([]);
  });

  it('do not hear strangers: a wrong key, no key, and another label are counted by name', () => {
    const group = new Group();
    const a = group.add('a', { keyring: ring(key(1)), label: 'blue' });
    const strangers: [string, object, string][] = [
      ['wrongKey', { keyring: ring(key(2)), label: 'blue' }, 'decryptFailed'],
      ['plain', { label: 'blue' }, 'notEncrypted'],
      ['green', { keyring: ring(key(1)), label: 'green' }, 'labelMismatch'],
    ];
    for (const [name, options, reason] of strangers) {
      const before = a.engine.stats.rejected[reason] as number;
      const stranger = group.add(name, options);
      group.act(stranger, (engine, now) => engine.send(now, a.address, text('psst'), false));
      group.run(10);
      expect([name, (a.engine.stats.rejected[reason] as number) - before]).toEqual([name, 1]);
    }
    expect(a.messages()).toEqual([]);
  });
});

describe('programmer errors', () => {
  it('time that goes back and a second start are caught', () => {
    const { group, a } = pair();
    a.engine.handleTimeout(group.nowMs);
    expect(() => a.engine.handleTimeout(group.nowMs - 1)).toThrow(/time never goes back/);
    expect(() => a.engine.start(group.nowMs)).toThrow(/called once/);
  });
});
