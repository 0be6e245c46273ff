import { type BindOptions, Socket as PacketSocket } from 'node:dgram';
import { connect as netConnect, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { nativeUdp } from '../../src/transport/native.ts';
import { NetTransport, type NetTransportOptions } from '../../src/transport/net-transport.ts';
import { STREAMS_PER_HOST_MAX } from '../../src/transport/tcp.ts';
import type { StreamConnection, TransportHandlers } from '../../src/transport/transport.ts';
import type { Address } from '../../src/util/address.ts';
import { concatBytes } from '../../src/util/bytes.ts';
import { ip } from './packet-socket.contract.ts';

const loopback: Address = { ip: ip('127.0.0.1'), port: 0 };
const open: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
});

/** Hands out what happens on a transport, one item per call, waiting when there is none yet. */
class Inbox<T> {
  readonly #items: T[] = [];
  readonly #waiters: ((item: T) => void)[] = [];
  push(item: T): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter(item);
  }
  next(): Promise<T> {
    const item = this.#items.shift();
    return item === undefined ? new Promise((resolve) => this.#waiters.push(resolve)) : Promise.resolve(item);
  }
}

async function start(options: Partial<NetTransportOptions> = {}, onStream?: (stream: StreamConnection) => void) {
  const packets = new Inbox<{ from: Address; bytes: Uint8Array }>();
  const streams = new Inbox<StreamConnection>();
  const errors: Error[] = [];
  const handlers: TransportHandlers = {
    packet: (from, bytes) => packets.push({ from, bytes: bytes.slice() }),
    turn: () => undefined,
    stream: (stream) => {
      onStream?.(stream);
      streams.push(stream);
    },
    error: (error) => errors.push(error),
  };
  const transport = new NetTransport({ bind: loopback, ...options });
  const address = await transport.start(handlers);
  open.push(transport);
  return { transport, address, packets, streams, errors };
}

/** Everything that comes until the other side ends; rejects when the stream fails. */
function readAll(stream: StreamConnection): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    stream.onData((chunk) => parts.push(chunk.slice()));
    stream.onEnd((error) => (error === undefined ? resolve(concatBytes(parts)) : reject(error)));
  });
}

const ended = (stream: StreamConnection): Promise<Error | undefined> => new Promise((resolve) => stream.onEnd(resolve));

async function rawClient(to: Address, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = netConnect({ host: '127.0.0.1', port: to.port, allowHalfOpen: true, localAddress });
  socket.on('error', () => undefined);
  open.push({
    close: () =>
      new Promise((resolve) => {
        if (socket.closed) resolve(undefined);
        else socket.once('close', resolve).destroy();
      }),
  });
  // A refusal may come before the connection is reported.
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  return socket;
}

const closed = (socket: Socket): Promise<unknown> =>
  socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', resolve));

for (const udp of nativeUdp() === undefined ? (['dgram'] as const) : (['dgram', 'batched'] as const)) {
  describe(`the network transport with ${udp} UDP`, () => {
    it('binds one free port for packets and streams and uses both', async () => {
      const a = await start({ udp });
      const b = await start({ udp });
      expect(a.transport.udp).toBe(udp);
      expect(a.transport.address).toEqual(a.address);
      a.transport.send(b.address, new Uint8Array([1]));
      a.transport.flush();
      expect(await b.packets.next()).toEqual({ from: a.address, bytes: new Uint8Array([1]) });
      const stream = await a.transport.connect(b.address, 2000);
      stream.write(new Uint8Array([2]));
      stream.end();
      expect(await readAll(await b.streams.next())).toEqual(new Uint8Array([2]));
      expect(b.transport.stats).toMatchObject({ packetsReceived: 1, streamsAccepted: 1 });
      expect(a.transport.stats).toMatchObject({ packetsSent: 1, streamsOpened: 1 });
    });

    it('refuses a port that is taken and leaves nothing open', async () => {
      const a = await start({ udp });
      const second = new NetTransport({ bind: a.address, udp });
      const silent: TransportHandlers = {
        packet: () => undefined,
        turn: () => undefined,
        stream: () => undefined,
        error: () => undefined,
      };
      await expect(second.start(silent)).rejects.toMatchObject({ code: 'ERR_BIND_FAILED' });
      await second.close();
    });
  });
}

describe('streams', () => {
  it('carry a question and an answer over a half-open connection', async () => {
    const server = await start({}, (stream) => {
      void readAll(stream).then((question) => {
        stream.write(question.map((byte) => byte + 1));
        stream.end();
      });
    });
    const client = await start();
    const stream = await client.transport.connect(server.address, 2000);
    const answer = readAll(stream);
    stream.write(new Uint8Array([1, 2, 3]));
    stream.end();
    expect(await answer).toEqual(new Uint8Array([2, 3, 4]));
  });

  it('carry megabytes both ways, whole and in order', async () => {
    const big = new Uint8Array(3_000_000).map((_, i) => i * 31 + (i >> 8));
    const server = await start({}, (stream) => {
      void readAll(stream).then((all) => {
        stream.write(all);
        stream.end();
      });
    });
    const stream = await server.transport.connect(server.address, 2000);
    const echo = readAll(stream);
    for (let at = 0; at < big.length; at += 100_000) stream.write(big.subarray(at, at + 100_000));
    stream.end();
    expect(Buffer.compare(await echo, big)).toBe(0);
  });

  it('fail with ERR_STREAM_FAILED when nobody listens', async () => {
    const gone = await start();
    await gone.transport.close();
    const a = await start();
    await expect(a.transport.connect(gone.address, 2000)).rejects.toMatchObject({ code: 'ERR_STREAM_FAILED' });
    await expect(a.transport.connect({ ip: ip('127.0.0.1'), port: 70000 }, 2000)).rejects.toMatchObject({
      code: 'ERR_STREAM_FAILED',
    });
    expect(a.transport.stats.streamsOpened).toBe(0);
  });

  it('fail with ERR_STREAM_TIMEOUT when the connection does not come about in time', async () => {
    const a = await start();
    const b = await start();
    const attempt = a.transport.connect(b.address, 5);
    // Timers are looked at before sockets: after a stall longer than the limit, the limit wins.
    const from = performance.now();
    while (performance.now() - from < 20);
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_STREAM_TIMEOUT' });
    expect(a.transport.stats.streamsOpened).toBe(0);
  });

  it('end with ERR_STREAM_TIMEOUT when the other side falls silent', async () => {
    const server = await start({ idleTimeoutMs: 40 });
    const client = await rawClient(server.address);
    client.write('half a mess');
    const error = await ended(await server.streams.next());
    expect(error).toMatchObject({ code: 'ERR_STREAM_TIMEOUT' });
  });

  it('report a reset as an error, once', async () => {
    const server = await start();
    const client = await rawClient(server.address);
    const stream = await server.streams.next();
    let calls = 0;
    const error = await new Promise<Error | undefined>((resolve) => {
      stream.onData(() => undefined);
      stream.onEnd((reason) => {
        calls++;
        resolve(reason);
      });
      client.resetAndDestroy();
    });
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    stream.write(new Uint8Array(10));
    stream.end();
    stream.destroy();
    expect(calls).toBe(1);
  });

  it('are refused over the limit, counted, and accepted again when one has closed', async () => {
    const server = await start({ streamsAcceptedMax: 2 });
    const first = await rawClient(server.address);
    const firstStream = await server.streams.next();
    firstStream.onEnd(() => firstStream.end());
    await rawClient(server.address);
    await server.streams.next();
    await closed(await rawClient(server.address));
    expect(server.transport.stats).toMatchObject({ streamsAccepted: 2, streamsRefused: 1 });
    const gone = new Promise((resolve) => first.once('close', resolve));
    first.on('data', () => undefined);
    first.end();
    await gone;
    // The server may learn of the close a moment after the client: refused ones try again.
    const accepted = server.streams.next().then(() => true);
    for (let isIn = false; !isIn; ) {
      const next = await rawClient(server.address);
      isIn = await Promise.race([accepted, closed(next).then(() => false)]);
    }
    expect(server.transport.stats.streamsAccepted).toBe(3);
  });

  it('from one address are refused over its limit, while those of others are accepted', async () => {
    const server = await start({ streamsPerHostMax: 1 });
    const first = await rawClient(server.address);
    await server.streams.next();
    await closed(await rawClient(server.address));
    const other = await rawClient(server.address, '127.0.0.2');
    expect((await server.streams.next()).remote.ip).toEqual(ip('127.0.0.2'));
    expect(server.transport.stats).toMatchObject({ streamsAccepted: 2, streamsRefused: 1 });
    expect([first.destroyed, other.destroyed]).toEqual([false, false]);
  });

  it('from loopback have no limit of their own by default, because whole clusters run on one machine', async () => {
    const server = await start();
    for (let i = 0; i < STREAMS_PER_HOST_MAX + 1; i++) {
      await rawClient(server.address);
      await server.streams.next();
    }
    expect(server.transport.stats).toMatchObject({ streamsAccepted: STREAMS_PER_HOST_MAX + 1, streamsRefused: 0 });
  });

  it('that come before packets can are turned away, and no handler hears of them', async () => {
    const bind = PacketSocket.prototype.bind;
    const early = vi.spyOn(PacketSocket.prototype, 'bind').mockImplementation(function (
      this: PacketSocket,
      ...args: unknown[]
    ) {
      // TCP listens already: somebody calls, and packets are bound only once the caller was turned away.
      const caller = netConnect((args[0] as BindOptions).port as number, '127.0.0.1').on('error', () => undefined);
      caller.resume().once('close', () => bind.apply(this, args as Parameters<typeof bind>));
      return this;
    });
    let heard = 0;
    const { transport, address, streams } = await start({ udp: 'dgram' }, () => heard++);
    early.mockRestore();
    expect(heard).toBe(0);
    await transport.connect(address, 5000);
    await streams.next();
    expect(heard).toBe(1);
  });

  it('do not read ahead of a consumer that has not asked yet', async () => {
    const server = await start();
    const client = await rawClient(server.address);
    const stream = await server.streams.next();
    const total = 32 * 1024 * 1024;
    client.write(Buffer.alloc(total, 7));
    client.end();
    // Only the system's buffers can have taken something.
    expect(client.writableLength).toBeGreaterThan(total / 2);
    expect((await readAll(stream)).length).toBe(total);
  });

  it('all end when the transport closes', async () => {
    const a = await start();
    const b = await start();
    const outgoing = await a.transport.connect(b.address, 2000);
    const incoming = await b.streams.next();
    const ends = Promise.all([ended(outgoing), ended(incoming)]);
    await a.transport.close();
    await b.transport.close();
    expect((await ends)[0]).toMatchObject({ code: 'ERR_STREAM_FAILED' });
    await expect(a.transport.connect(b.address, 100)).rejects.toMatchObject({ code: 'ERR_STREAM_FAILED' });
  });
});
