/**
 * sfc32 (Chris Doty-Humphrey's Small Fast Counter, 32-bit, PractRand-clean): four u32 words of state, only additions,
 * shifts and xors, so the C++ kernels and the TypeScript twins draw the same numbers from the same arena words.
 * `native/kernels/prng.hpp` is the other half. Not for secrets.
 */

/** Advances the state held in `words[at..at+3]` and returns the next u32. */
export function sfc32Next(words: Uint32Array, at: number): number {
  const a = words[at] as number;
  const b = words[at + 1] as number;
  const c = words[at + 2] as number;
  const counter = words[at + 3] as number;
  const result = (a + b + counter) >>> 0;
  words[at + 3] = (counter + 1) >>> 0;
  words[at] = (b ^ (b >>> 9)) >>> 0;
  words[at + 1] = (c + (c << 3)) >>> 0;
  words[at + 2] = (((c << 21) | (c >>> 11)) + result) >>> 0;
  return result;
}

/** Fills the four state words from a 32-bit seed and discards the first draws, as the author advises. */
export function sfc32Seed(words: Uint32Array, at: number, seed: number): void {
  words[at] = seed >>> 0;
  words[at + 1] = Math.imul(seed, 0x9e3779b1) >>> 0;
  words[at + 2] = (seed ^ 0x6d2b79f5) >>> 0;
  words[at + 3] = 1;
  for (let i = 0; i < 12; i++) sfc32Next(words, at);
}

/**
 * Uniform integer in [0, bound) for 0 < bound <= 2^21: floor(draw * bound / 2^32). The product stays below 2^53, so
 * the double arithmetic here is exact and equals the C++ `(uint64_t{draw} * bound) >> 32`. Bias is at most bound/2^32.
 */
export function sfc32Below(words: Uint32Array, at: number, bound: number): number {
  return Math.floor((sfc32Next(words, at) * bound) / 4294967296);
}

/** A generator with its own state, for code that has no arena. */
export class Prng {
  readonly #words = new Uint32Array(4);

  constructor(seed: number) {
    sfc32Seed(this.#words, 0, seed);
  }

  /** Next u32. */
  next(): number {
    return sfc32Next(this.#words, 0);
  }

  /** Uniform integer in [0, bound), bound <= 2^21. */
  below(bound: number): number {
    return sfc32Below(this.#words, 0, bound);
  }

  /** Uniform double in [0, 1), 32 bits of resolution. */
  unit(): number {
    return this.next() / 4294967296;
  }

  /** Fills `out` with random bytes. */
  fill(out: Uint8Array): void {
    for (let i = 0; i < out.length; i++) out[i] = this.next() >>> 24;
  }
}
