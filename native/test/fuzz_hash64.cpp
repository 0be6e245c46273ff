// Fuzz target of the 64-bit hashes: no read outside of the values, the same bits with and without vector instructions and at
// every alignment, and values hashed in one call are hashed as one by one.

#include "../kernels/digest.hpp"
#include "fuzz.hpp"

namespace {

using namespace hearsay;
using fuzz::Bytes;
using fuzz::require;

void check_value(const Bytes& value, uint64_t seed) {
  const uint64_t hash = kernels::xxh3_64(value.data(), value.size(), seed);
  require(hash == kernels::xxh3_64(value.data(), value.size(), seed, true), "portable code gives other bits");
  Bytes moved(value.size() + 1);
  std::copy(value.begin(), value.end(), moved.begin() + 1);
  require(hash == kernels::xxh3_64(moved.data() + 1, value.size(), seed), "the alignment changes the hash");
  const kernels::HashKey key{seed, ~seed};
  require(
      kernels::siphash24(value.data(), value.size(), key) == kernels::siphash24(moved.data() + 1, value.size(), key),
      "the alignment changes the keyed hash");
}

/// The ends are whatever the input says: in order, out of order, beyond the source.
void check_values(fuzz::Input& input, const Bytes& source, uint32_t seed) {
  const Bytes ends = input.take(input.u8());
  Bytes out(8 * (input.u8() % 64));
  const uint32_t done = kernels::Digest::hash_values(source, ends, out, seed);
  require(done <= ends.size() / 4 && done <= out.size() / 8, "more values than there are");
  uint32_t start = 0;
  for (uint32_t i = 0; i < done; i++) {
    uint32_t end = 0;
    uint64_t hash = 0;
    std::memcpy(&end, ends.data() + 4 * i, 4);
    std::memcpy(&hash, out.data() + 8 * i, 8);
    require(hash == kernels::xxh3_64(source.data() + start, end - start, seed), "a value among many");
    start = end;
  }
}

void run_one(const uint8_t* bytes, std::size_t length) {
  fuzz::Input input(bytes, length);
  const uint64_t seed = input.u32();
  const uint32_t size = input.u16() % 4096;
  const Bytes value = input.take(size);
  check_value(value, seed);
  check_value(value, seed << 32 | seed);
  check_values(input, value, static_cast<uint32_t>(seed));
  // Lengths around the ends of the long form's blocks, which inputs alone would seldom reach.
  if (!value.empty() && (seed & 7) == 0) {
    Bytes tiled(1 + size % 6000);
    for (std::size_t i = 0; i < tiled.size(); i++) tiled[i] = static_cast<uint8_t>(value[i % value.size()] + (i >> 6));
    check_value(tiled, seed);
  }
}

}  // namespace

HEARSAY_FUZZ_TARGET(hash64, run_one)
