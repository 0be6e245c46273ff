import { HearsayError } from './errors.ts';

/**
 * Where a node is reached. `ip` holds 4 or 16 bytes and is compared byte by byte, as memberlist does: the 4-byte and
 * the mapped 16-byte form of one IPv4 address are different addresses (protocol §9.1).
 */
export interface Address {
  readonly ip: Uint8Array;
  readonly port: number;
}

/**
 * True when both lead to the same socket: the mapped 16-byte form of an IPv4 address counts as that address. For comparing what a
 * socket says about a sender with what a member says about itself; the member table compares bytes.
 */
export function sameEndpoint(a: Address, b: Address): boolean {
  return a.port === b.port && sameHost(a.ip, b.ip);
}

/** True when both IPs lead to the same host; the mapped form of an IPv4 address counts as that address. */
export function sameHost(a: Uint8Array, b: Uint8Array): boolean {
  const fromA = a.length === 16 && isMappedV4(a) ? 12 : 0;
  const fromB = b.length === 16 && isMappedV4(b) ? 12 : 0;
  if (a.length - fromA !== b.length - fromB) return false;
  for (let i = 0; i < a.length - fromA; i++) if (a[fromA + i] !== b[fromB + i]) return false;
  return true;
}

/** True for 127.0.0.0/8 and ::1. */
export function isLoopback(ip: Uint8Array): boolean {
  if (ip.length === 4) return ip[0] === 127;
  if (isMappedV4(ip)) return ip[12] === 127;
  return ip.length === 16 && ip[15] === 1 && ip.subarray(0, 15).every((byte) => byte === 0);
}

/** `10.0.0.1:7946` or `[fe80::1]:7946`. */
export function formatAddress(address: Address): string {
  const ip = formatIp(address.ip);
  return ip.includes(':') ? `[${ip}]:${address.port}` : `${ip}:${address.port}`;
}

/** Text of an IP. A mapped IPv4 address prints as `::ffff:a.b.c.d`. */
export function formatIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join('.');
  if (ip.length !== 16) return '';
  if (isMappedV4(ip)) return `::ffff:${ip.subarray(12).join('.')}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((ip[i] as number) << 8) | (ip[i + 1] as number));
  return compressGroups(groups);
}

/** The form an operating system socket wants: mapped IPv4 becomes plain IPv4. */
export function socketHost(ip: Uint8Array): string {
  return ip.length === 16 && isMappedV4(ip) ? ip.subarray(12).join('.') : formatIp(ip);
}

/** Parses the text of an IPv4 (4 bytes) or IPv6 (16 bytes) address; undefined when it is neither. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseV6(text) : parseV4(text);
}

/** Parses `ip:port` or `[ip]:port`; throws ERR_ARGUMENT_INVALID with the expected form. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const ip = match ? parseIp((match[1] ?? match[2]) as string) : undefined;
  const port = match ? Number(match[3]) : -1;
  if (!ip || port < 0 || port > 65535) {
    throw new HearsayError(
      'ERR_ARGUMENT_INVALID',
      `address: expected "ip:port" or "[ipv6]:port", got ${JSON.stringify(text)}`,
    );
  }
  return { ip, port };
}

function isMappedV4(ip: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (ip[i] !== 0) return false;
  return ip[10] === 0xff && ip[11] === 0xff;
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const out = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i] as string;
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return undefined;
    out[i] = Number(part);
  }
  return out;
}

function parseV6(text: string): Uint8Array | undefined {
  const bare = text.split('%', 1)[0] as string;
  const halves = bare.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] as string);
  const tail = halves.length === 2 ? groupsOf(halves[1] as string) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const out = new Uint8Array(16);
  groups.forEach((group, i) => {
    out[2 * i] = group >> 8;
    out[2 * i + 1] = group & 255;
  });
  return out;
}

function groupsOf(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.') && i === parts.length - 1) {
      const v4 = parseV4(part);
      if (!v4) return undefined;
      groups.push(((v4[0] as number) << 8) | (v4[1] as number), ((v4[2] as number) << 8) | (v4[3] as number));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else return undefined;
  }
  return groups;
}

function compressGroups(groups: readonly number[]): string {
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) {
      bestStart = i;
      bestLength = length;
    }
  }
  const text = groups.map((group) => group.toString(16));
  if (bestStart < 0) return text.join(':');
  return `${text.slice(0, bestStart).join(':')}::${text.slice(bestStart + bestLength).join(':')}`;
}
