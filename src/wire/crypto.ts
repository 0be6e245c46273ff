import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomFillSync,
} from 'node:crypto';
import { REJECT } from '../kernels/contract.ts';
import { assert } from '../util/assert.ts';

/**
 * AES-GCM envelopes (protocol §6.4). The only file that knows node:crypto.
 *
 *   version u8 | nonce 12 B | ciphertext | tag 16 B
 *
 * Version 0 pads the plaintext to 16 bytes (PKCS#7, always at least one byte), version 1 does not.
 */
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES;
const BLOCK_BYTES = 16;

export type EncryptionVersion = 0 | 1;

/** Fills `out` (12 bytes) with a nonce that never repeats under one key. */
export type NonceSource = (out: Uint8Array) => void;

/** Version a sender of this protocol version uses (§6.4). */
export function encryptionVersion(protocolVersion: number): EncryptionVersion {
  return protocolVersion === 1 ? 0 : 1;
}

/** What budgets count for the envelope (§2), which is also the least length that decrypts. */
export function encryptionOverheadBytes(version: EncryptionVersion): number {
  return version === 0 ? 45 : 29;
}

/** Length of the envelope around n bytes of plaintext. */
export function encryptedBytes(version: EncryptionVersion, plainBytes: number): number {
  const padding = version === 0 ? BLOCK_BYTES - (plainBytes % BLOCK_BYTES) : 0;
  return HEAD_BYTES + plainBytes + padding + TAG_BYTES;
}

/** Random bytes from the operating system, drawn for many nonces at a time. */
export function systemNonces(): NonceSource {
  const pool = new Uint8Array(256 * NONCE_BYTES);
  let at = pool.length;
  return (out) => {
    if (at === pool.length) {
      randomFillSync(pool);
      at = 0;
    }
    out.set(pool.subarray(at, at + NONCE_BYTES));
    at += NONCE_BYTES;
  };
}

/**
 * Writes the envelope of `plain` to `out` from `at`, which has room for encryptedBytes(), and returns the end offset. The nonce goes
 * out in clear; `aad` is authenticated only.
 */
export function encryptInto(
  out: Uint8Array,
  at: number,
  key: Uint8Array,
  version: EncryptionVersion,
  nonces: NonceSource,
  plain: Uint8Array,
  aad: Uint8Array,
): number {
  assert(out.length - at >= encryptedBytes(version, plain.length), 'room for the encrypted message');
  out[at] = version;
  const nonce = out.subarray(at + 1, at + HEAD_BYTES);
  nonces(nonce);
  const cipher = createCipheriv(algorithm(key), keyObject(key), nonce);
  if (aad.length > 0) cipher.setAAD(aad);
  let end = at + HEAD_BYTES;
  const body = cipher.update(plain);
  out.set(body, end);
  end += body.length;
  if (version === 0) {
    const count = BLOCK_BYTES - (plain.length % BLOCK_BYTES);
    const tail = cipher.update(PADDING.subarray((count - 1) * BLOCK_BYTES, (count - 1) * BLOCK_BYTES + count));
    out.set(tail, end);
    end += tail.length;
  }
  cipher.final();
  out.set(cipher.getAuthTag(), end);
  return end + TAG_BYTES;
}

/**
 * Opens the envelope that is exactly `bytes`, trying the keys in order. Returns the plaintext (a new array), or -REJECT: notEncrypted for a
 * version byte that nobody sends, decryptFailed for everything else. Never throws.
 */
export function decrypt(keys: readonly Uint8Array[], bytes: Uint8Array, aad: Uint8Array): Uint8Array | number {
  if (bytes.length === 0) return -REJECT.empty;
  const version = bytes[0] as number;
  if (version > 1) return -REJECT.notEncrypted;
  if (bytes.length < encryptionOverheadBytes(version as EncryptionVersion)) return -REJECT.decryptFailed;
  const nonce = bytes.subarray(1, HEAD_BYTES);
  const body = bytes.subarray(HEAD_BYTES, bytes.length - TAG_BYTES);
  const tag = bytes.subarray(bytes.length - TAG_BYTES);
  for (const key of keys) {
    const plain = tryKey(key, nonce, body, tag, aad);
    if (plain) return version === 0 ? withoutPadding(plain) : plain;
  }
  return -REJECT.decryptFailed;
}

function tryKey(
  key: Uint8Array,
  nonce: Uint8Array,
  body: Uint8Array,
  tag: Uint8Array,
  aad: Uint8Array,
): Uint8Array | undefined {
  const decipher = createDecipheriv(algorithm(key), keyObject(key), nonce);
  if (aad.length > 0) decipher.setAAD(aad);
  decipher.setAuthTag(tag);
  const plain = decipher.update(body);
  try {
    decipher.final();
  } catch {
    // Node reports a tag that does not fit by throwing; here it only means "not this key".
    return undefined;
  }
  // Not the Buffer itself: its slice() would be a view where a Uint8Array makes a copy.
  return new Uint8Array(plain.buffer, plain.byteOffset, plain.length);
}

/** The reference does not look at the padding; a length beyond a block or the message can only be an attack or a bug. */
function withoutPadding(plain: Uint8Array): Uint8Array | number {
  const count = plain[plain.length - 1] ?? 0;
  if (count < 1 || count > BLOCK_BYTES || count > plain.length) return -REJECT.decryptFailed;
  return plain.subarray(0, plain.length - count);
}

function algorithm(key: Uint8Array): CipherGCMTypes {
  return key.length === 16 ? 'aes-128-gcm' : key.length === 24 ? 'aes-192-gcm' : 'aes-256-gcm';
}

// Key rings hold a few arrays for long; a key object spares the parsing of the key with every message.
const objects = new WeakMap<Uint8Array, KeyObject>();

function keyObject(key: Uint8Array): KeyObject {
  let object = objects.get(key);
  if (!object) {
    object = createSecretKey(key);
    objects.set(key, object);
  }
  return object;
}

/** Row n - 1 holds n bytes of value n. */
const PADDING = new Uint8Array(BLOCK_BYTES * BLOCK_BYTES);
for (let i = 0; i < PADDING.length; i++) PADDING[i] = Math.floor(i / BLOCK_BYTES) + 1;
