import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/util/bytes.ts';
import { encodeCompound } from '../../src/wire/compound.ts';
import type { Message } from '../../src/wire/decode.ts';
import { PacketSeal } from '../../src/wire/packet.ts';
import { StreamSeal } from '../../src/wire/stream.ts';
import { asFields, encoded, encodeMessage, type Fields } from './encode.ts';
import { openPacket } from './open-packet.ts';
import { annotate, messageNote, type StreamNote } from './push-pull.ts';
import { sealOptions } from './seal-options.ts';
import { vectors } from './vectors.ts';

interface Entry {
  readonly kind: string;
  readonly hex?: string;
  readonly t_ms: number;
  readonly from?: string;
  readonly decoded?: Readonly<Record<string, unknown>>;
}
const entries = vectors<{ trace: Entry[] }>('cluster-trace-plain').trace.filter((entry) => entry.hex !== undefined);
const NAMES: Readonly<Record<string, string>> = { ack: 'ackResp', nack: 'nackResp' };

/** A message as the trace annotates it. */
function annotation(message: Message): Record<string, unknown> {
  if (message.type === 'user') return { user: new TextDecoder().decode(message.payload) };
  const fields = asFields(message);
  return { [NAMES[message.type] ?? message.type]: fields };
}

/** The annotations leave out Source fields that were not sent. */
function filled(note: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const out: Record<string, unknown> = { ...note };
  for (const name of ['ping', 'indirectPing']) {
    if (out[name]) out[name] = { SourceAddr: null, SourceNode: '', SourcePort: 0, ...(out[name] as Fields) };
  }
  return out;
}

describe('every packet and stream of a recorded cluster', () => {
  const packets = entries.filter((entry) => entry.kind === 'udp');
  const seal = new PacketSeal(sealOptions({}));

  it.each(packets)('packet at $t_ms ms from $from decodes to its annotation and encodes again', ({ hex, decoded }) => {
    const { crc, compound, ...rest } = decoded as { crc?: boolean; compound?: Record<string, unknown>[] };
    const opened = openPacket(seal, fromHex(hex as string));
    if (typeof opened === 'number') throw new Error(`rejected with ${opened}`);
    expect([opened.crc, opened.compound]).toEqual([crc === true, compound !== undefined]);
    expect(opened.messages.map(annotation)).toEqual((compound ?? [rest]).map(filled));

    const parts = opened.messages.map((message) => encodeMessage(message));
    const again = compound ? encoded((out, at) => encodeCompound(out, at, parts)) : (parts[0] as Uint8Array);
    expect(toHex(seal.seal(again, opened.crc))).toBe(hex);
  });

  const streams = entries.filter((entry) => entry.kind === 'tcp');
  const plain = new StreamSeal(sealOptions({}));

  it.each(streams)('stream at $t_ms ms from $from decodes to its annotation and encodes again', ({ hex, decoded }) => {
    const result = plain.reader(false).push(fromHex(hex as string));
    if (result === 'more' || result.kind === 'error') throw new Error('expected a message');
    const { note, again } = annotate(result.message);
    expect(note).toEqual(messageNote(decoded as StreamNote));
    expect(toHex(again)).toBe(hex);
  });

  it('are all of them', () => {
    expect(packets.length + streams.length).toBe(entries.length);
    expect([packets.length > 100, streams.length]).toEqual([true, 10]);
  });
});
