// What both UDP sockets promise. packet-sockets.test.ts runs it for each that this machine has.
import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import type { PacketHandlers, PacketSocket } from '../../src/transport/packet-socket.ts';
import { type Address, formatAddress, parseIp } from '../../src/util/address.ts';
import { HearsayError } from '../../src/util/errors.ts';

export type MakeSocket = (bind: Address, handlers: PacketHandlers) => PacketSocket;

export function ip(text: string): Uint8Array {
  const bytes = parseIp(text);
  if (bytes === undefined) throw new Error(`not an IP: ${text}`);
  return bytes;
}

export const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some((entry) => entry.address === '::1'),
);

export interface Received {
  readonly from: Address;
  readonly bytes: Uint8Array;
  readonly localIp: string | undefined;
}

/** A socket that remembers what it heard, and promises for what it will hear. */
export class Ear implements PacketHandlers {
  readonly received: Received[] = [];
  readonly unreached: string[] = [];
  readonly errors: Error[] = [];
  turns = 0;
  #waiters: { readonly ready: () => boolean; readonly resolve: () => void }[] = [];

  packet(from: Address, bytes: Uint8Array, localIp: Uint8Array | undefined): void {
    this.received.push({ from, bytes: bytes.slice(), localIp: localIp?.join('.') });
    this.#wake();
  }
  turn(): void {
    this.turns++;
    this.#wake();
  }
  error(error: Error): void {
    this.errors.push(error);
    this.#wake();
  }
  unreachable(to: Address): void {
    this.unreached.push(formatAddress(to));
    this.#wake();
  }
  /** Resolves once `ready` is true, looked at after each thing heard. */
  until(ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ ready, resolve }));
  }
  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (waiter.ready()) waiter.resolve();
      else this.#waiters.push(waiter);
    }
  }
}

export function packetSocketContract(name: string, make: MakeSocket): void {
  describe(`a ${name} packet socket`, () => {
    const open: PacketSocket[] = [];

    async function listen(host = '127.0.0.1', port = 0): Promise<{ socket: PacketSocket; ear: Ear; address: Address }> {
      const ear = new Ear();
      const socket = make({ ip: ip(host), port }, ear);
      const address = await socket.open();
      open.push(socket);
      return { socket, ear, address };
    }

    afterEach(async () => {
      await Promise.all(open.splice(0).map((socket) => socket.close()));
    });

    it('delivers a datagram with the address of its sender', async () => {
      const a = await listen();
      const b = await listen();
      expect(b.address.port).toBeGreaterThan(0);
      a.socket.send(b.address, new Uint8Array([1, 2, 3]));
      a.socket.flush();
      await b.ear.until(() => b.ear.turns > 0);
      expect(b.ear.received).toEqual([{ from: a.address, bytes: new Uint8Array([1, 2, 3]), localIp: undefined }]);
      expect(b.socket.stats).toMatchObject({ packetsReceived: 1, bytesReceived: 3 });
      expect(a.socket.stats).toMatchObject({ packetsSent: 1, bytesSent: 3, packetsDropped: 0 });
    });

    it('takes a copy: the caller may reuse its bytes at once', async () => {
      const a = await listen();
      const bytes = new Uint8Array(100);
      for (let i = 0; i < 10; i++) a.socket.send(a.address, bytes.fill(i));
      bytes.fill(255);
      a.socket.flush();
      await a.ear.until(() => a.ear.received.length === 10);
      expect(a.ear.received.map((packet) => packet.bytes[99])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    it('carries a burst of 1,000 datagrams to itself in order, in fewer turns than datagrams', async () => {
      const a = await listen();
      for (let i = 0; i < 1000; i++) {
        const bytes = new Uint8Array(200);
        new DataView(bytes.buffer).setUint32(0, i);
        a.socket.send(a.address, bytes);
      }
      a.socket.flush();
      await a.ear.until(() => a.ear.received.length === 1000);
      const order = a.ear.received.map((packet) => new DataView(packet.bytes.buffer).getUint32(0));
      expect(order).toEqual(Array.from({ length: 1000 }, (_, i) => i));
      expect(a.ear.turns).toBeLessThan(1000);
      expect(a.socket.kernelDrops()).toBe(0);
    });

    it('carries empty datagrams and the largest that fit UDP, and drops larger ones', async () => {
      const a = await listen();
      for (const length of [0, 1, 1400, 9000, 65507])
        a.socket.send(a.address, new Uint8Array(length).fill(length & 255));
      a.socket.send(a.address, new Uint8Array(65508));
      a.socket.flush();
      await a.ear.until(() => a.ear.received.length === 5);
      expect(a.ear.received.map((packet) => packet.bytes.length)).toEqual([0, 1, 1400, 9000, 65507]);
      expect(a.ear.received[4]?.bytes.every((byte) => byte === (65507 & 255))).toBe(true);
      expect(a.socket.stats.packetsDropped).toBe(1);
    });

    it('counts what it cannot send and never throws', async () => {
      const a = await listen();
      a.socket.send({ ip: ip('127.0.0.1'), port: 0 }, new Uint8Array(1));
      a.socket.send({ ip: ip('::1'), port: 1000 }, new Uint8Array(1));
      a.socket.send({ ip: new Uint8Array(3), port: 1000 }, new Uint8Array(1));
      a.socket.send({ ip: ip('127.0.0.1'), port: 70000 }, new Uint8Array(1));
      a.socket.send({ ip: ip('255.255.255.255'), port: 9 }, new Uint8Array(1)); // broadcast is not allowed
      a.socket.send(a.address, new Uint8Array([7]));
      a.socket.flush();
      await a.ear.until(() => a.ear.received.length === 1);
      expect(a.ear.received[0]?.bytes).toEqual(new Uint8Array([7]));
      expect(a.socket.stats.packetsDropped).toBe(5);
      expect(a.ear.errors).toEqual([]);
    });

    it('refuses a port that is taken with ERR_BIND_FAILED and the reason', async () => {
      const a = await listen();
      const second = make(a.address, new Ear());
      const error = await second.open().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(HearsayError);
      expect(error).toMatchObject({ code: 'ERR_BIND_FAILED', cause: { code: 'EADDRINUSE' } });
      expect((error as Error).message).toContain(formatAddress(a.address));
      await second.close();
    });

    it('closes with traffic in flight and calls no handler afterwards', async () => {
      const a = await listen();
      const b = await listen();
      for (let i = 0; i < 500; i++) a.socket.send(b.address, new Uint8Array(100));
      a.socket.flush();
      await b.ear.until(() => b.ear.received.length > 0);
      await b.socket.close();
      const heard = b.ear.received.length;
      const turns = b.ear.turns;
      for (let i = 0; i < 100; i++) a.socket.send(b.address, new Uint8Array(100));
      b.socket.send(a.address, new Uint8Array(1));
      b.socket.flush();
      a.socket.send(a.address, new Uint8Array([1]));
      a.socket.flush();
      await a.ear.until(() => a.ear.received.length === 1);
      expect([b.ear.received.length, b.ear.turns]).toEqual([heard, turns]);
      await b.socket.close();
    });

    it('may be closed from inside its own handler', async () => {
      const ear = new Ear();
      let closed: Promise<void> | undefined;
      const socket = make(
        { ip: ip('127.0.0.1'), port: 0 },
        {
          packet(from, bytes, localIp) {
            ear.packet(from, bytes, localIp);
            closed ??= socket.close();
          },
          turn: () => ear.turn(),
          error: (error) => ear.error(error),
        },
      );
      const address = await socket.open();
      for (let i = 0; i < 200; i++) socket.send(address, new Uint8Array(10));
      socket.flush();
      await ear.until(() => ear.received.length > 0);
      await closed;
      expect(ear.received.length).toBe(1);
      expect(ear.errors).toEqual([]);
    });

    it('keeps the packets of two sockets in one thread apart', async () => {
      const [a, b, c] = [await listen(), await listen(), await listen()];
      for (let i = 0; i < 200; i++) {
        c.socket.send(a.address, new Uint8Array([1, i]));
        c.socket.send(b.address, new Uint8Array([2, i]));
      }
      c.socket.flush();
      await a.ear.until(() => a.ear.received.length === 200);
      await b.ear.until(() => b.ear.received.length === 200);
      expect(a.ear.received.every((packet) => packet.bytes[0] === 1)).toBe(true);
      expect(b.ear.received.every((packet) => packet.bytes[0] === 2)).toBe(true);
    });

    it.runIf(hasIpv6)('speaks IPv6', async () => {
      const a = await listen('::1');
      const b = await listen('::1');
      a.socket.send(b.address, new Uint8Array([6]));
      a.socket.flush();
      await b.ear.until(() => b.ear.received.length === 1);
      expect(b.ear.received[0]?.from).toEqual(a.address);
    });

    it.runIf(hasIpv6)('bound to ::, exchanges with IPv4 peers and shows them by their 4 bytes', async () => {
      const both = await listen('::');
      const v4 = await listen();
      v4.socket.send({ ip: ip('127.0.0.1'), port: both.address.port }, new Uint8Array([4]));
      v4.socket.flush();
      await both.ear.until(() => both.ear.received.length === 1);
      const from = both.ear.received[0]?.from as Address;
      expect(from).toEqual(v4.address);
      both.socket.send(from, new Uint8Array([5]));
      both.socket.flush();
      await v4.ear.until(() => v4.ear.received.length === 1);
      expect(v4.ear.received[0]?.bytes).toEqual(new Uint8Array([5]));
    });
  });
}
