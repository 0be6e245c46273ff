import { META_BYTES_MAX, type PacketCodec, PROFILE } from '../contract.ts';
import { RECORD } from '../layout.ts';
import type { JsInterner } from './interner.ts';

const VSN_BYTES = 6;

/** The profile (versions, port, IP, metadata: PROFILE) that an alive record carries, to be compared with the one we hold. */
export class ProfileDraft {
  readonly #profiles: JsInterner;
  readonly #bytes = new Uint8Array(PROFILE.ip + 16 + META_BYTES_MAX);
  #length = 0;
  #vsnLength = 0;

  constructor(profiles: JsInterner) {
    this.#profiles = profiles;
  }

  /** Reads the record at `at`, whose lengths have been checked. Fewer than six version bytes count as zeros. */
  compose(codec: PacketCodec, at: number, defaultPort: number): void {
    const u8 = codec.u8;
    const u32 = codec.u32;
    const bytes = this.#bytes;
    this.#vsnLength = u8[at + RECORD.vsnLength] as number;
    const isFull = this.#vsnLength >= VSN_BYTES;
    for (let i = 0; i < VSN_BYTES; i++) bytes[i] = isFull ? (u8[at + RECORD.vsn + i] as number) : 0;
    let port = (u8[at + RECORD.port] as number) | ((u8[at + RECORD.port + 1] as number) << 8);
    if (port === 0) port = defaultPort;
    bytes[PROFILE.port] = port >>> 8;
    bytes[PROFILE.port + 1] = port & 255;
    const ipLength = u32[(at + RECORD.ipLength) >>> 2] as number;
    const metaLength = u32[(at + RECORD.dataLength) >>> 2] as number;
    bytes[PROFILE.ipLength] = ipLength;
    const ip = u32[(at + RECORD.ipOffset) >>> 2] as number;
    for (let i = 0; i < ipLength; i++) bytes[PROFILE.ip + i] = u8[ip + i] as number;
    const meta = u32[(at + RECORD.dataOffset) >>> 2] as number;
    const to = PROFILE.ip + ipLength;
    for (let i = 0; i < metaLength; i++) bytes[to + i] = u8[meta + i] as number;
    this.#length = to + metaLength;
  }

  /** Takes the versions of a known profile when the record brought fewer than six bytes of them. */
  keepVersions(profileId: number): void {
    if (this.#vsnLength >= VSN_BYTES) return;
    const from = this.#profiles.offsetOf(profileId);
    for (let i = 0; i < VSN_BYTES; i++) this.#bytes[i] = this.#profiles.u8[from + i] as number;
  }

  /** Id of this profile with a reference added; 0 when the interner is full. */
  intern(): number {
    return this.#profiles.internAt(this.#bytes, 0, this.#length);
  }

  /** Compared as bytes: the 4-byte and the 16-byte form of one address differ (§9.1). */
  isSameAddress(profileId: number): boolean {
    const known = this.#profiles.offsetOf(profileId);
    const length = 3 + (this.#bytes[PROFILE.ipLength] as number);
    return sameBytes(this.#profiles.u8, known + PROFILE.port, this.#bytes, PROFILE.port, length);
  }

  isSameMeta(profileId: number): boolean {
    const known = this.#profiles.offsetOf(profileId);
    const knownStart = PROFILE.ip + (this.#profiles.u8[known + PROFILE.ipLength] as number);
    const start = PROFILE.ip + (this.#bytes[PROFILE.ipLength] as number);
    const length = this.#length - start;
    if (this.#profiles.lengthOf(profileId) - knownStart !== length) return false;
    return sameBytes(this.#profiles.u8, known + knownStart, this.#bytes, start, length);
  }

  /** Whether an alive about ourselves says what we say: metadata, and exactly our six version bytes (§9.2 step 9). */
  isSameContent(profileId: number): boolean {
    if (this.#vsnLength !== VSN_BYTES || !this.isSameMeta(profileId)) return false;
    return sameBytes(this.#profiles.u8, this.#profiles.offsetOf(profileId), this.#bytes, 0, VSN_BYTES);
  }

  isSame(profileId: number): boolean {
    if (this.#profiles.lengthOf(profileId) !== this.#length) return false;
    return sameBytes(this.#profiles.u8, this.#profiles.offsetOf(profileId), this.#bytes, 0, this.#length);
  }
}

/** True when `length` bytes from the two offsets are equal. */
export function sameBytes(a: Uint8Array, from: number, b: Uint8Array, to: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[from + i] !== b[to + i]) return false;
  return true;
}
