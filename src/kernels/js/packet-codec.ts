import { crc32 } from '../../wire/crc.ts';
import { lzwCompress, lzwDecompress } from '../../wire/lzw.ts';
import { checkCount } from '../arenas/header.ts';
import { type PacketCodecSections, packetCodecSections } from '../arenas/packet-codec.ts';
import { type Arena, MESSAGE, NESTING_MAX, type PacketCodec, REJECT } from '../contract.ts';
import { CODEC, PACKET, RECORD, RECORD_FLAG } from '../layout.ts';
import { RecordDecoder } from './record-decoder.ts';

/**
 * The twin of native/kernels/packet_codec.hpp, and its specification.
 *
 * Between calls everything behind the used records and the used scratch is zero. index() and indexState() begin by zeroing
 * what the last call used; a rejected datagram zeroes what it used itself, so its successors find clean memory.
 */
export class JsPacketCodec implements PacketCodec {
  readonly backend = 'js';
  arena!: Arena;
  u8!: Uint8Array;
  u32!: Uint32Array;
  private sections!: PacketCodecSections;
  private decoder!: RecordDecoder;

  private recordCount = 0;
  private skippedParts = 0;
  /** Index of the datagram at work. */
  private packet = 0;

  /** Throws ERR_ARENA_INVALID when `arena` is none of createPacketCodecArena. */
  constructor(arena: Arena) {
    this.rehome(arena);
  }

  rehome(arena: Arena): void {
    this.sections = packetCodecSections(arena);
    this.arena = arena;
    this.u8 = new Uint8Array(arena);
    this.u32 = new Uint32Array(arena);
    this.decoder = new RecordDecoder(this.u8, this.u32, this.sections.scratchOffset + this.sections.scratchBytes);
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
    this.begin();
    const { u32, decoder } = this;
    for (let i = 0; i < count; i++) {
      this.packet = i;
      const firstRecord = this.recordCount;
      const firstScratch = decoder.scratchTop;
      const firstSkipped = this.skippedParts;
      const at = this.sections.packetsOffset + i * PACKET.stride;
      const code = this.open(u32[(at + PACKET.offset) >>> 2] as number, u32[(at + PACKET.length) >>> 2] as number);
      if (code !== REJECT.none) {
        this.takeBack(firstRecord, firstScratch);
        this.skippedParts = firstSkipped;
      }
      u32[(at + PACKET.result) >>> 2] = -code;
      u32[(at + PACKET.firstRecord) >>> 2] = firstRecord;
      u32[(at + PACKET.recordCount) >>> 2] = this.recordCount - firstRecord;
    }
    return this.finish();
  }

  indexState(from: number, nodes: number): number {
    const { inboxOffset, inboxBytes, scratchOffset, recordCapacity } = this.sections;
    checkCount('from', from, 0, inboxBytes);
    checkCount('nodes', nodes, 0, 0xffffffff);
    this.begin();
    this.packet = 0;
    const top = Math.min(this.u32[CODEC.inboxTop >>> 2] as number, inboxBytes);
    let code: number = REJECT.none;
    if (nodes > recordCapacity) code = REJECT.oversized;
    else if (from > top) code = REJECT.truncated;
    const end = inboxOffset + top;
    let at = inboxOffset + from;
    for (let i = 0; i < nodes && code === REJECT.none; i++) {
      code = this.addRecord(MESSAGE.pushPull, at, end);
      at = this.decoder.pos;
      const record = this.sections.recordsOffset + i * RECORD.stride;
      if (code === REJECT.none && this.u8[record + RECORD.flags] === RECORD_FLAG.refused) this.skippedParts++;
    }
    if (code !== REJECT.none) this.takeBack(0, scratchOffset);
    this.finish();
    return code === REJECT.none ? at - inboxOffset : -code;
  }

  decompress(source: Uint8Array, out: Uint8Array): number {
    return lzwDecompress(source, out);
  }

  compress(source: Uint8Array, out: Uint8Array): number {
    const length = lzwCompress(source, out);
    return length < out.length ? length : -1;
  }

  /** Zeroes what the last call used. */
  private begin(): void {
    const { u8, u32 } = this;
    const { recordsOffset, recordCapacity, scratchOffset, scratchBytes } = this.sections;
    const records = Math.min(u32[CODEC.recordCount >>> 2] as number, recordCapacity);
    u8.fill(0, recordsOffset, recordsOffset + records * RECORD.stride);
    const used = Math.min(u32[CODEC.scratchTop >>> 2] as number, scratchBytes);
    u8.fill(0, scratchOffset, scratchOffset + used);
    this.recordCount = 0;
    this.skippedParts = 0;
    this.decoder.scratchTop = scratchOffset;
  }

  private finish(): number {
    const { u32 } = this;
    u32[CODEC.recordCount >>> 2] = this.recordCount;
    u32[CODEC.scratchTop >>> 2] = this.decoder.scratchTop - this.sections.scratchOffset;
    u32[CODEC.skippedParts >>> 2] = this.skippedParts;
    return this.recordCount;
  }

  private takeBack(firstRecord: number, firstScratch: number): void {
    const { u8, decoder } = this;
    const { recordsOffset } = this.sections;
    u8.fill(0, recordsOffset + firstRecord * RECORD.stride, recordsOffset + this.recordCount * RECORD.stride);
    u8.fill(0, firstScratch, decoder.scratchTop);
    this.recordCount = firstRecord;
    decoder.scratchTop = firstScratch;
  }

  /** One datagram: the outermost layer, then dispatch. */
  private open(offset: number, length: number): number {
    const { inboxOffset, inboxBytes } = this.sections;
    if (length === 0) return REJECT.empty;
    const end = offset + length;
    if (offset < inboxOffset || end > inboxOffset + inboxBytes) return REJECT.truncated;
    const { u8 } = this;
    if (length < 5 || u8[offset] !== MESSAGE.hasCrc) return this.dispatch(offset, end, 0, false);
    const expected =
      (((u8[offset + 1] as number) << 24) |
        ((u8[offset + 2] as number) << 16) |
        ((u8[offset + 3] as number) << 8) |
        (u8[offset + 4] as number)) >>>
      0;
    if (crc32(u8, offset + 5, end) !== expected) return REJECT.crcMismatch;
    return this.dispatch(offset + 5, end, 0, false);
  }

  /** One message with its type byte, at [at, end). `depth` counts the compounds and compressions around it. */
  private dispatch(at: number, end: number, depth: number, inCompound: boolean): number {
    if (at >= end) return REJECT.empty;
    const kind = this.u8[at] as number;
    switch (kind) {
      case MESSAGE.ping:
      case MESSAGE.indirectPing:
      case MESSAGE.ack:
      case MESSAGE.suspect:
      case MESSAGE.alive:
      case MESSAGE.dead:
      case MESSAGE.nack:
        return this.addRecord(kind, at + 1, end);
      case MESSAGE.user:
      case MESSAGE.rumor:
      case MESSAGE.average:
      case MESSAGE.state:
        return this.addData(kind, at + 1, end);
      case MESSAGE.compound:
        return depth === NESTING_MAX ? REJECT.nestedTooDeep : this.openCompound(at + 1, end, depth + 1);
      case MESSAGE.compress:
        return depth === NESTING_MAX ? REJECT.nestedTooDeep : this.openCompress(at + 1, end, depth + 1, inCompound);
      default:
        if (!inCompound) return REJECT.unknownType;
        this.skippedParts++;
        return REJECT.none;
    }
  }

  private openCompound(at: number, end: number, depth: number): number {
    const { u8 } = this;
    if (at >= end) return REJECT.truncated;
    const count = u8[at] as number;
    let part = at + 1 + 2 * count;
    if (part > end) return REJECT.truncated;
    for (let i = 0; i < count; i++) {
      const entry = at + 1 + 2 * i;
      const length = ((u8[entry] as number) << 8) | (u8[entry + 1] as number);
      if (length > end - part) return REJECT.truncated;
      const code = this.dispatch(part, part + length, depth, true);
      if (code !== REJECT.none) return code;
      part += length;
    }
    return REJECT.none;
  }

  private openCompress(at: number, end: number, depth: number, inCompound: boolean): number {
    const { u8, decoder } = this;
    const code = decoder.decode(MESSAGE.compress, at, end, 0);
    if (code !== REJECT.none) return code;
    if (decoder.algo !== 0) return REJECT.fieldInvalid;
    const start = decoder.scratchTop;
    const room = u8.subarray(start, this.sections.scratchOffset + this.sections.scratchBytes);
    const length = lzwDecompress(u8.subarray(decoder.bufOffset, decoder.bufOffset + decoder.bufLength), room);
    if (length < 0) {
      // How much was written is unknown here, but each code has at least 9 bits and adds a byte to the longest string.
      const codes = Math.ceil((8 * decoder.bufLength) / 9);
      room.fill(0, 0, Math.min(room.length, (codes * (codes + 1)) / 2));
      return -length;
    }
    decoder.scratchTop = start + length;
    return this.dispatch(start, start + length, depth, inCompound);
  }

  private addRecord(kind: number, at: number, end: number): number {
    const { recordsOffset, recordCapacity } = this.sections;
    if (this.recordCount === recordCapacity) return REJECT.oversized;
    const record = recordsOffset + this.recordCount * RECORD.stride;
    this.recordCount++;
    this.u8[record + RECORD.kind] = kind;
    this.u32[(record + RECORD.packet) >>> 2] = this.packet;
    return this.decoder.decode(kind, at, end, record);
  }

  private addData(kind: number, at: number, end: number): number {
    const { recordsOffset, recordCapacity } = this.sections;
    if (this.recordCount === recordCapacity) return REJECT.oversized;
    const record = recordsOffset + this.recordCount * RECORD.stride;
    this.recordCount++;
    this.u8[record + RECORD.kind] = kind;
    this.u32[(record + RECORD.packet) >>> 2] = this.packet;
    this.u32[(record + RECORD.dataOffset) >>> 2] = at === end ? 0 : at;
    this.u32[(record + RECORD.dataLength) >>> 2] = end - at;
    return REJECT.none;
  }
}
