import { MESSAGE, REJECT } from '../kernels/contract.ts';
import { type Average, parseAverage } from './average.ts';
import { FIELDS, nextField } from './fields.ts';
import type { Accusation, Ack, Alive, IndirectPing, NodeState, Ping, PushPullHeader } from './messages.ts';
import { MsgpackReader } from './msgpack.ts';
import { parseRumor, type Rumor } from './rumor.ts';

/**
 * Messages as objects, for streams and tests; packets go through the codec kernel. Byte fields are views of the input. A
 * missing field is zero, empty or null (protocol §3.2). Nothing throws: a body that cannot be read is -REJECT.
 */

export type Message =
  | ({ readonly type: 'ping' } & Required<Ping>)
  | ({ readonly type: 'indirectPing' } & IndirectPing)
  | ({ readonly type: 'ack' } & Required<Ack>)
  | { readonly type: 'nack'; readonly seqNo: number }
  | ({ readonly type: 'suspect' } & Accusation)
  | ({ readonly type: 'dead' } & Accusation)
  | ({ readonly type: 'alive' } & Required<Alive>)
  | { readonly type: 'error'; readonly text: Uint8Array }
  | { readonly type: 'compress'; readonly algorithm: number; readonly data: Uint8Array }
  | { readonly type: 'user' | 'state'; readonly payload: Uint8Array }
  | ({ readonly type: 'rumor' } & Rumor)
  | ({ readonly type: 'average' } & Average);

const U8 = 255;
const U16 = 65535;
const U32 = 4294967295;
const EMPTY: Uint8Array = new Uint8Array(0);

/** Decodes the message at `bytes[start, end)`, type byte included. Not for compound (compound.ts) or push/pull (stream-body.ts). */
export function decodeMessage(bytes: Uint8Array, start = 0, end = bytes.length): Message | number {
  if (start >= end) return -REJECT.empty;
  const reader = new MsgpackReader(bytes, start + 1, end);
  const message = decodeBody(bytes[start] as number, reader);
  if (typeof message === 'number') return message;
  return reader.ok ? message : -reader.status;
}

function decodeBody(type: number, reader: MsgpackReader): Message | number {
  switch (type) {
    case MESSAGE.ping:
      return readPing(reader);
    case MESSAGE.indirectPing:
      return readIndirectPing(reader);
    case MESSAGE.ack:
      return readAck(reader);
    case MESSAGE.nack:
      return readNack(reader);
    case MESSAGE.suspect:
      return { type: 'suspect', ...readAccusation(reader) };
    case MESSAGE.dead:
      return { type: 'dead', ...readAccusation(reader) };
    case MESSAGE.alive:
      return readAlive(reader);
    case MESSAGE.error:
      return readError(reader);
    case MESSAGE.compress:
      return { type: 'compress', ...readCompress(reader) };
    case MESSAGE.user:
      return { type: 'user', payload: reader.bytes.subarray(reader.pos, reader.end) };
    case MESSAGE.state:
      return { type: 'state', payload: reader.bytes.subarray(reader.pos, reader.end) };
    case MESSAGE.rumor: {
      const rumor = parseRumor(reader.bytes, reader.pos - 1, reader.end);
      return typeof rumor === 'number' ? rumor : { type: 'rumor', ...rumor };
    }
    case MESSAGE.average: {
      const average = parseAverage(reader.bytes.subarray(reader.pos, reader.end));
      return typeof average === 'number' ? average : { type: 'average', ...average };
    }
    default:
      return -REJECT.unknownType;
  }
}

function readPing(reader: MsgpackReader): Message {
  let seqNo = 0;
  let node = EMPTY;
  let sourceAddr: Uint8Array | null = null;
  let sourcePort = 0;
  let sourceNode = EMPTY;
  let ext = 0;
  each(reader, FIELDS.ping, (field) => {
    if (field === 0) seqNo = reader.readUint(U32);
    else if (field === 1) node = text(reader);
    else if (field === 2) sourceAddr = bytesOrNull(reader);
    else if (field === 3) sourcePort = reader.readUint(U16);
    else if (field === 4) sourceNode = text(reader);
    else ext = reader.readUint(U32);
  });
  return { type: 'ping', seqNo, node, sourceAddr, sourcePort, sourceNode, ext };
}

function readIndirectPing(reader: MsgpackReader): Message {
  let seqNo = 0;
  let target: Uint8Array | null = null;
  let port = 0;
  let node = EMPTY;
  let nack = false;
  let sourceAddr: Uint8Array | null = null;
  let sourcePort = 0;
  let sourceNode = EMPTY;
  each(reader, FIELDS.indirectPing, (field) => {
    if (field === 0) seqNo = reader.readUint(U32);
    else if (field === 1) target = bytesOrNull(reader);
    else if (field === 2) port = reader.readUint(U16);
    else if (field === 3) node = text(reader);
    else if (field === 4) nack = reader.readBool();
    else if (field === 5) sourceAddr = bytesOrNull(reader);
    else if (field === 6) sourcePort = reader.readUint(U16);
    else sourceNode = text(reader);
  });
  return { type: 'indirectPing', seqNo, target, port, node, nack, sourceAddr, sourcePort, sourceNode };
}

function readAck(reader: MsgpackReader): Message {
  let seqNo = 0;
  let payload: Uint8Array | null = null;
  let ext = 0;
  each(reader, FIELDS.ack, (field) => {
    if (field === 0) seqNo = reader.readUint(U32);
    else if (field === 1) payload = bytesOrNull(reader);
    else ext = reader.readUint(U32);
  });
  return { type: 'ack', seqNo, payload, ext };
}

function readNack(reader: MsgpackReader): Message {
  let seqNo = 0;
  each(reader, FIELDS.nack, () => {
    seqNo = reader.readUint(U32);
  });
  return { type: 'nack', seqNo };
}

function readError(reader: MsgpackReader): Message {
  let value = EMPTY;
  each(reader, FIELDS.error, () => {
    value = text(reader);
  });
  return { type: 'error', text: value };
}

function readAccusation(reader: MsgpackReader): Accusation {
  let incarnation = 0;
  let node = EMPTY;
  let from = EMPTY;
  each(reader, FIELDS.accusation, (field) => {
    if (field === 0) incarnation = reader.readUint(U32);
    else if (field === 1) node = text(reader);
    else from = text(reader);
  });
  return { incarnation, node, from };
}

function readAlive(reader: MsgpackReader): Message {
  let incarnation = 0;
  let node = EMPTY;
  let addr: Uint8Array | null = null;
  let port = 0;
  let meta: Uint8Array | null = null;
  let vsn: Uint8Array | null = null;
  let ext = 0;
  each(reader, FIELDS.alive, (field) => {
    if (field === 0) incarnation = reader.readUint(U32);
    else if (field === 1) node = text(reader);
    else if (field === 2) addr = bytesOrNull(reader);
    else if (field === 3) port = reader.readUint(U16);
    else if (field === 4) meta = bytesOrNull(reader);
    else if (field === 5) vsn = bytesOrNull(reader);
    else ext = reader.readUint(U32);
  });
  return { type: 'alive', incarnation, node, addr, port, meta, vsn, ext };
}

/** Reads a node state; check reader.ok afterwards. */
export function readNodeState(reader: MsgpackReader): Required<NodeState> {
  let name = EMPTY;
  let addr: Uint8Array | null = null;
  let port = 0;
  let meta: Uint8Array | null = null;
  let incarnation = 0;
  let state = 0;
  let vsn: Uint8Array | null = null;
  let ext = 0;
  each(reader, FIELDS.nodeState, (field) => {
    if (field === 0) name = text(reader);
    else if (field === 1) addr = bytesOrNull(reader);
    else if (field === 2) port = reader.readUint(U16);
    else if (field === 3) meta = bytesOrNull(reader);
    else if (field === 4) incarnation = reader.readUint(U32);
    else if (field === 5) state = reader.readMachineInt();
    else if (field === 6) vsn = bytesOrNull(reader);
    else ext = reader.readUint(U32);
  });
  return { name, addr, port, meta, incarnation, state, vsn, ext };
}

/** Reads a push/pull header (behind type byte 6); check reader.ok and the limits afterwards. */
export function readPushPullHeader(reader: MsgpackReader): PushPullHeader {
  let nodes = 0;
  let userStateLength = 0;
  let join = false;
  each(reader, FIELDS.pushPullHeader, (field) => {
    if (field === 0) nodes = reader.readMachineInt();
    else if (field === 1) userStateLength = reader.readMachineInt();
    else join = reader.readBool();
  });
  return { nodes, userStateLength, join };
}

/** Reads a user message header (behind type byte 8 on a stream); check reader.ok and the limit afterwards. `from` is empty but for hearsay senders. */
export function readUserHeader(reader: MsgpackReader): { length: number; from: Uint8Array } {
  let length = 0;
  let from = EMPTY;
  each(reader, FIELDS.userHeader, (field) => {
    if (field === 0) length = reader.readMachineInt();
    else from = text(reader);
  });
  return { length, from };
}

/** Reads a compress body; check reader.ok and the algorithm afterwards. */
export function readCompress(reader: MsgpackReader): { algorithm: number; data: Uint8Array } {
  let algorithm = 0;
  let data = EMPTY;
  each(reader, FIELDS.compress, (field) => {
    if (field === 0) algorithm = reader.readUint(U8);
    else data = reader.readBytes() ? reader.content() : EMPTY;
  });
  return { algorithm, data };
}

/** Calls `read` at the value of every known field, in the order they come, and passes over the others. */
function each(reader: MsgpackReader, fields: readonly Uint8Array[], read: (field: number) => void): void {
  if (!reader.openStruct()) return;
  for (let i = 0; i < reader.entries && reader.ok; i++) {
    const field = nextField(reader, fields, i);
    if (field >= 0) read(field);
    else reader.skip();
  }
}

function text(reader: MsgpackReader): Uint8Array {
  return reader.readText() ? reader.content() : EMPTY;
}

function bytesOrNull(reader: MsgpackReader): Uint8Array | null {
  return reader.readBytes() && !reader.wasNil ? reader.content() : null;
}
