import type { Arena, PacketCodec } from '../contract.ts';
import { CODEC, HEADER, KERNEL_ID, PACKET, RECORD } from '../layout.ts';
import { allocateArena, checkArenaEnd, checkArenaHeader, checkCount, writeArenaHeader } from './header.ts';

/** Capacities of a packet codec. All are fixed until the arena is grown. */
export interface PacketCodecOptions {
  /** Datagrams per index() call. */
  readonly packetCapacity: number;
  /** Messages per index() call, or node states per indexState() call. */
  readonly recordCapacity: number;
  /** Bytes of datagrams, or of one push/pull body. */
  readonly inboxBytes: number;
  /** Bytes for decompressed datagrams and byte fields written as lists. */
  readonly scratchBytes: number;
  /** Whether other threads may read the arena. Default false. */
  readonly shared?: boolean;
}

/** Where the sections of a codec arena lie. Offsets are absolute. */
export interface PacketCodecSections {
  readonly packetCapacity: number;
  readonly recordCapacity: number;
  readonly packetsOffset: number;
  readonly recordsOffset: number;
  readonly inboxOffset: number;
  readonly inboxBytes: number;
  readonly scratchOffset: number;
  readonly scratchBytes: number;
  readonly byteLength: number;
}

/** A codec for push/pull bodies starts small and is grown to the body at hand. */
export const STATE_CODEC_SIZES = {
  packetCapacity: 0,
  recordCapacity: 128,
  inboxBytes: 16 * 1024,
  scratchBytes: 4 * 1024,
} as const;
/** What such a codec may keep between two bodies: enough for those of most clusters. */
const STATE_CODEC_BYTES_MAX = 4 * 1024 * 1024;

/** Offsets are u32 and i32 results carry relative ones, so an arena stays below 2 GiB. */
const ARENA_BYTES_MAX = 0x7fffffff;

function sectionsOf(
  packetCapacity: number,
  recordCapacity: number,
  inboxBytes: number,
  scratchBytes: number,
): PacketCodecSections {
  const packetsOffset = CODEC.packetsOffset;
  // Plain arithmetic instead of align8: sizes read from a damaged header may be beyond 31 bits.
  const recordsOffset = packetsOffset + packetCapacity * PACKET.stride;
  const inboxOffset = recordsOffset + recordCapacity * RECORD.stride;
  const scratchOffset = Math.ceil((inboxOffset + inboxBytes) / 8) * 8;
  const byteLength = Math.ceil((scratchOffset + scratchBytes) / 8) * 8;
  return {
    packetCapacity,
    recordCapacity,
    packetsOffset,
    recordsOffset,
    inboxOffset,
    inboxBytes,
    scratchOffset,
    scratchBytes,
    byteLength,
  };
}

/** A fresh arena. Throws ERR_ARGUMENT_INVALID when a size is no non-negative integer or the sum reaches 2 GiB. */
export function createPacketCodecArena(options: PacketCodecOptions): Arena {
  const { packetCapacity, recordCapacity, inboxBytes, scratchBytes } = options;
  checkCount('packetCapacity', packetCapacity, 0, ARENA_BYTES_MAX);
  checkCount('recordCapacity', recordCapacity, 0, ARENA_BYTES_MAX);
  checkCount('inboxBytes', inboxBytes, 0, ARENA_BYTES_MAX);
  checkCount('scratchBytes', scratchBytes, 0, ARENA_BYTES_MAX);
  const { byteLength } = sectionsOf(packetCapacity, recordCapacity, inboxBytes, scratchBytes);
  checkCount('bytes of the packet codec arena', byteLength, 0, ARENA_BYTES_MAX);
  const arena = allocateArena(byteLength, options.shared === true);
  writeArenaHeader(arena, KERNEL_ID.packetCodec, packetCapacity);
  const u32 = new Uint32Array(arena, 0, CODEC.packetsOffset >>> 2);
  u32[CODEC.recordCapacity >>> 2] = recordCapacity;
  u32[CODEC.inboxBytes >>> 2] = inboxBytes;
  u32[CODEC.scratchBytes >>> 2] = scratchBytes;
  return arena;
}

/** Sections of an existing arena; throws ERR_ARENA_INVALID when it is none of a packet codec or too short. */
export function packetCodecSections(arena: Arena): PacketCodecSections {
  checkArenaHeader(arena, KERNEL_ID.packetCodec, 'packet codec');
  checkArenaEnd(arena, CODEC.packetsOffset, 'packet codec');
  const u32 = new Uint32Array(arena, 0, CODEC.packetsOffset >>> 2);
  const word = (offset: number): number => u32[offset >>> 2] as number;
  const sections = sectionsOf(
    word(HEADER.capacity),
    word(CODEC.recordCapacity),
    word(CODEC.inboxBytes),
    word(CODEC.scratchBytes),
  );
  checkArenaEnd(arena, sections.byteLength, 'packet codec');
  return sections;
}

/**
 * A bigger arena with the content of `arena` that a driver wrote: inbox and packet descriptors. Records and scratch start
 * empty, because the caller grows in order to index again. Sizes left out, or smaller than now, stay as they are.
 */
export function grownPacketCodecArena(arena: Arena, wanted: Partial<PacketCodecOptions>): Arena {
  const old = packetCodecSections(arena);
  const larger = createPacketCodecArena({
    packetCapacity: Math.max(old.packetCapacity, wanted.packetCapacity ?? 0),
    recordCapacity: Math.max(old.recordCapacity, wanted.recordCapacity ?? 0),
    inboxBytes: Math.max(old.inboxBytes, wanted.inboxBytes ?? 0),
    scratchBytes: Math.max(old.scratchBytes, wanted.scratchBytes ?? 0),
    shared: wanted.shared ?? arena instanceof SharedArrayBuffer,
  });
  const now = packetCodecSections(larger);
  const from = new Uint8Array(arena);
  const to = new Uint8Array(larger);
  to.set(from.subarray(old.inboxOffset, old.inboxOffset + old.inboxBytes), now.inboxOffset);
  to.set(from.subarray(old.packetsOffset, old.recordsOffset), now.packetsOffset);
  const fromWords = new Uint32Array(arena);
  const toWords = new Uint32Array(larger);
  for (const field of [CODEC.packetCount, CODEC.inboxTop]) toWords[field >>> 2] = fromWords[field >>> 2] as number;
  for (let i = 0; i < old.packetCapacity; i++) {
    const packet = now.packetsOffset + i * PACKET.stride;
    const offset = toWords[(packet + PACKET.offset) >>> 2] as number;
    // Unused descriptors hold 0; results of an earlier index() no longer hold.
    if (offset !== 0) toWords[(packet + PACKET.offset) >>> 2] = offset - old.inboxOffset + now.inboxOffset;
    toWords[(packet + PACKET.result) >>> 2] = 0;
    toWords[(packet + PACKET.firstRecord) >>> 2] = 0;
    toWords[(packet + PACKET.recordCount) >>> 2] = 0;
  }
  return larger;
}

/** Call when a body is done: a codec for bodies that one very large body made grow goes back to its first size. */
export function settleStateCodec(codec: PacketCodec): void {
  if (codec.arena.byteLength <= STATE_CODEC_BYTES_MAX) return;
  codec.rehome(createPacketCodecArena({ ...STATE_CODEC_SIZES, shared: codec.arena instanceof SharedArrayBuffer }));
}
