import { hasNativeClass, nativeClass } from '../kernels/native.ts';

/** The batched UDP socket of the addon, as native/binding/udp.hpp exports it. */
export interface NativeUdpSocket {
  port(): number;
  /** Receives a batch into the ring (udp-layout.ts). Count, or -errno. */
  receive(ring: Uint8Array): number;
  /** failed * 65536 + taken. */
  send(memory: Uint8Array, count: number): number;
  /** Refusals waiting in the error queue, as descriptors. */
  errors(ring: Uint8Array): number;
  /** 1: also report when sending is possible. */
  watch(writable: number): number;
  ref(): void;
  unref(): void;
  kernelDrops(): number;
  close(): void;
}

export type NativeUdpConstructor = new (
  ip: Uint8Array,
  port: number,
  bufferBytes: number,
  onEvents: (bits: number) => void,
) => NativeUdpSocket;

/**
 * The batched socket when this process has it: the addon is built, the system is Linux, and HEARSAY_BACKEND is not `js`.
 */
export function nativeUdp(): NativeUdpConstructor | undefined {
  if (process.env['HEARSAY_BACKEND'] === 'js' || !hasNativeClass('UdpSocket')) return undefined;
  return nativeClass<NativeUdpSocket, ConstructorParameters<NativeUdpConstructor>>('UdpSocket');
}
