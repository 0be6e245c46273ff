import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { type Address, parseIp } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { complaint } from './describe.ts';

/** Default port of memberlist (protocol §2). */
export const DEFAULT_PORT = 7946;

/** A host and a port taken apart, nothing resolved yet. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/**
 * Takes `host`, `host:port`, `[ipv6]:port`, `ipv6` or `name/host:port` apart (protocol §15; the node name in front of the
 * slash is accepted for compatibility and not needed here). Throws ERR_ARGUMENT_INVALID naming `field`.
 */
export function parseHostPort(text: string, defaultPort: number, field: string): HostPort {
  const bare = text.slice(text.indexOf('/') + 1);
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(bare);
  // Digits alone would be taken for an IPv4 address in the old form of one number.
  const plain = /^((?!\d+(?::|$))[^:/\s]+)(?::(\d+))?$/.exec(bare);
  const match = bracketed ?? plain;
  const host = match?.[1] ?? (parseIp(bare) ? bare : undefined);
  const port = match?.[2] === undefined ? defaultPort : Number(match[2]);
  if (!host || port > 65535 || (bracketed && !parseIp(host))) {
    throw new HearsayError(
      'ERR_ARGUMENT_INVALID',
      complaint(field, text, '"host:port" with a port up to 65535 (IPv6 in brackets)'),
    );
  }
  return { host, port };
}

/**
 * Addresses of one seed: a literal IP as it is, a name through the system's resolver, all its A and AAAA records (a
 * headless service of an orchestrator lists every member there). Rejects with ERR_RESOLVE_FAILED.
 */
export async function resolveSeed(seed: string, defaultPort: number): Promise<Address[]> {
  const { host, port } = parseHostPort(seed, defaultPort, 'seeds');
  return (await resolveHost(host, 'seeds')).map((ip) => ({ ip, port }));
}

/** IPs of a literal or a host name. Rejects with ERR_RESOLVE_FAILED naming `field`. */
export async function resolveHost(host: string, field: string): Promise<Uint8Array[]> {
  const literal = parseIp(host);
  if (literal) return [literal];
  try {
    const found = await lookup(host, { all: true, verbatim: true });
    return found.flatMap((entry) => parseIp(entry.address) ?? []);
  } catch (cause) {
    throw new HearsayError(
      'ERR_RESOLVE_FAILED',
      `${field}: the host name ${JSON.stringify(host)} could not be resolved (${(cause as Error).message}); check it or pass an IP`,
      { cause },
    );
  }
}

/**
 * The address that others shall use. Bound to a specific IP: that one. Bound to a wildcard: the first private IPv4 address of the
 * machine (protocol §15), else the first address that is not internal, else loopback.
 */
export function advertisedIp(boundIp: Uint8Array): Uint8Array {
  if (boundIp.some((byte) => byte !== 0)) return boundIp;
  const usable = Object.values(networkInterfaces())
    .flat()
    .filter((entry) => entry !== undefined)
    .filter((entry) => !entry.internal && !entry.address.startsWith('fe80:'));
  const wanted = boundIp.length === 4 ? usable.filter((entry) => entry.family === 'IPv4') : usable;
  const best = wanted.find((entry) => isPrivateV4(entry.address)) ?? wanted[0];
  const ip = best && parseIp(best.address);
  return ip ?? (boundIp.length === 4 ? Uint8Array.of(127, 0, 0, 1) : (parseIp('::1') as Uint8Array));
}

function isPrivateV4(text: string): boolean {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(text);
}
