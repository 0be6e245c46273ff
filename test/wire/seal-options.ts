import { bytesOf } from '../../src/util/bytes.ts';
import type { NonceSource } from '../../src/wire/crypto.ts';
import { Keyring } from '../../src/wire/keyring.ts';
import type { SealOptions } from '../../src/wire/packet.ts';

/** Settings of a memberlist node with these layers on; nonces count up unless they are given. */
export function sealOptions(
  settings: Partial<Omit<SealOptions, 'label' | 'keyring'>> & { label?: string; keys?: readonly Uint8Array[] },
): SealOptions {
  const { label = '', keys = [], ...rest } = settings;
  return {
    keyring: keys.length === 0 ? undefined : Keyring.create(keys.slice(1), keys[0] as Uint8Array),
    label: bytesOf(label),
    protocolVersion: 2,
    verifyIncoming: true,
    verifyOutgoing: true,
    compression: false,
    skipInboundLabelCheck: false,
    nonces: countingNonces(),
    ...rest,
  };
}

/** Always the same nonce, for comparison with recorded bytes. */
export function fixedNonce(nonce: Uint8Array): NonceSource {
  return (out) => out.set(nonce);
}

function countingNonces(): NonceSource {
  let count = 0;
  return (out) => {
    count++;
    new DataView(out.buffer, out.byteOffset, 12).setUint32(8, count);
  };
}
