import { MESSAGE, REJECT, type RejectCode } from '../kernels/contract.ts';
import { bytesOf, concatBytes } from '../util/bytes.ts';
import { decrypt, encryptedBytes, encryptInto, encryptionVersion } from './crypto.ts';
import { readCompress } from './decode.ts';
import { checkLabel, labelHeader, labelHeaderBytes } from './label.ts';
import { lzwBound, lzwCompress, lzwDecompress } from './lzw.ts';
import { compressHeaderBytes, encodeCompress, encodeError } from './messages.ts';
import { MsgpackReader } from './msgpack.ts';
import type { SealOptions } from './packet.ts';
import { BodyScan, isStreamType, STREAM_LIMITS, type StreamLimits } from './stream-body.ts';

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
    const { keyring, verifyOutgoing, protocolVersion, nonces, label } = this.options;
    const header = initiator ? this.#labelHeader : NONE;
    const inner = this.options.compression ? this.#compressed(message) : message;
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

  #compressed(message: Uint8Array): Uint8Array {
    const lzw = new Uint8Array(lzwBound(message.length));
    const length = (this.options.compress ?? lzwCompress)(message, lzw);
    const out = new Uint8Array(compressHeaderBytes(length) + length);
    encodeCompress(out, 0, lzw.subarray(0, length));
    return out;
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
  #result: StreamResult | undefined;

  constructor(seal: StreamSeal, acceptor: boolean, limits: StreamLimits = STREAM_LIMITS) {
    this.#seal = seal;
    this.#acceptor = acceptor;
    this.#limits = limits;
    this.#phase = acceptor ? PHASE.label : PHASE.type;
  }

  /** Takes the next bytes (they are copied). After the first result every call gives it again; bytes behind a message are ignored. */
  push(chunk: Uint8Array): 'more' | StreamResult {
    if (this.#result) return this.#result;
    this.#append(chunk);
    const result = this.#read();
    if (result === 'more') return result;
    this.#bytes = NONE;
    this.#result = result;
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

  #read(): 'more' | StreamResult {
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

  #readFrame(): 'more' | StreamResult {
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
    if (plain[0] !== MESSAGE.compress) return this.#complete(plain);
    return this.#decompressed(plain, 1, plain.length);
  }

  /** A message that is not encrypted: complete only when the scan has found its end. */
  #readOn(): 'more' | StreamResult {
    const end = (this.#scan as BodyScan).advance(this.#bytes, this.#end);
    if (end === 0) return 'more';
    const compressed = this.#phase === PHASE.compressed;
    if (end < 0) return this.#fail(-end, compressed ? 'compressed message cannot be read' : BODY_TEXT, compressed);
    if (compressed) return this.#decompressed(this.#bytes, this.#at + 1, end);
    return { kind: 'message', message: this.#bytes.subarray(this.#at, end) };
  }

  #decompressed(bytes: Uint8Array, start: number, end: number): StreamResult {
    const reader = new MsgpackReader(bytes, start, end);
    const { algorithm, data } = readCompress(reader);
    if (!reader.ok)
      return this.#fail(reader.status, 'compressed message cannot be read', reader.status !== REJECT.truncated);
    if (algorithm !== 0) return this.#fail(REJECT.malformed, `cannot decompress unknown algorithm ${algorithm}`, true);
    const plain = inflate(data, this.#limits.decompressedBytes);
    if (plain === -REJECT.oversized) {
      return this.#fail(
        REJECT.oversized,
        `decompressed message is larger than limit (${this.#limits.decompressedBytes})`,
        true,
      );
    }
    if (typeof plain === 'number') return this.#fail(-plain, 'lzw: invalid code', true);
    if (plain.length === 0) return this.#fail(REJECT.empty, 'decompressed message is empty', true);
    return this.#complete(plain);
  }

  /** A message whose bytes are all there because a layer around it said how many there are. */
  #complete(bytes: Uint8Array): StreamResult {
    const type = bytes[0] as number;
    if (!isStreamType(type, this.#acceptor)) return this.#unknown(type);
    const end = new BodyScan(type, 1, this.#limits).advance(bytes, bytes.length);
    if (end <= 0) return this.#fail(end === 0 ? REJECT.truncated : -end, BODY_TEXT, false);
    return { kind: 'message', message: bytes.subarray(0, end) };
  }

  #unknown(type: number): StreamError {
    return this.#fail(REJECT.unknownType, `message type ${type} does not belong on a stream`, false);
  }

  #fail(code: number, text: string, answered: boolean): StreamError {
    const answer = answered && this.#acceptor ? this.#seal.wrap(errorMessage(text), false) : NONE;
    return { kind: 'error', code: code as RejectCode, text, answer };
  }
}

const BODY_TEXT = 'message cannot be read or is beyond a limit';

/** An error message (type 13) with this text. */
export function errorMessage(text: string): Uint8Array {
  const bytes = bytesOf(text);
  const out = new Uint8Array(bytes.length + 16);
  return out.subarray(0, encodeError(out, 0, bytes));
}

/** LZW-decodes without knowing the result's length: the room grows fourfold until it fits or the limit is reached. */
function inflate(data: Uint8Array, limit: number): Uint8Array | number {
  for (let room = Math.max(4 * data.length, 4096); ; room *= 4) {
    const out = new Uint8Array(Math.min(room, limit));
    const length = lzwDecompress(data, out);
    if (length >= 0) return out.subarray(0, length);
    if (length !== -REJECT.oversized || room >= limit) return length;
  }
}
