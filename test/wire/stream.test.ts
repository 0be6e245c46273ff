import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REJECT } from '../../src/kernels/contract.ts';
import { bytesOf, concatBytes, fromHex, toHex } from '../../src/util/bytes.ts';
import { decodeMessage } from '../../src/wire/decode.ts';
import type { SealOptions } from '../../src/wire/packet.ts';
import { type StreamResult, StreamSeal } from '../../src/wire/stream.ts';
import { parsePushPull, STREAM_LIMITS } from '../../src/wire/stream-body.ts';
import { annotate, encodePushPull, messageNote, nodeState, type StreamNote } from './push-pull.ts';
import { fixedNonce, sealOptions } from './seal-options.ts';
import { type HexValue, vectors } from './vectors.ts';

interface Direction {
  readonly from: string;
  readonly hex?: string;
  readonly decoded?: StreamNote;
}
interface Exchange {
  readonly variant: string;
  readonly exchange: string;
  readonly compression: boolean;
  readonly key: HexValue | null;
  readonly label: string;
  readonly stream: Direction[];
}
const exchanges = vectors<{ exchanges: Exchange[] }>('streams').exchanges;
const good = exchanges.filter(({ exchange }) => !exchange.startsWith('hand-made'));
const bad = exchanges.filter(({ exchange }) => exchange.startsWith('hand-made'));
const KEY = fromHex('101112131415161718191a1b1c1d1e1f');
const PING = fromHex('0082a44e6f6465a5627261766fa55365714e6f2a');

/** The settings of a recorded node; with encryption, version and nonce are those of the recorded bytes. */
function optionsOf({ compression, key, label }: Exchange, hex: string, initiator: boolean): SealOptions {
  const bytes = fromHex(hex);
  const frameAt = initiator && label !== '' ? 2 + label.length : 0;
  return sealOptions({
    compression,
    label,
    protocolVersion: bytes[frameAt + 5] === 0 ? 1 : 2,
    ...(key ? { keys: [fromHex(key.hex)], nonces: fixedNonce(bytes.subarray(frameAt + 6, frameAt + 18)) } : {}),
  });
}

/** Feeds bytes in pieces of one size; the end of the stream follows. */
function read(
  seal: StreamSeal,
  acceptor: boolean,
  bytes: Uint8Array,
  step: number,
  limits = STREAM_LIMITS,
): StreamResult {
  const reader = seal.reader(acceptor, limits);
  for (let at = 0; at < bytes.length; at += step) {
    const result = reader.push(bytes.subarray(at, at + step));
    if (result !== 'more') return result;
  }
  return reader.finish();
}

function messageOf(result: StreamResult): Uint8Array {
  if (result.kind === 'error') throw new Error(`rejected: ${result.text}`);
  return result.message;
}

function errorOf(result: StreamResult): { code: number; answer: string } {
  if (result.kind === 'message') throw new Error(`accepted: ${toHex(result.message)}`);
  return { code: result.code, answer: toHex(result.answer) };
}

describe('recorded streams', () => {
  const directions = good.flatMap((exchange) =>
    exchange.stream.flatMap(({ hex, decoded }, i) =>
      hex
        ? [
            {
              title: `${exchange.variant}: ${exchange.exchange}, ${i === 0 ? 'request' : 'answer'}`,
              exchange,
              hex,
              decoded,
              initiator: i === 0,
            },
          ]
        : [],
    ),
  );

  it.each(directions)('$title', ({ exchange, hex, decoded, initiator }) => {
    const bytes = fromHex(hex);
    const seal = new StreamSeal(optionsOf(exchange, hex, initiator));
    const steps = [...Array.from({ length: Math.min(bytes.length, 40) }, (_, i) => i + 1), bytes.length];
    let message = new Uint8Array(0);
    for (const step of steps) message = new Uint8Array(messageOf(read(seal, initiator, bytes, step)));
    const { note, again } = annotate(message);
    expect(note).toEqual(messageNote(decoded as StreamNote));
    expect(toHex(again)).toBe(toHex(message));
    expect(toHex(seal.wrap(again, initiator))).toBe(hex);
  });

  it('include every type of exchange', () => {
    const kinds = new Set(directions.map(({ decoded }) => Object.keys(messageNote(decoded as StreamNote))[0]));
    expect(kinds).toEqual(new Set(['pushPull', 'user', 'ping', 'ackResp']));
  });
});

describe('recorded bad input', () => {
  it.each(bad)('$variant: $exchange', (exchange) => {
    const [request, answer] = exchange.stream as [Direction, Direction];
    const seal = new StreamSeal(optionsOf(exchange, answer.hex ?? '', false));
    const bytes = fromHex(request.hex ?? '');
    for (const step of [1, 2, 3, bytes.length]) {
      expect(errorOf(read(seal, true, bytes, step)).answer).toBe(answer.hex ?? '');
    }
    if (!answer.hex) return;
    // The initiator reads the answer as an error message with the recorded text.
    const error = decodeMessage(messageOf(read(seal, false, fromHex(answer.hex), 7)));
    if (typeof error === 'number' || error.type !== 'error') throw new Error('expected an error message');
    expect(new TextDecoder().decode(error.text)).toBe(answer.decoded?.errResp?.['Error']);
  });
});

describe('stream reader', () => {
  const plain = new StreamSeal(sealOptions({}));
  const sealed = new StreamSeal(sealOptions({ keys: [KEY], label: 'blue', compression: true }));

  it('wants the label from the initiator and never from the acceptor', () => {
    expect(errorOf(read(sealed, true, sealed.wrap(PING, false), 5))).toEqual({
      code: REJECT.labelMismatch,
      answer: '',
    });
    const labelled = new StreamSeal(sealOptions({ label: 'blue' }));
    expect(errorOf(read(plain, true, labelled.wrap(PING, true), 1))).toEqual({
      code: REJECT.labelMismatch,
      answer: '',
    });
    expect(errorOf(read(labelled, false, labelled.wrap(PING, true), 1))).toEqual({
      code: REJECT.unknownType,
      answer: '',
    });
    expect(errorOf(read(labelled, true, fromHex('f4ff00'), 1)).code).toBe(REJECT.truncated);
    expect(toHex(messageOf(read(labelled, true, labelled.wrap(PING, true), 1)))).toBe(toHex(PING));
  });

  it('authenticates the label in both directions', () => {
    const other = new StreamSeal(sealOptions({ keys: [KEY], label: 'teal' }));
    const ack = fromHex('0282a75061796c6f6164c0a55365714e6f01');
    expect(errorOf(read(other, false, sealed.wrap(ack, false), 9))).toEqual({ code: REJECT.decryptFailed, answer: '' });
    expect(toHex(messageOf(read(sealed, false, sealed.wrap(ack, false), 9)))).toBe(toHex(ack));
  });

  it('reads both ways while encryption is being switched on', () => {
    const lenient = new StreamSeal(sealOptions({ keys: [KEY], verifyIncoming: false, verifyOutgoing: false }));
    expect(toHex(lenient.wrap(PING, true))).toBe(toHex(PING));
    expect(toHex(messageOf(read(lenient, true, PING, 4)))).toBe(toHex(PING));
    const strict = new StreamSeal(sealOptions({ keys: [KEY] }));
    expect(toHex(messageOf(read(lenient, true, strict.wrap(PING, true), 4)))).toBe(toHex(PING));
  });

  it('gives its result again and ignores what follows a message', () => {
    const reader = plain.reader(true);
    const first = reader.push(concatBytes([PING, bytesOf('trailing')]));
    expect(toHex(messageOf(first as StreamResult))).toBe(toHex(PING));
    expect(reader.push(bytesOf('more'))).toBe(first);
    expect(reader.finish()).toBe(first);
  });

  it('tells an empty stream from one that ended early, and answers neither', () => {
    expect(errorOf(plain.reader(true).finish())).toEqual({ code: REJECT.empty, answer: '' });
    for (let end = 1; end < PING.length; end++) {
      expect(errorOf(read(plain, true, PING.subarray(0, end), 3))).toEqual({ code: REJECT.truncated, answer: '' });
    }
  });

  it('takes only the types that belong in its direction', () => {
    const bodies: Record<number, string> = { 0: '80', 2: '80', 6: '80', 8: '80', 13: '80' };
    const accepted = (acceptor: boolean): number[] =>
      Array.from({ length: 256 }, (_, type) => type).filter((type) => {
        const bytes = fromHex(type.toString(16).padStart(2, '0') + (bodies[type] ?? '80'));
        return read(plain, acceptor, bytes, 1).kind === 'message';
      });
    expect(accepted(true)).toEqual([0, 6, 8, 203]);
    expect(accepted(false)).toEqual([2, 6, 13]);
  });

  it('reads what a memberlist node may send in other forms: list, nil, 16 and 32-bit headers', () => {
    for (const hex of [
      '069300 00 c2',
      '06c0',
      '06dd0000000301 00c3c0',
      '06df00000001a54e6f6465730280c0',
      '08910261 62',
      '0081a353657180',
    ]) {
      const bytes = fromHex(hex.replaceAll(' ', ''));
      for (let step = 1; step <= bytes.length; step++)
        expect([hex, messageOf(read(plain, true, bytes, step)).length]).toEqual([hex, bytes.length]);
    }
  });

  it('refuses counts beyond the limits before it reads on', () => {
    const header = (nodes: string, user: string): Uint8Array => fromHex(`0693${nodes}${user}c2`);
    for (const bytes of [
      header('ff', '00'),
      header('d200100001', '00'),
      header('00', 'ff'),
      header('00', 'd201400001'),
      header('cf7fffffffffffffff', '00'),
    ]) {
      expect(errorOf(read(plain, true, bytes, 1))).toEqual({ code: REJECT.oversized, answer: '' });
    }
    expect(errorOf(read(plain, true, fromHex('0891d201400001'), 1)).code).toBe(REJECT.oversized);
    expect(errorOf(read(plain, true, fromHex('0891ff'), 1)).code).toBe(REJECT.oversized);
    expect(errorOf(read(plain, true, header('a0', '00'), 1)).code).toBe(REJECT.malformed);
    expect(errorOf(read(plain, true, concatBytes([header('01', '00'), fromHex('05')]), 1)).code).toBe(REJECT.malformed);
  });

  it('does not reserve what is only announced', () => {
    const before = process.memoryUsage().arrayBuffers;
    const readers = [
      fromHex('0a013fffff01'),
      fromHex('0891d201400000aa'),
      fromHex('0693d20010000000c2'),
      fromHex('0982a4416c676f00a3427566db01400000'),
    ].flatMap((bytes, i) =>
      Array.from({ length: 100 }, () => {
        const reader = (i === 0 ? new StreamSeal(sealOptions({ keys: [KEY] })) : plain).reader(true);
        expect(reader.push(bytes)).toBe('more');
        return reader;
      }),
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1048576);
    expect(readers).toHaveLength(400);
  });

  it('bounds every part of a message', () => {
    const small = {
      ...STREAM_LIMITS,
      valueBytes: 200,
      statesBytes: 1000,
      compressedBytes: 300,
      decompressedBytes: 5000,
      frameBytes: 400,
    };
    const push = (nodes: number, meta: number): Uint8Array =>
      encodePushPull(
        false,
        Array.from({ length: nodes }, (_, i) => nodeState(`n${i}`, 'm'.repeat(meta))),
        new Uint8Array(0),
      );
    for (const step of [1, 50, 100000]) {
      expect(messageOf(read(plain, true, push(9, 10), step, small))).toHaveLength(push(9, 10).length);
      expect(errorOf(read(plain, true, push(1, 300), step, small))).toEqual({ code: REJECT.oversized, answer: '' });
      expect(errorOf(read(plain, true, push(20, 10), step, small))).toEqual({ code: REJECT.oversized, answer: '' });
    }
    const packed = new StreamSeal(sealOptions({ compression: true }));
    const noise = new Uint8Array(300).map((_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
    const user = (payload: Uint8Array): Uint8Array =>
      concatBytes([fromHex(`0891cd${payload.length.toString(16).padStart(4, '0')}`), payload]);
    expect(errorOf(read(packed, true, packed.wrap(user(noise), true), 60, small)).code).toBe(REJECT.oversized);
    const bomb = errorOf(read(packed, true, packed.wrap(user(new Uint8Array(6000)), true), 60, small));
    expect([bomb.code, bomb.answer === '']).toEqual([REJECT.oversized, false]);
    const locked = new StreamSeal(sealOptions({ keys: [KEY] }));
    const framed = (payload: number): StreamResult =>
      read(locked, true, locked.wrap(user(new Uint8Array(payload)), true), 50, small);
    expect(messageOf(framed(360))).toHaveLength(366 - 1);
    const frame = errorOf(framed(380));
    expect([frame.code, frame.answer === '']).toEqual([REJECT.oversized, false]);
  });

  it('takes a drip of single bytes in linear time', () => {
    const message = encodePushPull(
      true,
      Array.from({ length: 4000 }, (_, i) => nodeState(`node-${i}`)),
      new Uint8Array(50000),
    );
    expect(messageOf(read(plain, true, message, 1))).toHaveLength(message.length);
    // One value that never ends: 60 000 nested lists, which a reader that starts over would walk again with every byte.
    const nested = new Uint8Array(60000).fill(0x91);
    nested.set(fromHex('0681a178'));
    expect(errorOf(read(plain, true, nested, 1)).code).toBe(REJECT.truncated);
  });

  it('gives the same result however the bytes are cut, and never throws', () => {
    const seals = [plain, sealed, new StreamSeal(sealOptions({ keys: [KEY], verifyIncoming: false }))];
    const samples = exchanges.flatMap(({ stream }) => stream.flatMap(({ hex }) => (hex ? [fromHex(hex)] : [])));
    samples.push(
      ...[PING, encodePushPull(true, [nodeState('a'), nodeState('b')], bytesOf('state'))].flatMap((m) =>
        seals.map((seal) => seal.wrap(m, true)),
      ),
    );
    const mutated = fc
      .tuple(
        fc.constantFrom(...samples),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }),
      )
      .map(([sample, edits]) => {
        const copy = sample.slice();
        for (const [at, value] of edits) copy[at % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(
        fc.oneof(mutated, fc.uint8Array({ maxLength: 80 })),
        fc.integer({ min: 1, max: 20 }),
        fc.boolean(),
        (bytes, step, acceptor) => {
          for (const seal of seals) {
            const [whole, cut] = [read(seal, acceptor, bytes, bytes.length || 1), read(seal, acceptor, bytes, step)];
            expect(cut.kind).toBe(whole.kind);
            if (whole.kind === 'message') expect(messageOf(cut)).toEqual(whole.message);
            else expect(errorOf(cut).code).toBe(whole.code);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('gives back what was wrapped, under all settings', () => {
    fc.assert(
      fc.property(
        fc.record({
          join: fc.boolean(),
          names: fc.array(fc.string({ maxLength: 20 }), { maxLength: 8 }),
          userState: fc.uint8Array({ maxLength: 300 }),
        }),
        fc.record({
          compression: fc.boolean(),
          label: fc.constantFrom('', 'blue'),
          protocolVersion: fc.constantFrom(1, 2),
          keys: fc.constantFrom<Uint8Array[]>([], [KEY]),
        }),
        fc.boolean(),
        fc.integer({ min: 1, max: 64 }),
        ({ join, names, userState }, settings, initiator, step) => {
          const seal = new StreamSeal(sealOptions(settings));
          const message = encodePushPull(
            join,
            names.map((name) => nodeState(name)),
            userState,
          );
          const result = messageOf(read(seal, initiator, seal.wrap(message, initiator), step));
          expect(result).toEqual(message);
          const head = parsePushPull(result);
          expect(head).toMatchObject({ join, nodes: names.length, userStateLength: userState.length });
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('push/pull head', () => {
  it('is refused when the message cannot hold what it announces', () => {
    const message = encodePushPull(true, [nodeState('a')], bytesOf('state'));
    expect(parsePushPull(message)).toMatchObject({ nodes: 1, userStateLength: 5, userStateOffset: message.length - 5 });
    expect(parsePushPull(new Uint8Array(0))).toBe(-REJECT.empty);
    expect(parsePushPull(PING)).toBe(-REJECT.unknownType);
    expect(parsePushPull(message.subarray(0, 12))).toBe(-REJECT.truncated);
    expect(parsePushPull(fromHex('0693cd100000c2'))).toBe(-REJECT.truncated);
    expect(parsePushPull(fromHex('069300ffc2'))).toBe(-REJECT.oversized);
    expect(parsePushPull(fromHex('0605'))).toBe(-REJECT.malformed);
  });
});
