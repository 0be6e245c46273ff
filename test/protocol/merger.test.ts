import { describe, expect, it } from 'vitest';
import { STATUS } from '../../src/kernels/contract.ts';
import type { GossipEngine } from '../../src/protocol/engine.ts';
import { encodeAlive, encodeDead, encodeNodeState, encodePushPullHeader } from '../../src/wire/messages.ts';
import { Group, text } from '../helpers/pair.ts';

const QUIET = { gossipIntervalMs: 0, probeIntervalMs: 0, pushPullIntervalMs: 0 } as const;
const FROM = { ip: Uint8Array.of(10, 0, 0, 99), port: 40000 };
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);
const nameOf = (i: number): string => `member ${i}`;
const addressOf = (i: number): Uint8Array => Uint8Array.of(10, 20, i >> 8, i & 255);

/** A push/pull of `count` members at incarnation 5. `padding`: bytes of metadata by index. */
function state(
  count: number,
  {
    prefix = '',
    padding = () => 0,
    userState = '',
  }: { prefix?: string; padding?: (i: number) => number; userState?: string } = {},
): Uint8Array {
  const room = Array.from({ length: count }, (_, i) => 700 + padding(i)).reduce((sum, bytes) => sum + bytes, 1024);
  let out = new Uint8Array(room + userState.length);
  let at = encodePushPullHeader(out, 0, { nodes: count, userStateLength: userState.length, join: true });
  for (let i = 0; i < count; i++) {
    const meta = new Uint8Array(padding(i));
    at = encodeNodeState(out, at, {
      name: text(prefix + nameOf(i)),
      addr: addressOf(i),
      port: 7946,
      meta,
      incarnation: 5,
      state: STATUS.alive,
      vsn: VSN,
    });
  }
  out.set(text(userState), at);
  out = out.slice(0, at + userState.length);
  return out;
}

function lonely(options: Parameters<Group['add']>[1] = {}) {
  const group = new Group();
  const node = group.add('a', { ...QUIET, ...options });
  const take = (message: Uint8Array): void =>
    void group.act(node, (engine: GossipEngine, now) => engine.handleStream(now, FROM, message));
  const untilMerged = (count = 1): number => group.until(() => node.engine.stats.pushPullsMerged === count, 60_000);
  return { group, node, take, untilMerged };
}

describe('a large state', () => {
  it('is merged in turns that each make few events, in the order of the list', () => {
    const { group, node, take, untilMerged } = lonely();
    take(state(3000));
    const perTurn: number[] = [];
    for (let before = node.events.length; node.engine.stats.pushPullsMerged === 0; before = node.events.length) {
      group.run(1);
      perTurn.push(node.events.length - before);
    }
    untilMerged();
    expect(Math.max(...perTurn)).toBeLessThanOrEqual(192);
    const names = node.story().filter((line) => line.startsWith('join member'));
    expect(names).toEqual(Array.from({ length: 3000 }, (_, i) => `join ${nameOf(i)}`));
  });

  it('of at most a few members is merged within the call', () => {
    const { node, take } = lonely();
    take(state(60));
    expect(node.engine.memberCount).toBe(61);
  });

  it('waits for its turn only up to a number of bytes, user states included', () => {
    const { node, take, untilMerged } = lonely();
    const userState = 'x'.repeat(18 * 1024 * 1024);
    for (let i = 0; i < 4; i++) take(state(1000, { userState }));
    expect(node.engine.stats.pushPullsRefused).toBe(1);
    untilMerged(3);
  });

  it('lets go of the memory that very long node states needed', () => {
    const { node, take, untilMerged } = lonely();
    const before = node.kernels.stateCodec.arena.byteLength;
    // Metadata beyond the limit: the node state is skipped, but it has to be read.
    take(state(400, { padding: (i) => (i < 300 ? 40_000 : 0) }));
    untilMerged();
    expect(node.kernels.stateCodec.arena.byteLength).toBe(before);
    take(state(3000, { prefix: 'later ' }));
    untilMerged(2);
    expect(node.engine.memberCount).toBe(1 + 100 + 3000);
  });

  it('lets a packet in between tell more than it does itself', () => {
    const { group, node, take, untilMerged } = lonely();
    take(state(3000));
    group.until(() => node.engine.memberCount > 100, 1000);
    const out = new Uint8Array(512);
    const last = nameOf(2999);
    expect(node.status(last)).toBeUndefined();
    const alive = { incarnation: 9, node: text(last), addr: addressOf(2999), port: 7946, meta: null, vsn: VSN, ext: 0 };
    group.inject(FROM, node, out.slice(0, encodeAlive(out, 0, alive)));
    group.inject(FROM, node, out.slice(0, encodeDead(out, 0, { incarnation: 9, node: text(last), from: text('b') })));
    const merged = nameOf(0);
    group.inject(FROM, node, out.slice(0, encodeDead(out, 0, { incarnation: 5, node: text(merged), from: text('b') })));
    untilMerged();
    expect([node.status(last), node.status(merged)]).toEqual([STATUS.dead, STATUS.dead]);
    expect(node.engine.memberCount).toBe(3001);
  });

  it('applies nothing before all of it has been read and the filter has seen every member', () => {
    let seen = 0;
    let known = -1;
    const { group, node, take } = lonely({
      mergeFilter: (members) => {
        seen = members.length;
        known = node.engine.memberCount;
        return false;
      },
    });
    take(state(5000));
    expect(seen).toBe(0);
    group.until(() => node.engine.stats.pushPullsRefused === 1, 1000);
    group.run(1000);
    expect([seen, known, node.engine.memberCount]).toEqual([5000, 1, 1]);
  });

  it('hands over the user state last', () => {
    let known = 0;
    const mergeRemoteState = (): void => {
      known = node.engine.memberCount;
    };
    const { node, take, untilMerged } = lonely({ mergeRemoteState });
    take(state(2000, { userState: 'hello' }));
    untilMerged();
    expect(known).toBe(2001);
  });

  it('whose members differ in length is read to its end', () => {
    const { node, take, untilMerged } = lonely();
    take(state(4000, { padding: (i) => (i > 2000 && i < 2100 ? 512 : 0) }));
    untilMerged();
    expect(node.engine.member(nameOf(2050))?.meta.length).toBe(512);
    expect(node.engine.memberCount).toBe(4001);
  });

  it('ends the join that asked for it when it is merged', () => {
    const group = new Group();
    const a = group.add('a', QUIET);
    const b = group.add('b', QUIET);
    group.act(a, (engine, now) => engine.handleStream(now, FROM, state(3000)));
    group.until(() => a.engine.memberCount === 3001, 10_000);
    const request = group.act(b, (engine, now) => engine.join(now, [a.address]));
    group.until(() => b.done(request) !== undefined, 10_000);
    expect(b.done(request)).toEqual({ ok: true, detail: '1' });
    expect(b.engine.memberCount).toBe(3002);
  });
});

describe('several large states', () => {
  it('are merged one after the other', () => {
    const { node, take, untilMerged } = lonely();
    take(state(2000, { prefix: 'x ' }));
    take(state(2000, { prefix: 'y ' }));
    take(state(2, { prefix: 'z ' }));
    expect(node.engine.memberCount).toBe(1);
    untilMerged(3);
    expect(node.engine.memberCount).toBe(4003);
    const firsts = ['x ', 'y ', 'z '].map((prefix) => node.story().indexOf(`join ${prefix}${nameOf(0)}`));
    expect(firsts).toEqual([...firsts].sort((a, b) => a - b));
  });

  it('beyond what may wait are refused, and later ones are taken again', () => {
    const { node, take, untilMerged } = lonely();
    const large = state(45_000, { padding: () => 512 });
    take(large);
    take(large);
    take(large);
    expect(node.engine.stats.pushPullsRefused).toBe(1);
    untilMerged(2);
    take(state(10, { prefix: 'later ' }));
    expect(node.engine.stats.pushPullsMerged).toBe(3);
  });
});
