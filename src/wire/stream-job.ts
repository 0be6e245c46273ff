import { REJECT } from '../kernels/contract.ts';
import { lzwBound, lzwCompress, lzwDecompress } from './lzw.ts';
import { compressHeaderBytes, encodeCompress } from './messages.ts';
import type { CompressFunction } from './packet.ts';
import { BodyScan, isStreamType, type StreamLimits } from './stream-body.ts';

/**
 * The work on a stream message that grows with its length, as plain data: it may be done here, or cross to another thread and be done
 * there. Opening makes the message of a compressed (or only framed) one and finds its end; packing makes the compress message.
 */
export interface OpenJob {
  readonly kind: 'open';
  /** LZW bytes, or the message itself. */
  readonly data: Uint8Array;
  readonly isCompressed: boolean;
  readonly acceptor: boolean;
  readonly limits: StreamLimits;
}
export interface PackJob {
  readonly kind: 'pack';
  readonly message: Uint8Array;
}
export type StreamJob = OpenJob | PackJob;

/** What became of a stream's bytes: the message, or why there is none and whether the other side is told. */
export type OpenOutcome =
  | { readonly message: Uint8Array }
  | { readonly code: number; readonly text: string; readonly answered: boolean };

/** LZW-decodes `source` into `out`; returns the length, or -REJECT.lzwCorrupt or -REJECT.oversized. */
export type DecompressFunction = (source: Uint8Array, out: Uint8Array) => number;

/** The coders that a job runs with; default those of lzw.ts. */
export interface Coders {
  readonly compress?: CompressFunction | undefined;
  readonly decompress?: DecompressFunction | undefined;
}

/**
 * Bytes of a message from which on a job counts as large: opening or packing that many takes about a millisecond with C++ and two or three
 * without, which is as long as a turn should be.
 */
export const LARGE_BYTES = 128 * 1024;
/** Bytes of a compress message that hold a large message in all likelihood: then nobody tries to open it on the spot. */
const LARGE_LZW_BYTES = LARGE_BYTES / 4;
/** LZW shrinks lists of members to about an eighth. */
const ROOM_PER_BYTE = 16;
const ROOM_BYTES_MIN = 4096;

export const BODY_TEXT = 'message cannot be read or is beyond a limit';

/** Opens in at most about LARGE_BYTES of work; undefined when that does not suffice. */
export function openIfSmall(job: OpenJob, coders: Coders): OpenOutcome | undefined {
  if (!job.isCompressed) return job.data.length > LARGE_BYTES ? undefined : completed(job, job.data);
  if (job.data.length > LARGE_LZW_BYTES) return undefined;
  const plain = inflate(job.data, Math.min(LARGE_BYTES, job.limits.decompressedBytes), coders);
  if (plain === -REJECT.oversized && job.limits.decompressedBytes > LARGE_BYTES) return undefined;
  return inflated(job, plain);
}

/** Opens, however long it takes. */
export function open(job: OpenJob, coders: Coders): OpenOutcome {
  if (!job.isCompressed) return completed(job, job.data);
  return inflated(job, inflate(job.data, job.limits.decompressedBytes, coders));
}

/** The compress message around a message. */
export function pack({ message }: PackJob, { compress = lzwCompress }: Coders): Uint8Array {
  const lzw = new Uint8Array(lzwBound(message.length));
  const length = compress(message, lzw);
  const out = new Uint8Array(compressHeaderBytes(length) + length);
  encodeCompress(out, 0, lzw.subarray(0, length));
  return out;
}

function inflated(job: OpenJob, plain: Uint8Array | number): OpenOutcome {
  if (plain === -REJECT.oversized) {
    const text = `decompressed message is larger than limit (${job.limits.decompressedBytes})`;
    return { code: REJECT.oversized, text, answered: true };
  }
  if (typeof plain === 'number') return { code: -plain, text: 'lzw: invalid code', answered: true };
  if (plain.length === 0) return { code: REJECT.empty, text: 'decompressed message is empty', answered: true };
  return completed(job, plain);
}

/** A message whose bytes are all there because a layer around it said how many there are. */
function completed({ acceptor, limits }: OpenJob, bytes: Uint8Array): OpenOutcome {
  const type = bytes[0] as number;
  if (!isStreamType(type, acceptor)) return unknownType(type);
  const end = new BodyScan(type, 1, limits).advance(bytes, bytes.length);
  if (end <= 0) return { code: end === 0 ? REJECT.truncated : -end, text: BODY_TEXT, answered: false };
  return { message: bytes.subarray(0, end) };
}

export function unknownType(type: number): { code: number; text: string; answered: boolean } {
  return { code: REJECT.unknownType, text: `message type ${type} does not belong on a stream`, answered: false };
}

/** LZW-decodes without knowing the result's length: the room grows fourfold until it fits or the limit is reached. */
function inflate(data: Uint8Array, limit: number, { decompress = lzwDecompress }: Coders): Uint8Array | number {
  for (let room = Math.max(ROOM_PER_BYTE * data.length, ROOM_BYTES_MIN); ; room *= 4) {
    const out = new Uint8Array(Math.min(room, limit));
    const length = decompress(data, out);
    if (length >= 0) return out.subarray(0, length);
    if (length !== -REJECT.oversized || room >= limit) return length;
  }
}
