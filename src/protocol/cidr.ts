import { parseIp } from '../util/address.ts';

/** A network: addresses whose first `bits` bits equal those of `ip`. */
export interface Network {
  readonly ip: Uint8Array;
  readonly bits: number;
}

/** Parses "10.0.0.0/8" or "fd00::/8"; undefined when it is neither. */
export function parseCidr(text: string): Network | undefined {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? undefined : parseIp(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (ip === undefined || !/^\d{1,3}$/.test(digits) || Number(digits) > ip.length * 8) return undefined;
  return { ip, bits: Number(digits) };
}

/**
 * True when the address at `bytes[at..at+length)` lies in one of the networks. The mapped form of an IPv4 address
 * counts as that address: whether a peer is let in must not depend on how it writes its own address.
 */
export function isAllowed(networks: readonly Network[], bytes: Uint8Array, at: number, length: number): boolean {
  const mapped = length === 16 && isMapped(bytes, at);
  for (const network of networks) {
    const v4 = network.ip.length === 4;
    if (v4 ? !(length === 4 || mapped) : length !== 16) continue;
    if (samePrefix(network, bytes, v4 && mapped ? at + 12 : at)) return true;
  }
  return false;
}

function samePrefix(network: Network, bytes: Uint8Array, at: number): boolean {
  const whole = network.bits >> 3;
  for (let i = 0; i < whole; i++) if (bytes[at + i] !== network.ip[i]) return false;
  const rest = network.bits & 7;
  return rest === 0 || ((bytes[at + whole] as number) ^ (network.ip[whole] as number)) >> (8 - rest) === 0;
}

function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}
