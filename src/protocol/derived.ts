import type { EngineKernels } from '../kernels/contract.ts';
import { bytesOf } from '../util/bytes.ts';
import { systemNonces } from '../wire/crypto.ts';
import { labelBytes } from '../wire/label.ts';
import type { SealOptions } from '../wire/packet.ts';
import type { EngineConfig } from './config.ts';

/** Members that are given the same seed must not do the same things at the same time. FNV-1a of the name over the seed. */
export function mixedSeed(rngSeed: number, name: string): number {
  let hash = 0x811c9dc5 ^ rngSeed;
  for (const byte of bytesOf(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** What the layers around messages need to know. */
export function sealOptionsOf(config: EngineConfig, { codec }: EngineKernels): SealOptions {
  return {
    keyring: config.keyring,
    label: labelBytes(config.label),
    protocolVersion: config.protocolVersion,
    verifyIncoming: config.verifyIncoming,
    verifyOutgoing: config.verifyOutgoing,
    compression: config.compression,
    skipInboundLabelCheck: config.skipInboundLabelCheck,
    nonces: config.nonces ?? systemNonces(),
    compress: (source, out) => codec.compress(source, out),
    decompress: (source, out) => codec.decompress(source, out),
  };
}
