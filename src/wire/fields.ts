import { EXT_KEY } from '../kernels/contract.ts';
import { bytesOf } from '../util/bytes.ts';
import { type MsgpackReader, STRUCT } from './msgpack.ts';

const EXT = bytesOf(EXT_KEY);

/**
 * Field names of every body in declaration order (protocol §4.2), which is the order of the list form (§3.2). "Hs", hearsay's
 * extension word, comes last where it may appear. It has no place in the list form: there an extra element is skipped.
 */
export const FIELDS = {
  ping: keys('SeqNo', 'Node', 'SourceAddr', 'SourcePort', 'SourceNode', EXT),
  indirectPing: keys('SeqNo', 'Target', 'Port', 'Node', 'Nack', 'SourceAddr', 'SourcePort', 'SourceNode'),
  ack: keys('SeqNo', 'Payload', EXT),
  nack: keys('SeqNo'),
  error: keys('Error'),
  /** suspect and dead. */
  accusation: keys('Incarnation', 'Node', 'From'),
  alive: keys('Incarnation', 'Node', 'Addr', 'Port', 'Meta', 'Vsn', EXT),
  pushPullHeader: keys('Nodes', 'UserStateLen', 'Join'),
  nodeState: keys('Name', 'Addr', 'Port', 'Meta', 'Incarnation', 'State', 'Vsn', EXT),
  userHeader: keys('UserMsgLen', 'Node'),
  compress: keys('Algo', 'Buf'),
} as const;

/**
 * Finds out which field the value at the reader's position belongs to: entry `i` of a struct opened with openStruct. In a map
 * this reads the key. Returns the index in `fields`, or -1 for a value that is to be skipped (or when reading failed).
 */
export function nextField(reader: MsgpackReader, fields: readonly Uint8Array[], i: number): number {
  if (reader.structKind === STRUCT.list) return i < fields.length && fields[i] !== EXT ? i : -1;
  if (!reader.readText()) return -1;
  for (let f = 0; f < fields.length; f++) if (reader.textIs(fields[f] as Uint8Array)) return f;
  return -1;
}

function keys(...names: (string | Uint8Array)[]): readonly Uint8Array[] {
  return names.map((name) => (typeof name === 'string' ? bytesOf(name) : name));
}
