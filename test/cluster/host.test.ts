import { performance } from 'node:perf_hooks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { streamTimeoutMs } from '../../src/cluster/engine-config.ts';
import { ClusterHost } from '../../src/cluster/host.ts';
import type { HostSink } from '../../src/cluster/link.ts';
import type { ClusterOptions } from '../../src/cluster/options.ts';
import { resolveOptions } from '../../src/cluster/resolve-options.ts';
import type { GossipEvent } from '../../src/protocol/types.ts';
import type { StreamConnection, Transport, TransportHandlers } from '../../src/transport/transport.ts';
import { type Address, formatAddress, parseAddress } from '../../src/util/address.ts';
import { HearsayError } from '../../src/util/errors.ts';
import { encodeAlive } from '../../src/wire/messages.ts';
import { text } from '../helpers/pair.ts';

const SELF = parseAddress('127.0.0.1:7946');

/** A transport that the test plays: nothing is carried, everything is noted. */
class NotedTransport implements Transport {
  readonly stats = {
    packetsSent: 0,
    bytesSent: 0,
    packetsReceived: 0,
    bytesReceived: 0,
    packetsDropped: 0,
    streamsOpened: 0,
    streamsAccepted: 0,
    streamsRefused: 0,
  };
  readonly sentTo: string[] = [];
  readonly connectedTo: string[] = [];
  handlers: TransportHandlers | undefined;
  closed = 0;
  /** Called with each attempt to open a stream. */
  onConnect: () => void = () => {};
  /** How opening a stream ends. */
  connectResult: () => Promise<StreamConnection> = () =>
    Promise.reject(new HearsayError('ERR_STREAM_FAILED', 'nobody there'));

  async start(handlers: TransportHandlers): Promise<Address> {
    this.handlers = handlers;
    return SELF;
  }
  send(to: Address): void {
    this.sentTo.push(formatAddress(to));
  }
  flush(): void {}
  connect(to: Address): Promise<StreamConnection> {
    this.connectedTo.push(formatAddress(to));
    this.onConnect();
    return this.connectResult();
  }
  async close(): Promise<void> {
    this.closed++;
  }
}

const hosts: ClusterHost[] = [];

function host(
  options: ClusterOptions = {},
  sink: Partial<HostSink> = {},
): { made: ClusterHost; transport: NotedTransport } {
  const transport = new NotedTransport();
  const { settings, hooks } = resolveOptions({
    name: 'a',
    thread: 'inline',
    profile: 'local',
    backend: 'js',
    rngSeed: 1,
    ...options,
    transport,
  });
  const made = new ClusterHost(settings, hooks, false, {
    events: () => {},
    log: () => {},
    error: () => {},
    arenas: () => {},
    ...sink,
  });
  hosts.push(made);
  return { made, transport };
}

function alive(node: string, ip: number): Uint8Array {
  const out = new Uint8Array(512);
  const addr = Uint8Array.of(127, 0, 0, ip);
  const vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
  return out.slice(0, encodeAlive(out, 0, { incarnation: 1, node: text(node), addr, port: 7946, meta: null, vsn }));
}

/** Timers and the host's clock stand still until the test moves them. */
function useVirtualTime(): void {
  vi.useFakeTimers();
  vi.spyOn(performance, 'now').mockImplementation(() => Date.now());
}

afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  await Promise.all(hosts.splice(0).map((made) => made.stop()));
});

it('streams may take as long as the profile says, or the tuning', () => {
  const times = (['lan', 'wan', 'local'] as const).map((profile) => streamTimeoutMs({ profile, tuning: {} }));
  expect(times).toEqual([10_000, 30_000, 1000]);
  expect(streamTimeoutMs({ profile: 'wan', tuning: { tcpTimeoutMs: 5000 } })).toBe(5000);
});

describe('the host of an engine', () => {
  it('keeps time when somebody who hears an event throws', async () => {
    useVirtualTime();
    const heard: string[] = [];
    const events = (list: readonly GossipEvent[], taken: () => void): void => {
      taken();
      for (const event of list) if ('member' in event && event.member.name === 'x') heard.push(event.type);
      if (heard.at(-1) === 'suspect') throw new Error('a listener failed');
    };
    const { made, transport } = host({}, { events });
    await made.start(false);
    transport.handlers?.packet(parseAddress('127.0.0.2:7946'), alive('x', 2));
    transport.handlers?.turn();
    expect(() => vi.advanceTimersByTime(60_000)).toThrow('a listener failed');
    expect(heard).toEqual(['join', 'suspect', 'dead']);
  });

  it('keeps a bounded number of messages for a program that does not take them', async () => {
    const { made, transport } = host({ tuning: { gossipIntervalMs: 0 } });
    await made.start(false);
    const message = Uint8Array.of(8, ...new Uint8Array(1399));
    for (let i = 0; i < 50_000; i++) transport.handlers?.packet(parseAddress('127.0.0.9:7946'), message);
    transport.handlers?.turn();
    const { events } = await made.call('stats');
    expect(events.waitingBytes).toBeGreaterThan(63 * 1024 * 1024);
    expect(events.waitingBytes).toBeLessThanOrEqual(64 * 1024 * 1024);
    expect(events.messagesDropped).toBe(50_000 - Math.floor((64 * 1024 * 1024) / 1399));
  });

  it('asks others at once when the system says that a member cannot be reached', async () => {
    useVirtualTime();
    const { made, transport } = host({ tuning: { gossipIntervalMs: 0 } });
    await made.start(false);
    for (const [name, ip] of [
      ['x', 2],
      ['y', 3],
    ] as const)
      transport.handlers?.packet(parseAddress('127.0.0.9:7946'), alive(name, ip));
    transport.handlers?.turn();
    transport.sentTo.length = 0;
    while (transport.sentTo.length === 0) vi.advanceTimersByTime(1);
    const target = transport.sentTo[0] as string;
    transport.sentTo.length = 0;
    transport.handlers?.unreachable?.(parseAddress(target));
    await Promise.resolve();
    expect(transport.sentTo).toEqual([target === '127.0.0.2:7946' ? '127.0.0.3:7946' : '127.0.0.2:7946']);
  });

  it('never takes itself for a seed that answered', async () => {
    const other = '127.0.0.1:9';
    const { made, transport } = host({ seeds: [formatAddress(SELF), other], rejoinIntervalMs: 20 });
    const thirdAttempt = new Promise<void>((resolve) => {
      transport.onConnect = () => {
        if (transport.connectedTo.length >= 3) resolve();
      };
    });
    expect((await made.start(false)).joined).toBe(0);
    await thirdAttempt;
    expect(new Set(transport.connectedTo)).toEqual(new Set([other]));
  });

  it('keeps to membersMax also when that is less than a new table has room for', async () => {
    const { made, transport } = host({ tuning: { membersMax: 5 } });
    await made.start(false);
    for (let i = 0; i < 20; i++) transport.handlers?.packet(parseAddress('127.0.0.9:7946'), alive(`m${i}`, i + 2));
    transport.handlers?.turn();
    expect(made.members()).toHaveLength(5);
    expect((await made.call('stats')).engine.refusedByMembersMax).toBe(16);
  });

  it('answers with counters that stay as they were', async () => {
    const { made, transport } = host();
    await made.start(false);
    const before = await made.call('stats');
    const copy = structuredClone(before);
    transport.handlers?.packet(parseAddress('127.0.0.9:7946'), Uint8Array.of(99));
    transport.handlers?.turn();
    expect(before).toEqual(copy);
    expect((await made.call('stats')).engine.rejected).not.toEqual(before.engine.rejected);
  });

  it('asks few seeds at a time for their state, and all of them in the end', async () => {
    const seeds = Array.from({ length: 30 }, (_, i) => `127.0.0.${i + 2}:7946`);
    const { made, transport } = host({ seeds, rejoinIntervalMs: 0 });
    const refusals: (() => void)[] = [];
    transport.connectResult = () =>
      new Promise((_, reject) => refusals.push(() => reject(new HearsayError('ERR_STREAM_FAILED', 'nobody there'))));
    let isOver = false;
    const starting = made.start(false).finally(() => {
      isOver = true;
    });
    let most = 0;
    while (!isOver) {
      await new Promise(setImmediate);
      most = Math.max(most, refusals.length);
      refusals.shift()?.();
    }
    expect((await starting).joined).toBe(0);
    expect(most).toBe(8);
    expect(new Set(transport.connectedTo)).toEqual(new Set(seeds));
  });

  it('can be stopped in the middle of its start, which then rejects and leaves nothing open', async () => {
    const { made, transport } = host({ seeds: ['127.0.0.1:9'] });
    const connecting = new Promise<void>((resolve) => {
      transport.onConnect = resolve;
    });
    transport.connectResult = () => new Promise(() => {});
    const starting = made.start(false);
    const outcome = starting.catch((error: unknown) => error);
    await connecting;
    await made.stop();
    await made.stop();
    expect(await outcome).toMatchObject({ code: 'ERR_CLUSTER_STOPPED' });
    expect(transport.closed).toBe(1);
  });

  it('closes a transport that was still binding when it was stopped', async () => {
    const { made, transport } = host();
    const outcome = made.start(false).catch((error: unknown) => error);
    await made.stop();
    expect(await outcome).toMatchObject({ code: 'ERR_CLUSTER_STOPPED' });
    expect(transport.closed).toBe(1);
  });
});
