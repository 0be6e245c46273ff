// Delta push-pull in virtual time: what it costs, and that it loses nothing whatever happens meanwhile.
import { describe, expect, test } from 'vitest';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { type BackendName, MESSAGE, STATUS } from '../../src/kernels/contract.ts';
import { hasNativeClass } from '../../src/kernels/native.ts';
import type { EngineConfig } from '../../src/protocol/config.ts';
import type { MemberInfo } from '../../src/protocol/types.ts';
import { bytesOf } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';
import { encodeNodeState, encodePushPullHeader } from '../../src/wire/messages.ts';
import { decodeSync, encodeSync } from '../../src/wire/sync-message.ts';
import { Group, type TestNode } from '../helpers/pair.ts';

const BACKENDS: readonly BackendName[] = hasNativeClass('Digest') ? ['js', 'native'] : ['js'];
const FROM = { ip: Uint8Array.of(10, 9, 9, 9), port: 4000 };
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

interface Ghost {
  readonly name: string;
  readonly incarnation: number;
  readonly state?: number;
  readonly meta?: string;
}

/** Members that exist in tables only. */
const ghosts = (count: number, first = 0): Ghost[] =>
  Array.from({ length: count }, (_, i) => ({ name: `node-${String(first + i).padStart(5, '0')}`, incarnation: 1 }));

/** A push/pull that tells these. */
function telling(members: readonly Ghost[]): Uint8Array {
  const out = new Uint8Array(256 + members.length * 160);
  let at = encodePushPullHeader(out, 0, { nodes: members.length, userStateLength: 0, join: false });
  for (const { name, incarnation, state, meta } of members) {
    const index = Number(name.slice(5));
    at = encodeNodeState(out, at, {
      name: bytesOf(name),
      addr: Uint8Array.of(10, 1, index >> 8, index & 255),
      port: 7946,
      meta: bytesOf(meta ?? 'role=worker zone=a'),
      incarnation,
      state: state ?? STATUS.alive,
      vsn: VSN,
    });
  }
  return out.subarray(0, at);
}

/** Nothing happens by itself but what a test starts. */
const QUIET: Partial<EngineConfig> = {
  deltaSync: true,
  probeIntervalMs: 0,
  gossipIntervalMs: 0,
  gossipNodes: 0,
  pushPullIntervalMs: 0,
  membersMax: 1 << 17,
  compression: false,
};

function tell(group: Group, node: TestNode, members: readonly Ghost[]): void {
  for (let i = 0; i < members.length; i += 5000) {
    group.act(node, (engine, now) => engine.handleStream(now, FROM, telling(members.slice(i, i + 5000))));
    group.run(10_000);
  }
}

/** Two nodes that know each other, and these ghosts each. */
function two(
  backend: BackendName,
  a: readonly Ghost[],
  b: readonly Ghost[],
  config: Partial<EngineConfig> = {},
): { group: Group; a: TestNode; b: TestNode } {
  const group = new Group({ backend });
  const first = group.add('a', { ...QUIET, ...config });
  const second = group.add('b', { ...QUIET, ...config });
  group.joinAll();
  tell(group, first, a);
  tell(group, second, b);
  group.streamSizes.length = 0;
  return { group, a: first, b: second };
}

/** One exchange opened by `from`; the sizes of its messages. */
function exchange(group: Group, from: TestNode, to: TestNode): number[] {
  group.streamSizes.length = 0;
  const done = group.act(from, (engine, now) => engine.exchange(now, to.name));
  group.until(() => from.done(done) !== undefined, 60_000);
  group.run(1000);
  expect(from.done(done)).toMatchObject({ ok: true });
  return [...group.streamSizes];
}

const view = (node: TestNode): string[] =>
  node.engine
    .members()
    .map(
      ({ name, status, incarnation, meta }: MemberInfo) =>
        `${name} ${status} ${incarnation} ${Buffer.from(meta).toString()}`,
    )
    .sort();

const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);

describe.each(BACKENDS)('delta push-pull, %s', (backend) => {
  test('ten differing members of 10,000 cost at most 4 KiB and 3 messages', () => {
    const all = ghosts(10_000);
    const { group, a, b } = two(
      backend,
      all.map((ghost, i) => (i % 1000 === 7 && i < 5000 ? { ...ghost, incarnation: 3, meta: 'changed' } : ghost)),
      all.map((ghost, i) => (i % 1000 === 9 && i >= 5000 ? { ...ghost, incarnation: 4 } : ghost)),
    );
    const sizes = exchange(group, a, b);
    expect(sizes.length).toBeLessThanOrEqual(3);
    expect(sum(sizes)).toBeLessThanOrEqual(4096);
    expect(view(a)).toEqual(view(b));
    expect(a.engine.member('node-05009')?.incarnation).toBe(4);
    expect(b.engine.member('node-00007')?.incarnation).toBe(3);
  });

  test('tables that are equal cost two small messages', () => {
    const { group, a, b } = two(backend, ghosts(2000), ghosts(2000));
    const sizes = exchange(group, a, b);
    expect(sizes).toHaveLength(2);
    expect(sum(sizes)).toBeLessThan(1600);
    expect(b.engine.stats.syncsEqual).toBe(1);
  });

  test.each([
    ['the initiator', 0, 3000],
    ['the acceptor', 3000, 0],
  ])('%s knows nothing: cheaper than a full exchange, and both know all afterwards', (_, left, right) => {
    const { group, a, b } = two(backend, ghosts(left), ghosts(right));
    const sizes = exchange(group, a, b);
    const full = telling(ghosts(3000)).length;
    expect(sum(sizes)).toBeLessThan(full / 2);
    expect(sizes.length).toBeLessThanOrEqual(3);
    expect(a.engine.memberCount).toBe(3002);
    expect(view(a)).toEqual(view(b));
  });

  test.each([1, 40, 150, 600, 2500])('%d differing members of 3,000 are all found', (different) => {
    const all = ghosts(3000);
    const { group, a, b } = two(
      backend,
      all.map((ghost, i) => (i < different && i % 2 === 0 ? { ...ghost, incarnation: 2 } : ghost)),
      all.map((ghost, i) => (i < different && i % 2 === 1 ? { ...ghost, incarnation: 2 } : ghost)),
    );
    const sizes = exchange(group, a, b);
    expect(sizes.length).toBeLessThanOrEqual(4);
    expect(view(a)).toEqual(view(b));
    expect(
      a.engine.members().filter(({ incarnation, name }) => incarnation === 2 && name.startsWith('node')).length,
    ).toBe(different);
  });

  test('members that only one side knows, and such as one side knows as gone, reach the other', () => {
    const all = ghosts(300);
    const { group, a, b } = two(backend, [...all, ...ghosts(3, 500)], [...all, ...ghosts(4, 600)]);
    const gone = (name: string): Ghost => ({ name, incarnation: 5, state: STATUS.left });
    tell(group, a, [gone('node-00010')]);
    tell(group, b, [gone('node-00020')]);
    // Known as dead to one, in a newer life to the other.
    tell(group, a, [{ name: 'node-00030', incarnation: 5, state: STATUS.left }]);
    tell(group, b, [{ name: 'node-00030', incarnation: 9 }]);
    exchange(group, a, b);
    for (const node of [a, b]) {
      expect(node.engine.memberCount).toBe(309);
      expect(node.status('node-00010')).toBe(STATUS.left);
      expect(node.status('node-00020')).toBe(STATUS.left);
      expect(node.status('node-00030')).toBe(STATUS.alive);
      expect(node.engine.member('node-00030')?.incarnation).toBe(9);
    }
  });

  test('the keys of two nodes become the smaller one, so that hashes are kept', () => {
    const { group, a, b } = two(backend, ghosts(100), ghosts(101), { syncKey: undefined });
    exchange(group, a, b);
    exchange(group, b, a);
    const keys: string[] = [];
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      group.onStream = (bytes) => {
        const message = decodeSync(bytes);
        if (typeof message === 'object') keys.push([...message.key].join());
      };
      exchange(group, from, to);
    }
    expect(keys.length).toBeGreaterThanOrEqual(4);
    expect(new Set(keys).size).toBe(1);
  });

  test('what changes while an exchange is under way is neither lost nor undone', () => {
    const prng = new Prng(4);
    for (let round = 0; round < 30; round++) {
      const all = ghosts(200);
      const { group, a, b } = two(
        backend,
        all.map((ghost) => ({ ...ghost, incarnation: 1 + prng.below(3) })),
        all.map((ghost) => ({ ...ghost, incarnation: 1 + prng.below(3) })),
      );
      group.latencyMs = 20;
      const before = new Map(
        all.map(({ name }) => [name, Math.max(...[a, b].map((node) => node.engine.member(name)?.incarnation ?? 0))]),
      );
      const done = group.act(a, (engine, now) => engine.exchange(now, 'b'));
      for (let i = 0; i < 12; i++) {
        group.run(prng.below(12));
        const name = `node-${String(prng.below(210)).padStart(5, '0')}`;
        const incarnation = 4 + prng.below(5);
        before.set(name, Math.max(before.get(name) ?? 0, incarnation));
        tellNow(group, prng.below(2) === 0 ? a : b, [{ name, incarnation }]);
      }
      group.until(() => a.done(done) !== undefined, 60_000);
      expect(a.done(done)?.ok).toBe(true);
      // What came too late for this exchange is there after the next.
      exchange(group, b, a);
      expect(view(a)).toEqual(view(b));
      for (const [name, incarnation] of before) expect(a.engine.member(name)?.incarnation, name).toBe(incarnation);
    }
  });

  test('an exchange that fails is counted, and the next one with that member is a full one', () => {
    const { group, a, b } = two(backend, ghosts(50), ghosts(60));
    const heal = group.rule(({ via }) => (via === 'stream' ? 'drop' : undefined));
    const done = group.act(a, (engine, now) => engine.exchange(now, 'b'));
    group.until(() => a.done(done) !== undefined, 60_000);
    expect(a.done(done)?.ok).toBe(false);
    expect(a.engine.stats.pushPullsFailed).toBe(1);
    heal();
    const started = a.engine.stats.syncsStarted;
    exchange(group, a, b);
    expect(a.engine.stats.syncsStarted).toBe(started);
    expect(view(a)).toEqual(view(b));
    exchange(group, a, b);
    expect(a.engine.stats.syncsStarted).toBe(started + 1);
  });

  test('a member that has not announced it gets the full exchange', () => {
    const group = new Group({ backend });
    const a = group.add('a', QUIET);
    const b = group.add('b', { ...QUIET, deltaSync: false });
    const c = group.add('c', { ...QUIET, extensions: false });
    for (const node of [b, c]) group.act(node, (engine, now) => engine.join(now, [a.address]));
    group.run(1000);
    exchange(group, a, b);
    exchange(group, b, a);
    exchange(group, a, c);
    for (const node of [a, b, c]) expect(node.engine.stats.syncsStarted).toBe(0);
    // And who sends it one all the same is not answered.
    expect(b.engine.handleStream(group.nowMs, FROM, opening()).bytes).toHaveLength(0);
    expect(b.engine.stats.rejected['unknownType']).toBe(1);
  });

  test('what applications hand over travels along', () => {
    const heard: string[] = [];
    const hooks = (name: string): Partial<EngineConfig> => ({
      ...QUIET,
      localState: (join) => bytesOf(`${name} ${join}`),
      mergeRemoteState: (state, join) => {
        heard.push(`${name} heard ${Buffer.from(state).toString()} ${join}`);
      },
    });
    const group = new Group({ backend });
    const a = group.add('a', hooks('a'));
    const b = group.add('b', hooks('b'));
    group.joinAll();
    tell(group, a, ghosts(30));
    heard.length = 0;
    exchange(group, a, b);
    expect(heard).toEqual(['b heard a false false', 'a heard b false false']);
    expect(view(a)).toEqual(view(b));
  });

  test('messages damaged in any way are refused whole or do no harm', () => {
    const all = ghosts(120);
    const { group, a, b } = two(backend, all, [...all.slice(20), ...ghosts(5, 300)]);
    const captured: Uint8Array[] = [];
    group.onStream = (bytes) => captured.push(bytes);
    exchange(group, a, b);
    group.onStream = undefined;
    expect(captured.length).toBeGreaterThan(1);
    const prng = new Prng(8);
    const before = view(b);
    for (let i = 0; i < 3000; i++) {
      const damaged = (captured[prng.below(captured.length)] as Uint8Array).slice();
      for (let k = prng.below(4); k >= 0; k--) damaged[5 + prng.below(damaged.length - 5)] = prng.below(256);
      const cut = prng.below(5) === 0 ? damaged.slice(0, 5 + prng.below(damaged.length - 5)) : damaged;
      group.act(b, (engine, now) => engine.handleStream(now, FROM, cut));
    }
    // A checksum of 32 bits guards the rows, so nothing of them was believed.
    expect(view(b)).toEqual(before);
  });
});

describe('delta push-pull in a cluster', () => {
  test.each([1, 2, 3])('after loss, reordering and a partition all tables agree (seed %d)', (seed) => {
    const group = new Group({ backend: BACKENDS[seed % BACKENDS.length] as BackendName, seed, loss: 0.2 });
    const nodes = group.addMany(24, { deltaSync: true, pushPullIntervalMs: 3000 });
    group.joinAll(120_000);
    // Packets overtake each other, and one message in ten on a stream is lost with its connection.
    const prng = new Prng(seed);
    group.rule(({ via }) => (via === 'packet' ? prng.below(40) : prng.below(10) === 0 ? 'drop' : prng.below(30)));
    const names = nodes.map(({ name }) => name);
    const heal = group.partition(names.slice(0, 10), names.slice(10));
    // Short enough that no side forgets the other: then nobody would be left to ask (protocol §14.3).
    for (let i = 0; i < 20; i++) {
      group.run(250);
      const node = nodes[prng.below(nodes.length)] as TestNode;
      group.act(node, (engine, now) => engine.setMeta(now, bytesOf(`meta ${i}`)));
    }
    heal();
    group.run(2000);
    group.loss = 0;
    group.rules.length = 0;
    const agree = (): boolean => group.isConverged() && new Set(nodes.map((node) => view(node).join('\n'))).size === 1;
    group.until(agree, 300_000);
    const total = nodes.reduce((all, { engine }) => all + engine.stats.syncsStarted, 0);
    expect(total).toBeGreaterThan(20);
  });

  test('members with and without it, and such that speak plain memberlist, agree', () => {
    const group = new Group({ seed: 5 });
    const nodes = Array.from({ length: 12 }, (_, i) =>
      group.add(`n${i}`, { deltaSync: i % 3 !== 1, extensions: i % 3 !== 2, pushPullIntervalMs: 2000 }),
    );
    group.joinAll();
    for (const node of nodes) group.act(node, (engine, now) => engine.setMeta(now, bytesOf(node.name)));
    const agree = (): boolean => new Set(nodes.map((node) => view(node).join('\n'))).size === 1;
    group.until(agree, 120_000);
    group.run(10_000);
    expect(agree()).toBe(true);
    expect(nodes.some(({ engine }) => engine.stats.syncsStarted > 0)).toBe(true);
    expect(nodes.every(({ engine }) => engine.stats.rejected['unknownType'] === 0)).toBe(true);
  });
});

describe('sync messages', () => {
  test('are read as they were written, and refused when anything is cut off or added', () => {
    const bytes = opening();
    expect(decodeSync(bytes)).toMatchObject({ step: 1, items: 3, salt: 9 });
    for (let length = 1; length < bytes.length; length++)
      expect(typeof decodeSync(bytes.subarray(0, length))).toBe('number');
    expect(typeof decodeSync(Uint8Array.of(...bytes, 0))).toBe('number');
    expect(bytes[0]).toBe(MESSAGE.sync);
  });

  test('both backends make the same bytes', () => {
    const runs = BACKENDS.map((backend) => {
      const { group, a, b } = two(backend, ghosts(100), ghosts(90));
      const captured: string[] = [];
      group.onStream = (bytes) => captured.push(Buffer.from(bytes).toString('hex'));
      exchange(group, a, b);
      return captured;
    });
    for (const run of runs) expect(run).toEqual(runs[0]);
    expect(chooseBackend('js').name).toBe('js');
  });
});

function opening(): Uint8Array {
  return encodeSync({
    step: 1,
    parts: 0,
    key: Uint32Array.of(1, 2, 3, 4),
    salt: 9,
    items: 3,
    sumLow: 1,
    sumHigh: 2,
    cells: 0,
    sketch: new Uint8Array(0),
    rangeBits: 0,
    ranges: new Uint8Array(0),
    blocks: [],
    wants: new Uint32Array(0),
    userState: new Uint8Array(0),
  });
}

/** As tell(), without waiting. */
function tellNow(group: Group, node: TestNode, members: readonly Ghost[]): void {
  group.act(node, (engine, now) => engine.handleStream(now, FROM, telling(members)));
}
