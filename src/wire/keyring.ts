import { bytesEqual } from '../util/bytes.ts';
import { HearsayError } from '../util/errors.ts';

/**
 * An ordered list of distinct keys (protocol §8). Position 0 is the primary: everything is encrypted with it, and it is
 * tried first when decrypting. Changes apply at once to packets and streams. An empty ring means no encryption.
 */
export class Keyring {
  #keys: Uint8Array[] = [];

  /** A ring with these keys, the primary first. Throws ERR_KEY_INVALID when keys are given without a primary. */
  static create(keys: readonly Uint8Array[], primary: Uint8Array): Keyring {
    const ring = new Keyring();
    if (keys.length === 0 && primary.length === 0) return ring;
    if (primary.length === 0) {
      throw new HearsayError('ERR_KEY_INVALID', 'keyring: expected a primary key beside the other keys, got none');
    }
    for (const key of [primary, ...keys]) ring.add(key);
    return ring;
  }

  /** All keys, primary first. Do not change the bytes. */
  get keys(): readonly Uint8Array[] {
    return this.#keys;
  }

  get primary(): Uint8Array | undefined {
    return this.#keys[0];
  }

  get size(): number {
    return this.#keys.length;
  }

  /** Adds a key of 16, 24 or 32 bytes at the end; a known one is left where it is. Throws ERR_KEY_INVALID. */
  add(key: Uint8Array): void {
    if (key.length !== 16 && key.length !== 24 && key.length !== 32) {
      throw new HearsayError(
        'ERR_KEY_INVALID',
        `key: expected 16, 24 or 32 bytes (AES-128, -192, -256), got ${key.length}`,
      );
    }
    if (this.#indexOf(key) < 0) this.#keys = [...this.#keys, key.slice()];
  }

  /** Makes a known key the primary; the others keep their order. Throws ERR_KEY_NOT_FOUND. */
  use(key: Uint8Array): void {
    const index = this.#indexOf(key);
    if (index < 0) {
      throw new HearsayError(
        'ERR_KEY_NOT_FOUND',
        'key: expected one that is in the keyring; add it first, on all members',
      );
    }
    const chosen = this.#keys[index] as Uint8Array;
    this.#keys = [chosen, ...this.#keys.filter((_, i) => i !== index)];
  }

  /** Removes a key; one that is not there is ignored. Throws ERR_KEY_IN_USE for the primary. */
  remove(key: Uint8Array): void {
    const index = this.#indexOf(key);
    if (index === 0) {
      throw new HearsayError(
        'ERR_KEY_IN_USE',
        'key: the primary cannot be removed; make another key the primary first',
      );
    }
    if (index > 0) this.#keys = this.#keys.filter((_, i) => i !== index);
  }

  #indexOf(key: Uint8Array): number {
    return this.#keys.findIndex((known) => bytesEqual(known, key));
  }
}
