import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Address } from '../util/address.ts';
import { formatAddress, formatIp } from '../util/address.ts';
import { type HostCache, isMapped, peerAddresses, peerHosts } from './address-cache.ts';
import {
  bindError,
  DATAGRAM_BYTES_MAX,
  newPacketStats,
  type PacketHandlers,
  type PacketSocket,
  SEND_QUEUE_BYTES_MAX,
  SOCKET_BUFFER_BYTES,
  UNREACHABLE_CODES,
} from './packet-socket.ts';

/** UDP through node:dgram: runs everywhere, one crossing and one system call per datagram. */
export class DgramSocket implements PacketSocket {
  readonly kind = 'dgram';
  readonly stats = newPacketStats();
  readonly #bind: Address;
  readonly #handlers: PacketHandlers;
  readonly #hosts: HostCache;
  readonly #socket: Socket;
  #turnRequested = false;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(bind: Address, handlers: PacketHandlers) {
    const isV6 = bind.ip.length === 16;
    this.#bind = bind;
    this.#handlers = handlers;
    this.#hosts = isV6 ? peerHosts.v6 : peerHosts.v4;
    this.#socket = createSocket({
      type: isV6 ? 'udp6' : 'udp4',
      // Hosts are always literal addresses; the default would go through the resolver's queue for each datagram.
      lookup: (host, _options, callback) => callback(null, host, isV6 ? 6 : 4),
    });
  }

  open(): Promise<Address> {
    const { ip, port } = this.#bind;
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        this.#closing = Promise.resolve();
        this.#closed = true;
        this.#socket.close();
        reject(bindError('UDP', formatAddress(this.#bind), error));
      };
      this.#socket.once('error', fail);
      // Without `exclusive` a cluster worker would share the socket with its siblings and see only some packets.
      this.#socket.bind({ address: formatIp(ip), port, exclusive: true }, () => {
        this.#socket.off('error', fail);
        this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#handleError(error));
        this.#socket.on('message', (bytes, info) => this.#handleMessage(bytes, info));
        growBuffer((bytes) => this.#socket.setRecvBufferSize(bytes));
        growBuffer((bytes) => this.#socket.setSendBufferSize(bytes));
        resolve({ ip, port: this.#socket.address().port });
      });
    });
  }

  send(to: Address, bytes: Uint8Array): void {
    if (this.#closing !== undefined) return;
    const knownForm =
      to.ip.length === 4 || (to.ip.length === 16 && (this.#bind.ip.length === 16 || isMapped(to.ip, 0)));
    if (
      !knownForm ||
      bytes.length > DATAGRAM_BYTES_MAX ||
      this.#socket.getSendQueueSize() + bytes.length > SEND_QUEUE_BYTES_MAX
    ) {
      this.stats.packetsDropped++;
      return;
    }
    try {
      // A copy, because the system may take the datagram later than the caller keeps it.
      const copy = Buffer.from(bytes);
      this.#socket.send(copy, 0, copy.length, to.port, this.#hosts.host(to.ip), (error) => {
        if (error === null || error === undefined) {
          this.stats.packetsSent++;
          this.stats.bytesSent += copy.length;
        } else this.#handleSendError(to, error as NodeJS.ErrnoException);
      });
    } catch {
      // Port 0, or a family the socket does not speak.
      this.stats.packetsDropped++;
    }
  }

  flush(): void {}

  kernelDrops(): number {
    return 0;
  }

  ref(): void {
    if (!this.#closed) this.#socket.ref();
  }

  unref(): void {
    if (!this.#closed) this.#socket.unref();
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#socket.close(() => {
        this.#closed = true;
        resolve();
      });
    });
    return this.#closing;
  }

  #handleMessage(bytes: Uint8Array, info: RemoteInfo): void {
    if (this.#closing !== undefined) return;
    const from = peerAddresses.fromText(info.address, info.port);
    if (from === undefined) return;
    this.stats.packetsReceived++;
    this.stats.bytesReceived += bytes.length;
    // A plain Uint8Array: slice() of a Buffer makes no copy, which would surprise whoever keeps one.
    this.#handlers.packet(from, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), undefined);
    if (this.#turnRequested) return;
    // libuv hands over all waiting datagrams of all sockets before it runs immediates: one turn serves them all.
    this.#turnRequested = true;
    setImmediate(() => {
      this.#turnRequested = false;
      if (this.#closing === undefined) this.#handlers.turn();
    });
  }

  #handleSendError(to: Address, error: NodeJS.ErrnoException): void {
    this.stats.packetsDropped++;
    if (this.#closing === undefined && UNREACHABLE_CODES.has(error.code ?? '')) this.#handlers.unreachable?.(to);
  }

  #handleError(error: NodeJS.ErrnoException): void {
    // Windows reports an ICMP "port unreachable" as a failed receive; the socket is fine.
    if (this.#closing !== undefined || UNREACHABLE_CODES.has(error.code ?? '')) return;
    this.#handlers.error(error);
  }
}

function growBuffer(set: (bytes: number) => void): void {
  for (let bytes = SOCKET_BUFFER_BYTES; bytes >= 65536; bytes >>= 1) {
    try {
      set(bytes);
      return;
    } catch {
      // The system has a lower limit: ask for half.
    }
  }
}
