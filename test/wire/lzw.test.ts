import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REJECT } from '../../src/kernels/contract.ts';
import { bytesEqual, fromHex, toHex } from '../../src/util/bytes.ts';
import { crc32 } from '../../src/wire/crc.ts';
import { lzwBound, lzwCompress, lzwDecompress } from '../../src/wire/lzw.ts';
import { MsgpackReader } from '../../src/wire/msgpack.ts';
import { vectors } from './vectors.ts';

interface LzwCase {
  readonly note: string;
  readonly input?: string;
  readonly input_base64?: string;
  readonly input_repeat?: { byte: number; count: number };
  readonly lzw?: string;
  readonly lzw_base64?: string;
}
interface LzwDecodeCase {
  readonly note: string;
  readonly body: string;
  readonly error: string;
}
const lzw = vectors<{ cases: LzwCase[]; decode: LzwDecodeCase[] }>('compress-lzw');
const crc = vectors<{ cases: { crc: number; packet: string; payload: string }[] }>('crc');

function inputOf({ input, input_base64, input_repeat }: LzwCase): Uint8Array {
  if (input_repeat) return new Uint8Array(input_repeat.count).fill(input_repeat.byte);
  return input === undefined ? fromBase64(input_base64 as string) : fromHex(input);
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}

function compress(input: Uint8Array): Uint8Array {
  const out = new Uint8Array(lzwBound(input.length));
  const length = lzwCompress(input, out);
  expect(length).toBeGreaterThanOrEqual(0);
  return out.subarray(0, length);
}

function decompress(input: Uint8Array, room: number): Uint8Array | number {
  const out = new Uint8Array(room);
  const length = lzwDecompress(input, out);
  return length < 0 ? length : out.subarray(0, length);
}

describe('LZW', () => {
  it.each(lzw.cases)('encodes and decodes as memberlist does: $note', (row) => {
    const plain = inputOf(row);
    const packed = row.lzw === undefined ? fromBase64(row.lzw_base64 as string) : fromHex(row.lzw);
    expect(bytesEqual(compress(plain), packed)).toBe(true);
    expect(bytesEqual(decompress(packed, plain.length) as Uint8Array, plain)).toBe(true);
  });

  it.each(lzw.decode)('accepts or refuses a body as memberlist does: $note', ({ body, error }) => {
    const verdict = readCompressBody(fromHex(body));
    expect(verdict >= 0, String(verdict)).toBe(error === '');
  });

  it('writes the three bytes of an empty stream', () => {
    expect(toHex(compress(new Uint8Array(0)))).toBe('000302');
  });

  it('gives up when the output is too small', () => {
    const plain = fromHex('00010203');
    const need = compress(plain).length;
    expect(lzwCompress(plain, new Uint8Array(need))).toBe(need);
    for (let room = 0; room < need; room++) expect(lzwCompress(plain, new Uint8Array(room))).toBe(-1);
  });

  it('refuses output beyond the room given, whatever the code', () => {
    const packed = compress(new Uint8Array(500).fill(7));
    for (let room = 0; room < 500; room += 13) expect(decompress(packed, room)).toBe(-REJECT.oversized);
    expect(decompress(packed, 500)).toHaveLength(500);
  });

  it('ignores bytes behind the end code and needs one', () => {
    const packed = compress(fromHex('0a0b0c'));
    const tail = new Uint8Array([...packed, 1, 2, 3]);
    expect(decompress(tail, 10)).toEqual(fromHex('0a0b0c'));
    expect(decompress(packed.subarray(0, packed.length - 1), 10)).toBe(-REJECT.lzwCorrupt);
    expect(decompress(new Uint8Array(0), 10)).toBe(-REJECT.lzwCorrupt);
  });

  it('goes on with a frozen table when a sender never clears it', () => {
    // Literals only, without the clear that our own encoder would emit: width grows to 12 and stays there.
    const count = 6000;
    const out: number[] = [];
    let bits = 0;
    let held = 0;
    const put = (code: number, width: number): void => {
      bits |= code << held;
      held += width;
      for (; held >= 8; held -= 8) {
        out.push(bits & 255);
        bits >>>= 8;
      }
    };
    let width = 9;
    let next = 257;
    for (let i = 0; i < count; i++) {
      put(i & 255, width);
      next++;
      if (next === 1 << width && width < 12) width++;
    }
    put(257, width);
    out.push(bits & 255);
    const plain = decompress(new Uint8Array(out), count) as Uint8Array;
    expect(plain).toHaveLength(count);
    expect(plain.every((byte, i) => byte === (i & 255))).toBe(true);
  });

  it('gives back any input, also across clears and with little variety', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 12000 }),
        fc.integer({ min: 1, max: 256 }),
        fc.integer(),
        (size, kinds, seed) => {
          const plain = new Uint8Array(size);
          let word = seed;
          for (let i = 0; i < size; i++) {
            word = (Math.imul(word, 1664525) + 1013904223) | 0;
            plain[i] = (word >>> 24) % kinds;
          }
          const packed = compress(plain);
          expect(packed.length).toBeLessThanOrEqual(lzwBound(size));
          expect(decompress(packed, size)).toEqual(plain);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('answers every input with a length or a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const result = decompress(bytes, 4096);
        if (typeof result === 'number') expect([-REJECT.lzwCorrupt, -REJECT.oversized]).toContain(result);
        else expect(result.length).toBeLessThanOrEqual(4096);
      }),
      { numRuns: 500 },
    );
  });
});

describe('CRC-32', () => {
  it.each(crc.cases)('of $payload is $crc', ({ crc: expected, packet, payload }) => {
    expect(crc32(fromHex(payload))).toBe(expected);
    const bytes = fromHex(packet);
    expect(crc32(bytes, 5)).toBe(expected);
    expect(new DataView(bytes.buffer).getUint32(1)).toBe(expected);
  });

  it('is the plain bitwise division whatever the length and start', () => {
    const bitwise = (bytes: Uint8Array): number => {
      let crc = -1;
      for (const byte of bytes) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
      }
      return ~crc >>> 0;
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 0, max: 20 }), (bytes, start) => {
        expect(crc32(bytes, start)).toBe(bitwise(bytes.subarray(start)));
      }),
    );
  });
});

/** The two fields of a compress body by hand, then LZW: what §6.2 asks of a packet. */
function readCompressBody(body: Uint8Array): number {
  const reader = new MsgpackReader(body);
  if (!reader.openStruct()) return -reader.status;
  let algorithm = 0;
  let data = new Uint8Array(0);
  for (let i = 0; i < reader.entries && reader.ok; i++) {
    reader.readText();
    const key = new TextDecoder().decode(reader.content());
    if (key === 'Algo') algorithm = reader.readUint(255);
    else if (key === 'Buf') {
      reader.readBytes();
      data = reader.content().slice();
    } else reader.skip();
  }
  if (!reader.ok) return -reader.status;
  if (algorithm !== 0) return -REJECT.malformed;
  return lzwDecompress(data, new Uint8Array(65536));
}
