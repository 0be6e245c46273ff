import { describe, expect, it } from 'vitest';
import { createPacketCodecArena, grownPacketCodecArena } from '../../src/kernels/arenas/packet-codec.ts';
import { MESSAGE, REJECT, STATUS, STATUS_UNKNOWN } from '../../src/kernels/contract.ts';
import { CODEC, HEADER, KERNEL_ID, RECORD, RECORD_FLAG } from '../../src/kernels/layout.ts';
import { bytesOf, concatBytes, fromHex, toHex } from '../../src/util/bytes.ts';
import {
  compound,
  compressed,
  createCodec,
  deliverState,
  indexed,
  lzw,
  type MakeCodec,
  message,
  record,
  recordOf,
  SIZES,
  unusedIsZero,
  type Value,
} from './packet-codec.fixtures.ts';

const hexOf = (text: string) => toHex(bytesOf(text));
const IP = fromHex('0a000001');
const VSN = fromHex('010502000000');

const ping = () => message(MESSAGE.ping, { Node: 'b', SeqNo: 7 });
const suspect = () => message(MESSAGE.suspect, { From: 'alpha', Incarnation: 3, Node: 'charlie' });
const nodeState = (fields: Record<string, Value> = {}) =>
  message(-1, { Addr: IP, Incarnation: 3, Meta: null, Name: 'alpha', Port: 7946, State: 0, Vsn: VSN, ...fields });

/** The rest of what every packet codec must do: push/pull bodies, compression, arenas. */
export function packetCodecBodyContract(name: string, make: MakeCodec): void {
  describe(`packet codec, ${name}: push/pull bodies`, () => {
    it('lists consecutive node states and says where they end', () => {
      const codec = createCodec(make);
      const states = [nodeState(), nodeState({ Name: 'b', State: 2, Hs: 5 }), nodeState({ Name: 'c', State: 3 })];
      const body = concatBytes([bytesOf('header'), ...states, bytesOf('user state')]);
      deliverState(codec, body);
      expect(codec.indexState(6, 3)).toBe(body.length - 10);
      expect(codec.u32[CODEC.recordCount >>> 2]).toBe(3);
      expect([0, 1, 2].map((i) => recordOf(codec, i).status)).toEqual([STATUS.alive, STATUS.dead, STATUS.left]);
      expect(recordOf(codec, 1)).toEqual(
        record(MESSAGE.pushPull, {
          number: 3,
          name: hexOf('b'),
          ip: '0a000001',
          port: 7946,
          status: STATUS.dead,
          vsn: toHex(VSN),
          vsnLength: 6,
          ext: 5,
        }),
      );
    });

    it('marks states it does not know', () => {
      const codec = createCodec(make);
      for (const raw of ['04', 'ff', 'd300000000ffffffff', 'd380000000ffffffff', 'cf7fffffffffffffff']) {
        deliverState(codec, nodeState({ State: { raw } }));
        expect(codec.indexState(0, 1)).toBeGreaterThan(0);
        expect(recordOf(codec, 0).status).toBe(STATUS_UNKNOWN);
      }
      deliverState(codec, nodeState({ State: { raw: 'cf8000000000000000' } }));
      expect(codec.indexState(0, 1)).toBe(-REJECT.malformed);
      deliverState(codec, nodeState({ State: null }));
      codec.indexState(0, 1);
      expect(recordOf(codec, 0).status).toBe(STATUS.alive);
    });

    it('lets a member that is not alive lack an address', () => {
      const codec = createCodec(make);
      const result = (fields: Record<string, Value>) => {
        deliverState(codec, nodeState(fields));
        return codec.indexState(0, 1);
      };
      expect(result({ Addr: null, State: 2 })).toBeGreaterThan(0);
      expect(result({ Addr: null, State: 9 })).toBeGreaterThan(0);
    });

    it('passes over one odd entry, counted, without losing the others', () => {
      const odd = [
        nodeState({ Addr: null, State: 0 }),
        nodeState({ Addr: '12345', State: 2 }),
        nodeState({ Name: '' }),
        nodeState({ Name: 'n'.repeat(513) }),
        nodeState({ Meta: 'm'.repeat(513) }),
      ];
      for (const entry of odd) {
        const codec = createCodec(make);
        const body = concatBytes([nodeState(), entry, nodeState()]);
        deliverState(codec, body);
        expect(codec.indexState(0, 3)).toBe(body.length);
        const flags = [0, 1, 2].map((i) => codec.u8[codec.recordsOffset + i * RECORD.stride + RECORD.flags]);
        expect(flags).toEqual([0, RECORD_FLAG.refused, 0]);
        expect(codec.u32[CODEC.skippedParts >>> 2]).toBe(1);
      }
    });

    it('leaves nothing behind when one node state cannot be read', () => {
      const codec = createCodec(make);
      const body = concatBytes([nodeState({ Meta: [1, 2] }), nodeState()]);
      deliverState(codec, body.subarray(0, body.length - 1));
      expect(codec.indexState(0, 2)).toBe(-REJECT.truncated);
      expect(codec.u32[CODEC.recordCount >>> 2]).toBe(0);
      expect(unusedIsZero(codec)).toBe(true);
      expect(codec.indexState(0, 1)).toBe(nodeState({ Meta: [1, 2] }).length);
      expect(codec.indexState(body.length, 0)).toBe(-REJECT.truncated);
      expect(codec.indexState(body.length - 1, 0)).toBe(body.length - 1);
      expect(codec.indexState(0, (SIZES.recordCapacity as number) + 1)).toBe(-REJECT.oversized);
      expect(() => codec.indexState(codec.inboxBytes + 1, 0)).toThrow(/from/);
    });
  });

  describe(`packet codec, ${name}: compression`, () => {
    it('compresses only while that is shorter than the output', () => {
      const codec = createCodec(make);
      const text = bytesOf('to be or not to be, that is the question; '.repeat(40));
      const expected = lzw(text);
      const out = new Uint8Array(text.length);
      expect(codec.compress(text, out)).toBe(expected.length);
      expect(out.subarray(0, expected.length)).toEqual(expected);
      expect(codec.compress(text, new Uint8Array(expected.length + 1))).toBe(expected.length);
      expect(codec.compress(text, new Uint8Array(expected.length))).toBe(-1);
      expect(codec.compress(text, new Uint8Array(0))).toBe(-1);
      expect(codec.decompress(expected, out)).toBe(text.length);
      expect(out).toEqual(text);
    });

    it('says why it cannot decompress', () => {
      const codec = createCodec(make);
      const packed = lzw(bytesOf('abcabcabc'));
      expect(codec.decompress(packed, new Uint8Array(8))).toBe(-REJECT.oversized);
      expect(codec.decompress(packed, new Uint8Array(9))).toBe(9);
      expect(codec.decompress(packed.subarray(1), new Uint8Array(9))).toBe(-REJECT.lzwCorrupt);
      expect(codec.decompress(new Uint8Array(0), new Uint8Array(9))).toBe(-REJECT.lzwCorrupt);
    });

    it('goes on with a full table until the next clear code', () => {
      const codec = createCodec(make);
      // The encoder clears before the table is full, so such streams come from others: 9000 codes without a clear.
      const bits: number[] = [];
      let width = 9;
      let high = 257;
      const push = (code: number) => {
        for (let bit = 0; bit < width; bit++) bits.push((code >> bit) & 1);
      };
      push(256);
      for (let i = 0; i < 9000; i++) {
        push(i % 251);
        high++;
        if (high === 1 << width && width < 12) width++;
      }
      // Entry 300 is the 43rd string after the first: bytes 42 and 43.
      push(300);
      push(257);
      const source = new Uint8Array(Math.ceil(bits.length / 8));
      bits.forEach((bit, i) => {
        source[i >> 3] = (source[i >> 3] as number) | (bit << (i & 7));
      });
      const out = new Uint8Array(10_000);
      expect(codec.decompress(source, out)).toBe(9002);
      expect([...out.subarray(9000, 9002)]).toEqual([42, 43]);
      expect(out.subarray(0, 9000).every((byte, i) => byte === i % 251)).toBe(true);
    });
  });

  describe(`packet codec, ${name}: arenas`, () => {
    it('works in shared memory', () => {
      const codec = createCodec(make, { shared: true });
      expect(codec.arena).toBeInstanceOf(SharedArrayBuffer);
      expect(indexed(codec, compressed(compound(ping(), suspect()))).records).toBe(2);
    });

    it('goes on in a bigger arena with the same datagrams', () => {
      const codec = createCodec(make, { recordCapacity: 1 });
      const datagram = compound(ping(), suspect());
      expect(indexed(codec, datagram).codes).toEqual([REJECT.oversized]);
      codec.rehome(grownPacketCodecArena(codec.arena, { recordCapacity: 8, inboxBytes: 200_000 }));
      expect(codec.recordCapacity).toBe(8);
      expect(codec.inboxBytes).toBe(200_000);
      expect(codec.index(1)).toBe(2);
      expect(recordOf(codec, 1).name).toBe(hexOf('charlie'));
    });

    it('keeps a push/pull body when it grows', () => {
      const codec = createCodec(make, { recordCapacity: 1, scratchBytes: 0 });
      const body = concatBytes([nodeState(), nodeState({ Meta: [1] })]);
      deliverState(codec, body);
      expect(codec.indexState(0, 2)).toBe(-REJECT.oversized);
      codec.rehome(grownPacketCodecArena(codec.arena, { recordCapacity: 2 }));
      expect(codec.indexState(0, 2)).toBe(-REJECT.oversized);
      codec.rehome(grownPacketCodecArena(codec.arena, { scratchBytes: 1 }));
      expect(codec.indexState(0, 2)).toBe(body.length);
    });

    it('refuses arenas that are not its own', () => {
      const arena = createPacketCodecArena(SIZES);
      const damaged = (offset: number, value: number) => {
        const copy = arena.slice(0);
        new Uint32Array(copy)[offset >>> 2] = value;
        return copy;
      };
      expect(() => make(damaged(HEADER.magic, 0))).toThrow(/magic/);
      expect(() => make(damaged(HEADER.layoutVersion, 99))).toThrow(/layoutVersion/);
      expect(() => make(damaged(HEADER.kernelId, KERNEL_ID.memberTable))).toThrow(/kernelId/);
      expect(() => make(damaged(HEADER.byteLength, arena.byteLength + 8))).toThrow(/byteLength/);
      for (const field of [HEADER.capacity, CODEC.recordCapacity, CODEC.inboxBytes, CODEC.scratchBytes]) {
        expect(() => make(damaged(field, 0xffffffff))).toThrow(expect.objectContaining({ code: 'ERR_ARENA_INVALID' }));
      }
      expect(() => make(new ArrayBuffer(16))).toThrow(expect.objectContaining({ code: 'ERR_ARENA_INVALID' }));
      expect(() => createPacketCodecArena({ ...SIZES, inboxBytes: -1 })).toThrow(/inboxBytes/);
      expect(() => createPacketCodecArena({ ...SIZES, scratchBytes: 0x7fffffff })).toThrow(/arena/);
    });
  });
}
