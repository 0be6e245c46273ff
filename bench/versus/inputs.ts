/**
 * The bytes that all contenders work on, from a seed: what a cluster of 10,000 members sends. Node states have names of 10 bytes and
 * 20 bytes of metadata, so the push/pull body has 920,000 bytes.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { MESSAGE, STATUS } from '../../src/kernels/contract.ts';
import { bytesOf, concatBytes } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';
import {
  encodeAlive,
  encodeNodeState,
  encodePushPullHeader,
  encodeSuspect,
  type NodeState,
} from '../../src/wire/messages.ts';
import { compound, memberName } from '../kernels/messages.ts';

export const MEMBERS = 10_000;
export const RECORDS_PER_PACKET = 10;
export const PACKETS = 100;
export const QUEUED = 1000;
export const PACKET_BYTES = 1400;
/** In the tables before the news; below 128, so one byte. */
const INCARNATIONS = 64;
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);

export interface VersusInputs {
  /** 10,000 node states. */
  readonly body: Uint8Array;
  /** The header that memberlist's reader wants before them. */
  readonly header: Uint8Array;
  /**
   * Two sets of compounds of ten about the same members, alive and suspect in turns: whom a packet of one set accuses refutes in the other.
   * stamp() makes all of them news.
   */
  readonly packets: readonly [readonly Uint8Array[], readonly Uint8Array[]];
  /** 1,000 messages of 40 to 120 bytes. */
  readonly messages: readonly Uint8Array[];
}

export function makeInputs(): VersusInputs {
  const prng = new Prng(11);
  const states = Array.from({ length: MEMBERS }, (_, i) => written((out) => encodeNodeState(out, 0, member(i))));
  return {
    body: concatBytes(states),
    header: written((out) =>
      encodePushPullHeader(out, 0, { nodes: MEMBERS, userStateLength: 0, join: false }),
    ).subarray(1),
    packets: [makePackets(0), makePackets(1)],
    messages: Array.from({ length: QUEUED }, () => randomBytes(prng, 40 + prng.below(81))),
  };
}

/** For contenders that are other programs. */
export function writeInputs(inputs: VersusInputs, dir: string): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(`${dir}/push-pull.bin`, concatBytes([inputs.header, inputs.body]));
  inputs.packets.forEach((packets, i) => {
    writeFileSync(`${dir}/packets-${i}.bin`, parts(packets));
  });
  writeFileSync(`${dir}/messages.bin`, parts(inputs.messages));
}

/** Makes every message of the packets news of this generation: an alive raises the incarnation, a suspect names the known one. */
export function stamp(packets: readonly Uint8Array[], generation: number): void {
  for (const packet of packets) {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    for (const { start, field } of incarnationsOf(packet)) {
      view.setUint32(field, INCARNATIONS + 1 + generation + (packet[start] === MESSAGE.alive ? 1 : 0));
    }
  }
}

const known = new WeakMap<Uint8Array, { start: number; field: number }[]>();

/** Where the messages of a compound start, and where the four bytes of their incarnations are. */
function incarnationsOf(packet: Uint8Array): { start: number; field: number }[] {
  const found = known.get(packet);
  if (found) return found;
  const key = Buffer.from('Incarnation\xce', 'latin1');
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const count = packet[1] as number;
  const places = [];
  let start = 2 + 2 * count;
  for (let i = 0; i < count; i++) {
    places.push({ start, field: Buffer.from(packet.buffer, packet.byteOffset).indexOf(key, start) + key.length });
    start += view.getUint16(2 + 2 * i);
  }
  known.set(packet, places);
  return places;
}

function makePackets(parity: number): Uint8Array[] {
  return Array.from({ length: PACKETS }, (_, packet) =>
    compound(
      Array.from({ length: RECORDS_PER_PACKET }, (_, i) => {
        // Spread over the cluster, as news is.
        const id = (packet * RECORDS_PER_PACKET + i) * (MEMBERS / (PACKETS * RECORDS_PER_PACKET));
        return i % 2 === parity ? alive(id) : suspect(id);
      }),
    ),
  );
}

/** The same profile as in the body: news, but no other address. */
function alive(id: number): Uint8Array {
  const { name, addr, port, meta, vsn } = member(id);
  return written((out) => encodeAlive(out, 0, { node: name, addr, port, meta, vsn, incarnation: 0xffffffff }));
}

function suspect(id: number): Uint8Array {
  const from = bytesOf(memberName(1));
  return written((out) => encodeSuspect(out, 0, { node: bytesOf(memberName(id)), from, incarnation: 0xffffffff }));
}

function member(i: number): NodeState {
  return {
    name: bytesOf(memberName(i)),
    addr: Uint8Array.of(10, 0, i >> 8, i & 255),
    port: 7946,
    meta: randomBytes(new Prng(i + 1), 20),
    incarnation: 1 + (i % (INCARNATIONS - 1)),
    state: STATUS.alive,
    vsn: VSN,
  };
}

function randomBytes(prng: Prng, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => prng.below(256));
}

function written(encode: (out: Uint8Array) => number): Uint8Array {
  const out = new Uint8Array(1024);
  return out.slice(0, encode(out));
}

/** Each after its length as u32 little-endian. */
function parts(items: readonly Uint8Array[]): Uint8Array {
  return concatBytes(items.flatMap((item) => [new Uint8Array(Uint32Array.of(item.length).buffer), item]));
}
