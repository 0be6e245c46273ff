import { bytesOf } from '../util/bytes.ts';
import { encodeNodeState, encodePushPullHeader } from '../wire/messages.ts';
import { addressOf, nameOf } from './addresses.ts';

/** Bytes of one node state, at most. */
const STATE_BYTES = 160;

/** A push/pull message in which somebody knows all nodes of a load test, alive, each with this version and extension word. */
export function introduction(
  nodes: number,
  ports: readonly number[],
  { vsn, ext }: { readonly vsn: Uint8Array; readonly ext: number },
): Uint8Array {
  const message = new Uint8Array(64 + nodes * STATE_BYTES);
  let at = encodePushPullHeader(message, 0, { join: true, nodes, userStateLength: 0 });
  for (let index = 0; index < nodes; index++) {
    const { ip, port } = addressOf(index, ports);
    at = encodeNodeState(message, at, {
      addr: ip,
      ext,
      incarnation: 1,
      meta: null,
      name: bytesOf(nameOf(index)),
      port,
      state: 0,
      vsn,
    });
  }
  return message.subarray(0, at);
}
