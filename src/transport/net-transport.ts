import type { Address } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { type NativeUdpConstructor, nativeUdp } from './native.ts';
import { newPacketStats, type PacketHandlers, type PacketSocket, type PacketStats } from './packet-socket.ts';
import { TcpEndpoint, type TcpOptions } from './tcp.ts';
import type { StreamConnection, Transport, TransportHandlers, TransportStats } from './transport.ts';
import { BatchedSocket } from './udp-batched.ts';
import { DgramSocket } from './udp-dgram.ts';

/** With port 0 a free TCP port is taken and the same number tried for UDP; this often (protocol §15). */
const PORT_ATTEMPTS = 10;

export interface NetTransportOptions extends TcpOptions {
  /** Address to bind; port 0 takes a free one. 4 or 16 bytes of IP. */
  readonly bind: Address;
  /** 'auto' (the default) takes batched where it is available. 'batched' throws ERR_BACKEND_UNAVAILABLE where it is not. */
  readonly udp?: 'auto' | 'dgram' | 'batched';
  /** The addon's socket class; undefined = there is none. Looked for when the option is absent. */
  readonly native?: NativeUdpConstructor | undefined;
}

/** UDP for packets and TCP for streams, on one port. */
export class NetTransport implements Transport {
  /** Which UDP socket runs. */
  readonly udp: 'dgram' | 'batched';
  readonly #options: NetTransportOptions;
  readonly #native: NativeUdpConstructor | undefined;
  #packets: PacketSocket | undefined;
  #streams: TcpEndpoint | undefined;
  #address: Address | undefined;
  #unrefed = false;
  #closing: Promise<void> | undefined;
  readonly #noPackets: PacketStats = newPacketStats();

  constructor(options: NetTransportOptions) {
    this.#options = options;
    this.#native = options.udp === 'dgram' ? undefined : 'native' in options ? options.native : nativeUdp();
    if (options.udp === 'batched' && this.#native === undefined) {
      throw new HearsayError(
        'ERR_BACKEND_UNAVAILABLE',
        "udp: 'batched' needs the addon, Linux, and a HEARSAY_BACKEND other than js; use 'auto' or 'dgram'",
      );
    }
    this.udp = this.#native === undefined ? 'dgram' : 'batched';
  }

  /** The bound address; throws before start() has resolved. */
  get address(): Address {
    if (this.#address === undefined)
      throw new HearsayError('ERR_ARGUMENT_INVALID', 'address: the transport has not started');
    return this.#address;
  }

  get stats(): TransportStats {
    const packets = this.#packets?.stats ?? this.#noPackets;
    const streams = this.#streams?.stats ?? { streamsOpened: 0, streamsAccepted: 0, streamsRefused: 0 };
    return {
      packetsSent: packets.packetsSent,
      bytesSent: packets.bytesSent,
      packetsReceived: packets.packetsReceived,
      bytesReceived: packets.bytesReceived,
      packetsDropped: packets.packetsDropped + (this.#packets?.kernelDrops() ?? 0),
      streamsOpened: streams.streamsOpened,
      streamsAccepted: streams.streamsAccepted,
      streamsRefused: streams.streamsRefused,
    };
  }

  async start(handlers: TransportHandlers): Promise<Address> {
    const wanted = this.#options.bind;
    for (let attempt = 1; ; attempt++) {
      let isBound = false;
      const streams = new TcpEndpoint(
        {
          // Whoever comes before packets can is turned away as if we were not there yet: no handler is called before start() resolves.
          stream: (connection) => (isBound ? handlers.stream(connection) : connection.destroy()),
          error: (error) => handlers.error(error),
        },
        this.#options,
      );
      const bound = await streams.listen(wanted);
      const packets = this.#newPacketSocket(bound, handlers);
      try {
        this.#address = await packets.open();
        isBound = true;
      } catch (error) {
        await streams.close();
        if (wanted.port !== 0 || attempt >= PORT_ATTEMPTS) throw error;
        continue;
      }
      this.#streams = streams;
      this.#packets = packets;
      if (this.#unrefed) this.unref();
      return this.#address;
    }
  }

  send(to: Address, bytes: Uint8Array): void {
    this.#packets?.send(to, bytes);
  }

  flush(): void {
    this.#packets?.flush();
  }

  connect(to: Address, timeoutMs: number): Promise<StreamConnection> {
    if (this.#streams === undefined) {
      return Promise.reject(new HearsayError('ERR_STREAM_FAILED', 'the transport has not started'));
    }
    return this.#streams.connect(to, timeoutMs);
  }

  /** Lets the process end although the sockets are open. */
  unref(): void {
    this.#unrefed = true;
    this.#packets?.unref();
    this.#streams?.unref();
  }

  ref(): void {
    this.#unrefed = false;
    this.#packets?.ref();
    this.#streams?.ref();
  }

  close(): Promise<void> {
    this.#closing ??= Promise.all([this.#packets?.close(), this.#streams?.close()]).then(() => undefined);
    return this.#closing;
  }

  #newPacketSocket(bind: Address, handlers: TransportHandlers): PacketSocket {
    const forward: PacketHandlers = {
      packet: (from, bytes) => handlers.packet(from, bytes),
      turn: () => handlers.turn(),
      error: (error) => handlers.error(error),
      unreachable: (to) => handlers.unreachable?.(to),
    };
    return this.#native === undefined ? new DgramSocket(bind, forward) : new BatchedSocket(bind, forward, this.#native);
  }
}
