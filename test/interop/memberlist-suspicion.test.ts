import { describe, expect, test } from 'vitest';
import { freePort } from './children.ts';
import { GoNode } from './go-peer.ts';
import { bench, GO_PEER, QUICK, unique, until } from './harness.ts';
import { decode } from './msgpack.ts';
import { DIRECTIONS, pair, SOON_MS } from './pairs.ts';
import { type Peer, sees } from './peer.ts';
import { exchange, message, RawSocket, TYPE } from './raw-packets.ts';
import { TcpOnlyProxy } from './tcp-only-proxy.ts';

const nodes = bench();
const IP = Uint8Array.of(127, 0, 0, 1);

/** Enough time for the accused: suspicion of the local profile at its own pace runs about three seconds. */
const CALM = { probeIntervalMs: 1000 } as const;

async function rawSocket(): Promise<RawSocket> {
  const socket = await RawSocket.open();
  nodes.cleanup.add(() => socket.close());
  return socket;
}

for (const direction of DIRECTIONS) {
  describe.runIf(GO_PEER !== '')(`memberlist: ${direction.title}`, () => {
    test('a forged suspicion about the one is spread by the other and refuted', async () => {
      const [first, second] = await pair(nodes, direction, CALM);
      const socket = await rawSocket();
      for (const [witness, accused] of [
        [first, second],
        [second, first],
      ] as const) {
        const Incarnation = await witness.incarnation(accused.name);
        const mark = witness.events.mark();
        socket.send(witness.address, message(TYPE.suspect, { Incarnation, Node: accused.name, From: 'nobody' }));
        await sees(witness, 'suspect', accused.name, SOON_MS, mark);
        await sees(witness, 'alive', accused.name, SOON_MS, mark);
        expect(await witness.incarnation(accused.name)).toBe(Incarnation + 1);
        expect(await accused.incarnation(accused.name)).toBe(Incarnation + 1);
        expect(witness.events.filter((e) => e.type === 'dead')).toEqual([]);
      }
    });

    for (const what of ['suspect', 'dead'] as const) {
      test(`a forged ${what} message to the accused itself raises its incarnation everywhere`, async () => {
        const [first, second] = await pair(nodes, direction, CALM);
        const socket = await rawSocket();
        for (const [witness, accused] of [
          [first, second],
          [second, first],
        ] as const) {
          const Incarnation = 41 + (await accused.incarnation(accused.name));
          socket.send(accused.address, message(TYPE[what], { Incarnation, Node: accused.name, From: 'nobody' }));
          await until(
            'the refutation arrives',
            SOON_MS,
            async () => (await witness.incarnation(accused.name)) === Incarnation + 1,
          );
          expect(witness.events.filter((e) => e.type === 'dead' || e.type === 'leave')).toEqual([]);
        }
      });
    }

    test('a forged alive message with other metadata is refuted', async () => {
      const [first, second] = await pair(nodes, direction, { ...CALM, meta: Buffer.from('true') });
      const socket = await rawSocket();
      for (const [witness, accused] of [
        [first, second],
        [second, first],
      ] as const) {
        const Incarnation = 7 + (await accused.incarnation(accused.name));
        const Port = Number(accused.address.split(':')[1]);
        const Vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
        const forged = message(TYPE.alive, {
          Incarnation,
          Node: accused.name,
          Addr: IP,
          Port,
          Meta: Buffer.from('false'),
          Vsn,
        });
        socket.send(accused.address, forged);
        await until(
          'the refutation arrives',
          SOON_MS,
          async () => (await witness.incarnation(accused.name)) === Incarnation + 1,
        );
        const seen = (await witness.members()).find((m) => m.name === accused.name);
        expect(Buffer.from(seen?.meta ?? []).toString()).toBe('true');
      }
    });

    test('a member whose packets are lost is kept alive by the fallback ping over TCP', async () => {
      const proxy = await TcpOnlyProxy.open();
      nodes.cleanup.add(() => proxy.close());
      const bindPort = await freePort();
      proxy.target = bindPort;
      // The second is reached only through the proxy, so the first gets no answer to its packets.
      const hidden = { port: bindPort, advertisePort: proxy.port };
      const [first, second] = await pair(nodes, direction, {}, [{}, hidden]);
      expect((await first.members()).find((m) => m.name === second.name)?.address).toBe(`127.0.0.1:${proxy.port}`);
      const before = proxy.streams;
      await until('five fallback pings', 10_000, async () => proxy.streams >= before + 5);
      expect(proxy.swallowed).toBeGreaterThan(4);
      expect(first.events.filter((e) => e.type === 'suspect' || e.type === 'dead')).toEqual([]);
      if (first instanceof GoNode) {
        const warned = first.events.filter(
          (e) => e.type === 'log' && e.text.includes('over TCP but UDP probes failed'),
        );
        expect(warned.length).toBeGreaterThan(2);
      }
    });

    test('a member that one node cannot reach is probed through the other', async () => {
      const proxy = await TcpOnlyProxy.open();
      nodes.cleanup.add(() => proxy.close());
      const [first, second] = await pair(nodes, direction);
      const socket = await rawSocket();
      // What a member without a way of its own would ask each of them.
      for (const [helper, target] of [
        [first, second],
        [second, first],
      ] as const) {
        const asked = {
          SeqNo: 77,
          Target: IP,
          Port: Number(target.address.split(':')[1]),
          Node: target.name,
          Nack: true,
        };
        const source = { SourceAddr: IP, SourcePort: socket.port, SourceNode: 'asker' };
        socket.send(helper.address, message(TYPE.indirectPing, { ...asked, ...source }));
        expect((await socket.next(TYPE.ack, SOON_MS))['SeqNo']).toBe(77);
        socket.send(helper.address, message(TYPE.indirectPing, { ...asked, ...source, SeqNo: 78, Port: proxy.port }));
        expect((await socket.next(TYPE.nack, SOON_MS))['SeqNo']).toBe(78);
      }
    });
  });
}

describe.runIf(GO_PEER !== '')('memberlist: answers', () => {
  test('both kinds answer a bare ping by packet and by stream alike', async () => {
    const socket = await rawSocket();
    const compression = false;
    for (const kind of ['memberlist', 'ours'] as const) {
      const node: Peer = await nodes.start(kind, { ...QUICK, compression, name: unique('n') });
      const ping = {
        Node: node.name,
        SeqNo: 4_000_000_000,
        SourceAddr: IP,
        SourcePort: socket.port,
        SourceNode: 'asker',
      };
      socket.send(node.address, message(TYPE.ping, ping));
      expect(await socket.next(TYPE.ack, SOON_MS)).toMatchObject({ Payload: null, SeqNo: 4_000_000_000 });
      // Without the source fields, as releases before 0.2.0 send it, the answer goes to where the packet came from.
      socket.send(node.address, message(TYPE.ping, { Node: '', SeqNo: 5 }));
      expect((await socket.next(TYPE.ack, SOON_MS))['SeqNo']).toBe(5);
      const answer = await exchange(node.address, message(TYPE.ping, { Node: node.name, SeqNo: 6 }), SOON_MS);
      expect(answer[0]).toBe(TYPE.ack);
      expect(decode(answer.subarray(1))).toMatchObject({ Payload: null, SeqNo: 6 });
      const refused = await exchange(node.address, message(TYPE.ping, { Node: 'somebody else', SeqNo: 7 }), SOON_MS);
      expect(refused.length).toBe(0);
    }
  });
});
