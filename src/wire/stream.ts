import { MESSAGE, REJECT, type RejectCode } from '../kernels/contract.ts';
import { bytesOf, concatBytes } from '../util/bytes.ts';
import { decrypt, encryptedBytes, encryptInto, encryptionVersion } from './crypto.ts';
import { readCompress } from './decode.ts';
import { checkLabel, labelHeader, labelHeaderBytes } from './label.ts';
import { encodeError } from './messages.ts';
import { MsgpackReader } from './msgpack.ts';
import type { SealOptions } from './packet.ts';
import { BodyScan, isStreamType, STREAM_LIMITS, type StreamLimits } from './stream-body.ts';
import {
  BODY_TEXT,
  LARGE_BYTES,
  type OpenJob,
  type OpenOutcome,
  open,
  openIfSmall,
  type PackJob,
  pack,
  unknownType,
} from './stream-job.ts';

/**
 * The layers of a stream (protocol §7.1 to §7.4): label header (initiator's side only), encrypt frame, compress, message.
 *
 *   0a | length u32 | version u8 | nonce 12 B | ciphertext | tag 16 B
 */

const FRAME_HEADER_BYTES = 5;
const NONE: Uint8Array = new Uint8Array(0);

/** Wraps messages for a stream. Makes the readers too, because an error answer has to be wrapped. */
export class StreamSeal {
  readonly options: SealOptions;
  readonly #labelHeader: Uint8Array;

  constructor(options: SealOptions) {
    this.options = options;
    this.#labelHeader = labelHeader(options.label);
  }

  /**
   * The bytes to write for one message. The label header goes in front only when we are the `initiator`; with encryption the
   * label is authenticated in both directions. Compression is applied even where it makes the message longer (§7.1).
   */
  wrap(message: Uint8Array, initiator: boolean): Uint8Array {
    const isPacked = this.#isPacked(message);
    return this.wrapPacked(isPacked ? pack({ kind: 'pack', message }, this.options) : message, initiator);
  }

  /** The work that wrap() would begin with, when it is too large for a turn: do it elsewhere and go on with wrapPacked(). */
  packJob(message: Uint8Array): PackJob | undefined {
    return this.#isPacked(message) && message.length > LARGE_BYTES ? { kind: 'pack', message } : undefined;
  }

  /** A delta push-pull is sketches and columns already: LZW would make it longer. */
  #isPacked(message: Uint8Array): boolean {
    return this.options.compression && message[0] !== MESSAGE.sync;
  }

  /** The same as wrap() for a message that was compressed already, or shall not be. */
  wrapPacked(inner: Uint8Array, initiator: boolean): Uint8Array {
    const { keyring, verifyOutgoing, protocolVersion, nonces, label } = this.options;
    const header = initiator ? this.#labelHeader : NONE;
    const key = verifyOutgoing ? keyring?.primary : undefined;
    if (!key) return header.length === 0 ? inner : concatBytes([header, inner]);
    const version = encryptionVersion(protocolVersion);
    const length = encryptedBytes(version, inner.length);
    const out = new Uint8Array(header.length + FRAME_HEADER_BYTES + length);
    out.set(header);
    const frameAt = header.length;
    out[frameAt] = MESSAGE.encrypt;
    new DataView(out.buffer).setUint32(frameAt + 1, length);
    const bodyAt = frameAt + FRAME_HEADER_BYTES;
    const aad = concatBytes([out.subarray(frameAt, bodyAt), label]);
    encryptInto(out, bodyAt, key, version, nonces, inner, aad);
    return out;
  }

  /** A reader for one incoming message; the `acceptor` of a connection expects the label header and answers some errors. */
  reader(acceptor: boolean, limits: StreamLimits = STREAM_LIMITS): StreamReader {
    return new StreamReader(this, acceptor, limits);
  }
}

/** A complete message: type byte and body, all layers removed. */
export interface StreamMessage {
  readonly kind: 'message';
  readonly message: Uint8Array;
}

/** The stream is of no use; close it after writing `answer`, which is empty where memberlist closes without a word (§7.4). */
export interface StreamError {
  readonly kind: 'error';
  readonly code: RejectCode;
  /** For the log, in memberlist's words where it has them. */
  readonly text: string;
  readonly answer: Uint8Array;
}

export type StreamResult = StreamMessage | StreamError;

const PHASE = { label: 0, type: 1, frame: 2, compressed: 3, body: 4 } as const;

/**
 * Reads one message from a stream, in pieces of any size. No sockets and no clock: the driver pushes what it received and
 * closes at its deadline. Memory stays within the limits and within twice what really arrived; the work is linear in
 * the bytes. Never throws.
 */
export class StreamReader {
  readonly #seal: StreamSeal;
  readonly #acceptor: boolean;
  readonly #limits: StreamLimits;
  #phase: number;
  #bytes = NONE;
  #end = 0;
  /** Where the current layer starts. */
  #at = 0;
  #scan: BodyScan | undefined;
  #mayDefer = false;
  #deferred: OpenJob | undefined;
  #result: StreamResult | undefined;

  constructor(seal: StreamSeal, acceptor: boolean, limits: StreamLimits = STREAM_LIMITS) {
    this.#seal = seal;
    this.#acceptor = acceptor;
    this.#limits = limits;
    this.#phase = acceptor ? PHASE.label : PHASE.type;
  }

  /** Takes the next bytes (they are copied). After the first result every call gives it again; bytes behind a message are ignored. */
  push(chunk: Uint8Array): 'more' | StreamResult {
    this.#mayDefer = false;
    return this.#push(chunk) as 'more' | StreamResult;
  }

  /**
   * The same, but a message that is all there and takes long to open comes as a job: do it (elsewhere), then call settle(). Until then
   * `isDeferred` is true, further bytes are ignored and finish() must not be called.
   */
  pushOrDefer(chunk: Uint8Array): 'more' | StreamResult | OpenJob {
    if (this.#deferred) return 'more';
    this.#mayDefer = true;
    return this.#push(chunk);
  }

  /** The job is done. */
  settle(outcome: OpenOutcome): StreamResult {
    this.#deferred = undefined;
    this.#result ??= this.#outcome(outcome);
    return this.#result;
  }

  /** Bytes of memory that the unfinished message takes. */
  get heldBytes(): number {
    return this.#bytes.length + (this.#deferred?.data.length ?? 0);
  }

  /** True from a job to its settle(). */
  get isDeferred(): boolean {
    return this.#deferred !== undefined;
  }

  #push(chunk: Uint8Array): 'more' | StreamResult | OpenJob {
    if (this.#result) return this.#result;
    this.#append(chunk);
    const result = this.#read();
    if (result === 'more') return result;
    this.#bytes = NONE;
    if (result.kind === 'open') this.#deferred = result;
    else this.#result = result;
    return result;
  }

  /** The other side has closed: what was read if that is a message, else an error. */
  finish(): StreamResult {
    this.#result ??= this.#fail(
      this.#end === 0 ? REJECT.empty : REJECT.truncated,
      this.#end === 0 ? 'stream closed without a message' : 'stream closed before the message was complete',
      false,
    );
    this.#bytes = NONE;
    return this.#result;
  }

  #append(chunk: Uint8Array): void {
    const need = this.#end + chunk.length;
    if (need > this.#bytes.length) {
      const larger = new Uint8Array(
        Math.max(need, Math.min(2 * this.#bytes.length, need + this.#limits.frameBytes), 512),
      );
      larger.set(this.#bytes.subarray(0, this.#end));
      this.#bytes = larger;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end = need;
  }

  #read(): 'more' | StreamResult | OpenJob {
    if (this.#phase === PHASE.label) {
      const error = this.#readLabel();
      if (error) return error;
    }
    if (this.#phase === PHASE.type) {
      const error = this.#readType();
      if (error) return error;
    }
    if (this.#phase === PHASE.frame) return this.#readFrame();
    return this.#phase === PHASE.compressed || this.#phase === PHASE.body ? this.#readOn() : 'more';
  }

  /** A malformed or unequal label closes the stream without an answer. */
  #readLabel(): StreamError | undefined {
    if (this.#end === 0) return undefined;
    const seen = this.#bytes.subarray(0, this.#end);
    if (seen[0] === MESSAGE.label && seen[1] !== 0 && (this.#end < 2 || this.#end < 2 + (seen[1] as number)))
      return undefined;
    const at = checkLabel(seen, labelHeaderBytes(seen), this.#seal.options);
    if (at < 0) {
      const malformed = at === -REJECT.labelMalformed;
      return this.#fail(-at, malformed ? 'label header cannot be read' : 'label is not ours', false);
    }
    this.#at = at;
    this.#phase = PHASE.type;
    return undefined;
  }

  #readType(): StreamError | undefined {
    if (this.#at >= this.#end) return undefined;
    const type = this.#bytes[this.#at] as number;
    const { keyring, verifyIncoming } = this.#seal.options;
    const encryption = keyring !== undefined && keyring.size > 0;
    if (type === MESSAGE.encrypt) {
      if (!encryption) {
        return this.#fail(REJECT.decryptFailed, 'remote state is encrypted and encryption is not configured', true);
      }
      this.#phase = PHASE.frame;
      return undefined;
    }
    if (encryption && verifyIncoming) {
      return this.#fail(REJECT.notEncrypted, 'encryption is configured but remote state is not encrypted', true);
    }
    if (type !== MESSAGE.compress && !isStreamType(type, this.#acceptor)) return this.#unknown(type);
    this.#phase = type === MESSAGE.compress ? PHASE.compressed : PHASE.body;
    this.#scan = new BodyScan(type, this.#at + 1, this.#limits);
    return undefined;
  }

  #readFrame(): 'more' | StreamResult | OpenJob {
    const bodyAt = this.#at + FRAME_HEADER_BYTES;
    if (this.#end < bodyAt) return 'more';
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset);
    const length = view.getUint32(this.#at + 1);
    if (length > this.#limits.frameBytes) {
      return this.#fail(REJECT.oversized, `remote node state is larger than limit (${length})`, true);
    }
    if (this.#end < bodyAt + length) return 'more';
    const { keyring, label } = this.#seal.options;
    const aad = concatBytes([this.#bytes.subarray(this.#at, bodyAt), label]);
    const plain = decrypt(keyring?.keys ?? [], this.#bytes.subarray(bodyAt, bodyAt + length), aad);
    if (typeof plain === 'number') return this.#fail(-plain, 'no installed keys could decrypt the message', true);
    if (plain.length === 0) return this.#fail(REJECT.empty, 'decrypted message is empty', true);
    if (plain[0] !== MESSAGE.compress) return this.#open(plain, false);
    return this.#decompressed(plain, 1, plain.length);
  }

  /** A message that is not encrypted: complete only when the scan has found its end. */
  #readOn(): 'more' | StreamResult | OpenJob {
    const end = (this.#scan as BodyScan).advance(this.#bytes, this.#end);
    if (end === 0) return 'more';
    const compressed = this.#phase === PHASE.compressed;
    if (end < 0) return this.#fail(-end, compressed ? 'compressed message cannot be read' : BODY_TEXT, compressed);
    if (compressed) return this.#decompressed(this.#bytes, this.#at + 1, end);
    return { kind: 'message', message: this.#bytes.subarray(this.#at, end) };
  }

  #decompressed(bytes: Uint8Array, start: number, end: number): StreamResult | OpenJob {
    const reader = new MsgpackReader(bytes, start, end);
    const { algorithm, data } = readCompress(reader);
    if (!reader.ok)
      return this.#fail(reader.status, 'compressed message cannot be read', reader.status !== REJECT.truncated);
    if (algorithm !== 0) return this.#fail(REJECT.malformed, `cannot decompress unknown algorithm ${algorithm}`, true);
    return this.#open(data, true);
  }

  #open(data: Uint8Array, isCompressed: boolean): StreamResult | OpenJob {
    const job: OpenJob = { kind: 'open', data, isCompressed, acceptor: this.#acceptor, limits: this.#limits };
    if (!this.#mayDefer) return this.#outcome(open(job, this.#seal.options));
    const outcome = openIfSmall(job, this.#seal.options);
    return outcome ? this.#outcome(outcome) : job;
  }

  #outcome(outcome: OpenOutcome): StreamResult {
    if ('message' in outcome) return { kind: 'message', message: outcome.message };
    return this.#fail(outcome.code, outcome.text, outcome.answered);
  }

  #unknown(type: number): StreamError {
    const { code, text, answered } = unknownType(type);
    return this.#fail(code, text, answered);
  }

  #fail(code: number, text: string, answered: boolean): StreamError {
    const answer = answered && this.#acceptor ? this.#seal.wrap(errorMessage(text), false) : NONE;
    return { kind: 'error', code: code as RejectCode, text, answer };
  }
}

/** An error message (type 13) with this text. */
export function errorMessage(text: string): Uint8Array {
  const bytes = bytesOf(text);
  const out = new Uint8Array(bytes.length + 16);
  return out.subarray(0, encodeError(out, 0, bytes));
}
