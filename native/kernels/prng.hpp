// sfc32 over four state words, the C++ half of src/util/prng.ts: both draw the same numbers from the same arena words.
#pragma once

#include <cstdint>

namespace hearsay::prng {

/// Advances the four state words and returns the next u32.
inline uint32_t next(uint32_t* words) {
  const uint32_t a = words[0];
  const uint32_t b = words[1];
  const uint32_t c = words[2];
  const uint32_t counter = words[3];
  const uint32_t result = a + b + counter;
  words[3] = counter + 1;
  words[0] = b ^ (b >> 9);
  words[1] = c + (c << 3);
  words[2] = ((c << 21) | (c >> 11)) + result;
  return result;
}

/// Fills the state words from a 32-bit seed.
inline void seed(uint32_t* words, uint32_t value) {
  words[0] = value;
  words[1] = value * 0x9e3779b1u;
  words[2] = value ^ 0x6d2b79f5u;
  words[3] = 1;
  for (int i = 0; i < 12; i++) next(words);
}

/// Uniform integer in [0, bound) for 0 < bound <= 2^21 (the twin's doubles are exact up to there).
inline uint32_t below(uint32_t* words, uint32_t bound) {
  return static_cast<uint32_t>((uint64_t{next(words)} * bound) >> 32);
}

}  // namespace hearsay::prng
