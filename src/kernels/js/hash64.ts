import { fromHex } from '../../util/bytes.ts';

/**
 * The two 64-bit hashes of hearsay, in halves of 32 bits: XXH3-64 with a seed (Yann Collet, xxHash specification 0.2.0) for values
 * in bulk, SipHash-2-4 (Aumasson and Bernstein 2012) for records that somebody else chose. The specification that
 * native/kernels/hash64.hpp follows bit for bit. Results are left in `low` and `high` (both u32), so that nothing is allocated.
 */

/** The secret of the XXH3 specification. */
const SECRET = fromHex(
  'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221' +
    'b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8' +
    'a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb' +
    '170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e',
);
const SECRET_BYTES = 192;
const STRIPE_BYTES = 64;
const BLOCK_BYTES = 1024;
/** Start values of the eight sums of the long form, low half first. */
const SUMS = Uint32Array.of(
  0xc2b2ae3d,
  0,
  0x85ebca87,
  0x9e3779b1,
  0x27d4eb4f,
  0xc2b2ae3d,
  0x9e3779f9,
  0x165667b1,
  0xc2b2ae63,
  0x85ebca77,
  0x85ebca77,
  0,
  0x165667c5,
  0x27d4eb2f,
  0x9e3779b1,
  0,
);

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** Upper half of the product of two u32. Every step is exact: no product here is above 2^49. */
function multiplyHigh(a: number, b: number): number {
  return Math.floor((a * (b >>> 16) + Math.floor((a * (b & 0xffff)) / 65536)) / 65536);
}

function carry(low: number, added: number): number {
  return low >>> 0 < added >>> 0 ? 1 : 0;
}

function swap(value: number): number {
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}

export class Hash64 {
  low = 0;
  high = 0;
  readonly #sums = new Int32Array(16);
  readonly #secret = new Uint8Array(SECRET_BYTES);

  /** Finalizer of splitmix64 (Steele, Lea and Flood 2014): a bijection whose every output bit depends on every input bit. */
  mix(low: number, high: number): void {
    this.low = low ^ ((low >>> 30) | (high << 2));
    this.high = high ^ (high >>> 30);
    this.#multiply(0x1ce4e5b9, 0xbf58476d);
    let mixed = this.low ^ ((this.low >>> 27) | (this.high << 5));
    this.high ^= this.high >>> 27;
    this.low = mixed;
    this.#multiply(0x133111eb, 0x94d049bb);
    mixed = this.low ^ ((this.low >>> 31) | (this.high << 1));
    this.high = (this.high ^ (this.high >>> 31)) >>> 0;
    this.low = mixed >>> 0;
  }

  /** SipHash-2-4 of `length` bytes from `at`; `key` is four words, low half of the first 64-bit half first. */
  siphash24(bytes: Uint8Array, at: number, length: number, key: ArrayLike<number>): void {
    let l0 = (key[0] as number) ^ 0x70736575;
    let h0 = (key[1] as number) ^ 0x736f6d65;
    let l1 = (key[2] as number) ^ 0x6e646f6d;
    let h1 = (key[3] as number) ^ 0x646f7261;
    let l2 = (key[0] as number) ^ 0x6e657261;
    let h2 = (key[1] as number) ^ 0x6c796765;
    let l3 = (key[2] as number) ^ 0x79746573;
    let h3 = (key[3] as number) ^ 0x74656462;
    const words = length >>> 3;
    // The last word holds the rest and the length; then comes the end.
    for (let i = 0; i <= words + 1; i++) {
      let low = 0;
      let high = 0;
      if (i < words) {
        low = word(bytes, at + 8 * i);
        high = word(bytes, at + 8 * i + 4);
      } else if (i === words) {
        const rest = length & 7;
        for (let k = 0; k < rest; k++) {
          const byte = bytes[at + 8 * i + k] as number;
          if (k < 4) low |= byte << (8 * k);
          else high |= byte << (8 * k - 32);
        }
        high |= length << 24;
      }
      const isEnd = i > words;
      if (isEnd) l2 ^= 0xff;
      l3 ^= low;
      h3 ^= high;
      for (let round = isEnd ? 4 : 2; round > 0; round--) {
        let t = 0;
        l0 = (l0 + l1) | 0;
        h0 = (h0 + h1 + carry(l0, l1)) | 0;
        t = (l1 << 13) | (h1 >>> 19);
        h1 = ((h1 << 13) | (l1 >>> 19)) ^ h0;
        l1 = t ^ l0;
        t = l0;
        l0 = h0;
        h0 = t;
        l2 = (l2 + l3) | 0;
        h2 = (h2 + h3 + carry(l2, l3)) | 0;
        t = (l3 << 16) | (h3 >>> 16);
        h3 = ((h3 << 16) | (l3 >>> 16)) ^ h2;
        l3 = t ^ l2;
        l0 = (l0 + l3) | 0;
        h0 = (h0 + h3 + carry(l0, l3)) | 0;
        t = (l3 << 21) | (h3 >>> 11);
        h3 = ((h3 << 21) | (l3 >>> 11)) ^ h0;
        l3 = t ^ l0;
        l2 = (l2 + l1) | 0;
        h2 = (h2 + h1 + carry(l2, l1)) | 0;
        t = (l1 << 17) | (h1 >>> 15);
        h1 = ((h1 << 17) | (l1 >>> 15)) ^ h2;
        l1 = t ^ l2;
        t = l2;
        l2 = h2;
        h2 = t;
      }
      l0 ^= low;
      h0 ^= high;
    }
    this.low = (l0 ^ l1 ^ l2 ^ l3) >>> 0;
    this.high = (h0 ^ h1 ^ h2 ^ h3) >>> 0;
  }

  /** XXH3-64 of `length` bytes from `at`. */
  xxh3(bytes: Uint8Array, at: number, length: number, seedLow: number, seedHigh: number): void {
    if (length > 240) this.#long(bytes, at, length, seedLow, seedHigh);
    else if (length > 16) this.#middle(bytes, at, length, seedLow, seedHigh);
    else if (length > 8) this.#nine(bytes, at, length, seedLow, seedHigh);
    else if (length > 3) this.#four(bytes, at, length, seedLow, seedHigh);
    else this.#tiny(bytes, at, length, seedLow, seedHigh);
    this.low >>>= 0;
    this.high >>>= 0;
  }

  #tiny(bytes: Uint8Array, at: number, length: number, seedLow: number, seedHigh: number): void {
    if (length === 0) {
      this.low = seedLow ^ word(SECRET, 56) ^ word(SECRET, 64);
      this.high = seedHigh ^ word(SECRET, 60) ^ word(SECRET, 68);
    } else {
      const combined =
        ((bytes[at] as number) << 16) |
        ((bytes[at + (length >>> 1)] as number) << 24) |
        (bytes[at + length - 1] as number) |
        (length << 8);
      this.#set((word(SECRET, 0) ^ word(SECRET, 4)) | 0, 0);
      this.#add(seedLow, seedHigh);
      this.low ^= combined;
    }
    this.#shiftXor(33);
    this.#multiply(0x27d4eb4f, 0xc2b2ae3d);
    this.#shiftXor(29);
    this.#multiply(0x9e3779f9, 0x165667b1);
    this.#shiftXor(32);
  }

  #four(bytes: Uint8Array, at: number, length: number, seedLow: number, seedHigh: number): void {
    this.#set(word(SECRET, 8) ^ word(SECRET, 16), word(SECRET, 12) ^ word(SECRET, 20));
    this.#subtract(seedLow, seedHigh ^ swap(seedLow));
    const low = this.low ^ word(bytes, at + length - 4);
    const high = this.high ^ word(bytes, at);
    // h ^= rotl(h, 49) ^ rotl(h, 24)
    this.low = low ^ ((high << 17) | (low >>> 15)) ^ ((low << 24) | (high >>> 8));
    this.high = high ^ ((low << 17) | (high >>> 15)) ^ ((high << 24) | (low >>> 8));
    this.#multiply(0x1e98df25, 0x9fb21c65);
    const shifted = this.high >>> 3;
    // (h >> 35) + length stays below 2^32.
    this.low ^= (shifted + length) | 0;
    this.#multiply(0x1e98df25, 0x9fb21c65);
    this.#shiftXor(28);
  }

  #nine(bytes: Uint8Array, at: number, length: number, seedLow: number, seedHigh: number): void {
    this.#set(word(SECRET, 24) ^ word(SECRET, 32), word(SECRET, 28) ^ word(SECRET, 36));
    this.#add(seedLow, seedHigh);
    const lowLow = this.low ^ word(bytes, at);
    const lowHigh = this.high ^ word(bytes, at + 4);
    this.#set(word(SECRET, 40) ^ word(SECRET, 48), word(SECRET, 44) ^ word(SECRET, 52));
    this.#subtract(seedLow, seedHigh);
    const highLow = this.low ^ word(bytes, at + length - 8);
    const highHigh = this.high ^ word(bytes, at + length - 4);
    this.#multiplyFold(lowLow, lowHigh, highLow, highHigh);
    this.#add(length, 0);
    this.#add(swap(lowHigh), swap(lowLow));
    this.#add(highLow, highHigh);
    this.#avalanche();
  }

  #middle(bytes: Uint8Array, at: number, length: number, seedLow: number, seedHigh: number): void {
    const sum = (from: number, secret: number): void => {
      const low = this.low;
      const high = this.high;
      this.#mix16(bytes, from, secret, seedLow, seedHigh);
      this.#add(low, high);
    };
    const end = at + length;
    this.#set(length, 0);
    this.#multiply(0x85ebca87, 0x9e3779b1);
    if (length <= 128) {
      for (let i = (length - 1) >>> 5; i >= 0; i--) {
        sum(at + 16 * i, 32 * i);
        sum(end - 16 * (i + 1), 32 * i + 16);
      }
    } else {
      for (let i = 0; i < 8; i++) sum(at + 16 * i, 16 * i);
      this.#avalanche();
      for (let i = 8; i < length >>> 4; i++) sum(at + 16 * i, 16 * (i - 8) + 3);
      sum(end - 16, 136 - 17);
    }
    this.#avalanche();
  }

  #long(bytes: Uint8Array, at: number, length: number, seedLow: number, seedHigh: number): void {
    const secret = this.#secret;
    for (let i = 0; i < SECRET_BYTES; i += 16) {
      this.#set(word(SECRET, i), word(SECRET, i + 4));
      this.#add(seedLow, seedHigh);
      this.#store(secret, i);
      this.#set(word(SECRET, i + 8), word(SECRET, i + 12));
      this.#subtract(seedLow, seedHigh);
      this.#store(secret, i + 8);
    }
    const sums = this.#sums;
    sums.set(SUMS);
    const blocks = Math.floor((length - 1) / BLOCK_BYTES);
    for (let i = 0; i < blocks; i++) {
      for (let s = 0; s < 16; s++) this.#stripe(bytes, at + BLOCK_BYTES * i + STRIPE_BYTES * s, 8 * s);
      this.#scramble();
    }
    const stripes = Math.floor((length - 1 - BLOCK_BYTES * blocks) / STRIPE_BYTES);
    for (let s = 0; s < stripes; s++) this.#stripe(bytes, at + BLOCK_BYTES * blocks + STRIPE_BYTES * s, 8 * s);
    this.#stripe(bytes, at + length - STRIPE_BYTES, SECRET_BYTES - STRIPE_BYTES - 7);
    // length x PRIME64_1; a length is below 2^53.
    this.#set(length | 0, Math.floor(length / 0x100000000));
    this.#multiply(0x85ebca87, 0x9e3779b1);
    for (let i = 0; i < 16; i += 4) {
      const low = this.low;
      const high = this.high;
      const from = 11 + 4 * i;
      this.#multiplyFold(
        (sums[i] as number) ^ word(secret, from),
        (sums[i + 1] as number) ^ word(secret, from + 4),
        (sums[i + 2] as number) ^ word(secret, from + 8),
        (sums[i + 3] as number) ^ word(secret, from + 12),
      );
      this.#add(low, high);
    }
    this.#avalanche();
  }

  /** Adds one stripe of 64 bytes: to lane i ^ 1 the value, to lane i the product of the halves of the keyed value. */
  #stripe(bytes: Uint8Array, at: number, from: number): void {
    const sums = this.#sums;
    const secret = this.#secret;
    for (let i = 0; i < 8; i++) {
      const low = word(bytes, at + 8 * i);
      const high = word(bytes, at + 8 * i + 4);
      const other = 2 * (i ^ 1);
      const otherLow = ((sums[other] as number) + low) | 0;
      sums[other + 1] = (sums[other + 1] as number) + high + carry(otherLow, low);
      sums[other] = otherLow;
      const a = (low ^ word(secret, from + 8 * i)) >>> 0;
      const b = (high ^ word(secret, from + 8 * i + 4)) >>> 0;
      const product = Math.imul(a, b);
      const sum = ((sums[2 * i] as number) + product) | 0;
      sums[2 * i + 1] = (sums[2 * i + 1] as number) + multiplyHigh(a, b) + carry(sum, product);
      sums[2 * i] = sum;
    }
  }

  #scramble(): void {
    const sums = this.#sums;
    const from = SECRET_BYTES - STRIPE_BYTES;
    for (let i = 0; i < 8; i++) {
      this.#set(sums[2 * i] as number, sums[2 * i + 1] as number);
      this.#shiftXor(47);
      this.low ^= word(this.#secret, from + 8 * i);
      this.high ^= word(this.#secret, from + 8 * i + 4);
      this.#multiply(0x9e3779b1, 0);
      sums[2 * i] = this.low;
      sums[2 * i + 1] = this.high;
    }
  }

  #mix16(bytes: Uint8Array, at: number, secret: number, seedLow: number, seedHigh: number): void {
    this.#set(word(SECRET, secret), word(SECRET, secret + 4));
    this.#add(seedLow, seedHigh);
    const low = this.low ^ word(bytes, at);
    const high = this.high ^ word(bytes, at + 4);
    this.#set(word(SECRET, secret + 8), word(SECRET, secret + 12));
    this.#subtract(seedLow, seedHigh);
    this.#multiplyFold(low, high, this.low ^ word(bytes, at + 8), this.high ^ word(bytes, at + 12));
  }

  #avalanche(): void {
    this.#shiftXor(37);
    this.#multiply(0x9e3779f9, 0x16566791);
    this.#shiftXor(32);
  }

  #set(low: number, high: number): void {
    this.low = low | 0;
    this.high = high | 0;
  }

  #add(low: number, high: number): void {
    this.low = (this.low + low) | 0;
    this.high = (this.high + high + carry(this.low, low)) | 0;
  }

  #subtract(low: number, high: number): void {
    const borrow = this.low >>> 0 < low >>> 0 ? 1 : 0;
    this.low = (this.low - low) | 0;
    this.high = (this.high - high - borrow) | 0;
  }

  #store(bytes: Uint8Array, at: number): void {
    for (let i = 0; i < 4; i++) {
      bytes[at + i] = this.low >>> (8 * i);
      bytes[at + 4 + i] = this.high >>> (8 * i);
    }
  }

  /** h ^= h >> by */
  #shiftXor(by: number): void {
    if (by >= 32) {
      this.low ^= this.high >>> (by - 32);
      return;
    }
    this.low ^= (this.low >>> by) | (this.high << (32 - by));
    this.high ^= this.high >>> by;
  }

  /** h *= (low, high), mod 2^64. */
  #multiply(low: number, high: number): void {
    const own = this.low >>> 0;
    this.high = (multiplyHigh(own, low) + Math.imul(this.high, low) + Math.imul(own, high)) | 0;
    this.low = Math.imul(own, low);
  }

  /** The two halves of the 128-bit product, one over the other. */
  #multiplyFold(aLow: number, aHigh: number, bLow: number, bHigh: number): void {
    const al = aLow >>> 0;
    const ah = aHigh >>> 0;
    const bl = bLow >>> 0;
    const bh = bHigh >>> 0;
    const middle = multiplyHigh(al, bl) + (Math.imul(ah, bl) >>> 0) + (Math.imul(al, bh) >>> 0);
    const upper =
      multiplyHigh(ah, bl) + multiplyHigh(al, bh) + (Math.imul(ah, bh) >>> 0) + Math.floor(middle / 0x100000000);
    this.low = Math.imul(al, bl) ^ upper;
    this.high = middle ^ (multiplyHigh(ah, bh) + Math.floor(upper / 0x100000000));
  }
}
