import { MESSAGE, NESTING_MAX, REJECT } from '../../src/kernels/contract.ts';
import { decodeCompound } from '../../src/wire/compound.ts';
import { crc32 } from '../../src/wire/crc.ts';
import { decodeMessage, type Message } from '../../src/wire/decode.ts';
import { lzwDecompress } from '../../src/wire/lzw.ts';
import type { PacketSeal } from '../../src/wire/packet.ts';

/** A packet taken apart, for tests: what the codec kernel does in an arena, here as objects. */
export interface OpenedPacket {
  readonly crc: boolean;
  readonly compressed: boolean;
  readonly compound: boolean;
  readonly messages: Message[];
}

/** Follows all layers of a datagram (protocol §5.4); -REJECT when any of them cannot be read. */
export function openPacket(seal: PacketSeal, datagram: Uint8Array): OpenedPacket | number {
  const plain = seal.open(datagram);
  if (typeof plain === 'number') return plain;
  const crc = plain.length >= 5 && plain[0] === MESSAGE.hasCrc;
  if (crc && crc32(plain, 5) !== new DataView(plain.buffer, plain.byteOffset).getUint32(1)) return -REJECT.crcMismatch;
  const opened = { crc, compressed: false, compound: false, messages: [] as Message[] };
  const status = unpack(crc ? plain.subarray(5) : plain, opened, 0);
  return status < 0 ? status : opened;
}

function unpack(
  bytes: Uint8Array,
  into: { compressed: boolean; compound: boolean; messages: Message[] },
  depth: number,
): number {
  if (bytes.length === 0) return -REJECT.empty;
  if (depth > NESTING_MAX) return -REJECT.nestedTooDeep;
  if (bytes[0] === MESSAGE.compound) {
    into.compound = true;
    const compound = decodeCompound(bytes);
    if (typeof compound === 'number') return compound;
    for (const part of compound.parts) {
      const status = unpack(part, into, depth + 1);
      if (status < 0) return status;
    }
    return 0;
  }
  const message = decodeMessage(bytes);
  if (typeof message === 'number') return message;
  if (message.type !== 'compress') {
    into.messages.push(message);
    return 0;
  }
  into.compressed = true;
  if (message.algorithm !== 0) return -REJECT.malformed;
  const out = new Uint8Array(65536);
  const length = lzwDecompress(message.data, out);
  return length < 0 ? length : unpack(out.slice(0, length), into, depth + 1);
}
