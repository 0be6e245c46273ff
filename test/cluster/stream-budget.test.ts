import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ClusterHost } from '../../src/cluster/host.ts';
import { resolveOptions } from '../../src/cluster/resolve-options.ts';
import { StreamBudget } from '../../src/cluster/stream-budget.ts';
import { MESSAGE } from '../../src/kernels/contract.ts';
import { NetTransport } from '../../src/transport/net-transport.ts';
import { parseAddress } from '../../src/util/address.ts';
import { encodeUserHeader } from '../../src/wire/messages.ts';

describe('the budget of streams', () => {
  /** A budget of 100 bytes, and streams that note their refusal. */
  function budget() {
    const made = new StreamBudget(100);
    const refused: string[] = [];
    return { made, refused, open: (host: string, name: string) => made.open(host, () => refused.push(name)) };
  }

  it('refuses nobody up to its limit, and gives back what ends', () => {
    const { made, refused, open } = budget();
    const a = open('a', 'a1');
    a.hold(60, false);
    a.hold(100, false);
    a.close();
    a.hold(50, false);
    expect(made.bytes).toBe(0);
    open('b', 'b1').hold(100, false);
    expect([refused, made.bytes]).toEqual([[], 100]);
  });

  it('takes the largest stream of the host that holds most', () => {
    const { made, refused, open } = budget();
    open('a', 'a1').hold(40, false);
    open('b', 'b1').hold(20, false);
    open('b', 'b2').hold(30, false);
    open('c', 'c1').hold(11, false);
    expect([refused, made.bytes]).toEqual([['b2'], 71]);
  });

  it('takes the newest of equals, and as many as it needs', () => {
    const { made, refused, open } = budget();
    for (const name of ['a1', 'a2', 'a3', 'a4']) open('a', name).hold(25, false);
    open('b', 'b1').hold(60, false);
    expect([refused, made.bytes]).toEqual([['a4', 'a3', 'b1'], 50]);
  });

  it('leaves a stream alone whose bytes are being worked on', () => {
    const { made, refused, open } = budget();
    open('a', 'a1').hold(90, true);
    open('b', 'b1').hold(20, false);
    expect([refused, made.bytes]).toEqual([['b1'], 90]);
  });
});

describe('a host with many unfinished streams', () => {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  async function halfSent(port: number, bytes: number): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => undefined);
    closers.push(() => socket.destroy());
    await once(socket, 'connect');
    const header = new Uint8Array(64);
    header[0] = MESSAGE.user;
    const end = encodeUserHeader(header, 0, 10 * bytes);
    socket.write(header.subarray(0, end));
    socket.write(new Uint8Array(bytes));
    return socket;
  }

  /** A stream that is taken ends with a reset, so `once` would reject; it may have ended already. */
  function closed(socket: Socket): Promise<void> {
    return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', () => resolve()));
  }

  it('closes some of them when they hold more than they may together, and counts it', async () => {
    const transport = new NetTransport({ bind: parseAddress('127.0.0.1:0'), udp: 'dgram' });
    const { settings, hooks } = resolveOptions({
      name: 'a',
      thread: 'inline',
      profile: 'wan',
      backend: 'js',
      transport,
    });
    const sink = { events: () => {}, log: () => {}, error: () => {}, arenas: () => {} };
    const made = new ClusterHost(settings, hooks, false, sink, 1_500_000);
    closers.push(() => made.stop());
    await made.start(false);
    const { port } = transport.address;
    // The memory of a stream is up to twice what has arrived, so two may have to go.
    const sockets = [await halfSent(port, 600_000), await halfSent(port, 600_000), await halfSent(port, 600_000)];
    await Promise.race(sockets.map(closed));
    const { streamsRejected, rejected } = (await made.call('stats')).engine;
    expect(rejected['oversized']).toBe(streamsRejected);
    expect([1, 2]).toContain(streamsRejected);
    expect(sockets.some((socket) => !socket.destroyed)).toBe(true);
  });
});
