/**
 * A second, small msgpack for these tests, independent of the library's own: what it writes is the old "raw" family that all
 * memberlist and Serf releases read (protocol §3).
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Value[]
  | { readonly [key: string]: Value };

export function encode(value: Value): Uint8Array {
  const parts: Uint8Array[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

function write(value: Value, out: Uint8Array[]): void {
  if (value === null) out.push(Uint8Array.of(0xc0));
  else if (typeof value === 'boolean') out.push(Uint8Array.of(value ? 0xc3 : 0xc2));
  else if (typeof value === 'number' || typeof value === 'bigint') out.push(integer(BigInt(value)));
  else if (typeof value === 'string') raw(Buffer.from(value), out);
  else if (value instanceof Uint8Array) raw(value, out);
  else if (Array.isArray(value)) {
    out.push(length(value.length, 0x90, 0xdc));
    for (const item of value as readonly Value[]) write(item, out);
  } else {
    const entries = Object.entries(value as { readonly [key: string]: Value });
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    out.push(length(entries.length, 0x80, 0xde));
    for (const [key, item] of entries) {
      raw(Buffer.from(key), out);
      write(item, out);
    }
  }
}

function raw(bytes: Uint8Array, out: Uint8Array[]): void {
  const n = bytes.length;
  if (n < 32) out.push(Uint8Array.of(0xa0 | n));
  else out.push(Uint8Array.of(0xda, n >> 8, n & 255));
  out.push(bytes);
}

function length(n: number, fix: number, wide: number): Uint8Array {
  return n < 16 ? Uint8Array.of(fix | n) : Uint8Array.of(wide, n >> 8, n & 255);
}

function integer(n: bigint): Uint8Array {
  if (n < 0n) throw new Error('only unsigned integers are needed here');
  if (n < 128n) return Uint8Array.of(Number(n));
  const wide = n < 256n ? 1 : n < 65_536n ? 2 : n < 4_294_967_296n ? 4 : 8;
  const bytes = Buffer.alloc(9);
  bytes.writeBigUInt64BE(n, 1);
  const out = bytes.subarray(8 - wide);
  out[0] = { 1: 0xcc, 2: 0xcd, 4: 0xce, 8: 0xcf }[wide] as number;
  return out;
}

/** Decodes one value; strings come back as bytes, because the old family does not tell the two apart. */
export function decode(bytes: Uint8Array): Value {
  return new Reader(bytes).value();
}

/** Decodes values that follow each other. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  value(): Value {
    const byte = this.#unsigned(1);
    if (byte < 0x80) return byte;
    if (byte < 0x90) return this.#map(byte & 15);
    if (byte < 0xa0) return this.#list(byte & 15);
    if (byte < 0xc0) return this.#raw(byte & 31);
    if (byte >= 0xe0) return byte - 256;
    switch (byte) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xd9:
        return this.#raw(this.#unsigned(1));
      case 0xc5:
      case 0xda:
        return this.#raw(this.#unsigned(2));
      case 0xcc:
        return this.#unsigned(1);
      case 0xcd:
      case 0xd1:
        return this.#unsigned(2);
      case 0xce:
      case 0xd2:
        return this.#unsigned(4);
      case 0xcf:
      case 0xd3: {
        this.#at += 8;
        return this.#bytes.readBigUInt64BE(this.#at - 8);
      }
      case 0xdc:
        return this.#list(this.#unsigned(2));
      case 0xde:
        return this.#map(this.#unsigned(2));
    }
    throw new Error(`msgpack byte ${byte.toString(16)} is not needed here`);
  }

  #unsigned(size: number): number {
    this.#at += size;
    return this.#bytes.readUIntBE(this.#at - size, size);
  }

  #raw(size: number): Uint8Array {
    this.#at += size;
    return new Uint8Array(this.#bytes.subarray(this.#at - size, this.#at));
  }

  #list(size: number): Value[] {
    return Array.from({ length: size }, () => this.value());
  }

  #map(size: number): { [key: string]: Value } {
    const map: { [key: string]: Value } = {};
    for (let i = 0; i < size; i++) {
      const key = this.value();
      map[key instanceof Uint8Array ? Buffer.from(key).toString() : String(key)] = this.value();
    }
    return map;
  }
}
