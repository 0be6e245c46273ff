import { readFileSync } from 'node:fs';
import { createPacketCodecArena, type PacketCodecOptions } from '../../src/kernels/arenas/packet-codec.ts';
import type { Arena, PacketCodec } from '../../src/kernels/contract.ts';
import { MESSAGE } from '../../src/kernels/contract.ts';
import { JsPacketCodec } from '../../src/kernels/js/packet-codec.ts';
import { CODEC, PACKET, RECORD } from '../../src/kernels/layout.ts';
import { NativePacketCodec } from '../../src/kernels/native/packet-codec.ts';
import { hasNativeClass } from '../../src/kernels/native.ts';
import { bytesOf, concatBytes, toHex } from '../../src/util/bytes.ts';
import { lzwBound, lzwCompress } from '../../src/wire/lzw.ts';
import { MsgpackWriter } from '../../src/wire/msgpack.ts';

export const SIZES: PacketCodecOptions = {
  packetCapacity: 16,
  recordCapacity: 400,
  inboxBytes: 1 << 17,
  scratchBytes: 1 << 16,
};

export type MakeCodec = (arena: Arena) => PacketCodec;

/** The engines that this machine can run. */
export const ENGINES: readonly { name: string; make: MakeCodec }[] = [
  { name: 'js', make: (arena) => new JsPacketCodec(arena) },
  ...(hasNativeClass('PacketCodec') ? [{ name: 'native', make: (arena: Arena) => new NativePacketCodec(arena) }] : []),
];

export function createCodec(make: MakeCodec, sizes: Partial<PacketCodecOptions> = {}): PacketCodec {
  return make(createPacketCodecArena({ ...SIZES, ...sizes }));
}

/** Copies datagrams into the inbox, one behind the other, as a driver does. Returns their number. */
export function deliver(codec: PacketCodec, datagrams: readonly Uint8Array[]): number {
  let at = codec.inboxOffset;
  datagrams.forEach((datagram, i) => {
    codec.u8.set(datagram, at);
    const packet = codec.packetsOffset + i * PACKET.stride;
    codec.u32[(packet + PACKET.offset) >>> 2] = at;
    codec.u32[(packet + PACKET.length) >>> 2] = datagram.length;
    at += datagram.length;
  });
  codec.u32[CODEC.inboxTop >>> 2] = at - codec.inboxOffset;
  codec.u32[CODEC.packetCount >>> 2] = datagrams.length;
  return datagrams.length;
}

/** index() of these datagrams, and what came of each: 0 or a REJECT code. */
export function indexed(codec: PacketCodec, ...datagrams: Uint8Array[]): { records: number; codes: number[] } {
  const records = codec.index(deliver(codec, datagrams));
  return { records, codes: datagrams.map((_, i) => resultOf(codec, i).code) };
}

/** Puts a push/pull body into the inbox. */
export function deliverState(codec: PacketCodec, body: Uint8Array): void {
  codec.u8.set(body, codec.inboxOffset);
  codec.u32[CODEC.inboxTop >>> 2] = body.length;
}

export function resultOf(codec: PacketCodec, i: number): { code: number; firstRecord: number; recordCount: number } {
  const packet = codec.packetsOffset + i * PACKET.stride;
  const word = (offset: number) => codec.u32[(packet + offset) >>> 2] as number;
  return {
    // 0 - x instead of -x: no negative zero.
    code: 0 - (word(PACKET.result) | 0),
    firstRecord: word(PACKET.firstRecord),
    recordCount: word(PACKET.recordCount),
  };
}

export interface ReadRecord {
  kind: number;
  flags: number;
  packet: number;
  number: number;
  port: number;
  name: string;
  from: string;
  ip: string;
  data: string;
  vsn: string;
  vsnLength: number;
  status: number;
  sourceIp: string;
  sourcePort: number;
  nack: number;
  ext: number;
}

/** Record `i`; byte strings as hex. */
export function recordOf(codec: PacketCodec, i: number): ReadRecord {
  const record = codec.recordsOffset + i * RECORD.stride;
  const u8 = (offset: number) => codec.u8[record + offset] as number;
  const u16 = (offset: number) => u8(offset) | (u8(offset + 1) << 8);
  const u32 = (offset: number) => codec.u32[(record + offset) >>> 2] as number;
  const span = (offset: number, length: number) => toHex(codec.u8.subarray(offset, offset + length));
  const vsnLength = u8(RECORD.vsnLength);
  return {
    kind: u8(RECORD.kind),
    flags: u8(RECORD.flags),
    packet: u32(RECORD.packet),
    number: u32(RECORD.number),
    port: u16(RECORD.port),
    name: span(u32(RECORD.nameOffset), u32(RECORD.nameLength)),
    from: span(u32(RECORD.fromOffset), u32(RECORD.fromLength)),
    ip: span(u32(RECORD.ipOffset), u32(RECORD.ipLength)),
    data: span(u32(RECORD.dataOffset), u32(RECORD.dataLength)),
    vsn: span(record + RECORD.vsn, Math.min(vsnLength, 6)),
    vsnLength,
    status: u8(RECORD.status),
    sourceIp: span(u32(RECORD.sourceIpOffset), u8(RECORD.sourceIpLength)),
    sourcePort: u16(RECORD.sourcePort),
    nack: u8(RECORD.nack),
    ext: u32(RECORD.ext),
  };
}

/** The record of a message of `kind` with these fields and no others. */
export function record(kind: number, fields: Partial<ReadRecord> = {}): ReadRecord {
  return {
    kind,
    flags: 0,
    packet: 0,
    number: 0,
    port: 0,
    name: '',
    from: '',
    ip: '',
    data: '',
    vsn: '',
    vsnLength: 0,
    status: 0,
    sourceIp: '',
    sourcePort: 0,
    nack: 0,
    ext: 0,
    ...fields,
  };
}

/** True when records behind the used ones, and scratch behind the used part, are zero. */
export function unusedIsZero(codec: PacketCodec): boolean {
  const count = codec.u32[CODEC.recordCount >>> 2] as number;
  const scratchTop = codec.u32[CODEC.scratchTop >>> 2] as number;
  const scratchOffset = codec.arena.byteLength - (((codec.u32[CODEC.scratchBytes >>> 2] as number) + 7) & ~7);
  const records = codec.u8.subarray(codec.recordsOffset + count * RECORD.stride, codec.inboxOffset);
  return (
    records.every((byte) => byte === 0) && codec.u8.subarray(scratchOffset + scratchTop).every((byte) => byte === 0)
  );
}

export type Value = number | boolean | null | string | Uint8Array | { raw: string } | readonly number[];

/** A message: type byte (none when negative) and a map of the fields in the order given. `raw` values are hex as they are. */
export function message(type: number, fields: Readonly<Record<string, Value>>): Uint8Array {
  const writer = new MsgpackWriter();
  if (type >= 0) writer.byte(type);
  const entries = Object.entries(fields);
  writer.mapHeader(entries.length);
  for (const [key, value] of entries) {
    writer.raw(bytesOf(key));
    writeValue(writer, value);
  }
  return writer.written().slice();
}

function writeValue(writer: MsgpackWriter, value: Value): void {
  if (value === null) writer.nil();
  else if (typeof value === 'boolean') writer.bool(value);
  else if (typeof value === 'number') value < 0 ? writer.int(value) : writer.uint(value);
  else if (typeof value === 'string') writer.raw(bytesOf(value));
  else if (value instanceof Uint8Array) writer.raw(value);
  else if ('raw' in value) writer.verbatim(Uint8Array.from(Buffer.from(value.raw, 'hex')));
  else {
    writer.listHeader(value.length);
    for (const element of value) writer.uint(element);
  }
}

export function compound(...parts: readonly Uint8Array[]): Uint8Array {
  const head = new Uint8Array(2 + 2 * parts.length);
  head[0] = MESSAGE.compound;
  head[1] = parts.length;
  parts.forEach((part, i) => {
    head[2 + 2 * i] = part.length >> 8;
    head[3 + 2 * i] = part.length & 255;
  });
  return concatBytes([head, ...parts]);
}

export function lzw(input: Uint8Array): Uint8Array {
  const out = new Uint8Array(lzwBound(input.length));
  return out.slice(0, lzwCompress(input, out));
}

export function compressed(input: Uint8Array): Uint8Array {
  return message(MESSAGE.compress, { Algo: 0, Buf: lzw(input) });
}

export function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8')) as T;
}
