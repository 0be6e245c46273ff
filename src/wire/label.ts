import { MESSAGE, REJECT } from '../kernels/contract.ts';
import { bytesOf } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';

/**
 * The label header (protocol §6.5), a cluster-wide string that keeps clusters sharing a network apart:
 *
 *   f4 | length u8 (1..255) | label
 *
 * It stands in front of packets and at the start of the initiator's side of a stream.
 */
export const LABEL_BYTES_MAX = 255;

/** Bytes of a label text; throws when there are more than 255. */
export function labelBytes(label: string): Uint8Array {
  const bytes = bytesOf(label);
  if (bytes.length > LABEL_BYTES_MAX) {
    throw new HearsayError('ERR_CONFIG_INVALID', `label: expected at most 255 bytes, got ${bytes.length}`);
  }
  return bytes;
}

/** The header for a label; empty without one. */
export function labelHeader(label: Uint8Array): Uint8Array {
  if (label.length === 0) return label;
  const out = new Uint8Array(2 + label.length);
  out[0] = MESSAGE.label;
  out[1] = label.length;
  out.set(label, 2);
  return out;
}

/**
 * Length of the label header that `bytes` starts with: 0 when there is none, else 2 + label length. -REJECT.labelMalformed for an
 * empty label or a header longer than the input.
 */
export function labelHeaderBytes(bytes: Uint8Array): number {
  if (bytes.length === 0 || bytes[0] !== MESSAGE.label) return 0;
  const length = bytes.length < 2 ? 0 : (bytes[1] as number);
  return length === 0 || bytes.length < 2 + length ? -REJECT.labelMalformed : 2 + length;
}

/** What a receiver does with labels (§5.4 step 2). */
export interface LabelPolicy {
  /** The configured label, possibly empty. */
  readonly label: Uint8Array;
  /** Something in front of us removes the label: none may arrive. */
  readonly skipInboundLabelCheck: boolean;
}

/** Offset behind an acceptable header of `headerBytes` (from labelHeaderBytes), or -REJECT. */
export function checkLabel(bytes: Uint8Array, headerBytes: number, policy: LabelPolicy): number {
  if (headerBytes < 0) return headerBytes;
  const { label } = policy;
  if (policy.skipInboundLabelCheck) return headerBytes === 0 ? 0 : -REJECT.labelMismatch;
  const length = headerBytes === 0 ? 0 : headerBytes - 2;
  if (length !== label.length) return -REJECT.labelMismatch;
  for (let i = 0; i < length; i++) if (bytes[2 + i] !== label[i]) return -REJECT.labelMismatch;
  return headerBytes;
}
