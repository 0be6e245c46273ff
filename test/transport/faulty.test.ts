import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { delay, FaultyNetwork, FaultyTransport, loss, partition } from '../../src/transport/faulty.ts';
import type { StreamConnection, Transport, TransportHandlers } from '../../src/transport/transport.ts';
import type { Address } from '../../src/util/address.ts';
import type { HearsayError } from '../../src/util/errors.ts';

const a: Address = { ip: new Uint8Array([127, 0, 0, 1]), port: 1 };
const b: Address = { ip: new Uint8Array([127, 0, 0, 2]), port: 2 };
const c: Address = { ip: new Uint8Array([127, 0, 0, 3]), port: 3 };
const silent: TransportHandlers = {
  packet: () => undefined,
  turn: () => undefined,
  stream: () => undefined,
  error: () => undefined,
};

/** Remembers what it was told to send. */
class Recorder implements Transport {
  readonly sent: { to: Address; bytes: Uint8Array }[] = [];
  readonly connected: Address[] = [];
  flushes = 0;
  stats = {
    packetsSent: 0,
    bytesSent: 0,
    packetsReceived: 0,
    bytesReceived: 0,
    packetsDropped: 0,
    streamsOpened: 0,
    streamsAccepted: 0,
    streamsRefused: 0,
  };
  readonly #self: Address;
  constructor(self: Address) {
    this.#self = self;
  }
  start(): Promise<Address> {
    return Promise.resolve(this.#self);
  }
  send(to: Address, bytes: Uint8Array): void {
    this.sent.push({ to, bytes });
  }
  flush(): void {
    this.flushes++;
  }
  connect(to: Address): Promise<StreamConnection> {
    this.connected.push(to);
    return Promise.resolve({ remote: to } as StreamConnection);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

async function wrapped(self: Address, network: FaultyNetwork) {
  const inner = new Recorder(self);
  const transport = new FaultyTransport(inner, network);
  await transport.start(silent);
  return { inner, transport };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a faulty transport', () => {
  it('is transparent without rules', async () => {
    const { inner, transport } = await wrapped(a, new FaultyNetwork(1));
    transport.send(b, new Uint8Array([1]));
    transport.flush();
    expect(inner.sent).toEqual([{ to: b, bytes: new Uint8Array([1]) }]);
    expect(inner.flushes).toBe(1);
    expect((await transport.connect(b, 10)).remote).toBe(b);
  });

  it('loses the share of packets it was told to, the same ones for the same seed, and no streams', async () => {
    const survivors = async (seed: number): Promise<number[]> => {
      const network = new FaultyNetwork(seed);
      network.add(loss(0.3));
      const { inner, transport } = await wrapped(a, network);
      for (let i = 0; i < 10_000; i++) transport.send(b, new Uint8Array([i >> 8, i & 255]));
      await transport.connect(b, 10);
      expect(network.dropped).toBe(10_000 - inner.sent.length);
      return inner.sent.map(({ bytes }) => (bytes[0] as number) * 256 + (bytes[1] as number));
    };
    const first = await survivors(7);
    expect(first.length).toBeGreaterThan(6800);
    expect(first.length).toBeLessThan(7200);
    expect(await survivors(7)).toEqual(first);
    expect(await survivors(8)).not.toEqual(first);
  });

  it('keeps the sides of a partition apart until it heals, streams too', async () => {
    const network = new FaultyNetwork(1);
    const heal = network.add(partition((address) => address === a));
    const inside = await wrapped(a, network);
    const outside = await wrapped(b, network);
    inside.transport.send(b, new Uint8Array(1));
    outside.transport.send(a, new Uint8Array(1));
    outside.transport.send(c, new Uint8Array(1));
    expect(inside.inner.sent.length).toBe(0);
    expect(outside.inner.sent.map(({ to }) => to)).toEqual([c]);
    const failed = expect(inside.transport.connect(b, 500)).rejects.toMatchObject({ code: 'ERR_STREAM_TIMEOUT' });
    await vi.advanceTimersByTimeAsync(500);
    await failed;
    heal();
    inside.transport.send(b, new Uint8Array(1));
    expect(inside.inner.sent.length).toBe(1);
    expect((await inside.transport.connect(b, 500)).remote).toBe(b);
  });

  it('delays packets with a copy of their bytes, and forgets them when closed', async () => {
    const network = new FaultyNetwork(1);
    network.add(delay(100, 200));
    const { inner, transport } = await wrapped(a, network);
    const bytes = new Uint8Array([1]);
    transport.send(b, bytes);
    bytes[0] = 9;
    await vi.advanceTimersByTimeAsync(99);
    expect(inner.sent.length).toBe(0);
    await vi.advanceTimersByTimeAsync(101);
    expect(inner.sent).toEqual([{ to: b, bytes: new Uint8Array([1]) }]);
    expect(inner.flushes).toBe(1);
    transport.send(b, bytes);
    await transport.close();
    await vi.advanceTimersByTimeAsync(1000);
    expect(inner.sent.length).toBe(1);
  });

  it('ends streams that were not to be, or not yet, when it is closed', async () => {
    const network = new FaultyNetwork(1);
    network.add(({ to, kind }) => (kind === 'stream' ? (to === b ? 'drop' : { delayMs: 1000 }) : undefined));
    const { transport } = await wrapped(a, network);
    const outcomes = [transport.connect(b, 10_000), transport.connect(c, 10_000)].map((stream) =>
      stream.then(
        () => 'open',
        (error: HearsayError) => error.code,
      ),
    );
    await transport.close();
    expect(await Promise.all(outcomes)).toEqual(['ERR_STREAM_FAILED', 'ERR_STREAM_FAILED']);
    await expect(transport.connect(b, 10_000)).rejects.toMatchObject({ code: 'ERR_STREAM_FAILED' });
  });
});
