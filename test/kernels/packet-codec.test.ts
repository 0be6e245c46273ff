import { describe, expect, it } from 'vitest';
import { MESSAGE, type PacketCodec, REJECT } from '../../src/kernels/contract.ts';
import { CODEC } from '../../src/kernels/layout.ts';
import { bytesOf, concatBytes, fromHex, toHex } from '../../src/util/bytes.ts';
import { packetCodecBodyContract } from './packet-codec.body-contract.ts';
import { packetCodecContract } from './packet-codec.contract.ts';
import {
  createCodec,
  deliverState,
  ENGINES,
  indexed,
  type ReadRecord,
  record,
  recordOf,
  resultOf,
  vectors,
} from './packet-codec.fixtures.ts';

interface Hex {
  hex: string;
}
type Fields = Record<string, number | boolean | string | Hex | null>;

interface MessageCase {
  message: string;
  type: number | null;
  note: string;
  fields: Fields | null;
  hex: string;
  legacy_hex?: string;
}
interface AcceptCase {
  case: string;
  target: string;
  hex: string;
  current: { ok: boolean; fields?: Fields };
}
interface CompoundVectors {
  encode: { hex: string; parts: string[]; note: string }[];
  decode: { hex: string; parts: string[]; note: string; truncated: number; error?: string }[];
}
interface LzwVectors {
  cases: { note: string; input?: string; lzw?: string; message?: string }[];
  decode: { note: string; body: string; error: string }[];
}
interface LayersCase {
  key: unknown;
  label: string;
  packet: string;
  payload: string;
}
interface TraceEntry {
  kind: string;
  hex: string;
  decoded: Record<string, unknown>;
}
interface StreamVectors {
  exchanges: { variant: string; exchange: string; stream: { hex: string; decoded?: { pushPull?: PushPull } }[] }[];
}
interface PushPull {
  header: { Nodes: number; UserStateLen: number };
  nodes: Fields[];
}

const KINDS: Readonly<Record<string, number>> = {
  ping: MESSAGE.ping,
  indirectPing: MESSAGE.indirectPing,
  ackResp: MESSAGE.ack,
  nackResp: MESSAGE.nack,
  suspect: MESSAGE.suspect,
  alive: MESSAGE.alive,
  dead: MESSAGE.dead,
  pushNodeState: MESSAGE.pushPull,
};

const hexIn = (value: Fields[string] | undefined) => (typeof value === 'object' ? (value?.hex ?? '') : '');
const textIn = (value: Fields[string] | undefined) =>
  typeof value === 'string' ? toHex(bytesOf(value)) : hexIn(value);
const numberIn = (value: Fields[string] | undefined) => Number(value ?? 0);

/** The record that a message with these fields (of the vectors' JSON) becomes. */
function expected(kind: number, fields: Fields): ReadRecord {
  const vsn = hexIn(fields['Vsn']);
  return record(kind, {
    number: numberIn(fields['SeqNo'] ?? fields['Incarnation']),
    port: numberIn(fields['Port']),
    name: textIn(fields['Node'] ?? fields['Name']),
    from: textIn(fields['From'] ?? fields['SourceNode']),
    ip: hexIn(fields['Addr'] ?? fields['Target']),
    data: hexIn(fields['Meta'] ?? fields['Payload']),
    vsn,
    vsnLength: vsn.length / 2,
    status: numberIn(fields['State']),
    sourceIp: hexIn(fields['SourceAddr']),
    sourcePort: numberIn(fields['SourcePort']),
    nack: fields['Nack'] === true ? 1 : 0,
  });
}

/** Our own limits: what memberlist's decoder passes and no member can be made of. */
function isRefused(kind: number, fields: Fields): boolean {
  const wantsAddress = kind === MESSAGE.alive || kind === MESSAGE.indirectPing;
  const wantsName =
    kind === MESSAGE.alive || kind === MESSAGE.suspect || kind === MESSAGE.dead || kind === MESSAGE.pushPull;
  const ip = hexIn(fields['Addr'] ?? fields['Target']);
  return (wantsAddress && ip.length !== 8 && ip.length !== 32) || (wantsName && !(fields['Node'] ?? fields['Name']));
}

const typed = (type: number, body: string) => concatBytes([Uint8Array.of(type), fromHex(body)]);

for (const { name, make } of ENGINES) {
  packetCodecContract(name, make);
  packetCodecBodyContract(name, make);

  describe(`packet codec, ${name}: recorded data`, () => {
    const { cases: messages } = vectors<{ cases: MessageCase[] }>('memberlist-messages');

    it('reads every memberlist message of both codec generations', () => {
      const codec = createCodec(make);
      let read = 0;
      for (const { message, type, note, fields, hex, legacy_hex } of messages) {
        const kind = KINDS[message];
        if (kind === undefined || !fields) continue;
        for (const bytes of legacy_hex ? [hex, legacy_hex] : [hex]) {
          const code = isRefused(kind, fields) ? REJECT.fieldInvalid : REJECT.none;
          if (type === null) {
            deliverState(codec, fromHex(bytes));
            expect(codec.indexState(0, 1), note).toBe(code === REJECT.none ? bytes.length / 2 : -code);
          } else {
            expect(indexed(codec, fromHex(bytes)).codes, note).toEqual([code]);
          }
          if (code === REJECT.none) expect(recordOf(codec, 0), note).toEqual(expected(kind, fields));
          read++;
        }
      }
      expect(read).toBeGreaterThan(30);
    });

    it('tolerates and refuses the same bodies as the reference decoder', () => {
      const codec = createCodec(make);
      const { cases } = vectors<{ cases: AcceptCase[] }>('msgpack-accept');
      // The vectors' targets lack addresses, which we want; the missing one is appended as one more map entry.
      const address: Record<string, string> = {
        indirectPing: 'a6546172676574a47f000001',
        alive: 'a441646472a47f000001',
      };
      let read = 0;
      for (const { case: title, target, hex, current } of cases) {
        const kind = KINDS[target];
        if (kind === undefined) continue;
        const extra = address[target];
        const body = extra ? `${(Number.parseInt(hex.slice(0, 2), 16) + 1).toString(16)}${hex.slice(2)}${extra}` : hex;
        const { codes } = indexed(codec, typed(kind, body));
        if (!current.ok) {
          expect([REJECT.malformed, REJECT.truncated], title).toContain(codes[0]);
        } else {
          expect(codes, title).toEqual([REJECT.none]);
          // A name that is no UTF-8 cannot be compared with the vectors' JSON text.
          const fields = current.fields as Fields;
          const want = { ...expected(kind, fields), ...(extra ? { ip: '7f000001' } : {}) };
          if (title === 'Node invalid UTF-8') want.name = 'fffe';
          expect(recordOf(codec, 0), title).toEqual(want);
        }
        read++;
      }
      expect(read).toBeGreaterThan(50);
    });

    it('splits compounds like the reference, but drops a truncated one whole', () => {
      const codec = createCodec(make);
      const { encode, decode } = vectors<CompoundVectors>('compound');
      for (const { hex, parts, note, truncated, error } of [
        ...encode.map((row) => ({ ...row, truncated: 0, error: undefined })),
        ...decode,
      ]) {
        const { codes } = indexed(codec, fromHex(hex));
        if (truncated > 0 || error) {
          // A part of the vectors may be no message at all, which is found before the end of the bytes is.
          expect(codes[0], note).not.toBe(REJECT.none);
          continue;
        }
        const single = createCodec(make);
        const codesOfParts = parts.map((part) => indexed(single, fromHex(part)).codes[0]);
        const bad = codesOfParts.find((code) => code !== REJECT.none && code !== REJECT.unknownType);
        expect(codes[0], note).toBe(bad ?? REJECT.none);
        if (bad === undefined) {
          expect(resultOf(codec, 0).recordCount, note).toBe(codesOfParts.filter((code) => code === REJECT.none).length);
        }
      }
    });

    it('compresses and decompresses byte for byte like the reference', () => {
      const codec = createCodec(make);
      const { cases, decode } = vectors<LzwVectors>('compress-lzw');
      let compared = 0;
      for (const { note, input, lzw } of cases) {
        if (input === undefined || lzw === undefined) continue;
        const plain = fromHex(input);
        const packed = fromHex(lzw);
        const out = new Uint8Array(2 * Math.max(plain.length, packed.length) + 8);
        expect(toHex(out.subarray(0, codec.compress(plain, out))), note).toBe(lzw);
        expect(toHex(out.subarray(0, codec.decompress(packed, out))), note).toBe(input);
        expect(codec.compress(plain, new Uint8Array(packed.length)), note).toBe(-1);
        compared++;
      }
      expect(compared).toBeGreaterThan(20);
      for (const { note, body, error } of decode) {
        const code = indexed(codec, typed(MESSAGE.compress, body)).codes[0];
        if (note.includes('empty output')) expect(code, note).toBe(REJECT.empty);
        // What is inside is text, no message: decompressed well, and only then refused.
        else if (error === '') expect(code, note).toBe(REJECT.unknownType);
        else expect([REJECT.lzwCorrupt, REJECT.fieldInvalid], note).toContain(code);
      }
    });

    it('reads the same records from a packet in all its layers as from its payload', () => {
      const { cases } = vectors<{ cases: LayersCase[] }>('packet-layers');
      const plain = cases.filter(({ key, label }) => key === null && label === '');
      expect(plain.length).toBeGreaterThan(5);
      for (const { packet, payload } of plain) {
        expect(recordsOf(createCodec(make), fromHex(packet))).toEqual(recordsOf(createCodec(make), fromHex(payload)));
      }
    });

    it('reads every packet of a recorded cluster', () => {
      const { trace } = vectors<{ trace: TraceEntry[] }>('cluster-trace-plain');
      const packets = trace.filter(({ kind }) => kind === 'udp');
      expect(packets.length).toBeGreaterThan(100);
      const codec = createCodec(make);
      for (const { hex, decoded } of packets) {
        const parts = (decoded['compound'] as Record<string, unknown>[] | undefined) ?? [decoded];
        expect(recordsOf(codec, fromHex(hex))).toEqual(parts.map(annotated));
      }
    });

    it('reads every push/pull of the recorded streams', () => {
      const { exchanges } = vectors<StreamVectors>('streams');
      const codec = createCodec(make);
      let read = 0;
      for (const { variant, exchange, stream } of exchanges) {
        if (variant !== 'plain') continue;
        for (const { hex, decoded } of stream) {
          const pushPull = decoded?.pushPull;
          if (!pushPull?.nodes) continue;
          const { nodes, header } = pushPull;
          const body = fromHex(hex);
          deliverState(codec, body);
          // The header is a map as well: three entries, up to the first node state.
          const from = headerEnd(hex);
          expect(codec.indexState(from, nodes.length), exchange).toBe(body.length - header.UserStateLen);
          expect(nodes.map((_, i) => recordOf(codec, i))).toEqual(
            nodes.map((fields) => expected(MESSAGE.pushPull, fields)),
          );
          read += nodes.length;
        }
      }
      expect(read).toBeGreaterThan(5);
    });
  });
}

function recordsOf(codec: PacketCodec, datagram: Uint8Array): ReadRecord[] {
  expect(indexed(codec, datagram).codes).toEqual([REJECT.none]);
  const count = codec.u32[CODEC.recordCount >>> 2] as number;
  return Array.from({ length: count }, (_, i) => recordOf(codec, i));
}

/** The record of one annotated message of a trace: `{ alive: {...} }` or `{ user: 'text' }`. */
function annotated(part: Record<string, unknown>): ReadRecord {
  const [name, fields] = Object.entries(part).find(([key]) => key !== 'crc') as [string, unknown];
  if (name === 'user') {
    return record(MESSAGE.user, { data: typeof fields === 'string' ? toHex(bytesOf(fields)) : (fields as Hex).hex });
  }
  return expected(KINDS[name] as number, fields as Fields);
}

/** Where the push/pull header ends: behind the last of its keys, UserStateLen, and an integer of one or two bytes. */
function headerEnd(hex: string): number {
  const key = toHex(bytesOf('UserStateLen'));
  const at = hex.indexOf(key) / 2 + key.length / 2;
  const head = Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16);
  return at + (head < 0x80 ? 1 : head === 0xcc || head === 0xd0 ? 2 : 3);
}
