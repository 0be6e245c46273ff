import { checkCount } from '../arenas/header.ts';
import { type PacketCodecSections, packetCodecSections } from '../arenas/packet-codec.ts';
import type { Arena, PacketCodec } from '../contract.ts';
import { type KernelHandle, NativeKernel } from './native-kernel.ts';

interface PacketCodecHandle extends KernelHandle {
  index(count: number): number;
  indexState(from: number, nodes: number): number;
  decompress(source: Uint8Array, out: Uint8Array): number;
  compress(source: Uint8Array, out: Uint8Array): number;
}

/** The C++ engine of the packet codec; native/kernels/packet_codec.hpp does the work. */
export class NativePacketCodec extends NativeKernel<PacketCodecHandle, PacketCodecSections> implements PacketCodec {
  /** Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createPacketCodecArena. */
  constructor(arena: Arena) {
    super('PacketCodec', packetCodecSections, arena);
  }

  get packetCapacity(): number {
    return this.sections.packetCapacity;
  }
  get recordCapacity(): number {
    return this.sections.recordCapacity;
  }
  get inboxOffset(): number {
    return this.sections.inboxOffset;
  }
  get inboxBytes(): number {
    return this.sections.inboxBytes;
  }
  get packetsOffset(): number {
    return this.sections.packetsOffset;
  }
  get recordsOffset(): number {
    return this.sections.recordsOffset;
  }

  index(count: number): number {
    checkCount('count', count, 0, this.sections.packetCapacity);
    return this.handle.index(count);
  }

  indexState(from: number, nodes: number): number {
    checkCount('from', from, 0, this.sections.inboxBytes);
    checkCount('nodes', nodes, 0, 0xffffffff);
    return this.handle.indexState(from, nodes);
  }

  decompress(source: Uint8Array, out: Uint8Array): number {
    return this.handle.decompress(source, out);
  }

  compress(source: Uint8Array, out: Uint8Array): number {
    return this.handle.compress(source, out);
  }
}
