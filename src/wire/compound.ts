import { MESSAGE, REJECT } from '../kernels/contract.ts';
import { HearsayError } from '../util/errors.ts';

/**
 * Several messages in one (protocol §6.1):
 *
 *   07 | count u8 | length u16 x count | part 1 | part 2 | ...
 */

/** The format's own limit; what hearsay sends is COMPOUND_PARTS_MAX. */
export const COMPOUND_COUNT_MAX = 255;
export const COMPOUND_PART_BYTES_MAX = 65535;

export interface Compound {
  /** Views of the input. */
  readonly parts: Uint8Array[];
  /** Parts at the end that did not fit and are lost. */
  readonly truncated: number;
}

/** Writes a compound into `out` from `at`; returns the end offset, or -(bytes needed in all) when `out` is too small. */
export function encodeCompound(out: Uint8Array, at: number, parts: readonly Uint8Array[]): number {
  let end = at + 2 + 2 * parts.length;
  for (const part of parts) {
    if (part.length > COMPOUND_PART_BYTES_MAX) throw tooLarge(`a part of ${part.length} bytes`);
    end += part.length;
  }
  if (parts.length > COMPOUND_COUNT_MAX) throw tooLarge(`${parts.length} parts`);
  if (end > out.length) return -end;
  out[at] = MESSAGE.compound;
  out[at + 1] = parts.length;
  let lengthAt = at + 2;
  let partAt = lengthAt + 2 * parts.length;
  for (const part of parts) {
    out[lengthAt++] = part.length >> 8;
    out[lengthAt++] = part.length & 255;
    out.set(part, partAt);
    partAt += part.length;
  }
  return end;
}

/**
 * Reads the compound at `bytes[start, end)`, type byte included. A part that does not fit is lost with all later ones, the earlier
 * ones count; bytes behind the last part are ignored. -REJECT.truncated when not even the length table is there.
 */
export function decodeCompound(bytes: Uint8Array, start = 0, end = bytes.length): Compound | number {
  if (end - start < 2) return -REJECT.truncated;
  if (bytes[start] !== MESSAGE.compound) return -REJECT.unknownType;
  const count = bytes[start + 1] as number;
  const tableAt = start + 2;
  let at = tableAt + 2 * count;
  if (at > end) return -REJECT.truncated;
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const length = ((bytes[tableAt + 2 * i] as number) << 8) | (bytes[tableAt + 2 * i + 1] as number);
    if (length > end - at) return { parts, truncated: count - i };
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return { parts, truncated: 0 };
}

function tooLarge(what: string): HearsayError {
  return new HearsayError(
    'ERR_MESSAGE_TOO_LARGE',
    `compound: expected at most ${COMPOUND_COUNT_MAX} parts of ${COMPOUND_PART_BYTES_MAX} bytes, got ${what}`,
  );
}
