import { EXT_KEY } from '../kernels/contract.ts';
import { bytesOf } from '../util/bytes.ts';
import { type MsgpackReader, STRUCT } from './msgpack.ts';

/**
 * Field names of every body in declaration order (protocol §4.2), which is the order of the list form (§3.2). "Hs", hearsay's
 * extension word, comes last where it may appear: in list form an old reader skips it as an extra element.
 */
export const FIELDS = {
  ping: keys('SeqNo', 'Node', 'SourceAddr', 'SourcePort', 'SourceNode', EXT_KEY),
  indirectPing: keys('SeqNo', 'Target', 'Port', 'Node', 'Nack', 'SourceAddr', 'SourcePort', 'SourceNode'),
  ack: keys('SeqNo', 'Payload', EXT_KEY),
  nack: keys('SeqNo'),
  error: keys('Error'),
  /** suspect and dead. */
  accusation: keys('Incarnation', 'Node', 'From'),
  alive: keys('Incarnation', 'Node', 'Addr', 'Port', 'Meta', 'Vsn', EXT_KEY),
  pushPullHeader: keys('Nodes', 'UserStateLen', 'Join'),
  nodeState: keys('Name', 'Addr', 'Port', 'Meta', 'Incarnation', 'State', 'Vsn', EXT_KEY),
  userHeader: keys('UserMsgLen'),
  compress: keys('Algo', 'Buf'),
} as const;

/**
 * Finds out which field the value at the reader's position belongs to: entry `i` of a struct opened with openStruct. In a map
 * this reads the key. Returns the index in `fields`, or -1 for a value that is to be skipped (or when reading failed).
 */
export function nextField(reader: MsgpackReader, fields: readonly Uint8Array[], i: number): number {
  if (reader.structKind === STRUCT.list) return i < fields.length ? i : -1;
  if (!reader.readText()) return -1;
  for (let f = 0; f < fields.length; f++) if (reader.textIs(fields[f] as Uint8Array)) return f;
  return -1;
}

function keys(...names: string[]): readonly Uint8Array[] {
  return names.map(bytesOf);
}
