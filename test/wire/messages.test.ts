import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MESSAGE, REJECT } from '../../src/kernels/contract.ts';
import { bytesOf, concatBytes, fromHex, toHex } from '../../src/util/bytes.ts';
import { AVERAGE_BYTES, encodeAverage, parseAverage } from '../../src/wire/average.ts';
import {
  decodeMessage,
  type Message,
  readNodeState,
  readPushPullHeader,
  readUserHeader,
} from '../../src/wire/decode.ts';
import {
  compressHeaderBytes,
  encodeAlive,
  encodeCompress,
  encodeNodeState,
  encodePing,
  encodePushPullHeader,
  encodeUserHeader,
} from '../../src/wire/messages.ts';
import { MsgpackReader } from '../../src/wire/msgpack.ts';
import { encodeRumor, parseRumor, rumorPrefixBytes } from '../../src/wire/rumor.ts';
import { asFields, bytesField, encoded, encodeMessage, type Fields } from './encode.ts';
import { vectors } from './vectors.ts';

interface MessageCase {
  readonly message: string;
  readonly type: number | null;
  readonly note: string;
  readonly fields: Fields;
  readonly hex: string;
  readonly legacy_hex?: string;
}
interface AcceptVerdict {
  readonly ok: boolean;
  readonly fields?: Fields;
}
interface AcceptCase {
  readonly case: string;
  readonly target: string;
  readonly hex: string;
  readonly current: AcceptVerdict;
}

const messages = vectors<{ cases: MessageCase[] }>('memberlist-messages').cases;
const accept = vectors<{ cases: AcceptCase[] }>('msgpack-accept').cases;

/** Structures without a type byte of their own. */
function decodePart(kind: string, body: Uint8Array): object | undefined {
  const reader = new MsgpackReader(body);
  const read = { pushPullHeader: readPushPullHeader, pushNodeState: readNodeState, userMsgHeader: readUserHeader }[
    kind
  ];
  if (!read) return undefined;
  const value = read(reader);
  if (!reader.ok) return undefined;
  return 'length' in value ? { userMsgLen: value.length } : value;
}

function encodePart(kind: string, part: object): Uint8Array {
  if (kind === 'pushNodeState') {
    return encoded((out, at) => encodeNodeState(out, at, part as ReturnType<typeof readNodeState>));
  }
  if (kind === 'pushPullHeader') {
    return encoded((out, at) => encodePushPullHeader(out, at, part as ReturnType<typeof readPushPullHeader>)).subarray(
      1,
    );
  }
  return encoded((out, at) => encodeUserHeader(out, at, (part as { userMsgLen: number }).userMsgLen)).subarray(1);
}

function fieldsOfPart(part: object): Fields {
  return 'userMsgLen' in part ? { UserMsgLen: part.userMsgLen as number } : asFields(part);
}

describe('messages', () => {
  it.each(messages.filter((row) => row.type !== null && row.message !== 'user'))(
    '$message decodes to its fields and encodes to the same bytes: $note',
    ({ fields, hex }) => {
      const bytes = fromHex(hex);
      const message = decodeMessage(bytes) as Message;
      expect(asFields(message)).toEqual(fields);
      expect(toHex(encodeMessage(message))).toBe(hex);
    },
  );

  it.each(messages.filter((row) => row.message === 'user'))(
    'a user message is its type byte and the payload',
    ({ fields, hex }) => {
      const message = decodeMessage(fromHex(hex)) as Message & { type: 'user' };
      expect(message.payload).toEqual(bytesField(fields, 'payload'));
      expect(toHex(encodeMessage(message))).toBe(hex);
    },
  );

  it.each(messages.filter((row) => row.type === null))(
    '$message decodes, in the older form too, and encodes: $fields',
    (row) => {
      const part = decodePart(row.message, fromHex(row.hex)) as object;
      expect(fieldsOfPart(part)).toEqual(row.fields);
      expect(toHex(encodePart(row.message, part))).toBe(row.hex);
      if (row.legacy_hex !== undefined) {
        expect(fieldsOfPart(decodePart(row.message, fromHex(row.legacy_hex)) as object)).toEqual(row.fields);
      }
    },
  );

  it.each(accept)('reads like the current generation: $target, $case', ({ target, hex, current }) => {
    const body = fromHex(hex);
    const type = { ping: MESSAGE.ping, indirectPing: MESSAGE.indirectPing, alive: MESSAGE.alive }[target];
    if (type === undefined) {
      const part = decodePart(target, body);
      expect(part !== undefined).toBe(current.ok);
      if (part) expect(fieldsOfPart(part)).toEqual(current.fields);
      return;
    }
    const message = decodeMessage(concatBytes([new Uint8Array([type]), body]));
    expect(typeof message !== 'number', String(message)).toBe(current.ok);
    if (typeof message !== 'number') expect(asFields(message)).toEqual(current.fields);
  });

  it('tells a body cut short from one that cannot be read', () => {
    const ping = fromHex('0082a44e6f6465a161a55365714e6f05');
    for (let end = 1; end < ping.length; end++) expect(decodeMessage(ping, 0, end)).toBe(-REJECT.truncated);
    expect(decodeMessage(ping, 3, 3)).toBe(-REJECT.empty);
    expect(decodeMessage(fromHex('00a161'))).toBe(-REJECT.malformed);
    expect(decodeMessage(fromHex('6380'))).toBe(-REJECT.unknownType);
  });

  it('carries the extension word in byte order among the keys, and older readers can skip it', () => {
    const ext = 0x0701;
    const node = bytesOf('n');
    const none = new Uint8Array(0);
    const samples: Uint8Array[] = [
      encodeMessage({ type: 'ping', seqNo: 1, node, sourceAddr: null, sourcePort: 0, sourceNode: none, ext }),
      encodeMessage({ type: 'ack', seqNo: 1, payload: null, ext }),
      encodeMessage({ type: 'alive', incarnation: 1, node, addr: null, port: 1, meta: null, vsn: null, ext }),
    ];
    for (const bytes of samples) {
      expect((decodeMessage(bytes) as { ext: number }).ext).toBe(ext);
      const keys = keysOf(bytes.subarray(1));
      expect(keys).toContain('Hs');
      expect(keys).toEqual([...keys].sort());
    }
    const state = encoded((out, at) =>
      encodeNodeState(out, at, {
        name: node,
        addr: null,
        port: 1,
        meta: null,
        incarnation: 1,
        state: 0,
        vsn: null,
        ext,
      }),
    );
    expect(readNodeState(new MsgpackReader(state)).ext).toBe(ext);
    expect(keysOf(state)).toEqual([...keysOf(state)].sort());
    // A reader that does not know the key sees a message without it: memberlist skips unknown keys (the accept table).
    const plain = encodeMessage({ type: 'ack', seqNo: 1, payload: null, ext: 0 });
    expect(keysOf(plain.subarray(1))).toEqual(['Payload', 'SeqNo']);
    expect((decodeMessage(plain) as { ext: number }).ext).toBe(0);
  });

  it('says how much room a message needs when there is too little, and writes nothing behind the end', () => {
    const ping = {
      seqNo: 70000,
      node: bytesOf('bravo'),
      sourceAddr: fromHex('0a000001'),
      sourcePort: 7946,
      sourceNode: bytesOf('alpha'),
    };
    const whole = encoded((out, at) => encodePing(out, at, ping));
    for (let room = 0; room < whole.length; room++) {
      const out = new Uint8Array(whole.length);
      expect(encodePing(out.subarray(0, room), 0, ping)).toBe(-whole.length);
      expect(out.subarray(room).every((byte) => byte === 0)).toBe(true);
    }
    const shifted = new Uint8Array(whole.length + 3);
    expect(encodePing(shifted, 3, ping)).toBe(whole.length + 3);
    expect(shifted.subarray(3)).toEqual(whole);
  });

  it('counts the bytes before the LZW data of a compress message', () => {
    for (const length of [0, 31, 32, 255, 65535, 65536]) {
      const data = new Uint8Array(length);
      expect(encoded((out, at) => encodeCompress(out, at, data), 70000).length).toBe(
        compressHeaderBytes(length) + length,
      );
    }
  });

  it('gives back any message, with names that are not UTF-8', () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    const u32 = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 4294967295 }));
    const u16 = fc.integer({ min: 0, max: 65535 });
    const field = fc.oneof(fc.constant(null), bytes);
    const present = fc.oneof(fc.constant(null), fc.uint8Array({ minLength: 1, maxLength: 16 }));
    const source = { sourceAddr: present, sourcePort: u16, sourceNode: bytes };
    const anyMessage: fc.Arbitrary<Message> = fc.oneof(
      fc.record({ type: fc.constant('ping' as const), seqNo: u32, node: bytes, ...source, ext: u32 }),
      fc.record({
        type: fc.constant('indirectPing' as const),
        seqNo: u32,
        target: field,
        port: u16,
        node: bytes,
        nack: fc.boolean(),
        ...source,
      }),
      fc.record({ type: fc.constant('ack' as const), seqNo: u32, payload: field, ext: u32 }),
      fc.record({ type: fc.constant('nack' as const), seqNo: u32 }),
      fc.record({
        type: fc.constantFrom('suspect' as const, 'dead' as const),
        incarnation: u32,
        node: bytes,
        from: bytes,
      }),
      fc.record({
        type: fc.constant('alive' as const),
        incarnation: u32,
        node: bytes,
        addr: field,
        port: u16,
        meta: field,
        vsn: field,
        ext: u32,
      }),
      fc.record({ type: fc.constant('error' as const), text: bytes }),
      fc.record({ type: fc.constant('user' as const), payload: bytes }),
      fc.record({
        type: fc.constant('rumor' as const),
        id: fc.uint8Array({ minLength: 8, maxLength: 8 }),
        origin: fc.uint8Array({ maxLength: 255 }),
        payload: bytes,
      }),
      fc.record({
        type: fc.constant('average' as const),
        kind: fc.constant(0),
        id: fc.uint8Array({ minLength: 8, maxLength: 8 }),
        cycles: fc.nat(255),
        value: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    );
    fc.assert(
      fc.property(anyMessage, (message) => {
        expect(decodeMessage(encodeMessage(message))).toEqual(message);
      }),
      { numRuns: 400 },
    );
  });

  it('never throws on random and on mutated bytes, and answers within the input', () => {
    const samples = messages.filter((row) => row.type !== null).map((row) => fromHex(row.hex));
    const mutated = fc
      .tuple(
        fc.constantFrom(...samples),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      )
      .map(([sample, edits]) => {
        const copy = sample.slice();
        for (const [at, value] of edits) copy[at % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        const result = decodeMessage(bytes);
        if (typeof result === 'number') expect(result).toBeLessThan(0);
        else
          for (const value of Object.values(result))
            if (value instanceof Uint8Array) expect(value.length).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('alive', () => {
  it('sends nil for null and an empty raw for empty, which readers treat alike', () => {
    const base = { incarnation: 1, node: bytesOf('a'), addr: null, port: 0, vsn: null };
    const hex = (meta: Uint8Array | null): string =>
      toHex(encoded((out, at) => encodeAlive(out, at, { ...base, meta })));
    expect(hex(null)).toContain('a44d657461c0');
    expect(hex(new Uint8Array(0))).toContain('a44d657461a0');
  });
});

describe('average', () => {
  const average = { kind: 1, id: fromHex('0102030405060708'), cycles: 7, value: -0.25 };

  it('is 19 bytes: type, kind, id, cycles, value', () => {
    const out = new Uint8Array(AVERAGE_BYTES);
    expect(encodeAverage(out, 0, average)).toBe(19);
    expect(toHex(out)).toBe('ca01010203040506070807000000000000d0bf');
    expect(parseAverage(out.subarray(1))).toEqual(average);
  });

  it.each([
    ['cut short', 'ca01010203040506070807000000000000d0', -REJECT.truncated],
    ['of another kind', 'ca02010203040506070807000000000000d0bf', -REJECT.fieldInvalid],
    ['with NaN', 'ca00010203040506070807000000000000f87f', -REJECT.fieldInvalid],
    ['with a value beyond its range', 'ca000102030405060708070000000000000040', -REJECT.fieldInvalid],
  ])('%s is refused', (_, hex, code) => {
    expect(parseAverage(fromHex(hex).subarray(1))).toBe(code);
  });
});

describe('rumor', () => {
  const rumor = { id: fromHex('0102030405060708'), origin: bytesOf('alpha'), payload: bytesOf('hi') };

  it('is type 200, the id, the name with its length, the payload', () => {
    const bytes = encoded((out, at) => encodeRumor(out, at, rumor));
    expect(toHex(bytes)).toBe('c8010203040506070805616c7068616869');
    expect(rumorPrefixBytes(5)).toBe(bytes.length - 2);
    expect(parseRumor(bytes)).toEqual(rumor);
  });

  it('is refused when the prefix is cut short', () => {
    const bytes = encoded((out, at) => encodeRumor(out, at, rumor));
    for (let end = 0; end < 15; end++) expect(parseRumor(bytes, 0, end)).toBe(-REJECT.truncated);
    expect(typeof parseRumor(bytes, 0, 15)).toBe('object');
  });

  it('asks for the room it needs and refuses a name that its length byte cannot hold', () => {
    expect(encodeRumor(new Uint8Array(16), 0, rumor)).toBe(-17);
    expect(() => encodeRumor(new Uint8Array(600), 0, { ...rumor, origin: new Uint8Array(256) })).toThrow(/at most 255/);
  });
});

function keysOf(body: Uint8Array): string[] {
  const reader = new MsgpackReader(body);
  reader.openStruct();
  const keys: string[] = [];
  for (let i = 0; i < reader.entries; i++) {
    reader.readText();
    keys.push(new TextDecoder().decode(reader.content()));
    reader.skip();
  }
  expect(reader.ok).toBe(true);
  return keys;
}
