import { describe, expect, it } from 'vitest';
import { EventOutbox } from '../../src/cluster/event-outbox.ts';
import { mergeMemberEvents } from '../../src/cluster/merge-events.ts';
import { STATUS } from '../../src/kernels/contract.ts';
import type { GossipEvent, MemberInfo } from '../../src/protocol/types.ts';
import { parseAddress } from '../../src/util/address.ts';
import { EventBuffer } from '../../src/util/event-buffer.ts';

const ADDRESS = parseAddress('127.0.0.1:7946');

const message = (bytes: number): GossipEvent => ({
  type: 'message',
  from: 'a',
  address: ADDRESS,
  payload: new Uint8Array(bytes),
  via: 'packet',
});

function about(type: 'join' | 'update' | 'alive' | 'suspect' | 'dead' | 'leave' | 'stall' | 'resume', name: string) {
  const member: MemberInfo = {
    name,
    address: ADDRESS,
    meta: new Uint8Array(0),
    incarnation: 1,
    status: STATUS.alive,
    stalled: false,
    extended: false,
    replicates: false,
    vsn: [1, 5, 2, 0, 0, 0],
    statusSinceMs: 0,
  };
  return { type, member } as const;
}

const told = (events: readonly GossipEvent[]): string[] =>
  events.map((event) => ('member' in event ? `${event.type} ${event.member.name}` : event.type));

/** An outbox whose program takes a batch only when the test says so. */
function blocked(limits: Partial<ConstructorParameters<typeof EventOutbox>[1]> = {}) {
  const batches: { events: readonly GossipEvent[]; taken: () => void }[] = [];
  const outbox = new EventOutbox((events, taken) => batches.push({ events, taken }), {
    messages: 1000,
    messageBytes: 10_000_000,
    memberEvents: 1000,
    ...limits,
  });
  const takeAll = (): GossipEvent[] => {
    const all: GossipEvent[] = [];
    for (let batch = batches.shift(); batch; batch = batches.shift()) {
      all.push(...batch.events);
      batch.taken();
    }
    return all;
  };
  return { outbox, batches, takeAll };
}

describe('events for a program that is too slow', () => {
  it('go out in order, two small batches at a time', () => {
    const { outbox, batches, takeAll } = blocked();
    outbox.push(Array.from({ length: 900 }, (_, i) => about('join', String(i))));
    expect(batches.map(({ events }) => events.length)).toEqual([256, 256]);
    expect(told(takeAll())).toEqual(Array.from({ length: 900 }, (_, i) => `join ${i}`));
    expect(outbox.stats.waiting).toBe(0);
  });

  it('are not handed over many megabytes at once', () => {
    const { outbox, batches } = blocked();
    outbox.push(Array.from({ length: 9 }, () => message(600_000)));
    expect(batches.map(({ events }) => events.length)).toEqual([2, 2]);
  });

  it('lose the newest messages beyond a number, counted, and none of those about members', () => {
    const { outbox, takeAll } = blocked({ messages: 10 });
    for (let i = 0; i < 50; i++) outbox.push([message(i), about('join', String(i))]);
    expect(outbox.stats).toMatchObject({ waiting: 60, messagesDropped: 40 });
    const all = takeAll();
    expect(all.flatMap((event) => (event.type === 'message' ? [event.payload.length] : []))).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    ]);
    expect(all.filter(({ type }) => type === 'join')).toHaveLength(50);
    outbox.push([message(1)]);
    expect(takeAll()).toHaveLength(1);
    expect(outbox.stats).toEqual({ waiting: 0, waitingBytes: 0, messagesDropped: 40, memberEventsMerged: 0 });
  });

  it('lose messages beyond a number of bytes, those on their way included', () => {
    const { outbox, takeAll } = blocked({ messageBytes: 5_000_000 });
    for (let i = 0; i < 20; i++) outbox.push([message(1_000_000)]);
    expect(outbox.stats).toMatchObject({ waiting: 5, waitingBytes: 5_000_000, messagesDropped: 15 });
    expect(takeAll()).toHaveLength(5);
    expect(outbox.stats.waitingBytes).toBe(0);
  });

  it('about members are merged, so that a member that flaps does not fill memory', () => {
    const { outbox, takeAll } = blocked({ memberEvents: 100 });
    for (let i = 0; i < 10_000; i++) outbox.push([about('suspect', 'x'), about('alive', 'x')]);
    expect(outbox.stats.waiting).toBeLessThan(200);
    expect(outbox.stats.memberEventsMerged).toBeGreaterThan(19_000);
    expect(told(takeAll()).at(-1)).toBe('alive x');
    expect(outbox.stats.waiting).toBe(0);
  });

  it('about members that come and go do not fill memory either', () => {
    const { outbox } = blocked({ memberEvents: 100 });
    for (let i = 0; i < 5000; i++) outbox.push([about('join', String(i)), about('dead', String(i))]);
    expect(outbox.stats.waiting).toBeLessThan(400);
  });
});

describe('merged events about members', () => {
  const merged = (...events: GossipEvent[]): string[] => told(mergeMemberEvents(events));

  it('say what a member is now', () => {
    expect(merged(about('join', 'x'), about('update', 'x'), about('suspect', 'x'))).toEqual(['join x', 'suspect x']);
    expect(merged(about('suspect', 'x'), about('alive', 'x'), about('suspect', 'x'))).toEqual(['suspect x']);
    expect(merged(about('update', 'x'), about('update', 'x'), about('alive', 'x'))).toEqual(['update x', 'alive x']);
    expect(merged(about('stall', 'x'), about('resume', 'x'), about('stall', 'x'))).toEqual(['stall x']);
  });

  it('keep the end of a member that was there before, also when it came back', () => {
    expect(merged(about('suspect', 'x'), about('dead', 'x'))).toEqual(['dead x']);
    expect(merged(about('stall', 'x'), about('dead', 'x'), about('join', 'x'))).toEqual(['dead x', 'join x']);
    expect(merged(about('leave', 'x'), about('join', 'x'), about('dead', 'x'))).toEqual(['dead x']);
  });

  it('leave out who came and went', () => {
    expect(merged(about('join', 'x'), about('suspect', 'x'), about('dead', 'x'), about('join', 'y'))).toEqual([
      'join y',
    ]);
  });

  it('keep other events and the order of what each member did last', () => {
    expect(merged(about('join', 'x'), message(1), about('join', 'y'), about('update', 'x'), message(1))).toEqual([
      'message',
      'join y',
      'join x',
      'message',
    ]);
  });
});

describe('a buffer of events', () => {
  it('drops the oldest beyond its bytes and keeps the newest, however large', async () => {
    const buffer = new EventBuffer<number>(
      100,
      () => {},
      (bytes) => bytes,
      10,
    );
    for (const bytes of [4, 3, 3, 2]) buffer.push(bytes);
    expect(buffer.dropped).toBe(1);
    expect((await buffer.next()).value).toBe(3);
    buffer.push(5);
    expect(buffer.dropped).toBe(1);
    buffer.push(50);
    expect(buffer.dropped).toBe(4);
    expect((await buffer.next()).value).toBe(50);
    buffer.push(10);
    expect(buffer.dropped).toBe(4);
  });
});
