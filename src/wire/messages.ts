import { EXT_KEY, MESSAGE } from '../kernels/contract.ts';
import { bytesOf } from '../util/bytes.ts';
import { MsgpackWriter } from './msgpack.ts';

/**
 * Message bodies (protocol §4.2) and their encoders. Every encoder writes one message with its type byte into `out` from `at`
 * and returns the end offset, or -(bytes needed in all) when `out` is too small. Names are bytes: they need not be UTF-8.
 *
 * A byte field that is null goes out as nil, an empty one as an empty raw; readers treat the two alike, memberlist sends
 * nil for "none". `ext` is hearsay's extension word (docs/wire.md §4), written only when it is not 0.
 */

export interface Ping {
  /** u32, returned in the ack. */
  readonly seqNo: number;
  /** Name of the intended target; empty = whoever listens there. */
  readonly node: Uint8Array;
  /** The prober's IP, 4 or 16 bytes; null or empty = left out. */
  readonly sourceAddr: Uint8Array | null;
  /** 0 = left out. */
  readonly sourcePort: number;
  /** Empty = left out. */
  readonly sourceNode: Uint8Array;
  readonly ext?: number;
}

export interface IndirectPing {
  /** The prober's number, to be used in the forwarded ack or nack. */
  readonly seqNo: number;
  readonly target: Uint8Array | null;
  /** 0 = the port the helper itself is bound to. */
  readonly port: number;
  readonly node: Uint8Array;
  /** Whether a nack is wanted. */
  readonly nack: boolean;
  readonly sourceAddr: Uint8Array | null;
  readonly sourcePort: number;
  readonly sourceNode: Uint8Array;
}

export interface Ack {
  readonly seqNo: number;
  readonly payload: Uint8Array | null;
  readonly ext?: number;
}

/** A suspect or a dead message. A dead message with from equal to node is a leave. */
export interface Accusation {
  readonly incarnation: number;
  readonly node: Uint8Array;
  readonly from: Uint8Array;
}

export interface Alive {
  readonly incarnation: number;
  readonly node: Uint8Array;
  /** 4 or 16 bytes. */
  readonly addr: Uint8Array | null;
  readonly port: number;
  readonly meta: Uint8Array | null;
  /** Protocol min, max, current; delegate min, max, current. Always send six. */
  readonly vsn: Uint8Array | null;
  readonly ext?: number;
}

export interface NodeState {
  readonly name: Uint8Array;
  readonly addr: Uint8Array | null;
  readonly port: number;
  readonly meta: Uint8Array | null;
  readonly incarnation: number;
  /** STATUS; other values are passed on as they are. */
  readonly state: number;
  readonly vsn: Uint8Array | null;
  readonly ext?: number;
}

export interface PushPullHeader {
  readonly nodes: number;
  readonly userStateLength: number;
  readonly join: boolean;
}

const KEY = {
  addr: key('Addr'),
  algo: key('Algo'),
  buf: key('Buf'),
  error: key('Error'),
  ext: key(EXT_KEY),
  from: key('From'),
  incarnation: key('Incarnation'),
  join: key('Join'),
  meta: key('Meta'),
  nack: key('Nack'),
  name: key('Name'),
  node: key('Node'),
  nodes: key('Nodes'),
  payload: key('Payload'),
  port: key('Port'),
  seqNo: key('SeqNo'),
  sourceAddr: key('SourceAddr'),
  sourceNode: key('SourceNode'),
  sourcePort: key('SourcePort'),
  state: key('State'),
  target: key('Target'),
  userMsgLen: key('UserMsgLen'),
  userStateLen: key('UserStateLen'),
  vsn: key('Vsn'),
} as const;

// One writer per thread: no encoder calls another or anything that could.
const writer = new MsgpackWriter(new Uint8Array(0));

export function encodePing(out: Uint8Array, at: number, ping: Ping): number {
  const ext = ping.ext ?? 0;
  const w = writer.reset(out, at).byte(MESSAGE.ping);
  w.mapHeader(2 + (ext === 0 ? 0 : 1) + sourceCount(ping));
  extWord(w, ext);
  w.verbatim(KEY.node).raw(ping.node);
  w.verbatim(KEY.seqNo).uint(ping.seqNo);
  source(w, ping);
  return w.finish();
}

export function encodeIndirectPing(out: Uint8Array, at: number, ping: IndirectPing): number {
  const w = writer.reset(out, at).byte(MESSAGE.indirectPing);
  w.mapHeader(5 + sourceCount(ping));
  w.verbatim(KEY.nack).bool(ping.nack);
  w.verbatim(KEY.node).raw(ping.node);
  w.verbatim(KEY.port).uint(ping.port);
  w.verbatim(KEY.seqNo).uint(ping.seqNo);
  source(w, ping);
  bytesField(w, KEY.target, ping.target);
  return w.finish();
}

export function encodeAck(out: Uint8Array, at: number, ack: Ack): number {
  const ext = ack.ext ?? 0;
  const w = writer.reset(out, at).byte(MESSAGE.ack);
  w.mapHeader(ext === 0 ? 2 : 3);
  extWord(w, ext);
  bytesField(w, KEY.payload, ack.payload);
  w.verbatim(KEY.seqNo).uint(ack.seqNo);
  return w.finish();
}

export function encodeNack(out: Uint8Array, at: number, seqNo: number): number {
  return writer.reset(out, at).byte(MESSAGE.nack).mapHeader(1).verbatim(KEY.seqNo).uint(seqNo).finish();
}

export function encodeSuspect(out: Uint8Array, at: number, suspect: Accusation): number {
  return accusation(out, at, MESSAGE.suspect, suspect);
}

export function encodeDead(out: Uint8Array, at: number, dead: Accusation): number {
  return accusation(out, at, MESSAGE.dead, dead);
}

export function encodeAlive(out: Uint8Array, at: number, alive: Alive): number {
  const ext = alive.ext ?? 0;
  const w = writer.reset(out, at).byte(MESSAGE.alive);
  w.mapHeader(ext === 0 ? 6 : 7);
  bytesField(w, KEY.addr, alive.addr);
  extWord(w, ext);
  w.verbatim(KEY.incarnation).uint(alive.incarnation);
  bytesField(w, KEY.meta, alive.meta);
  w.verbatim(KEY.node).raw(alive.node);
  w.verbatim(KEY.port).uint(alive.port);
  bytesField(w, KEY.vsn, alive.vsn);
  return w.finish();
}

/** The error answer of a stream (§7.4): free text for the other side's log. */
export function encodeError(out: Uint8Array, at: number, text: Uint8Array): number {
  return writer.reset(out, at).byte(MESSAGE.error).mapHeader(1).verbatim(KEY.error).raw(text).finish();
}

/** Type byte and header of a push/pull (§7.6); node states and user state follow. */
export function encodePushPullHeader(out: Uint8Array, at: number, header: PushPullHeader): number {
  const w = writer.reset(out, at).byte(MESSAGE.pushPull).mapHeader(3);
  w.verbatim(KEY.join).bool(header.join);
  w.verbatim(KEY.nodes).int(header.nodes);
  w.verbatim(KEY.userStateLen).int(header.userStateLength);
  return w.finish();
}

/** One entry of a push/pull; has no type byte. */
export function encodeNodeState(out: Uint8Array, at: number, node: NodeState): number {
  const ext = node.ext ?? 0;
  const w = writer.reset(out, at).mapHeader(ext === 0 ? 7 : 8);
  bytesField(w, KEY.addr, node.addr);
  extWord(w, ext);
  w.verbatim(KEY.incarnation).uint(node.incarnation);
  bytesField(w, KEY.meta, node.meta);
  w.verbatim(KEY.name).raw(node.name);
  w.verbatim(KEY.port).uint(node.port);
  w.verbatim(KEY.state).int(node.state);
  bytesField(w, KEY.vsn, node.vsn);
  return w.finish();
}

/**
 * Type byte and header of a user message on a stream (§7.7); `length` bytes follow. `from` is hearsay's addition: the sender's name under
 * the key "Node", which memberlist skips. A stream comes from a port of its own, so its address does not tell. `type`: a state message has the same form.
 */
export function encodeUserHeader(
  out: Uint8Array,
  at: number,
  length: number,
  from?: Uint8Array,
  type: number = MESSAGE.user,
): number {
  const w = writer
    .reset(out, at)
    .byte(type)
    .mapHeader(from ? 2 : 1);
  if (from) w.verbatim(KEY.node).raw(from);
  return w.verbatim(KEY.userMsgLen).int(length).finish();
}

/** A user message in a packet (§4.1): the type byte and the bytes as they are. `type`: a state message has the same form. */
export function encodeUser(out: Uint8Array, at: number, payload: Uint8Array, type: number = MESSAGE.user): number {
  return writer.reset(out, at).byte(type).verbatim(payload).finish();
}

/** A compress message around bytes that are already LZW-encoded (§6.2). */
export function encodeCompress(out: Uint8Array, at: number, lzw: Uint8Array): number {
  return writer
    .reset(out, at)
    .byte(MESSAGE.compress)
    .mapHeader(2)
    .verbatim(KEY.algo)
    .uint(0)
    .verbatim(KEY.buf)
    .raw(lzw)
    .finish();
}

/** Bytes of a compress message before the LZW bytes, for `length` of them. */
export function compressHeaderBytes(length: number): number {
  return 13 + (length < 32 ? 0 : length < 65536 ? 2 : 4);
}

function accusation(out: Uint8Array, at: number, type: number, message: Accusation): number {
  const w = writer.reset(out, at).byte(type).mapHeader(3);
  w.verbatim(KEY.from).raw(message.from);
  w.verbatim(KEY.incarnation).uint(message.incarnation);
  w.verbatim(KEY.node).raw(message.node);
  return w.finish();
}

/** The Source fields of the ping family are the only ones that are left out when empty (§3.1). */
function sourceCount(ping: Ping | IndirectPing): number {
  return (hasBytes(ping.sourceAddr) ? 1 : 0) + (ping.sourcePort === 0 ? 0 : 1) + (ping.sourceNode.length === 0 ? 0 : 1);
}

function source(w: MsgpackWriter, ping: Ping | IndirectPing): void {
  if (hasBytes(ping.sourceAddr)) w.verbatim(KEY.sourceAddr).raw(ping.sourceAddr);
  if (ping.sourceNode.length > 0) w.verbatim(KEY.sourceNode).raw(ping.sourceNode);
  if (ping.sourcePort !== 0) w.verbatim(KEY.sourcePort).uint(ping.sourcePort);
}

function hasBytes(bytes: Uint8Array | null): bytes is Uint8Array {
  return bytes !== null && bytes.length > 0;
}

function bytesField(w: MsgpackWriter, name: Uint8Array, bytes: Uint8Array | null): void {
  w.verbatim(name);
  if (bytes === null) w.nil();
  else w.raw(bytes);
}

function extWord(w: MsgpackWriter, ext: number): void {
  if (ext !== 0) w.verbatim(KEY.ext).uint(ext);
}

/** A key with its header, as it stands on the wire. All are shorter than 32 bytes. */
function key(name: string): Uint8Array {
  const text = bytesOf(name);
  const out = new Uint8Array(1 + text.length);
  out[0] = 0xa0 | text.length;
  out.set(text, 1);
  return out;
}
