import { MESSAGE } from '../../src/kernels/contract.ts';
import { bytesOf, concatBytes } from '../../src/util/bytes.ts';
import { MsgpackWriter } from '../../src/wire/msgpack.ts';

const IP = Uint8Array.of(10, 0, 0, 1);
const VSN = Uint8Array.of(1, 5, 2, 0, 0, 0);
const META = new Uint8Array(16).fill(120);

export function memberName(i: number): string {
  return `node-${String(i).padStart(5, '0')}`;
}

export function ping(): Uint8Array {
  const writer = new MsgpackWriter().byte(MESSAGE.ping).mapHeader(5);
  writer.raw(bytesOf('Node')).raw(bytesOf(memberName(1)));
  writer.raw(bytesOf('SeqNo')).uint(4711);
  writer.raw(bytesOf('SourceAddr')).raw(IP);
  writer.raw(bytesOf('SourceNode')).raw(bytesOf(memberName(2)));
  writer.raw(bytesOf('SourcePort')).uint(7946);
  return writer.written();
}

/** An alive message of about 92 bytes. */
export function alive(i: number): Uint8Array {
  return member(new MsgpackWriter().byte(MESSAGE.alive).mapHeader(6), 'Node', i, false);
}

/** One node of a push/pull body, about 99 bytes. */
export function nodeState(i: number): Uint8Array {
  return member(new MsgpackWriter().mapHeader(7), 'Name', i, true);
}

function member(writer: MsgpackWriter, nameKey: string, i: number, withState: boolean): Uint8Array {
  writer.raw(bytesOf('Addr')).raw(IP);
  writer.raw(bytesOf('Incarnation')).uint(1);
  writer.raw(bytesOf('Meta')).raw(META);
  writer.raw(bytesOf(nameKey)).raw(bytesOf(memberName(i)));
  writer.raw(bytesOf('Port')).uint(7946);
  if (withState) writer.raw(bytesOf('State')).int(0);
  writer.raw(bytesOf('Vsn')).raw(VSN);
  return writer.written();
}

export function compound(parts: readonly Uint8Array[]): Uint8Array {
  const lengths = parts.flatMap((part) => [part.length >> 8, part.length & 255]);
  return concatBytes([Uint8Array.of(MESSAGE.compound, parts.length, ...lengths), ...parts]);
}
