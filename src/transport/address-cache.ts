import type { Address } from '../util/address.ts';
import { formatIp, parseIp, socketHost } from '../util/address.ts';

/** Addresses remembered per cache. A cache that is full starts over, so memory stays bounded whoever sends to us. */
const CACHE_ENTRIES_MAX = 16384;

/**
 * Turns what the system says about a peer into one Address object per peer, so that a packet costs no allocation. Mapped IPv4
 * addresses become plain ones. All sockets of a thread share one (peerAddresses), or a process with a thousand nodes would keep a
 * million addresses.
 */
export class AddressCache {
  readonly #byPort = new Map<number, Map<number, Address>>();
  #v4Entries = 0;
  readonly #byText = new Map<string, Map<number, Address>>();
  #textEntries = 0;

  /** The IPv4 address in bytes[at..at+3]. */
  fromV4(bytes: Uint8Array, at: number, port: number): Address {
    // Small integers as keys: a Map of others allocates one per look.
    const word =
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number);
    let ips = this.#byPort.get(port);
    let address = ips?.get(word);
    if (address === undefined) {
      if (++this.#v4Entries > CACHE_ENTRIES_MAX) {
        this.#byPort.clear();
        ips = undefined;
        this.#v4Entries = 1;
      }
      if (ips === undefined) {
        ips = new Map();
        this.#byPort.set(port, ips);
      }
      address = { ip: bytes.slice(at, at + 4), port };
      ips.set(word, address);
    }
    return address;
  }

  /** The IPv6 address in bytes[at..at+15]. */
  fromV6(bytes: Uint8Array, at: number, port: number): Address | undefined {
    const ip = bytes.slice(at, at + 16);
    return this.fromText(formatIp(ip), port);
  }

  /** From text as node:dgram and node:net report it; undefined when it is not an IP. */
  fromText(text: string, port: number): Address | undefined {
    let ports = this.#byText.get(text);
    if (ports === undefined) {
      ports = new Map();
      this.#byText.set(text, ports);
    }
    let address = ports.get(port);
    if (address === undefined) {
      const ip = parseIp(text);
      if (ip === undefined) return undefined;
      if (++this.#textEntries > CACHE_ENTRIES_MAX) {
        this.#byText.clear();
        ports.clear();
        this.#byText.set(text, ports);
        this.#textEntries = 1;
      }
      address = { ip: plainIp(ip), port };
      ports.set(port, address);
    }
    return address;
  }
}

/** The cache of this thread. */
export const peerAddresses = new AddressCache();

/** Host texts of addresses, the way back. `mapV4` writes IPv4 addresses as a dual-stack socket wants them. */
export class HostCache {
  readonly #byV4 = new Map<number, string>();
  readonly #mapV4: boolean;

  constructor(mapV4: boolean) {
    this.#mapV4 = mapV4;
  }

  host(ip: Uint8Array): string {
    if (ip.length !== 4) return socketHost(ip);
    const key =
      (ip[0] as number) * 0x1000000 + (((ip[1] as number) << 16) | ((ip[2] as number) << 8) | (ip[3] as number));
    let text = this.#byV4.get(key);
    if (text === undefined) {
      if (this.#byV4.size >= CACHE_ENTRIES_MAX) this.#byV4.clear();
      text = this.#mapV4 ? `::ffff:${ip.join('.')}` : ip.join('.');
      this.#byV4.set(key, text);
    }
    return text;
  }
}

/** The caches of this thread: for IPv4 sockets and for IPv6 ones. */
export const peerHosts = { v4: new HostCache(false), v6: new HostCache(true) } as const;

/** The 4-byte form of a mapped IPv4 address; other addresses as they are. */
export function plainIp(ip: Uint8Array): Uint8Array {
  return isMapped(ip, 0) ? ip.slice(12) : ip;
}

/** True when the 16 bytes at `at` are ::ffff:a.b.c.d. */
export function isMapped(bytes: Uint8Array, at: number): boolean {
  if (bytes.length < at + 16) return false;
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}
