import type { Address } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';

export interface PacketHandlers {
  /**
   * A datagram. `bytes` and `localIp` are only valid during the call, `from` may be kept. `localIp` is the IPv4 address it was sent to when
   * the socket is bound to 0.0.0.0 and the socket can tell (batched only), else undefined.
   */
  packet(from: Address, bytes: Uint8Array, localIp: Uint8Array | undefined): void;
  /** After a batch of packet() calls. */
  turn(): void;
  /** The socket itself is broken; it stays open until close(). */
  error(error: Error): void;
  /** The system says that nobody can be reached at this address. */
  unreachable?(to: Address): void;
}

export interface PacketStats {
  packetsSent: number;
  bytesSent: number;
  packetsReceived: number;
  bytesReceived: number;
  /** Packets that the system would not take: buffers full, address of another family, refused. */
  packetsDropped: number;
}

/** One UDP socket. Nothing here throws once open() has resolved. */
export interface PacketSocket {
  readonly kind: 'dgram' | 'batched';
  readonly stats: PacketStats;
  /** Binds; rejects with ERR_BIND_FAILED. */
  open(): Promise<Address>;
  /**
   * Hands a datagram over; it leaves at flush() at the latest. `bytes` is copied. `sourceIp` chooses the sender address (IPv4,
   * batched sockets bound to 0.0.0.0); others ignore it.
   */
  send(to: Address, bytes: Uint8Array, sourceIp?: Uint8Array): void;
  flush(): void;
  /** Datagrams that the system dropped because our receive buffer was full; 0 where it cannot be known. */
  kernelDrops(): number;
  /** Whether the open socket keeps the process alive (it does at first). */
  ref(): void;
  unref(): void;
  /** No handler is called after it resolves. May be called twice. */
  close(): Promise<void>;
}

/** Wanted size of both socket buffers; halved until the system takes it, as memberlist does (protocol §15). */
export const SOCKET_BUFFER_BYTES = 2 * 1024 * 1024;
/** Unsent bytes that one socket holds at most while the system takes no more; what goes beyond is dropped. */
export const SEND_QUEUE_BYTES_MAX = 4 * 1024 * 1024;
/** Largest payload of a UDP datagram over IPv4. */
export const DATAGRAM_BYTES_MAX = 65507;

/** System errors that speak about the receiver, not about us. */
export const UNREACHABLE_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
]);

export function newPacketStats(): PacketStats {
  return { packetsSent: 0, bytesSent: 0, packetsReceived: 0, bytesReceived: 0, packetsDropped: 0 };
}

export function bindError(what: string, address: string, cause: unknown): HearsayError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HearsayError('ERR_BIND_FAILED', `cannot bind ${what} ${address}: ${reason}`, { cause });
}
