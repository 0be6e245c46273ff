import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REJECT } from '../../src/kernels/contract.ts';
import { bytesEqual, bytesOf, fromHex, toHex } from '../../src/util/bytes.ts';
import { COMPOUND_COUNT_MAX, decodeCompound, encodeCompound } from '../../src/wire/compound.ts';
import {
  decrypt,
  type EncryptionVersion,
  encryptedBytes,
  encryptInto,
  encryptionOverheadBytes,
  systemNonces,
} from '../../src/wire/crypto.ts';
import { Keyring } from '../../src/wire/keyring.ts';
import { checkLabel, labelBytes, labelHeader, labelHeaderBytes } from '../../src/wire/label.ts';
import { encoded } from './encode.ts';
import { fixedNonce } from './seal-options.ts';
import { vectors } from './vectors.ts';

interface CompoundCase {
  readonly note: string;
  readonly hex: string;
  readonly parts: string[];
  readonly truncated?: number;
  readonly error?: string;
}
interface LabelCase {
  readonly note: string;
  readonly hex: string;
  readonly label: string;
  readonly rest?: string;
  readonly error?: string;
}
interface EncryptCase {
  readonly note: string;
  readonly version: EncryptionVersion;
  readonly key: string;
  readonly nonce: string;
  readonly aad: string;
  readonly plaintext: string;
  readonly hex: string;
}
interface DecryptCase {
  readonly note: string;
  readonly keys: string[];
  readonly aad: string;
  readonly hex: string;
  readonly plaintext?: string;
  readonly error?: string;
}

const compound = vectors<{ encode: CompoundCase[]; decode: CompoundCase[] }>('compound');
const labels = vectors<{ cases: LabelCase[] }>('labels').cases;
const encryption = vectors<{ encrypt: EncryptCase[]; decrypt: DecryptCase[] }>('encryption');
const KEY = fromHex('101112131415161718191a1b1c1d1e1f');
const KEY2 = fromHex('202122232425262728292a2b2c2d2e2f3031323334353637');
const KEY3 = fromHex('303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f');

describe('compound', () => {
  it.each(compound.encode)('encodes and decodes: $note', ({ hex, parts }) => {
    const bytes = encoded((out, at) =>
      encodeCompound(
        out,
        at,
        parts.map((part) => fromHex(part)),
      ),
    );
    expect(toHex(bytes)).toBe(hex);
    const decoded = decodeCompound(fromHex(hex));
    expect(decoded).toEqual({ parts: parts.map((part) => fromHex(part)), truncated: 0 });
  });

  it.each(compound.decode)('decodes: $note', ({ hex, parts, truncated, error }) => {
    const decoded = decodeCompound(fromHex(hex));
    if (error !== undefined) expect(decoded).toBe(-REJECT.truncated);
    else expect(decoded).toEqual({ parts: parts.map((part) => fromHex(part)), truncated });
  });

  it('refuses what the format cannot say', () => {
    const out = new Uint8Array(10);
    expect(() => encodeCompound(out, 0, [new Uint8Array(65536)])).toThrow(/65535 bytes/);
    expect(() => encodeCompound(out, 0, new Array<Uint8Array>(COMPOUND_COUNT_MAX + 1).fill(new Uint8Array(0)))).toThrow(
      /255 parts/,
    );
    expect(encodeCompound(out, 0, [new Uint8Array(7)])).toBe(-11);
  });

  it('reads any bytes without throwing, and parts within them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (tail) => {
        const bytes = new Uint8Array([7, ...tail]);
        const decoded = decodeCompound(bytes);
        if (typeof decoded === 'number') expect(decoded).toBe(-REJECT.truncated);
        else {
          const total = decoded.parts.reduce((sum, part) => sum + part.length, 0);
          expect(decoded.parts.length + decoded.truncated).toBe(bytes[1]);
          expect(total).toBeLessThan(bytes.length);
        }
      }),
    );
  });
});

describe('label', () => {
  it.each(labels)('is parsed as memberlist does: $note', ({ hex, label, rest, error }) => {
    const bytes = fromHex(hex);
    const length = labelHeaderBytes(bytes);
    if (error !== undefined) {
      expect(length).toBe(-REJECT.labelMalformed);
      return;
    }
    expect(toHex(bytes.subarray(length))).toBe(rest);
    const inside = length === 0 ? new Uint8Array(0) : bytes.subarray(2, length);
    // The longest one is not UTF-8, so its text says less than its bytes.
    expect(new TextDecoder().decode(inside)).toBe(label);
    expect(toHex(labelHeader(inside))).toBe(hex.slice(0, 2 * length));
  });

  it('must be equal, and must be absent when somebody else removes it', () => {
    const policy = { label: bytesOf('blue'), skipInboundLabelCheck: false };
    const check = (hex: string, p = policy): number => checkLabel(fromHex(hex), labelHeaderBytes(fromHex(hex)), p);
    expect(check('f404626c756500')).toBe(6);
    expect(check('00')).toBe(-REJECT.labelMismatch);
    expect(check('f404626c756600')).toBe(-REJECT.labelMismatch);
    expect(check('f403626c7500')).toBe(-REJECT.labelMismatch);
    expect(check('f400')).toBe(-REJECT.labelMalformed);
    const skip = { ...policy, skipInboundLabelCheck: true };
    expect(check('00', skip)).toBe(0);
    expect(check('f404626c756500', skip)).toBe(-REJECT.labelMismatch);
  });

  it('may have 255 bytes and no more', () => {
    expect(labelBytes('ü'.repeat(127))).toHaveLength(254);
    expect(() => labelBytes('ü'.repeat(128))).toThrow(/at most 255 bytes, got 256/);
  });
});

describe('keyring', () => {
  const hexes = (ring: Keyring): string[] => ring.keys.map(toHex);

  it('puts the primary first and leaves out repetitions', () => {
    expect(hexes(Keyring.create([KEY2, KEY, KEY3, KEY2], KEY))).toEqual([KEY, KEY2, KEY3].map(toHex));
    expect(Keyring.create([], new Uint8Array(0)).size).toBe(0);
    expect(() => Keyring.create([KEY], new Uint8Array(0))).toThrow(
      expect.objectContaining({ code: 'ERR_KEY_INVALID' }),
    );
  });

  it('takes keys of 16, 24 and 32 bytes only', () => {
    const ring = new Keyring();
    for (const length of [0, 15, 17, 31, 33]) {
      expect(() => ring.add(new Uint8Array(length))).toThrow(expect.objectContaining({ code: 'ERR_KEY_INVALID' }));
    }
    for (const key of [KEY, KEY2, KEY3, KEY]) ring.add(key);
    expect(hexes(ring)).toEqual([KEY, KEY2, KEY3].map(toHex));
  });

  it('rotates: add, use, remove', () => {
    const ring = Keyring.create([KEY2, KEY3], KEY);
    ring.use(KEY3);
    expect(hexes(ring)).toEqual([KEY3, KEY, KEY2].map(toHex));
    expect(() => ring.use(new Uint8Array(16))).toThrow(expect.objectContaining({ code: 'ERR_KEY_NOT_FOUND' }));
    expect(() => ring.remove(KEY3)).toThrow(expect.objectContaining({ code: 'ERR_KEY_IN_USE' }));
    ring.remove(KEY);
    ring.remove(new Uint8Array(16));
    expect(hexes(ring)).toEqual([KEY3, KEY2].map(toHex));
  });

  it('keeps its own copy of a key', () => {
    const key = KEY.slice();
    const ring = Keyring.create([], key);
    key.fill(0);
    expect(hexes(ring)).toEqual([toHex(KEY)]);
  });
});

describe('encryption', () => {
  it.each(encryption.encrypt)(
    'version $version gives the same bytes: $note',
    ({ version, key, nonce, aad, plaintext, hex }) => {
      const plain = fromHex(plaintext);
      const out = new Uint8Array(encryptedBytes(version, plain.length) + 2);
      const end = encryptInto(out, 2, fromHex(key), version, fixedNonce(fromHex(nonce)), plain, fromHex(aad));
      expect([end, toHex(out.subarray(2))]).toEqual([out.length, hex]);
      expect(toHex(decrypt([fromHex(key)], fromHex(hex), fromHex(aad)) as Uint8Array)).toBe(plaintext);
    },
  );

  it.each(encryption.decrypt)('decrypts or refuses: $note', ({ keys, aad, hex, plaintext, error }) => {
    const result = decrypt(
      keys.map((key) => fromHex(key)),
      fromHex(hex),
      fromHex(aad),
    );
    expect(typeof result === 'number').toBe(error !== undefined);
    if (typeof result !== 'number') expect(toHex(result)).toBe(plaintext);
  });

  it('refuses version 0 padding that cannot be', () => {
    // Version 1 adds nothing to the plaintext, and the version byte is not authenticated: relabelled, it is a version 0 envelope with
    // padding of our choice.
    const withPadding = (last: number): Uint8Array | number => {
      const plain = new Uint8Array(16).fill(last);
      const out = new Uint8Array(encryptedBytes(1, 16));
      encryptInto(out, 0, KEY, 1, systemNonces(), plain, new Uint8Array(0));
      out[0] = 0;
      return decrypt([KEY], out, new Uint8Array(0));
    };
    for (const bad of [0, 17, 255]) expect(withPadding(bad)).toBe(-REJECT.decryptFailed);
    expect(withPadding(16)).toHaveLength(0);
    expect(withPadding(3)).toHaveLength(13);
  });

  it('gives every message another nonce', () => {
    const nonces = systemNonces();
    const seen = new Set<string>();
    for (let i = 0; i < 1000; i++) {
      const nonce = new Uint8Array(12);
      nonces(nonce);
      seen.add(toHex(nonce));
    }
    expect(seen.size).toBe(1000);
  });

  it('gives back any plaintext with any key, and nothing after any change', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(KEY, KEY2, KEY3),
        fc.constantFrom<EncryptionVersion>(0, 1),
        fc.uint8Array({ maxLength: 20 }),
        fc.nat(),
        (plain, key, version, aad, flip) => {
          const out = new Uint8Array(encryptedBytes(version, plain.length));
          encryptInto(out, 0, key, version, systemNonces(), plain, aad);
          expect(out.length).toBeGreaterThanOrEqual(encryptionOverheadBytes(version));
          expect(bytesEqual(decrypt([KEY2, KEY, KEY3], out, aad) as Uint8Array, plain)).toBe(true);
          // Byte 0 is the version, which is not authenticated.
          const at = 1 + (flip % (out.length - 1));
          out[at] = (out[at] as number) ^ (1 << (flip % 8));
          expect(decrypt([key], out, aad)).toBe(-REJECT.decryptFailed);
        },
      ),
      { numRuns: 200 },
    );
  });
});
