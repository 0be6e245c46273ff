import { describe, expect, it } from 'vitest';
import { MESSAGE, META_BYTES_MAX, NAME_BYTES_MAX, NESTING_MAX, REJECT } from '../../src/kernels/contract.ts';
import { CODEC, PACKET } from '../../src/kernels/layout.ts';
import { bytesOf, concatBytes, fromHex, toHex } from '../../src/util/bytes.ts';
import { crc32 } from '../../src/wire/crc.ts';
import {
  compound,
  compressed,
  createCodec,
  deliver,
  indexed,
  lzw,
  type MakeCodec,
  message,
  record,
  recordOf,
  resultOf,
  SIZES,
  unusedIsZero,
  type Value,
} from './packet-codec.fixtures.ts';

const hexOf = (text: string) => toHex(bytesOf(text));
const IP = fromHex('0a000001');
const VSN = fromHex('010502000000');

const ping = (fields: Record<string, Value> = {}) => message(MESSAGE.ping, { Node: 'b', SeqNo: 7, ...fields });
const alive = (fields: Record<string, Value> = {}) =>
  message(MESSAGE.alive, { Addr: IP, Incarnation: 3, Meta: null, Node: 'alpha', Port: 7946, Vsn: VSN, ...fields });
const suspect = (fields: Record<string, Value> = {}) =>
  message(MESSAGE.suspect, { From: 'alpha', Incarnation: 3, Node: 'charlie', ...fields });
const user = (text: string) => concatBytes([Uint8Array.of(MESSAGE.user), bytesOf(text)]);
const withCrc = (rest: Uint8Array) => {
  const out = concatBytes([new Uint8Array(5), rest]);
  const view = new DataView(out.buffer);
  view.setUint8(0, MESSAGE.hasCrc);
  view.setUint32(1, crc32(rest));
  return out;
};
const nested = (levels: number, inner: Uint8Array): Uint8Array =>
  levels === 0 ? inner : compound(nested(levels - 1, inner));

/** What every packet codec must do, whatever engine runs it. */
export function packetCodecContract(name: string, make: MakeCodec): void {
  const reject = (...datagrams: Uint8Array[]) => {
    const codec = createCodec(make);
    const { records, codes } = indexed(codec, ...datagrams);
    expect(records).toBe(0);
    expect(unusedIsZero(codec)).toBe(true);
    return codes;
  };
  const decoded = (datagram: Uint8Array) => {
    const codec = createCodec(make);
    expect(indexed(codec, datagram)).toEqual({ records: 1, codes: [REJECT.none] });
    return recordOf(codec, 0);
  };

  describe(`packet codec, ${name}: messages`, () => {
    it('lists every field of each kind', () => {
      expect(decoded(ping({ SourceAddr: IP, SourceNode: 'a', SourcePort: 7946 }))).toEqual(
        record(MESSAGE.ping, { number: 7, name: hexOf('b'), from: hexOf('a'), sourceIp: '0a000001', sourcePort: 7946 }),
      );
      expect(
        decoded(
          message(MESSAGE.indirectPing, {
            Nack: true,
            Node: 'c',
            Port: 53,
            SeqNo: 0xffffffff,
            SourceAddr: new Uint8Array(16).fill(1),
            SourceNode: 'a',
            SourcePort: 65535,
            Target: IP,
          }),
        ),
      ).toEqual(
        record(MESSAGE.indirectPing, {
          nack: 1,
          name: hexOf('c'),
          port: 53,
          number: 0xffffffff,
          sourceIp: '01'.repeat(16),
          from: hexOf('a'),
          sourcePort: 65535,
          ip: '0a000001',
        }),
      );
      expect(decoded(message(MESSAGE.ack, { Payload: 'xyz', SeqNo: 9 }))).toEqual(
        record(MESSAGE.ack, { number: 9, data: hexOf('xyz') }),
      );
      expect(decoded(message(MESSAGE.nack, { SeqNo: 200 }))).toEqual(record(MESSAGE.nack, { number: 200 }));
      expect(decoded(suspect())).toEqual(
        record(MESSAGE.suspect, { number: 3, name: hexOf('charlie'), from: hexOf('alpha') }),
      );
      expect(decoded(message(MESSAGE.dead, { From: 'x', Incarnation: 1, Node: 'x' }))).toEqual(
        record(MESSAGE.dead, { number: 1, name: hexOf('x'), from: hexOf('x') }),
      );
      expect(decoded(alive({ Meta: 'm' }))).toEqual(
        record(MESSAGE.alive, {
          number: 3,
          name: hexOf('alpha'),
          ip: '0a000001',
          port: 7946,
          data: hexOf('m'),
          vsn: toHex(VSN),
          vsnLength: 6,
        }),
      );
      expect(decoded(user('hello'))).toEqual(record(MESSAGE.user, { data: hexOf('hello') }));
      expect(decoded(user(''))).toEqual(record(MESSAGE.user));
      expect(decoded(concatBytes([Uint8Array.of(MESSAGE.rumor), bytesOf('r')]))).toEqual(
        record(MESSAGE.rumor, { data: hexOf('r') }),
      );
    });

    it('reads the extension word, and zero where it is absent', () => {
      expect(decoded(ping({ Hs: 0x12345601 })).ext).toBe(0x12345601);
      expect(decoded(message(MESSAGE.ack, { Hs: 3, SeqNo: 1 })).ext).toBe(3);
      expect(decoded(alive({ Hs: 0xffffffff })).ext).toBe(0xffffffff);
      expect(decoded(alive({ hs: 1 })).ext).toBe(0);
      expect(reject(ping({ Hs: -1 }), ping({ Hs: 'x' }))).toEqual([REJECT.malformed, REJECT.malformed]);
    });

    it('unpacks byte fields that are written as lists of integers', () => {
      const list = { raw: '96ccff7fd00ac0cd00ffcf00000000000000aa' };
      expect(decoded(alive({ Meta: list })).data).toBe('ff7f0a00ffaa');
      expect(decoded(alive({ Addr: [10, 0, 0, 200], Vsn: [1, 5, 2, 0, 0, 0] }))).toMatchObject({
        ip: '0a0000c8',
        vsn: '010502000000',
      });
      expect(decoded(message(MESSAGE.ack, { Payload: [], SeqNo: 1 })).data).toBe('');
      expect(reject(alive({ Meta: { raw: '91cd0100' } }), alive({ Meta: { raw: '91a161' } }))).toEqual([
        REJECT.malformed,
        REJECT.malformed,
      ]);
      // Text is no byte field.
      expect(reject(alive({ Node: [97] }))).toEqual([REJECT.malformed]);
    });

    it('cuts Vsn to six bytes and keeps the length that was received', () => {
      expect(decoded(alive({ Vsn: '12345678' }))).toMatchObject({ vsn: hexOf('123456'), vsnLength: 8 });
      expect(decoded(alive({ Vsn: '12' }))).toMatchObject({ vsn: hexOf('12'), vsnLength: 2 });
      expect(decoded(alive({ Vsn: 'x'.repeat(300) })).vsnLength).toBe(255);
      expect(decoded(alive({ Vsn: null })).vsnLength).toBe(0);
    });

    it('forgets a field that a duplicate key sets again', () => {
      const twice = concatBytes([
        Uint8Array.of(MESSAGE.alive, 0x85),
        fromHex('a356736e' + 'a6010502030405'),
        fromHex('a356736e' + 'a109'),
        fromHex('a44d657461' + 'a26161'),
        fromHex('a44d657461' + 'c0'),
        message(-1, { Node: 'n' }).subarray(1),
      ]);
      expect(reject(twice)).toEqual([REJECT.fieldInvalid]);
      const whole = concatBytes([twice, fromHex('a441646472' + 'a47f000001')]);
      whole[1] = 0x86;
      expect(decoded(whole)).toEqual(
        record(MESSAGE.alive, { name: hexOf('n'), ip: '7f000001', vsn: '09', vsnLength: 1 }),
      );
    });

    it('passes over unknown values however deep they nest', () => {
      const deep = { raw: `${'91'.repeat(5000)}c0` };
      expect(decoded(ping({ Zzz: deep })).number).toBe(7);
      expect(reject(ping({ Zzz: { raw: '91'.repeat(5000) } }))).toEqual([REJECT.truncated]);
      expect(reject(ping({ Zzz: { raw: 'dfffffffff' } }))).toEqual([REJECT.truncated]);
      expect(reject(ping({ Zzz: { raw: 'c1' } }))).toEqual([REJECT.malformed]);
    });

    it('does not trust announced lengths', () => {
      expect(reject(ping({ Node: { raw: 'dbffffffff' } }))).toEqual([REJECT.truncated]);
      expect(reject(Uint8Array.of(MESSAGE.ping, 0xdf, 255, 255, 255, 255))).toEqual([REJECT.truncated]);
      expect(reject(Uint8Array.of(MESSAGE.ping, 0xdd, 255, 255, 255, 255, 1))).toEqual([REJECT.truncated]);
      expect(reject(message(MESSAGE.ack, { SeqNo: 1, Payload: { raw: 'ddffffffff' } }))).toEqual([REJECT.truncated]);
      expect(reject(Uint8Array.of(MESSAGE.ping))).toEqual([REJECT.truncated]);
    });
  });

  describe(`packet codec, ${name}: field limits`, () => {
    it('accepts the longest name and metadata, and refuses one byte more', () => {
      expect(decoded(alive({ Node: 'n'.repeat(NAME_BYTES_MAX), Meta: 'm'.repeat(META_BYTES_MAX) })).name).toHaveLength(
        2 * NAME_BYTES_MAX,
      );
      const long = 'n'.repeat(NAME_BYTES_MAX + 1);
      expect(
        reject(
          alive({ Node: long }),
          alive({ Meta: long }),
          ping({ Node: long }),
          ping({ SourceNode: long }),
          suspect({ From: long }),
        ),
      ).toEqual(new Array(5).fill(REJECT.fieldInvalid));
      expect(decoded(message(MESSAGE.ack, { Payload: 'p'.repeat(1000), SeqNo: 1 })).data).toHaveLength(2000);
    });

    it('wants a name where a message is about a member', () => {
      expect(reject(alive({ Node: '' }), suspect({ Node: null }), message(MESSAGE.dead, {}))).toEqual(
        new Array(3).fill(REJECT.fieldInvalid),
      );
      expect(decoded(ping({ Node: '' })).name).toBe('');
      expect(decoded(suspect({ From: '' })).from).toBe('');
    });

    it('wants addresses of 4 or 16 bytes', () => {
      expect(decoded(alive({ Addr: 'x'.repeat(16) })).ip).toHaveLength(32);
      expect(
        reject(
          alive({ Addr: null }),
          alive({ Addr: '12345' }),
          message(MESSAGE.indirectPing, { SeqNo: 1, Target: '123' }),
          message(MESSAGE.indirectPing, { SeqNo: 1 }),
          ping({ SourceAddr: '12345' }),
          ping({ SourceAddr: 'x'.repeat(260) }),
        ),
      ).toEqual(new Array(6).fill(REJECT.fieldInvalid));
    });
  });

  describe(`packet codec, ${name}: layers`, () => {
    it('unpacks a compound in order', () => {
      const codec = createCodec(make);
      expect(indexed(codec, compound(ping(), suspect(), user('u'))).records).toBe(3);
      expect([0, 1, 2].map((i) => recordOf(codec, i).kind)).toEqual([MESSAGE.ping, MESSAGE.suspect, MESSAGE.user]);
    });

    it('accepts an empty compound and ignores bytes behind the last part', () => {
      const codec = createCodec(make);
      expect(indexed(codec, compound(), concatBytes([compound(ping()), bytesOf('junk')]))).toEqual({
        records: 1,
        codes: [REJECT.none, REJECT.none],
      });
    });

    it('rejects a compound cut short, with all that was read before', () => {
      const whole = compound(ping(), suspect());
      for (let cut = 1; cut < whole.length; cut++) {
        expect(reject(whole.subarray(0, cut))).toEqual([REJECT.truncated]);
      }
    });

    it('passes over parts of unknown type and counts them, but rejects a whole datagram of unknown type', () => {
      const codec = createCodec(make);
      const odd = compound(
        Uint8Array.of(99, 1),
        ping(),
        Uint8Array.of(MESSAGE.pushPull),
        compressed(Uint8Array.of(98)),
      );
      expect(indexed(codec, odd)).toEqual({ records: 1, codes: [REJECT.none] });
      expect(codec.u32[CODEC.skippedParts >>> 2]).toBe(3);
      indexed(codec, ping());
      expect(codec.u32[CODEC.skippedParts >>> 2]).toBe(0);
      expect(reject(Uint8Array.of(99), Uint8Array.of(MESSAGE.encrypt, 0), compressed(Uint8Array.of(99)))).toEqual(
        new Array(3).fill(REJECT.unknownType),
      );
    });

    it('counts no skipped parts of a datagram that it rejects', () => {
      const codec = createCodec(make);
      indexed(codec, compound(Uint8Array.of(99), Uint8Array.of(MESSAGE.ping)));
      expect(codec.u32[CODEC.skippedParts >>> 2]).toBe(0);
    });

    it('rejects empty datagrams and parts', () => {
      expect(reject(new Uint8Array(0), compound(new Uint8Array(0)), compressed(new Uint8Array(0)))).toEqual(
        new Array(3).fill(REJECT.empty),
      );
      expect(reject(withCrc(new Uint8Array(0)))).toEqual([REJECT.empty]);
    });

    it('checks the CRC of the outermost layer only', () => {
      const codec = createCodec(make);
      expect(indexed(codec, withCrc(ping()), withCrc(compressed(compound(ping(), user('x')))))).toEqual({
        records: 3,
        codes: [REJECT.none, REJECT.none],
      });
      const broken = withCrc(ping());
      broken[broken.length - 1] = (broken[broken.length - 1] as number) ^ 1;
      expect(reject(broken)).toEqual([REJECT.crcMismatch]);
      expect(reject(withCrc(withCrc(ping())))).toEqual([REJECT.unknownType]);
      // Shorter than a CRC header: a message of unknown type.
      expect(reject(Uint8Array.of(MESSAGE.hasCrc, 0, 0, 0))).toEqual([REJECT.unknownType]);
      expect(indexed(codec, compound(withCrc(ping())))).toEqual({ records: 0, codes: [REJECT.none] });
    });

    it('takes up to NESTING_MAX compounds and compressions inside each other', () => {
      const codec = createCodec(make);
      expect(indexed(codec, nested(NESTING_MAX, ping())).codes).toEqual([REJECT.none]);
      expect(indexed(codec, compressed(compound(compressed(compound(ping()))))).records).toBe(1);
      expect(reject(nested(NESTING_MAX + 1, ping()))).toEqual([REJECT.nestedTooDeep]);
      expect(reject(compressed(compound(compressed(compound(compressed(ping()))))))).toEqual([REJECT.nestedTooDeep]);
    });

    it('bounds decompression by the scratch section', () => {
      const big = user('x'.repeat((SIZES.scratchBytes as number) - 1));
      expect(decoded(compressed(big)).data).toHaveLength(2 * (big.length - 1));
      expect(reject(compressed(user('x'.repeat(SIZES.scratchBytes as number))))).toEqual([REJECT.oversized]);
      const codec = createCodec(make);
      // Two that fit alone but not together: the second is rejected, the first stays.
      expect(
        indexed(codec, compressed(user('x'.repeat(40_000))), compressed(user('y'.repeat(40_000))), ping()),
      ).toEqual({
        records: 2,
        codes: [REJECT.none, REJECT.oversized, REJECT.none],
      });
      expect(unusedIsZero(codec)).toBe(true);
    });

    it('rejects corrupt LZW and unknown algorithms', () => {
      const good = lzw(ping());
      expect(
        reject(
          message(MESSAGE.compress, { Algo: 0, Buf: good.subarray(0, good.length - 2) }),
          message(MESSAGE.compress, { Algo: 0, Buf: fromHex('ffffffff') }),
          message(MESSAGE.compress, { Algo: 1, Buf: good }),
          message(MESSAGE.compress, { Algo: 256, Buf: good }),
          message(MESSAGE.compress, {}),
        ),
      ).toEqual([REJECT.lzwCorrupt, REJECT.lzwCorrupt, REJECT.fieldInvalid, REJECT.malformed, REJECT.lzwCorrupt]);
      expect(decoded(message(MESSAGE.compress, { Algo: 0, Buf: [...good] })).number).toBe(7);
    });
  });

  describe(`packet codec, ${name}: batches`, () => {
    it('rejects datagrams one by one and numbers the records of the others', () => {
      const codec = createCodec(make);
      const bad = compound(ping(), alive({ Meta: [1, 2, 3] }), suspect({ Node: '' }));
      expect(indexed(codec, compound(ping(), ping()), bad, alive({ Meta: [1, 2, 3] }))).toEqual({
        records: 3,
        codes: [REJECT.none, REJECT.fieldInvalid, REJECT.none],
      });
      expect([0, 1, 2].map((i) => resultOf(codec, i))).toEqual([
        { code: 0, firstRecord: 0, recordCount: 2 },
        { code: REJECT.fieldInvalid, firstRecord: 2, recordCount: 0 },
        { code: 0, firstRecord: 2, recordCount: 1 },
      ]);
      expect([0, 1, 2].map((i) => recordOf(codec, i).packet)).toEqual([0, 0, 2]);
      expect(codec.u32[CODEC.recordCount >>> 2]).toBe(3);
      expect(codec.u32[CODEC.scratchTop >>> 2]).toBe(3);
      expect(unusedIsZero(codec)).toBe(true);
    });

    it('rejects what finds no room among the records, and goes on', () => {
      const codec = createCodec(make, { recordCapacity: 3 });
      expect(indexed(codec, compound(ping(), ping()), compound(ping(), ping()), ping(), ping())).toEqual({
        records: 3,
        codes: [REJECT.none, REJECT.oversized, REJECT.none, REJECT.oversized],
      });
    });

    it('starts over with each call', () => {
      const codec = createCodec(make);
      indexed(codec, compound(...new Array(50).fill(alive({ Meta: [1, 2] }))));
      expect(indexed(codec, ping())).toEqual({ records: 1, codes: [REJECT.none] });
      expect(unusedIsZero(codec)).toBe(true);
      expect(codec.index(0)).toBe(0);
      expect(unusedIsZero(codec)).toBe(true);
    });

    it('rejects a descriptor that points outside the inbox', () => {
      const codec = createCodec(make);
      deliver(codec, [ping(), ping(), ping()]);
      const word = (i: number, offset: number) => (codec.packetsOffset + i * PACKET.stride + offset) >>> 2;
      codec.u32[word(0, PACKET.offset)] = 0;
      codec.u32[word(1, PACKET.length)] = 0xffffffff;
      codec.u32[word(2, PACKET.offset)] = 0xfffffff0;
      expect(codec.index(3)).toBe(0);
      expect([0, 1, 2].map((i) => resultOf(codec, i).code)).toEqual(new Array(3).fill(REJECT.truncated));
    });

    it('survives counters that somebody else overwrote', () => {
      const codec = createCodec(make);
      deliver(codec, [ping()]);
      for (const field of [CODEC.recordCount, CODEC.scratchTop, CODEC.inboxTop]) codec.u32[field >>> 2] = 0xffffffff;
      expect(codec.index(1)).toBe(1);
      codec.u32[CODEC.inboxTop >>> 2] = 0xffffffff;
      // The inbox holds a ping, which is no node state; what matters is that it is only read where it is.
      expect(codec.indexState(0, 1)).toBe(-REJECT.malformed);
    });

    it('throws when asked for more datagrams than it holds', () => {
      const codec = createCodec(make);
      expect(() => codec.index(codec.packetCapacity + 1)).toThrow(/count/);
      expect(() => codec.index(-1)).toThrow(/count/);
      expect(() => codec.index(0.5)).toThrow(/count/);
    });
  });
}
