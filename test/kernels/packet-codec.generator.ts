import { MESSAGE } from '../../src/kernels/contract.ts';
import { bytesOf, concatBytes, fromHex } from '../../src/util/bytes.ts';
import { Prng } from '../../src/util/prng.ts';
import { crc32 } from '../../src/wire/crc.ts';
import { MsgpackWriter } from '../../src/wire/msgpack.ts';
import { compound, lzw, message, vectors } from './packet-codec.fixtures.ts';

const KINDS = [
  MESSAGE.ping,
  MESSAGE.indirectPing,
  MESSAGE.ack,
  MESSAGE.suspect,
  MESSAGE.alive,
  MESSAGE.dead,
  MESSAGE.nack,
] as const;
const KEYS = [
  ...['Node', 'Name', 'SeqNo', 'Incarnation', 'From', 'SourceNode', 'SourceAddr', 'SourcePort', 'Addr', 'Target'],
  ...['Port', 'Meta', 'Payload', 'Vsn', 'State', 'Nack', 'Hs', 'Algo', 'Buf', 'Zzz', '', 'node', 'Nodf', 'Incarnatiom'],
] as const;
const NUMBERS = [0, 1, 2, 3, 4, 127, 128, 255, 256, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff];

/** Datagrams and push/pull bodies from a seed: recorded ones, made-up ones, and both damaged. */
export class DatagramGenerator {
  readonly #prng: Prng;
  readonly #corpus: readonly Uint8Array[];

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    this.#corpus = corpus();
  }

  below(bound: number): number {
    return this.#prng.below(bound);
  }

  datagram(): Uint8Array {
    const choice = this.below(60);
    if (choice === 0) return this.#nested();
    const whole = choice < 20 ? this.#pick(this.#corpus) : this.#wrapped(3);
    return this.below(2) === 0 ? whole : this.damaged(whole);
  }

  /** Node states one behind the other, some of them damaged. */
  body(nodes: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < nodes; i++) {
      const state = this.below(8) === 0 ? this.#struct() : this.#nodeState();
      parts.push(this.below(200) === 0 ? this.damaged(state) : state);
    }
    return concatBytes(parts);
  }

  /** Bytes with long repetitions, with few, or with none. */
  text(): Uint8Array {
    const out = new Uint8Array(this.below(this.below(4) === 0 ? 9000 : 600));
    const letters = 1 + this.below(256);
    for (let i = 0; i < out.length; i++) out[i] = this.below(letters);
    return out;
  }

  damaged(bytes: Uint8Array): Uint8Array {
    let out: Uint8Array = bytes.slice();
    for (let times = 1 + this.below(3); times > 0; times--) {
      const at = this.below(out.length + 1);
      switch (this.below(6)) {
        case 0:
          if (at < out.length) out[at] = this.below(256);
          break;
        case 1:
          if (at < out.length) out[at] = (out[at] as number) ^ (1 << this.below(8));
          break;
        case 2:
          out = out.slice(0, at);
          break;
        case 3:
          out = concatBytes([out.subarray(0, at), this.#noise(1 + this.below(8)), out.subarray(at)]);
          break;
        case 4:
          out = concatBytes([out.subarray(0, at), out.subarray(Math.min(out.length, at + 1 + this.below(8)))]);
          break;
        default:
          out = concatBytes([out.subarray(0, at), this.#pick(this.#corpus).subarray(this.below(40))]);
      }
    }
    return out.subarray(0, 65_535);
  }

  #wrapped(depth: number): Uint8Array {
    const choice = depth === 0 ? 9 : this.below(10);
    if (choice === 0) {
      const rest = this.#wrapped(depth - 1);
      const head = new Uint8Array(5);
      head[0] = MESSAGE.hasCrc;
      new DataView(head.buffer).setUint32(1, crc32(rest));
      return concatBytes([head, rest]);
    }
    if (choice === 1) {
      const plain = lzw(this.#wrapped(depth - 1));
      const packed = this.below(3) === 0 ? this.damaged(plain) : plain;
      return message(MESSAGE.compress, { Algo: this.below(20) === 0 ? 1 : 0, Buf: packed });
    }
    if (choice <= 4) return compound(...Array.from({ length: this.below(12) }, () => this.#wrapped(depth - 1)));
    if (choice === 5) return concatBytes([Uint8Array.of(this.#pick([8, 200, 6, 99])), this.#noise(this.below(50))]);
    if (choice === 6) return this.#valid();
    return concatBytes([Uint8Array.of(this.#pick(KINDS)), this.#struct()]);
  }

  /** About as many compounds and compressions inside each other as are allowed. */
  #nested(): Uint8Array {
    let out = this.#valid();
    for (let levels = 2 + this.below(4); levels > 0; levels--) {
      out = this.below(2) === 0 ? compound(out) : message(MESSAGE.compress, { Algo: 0, Buf: lzw(out) });
    }
    return out;
  }

  #valid(): Uint8Array {
    const name = `node-${this.below(100)}`;
    return message(this.#pick(KINDS), {
      Addr: this.#noise(4),
      From: name,
      Incarnation: this.below(1000),
      Meta: this.#noise(this.below(60)),
      Node: name,
      Port: 7946,
      SeqNo: this.below(1000),
      Target: this.#noise(16),
      Vsn: fromHex('010502000000'),
    });
  }

  #nodeState(): Uint8Array {
    return message(-1, {
      Addr: this.below(10) === 0 ? [10, 0, 0, this.below(256)] : this.#noise(4),
      Incarnation: this.below(1000),
      Meta: this.#noise(this.below(100)),
      Name: `node-${this.below(10_000)}`,
      Port: this.below(65_536),
      State: this.below(5),
      Vsn: fromHex('010502000000'),
      ...(this.below(3) === 0 ? { Hs: this.below(1 << 20) } : {}),
    });
  }

  /** A struct in any form, with fields of any kind in any order, most values of the right type. */
  #struct(): Uint8Array {
    const writer = new MsgpackWriter();
    const count = this.below(9);
    const shape = this.below(20);
    if (shape === 0) writer.nil();
    else if (shape === 1) {
      writer.listHeader(count);
      for (let i = 0; i < count; i++) this.#value(writer, 2);
    } else if (shape === 2) this.#value(writer, 2);
    else {
      if (this.below(10) === 0) writer.byte(0xde).byte(0).byte(count);
      else writer.mapHeader(count);
      for (let i = 0; i < count; i++) {
        const key = this.#pick(KEYS);
        this.#raw(writer, bytesOf(key));
        if (this.below(8) === 0) this.#value(writer, 3);
        else this.#valueFor(writer, key);
      }
    }
    if (this.below(10) === 0) writer.verbatim(this.#noise(5));
    return writer.written().slice();
  }

  #valueFor(writer: MsgpackWriter, key: string): void {
    if (['SeqNo', 'Incarnation', 'SourcePort', 'Port', 'State', 'Hs', 'Algo'].includes(key)) this.#integer(writer);
    else if (key === 'Nack') writer.byte(this.#pick([0xc2, 0xc3, 0, 1, 0xc0, 2]));
    else if (['Addr', 'Target', 'SourceAddr'].includes(key)) this.#bytes(writer, this.#pick([0, 4, 4, 4, 16, 5, 300]));
    else this.#bytes(writer, this.below(30) === 0 ? 505 + this.below(16) : this.below(40));
  }

  #bytes(writer: MsgpackWriter, length: number): void {
    if (this.below(5) > 0) {
      this.#raw(writer, this.#noise(length));
      return;
    }
    writer.listHeader(length);
    for (let i = 0; i < length; i++) {
      const form = this.below(40);
      if (form === 0) writer.nil();
      else if (form === 1) writer.byte(0xcf).verbatim(new Uint8Array(7)).byte(this.below(256));
      else if (form === 2 && this.below(4) === 0) this.#integer(writer);
      else writer.uint(this.below(form < 20 ? 128 : 256));
    }
  }

  #raw(writer: MsgpackWriter, bytes: Uint8Array): void {
    const { length } = bytes;
    switch (this.below(12)) {
      case 0:
        if (length < 256) writer.byte(this.#pick([0xd9, 0xc4])).byte(length);
        else writer.rawHeader(length);
        break;
      case 1:
        writer
          .byte(this.#pick([0xda, 0xc5]))
          .byte(length >> 8)
          .byte(length & 255);
        break;
      case 2:
        writer
          .byte(this.#pick([0xdb, 0xc6]))
          .byte(0)
          .byte(0)
          .byte(length >> 8)
          .byte(length & 255);
        break;
      default:
        writer.rawHeader(length);
    }
    writer.verbatim(bytes);
  }

  #integer(writer: MsgpackWriter): void {
    const value = this.#pick(NUMBERS);
    switch (this.below(12)) {
      case 0:
        writer.nil();
        break;
      case 1:
        writer.byte(this.#pick([0xcc, 0xd0])).byte(this.below(256));
        break;
      case 2:
        writer.byte(this.#pick([0xcd, 0xd1])).verbatim(this.#noise(2));
        break;
      case 3:
        writer.byte(this.#pick([0xce, 0xd2])).verbatim(this.#noise(4));
        break;
      case 4:
        writer
          .byte(this.#pick([0xcf, 0xd3]))
          .verbatim(this.below(2) === 0 ? this.#noise(8) : concatBytes([new Uint8Array(4), this.#noise(4)]));
        break;
      case 5:
        writer.byte(0xe0 | this.below(32));
        break;
      case 6:
        writer.int(value);
        break;
      case 7:
        // Both ends of the signed range: doubles cannot tell its last numbers apart.
        writer
          .byte(this.#pick([0xcf, 0xd3]))
          .verbatim(fromHex(this.#pick(['7fffffffffffffff', '8000000000000000', 'ffffffffffffffff'])));
        break;
      default:
        writer.uint(value);
    }
  }

  /** Any msgpack value. */
  #value(writer: MsgpackWriter, depth: number): void {
    const choice = this.below(depth === 0 ? 6 : 9);
    if (choice === 0) writer.float64(this.below(1000));
    else if (choice === 1) writer.bool(this.below(2) === 0);
    else if (choice === 2) this.#raw(writer, this.#noise(this.below(20)));
    else if (choice === 3) writer.byte(0xd4 + this.below(5)).verbatim(this.#noise(17));
    else if (choice === 4) writer.byte(0xc7).byte(3).byte(1).verbatim(this.#noise(3));
    else if (choice === 5) this.#integer(writer);
    else {
      const count = this.below(5);
      if (choice === 8) writer.mapHeader(count);
      else writer.listHeader(count);
      for (let i = choice === 8 ? 2 * count : count; i > 0; i--) this.#value(writer, depth - 1);
    }
  }

  #noise(length: number): Uint8Array {
    const out = new Uint8Array(length);
    this.#prng.fill(out);
    return out;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

function corpus(): Uint8Array[] {
  const messages = vectors<{ cases: { hex: string; type: number | null }[] }>('memberlist-messages').cases;
  const layers = vectors<{ cases: { packet: string; key: unknown; label: string }[] }>('packet-layers').cases;
  const { trace } = vectors<{ trace: { kind: string; hex: string }[] }>('cluster-trace-plain');
  const { decode } = vectors<{ decode: { hex: string }[] }>('compound');
  return [
    ...messages.filter(({ type }) => type !== null).map(({ hex }) => hex),
    ...layers.filter(({ key, label }) => key === null && label === '').map(({ packet }) => packet),
    ...trace.filter(({ kind }) => kind === 'udp').map(({ hex }) => hex),
    ...decode.map(({ hex }) => hex),
  ].map(fromHex);
}
