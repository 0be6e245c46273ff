import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REJECT } from '../../src/kernels/contract.ts';
import { bytesEqual, fromHex, toHex } from '../../src/util/bytes.ts';
import { Keyring } from '../../src/wire/keyring.ts';
import { PacketSeal } from '../../src/wire/packet.ts';
import { encodeMessage } from './encode.ts';
import { openPacket } from './open-packet.ts';
import { fixedNonce, sealOptions } from './seal-options.ts';
import { type HexValue, vectors } from './vectors.ts';

interface LayerCase {
  readonly compression: boolean;
  readonly crc: boolean;
  readonly encryption_version: number | null;
  readonly key: HexValue | null;
  readonly nonce: string | null;
  readonly label: string;
  readonly packet: string;
  readonly payload: string;
  readonly payload_note: string;
}
const cases = vectors<{ cases: LayerCase[] }>('packet-layers').cases.map((row) => ({
  ...row,
  title: [
    row.payload_note.split(' ', 1)[0],
    row.compression ? 'compression' : '',
    row.crc ? 'CRC' : '',
    row.key ? `AES-${row.key.hex.length * 4} version ${row.encryption_version}` : '',
    row.label === '' ? '' : 'label',
  ]
    .filter((text) => text !== '')
    .join(', '),
}));
const KEY = fromHex('101112131415161718191a1b1c1d1e1f');
const OTHER = fromHex('202122232425262728292a2b2c2d2e2f');
const PING = fromHex('0082a44e6f6465a5627261766fa55365714e6f2a');

describe('packet seal', () => {
  it.each(cases)(
    'seals and opens as memberlist does: $title',
    ({ compression, crc, encryption_version, key, nonce, label, packet, payload }) => {
      const seal = new PacketSeal(
        sealOptions({
          compression,
          label,
          protocolVersion: encryption_version === 0 ? 1 : 2,
          ...(key ? { keys: [fromHex(key.hex)], nonces: fixedNonce(fromHex(nonce ?? '')) } : {}),
        }),
      );
      const message = fromHex(payload);
      expect(toHex(seal.seal(message, crc))).toBe(packet);
      const opened = openPacket(seal, fromHex(packet));
      if (typeof opened === 'number') throw new Error(`rejected with ${opened}`);
      expect(opened.crc).toBe(crc);
      expect(opened.messages.length).toBe(opened.compound ? 6 : 1);
      for (const part of opened.messages) expect(payload).toContain(toHex(encodeMessage(part)));
    },
  );

  it('hands the message itself on when no layer applies, and otherwise bytes that later packets leave alone', () => {
    expect(new PacketSeal(sealOptions({})).seal(PING, false)).toBe(PING);
    const seal = new PacketSeal(sealOptions({ label: 'blue', keys: [KEY] }));
    const packets = Array.from({ length: 500 }, () => seal.seal(PING, true));
    const copies = packets.map((bytes) => toHex(bytes));
    seal.seal(new Uint8Array(40000), true);
    expect(packets.map((bytes) => toHex(bytes))).toEqual(copies);
    expect(new Set(copies).size).toBe(500);
  });

  it('counts label and encryption for budgets, encryption for gossip even while outgoing is not encrypted', () => {
    const overhead = (settings: Parameters<typeof sealOptions>[0]): number[] => {
      const seal = new PacketSeal(sealOptions(settings));
      return [seal.overheadBytes, seal.gossipOverheadBytes];
    };
    expect(overhead({})).toEqual([0, 0]);
    expect(overhead({ label: 'blue' })).toEqual([6, 6]);
    expect(overhead({ keys: [KEY] })).toEqual([29, 29]);
    expect(overhead({ keys: [KEY], protocolVersion: 1, label: 'blue' })).toEqual([51, 51]);
    expect(overhead({ keys: [KEY], verifyOutgoing: false })).toEqual([0, 29]);
  });

  it('follows the keyring at once', () => {
    const ring = Keyring.create([], KEY);
    const seal = new PacketSeal({ ...sealOptions({}), keyring: ring });
    const old = seal.seal(PING, false);
    ring.add(OTHER);
    ring.use(OTHER);
    const fresh = seal.seal(PING, false);
    expect([seal.open(old), seal.open(fresh)].map((bytes) => toHex(bytes as Uint8Array))).toEqual([
      toHex(PING),
      toHex(PING),
    ]);
    ring.remove(KEY);
    expect(seal.open(old)).toBe(-REJECT.decryptFailed);
    expect(toHex(seal.open(fresh) as Uint8Array)).toBe(toHex(PING));
  });

  it('says why it refuses', () => {
    const seal = new PacketSeal(sealOptions({ keys: [KEY], label: 'blue' }));
    const from = (settings: Parameters<typeof sealOptions>[0]): Uint8Array =>
      new PacketSeal(sealOptions(settings)).seal(PING, false);
    expect(seal.open(new Uint8Array(0))).toBe(-REJECT.empty);
    expect(seal.open(fromHex('f404626c7565'))).toBe(-REJECT.empty);
    expect(seal.open(fromHex('f4'))).toBe(-REJECT.labelMalformed);
    expect(seal.open(from({ keys: [KEY] }))).toBe(-REJECT.labelMismatch);
    expect(seal.open(from({ label: 'red', keys: [KEY] }))).toBe(-REJECT.labelMismatch);
    expect(seal.open(from({ label: 'blue', keys: [OTHER] }))).toBe(-REJECT.decryptFailed);
    expect(seal.open(from({ label: 'blue' }))).toBe(-REJECT.decryptFailed);
    expect(seal.open(fromHex(`f404626c756504${'00'.repeat(40)}`))).toBe(-REJECT.notEncrypted);
    // The label is authenticated: an envelope made under another label does not open under ours.
    const moved = from({ label: 'teal', keys: [KEY] });
    moved.set(fromHex('626c7565'), 2);
    expect(seal.open(moved)).toBe(-REJECT.decryptFailed);
  });

  it('lets unencrypted packets in while encryption is being switched on', () => {
    const seal = new PacketSeal(sealOptions({ keys: [KEY], verifyIncoming: false, verifyOutgoing: false }));
    expect(seal.open(PING)).toBe(PING);
    const encrypted = new PacketSeal(sealOptions({ keys: [KEY] })).seal(PING, false);
    expect(toHex(seal.open(encrypted) as Uint8Array)).toBe(toHex(PING));
    expect(seal.seal(PING, false)).toBe(PING);
  });

  it('uses the configured label for decryption when somebody else has removed the header', () => {
    const sealed = new PacketSeal(sealOptions({ keys: [KEY], label: 'blue' })).seal(PING, false);
    const behind = new PacketSeal(sealOptions({ keys: [KEY], label: 'blue', skipInboundLabelCheck: true }));
    expect(toHex(behind.open(sealed.subarray(6)) as Uint8Array)).toBe(toHex(PING));
    expect(behind.open(sealed)).toBe(-REJECT.labelMismatch);
  });

  it('calls an injected compressor and keeps the message when the result is not shorter', () => {
    const rooms: number[] = [];
    const message = new Uint8Array(200).fill(8);
    const sealWith = (length: number): Uint8Array =>
      new PacketSeal(
        sealOptions({
          compression: true,
          compress: (_, out) => {
            rooms.push(out.length);
            return length;
          },
        }),
      ).seal(message, false);
    expect(sealWith(-1)).toBe(message);
    expect(sealWith(185)).toBe(message);
    expect(sealWith(184)).toHaveLength(199);
    expect(rooms.every((room) => room < 200)).toBe(true);
  });

  it('never throws on random and mutated datagrams', () => {
    const seals = [
      new PacketSeal(sealOptions({})),
      new PacketSeal(sealOptions({ keys: [KEY, OTHER], label: 'blue' })),
      new PacketSeal(sealOptions({ keys: [KEY], verifyIncoming: false })),
    ];
    const samples = cases.map((row) => fromHex(row.packet));
    const mutated = fc
      .tuple(fc.constantFrom(...samples), fc.nat(), fc.integer({ min: 0, max: 255 }))
      .map(([sample, at, value]) => {
        const copy = sample.slice(0, 1 + (at % sample.length));
        copy[(at >> 3) % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        for (const seal of seals) {
          const opened = openPacket(seal, bytes);
          if (typeof opened === 'number') expect(opened).toBeLessThan(0);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('opens whatever it sealed', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 600 }),
        fc.boolean(),
        fc.constantFrom('', 'blue'),
        fc.constantFrom<readonly Uint8Array[]>([], [KEY]),
        (payload, crc, label, keys) => {
          const seal = new PacketSeal(sealOptions({ compression: true, label, keys }));
          const message = new Uint8Array([8, ...payload, ...payload, ...payload]);
          const opened = openPacket(seal, seal.seal(message, crc));
          if (typeof opened === 'number') throw new Error(`rejected with ${opened}`);
          const [first] = opened.messages;
          expect(first?.type === 'user' && bytesEqual(first.payload, message.subarray(1))).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});
