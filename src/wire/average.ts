import { MESSAGE, REJECT } from '../kernels/contract.ts';

/**
 * hearsay's own message for averaging (docs/wire.md §10): one half of an exchange.
 *
 *   ca | kind u8 | id (8 bytes) | cycles left u8 | value f64 LE
 */
export interface Average {
  readonly kind: number;
  /** Which averaging it belongs to: eight random bytes. */
  readonly id: Uint8Array;
  /** Exchanges that the sender still opens, so that who hears of it first ends with the others. */
  readonly cycles: number;
  /** push: the sender's value, 0 to 1. answer: by how much the receiver's falls, -0.5 to 0.5. */
  readonly value: number;
}

export const AVERAGE_KIND = { push: 0, answer: 1 } as const;
export const AVERAGE_ID_BYTES = 8;
export const AVERAGE_BYTES = 2 + AVERAGE_ID_BYTES + 1 + 8;

/** Writes the message into `out` from `at`, where AVERAGE_BYTES must be free; returns the end offset. */
export function encodeAverage(out: Uint8Array, at: number, { kind, id, cycles, value }: Average): number {
  out[at] = MESSAGE.average;
  out[at + 1] = kind;
  out.set(id, at + 2);
  out[at + 2 + AVERAGE_ID_BYTES] = cycles;
  new DataView(out.buffer, out.byteOffset).setFloat64(at + 3 + AVERAGE_ID_BYTES, value, true);
  return at + AVERAGE_BYTES;
}

/** Reads the message behind its type byte; the id is a view. -REJECT when it is none. */
export function parseAverage(data: Uint8Array): Average | number {
  if (data.length !== AVERAGE_BYTES - 1) return -REJECT.truncated;
  const kind = data[0] as number;
  const id = data.subarray(1, 1 + AVERAGE_ID_BYTES);
  const cycles = data[1 + AVERAGE_ID_BYTES] as number;
  const value = new DataView(data.buffer, data.byteOffset).getFloat64(2 + AVERAGE_ID_BYTES, true);
  const isInRange = kind === AVERAGE_KIND.push ? value >= 0 && value <= 1 : value >= -0.5 && value <= 0.5;
  if (kind > AVERAGE_KIND.answer || !isInRange) return -REJECT.fieldInvalid;
  return { kind, id, cycles, value };
}
