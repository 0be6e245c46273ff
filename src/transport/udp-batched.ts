import type { Address } from '../util/address.ts';
import { formatAddress } from '../util/address.ts';
import { peerAddresses } from './address-cache.ts';
import type { NativeUdpConstructor, NativeUdpSocket } from './native.ts';
import {
  bindError,
  DATAGRAM_BYTES_MAX,
  newPacketStats,
  type PacketHandlers,
  type PacketSocket,
  SOCKET_BUFFER_BYTES,
} from './packet-socket.ts';
import { BATCH_PACKETS, DESCRIPTOR, DESCRIPTOR_FLAG, DESCRIPTORS_BYTES, SLOT_BYTES } from './udp-layout.ts';

const EVENT = { readable: 1, writable: 2, refusals: 8, closed: 16, broken: 32 } as const;
/** Receive calls per readiness. More data waits for the next pass of the event loop, so that timers and others get theirs. */
const ROUNDS_PER_READINESS = 8;
/** First size of the send buffer's data part; it grows to what a batch needs. */
const SEND_BYTES_MIN = 16 * 1024;

/**
 * Received datagrams of all sockets of this thread, each batch consumed before the next is received. 4 MiB of address space,
 * of which only touched pages count: a slot takes the largest datagram, most use one page.
 */
let ring: Uint8Array | undefined;
let ringView: DataView;
/** Where the packet that is being handled was sent to. */
const localIp = new Uint8Array(4);

function threadRing(): Uint8Array {
  if (ring === undefined) {
    ring = new Uint8Array(DESCRIPTORS_BYTES + BATCH_PACKETS * SLOT_BYTES);
    ringView = new DataView(ring.buffer);
  }
  return ring;
}

/** UDP through the addon: up to 64 datagrams per crossing and system call, both ways. Linux only. */
export class BatchedSocket implements PacketSocket {
  readonly kind = 'batched';
  readonly stats = newPacketStats();
  readonly #bind: Address;
  readonly #handlers: PacketHandlers;
  readonly #native: NativeUdpConstructor;
  readonly #bufferBytes: number;
  #socket: NativeUdpSocket | undefined;
  #ring: Uint8Array | undefined;
  /** Datagrams that wait for flush(): descriptors, then bytes. */
  #out = new Uint8Array(DESCRIPTORS_BYTES + SEND_BYTES_MIN);
  #outView = new DataView(this.#out.buffer);
  #outCount = 0;
  #outTop = DESCRIPTORS_BYTES;
  /** The system's buffer is full; the loop will say when to go on. */
  #blocked = false;
  #closing: Promise<void> | undefined;
  #resolveClosed: (() => void) | undefined;

  /** `bufferBytes`: wanted size of the system's buffers, more where a socket serves many nodes. */
  constructor(
    bind: Address,
    handlers: PacketHandlers,
    native: NativeUdpConstructor,
    bufferBytes: number = SOCKET_BUFFER_BYTES,
  ) {
    this.#bind = bind;
    this.#bufferBytes = bufferBytes;
    this.#handlers = handlers;
    this.#native = native;
  }

  open(): Promise<Address> {
    const { ip, port } = this.#bind;
    try {
      const socket = new this.#native(ip, port, this.#bufferBytes, (bits) => this.#handleEvents(bits));
      this.#socket = socket;
      this.#ring = threadRing();
      return Promise.resolve({ ip, port: socket.port() });
    } catch (error) {
      this.#closing = Promise.resolve();
      return Promise.reject(bindError('UDP', formatAddress(this.#bind), error));
    }
  }

  send(to: Address, bytes: Uint8Array, sourceIp?: Uint8Array): void {
    if (this.#closing !== undefined || this.#socket === undefined) return;
    if (bytes.length > DATAGRAM_BYTES_MAX || to.port < 1 || to.port > 65535) {
      this.stats.packetsDropped++;
      return;
    }
    if (this.#outCount === BATCH_PACKETS) {
      this.flush();
      if (this.#outCount === BATCH_PACKETS) {
        this.stats.packetsDropped++;
        return;
      }
    }
    if (this.#outTop + bytes.length > this.#out.length) this.#growOut(this.#outTop + bytes.length);
    const at = this.#outCount * DESCRIPTOR.stride;
    const view = this.#outView;
    view.setUint32(at + DESCRIPTOR.offset, this.#outTop, true);
    view.setUint32(at + DESCRIPTOR.length, bytes.length, true);
    view.setUint16(at + DESCRIPTOR.peerPort, to.port, true);
    view.setUint8(at + DESCRIPTOR.peerIpLength, to.ip.length);
    this.#out.set(to.ip, at + DESCRIPTOR.peerIp);
    if (sourceIp !== undefined && sourceIp.length === 4) this.#out.set(sourceIp, at + DESCRIPTOR.localIp);
    else view.setUint32(at + DESCRIPTOR.localIp, 0, true);
    this.#out.set(bytes, this.#outTop);
    this.#outTop += bytes.length;
    this.#outCount++;
  }

  flush(): void {
    const socket = this.#socket;
    if (this.#outCount === 0 || this.#blocked || socket === undefined || this.#closing !== undefined) return;
    const answer = socket.send(this.#out, this.#outCount);
    const taken = answer % 65536;
    const failed = Math.floor(answer / 65536);
    this.stats.packetsSent += taken - failed;
    this.stats.packetsDropped += failed;
    for (let i = 0; i < taken; i++) {
      const at = i * DESCRIPTOR.stride;
      if (failed === 0 || this.#outView.getInt32(at + DESCRIPTOR.result, true) === 0) {
        this.stats.bytesSent += this.#outView.getUint32(at + DESCRIPTOR.length, true);
      }
    }
    const refused = failed === 0 ? [] : this.#refusedReceivers(taken);
    this.#keepRest(taken);
    if (this.#outCount > 0) {
      this.#blocked = true;
      socket.watch(1);
    }
    // Last, because a handler may send.
    for (const to of refused) this.#handlers.unreachable?.(to);
  }

  kernelDrops(): number {
    return this.#socket?.kernelDrops() ?? 0;
  }

  ref(): void {
    this.#socket?.ref();
  }

  unref(): void {
    this.#socket?.unref();
  }

  close(): Promise<void> {
    if (this.#closing !== undefined) return this.#closing;
    this.flush();
    const socket = this.#socket;
    this.#closing =
      socket === undefined
        ? Promise.resolve()
        : new Promise((resolve) => {
            this.#resolveClosed = resolve;
            // An unreferenced socket must not let the process end before it has reported that it is closed.
            socket.ref();
            socket.close();
          });
    return this.#closing;
  }

  #handleEvents(bits: number): void {
    if ((bits & EVENT.closed) !== 0) {
      this.#socket = undefined;
      this.#resolveClosed?.();
      return;
    }
    if (this.#closing !== undefined) return;
    if ((bits & EVENT.broken) !== 0) {
      this.#handlers.error(new Error('the UDP socket cannot be polled any more'));
      return;
    }
    if ((bits & EVENT.refusals) !== 0) this.#drainRefusals();
    if ((bits & EVENT.writable) !== 0 && this.#blocked) {
      this.#blocked = false;
      this.flush();
      if (!this.#blocked) this.#socket?.watch(0);
    }
    if ((bits & EVENT.readable) !== 0) this.#drain();
  }

  #drain(): void {
    for (let round = 0; round < ROUNDS_PER_READINESS; round++) {
      if (this.#closing !== undefined) return;
      const memory = this.#ring as Uint8Array;
      const count = (this.#socket as NativeUdpSocket).receive(memory);
      if (count < 0) {
        this.#handlers.error(new Error(`receiving failed: errno ${-count}`));
        return;
      }
      if (count === 0) return;
      for (let i = 0; i < count; i++) {
        this.#deliver(memory, i * DESCRIPTOR.stride);
        if (this.#closing !== undefined) return;
      }
      this.#handlers.turn();
      if (count < BATCH_PACKETS) return;
    }
  }

  #deliver(memory: Uint8Array, at: number): void {
    const offset = ringView.getUint32(at + DESCRIPTOR.offset, true);
    const length = ringView.getUint32(at + DESCRIPTOR.length, true);
    const from = this.#peer(memory, at);
    if (from === undefined) return;
    this.stats.packetsReceived++;
    this.stats.bytesReceived += length;
    const localKnown = (ringView.getUint8(at + DESCRIPTOR.flags) & DESCRIPTOR_FLAG.localKnown) !== 0;
    if (localKnown) for (let i = 0; i < 4; i++) localIp[i] = memory[at + DESCRIPTOR.localIp + i] as number;
    this.#handlers.packet(from, memory.subarray(offset, offset + length), localKnown ? localIp : undefined);
  }

  #drainRefusals(): void {
    const memory = this.#ring as Uint8Array;
    const count = (this.#socket as NativeUdpSocket).errors(memory);
    const refused: Address[] = [];
    for (let i = 0; i < count; i++) {
      const to = this.#peer(memory, i * DESCRIPTOR.stride);
      if (to !== undefined) refused.push(to);
    }
    for (const to of refused) this.#handlers.unreachable?.(to);
  }

  #peer(memory: Uint8Array, at: number): Address | undefined {
    const view = memory === this.#out ? this.#outView : ringView;
    const port = view.getUint16(at + DESCRIPTOR.peerPort, true);
    if (view.getUint8(at + DESCRIPTOR.peerIpLength) === 4) {
      return peerAddresses.fromV4(memory, at + DESCRIPTOR.peerIp, port);
    }
    return peerAddresses.fromV6(memory, at + DESCRIPTOR.peerIp, port);
  }

  #refusedReceivers(taken: number): Address[] {
    const refused: Address[] = [];
    for (let i = 0; i < taken; i++) {
      const at = i * DESCRIPTOR.stride;
      const failed = this.#outView.getInt32(at + DESCRIPTOR.result, true) < 0;
      const byReceiver = (this.#outView.getUint8(at + DESCRIPTOR.flags) & DESCRIPTOR_FLAG.unreachable) !== 0;
      const to = failed && byReceiver ? this.#peer(this.#out, at) : undefined;
      if (to !== undefined) refused.push(to);
    }
    return refused;
  }

  /** Moves what the system did not take, descriptors and bytes, to the front. */
  #keepRest(taken: number): void {
    const rest = this.#outCount - taken;
    this.#outCount = rest;
    if (rest === 0) {
      this.#outTop = DESCRIPTORS_BYTES;
      return;
    }
    this.#out.copyWithin(0, taken * DESCRIPTOR.stride, (taken + rest) * DESCRIPTOR.stride);
    const shift = this.#outView.getUint32(DESCRIPTOR.offset, true) - DESCRIPTORS_BYTES;
    this.#out.copyWithin(DESCRIPTORS_BYTES, DESCRIPTORS_BYTES + shift, this.#outTop);
    this.#outTop -= shift;
    for (let i = 0; i < rest; i++) {
      const at = i * DESCRIPTOR.stride + DESCRIPTOR.offset;
      this.#outView.setUint32(at, this.#outView.getUint32(at, true) - shift, true);
    }
  }

  #growOut(needed: number): void {
    // At most one batch of the largest datagrams: 4 MiB, doubled.
    let length = this.#out.length;
    while (length < needed) length *= 2;
    const bigger = new Uint8Array(length);
    bigger.set(this.#out.subarray(0, this.#outTop));
    this.#out = bigger;
    this.#outView = new DataView(bigger.buffer);
  }
}
