import { afterEach, describe, expect, it } from 'vitest';
import { nativeUdp } from '../../src/transport/native.ts';
import type { PacketSocket } from '../../src/transport/packet-socket.ts';
import { BatchedSocket } from '../../src/transport/udp-batched.ts';
import { DgramSocket } from '../../src/transport/udp-dgram.ts';
import { Ear, hasIpv6, ip, packetSocketContract } from './packet-socket.contract.ts';

packetSocketContract('dgram', (bind, handlers) => new DgramSocket(bind, handlers));

const native = nativeUdp();
// Without the addon (another system, HEARSAY_BACKEND=js) there is no batched socket to speak of.
describe.runIf(native !== undefined)('batched', () => {
  if (native === undefined) return;
  packetSocketContract('batched', (bind, handlers) => new BatchedSocket(bind, handlers, native));

  describe('a batched packet socket, beyond that', () => {
    const open: PacketSocket[] = [];
    async function listen(host: string, port = 0) {
      const ear = new Ear();
      const socket = new BatchedSocket({ ip: ip(host), port }, ear, native as NonNullable<typeof native>);
      const address = await socket.open();
      open.push(socket);
      return { socket, ear, address };
    }
    afterEach(async () => {
      await Promise.all(open.splice(0).map((socket) => socket.close()));
    });

    it('bound to 0.0.0.0, serves many addresses: sees the destination and answers from it', async () => {
      const many = await listen('0.0.0.0');
      const client = await listen('127.0.0.9');
      for (const host of ['127.1.2.3', '127.4.5.6']) {
        client.socket.send({ ip: ip(host), port: many.address.port }, new Uint8Array([1]));
      }
      client.socket.flush();
      await many.ear.until(() => many.ear.received.length === 2);
      expect(many.ear.received.map((packet) => packet.localIp)).toEqual(['127.1.2.3', '127.4.5.6']);
      for (const packet of many.ear.received) many.socket.send(packet.from, packet.bytes, ip(packet.localIp as string));
      many.socket.flush();
      await client.ear.until(() => client.ear.received.length === 2);
      expect(client.ear.received.map((packet) => packet.from)).toEqual([
        { ip: ip('127.1.2.3'), port: many.address.port },
        { ip: ip('127.4.5.6'), port: many.address.port },
      ]);
    });

    it('says who refused a datagram, and goes on sending to others', async () => {
      const a = await listen('127.0.0.1');
      const gone = await listen('127.0.0.7');
      await gone.socket.close();
      a.socket.send(gone.address, new Uint8Array([1]));
      a.socket.flush();
      await a.ear.until(() => a.ear.unreached.length > 0);
      expect(a.ear.unreached).toEqual([`127.0.0.7:${gone.address.port}`]);
      for (let i = 0; i < 20; i++) {
        a.socket.send(gone.address, new Uint8Array([2]));
        a.socket.send(a.address, new Uint8Array([3]));
        a.socket.flush();
      }
      await a.ear.until(() => a.ear.received.length === 20);
      expect(a.ear.errors).toEqual([]);
      expect(a.socket.stats.packetsDropped).toBe(0);
    });

    it.runIf(hasIpv6)('says who refused a datagram over IPv6', async () => {
      const a = await listen('::1');
      const gone = await listen('::1');
      await gone.socket.close();
      a.socket.send(gone.address, new Uint8Array([1]));
      a.socket.flush();
      await a.ear.until(() => a.ear.unreached.length > 0);
      expect(a.ear.unreached).toEqual([`[::1]:${gone.address.port}`]);
    });

    it('counts what the system dropped because nobody read', async () => {
      const deaf = await listen('127.0.0.1');
      const a = await listen('127.0.0.1');
      // Nobody reads while this thread is busy here: 4 MiB of buffer overflow long before 16 MiB.
      for (let i = 0; i < 256; i++) {
        a.socket.send(deaf.address, new Uint8Array(65507));
        if (i % 16 === 15) a.socket.flush();
      }
      expect(deaf.socket.kernelDrops()).toBeGreaterThan(0);
      await deaf.ear.until(() => deaf.ear.received.length > 0);
      expect(deaf.ear.received.length + deaf.socket.kernelDrops()).toBeLessThanOrEqual(256);
    });
  });
});
