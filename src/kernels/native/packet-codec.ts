import { checkCount } from '../arenas/header.ts';
import { type PacketCodecSections, packetCodecSections } from '../arenas/packet-codec.ts';
import type { Arena, PacketCodec } from '../contract.ts';
import { lend, nativeClass } from '../native.ts';

interface PacketCodecHandle {
  rehome(arena: Uint8Array): void;
  index(count: number): number;
  indexState(from: number, nodes: number): number;
  decompress(source: Uint8Array, out: Uint8Array): number;
  compress(source: Uint8Array, out: Uint8Array): number;
}

/** The C++ engine of the packet codec; native/kernels/packet_codec.hpp does the work. */
export class NativePacketCodec implements PacketCodec {
  readonly backend = 'native';
  arena: Arena;
  u8: Uint8Array;
  u32: Uint32Array;
  private sections: PacketCodecSections;
  private readonly handle: PacketCodecHandle;

  /**
   * Throws ERR_BACKEND_UNAVAILABLE when there is no addon, ERR_ARENA_INVALID when `arena` is none of createPacketCodecArena.
   */
  constructor(arena: Arena) {
    const Handle = nativeClass<PacketCodecHandle, [Uint8Array]>('PacketCodec');
    this.sections = packetCodecSections(arena);
    this.arena = arena;
    this.u8 = lend(arena);
    this.u32 = new Uint32Array(arena);
    this.handle = new Handle(this.u8);
  }

  rehome(arena: Arena): void {
    const sections = packetCodecSections(arena);
    const u8 = lend(arena);
    this.handle.rehome(u8);
    this.sections = sections;
    this.arena = arena;
    this.u8 = u8;
    this.u32 = new Uint32Array(arena);
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
