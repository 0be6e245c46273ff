import type { Address } from '../util/address.ts';

/** One accepted or opened byte stream. Writes never throw; errors arrive through `closed`. */
export interface StreamConnection {
  readonly remote: Address;
  /** The address of ours that it came to, where one listener serves many; undefined when it cannot be told. */
  readonly localIp?: Uint8Array | undefined;
  /** Calls `handler` with each chunk; the chunk is only valid during the call. */
  onData(handler: (chunk: Uint8Array) => void): void;
  /** The other side sent its last byte (undefined) or the stream failed (error). Called once. */
  onEnd(handler: (error: Error | undefined) => void): void;
  write(bytes: Uint8Array): void;
  /** Sends what was written, then closes our direction. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

export interface TransportHandlers {
  /** A datagram; `bytes` is only valid during the call. */
  packet(from: Address, bytes: Uint8Array): void;
  /** Called after a batch of packet() calls, before the event loop turns. */
  turn(): void;
  /** Somebody opened a stream to us. */
  stream(connection: StreamConnection): void;
  /** Something is wrong with the transport itself (not with one packet). */
  error(error: Error): void;
  /** The system refused to send to this address (ECONNREFUSED, EHOSTUNREACH...): the engine may skip waiting for an ack. */
  unreachable?(to: Address): void;
}

export interface TransportStats {
  packetsSent: number;
  bytesSent: number;
  packetsReceived: number;
  bytesReceived: number;
  /** Packets the system would not take (full buffers, errors). */
  packetsDropped: number;
  streamsOpened: number;
  streamsAccepted: number;
  /** Streams refused because too many were open, in all or from one IP address. */
  streamsRefused: number;
}

/**
 * Moves bytes and addresses, knows no protocol. The library's own are UDP + TCP; pass another as `transport` (with
 * `thread: 'inline'`).
 */
export interface Transport {
  /** Binds; resolves with the address that was bound (one port for packets and streams). No handler is called before. */
  start(handlers: TransportHandlers): Promise<Address>;
  /** Hands a datagram over. Takes a copy if it cannot send at once. Never throws. */
  send(to: Address, bytes: Uint8Array): void;
  /** End of a turn: send what was collected. */
  flush(): void;
  /** Opens a stream; rejects with ERR_STREAM_FAILED or ERR_STREAM_TIMEOUT. `deadlineMs` is a duration from now. */
  connect(to: Address, timeoutMs: number): Promise<StreamConnection>;
  close(): Promise<void>;
  readonly stats: TransportStats;
}
