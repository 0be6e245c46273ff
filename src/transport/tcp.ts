import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import type { Address } from '../util/address.ts';
import { formatAddress, formatIp, isLoopback, parseIp, socketHost } from '../util/address.ts';
import { HearsayError } from '../util/errors.ts';
import { plainIp } from './address-cache.ts';
import { bindError } from './packet-socket.ts';
import type { StreamConnection } from './transport.ts';

/** Streams that others may have open to us at a time. Each can hold a push/pull body, so this bounds memory. */
export const STREAMS_ACCEPTED_MAX = 128;
/** Of these from one IP address: one host alone must not keep all others out. */
export const STREAMS_PER_HOST_MAX = 32;
/** Unsent bytes of one stream; beyond that the other side does not read and the stream is destroyed. */
export const STREAM_UNSENT_BYTES_MAX = 64 * 1024 * 1024;

export interface TcpOptions {
  /** A stream that neither gives nor takes a byte for this long fails with ERR_STREAM_TIMEOUT. Default 10,000. */
  readonly idleTimeoutMs?: number;
  /** Default STREAMS_ACCEPTED_MAX. */
  readonly streamsAcceptedMax?: number;
  /**
   * Streams that one IP address may have open to us at a time. Default STREAMS_PER_HOST_MAX, but no limit for loopback addresses, since whole
   * clusters run on one machine; a number given here holds for those as well.
   */
  readonly streamsPerHostMax?: number;
}

export interface TcpStats {
  streamsOpened: number;
  streamsAccepted: number;
  streamsRefused: number;
}

export interface TcpHandlers {
  stream(connection: StreamConnection): void;
  error(error: Error): void;
}

const IDLE_TIMEOUT_MS = 10_000;

/** Listens for streams and opens them. Half-open streams work: who has sent all may still read. */
export class TcpEndpoint {
  readonly stats: TcpStats = { streamsOpened: 0, streamsAccepted: 0, streamsRefused: 0 };
  readonly #handlers: TcpHandlers;
  readonly #idleTimeoutMs: number;
  readonly #streamsAcceptedMax: number;
  readonly #streamsPerHostMax: number | undefined;
  /** Open accepted streams by the text of the other side's IP address. */
  readonly #acceptedFrom = new Map<string, number>();
  readonly #server: Server;
  readonly #open = new Set<NetStream>();
  #accepted = 0;
  #closing: Promise<void> | undefined;
  #unrefed = false;

  constructor(handlers: TcpHandlers, options: TcpOptions = {}) {
    this.#handlers = handlers;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
    this.#streamsAcceptedMax = options.streamsAcceptedMax ?? STREAMS_ACCEPTED_MAX;
    this.#streamsPerHostMax = options.streamsPerHostMax;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Binds; rejects with ERR_BIND_FAILED. */
  listen(bind: Address): Promise<Address> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(bindError('TCP', formatAddress(bind), error));
      this.#server.once('error', fail);
      this.#server.listen({ host: formatIp(bind.ip), port: bind.port, exclusive: true }, () => {
        this.#server.off('error', fail);
        this.#server.on('error', (error) => {
          // For example out of file descriptors while accepting: the server goes on listening.
          if (this.#closing === undefined) this.#handlers.error(error);
        });
        const bound = this.#server.address();
        resolve({ ip: bind.ip, port: bound !== null && typeof bound === 'object' ? bound.port : bind.port });
      });
    });
  }

  /** Rejects with ERR_STREAM_FAILED or ERR_STREAM_TIMEOUT. */
  connect(to: Address, timeoutMs: number, from?: Uint8Array): Promise<StreamConnection> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) {
        reject(new HearsayError('ERR_STREAM_FAILED', 'the transport is closed'));
        return;
      }
      const failed = (cause: unknown): HearsayError =>
        new HearsayError('ERR_STREAM_FAILED', `cannot open a stream to ${formatAddress(to)}: ${messageOf(cause)}`, {
          cause,
        });
      let socket: Socket;
      try {
        socket = netConnect({
          host: socketHost(to.ip),
          port: to.port,
          allowHalfOpen: true,
          noDelay: true,
          ...(from === undefined ? {} : { localAddress: formatIp(from) }),
        });
      } catch (error) {
        reject(failed(error));
        return;
      }
      const stream = new NetStream(socket, to, this.#idleTimeoutMs);
      this.#track(stream, socket);
      const timer = setTimeout(() => {
        reject(new HearsayError('ERR_STREAM_TIMEOUT', `no stream to ${formatAddress(to)} within ${timeoutMs} ms`));
        stream.destroy();
      }, timeoutMs);
      // Rejecting after the stream was handed over does nothing; the stream then reports by itself.
      socket.once('close', () => {
        clearTimeout(timer);
        reject(failed(stream.error ?? new Error('closed')));
      });
      socket.once('connect', () => {
        clearTimeout(timer);
        this.stats.streamsOpened++;
        resolve(stream);
      });
    });
  }

  ref(): void {
    this.#unrefed = false;
    this.#server.ref();
    for (const stream of this.#open) stream.setRef(true);
  }

  unref(): void {
    this.#unrefed = true;
    this.#server.unref();
    for (const stream of this.#open) stream.setRef(false);
  }

  /** Stops listening and destroys all open streams. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      for (const stream of this.#open) stream.destroy();
      // Also called, with an error, when the server never listened.
      this.#server.close(() => resolve());
    });
    return this.#closing;
  }

  #accept(socket: Socket): void {
    const remote = parseIp(socket.remoteAddress ?? '');
    const ip = remote && plainIp(remote);
    if (this.#closing !== undefined || this.#accepted >= this.#streamsAcceptedMax || (ip && this.#isHostFull(ip))) {
      this.stats.streamsRefused++;
      socket.on('error', ignore);
      // Reset, not end: the caller shall know at once that it was refused.
      socket.resetAndDestroy();
      return;
    }
    if (ip === undefined) {
      // Gone already.
      socket.on('error', ignore);
      socket.destroy();
      return;
    }
    this.stats.streamsAccepted++;
    this.#countAccepted(formatIp(ip), 1);
    socket.once('close', () => this.#countAccepted(formatIp(ip), -1));
    const stream = new NetStream(socket, { ip, port: socket.remotePort ?? 0 }, this.#idleTimeoutMs);
    this.#track(stream, socket);
    this.#handlers.stream(stream);
  }

  #isHostFull(ip: Uint8Array): boolean {
    if (this.#streamsPerHostMax === undefined && isLoopback(ip)) return false;
    return (this.#acceptedFrom.get(formatIp(ip)) ?? 0) >= (this.#streamsPerHostMax ?? STREAMS_PER_HOST_MAX);
  }

  #countAccepted(host: string, change: 1 | -1): void {
    this.#accepted += change;
    const count = (this.#acceptedFrom.get(host) ?? 0) + change;
    if (count > 0) this.#acceptedFrom.set(host, count);
    else this.#acceptedFrom.delete(host);
  }

  #track(stream: NetStream, socket: Socket): void {
    this.#open.add(stream);
    if (this.#unrefed) stream.setRef(false);
    socket.once('close', () => this.#open.delete(stream));
  }
}

/** A StreamConnection on a socket. Reading starts with onData; until then the other side is held back by TCP itself. */
class NetStream implements StreamConnection {
  readonly remote: Address;
  readonly localIp: Uint8Array | undefined;
  error: Error | undefined;
  readonly #socket: Socket;
  #ended = false;
  #onEnd: ((error: Error | undefined) => void) | undefined;

  constructor(socket: Socket, remote: Address, idleTimeoutMs: number) {
    this.#socket = socket;
    this.remote = remote;
    const local = parseIp(socket.localAddress ?? '');
    this.localIp = local && plainIp(local);
    socket.on('error', (error) => {
      this.error ??= error;
    });
    socket.on('end', () => this.#finish());
    socket.on('close', () => {
      if (!this.#ended) this.error ??= new HearsayError('ERR_STREAM_FAILED', 'the stream was closed');
      this.#finish();
    });
    socket.setTimeout(idleTimeoutMs, () => {
      const text = `no byte from or to ${formatAddress(remote)} within ${idleTimeoutMs} ms`;
      this.error ??= new HearsayError('ERR_STREAM_TIMEOUT', text);
      socket.destroy();
    });
  }

  onData(handler: (chunk: Uint8Array) => void): void {
    // Plain Uint8Arrays: slice() of a Buffer makes no copy, which would surprise whoever keeps one.
    this.#socket.on('data', (chunk) => handler(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)));
  }

  onEnd(handler: (error: Error | undefined) => void): void {
    if (!this.#ended) {
      this.#onEnd = handler;
      // 'end' is only reported to those who read.
      if (this.#socket.listenerCount('data') === 0) this.#socket.resume();
      return;
    }
    queueMicrotask(() => handler(this.error));
  }

  write(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return;
    if (socket.writableLength + bytes.length > STREAM_UNSENT_BYTES_MAX) {
      this.error ??= new HearsayError('ERR_STREAM_FAILED', `${formatAddress(this.remote)} does not read`);
      socket.destroy();
      return;
    }
    // A copy: the socket may keep it for long, and the caller's bytes are those of the engine.
    socket.write(Buffer.from(bytes));
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  setRef(on: boolean): void {
    if (on) this.#socket.ref();
    else this.#socket.unref();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd?.(this.error);
  }
}

function ignore(): void {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
