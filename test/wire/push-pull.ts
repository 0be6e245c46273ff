import { MESSAGE } from '../../src/kernels/contract.ts';
import { bytesOf, concatBytes, fromHex, toHex } from '../../src/util/bytes.ts';
import { decodeMessage, readNodeState, readUserHeader } from '../../src/wire/decode.ts';
import { encodeNodeState, encodePushPullHeader, encodeUserHeader, type NodeState } from '../../src/wire/messages.ts';
import { MsgpackReader } from '../../src/wire/msgpack.ts';
import { parsePushPull } from '../../src/wire/stream-body.ts';
import { asFields, encoded, encodeMessage, type Fields } from './encode.ts';
import type { HexValue } from './vectors.ts';

/** What the vector files say about one direction of a stream. */
export interface StreamNote {
  readonly pushPull?: { readonly header: Fields; readonly nodes: Fields[]; readonly userState: string | HexValue };
  readonly user?: { readonly header: Fields; readonly body: string | HexValue };
  readonly ping?: Fields;
  readonly ackResp?: Fields;
  readonly errResp?: Fields;
  readonly label?: string;
  readonly encrypted?: boolean;
  readonly compressed?: boolean;
}

/** A push/pull message from its parts. */
export function encodePushPull(join: boolean, nodes: readonly NodeState[], userState: Uint8Array): Uint8Array {
  const header = encoded((out, at) =>
    encodePushPullHeader(out, at, { nodes: nodes.length, userStateLength: userState.length, join }),
  );
  const states = nodes.map((node) => encoded((out, at) => encodeNodeState(out, at, node)).slice());
  return concatBytes([header, ...states, userState]);
}

/** A stream message as the vector files annotate it, and its bytes made again from what was decoded. */
export function annotate(message: Uint8Array): { note: StreamNote; again: Uint8Array } {
  if (message[0] === MESSAGE.pushPull) return annotatePushPull(message);
  if (message[0] === MESSAGE.user) {
    const reader = new MsgpackReader(message, 1);
    const { length } = readUserHeader(reader);
    const body = message.subarray(reader.pos);
    const header = encoded((out, at) => encodeUserHeader(out, at, length));
    return {
      note: { user: { header: { UserMsgLen: length }, body: textOrHex(body) } },
      again: concatBytes([header, body]),
    };
  }
  const decoded = decodeMessage(message);
  if (typeof decoded === 'number') throw new Error(`rejected with ${decoded}`);
  const name = { ping: 'ping', ack: 'ackResp', error: 'errResp' }[decoded.type as string];
  return { note: { [name as string]: asFields(decoded) }, again: encodeMessage(decoded) };
}

/** What an annotation says about the message, without the layers; absent ping fields filled in. */
export function messageNote(note: StreamNote): StreamNote {
  const { pushPull, user, ping, ackResp, errResp } = note;
  if (ping) return { ping: { SourceAddr: null, SourceNode: '', SourcePort: 0, ...ping } };
  return {
    ...(pushPull && { pushPull }),
    ...(user && { user }),
    ...(ackResp && { ackResp }),
    ...(errResp && { errResp }),
  };
}

function annotatePushPull(message: Uint8Array): { note: StreamNote; again: Uint8Array } {
  const head = parsePushPull(message);
  if (typeof head === 'number') throw new Error(`rejected with ${head}`);
  const reader = new MsgpackReader(message, head.nodesOffset, head.userStateOffset);
  const nodes = Array.from({ length: head.nodes }, () => readNodeState(reader));
  if (!reader.ok || reader.pos !== head.userStateOffset) throw new Error('node states do not fill their place');
  const userState = message.subarray(head.userStateOffset);
  const header = { Join: head.join, Nodes: head.nodes, UserStateLen: head.userStateLength };
  return {
    note: { pushPull: { header, nodes: nodes.map(asFields), userState: textOrHex(userState) } },
    again: encodePushPull(head.join, nodes, userState),
  };
}

/** The annotations print readable bytes as text. */
function textOrHex(bytes: Uint8Array): string | HexValue {
  return bytes.length > 0 && bytes.every((byte) => byte >= 0x20 && byte < 0x7f)
    ? new TextDecoder().decode(bytes)
    : { hex: toHex(bytes) };
}

/** A node state for tests. */
export function nodeState(name: string, meta = 'meta'): NodeState {
  return {
    name: bytesOf(name),
    addr: fromHex('7f000001'),
    port: 7946,
    meta: bytesOf(meta),
    incarnation: 1,
    state: 0,
    vsn: fromHex('010502000000'),
  };
}
