import { MESSAGE } from '../../src/kernels/contract.ts';
import { bytesOf, fromHex, toHex } from '../../src/util/bytes.ts';
import { AVERAGE_BYTES, encodeAverage } from '../../src/wire/average.ts';
import type { Message } from '../../src/wire/decode.ts';
import {
  encodeAck,
  encodeAlive,
  encodeCompress,
  encodeDead,
  encodeError,
  encodeIndirectPing,
  encodeNack,
  encodePing,
  encodeSuspect,
  encodeUser,
} from '../../src/wire/messages.ts';
import { encodeRumor } from '../../src/wire/rumor.ts';
import type { HexValue } from './vectors.ts';

/** Fields as the vector files write them: Go names, texts as strings (or hex where they are not UTF-8), bytes as {hex} or null. */
export type Fields = Readonly<Record<string, string | number | boolean | HexValue | null>>;

/** Runs an encoder into a buffer that is large enough. */
export function encoded(write: (out: Uint8Array, at: number) => number, room = 70000): Uint8Array {
  const out = new Uint8Array(room);
  return out.subarray(0, write(out, 0));
}

/** Encodes a decoded message again. */
export function encodeMessage(message: Message): Uint8Array {
  return encoded((out, at) => {
    switch (message.type) {
      case 'ping':
        return encodePing(out, at, message);
      case 'indirectPing':
        return encodeIndirectPing(out, at, message);
      case 'ack':
        return encodeAck(out, at, message);
      case 'nack':
        return encodeNack(out, at, message.seqNo);
      case 'suspect':
        return encodeSuspect(out, at, message);
      case 'dead':
        return encodeDead(out, at, message);
      case 'alive':
        return encodeAlive(out, at, message);
      case 'error':
        return encodeError(out, at, message.text);
      case 'compress':
        return encodeCompress(out, at, message.data);
      case 'user':
        return encodeUser(out, at, message.payload);
      case 'state':
        return encodeUser(out, at, message.payload, MESSAGE.state);
      case 'rumor':
        return encodeRumor(out, at, message);
      case 'average':
        return out.length - at < AVERAGE_BYTES ? -(at + AVERAGE_BYTES) : encodeAverage(out, at, message);
    }
  });
}

/** A decoded message (or header, or node state) under the names and forms of the vector files. */
export function asFields(message: object): Fields {
  const out: Record<string, string | number | boolean | HexValue | null> = {};
  for (const [name, value] of Object.entries(message)) {
    const field = GO_NAMES[name];
    if (field === undefined) continue;
    out[field] = TEXTS.has(name) ? textOrHex(value) : value instanceof Uint8Array ? { hex: toHex(value) } : value;
  }
  return out;
}

/** What the vector files call the bytes of a field. */
export function bytesField(fields: Fields, name: string): Uint8Array | null {
  const value = fields[name];
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? bytesOf(value) : fromHex((value as HexValue).hex);
}

function textOrHex(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

const TEXTS = new Set(['node', 'name', 'from', 'sourceNode', 'text']);
const GO_NAMES: Readonly<Record<string, string>> = {
  seqNo: 'SeqNo',
  node: 'Node',
  sourceAddr: 'SourceAddr',
  sourcePort: 'SourcePort',
  sourceNode: 'SourceNode',
  target: 'Target',
  port: 'Port',
  nack: 'Nack',
  payload: 'Payload',
  incarnation: 'Incarnation',
  from: 'From',
  addr: 'Addr',
  meta: 'Meta',
  vsn: 'Vsn',
  name: 'Name',
  state: 'State',
  nodes: 'Nodes',
  userStateLength: 'UserStateLen',
  join: 'Join',
  text: 'Error',
  algorithm: 'Algo',
  data: 'Buf',
};
