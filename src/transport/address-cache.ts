import type { Address } from '../util/address.ts';
import { formatIp, parseIp, socketHost } from '../util/address.ts';

/** Addresses remembered per cache. A cache that is full starts over, so memory stays bounded whoever sends to us. */
const CACHE_ENTRIES_MAX = 16384;

/** Addresses by host and port. */
class Endpoints<Host> {
  readonly #byPort = new Map<number, Map<Host, Address>>();
  #size = 0;

  get(host: Host, port: number): Address | undefined {
    return this.#byPort.get(port)?.get(host);
  }

  /** Remembers an address that get() does not know. */
  set(host: Host, port: number, address: Address): Address {
    if (this.#size >= CACHE_ENTRIES_MAX) {
      this.#byPort.clear();
      this.#size = 0;
    }
    const hosts = this.#byPort.get(port) ?? new Map<Host, Address>();
    this.#byPort.set(port, hosts.set(host, address));
    this.#size++;
    return address;
  }
}

/**
 * Turns what the system says about a peer into one Address object per peer, so that a packet costs no allocation. Mapped IPv4
 * addresses become plain ones. All sockets of a thread share one (peerAddresses), or a process with a thousand nodes would keep a
 * million addresses.
 */
export class AddressCache {
  readonly #byV4 = new Endpoints<number>();
  readonly #byText = new Endpoints<string>();

  /** The IPv4 address in bytes[at..at+3]. */
  fromV4(bytes: Uint8Array, at: number, port: number): Address {
    const word = v4Word(bytes, at);
    return this.#byV4.get(word, port) ?? this.#byV4.set(word, port, { ip: bytes.slice(at, at + 4), port });
  }

  /** The IPv6 address in bytes[at..at+15]. */
  fromV6(bytes: Uint8Array, at: number, port: number): Address | undefined {
    const ip = bytes.slice(at, at + 16);
    return this.fromText(formatIp(ip), port);
  }

  /** From text as node:dgram and node:net report it; undefined when it is not an IP. */
  fromText(text: string, port: number): Address | undefined {
    const known = this.#byText.get(text, port);
    if (known !== undefined) return known;
    const ip = parseIp(text);
    return ip && this.#byText.set(text, port, { ip: plainIp(ip), port });
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
    const key = v4Word(ip, 0);
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

/** An IPv4 address as a signed word: a Map with keys that are no small integers allocates one per look. */
function v4Word(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

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
