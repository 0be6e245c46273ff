import { bytesOf } from '../../util/bytes.ts';
import { MsgpackReader, STRUCT } from '../../wire/msgpack.ts';
import { EXT_KEY, MESSAGE, META_BYTES_MAX, NAME_BYTES_MAX, REJECT, STATUS, STATUS_UNKNOWN } from '../contract.ts';
import { RECORD, RECORD_FLAG } from '../layout.ts';

/**
 * Reads one msgpack body (protocol §4.2) into one record of the codec's arena. `native/kernels/record_decoder.hpp` is the
 * other half: both fail at the same byte with the same code.
 */

const FIELD = {
  unknown: 0,
  node: 1,
  name: 2,
  seqNo: 3,
  incarnation: 4,
  from: 5,
  sourceNode: 6,
  sourceAddr: 7,
  sourcePort: 8,
  addr: 9,
  target: 10,
  port: 11,
  meta: 12,
  payload: 13,
  vsn: 14,
  state: 15,
  nack: 16,
  ext: 17,
  algo: 18,
  buf: 19,
} as const;

/** Fields of each kind in declaration order, which the list form of a struct follows (§3.2). */
const ORDER: (readonly number[] | undefined)[] = [];
const SUSPICION = [FIELD.incarnation, FIELD.node, FIELD.from];
ORDER[MESSAGE.ping] = [FIELD.seqNo, FIELD.node, FIELD.sourceAddr, FIELD.sourcePort, FIELD.sourceNode];
ORDER[MESSAGE.indirectPing] = [
  FIELD.seqNo,
  FIELD.target,
  FIELD.port,
  FIELD.node,
  FIELD.nack,
  FIELD.sourceAddr,
  FIELD.sourcePort,
  FIELD.sourceNode,
];
ORDER[MESSAGE.ack] = [FIELD.seqNo, FIELD.payload];
ORDER[MESSAGE.suspect] = SUSPICION;
ORDER[MESSAGE.alive] = [FIELD.incarnation, FIELD.node, FIELD.addr, FIELD.port, FIELD.meta, FIELD.vsn];
ORDER[MESSAGE.dead] = SUSPICION;
// The kind of a node state is the type byte of the message that carries it.
ORDER[MESSAGE.pushPull] = [FIELD.name, FIELD.addr, FIELD.port, FIELD.meta, FIELD.incarnation, FIELD.state, FIELD.vsn];
ORDER[MESSAGE.compress] = [FIELD.algo, FIELD.buf];
ORDER[MESSAGE.nack] = [FIELD.seqNo];

const KINDS = MESSAGE.nack + 1;
/** Bit f of FIELDS_OF[kind]: the kind has field f. The extension word belongs to all kinds but compress. */
const FIELDS_OF = new Uint32Array(KINDS);
for (let kind = 0; kind < KINDS; kind++) {
  const order = ORDER[kind];
  if (!order) continue;
  let mask = kind === MESSAGE.compress ? 0 : 1 << FIELD.ext;
  for (const field of order) mask |= 1 << field;
  FIELDS_OF[kind] = mask;
}

/** A key of four letters as one big-endian word. */
function word(key: string): number {
  const bytes = bytesOf(key);
  return (
    ((bytes[0] as number) << 24) | ((bytes[1] as number) << 16) | ((bytes[2] as number) << 8) | (bytes[3] as number)
  );
}
const NODE = word('Node');
const NAME = word('Name');
const FROM = word('From');
const ADDR = word('Addr');
const PORT = word('Port');
const META = word('Meta');
const NACK = word('Nack');
const ALGO = word('Algo');
const KEY_EXT = bytesOf(EXT_KEY);
const KEY_VSN = bytesOf('Vsn');
const KEY_BUF = bytesOf('Buf');
const KEY_SEQ_NO = bytesOf('SeqNo');
const KEY_STATE = bytesOf('State');
const KEY_TARGET = bytesOf('Target');
const KEY_PAYLOAD = bytesOf('Payload');
const KEY_SOURCE_ADDR = bytesOf('SourceAddr');
const KEY_SOURCE_PORT = bytesOf('SourcePort');
const KEY_SOURCE_NODE = bytesOf('SourceNode');
const KEY_INCARNATION = bytesOf('Incarnation');

const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;
const VSN_BYTES = 6;

export class RecordDecoder {
  /** Absolute end of the used scratch; byte fields written as lists are unpacked there. */
  scratchTop = 0;
  /** Where the last body ended. */
  pos = 0;
  /** After a compress body: Algo, and where its Buf lies. */
  algo = 0;
  bufOffset = 0;
  bufLength = 0;

  private u8: Uint8Array;
  private u32: Uint32Array;
  private scratchEnd = 0;
  private readonly reader = new MsgpackReader();

  constructor(u8: Uint8Array, u32: Uint32Array, scratchEnd: number) {
    this.u8 = u8;
    this.u32 = u32;
    this.scratchEnd = scratchEnd;
  }

  /**
   * Reads the body of a message of `kind` at [at, end) into the zeroed record at `record` (absolute offset), kind and packet
   * number aside. Answers 0 or a REJECT code; then the record holds garbage.
   */
  decode(kind: number, at: number, end: number, record: number): number {
    this.algo = 0;
    this.bufOffset = 0;
    this.bufLength = 0;
    const { reader } = this;
    reader.reset(this.u8, at, end);
    if (!reader.openStruct()) return reader.status;
    const { entries } = reader;
    if (reader.structKind === STRUCT.map) {
      const fields = FIELDS_OF[kind] as number;
      for (let i = 0; i < entries; i++) {
        const field = this.readKey();
        if ((fields >>> field) & 1) this.readField(field, record);
        else reader.skip();
        if (reader.status !== REJECT.none) return reader.status;
      }
    } else {
      const order = ORDER[kind] as readonly number[];
      for (let i = 0; i < entries; i++) {
        if (i < order.length) this.readField(order[i] as number, record);
        else reader.skip();
        if (reader.status !== REJECT.none) return reader.status;
      }
    }
    this.pos = reader.pos;
    return this.check(kind, record);
  }

  /** The field that the next map key names. */
  private readKey(): number {
    const { reader } = this;
    const at = reader.pos;
    // Keys are short and their form is the raw one; the reader does the others.
    const head = at < reader.end ? (this.u8[at] as number) : 0;
    const next = at + 1 + (head & 31);
    if ((head & 0xe0) === 0xa0 && next <= reader.end) {
      reader.pos = next;
      return this.fieldAt(at + 1, head & 31);
    }
    reader.readText();
    return this.fieldAt(reader.start, reader.length);
  }

  /** Which field a key of `length` bytes at `at` names. */
  private fieldAt(at: number, length: number): number {
    const { u8 } = this;
    switch (length) {
      case 2:
        return this.keyIs(KEY_EXT, at, FIELD.ext);
      case 3:
        return u8[at] === KEY_VSN[0] ? this.keyIs(KEY_VSN, at, FIELD.vsn) : this.keyIs(KEY_BUF, at, FIELD.buf);
      case 4: {
        const key =
          ((u8[at] as number) << 24) |
          ((u8[at + 1] as number) << 16) |
          ((u8[at + 2] as number) << 8) |
          (u8[at + 3] as number);
        switch (key) {
          case NODE:
            return FIELD.node;
          case NAME:
            return FIELD.name;
          case FROM:
            return FIELD.from;
          case ADDR:
            return FIELD.addr;
          case PORT:
            return FIELD.port;
          case META:
            return FIELD.meta;
          case NACK:
            return FIELD.nack;
          case ALGO:
            return FIELD.algo;
          default:
            return FIELD.unknown;
        }
      }
      case 5:
        return u8[at + 1] === KEY_SEQ_NO[1]
          ? this.keyIs(KEY_SEQ_NO, at, FIELD.seqNo)
          : this.keyIs(KEY_STATE, at, FIELD.state);
      case 6:
        return this.keyIs(KEY_TARGET, at, FIELD.target);
      case 7:
        return this.keyIs(KEY_PAYLOAD, at, FIELD.payload);
      case 10:
        if (u8[at + 6] === KEY_SOURCE_ADDR[6]) return this.keyIs(KEY_SOURCE_ADDR, at, FIELD.sourceAddr);
        return u8[at + 6] === KEY_SOURCE_PORT[6]
          ? this.keyIs(KEY_SOURCE_PORT, at, FIELD.sourcePort)
          : this.keyIs(KEY_SOURCE_NODE, at, FIELD.sourceNode);
      case 11:
        return this.keyIs(KEY_INCARNATION, at, FIELD.incarnation);
      default:
        return FIELD.unknown;
    }
  }

  private keyIs(key: Uint8Array, at: number, field: number): number {
    const { u8 } = this;
    for (let i = 0; i < key.length; i++) if (u8[at + i] !== key[i]) return FIELD.unknown;
    return field;
  }

  private readField(field: number, record: number): void {
    const { reader, u8, u32 } = this;
    switch (field) {
      case FIELD.node:
      case FIELD.name:
        this.readText(record + RECORD.nameOffset);
        break;
      case FIELD.from:
      case FIELD.sourceNode:
        this.readText(record + RECORD.fromOffset);
        break;
      case FIELD.seqNo:
      case FIELD.incarnation:
        u32[(record + RECORD.number) >>> 2] = this.readUint(U32_MAX);
        break;
      case FIELD.addr:
      case FIELD.target:
        this.readBytes(record + RECORD.ipOffset);
        break;
      case FIELD.port:
        this.setU16(record + RECORD.port, this.readUint(U16_MAX));
        break;
      case FIELD.sourcePort:
        this.setU16(record + RECORD.sourcePort, this.readUint(U16_MAX));
        break;
      case FIELD.sourceAddr:
        this.readSourceAddr(record);
        break;
      case FIELD.meta:
      case FIELD.payload:
        this.readBytes(record + RECORD.dataOffset);
        break;
      case FIELD.vsn:
        this.readVsn(record);
        break;
      case FIELD.state: {
        const state = reader.readMachineInt();
        u8[record + RECORD.status] = state >= STATUS.alive && state <= STATUS.left ? state : STATUS_UNKNOWN;
        break;
      }
      case FIELD.nack:
        u8[record + RECORD.nack] = reader.readBool() ? 1 : 0;
        break;
      case FIELD.ext:
        u32[(record + RECORD.ext) >>> 2] = this.readUint(U32_MAX);
        break;
      case FIELD.algo:
        this.algo = reader.readUint(255);
        break;
      default:
        // FIELD.buf
        if (this.takeBytes()) {
          this.bufOffset = this.spanOffset;
          this.bufLength = reader.length;
        }
    }
  }

  /** Offset of the bytes that takeBytes found; their length is reader.length. */
  private spanOffset = 0;

  /** Reads a byte field; one written as a list is unpacked into scratch. */
  private takeBytes(): boolean {
    const { reader } = this;
    const listed = this.isList(reader.pos, reader.end);
    if (!reader.readBytes()) return false;
    this.spanOffset = reader.start;
    if (!listed) return true;
    if (reader.length > this.scratchEnd - this.scratchTop) {
      reader.fail(REJECT.oversized);
      return false;
    }
    reader.copyBytes(this.u8, this.scratchTop);
    this.spanOffset = this.scratchTop;
    this.scratchTop += reader.length;
    return true;
  }

  private isList(at: number, end: number): boolean {
    if (at >= end) return false;
    const head = this.u8[at] as number;
    return (head >= 0x90 && head <= 0x9f) || head === 0xdc || head === 0xdd;
  }

  private readText(span: number): void {
    if (this.takeShortRaw(span)) return;
    if (this.reader.readText()) this.setSpan(span, this.reader.start, this.reader.length);
  }

  private readBytes(span: number): void {
    if (this.takeShortRaw(span)) return;
    if (this.takeBytes()) this.setSpan(span, this.spanOffset, this.reader.length);
  }

  /** The usual form of names, addresses and short metadata, without the detour through the reader. */
  private takeShortRaw(span: number): boolean {
    const { reader } = this;
    const at = reader.pos;
    const head = at < reader.end ? (this.u8[at] as number) : 0;
    const next = at + 1 + (head & 31);
    if ((head & 0xe0) !== 0xa0 || next > reader.end) return false;
    reader.pos = next;
    this.setSpan(span, at + 1, head & 31);
    return true;
  }

  /** An integer in any form; the two usual ones, up to 127 and 16 bits, without the detour through the reader. */
  private readUint(max: number): number {
    const { reader, u8 } = this;
    const at = reader.pos;
    const head = at < reader.end ? (u8[at] as number) : 0xc0;
    if (head < 0x80) {
      reader.pos = at + 1;
      return head;
    }
    if (head === 0xcd && at + 3 <= reader.end) {
      reader.pos = at + 3;
      return ((u8[at + 1] as number) << 8) | (u8[at + 2] as number);
    }
    return reader.readUint(max);
  }

  private setSpan(span: number, offset: number, length: number): void {
    this.u32[span >>> 2] = length === 0 ? 0 : offset;
    this.u32[(span >>> 2) + 1] = length;
  }

  private setU16(at: number, value: number): void {
    this.u8[at] = value & 255;
    this.u8[at + 1] = value >>> 8;
  }

  private readSourceAddr(record: number): void {
    if (!this.takeBytes()) return;
    const { length } = this.reader;
    this.u32[(record + RECORD.sourceIpOffset) >>> 2] = length === 0 ? 0 : this.spanOffset;
    // The length field has one byte; no address has 255, so check() refuses whatever is cut here.
    this.u8[record + RECORD.sourceIpLength] = Math.min(length, 255);
  }

  private readVsn(record: number): void {
    if (!this.takeBytes()) return;
    const { u8 } = this;
    const { length } = this.reader;
    for (let i = 0; i < VSN_BYTES; i++) {
      u8[record + RECORD.vsn + i] = i < length ? (u8[this.spanOffset + i] as number) : 0;
    }
    u8[record + RECORD.vsnLength] = Math.min(length, 255);
  }

  /** Limits of the fields of a complete record. */
  private check(kind: number, record: number): number {
    if (kind === MESSAGE.compress) return REJECT.none;
    const { u8, u32 } = this;
    const nameLength = u32[(record + RECORD.nameLength) >>> 2] as number;
    if (kind === MESSAGE.pushPull) {
      // One odd entry must not keep us from everything else that the other side knows: it alone is passed over. A member that is
      // not alive may have been learned without an address.
      const mayLack = u8[record + RECORD.status] !== STATUS.alive;
      const isFit =
        nameLength > 0 && nameLength <= NAME_BYTES_MAX && this.addressIs(record, mayLack) && this.metaFits(record);
      if (!isFit) u8[record + RECORD.flags] = RECORD_FLAG.refused;
      return REJECT.none;
    }
    if (nameLength > NAME_BYTES_MAX) return REJECT.fieldInvalid;
    if ((u32[(record + RECORD.fromLength) >>> 2] as number) > NAME_BYTES_MAX) return REJECT.fieldInvalid;
    const sourceIpLength = u8[record + RECORD.sourceIpLength] as number;
    if (sourceIpLength !== 0 && sourceIpLength !== 4 && sourceIpLength !== 16) return REJECT.fieldInvalid;
    switch (kind) {
      case MESSAGE.suspect:
      case MESSAGE.dead:
        return nameLength === 0 ? REJECT.fieldInvalid : REJECT.none;
      case MESSAGE.alive:
        return nameLength === 0 || !this.addressIs(record, false) || !this.metaFits(record)
          ? REJECT.fieldInvalid
          : REJECT.none;
      case MESSAGE.indirectPing:
        return this.addressIs(record, false) ? REJECT.none : REJECT.fieldInvalid;
      default:
        return REJECT.none;
    }
  }

  private addressIs(record: number, mayLack: boolean): boolean {
    const length = this.u32[(record + RECORD.ipLength) >>> 2] as number;
    return length === 4 || length === 16 || (mayLack && length === 0);
  }

  private metaFits(record: number): boolean {
    return (this.u32[(record + RECORD.dataLength) >>> 2] as number) <= META_BYTES_MAX;
  }
}
