import { EXT_KEY, PROFILE } from '../contract.ts';
import { ROW } from '../layout.ts';
import type { JsInterner } from './interner.ts';
import type { MemberRows } from './member-rows.ts';

/** Keys as msgpack raw strings, in the byte order that the wire wants (protocol §3.1, §4.2). */
const KEY_ADDR = rawKey('Addr');
const KEY_EXT = rawKey(EXT_KEY);
const KEY_INCARNATION = rawKey('Incarnation');
const KEY_META = rawKey('Meta');
const KEY_NAME = rawKey('Name');
const KEY_PORT = rawKey('Port');
const KEY_STATE = rawKey('State');
const KEY_VSN = rawKey('Vsn');
const VSN_BYTES = 6;
/** Map header, seven keys, state (1 byte) and versions with their header. */
const FIXED_BYTES =
  1 +
  [KEY_ADDR, KEY_INCARNATION, KEY_META, KEY_NAME, KEY_PORT, KEY_STATE, KEY_VSN].reduce(
    (sum, key) => sum + key.length,
    0,
  ) +
  1 +
  (1 + VSN_BYTES);

function rawKey(name: string): Uint8Array {
  return Uint8Array.from([0xa0 + name.length, ...[...name].map((c) => c.charCodeAt(0))]);
}

function rawSize(length: number): number {
  return (length < 32 ? 1 : 3) + length;
}

function unsignedSize(value: number): number {
  return value < 128 ? 1 : value < 256 ? 2 : value < 65536 ? 3 : 5;
}

/** Bytes of one row as a push/pull node state. */
export function nodeStateSize(rows: MemberRows, names: JsInterner, profiles: JsInterner, slot: number): number {
  const word = rows.at(slot) >>> 2;
  const profileId = rows.u32[word + (ROW.profileId >>> 2)] as number;
  const profile = profiles.offsetOf(profileId);
  const ipLength = profiles.u8[profile + PROFILE.ipLength] as number;
  const metaLength = profiles.lengthOf(profileId) - PROFILE.ip - ipLength;
  const ext = rows.u32[word + (ROW.ext >>> 2)] as number;
  return (
    FIXED_BYTES +
    rawSize(ipLength) +
    (ext !== 0 ? KEY_EXT.length + unsignedSize(ext) : 0) +
    unsignedSize(rows.u32[word + (ROW.incarnation >>> 2)] as number) +
    (metaLength === 0 ? 1 : rawSize(metaLength)) +
    rawSize(names.lengthOf(rows.u32[word + (ROW.nameId >>> 2)] as number)) +
    unsignedSize(portOf(profiles.u8, profile))
  );
}

/** Writes one row at `at`, where there is room for nodeStateSize(); returns the offset behind it. */
export function writeNodeState(
  rows: MemberRows,
  names: JsInterner,
  profiles: JsInterner,
  slot: number,
  out: Uint8Array,
  at: number,
): number {
  const row = rows.at(slot);
  const word = row >>> 2;
  const nameId = rows.u32[word + (ROW.nameId >>> 2)] as number;
  const profileId = rows.u32[word + (ROW.profileId >>> 2)] as number;
  const profile = profiles.offsetOf(profileId);
  const source = profiles.u8;
  const ipLength = source[profile + PROFILE.ipLength] as number;
  const metaLength = profiles.lengthOf(profileId) - PROFILE.ip - ipLength;
  const ext = rows.u32[word + (ROW.ext >>> 2)] as number;
  let to = at;
  out[to++] = 0x80 + (ext !== 0 ? 8 : 7);
  to = writeRaw(out, writeBytes(out, to, KEY_ADDR, 0, KEY_ADDR.length), source, profile + PROFILE.ip, ipLength);
  if (ext !== 0) to = writeUnsigned(out, writeBytes(out, to, KEY_EXT, 0, KEY_EXT.length), ext);
  to = writeBytes(out, to, KEY_INCARNATION, 0, KEY_INCARNATION.length);
  to = writeUnsigned(out, to, rows.u32[word + (ROW.incarnation >>> 2)] as number);
  to = writeBytes(out, to, KEY_META, 0, KEY_META.length);
  // No metadata is nil: an empty string would do for current releases, older ones read both as nil.
  if (metaLength === 0) out[to++] = 0xc0;
  else to = writeRaw(out, to, source, profile + PROFILE.ip + ipLength, metaLength);
  to = writeBytes(out, to, KEY_NAME, 0, KEY_NAME.length);
  to = writeRaw(out, to, names.u8, names.offsetOf(nameId), names.lengthOf(nameId));
  to = writeUnsigned(out, writeBytes(out, to, KEY_PORT, 0, KEY_PORT.length), portOf(source, profile));
  to = writeBytes(out, to, KEY_STATE, 0, KEY_STATE.length);
  out[to++] = rows.u8[row + ROW.status] as number;
  to = writeBytes(out, to, KEY_VSN, 0, KEY_VSN.length);
  return writeRaw(out, to, source, profile + PROFILE.vsn, VSN_BYTES);
}

function portOf(profiles: Uint8Array, profile: number): number {
  return ((profiles[profile + PROFILE.port] as number) << 8) | (profiles[profile + PROFILE.port + 1] as number);
}

function writeBytes(out: Uint8Array, to: number, source: Uint8Array, from: number, length: number): number {
  for (let i = 0; i < length; i++) out[to + i] = source[from + i] as number;
  return to + length;
}

function writeRaw(out: Uint8Array, at: number, source: Uint8Array, from: number, length: number): number {
  let to = at;
  if (length < 32) out[to++] = 0xa0 | length;
  else {
    out[to++] = 0xda;
    out[to++] = length >>> 8;
    out[to++] = length & 255;
  }
  return writeBytes(out, to, source, from, length);
}

function writeUnsigned(out: Uint8Array, at: number, value: number): number {
  let to = at;
  if (value < 128) out[to++] = value;
  else if (value < 256) {
    out[to++] = 0xcc;
    out[to++] = value;
  } else if (value < 65536) {
    out[to++] = 0xcd;
    out[to++] = value >>> 8;
    out[to++] = value & 255;
  } else {
    out[to++] = 0xce;
    out[to++] = value >>> 24;
    out[to++] = (value >>> 16) & 255;
    out[to++] = (value >>> 8) & 255;
    out[to++] = value & 255;
  }
  return to;
}
