// Seeded hostile input: recorded packets and streams (test/vectors), damaged bytewise, and put into fresh layers so that the
// damage reaches the code behind a checksum, a compression or a key.
import { readFileSync } from 'node:fs';
import { MESSAGE } from '../../dist/kernels/contract.js';
import { concatBytes, fromHex } from '../../dist/util/bytes.js';
import { Prng } from '../../dist/util/prng.js';
import { crc32 } from '../../dist/wire/crc.js';
import { encryptedBytes, encryptInto } from '../../dist/wire/crypto.js';
import { lzwBound, lzwCompress } from '../../dist/wire/lzw.js';
import { compressHeaderBytes, encodeCompress } from '../../dist/wire/messages.js';

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../test/vectors/${name}.json`, import.meta.url), 'utf8'));

/** Bytes that start msgpack values or messages: more telling than random ones. */
const TELLING = [0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc3, 0xc4, 0xc6, 0xc9, 0xcd, 0xcf, 0xd3, 0xd9, 0xdb];
TELLING.push(0xdd, 0xdf, 0xff, 0, 1, 4, 7, 8, 9, 12, 200, 244);
const INPUT_BYTES_MAX = 4096;

/** Everything recorded: plain messages and packets, packets with label or key, streams with what is needed to read them. */
export function loadCorpus() {
  const messages = vectors('memberlist-messages').cases;
  const layers = vectors('packet-layers').cases;
  const trace = vectors('cluster-trace-plain').trace;
  const keyOf = (entry) => (entry.key === null ? null : fromHex(entry.key.hex));
  const hexes = [
    ...messages.filter(({ type }) => type !== null).map(({ hex }) => hex),
    ...layers.filter(({ key, label }) => key === null && label === '').map(({ packet }) => packet),
    ...trace.filter(({ kind }) => kind === 'udp').map(({ hex }) => hex),
    ...vectors('compound').decode.map(({ hex }) => hex),
    ...vectors('compress-lzw').cases.flatMap(({ message }) => (message === undefined ? [] : [message])),
  ];
  const plain = [...new Set(hexes)].map(fromHex).filter(({ length }) => length > 0 && length <= INPUT_BYTES_MAX);
  const sealed = layers
    .filter(({ key, label }) => key !== null || label !== '')
    .map((entry) => ({ bytes: fromHex(entry.packet), key: keyOf(entry), label: entry.label }));
  const streams = vectors('streams').exchanges.flatMap((exchange) =>
    exchange.stream
      .map(({ hex }, side) => ({
        bytes: fromHex(hex ?? ''),
        isFirst: side === 0,
        key: keyOf(exchange),
        label: exchange.label,
      }))
      .filter(({ bytes }) => bytes.length > 0 && bytes.length <= INPUT_BYTES_MAX),
  );
  const streamsPlain = streams.filter(({ key, label, isFirst }) => key === null && label === '' && isFirst);
  return { plain, sealed, streams, streamsPlain };
}

export class Inputs {
  constructor(seed, corpus) {
    this.prng = new Prng(seed);
    this.corpus = corpus;
  }

  below(bound) {
    return this.prng.below(bound);
  }

  pick(list) {
    return list[this.prng.below(list.length)];
  }

  /** A datagram without label and key: damaged, wrapped, or both. */
  datagram() {
    let bytes = this.damaged(this.pick(this.corpus.plain));
    for (let layers = [0, 0, 0, 1, 1, 2, 5][this.below(7)]; layers > 0; layers--) {
      bytes = this.wrapped(bytes);
      if (this.below(6) === 0) bytes = this.damaged(bytes);
    }
    return bytes;
  }

  /** A copy of `bytes` with one to four changes. */
  damaged(bytes) {
    let out = bytes.slice();
    for (let times = 1 + this.below(4); times > 0; times--) {
      const at = this.below(out.length + 1);
      switch (this.below(8)) {
        case 0:
        case 1:
          if (at < out.length) out[at] = this.below(256);
          break;
        case 2:
          if (at < out.length) out[at] = this.pick(TELLING);
          break;
        case 3:
          if (at < out.length) out[at] ^= 1 << this.below(8);
          break;
        case 4:
          out = out.subarray(0, at);
          break;
        case 5:
          out = concatBytes([out.subarray(0, at), Uint8Array.of(this.below(256)), out.subarray(at)]);
          break;
        case 6:
          out = concatBytes([out.subarray(0, at), out.subarray(Math.min(out.length, at + 1 + this.below(8)))]);
          break;
        default: {
          const other = this.pick(this.corpus.plain);
          out = concatBytes([out.subarray(0, at), other.subarray(this.below(other.length))]);
        }
      }
    }
    return out.subarray(0, INPUT_BYTES_MAX);
  }

  wrapped(inner) {
    switch (this.below(3)) {
      case 0: {
        const parts = [inner];
        for (let more = this.below(4); more > 0; more--) parts.push(this.pick(this.corpus.plain));
        const head = new Uint8Array(2 + 2 * parts.length);
        head[0] = MESSAGE.compound;
        head[1] = parts.length;
        parts.forEach((part, i) => {
          head[2 + 2 * i] = part.length >> 8;
          head[3 + 2 * i] = part.length;
        });
        return concatBytes([head, ...parts]).subarray(0, INPUT_BYTES_MAX);
      }
      case 1:
        return compressed(inner);
      default: {
        const out = concatBytes([new Uint8Array(5), inner]);
        out[0] = MESSAGE.hasCrc;
        new DataView(out.buffer).setUint32(1, crc32(inner));
        return out;
      }
    }
  }
}

export function compressed(inner) {
  const lzw = new Uint8Array(lzwBound(inner.length));
  const length = lzwCompress(inner, lzw);
  const out = new Uint8Array(compressHeaderBytes(length) + length);
  encodeCompress(out, 0, lzw.subarray(0, length));
  return out;
}

/** `inner` as a packet with this key, and the label header in front. */
export function encryptedPacket(inner, key, version, label, nonces) {
  const header = labelHeaderOf(label);
  const out = new Uint8Array(header.length + encryptedBytes(version, inner.length));
  out.set(header);
  encryptInto(out, header.length, key, version, nonces, inner, label);
  return out;
}

export function labelHeaderOf(label) {
  return label.length === 0 ? label : concatBytes([Uint8Array.of(MESSAGE.label, label.length), label]);
}
