import { MESSAGE, REJECT } from '../kernels/contract.ts';
import { crc32 } from './crc.ts';
import {
  decrypt,
  type EncryptionVersion,
  encryptedBytes,
  encryptInto,
  encryptionOverheadBytes,
  encryptionVersion,
  type NonceSource,
} from './crypto.ts';
import type { Keyring } from './keyring.ts';
import { checkLabel, labelHeader, labelHeaderBytes } from './label.ts';
import { lzwCompress } from './lzw.ts';
import { compressHeaderBytes, encodeCompress } from './messages.ts';
import type { DecompressFunction } from './stream-job.ts';

/** LZW-encodes `source` into `out`; returns the length, or -1 when it does not fit. */
export type CompressFunction = (source: Uint8Array, out: Uint8Array) => number;

/** Everything about sealing that packets and streams share. */
export interface SealOptions {
  /** Encryption is on while this holds a key; may change at any time. */
  readonly keyring: Keyring | undefined;
  /** The configured label, empty for none (see labelBytes). */
  readonly label: Uint8Array;
  /** Version spoken, 1..5: decides the encryption version. */
  readonly protocolVersion: number;
  /** Drop what is not encrypted (or not with our keys) while encryption is on. */
  readonly verifyIncoming: boolean;
  /** Encrypt what we send while encryption is on. */
  readonly verifyOutgoing: boolean;
  readonly compression: boolean;
  /** A label has been removed in front of us; none may arrive. */
  readonly skipInboundLabelCheck: boolean;
  readonly nonces: NonceSource;
  /** Another LZW encoder with the same output, such as the codec kernel's. Default: the one in lzw.ts. */
  readonly compress?: CompressFunction;
  /** The same for the decoder, of streams. */
  readonly decompress?: DecompressFunction;
}

const CRC_HEADER_BYTES = 5;
const POOL_BYTES = 65536;

/**
 * The outer layers of a packet (protocol §5.1): compression, CRC, encryption and label when sending (§5.3); label and
 * encryption when receiving (§5.4 steps 1 to 3). The rest of receiving belongs to the codec kernel.
 */
export class PacketSeal {
  readonly #options: SealOptions;
  readonly #labelHeader: Uint8Array;
  readonly #version: EncryptionVersion;
  readonly #compress: CompressFunction;
  #pool = new Uint8Array(POOL_BYTES);
  #poolTop = 0;
  #plain = new Uint8Array(4096);
  #lzw = new Uint8Array(4096);

  constructor(options: SealOptions) {
    this.#options = options;
    this.#labelHeader = labelHeader(options.label);
    this.#version = encryptionVersion(options.protocolVersion);
    this.#compress = options.compress ?? lzwCompress;
  }

  /** Bytes that label and encryption take from the budget of a packet (§5.2). Changes with the keyring. */
  get overheadBytes(): number {
    return this.#labelHeader.length + (this.#key() ? encryptionOverheadBytes(this.#version) : 0);
  }

  /** The same for gossip packets, which leave room for encryption whenever there is a key (§14.1). */
  get gossipOverheadBytes(): number {
    const keyring = this.#options.keyring;
    return this.#labelHeader.length + (keyring && keyring.size > 0 ? encryptionOverheadBytes(this.#version) : 0);
  }

  /**
   * Takes label and encryption off a datagram. Returns what is inside (a view of `bytes`, or a new array when it was
   * encrypted), or -REJECT. Never throws.
   */
  open(bytes: Uint8Array): Uint8Array | number {
    if (bytes.length === 0) return -REJECT.empty;
    const at = checkLabel(bytes, labelHeaderBytes(bytes), this.#options);
    if (at < 0) return at;
    const rest = at === 0 ? bytes : bytes.subarray(at);
    if (rest.length === 0) return -REJECT.empty;
    const keyring = this.#options.keyring;
    if (!keyring || keyring.size === 0) return rest;
    const plain = decrypt(keyring.keys, rest, this.#options.label);
    if (typeof plain !== 'number') return plain.length === 0 ? -REJECT.empty : plain;
    return this.#options.verifyIncoming ? plain : rest;
  }

  /**
   * Wraps a message (or compound) for sending, with a CRC when `crc` is set (receivers with protocol max 5). The result is `message`
   * itself when no layer applies, else bytes that nobody overwrites.
   */
  seal(message: Uint8Array, crc: boolean): Uint8Array {
    const key = this.#key();
    const inner = this.#options.compression ? this.#compressed(message) : message;
    const header = this.#labelHeader;
    if (!crc && !key && header.length === 0 && inner === message) return message;
    const plainBytes = inner.length + (crc ? CRC_HEADER_BYTES : 0);
    if (!key) {
      const out = this.#take(header.length + plainBytes);
      out.set(header);
      withCrc(out, header.length, inner, crc);
      return out;
    }
    if (plainBytes > this.#plain.length) this.#plain = new Uint8Array(2 * plainBytes);
    withCrc(this.#plain, 0, inner, crc);
    const out = this.#take(header.length + encryptedBytes(this.#version, plainBytes));
    out.set(header);
    const { nonces, label } = this.#options;
    encryptInto(out, header.length, key, this.#version, nonces, this.#plain.subarray(0, plainBytes), label);
    return out;
  }

  #key(): Uint8Array | undefined {
    return this.#options.verifyOutgoing ? this.#options.keyring?.primary : undefined;
  }

  /** The compress message around `message` if that is strictly shorter, else `message`. */
  #compressed(message: Uint8Array): Uint8Array {
    const room = message.length - 1 - compressHeaderBytes(0);
    if (room <= 0) return message;
    if (room > this.#lzw.length) this.#lzw = new Uint8Array(2 * room);
    const length = this.#compress(message, this.#lzw.subarray(0, room));
    if (length < 0) return message;
    const total = compressHeaderBytes(length) + length;
    if (total >= message.length) return message;
    const out = this.#take(total);
    encodeCompress(out, 0, this.#lzw.subarray(0, length));
    return out;
  }

  /** Fresh bytes, cut from a pool that is replaced, never reused: what was handed out stays as it is. */
  #take(length: number): Uint8Array {
    if (length > POOL_BYTES / 4) return new Uint8Array(length);
    if (length > POOL_BYTES - this.#poolTop) {
      this.#pool = new Uint8Array(POOL_BYTES);
      this.#poolTop = 0;
    }
    const out = this.#pool.subarray(this.#poolTop, this.#poolTop + length);
    this.#poolTop += length;
    return out;
  }
}

function withCrc(out: Uint8Array, at: number, inner: Uint8Array, crc: boolean): void {
  if (!crc) {
    out.set(inner, at);
    return;
  }
  const sum = crc32(inner);
  out[at] = MESSAGE.hasCrc;
  out[at + 1] = sum >>> 24;
  out[at + 2] = (sum >>> 16) & 255;
  out[at + 3] = (sum >>> 8) & 255;
  out[at + 4] = sum & 255;
  out.set(inner, at + CRC_HEADER_BYTES);
}
