import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REJECT } from '../../src/kernels/contract.ts';
import { bytesOf, fromHex, toHex } from '../../src/util/bytes.ts';
import { MsgpackReader, MsgpackWriter } from '../../src/wire/msgpack.ts';
import { vectors } from './vectors.ts';

interface Primitive {
  readonly kind: string;
  readonly value: unknown;
  readonly raw: string;
  readonly legacy_raw?: string;
}
const cases = vectors<{ cases: Primitive[] }>('msgpack-primitives').cases;

const WRITE: Readonly<Record<string, (w: MsgpackWriter, value: unknown) => void>> = {
  uint: (w, value) => w.uint64(BigInt(value as string)),
  int: (w, value) => w.int64(BigInt(value as string)),
  bool: (w, value) => w.bool(value as boolean),
  float64: (w, value) => w.float64(value as number),
  string_header: (w, value) => w.rawHeader(value as number),
  bytes_header: (w, value) => w.rawHeader(value as number),
  array_header: (w, value) => w.listHeader(value as number),
  map_header: (w, value) => w.mapHeader(value as number),
  strings: (w, value) => {
    const list = value as string[];
    w.listHeader(list.length);
    for (const text of list) w.raw(bytesOf(text));
  },
  map: (w, value) => {
    const entries = Object.entries(value as Record<string, string>);
    w.mapHeader(entries.length);
    for (const [key, text] of entries) w.raw(bytesOf(key)).raw(bytesOf(text));
  },
  struct_with_nil_bytes: (w) => w.mapHeader(1).raw(bytesOf('F')).rawOrNil(new Uint8Array(0)),
  struct_with_empty_bytes: (w) => w.mapHeader(1).raw(bytesOf('F')).raw(new Uint8Array(0)),
  struct_with_nil_string_list: (w) => w.mapHeader(1).raw(bytesOf('F')).nil(),
  struct_with_nil_map: (w) => w.mapHeader(1).raw(bytesOf('F')).nil(),
  nil_pointer_field: (w) => w.mapHeader(1).raw(bytesOf('P')).nil(),
  struct_field_order_is_byte_order_of_names: (w, value) => {
    const entries = Object.entries(value as Record<string, number>);
    w.mapHeader(entries.length);
    for (const [key, number] of entries) w.raw(bytesOf(key)).uint(number);
  },
};

describe('msgpack writer', () => {
  it.each(cases)('writes $kind $value as $raw', ({ kind, value, raw }) => {
    const writer = new MsgpackWriter();
    const write = WRITE[kind];
    expect(write, kind).toBeDefined();
    write?.(writer, value);
    expect(toHex(writer.written())).toBe(raw);
  });

  it('grows as needed without a buffer, and on a fixed one only counts', () => {
    const text = new Uint8Array(1000).fill(0x61);
    const growing = new MsgpackWriter();
    for (let i = 0; i < 50; i++) growing.raw(text);
    expect(growing.finish()).toBe(50 * 1003);
    const small = new Uint8Array(100);
    const fixed = new MsgpackWriter(small.subarray(0, 10));
    for (let i = 0; i < 50; i++) fixed.raw(text).uint(70000).float64(1);
    expect(fixed.finish()).toBe(-50 * (1003 + 5 + 9));
    expect(small.subarray(10).every((byte) => byte === 0)).toBe(true);
  });
});

describe('msgpack reader', () => {
  const numbers = cases.filter(({ kind }) => kind === 'uint' || kind === 'int');

  it.each(numbers)('reads $kind $value, in the older form too', ({ kind, value, raw, legacy_raw }) => {
    for (const hex of [raw, legacy_raw ?? raw]) {
      const reader = new MsgpackReader(fromHex(hex));
      const fitsInt = BigInt(value as string) <= 9223372036854775807n;
      const read = reader.readMachineInt();
      expect(reader.ok).toBe(fitsInt);
      if (fitsInt) expect(read).toBe(Number(value));
      if (kind === 'uint' && Number(value) <= 4294967295) {
        expect(new MsgpackReader(fromHex(hex)).readUint(4294967295)).toBe(Number(value));
      }
    }
  });

  it.each(cases.filter(({ kind }) => kind === 'float64'))('reads float $value', ({ value, raw }) => {
    expect(new MsgpackReader(fromHex(raw)).readFloat()).toBe(value);
  });

  it('refuses integers outside the range of the field', () => {
    for (const hex of [
      'ff',
      'd0ff',
      'd1ffff',
      'd2ffffffff',
      'd3ffffffffffffffff',
      'cd0100',
      'a0',
      'ca00000000',
      'c2',
      '90',
      'c1',
    ]) {
      const reader = new MsgpackReader(fromHex(hex));
      expect(reader.readUint(255)).toBe(0);
      expect(reader.status).toBe(REJECT.malformed);
    }
  });

  it('reads floats of both widths and integers as floats', () => {
    expect(new MsgpackReader(fromHex('ca3fc00000')).readFloat()).toBe(1.5);
    expect(new MsgpackReader(fromHex('fe')).readFloat()).toBe(-2);
    expect(new MsgpackReader(fromHex('c0')).readFloat()).toBe(0);
  });

  it('reads a list of integers as bytes, in place where the elements are single bytes', () => {
    const small = new MsgpackReader(fromHex('93010203'));
    expect(small.readBytes()).toBe(true);
    expect([small.packed, small.content()]).toEqual([true, fromHex('010203')]);
    const wide = new MsgpackReader(fromHex('dc0004c001ccffd10080'));
    expect(wide.readBytes()).toBe(true);
    expect([wide.packed, wide.length, wide.content()]).toEqual([false, 4, fromHex('0001ff80')]);
    expect(wide.pos).toBe(wide.end);
    for (const hex of ['9101', '91ff', '91cd0100', '91a161']) {
      const reader = new MsgpackReader(fromHex(hex));
      expect(reader.readBytes()).toBe(hex === '9101');
    }
  });

  it('stays failed: later reads answer zero and do not move', () => {
    const reader = new MsgpackReader(fromHex('c10501'));
    reader.readUint(255);
    const at = reader.pos;
    expect([
      reader.readUint(255),
      reader.readBool(),
      reader.readFloat(),
      reader.readBytes(),
      reader.openStruct(),
    ]).toEqual([0, false, 0, false, false]);
    reader.skip();
    expect([reader.pos, reader.status]).toEqual([at, REJECT.malformed]);
  });

  it('passes over every type of value', () => {
    const values = [
      ...[
        '00',
        '7f',
        'e0',
        'ff',
        'c0',
        'c2',
        'c3',
        'a0',
        'a161',
        'd90161',
        'da000161',
        'db0000000161',
        'c40161',
        'c5000161',
        'c60000000161',
      ],
      ...[
        'ca00000000',
        'cb0000000000000000',
        'cc01',
        'cd0001',
        'ce00000001',
        'cf0000000000000001',
        'd001',
        'd10001',
        'd200000001',
      ],
      ...[
        'd30000000000000001',
        'd401aa',
        'd501aaaa',
        'd601aaaaaaaa',
        `d701${'aa'.repeat(8)}`,
        `d801${'aa'.repeat(16)}`,
        'c70101aa',
        'c8000101aa',
      ],
      ...[
        'c90000000101aa',
        '90',
        '9201a161',
        'dc000101',
        'dd0000000101',
        '80',
        '81a16101',
        'de0001a16101',
        'df00000001a16191c0',
      ],
    ];
    for (const hex of values) {
      const whole = fromHex(`${hex}2a`);
      const reader = new MsgpackReader(whole);
      reader.skip();
      expect([hex, reader.readUint(255)]).toEqual([hex, 42]);
      for (let end = 0; end < whole.length - 1; end++) {
        const cut = new MsgpackReader(whole, 0, end);
        cut.skip();
        expect([hex, end, cut.status]).toEqual([hex, end, REJECT.truncated]);
      }
    }
  });

  it('passes over a million nested lists without a stack, and refuses counts that the bytes cannot hold', () => {
    const nested = new Uint8Array(1_000_001).fill(0x91);
    nested[1_000_000] = 0xc0;
    const reader = new MsgpackReader(nested);
    reader.skip();
    expect([reader.ok, reader.pos]).toEqual([true, nested.length]);
    const bomb = new MsgpackReader(fromHex('dfffffffffdfffffffffdfffffffff'));
    bomb.skip();
    expect(bomb.status).toBe(REJECT.truncated);
  });

  it('goes on with a skip where the bytes ended, for any pieces', () => {
    const value = fc.letrec<{ value: string }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(
          '00',
          'c0',
          'c3',
          'a3616263',
          'cd0102',
          'cb0000000000000000',
          'd401aa',
          'c7020155aa',
          `da0028${'61'.repeat(40)}`,
        ),
        fc.array(tie('value'), { maxLength: 5 }).map((items) => `9${items.length.toString(16)}${items.join('')}`),
        fc
          .array(tie('value'), { maxLength: 5 })
          .map((items) => `df0000000${items.length}${items.map((item) => `a16b${item}`).join('')}`),
      ),
    })).value;
    fc.assert(
      fc.property(value, fc.integer({ min: 1, max: 9 }), (hex, step) => {
        const bytes = fromHex(`${hex}c1`);
        const reader = new MsgpackReader();
        let pos = 0;
        let pending = 1;
        for (let end = 0; pending > 0; end = Math.min(end + step, bytes.length - 1)) {
          reader.reset(bytes, pos, end);
          pending = reader.skipSome(pending);
          pos = reader.pos;
          expect(reader.ok).toBe(true);
        }
        expect(pos).toBe(bytes.length - 1);
      }),
      { numRuns: 300 },
    );
  });

  it('never throws, never passes the end, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 6 }), (bytes, kind) => {
        const reader = new MsgpackReader(bytes);
        if (kind === 0) reader.skip();
        else if (kind === 1) reader.readMachineInt();
        else if (kind === 2) reader.readFloat();
        else if (kind === 3) reader.openStruct();
        else if (kind === 4) reader.readBool();
        else if (reader.readBytes()) expect(reader.content().length).toBe(reader.length);
        expect(reader.pos).toBeLessThanOrEqual(bytes.length);
        expect([0, REJECT.malformed, REJECT.truncated]).toContain(reader.status);
      }),
      { numRuns: 2000 },
    );
  });
});
