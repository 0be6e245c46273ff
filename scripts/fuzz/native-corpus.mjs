// Where the corpora of the native fuzz targets begin: the byte strings of test/vectors, in the form that each target reads.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const vectors = fileURLToPath(new URL('../../test/vectors/', import.meta.url));
const BYTES_MAX = 4096;
const HEX = /^(?:[0-9a-f]{2})+$/;

/** Every byte string of the vectors once, short ones first. */
function vectorBytes() {
  const found = new Set();
  const visit = (value) => {
    if (typeof value === 'string') {
      if (HEX.test(value) && value.length <= 2 * BYTES_MAX) found.add(value);
    } else if (value && typeof value === 'object') for (const each of Object.values(value)) visit(each);
  };
  for (const file of readdirSync(vectors)) {
    if (file.endsWith('.json')) visit(JSON.parse(readFileSync(`${vectors}${file}`, 'utf8')));
  }
  return [...found].sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).map((hex) => Buffer.from(hex, 'hex'));
}

const u16 = (value) => [value & 255, value >> 8];

/** A table to begin with: how many members, and of what kind each is. */
function members(bytes) {
  const count = bytes.length % 26;
  return [count, ...Array.from({ length: count }, (_, i) => bytes[i % bytes.length] ?? i)];
}

/** How a target reads a message: as it is, or among the bytes that choose its operations. */
const FORMS = {
  lzw: (bytes) => [bytes.length % 7 === 0 ? 67 : 64 + (bytes.length % 3), ...bytes],
  hash64: (bytes) => [0, 0, 0, 0, ...u16(bytes.length), ...bytes, 8, 1, 0, 0, 0, 2, 0, 0, 0, 2],
  member_table: (bytes) => [...members(bytes), 0, 0, ...u16(bytes.length), ...bytes, 3, 1, 4, 2, 5, 4],
  digest: (bytes) => [...members(bytes), 0, 0, 0, ...u16(bytes.length), ...bytes, 1, 0, 2, 3, 3, 4, 4, 2],
  delta: (bytes) =>
    bytes.length % 2 === 1
      ? [1, ...bytes]
      : [0, ...members(bytes), 0, 0, 0, ...u16(bytes.length), ...bytes, 2, 255, 3, 2, 255, 3, 5, ...bytes],
};

export function seedsOf(target) {
  const form = FORMS[target] ?? ((bytes) => bytes);
  return vectorBytes().map((bytes) => Buffer.from(form(bytes)));
}

const KEYS = [
  'Node',
  'Name',
  'SeqNo',
  'Incarnation',
  'From',
  'SourceNode',
  'SourceAddr',
  'SourcePort',
  'Addr',
  'Target',
  'Port',
  'Meta',
  'Payload',
  'Vsn',
  'State',
  'Nack',
  'Hs',
  'Algo',
  'Buf',
];

/** Map keys of the messages, for libFuzzer. */
export const DICTIONARY = `${KEYS.map((key) => `"\\x${(0xa0 + key.length).toString(16)}${key}"`).join('\n')}\n`;
