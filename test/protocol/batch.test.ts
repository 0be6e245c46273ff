import { describe, expect, it } from 'vitest';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { CODEC, HEADER, PACKET } from '../../src/kernels/layout.ts';
import { lan } from '../../src/protocol/config.ts';
import { GossipEngine } from '../../src/protocol/engine.ts';
import { type Address, parseIp } from '../../src/util/address.ts';
import { toHex } from '../../src/util/bytes.ts';
import { encodeAlive, encodePing, encodeSuspect, encodeUser } from '../../src/wire/messages.ts';
import { Group, type TestNode, text } from '../helpers/pair.ts';

const FROM: Address = { ip: Uint8Array.of(10, 0, 0, 9), port: 7946 };

function message(encode: (out: Uint8Array) => number): Uint8Array {
  const out = new Uint8Array(1024);
  return out.slice(0, encode(out));
}

/** News, an accusation of the receiver, a ping and a user message. */
function packets(): Uint8Array[] {
  const vsn = Uint8Array.of(1, 5, 2, 0, 0, 0);
  const alive = (i: number): Uint8Array =>
    message((out) =>
      encodeAlive(out, 0, {
        incarnation: 1,
        node: text(`m${i}`),
        addr: Uint8Array.of(10, 1, 0, i),
        port: 7946,
        meta: null,
        vsn,
      }),
    );
  return [
    alive(1),
    alive(2),
    message((out) => encodeSuspect(out, 0, { incarnation: 1, node: text('a'), from: text('m1') })),
    message((out) =>
      encodePing(out, 0, { seqNo: 5, node: text('a'), sourceAddr: null, sourcePort: 0, sourceNode: text('') }),
    ),
    message((out) => encodeUser(out, 0, text('hello'))),
    Uint8Array.of(99),
  ];
}

function engine(): {
  engine: GossipEngine;
  kernels: ReturnType<ReturnType<typeof chooseBackend>['createEngineKernels']>;
} {
  const kernels = chooseBackend('js').createEngineKernels({ rngSeed: 1 });
  const address = { ip: Uint8Array.of(10, 0, 0, 1), port: 7946 };
  const made = new GossipEngine(lan({ name: 'a', address, compression: false }), kernels);
  made.start(0);
  while (made.pollEvent());
  return { engine: made, kernels };
}

function outcome(of: GossipEngine): unknown {
  const sent: string[] = [];
  for (let transmit = of.pollTransmit(); transmit; transmit = of.pollTransmit()) sent.push(toHex(transmit.bytes));
  const events: unknown[] = [];
  for (let event = of.pollEvent(); event; event = of.pollEvent()) events.push(event.type);
  const members = of.members().map(({ name, status, incarnation }) => `${name} ${status} ${incarnation}`);
  return {
    sent,
    events: events.sort(),
    members: members.sort(),
    rejected: of.stats.rejected,
    received: of.stats.packetsReceived,
  };
}

describe('many packets in one turn', () => {
  it('do what they do one by one', () => {
    const one = engine();
    for (const bytes of packets()) one.engine.handlePacket(1, FROM, bytes);
    const batch = engine();
    for (const bytes of packets()) expect(batch.engine.addPacket(FROM, bytes)).toBe(true);
    batch.engine.handleInbox(1);
    expect(outcome(batch.engine)).toEqual(outcome(one.engine));
  });

  it('may be described in the arena by the driver itself', () => {
    const one = engine();
    for (const bytes of packets()) one.engine.handlePacket(1, FROM, bytes);
    const { engine: direct, kernels } = engine();
    const { codec } = kernels;
    let top = 0;
    for (const [i, bytes] of packets().entries()) {
      const at = codec.packetsOffset + i * PACKET.stride;
      codec.u8.set(bytes, codec.inboxOffset + top);
      codec.u32[(at + PACKET.offset) >>> 2] = codec.inboxOffset + top;
      codec.u32[(at + PACKET.length) >>> 2] = bytes.length;
      codec.u8[at + PACKET.peerPort] = FROM.port & 255;
      codec.u8[at + PACKET.peerPort + 1] = FROM.port >>> 8;
      codec.u8[at + PACKET.peerIpLength] = 4;
      codec.u8.set(FROM.ip, at + PACKET.peerIp);
      top += bytes.length;
    }
    codec.u32[CODEC.inboxTop >>> 2] = top;
    direct.handlePackets(1, packets().length);
    expect(outcome(direct)).toEqual(outcome(one.engine));
  });

  it('beyond the inbox are dropped and counted', () => {
    const { engine: full, kernels } = engine();
    const capacity = kernels.codec.packetCapacity;
    for (let i = 0; i < capacity; i++) expect(full.addPacket(FROM, Uint8Array.of(8, i))).toBe(true);
    expect(full.addPacket(FROM, Uint8Array.of(8, 1))).toBe(false);
    full.handleInbox(1);
    expect([full.stats.inboxFull, full.stats.userMessagesReceived]).toEqual([1, capacity]);
  });

  it('are all handled when a metadata change comes between their arrival and their turn', () => {
    const { engine: busy } = engine();
    for (const bytes of packets()) busy.addPacket(FROM, bytes);
    busy.setMeta(1, text('v2'));
    busy.handleInbox(1);
    const { sent, events, members, rejected } = outcome(busy) as Record<string, unknown[]>;
    expect(events).toContain('message');
    expect(members).toEqual(['a 0 3', 'm1 0 1', 'm2 0 1']);
    expect(sent).toHaveLength(1);
    expect(rejected).toMatchObject({ unknownType: 1, malformed: 0, truncated: 0 });
  });

  it('carry the refutation in the answer to a ping that came with an accusation', () => {
    const { engine: accused } = engine();
    const [, , suspect, ping] = packets() as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    accused.addPacket(FROM, ping);
    accused.addPacket(FROM, suspect);
    accused.handleInbox(1);
    const answer = accused.pollTransmit();
    expect(answer?.bytes[0]).toBe(7);
    expect(Buffer.from(answer?.bytes ?? []).includes(Buffer.from('Incarnation\x02', 'latin1'))).toBe(true);
  });
});

describe('the shared table', () => {
  it('has an even sequence word after every turn, whatever happened and however often it grew', () => {
    const group = new Group();
    const nodes = group.addMany(80);
    group.joinAll();
    group.crash('n3');
    group.run(40_000);
    const { table } = (nodes[0] as TestNode).kernels;
    expect(table.capacity).toBeGreaterThan(64);
    for (const node of nodes) expect((node.kernels.table.u32[HEADER.seq >>> 2] as number) & 1).toBe(0);
  });
});

describe('IPv6', () => {
  it('members find, lose and message each other as over IPv4', () => {
    const group = new Group();
    const nodes = ['::1', 'fd00::2', '::ffff:10.0.0.3'].map((ip, i) =>
      group.add(`n${i}`, { address: { ip: parseIp(ip) as Uint8Array, port: 7946 } }),
    );
    group.joinAll();
    group.act(nodes[0] as TestNode, (engine, now) => engine.send(now, 'n1', text('six'), false));
    group.run(5);
    expect((nodes[1] as TestNode).messages()).toEqual([{ from: 'n0', text: 'six', via: 'packet' }]);
    group.crash('n2');
    group.until(() => (nodes[0] as TestNode).status('n2') === 2, 40_000);
  });
});
