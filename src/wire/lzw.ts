import { REJECT } from '../kernels/contract.ts';

/**
 * The LZW of compress messages (protocol §6.2): literal width 8, least significant bit first, codes of 9 to 12 bits, GIF
 * flavour. Tables are allocated once per thread; neither function allocates or calls anything that could re-enter it.
 */

const CLEAR = 256;
const END = 257;
const WIDTH_MIN = 9;
const WIDTH_MAX = 12;
const CODE_MAX = 4095;
const CODES = 4096;

// Encoder dictionary: open addressing, at most 3837 strings in 8192 places. An entry holds the string as (code, byte) in its
// upper 20 bits and its own code in the lower 12. It counts only if its stamp is the current one, so a clear is one addition.
const PLACES = 8192;
const entries = new Uint32Array(PLACES);
const stamps = new Uint32Array(PLACES);
let stamp = 0;

// Decoder dictionary: every string is a range of the output already written (the previous string plus one byte).
const starts = new Uint32Array(CODES);
const lengths = new Uint32Array(CODES);

/** Bytes that n bytes of input can grow to at most: every code 12 bits, one clear per 3838 codes, first and last code. */
export function lzwBound(length: number): number {
  return length + (length >> 1) + (length >> 10) + 8;
}

/** Encodes `source` into `out`; returns the length, or -1 when it does not fit. Byte for byte what memberlist sends. */
export function lzwCompress(source: Uint8Array, out: Uint8Array): number {
  const limit = out.length;
  const count = source.length;
  let at = 0;
  let width = WIDTH_MIN;
  let last = END;
  let bits = CLEAR;
  let held = WIDTH_MIN;
  newDictionary();

  let current = count > 0 ? (source[0] as number) : -1;
  for (let i = 1; i <= count; i++) {
    let place = 0;
    let key = 0;
    if (i < count) {
      key = (current << 8) | (source[i] as number);
      place = Math.imul(key, 0x9e3779b1) >>> 19;
      while (stamps[place] === stamp && (entries[place] as number) >>> 12 !== key) place = (place + 1) & (PLACES - 1);
      if (stamps[place] === stamp) {
        current = (entries[place] as number) & 0xfff;
        continue;
      }
    }
    bits |= current << held;
    held += width;
    while (held >= 8) {
      if (at >= limit) return -1;
      out[at++] = bits & 255;
      bits >>>= 8;
      held -= 8;
    }
    last++;
    if (last === 1 << width) width++;
    if (last === CODE_MAX) {
      // At most 7 held bits and 12 new ones, so the word never overflows.
      bits |= CLEAR << held;
      held += width;
      while (held >= 8) {
        if (at >= limit) return -1;
        out[at++] = bits & 255;
        bits >>>= 8;
        held -= 8;
      }
      width = WIDTH_MIN;
      last = END;
      newDictionary();
    } else if (i < count) {
      stamps[place] = stamp;
      entries[place] = ((key << 12) | last) >>> 0;
    }
    if (i < count) current = source[i] as number;
  }

  bits |= END << held;
  held += width;
  while (held > 0) {
    if (at >= limit) return -1;
    out[at++] = bits & 255;
    bits >>>= 8;
    held -= 8;
  }
  return at;
}

/**
 * Decodes `source` into `out`; returns the length, or -REJECT.lzwCorrupt (bad code, or no end code) or -REJECT.oversized (more
 * than out.length bytes). Bytes behind the end code are ignored. On failure `out` holds garbage.
 */
export function lzwDecompress(source: Uint8Array, out: Uint8Array): number {
  const limit = out.length;
  const count = source.length;
  let from = 0;
  let at = 0;
  let bits = 0;
  let held = 0;
  let width = WIDTH_MIN;
  let next = END;
  let previousStart = -1; // -1: no previous code
  let previousLength = 0;

  for (;;) {
    while (held < width) {
      if (from >= count) return -REJECT.lzwCorrupt;
      bits |= (source[from++] as number) << held;
      held += 8;
    }
    const code = bits & ((1 << width) - 1);
    bits >>>= width;
    held -= width;

    if (code === CLEAR) {
      width = WIDTH_MIN;
      next = END;
      previousStart = -1;
      continue;
    }
    if (code === END) return at;
    if (code > next) return -REJECT.lzwCorrupt;

    const start = at;
    let length = 1;
    if (code < CLEAR) {
      if (at >= limit) return -REJECT.oversized;
      out[at++] = code;
    } else {
      // The code being assigned right now stands for the previous string and its own first byte, which a forward copy yields.
      const isNew = code === next && previousStart >= 0;
      const copyFrom = isNew ? previousStart : (starts[code] as number);
      length = isNew ? previousLength + 1 : (lengths[code] as number);
      if (length > limit - at) return -REJECT.oversized;
      for (let i = 0; i < length; i++) out[at + i] = out[copyFrom + i] as number;
      at += length;
    }
    if (previousStart >= 0) {
      starts[next] = previousStart;
      lengths[next] = previousLength + 1;
    }
    previousStart = start;
    previousLength = length;
    next++;
    if (next === 1 << width) {
      if (width < WIDTH_MAX) width++;
      else {
        // The table is full and stays as it is until a clear code.
        previousStart = -1;
        next = CODE_MAX;
      }
    }
  }
}

function newDictionary(): void {
  stamp = (stamp + 1) >>> 0;
  if (stamp === 0) {
    stamps.fill(0);
    stamp = 1;
  }
}
