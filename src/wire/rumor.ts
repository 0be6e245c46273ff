import { MESSAGE, REJECT } from '../kernels/contract.ts';
import { HearsayError } from '../util/errors.ts';

/**
 * hearsay's own message (docs/wire.md §5): a user broadcast with an id and its origin, so that a receiver can tell a
 * repetition and pass it on once. Everything before the payload is the prefix.
 *
 *   c8 | id (8 bytes) | length of the origin's name (u8) | origin's name | payload
 */
export interface Rumor {
  readonly id: Uint8Array;
  /** Name of the member that started it. */
  readonly origin: Uint8Array;
  readonly payload: Uint8Array;
}

export const RUMOR_ID_BYTES = 8;
export const RUMOR_ORIGIN_BYTES_MAX = 255;
const HEADER_BYTES = 1 + RUMOR_ID_BYTES + 1;

/** Bytes before the payload for an origin name of this many bytes. */
export function rumorPrefixBytes(originBytes: number): number {
  return HEADER_BYTES + originBytes;
}

/** Writes a rumor into `out` from `at`; returns the end offset, or -(bytes needed in all) when `out` is too small. */
export function encodeRumor(out: Uint8Array, at: number, rumor: Rumor): number {
  const { id, origin, payload } = rumor;
  if (id.length !== RUMOR_ID_BYTES || origin.length > RUMOR_ORIGIN_BYTES_MAX) {
    throw new HearsayError(
      'ERR_ARGUMENT_INVALID',
      `rumor: expected an id of 8 bytes and an origin of at most 255, got ${id.length} and ${origin.length}`,
    );
  }
  const end = at + HEADER_BYTES + origin.length + payload.length;
  if (end > out.length) return -end;
  out[at] = MESSAGE.rumor;
  out.set(id, at + 1);
  out[at + 1 + RUMOR_ID_BYTES] = origin.length;
  out.set(origin, at + HEADER_BYTES);
  out.set(payload, at + HEADER_BYTES + origin.length);
  return end;
}

/** Reads the rumor at `bytes[start, end)`, type byte included, as views; -REJECT when it is cut short. */
export function parseRumor(bytes: Uint8Array, start = 0, end = bytes.length): Rumor | number {
  if (end - start < HEADER_BYTES) return -REJECT.truncated;
  if (bytes[start] !== MESSAGE.rumor) return -REJECT.unknownType;
  const nameAt = start + HEADER_BYTES;
  const payloadAt = nameAt + (bytes[nameAt - 1] as number);
  if (payloadAt > end) return -REJECT.truncated;
  return {
    id: bytes.subarray(start + 1, start + 1 + RUMOR_ID_BYTES),
    origin: bytes.subarray(nameAt, payloadAt),
    payload: bytes.subarray(payloadAt, end),
  };
}
