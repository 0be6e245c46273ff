// The two 64-bit hashes of hearsay; the twin and specification is src/kernels/js/hash64.ts, the same bits on every machine.
//
// XXH3-64 (Yann Collet, xxHash specification 0.2.0, with a seed) for values in bulk: its long form runs in AVX2 where the processor has
// it, chosen at run time, else in portable code with the same bits. SipHash-2-4 (Aumasson and Bernstein 2012) for records that
// somebody else chose: without the key nobody can prepare two that collide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HEARSAY_AVX2 1
#include <immintrin.h>
#endif

namespace hearsay::kernels {

/// Finalizer of splitmix64 (Steele, Lea and Flood 2014): a bijection whose every output bit depends on every input bit.
inline uint64_t mix64(uint64_t h) {
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
  return h ^ (h >> 31);
}

struct HashKey {
  uint64_t k0;
  uint64_t k1;
  bool operator==(const HashKey&) const = default;
};

inline uint64_t siphash24(const uint8_t* bytes, std::size_t length, HashKey key) {
  const auto rotate = [](uint64_t value, int by) { return (value << by) | (value >> (64 - by)); };
  uint64_t v0 = key.k0 ^ 0x736f6d6570736575u;
  uint64_t v1 = key.k1 ^ 0x646f72616e646f6du;
  uint64_t v2 = key.k0 ^ 0x6c7967656e657261u;
  uint64_t v3 = key.k1 ^ 0x7465646279746573u;
  const auto round = [&] {
    v0 += v1;
    v1 = rotate(v1, 13) ^ v0;
    v0 = rotate(v0, 32);
    v2 += v3;
    v3 = rotate(v3, 16) ^ v2;
    v0 += v3;
    v3 = rotate(v3, 21) ^ v0;
    v2 += v1;
    v1 = rotate(v1, 17) ^ v2;
    v2 = rotate(v2, 32);
  };
  const uint8_t* const end = bytes + (length & ~std::size_t{7});
  for (; bytes != end; bytes += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, 8);
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  uint64_t last = uint64_t{length} << 56;
  for (std::size_t i = 0; i < (length & 7); i++) last |= uint64_t{end[i]} << (8 * i);
  v3 ^= last;
  round();
  round();
  v0 ^= last;
  v2 ^= 0xff;
  for (int i = 0; i < 4; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

namespace xxh3 {

inline constexpr uint64_t kPrime32_1 = 0x9e3779b1u;
inline constexpr uint64_t kPrime32_2 = 0x85ebca77u;
inline constexpr uint64_t kPrime32_3 = 0xc2b2ae3du;
inline constexpr uint64_t kPrime64_1 = 0x9e3779b185ebca87u;
inline constexpr uint64_t kPrime64_2 = 0xc2b2ae3d27d4eb4fu;
inline constexpr uint64_t kPrime64_3 = 0x165667b19e3779f9u;
inline constexpr uint64_t kPrime64_4 = 0x85ebca77c2b2ae63u;
inline constexpr uint64_t kPrime64_5 = 0x27d4eb2f165667c5u;
inline constexpr std::size_t kSecretBytes = 192;
inline constexpr std::size_t kStripeBytes = 64;
inline constexpr std::size_t kStripesPerBlock = (kSecretBytes - kStripeBytes) / 8;
inline constexpr std::size_t kBlockBytes = kStripeBytes * kStripesPerBlock;
inline constexpr std::size_t kMidBytesMax = 240;

/// The secret of the specification, as the 24 little-endian words that it is read in.
inline constexpr uint8_t kSecret[kSecretBytes] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4,
    0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e,
    0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43,
    0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19,
    0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7,
    0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78,
    0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16,
    0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f,
    0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

inline uint32_t load32(const uint8_t* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, 4);
  return value;
}
inline uint64_t load64(const uint8_t* at) {
  uint64_t value = 0;
  std::memcpy(&value, at, 8);
  return value;
}
inline uint64_t rotate(uint64_t value, int by) { return (value << by) | (value >> (64 - by)); }
inline uint64_t swap64(uint64_t value) {
  value = ((value & 0x00ff00ff00ff00ffu) << 8) | ((value >> 8) & 0x00ff00ff00ff00ffu);
  value = ((value & 0x0000ffff0000ffffu) << 16) | ((value >> 16) & 0x0000ffff0000ffffu);
  return (value << 32) | (value >> 32);
}

/// The two halves of the 128-bit product, one over the other.
inline uint64_t multiply_fold(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
  __extension__ using u128 = unsigned __int128;
  const u128 product = static_cast<u128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
#else
  const uint64_t low_a = a & 0xffffffffu;
  const uint64_t low_b = b & 0xffffffffu;
  const uint64_t ll = low_a * low_b;
  const uint64_t hl = (a >> 32) * low_b;
  const uint64_t lh = low_a * (b >> 32);
  const uint64_t middle = (ll >> 32) + (hl & 0xffffffffu) + lh;
  return (a * b) ^ ((hl >> 32) + (middle >> 32) + (a >> 32) * (b >> 32));
#endif
}

inline uint64_t avalanche(uint64_t h) {
  h = (h ^ (h >> 37)) * 0x165667919e3779f9u;
  return h ^ (h >> 32);
}
inline uint64_t avalanche_xxh64(uint64_t h) {
  h = (h ^ (h >> 33)) * kPrime64_2;
  h = (h ^ (h >> 29)) * kPrime64_3;
  return h ^ (h >> 32);
}
inline uint64_t mix16(const uint8_t* at, const uint8_t* secret, uint64_t seed) {
  return multiply_fold(load64(at) ^ (load64(secret) + seed), load64(at + 8) ^ (load64(secret + 8) - seed));
}

inline uint64_t hash_short(const uint8_t* at, std::size_t length, uint64_t seed) {
  if (length > 8) {
    const uint64_t low = load64(at) ^ ((load64(kSecret + 24) ^ load64(kSecret + 32)) + seed);
    const uint64_t high = load64(at + length - 8) ^ ((load64(kSecret + 40) ^ load64(kSecret + 48)) - seed);
    return avalanche(length + swap64(low) + high + multiply_fold(low, high));
  }
  if (length >= 4) {
    seed ^= swap64(seed & 0xffffffffu);
    const uint64_t flip = (load64(kSecret + 8) ^ load64(kSecret + 16)) - seed;
    uint64_t h = (load32(at + length - 4) + (uint64_t{load32(at)} << 32)) ^ flip;
    h ^= rotate(h, 49) ^ rotate(h, 24);
    h *= 0x9fb21c651e98df25u;
    h ^= (h >> 35) + length;
    h *= 0x9fb21c651e98df25u;
    return h ^ (h >> 28);
  }
  if (length > 0) {
    const uint32_t combined = (uint32_t{at[0]} << 16) | (uint32_t{at[length >> 1]} << 24) | at[length - 1] |
                              (static_cast<uint32_t>(length) << 8);
    return avalanche_xxh64(combined ^ ((load32(kSecret) ^ load32(kSecret + 4)) + seed));
  }
  return avalanche_xxh64(seed ^ load64(kSecret + 56) ^ load64(kSecret + 64));
}

inline uint64_t hash_middle(const uint8_t* at, std::size_t length, uint64_t seed) {
  uint64_t sum = length * kPrime64_1;
  const uint8_t* const end = at + length;
  if (length <= 128) {
    for (std::size_t i = (length - 1) / 32; i > 0; i--) {
      sum += mix16(at + 16 * i, kSecret + 32 * i, seed);
      sum += mix16(end - 16 * (i + 1), kSecret + 32 * i + 16, seed);
    }
    sum += mix16(at, kSecret, seed);
    sum += mix16(end - 16, kSecret + 16, seed);
    return avalanche(sum);
  }
  for (std::size_t i = 0; i < 8; i++) sum += mix16(at + 16 * i, kSecret + 16 * i, seed);
  sum = avalanche(sum);
  for (std::size_t i = 8; i < length / 16; i++) sum += mix16(at + 16 * i, kSecret + 16 * (i - 8) + 3, seed);
  sum += mix16(end - 16, kSecret + 136 - 17, seed);
  return avalanche(sum);
}

inline void accumulate_portable(uint64_t* sums, const uint8_t* at, std::size_t stripes, const uint8_t* secret) {
  for (std::size_t s = 0; s < stripes; s++, at += kStripeBytes) {
    for (std::size_t i = 0; i < 8; i++) {
      const uint64_t value = load64(at + 8 * i);
      const uint64_t keyed = value ^ load64(secret + 8 * (s + i));
      sums[i ^ 1] += value;
      sums[i] += (keyed & 0xffffffffu) * (keyed >> 32);
    }
  }
}

inline void scramble(uint64_t* sums, const uint8_t* secret) {
  for (std::size_t i = 0; i < 8; i++) {
    uint64_t sum = sums[i];
    sum ^= sum >> 47;
    sum ^= load64(secret + 8 * i);
    sums[i] = sum * kPrime32_1;
  }
}

/// All blocks and stripes but the last, overlapping one.
inline void consume_portable(uint64_t* sums, const uint8_t* at, std::size_t length, const uint8_t* secret) {
  const std::size_t blocks = (length - 1) / kBlockBytes;
  for (std::size_t i = 0; i < blocks; i++, at += kBlockBytes) {
    accumulate_portable(sums, at, kStripesPerBlock, secret);
    scramble(sums, secret + kSecretBytes - kStripeBytes);
  }
  accumulate_portable(sums, at, (length - 1 - blocks * kBlockBytes) / kStripeBytes, secret);
}

#ifdef HEARSAY_AVX2
__attribute__((target("avx2"))) inline void consume_avx2(uint64_t* sums, const uint8_t* at, std::size_t length,
                                                         const uint8_t* secret) {
  // A page ahead: a memory that answers after 100 ns at 20 GB/s has 2 KiB under way.
  constexpr std::size_t kPrefetch = 64 * kStripeBytes;
  auto* const lanes = reinterpret_cast<__m256i*>(sums);
  __m256i sum0 = _mm256_loadu_si256(lanes);
  __m256i sum1 = _mm256_loadu_si256(lanes + 1);
  std::size_t left = (length - 1) / kStripeBytes;
  while (left > 0) {
    const std::size_t stripes = left < kStripesPerBlock ? left : kStripesPerBlock;
    for (std::size_t s = 0; s < stripes; s++, at += kStripeBytes) {
      _mm_prefetch(reinterpret_cast<const char*>(at + kPrefetch), _MM_HINT_T0);
      const auto* const words = reinterpret_cast<const __m256i*>(at);
      const auto* const keys = reinterpret_cast<const __m256i*>(secret + 8 * s);
      const __m256i value0 = _mm256_loadu_si256(words);
      const __m256i value1 = _mm256_loadu_si256(words + 1);
      const __m256i keyed0 = _mm256_xor_si256(value0, _mm256_loadu_si256(keys));
      const __m256i keyed1 = _mm256_xor_si256(value1, _mm256_loadu_si256(keys + 1));
      // Lane i ^ 1 gets the value, lane i the product of its keyed halves.
      sum0 = _mm256_add_epi64(sum0, _mm256_shuffle_epi32(value0, _MM_SHUFFLE(1, 0, 3, 2)));
      sum1 = _mm256_add_epi64(sum1, _mm256_shuffle_epi32(value1, _MM_SHUFFLE(1, 0, 3, 2)));
      sum0 = _mm256_add_epi64(sum0, _mm256_mul_epu32(keyed0, _mm256_srli_epi64(keyed0, 32)));
      sum1 = _mm256_add_epi64(sum1, _mm256_mul_epu32(keyed1, _mm256_srli_epi64(keyed1, 32)));
    }
    left -= stripes;
    if (stripes < kStripesPerBlock) break;
    // A block that is whole is scrambled even when nothing but the last stripe follows.
    const auto* const keys = reinterpret_cast<const __m256i*>(secret + kSecretBytes - kStripeBytes);
    const __m256i prime = _mm256_set1_epi64x(static_cast<long long>(kPrime32_1));
    const auto scrambled = [prime](__m256i sum, __m256i key) __attribute__((target("avx2"))) {
      const __m256i mixed = _mm256_xor_si256(_mm256_xor_si256(sum, _mm256_srli_epi64(sum, 47)), key);
      const __m256i high = _mm256_slli_epi64(_mm256_mul_epu32(_mm256_srli_epi64(mixed, 32), prime), 32);
      return _mm256_add_epi64(_mm256_mul_epu32(mixed, prime), high);
    };
    sum0 = scrambled(sum0, _mm256_loadu_si256(keys));
    sum1 = scrambled(sum1, _mm256_loadu_si256(keys + 1));
  }
  _mm256_storeu_si256(lanes, sum0);
  _mm256_storeu_si256(lanes + 1, sum1);
}
#endif

inline uint64_t hash_long(const uint8_t* at, std::size_t length, uint64_t seed, bool portable) {
  uint8_t secret[kSecretBytes];
  for (std::size_t i = 0; i < kSecretBytes; i += 16) {
    const uint64_t low = load64(kSecret + i) + seed;
    const uint64_t high = load64(kSecret + i + 8) - seed;
    std::memcpy(secret + i, &low, 8);
    std::memcpy(secret + i + 8, &high, 8);
  }
  uint64_t sums[8] = {kPrime32_3, kPrime64_1, kPrime64_2, kPrime64_3, kPrime64_4, kPrime32_2, kPrime64_5, kPrime32_1};
#ifdef HEARSAY_AVX2
  if (!portable && __builtin_cpu_supports("avx2")) {
    consume_avx2(sums, at, length, secret);
  } else {
    consume_portable(sums, at, length, secret);
  }
#else
  static_cast<void>(portable);
  consume_portable(sums, at, length, secret);
#endif
  accumulate_portable(sums, at + length - kStripeBytes, 1, secret + kSecretBytes - kStripeBytes - 7);
  uint64_t h = length * kPrime64_1;
  for (std::size_t i = 0; i < 8; i += 2) {
    h += multiply_fold(sums[i] ^ load64(secret + 11 + 8 * i), sums[i + 1] ^ load64(secret + 19 + 8 * i));
  }
  return avalanche(h);
}

}  // namespace xxh3

/// XXH3-64. `portable` leaves vector instructions out; the bits are the same.
inline uint64_t xxh3_64(const uint8_t* bytes, std::size_t length, uint64_t seed, bool portable = false) {
  if (length <= 16) return xxh3::hash_short(bytes, length, seed);
  if (length <= xxh3::kMidBytesMax) return xxh3::hash_middle(bytes, length, seed);
  return xxh3::hash_long(bytes, length, seed, portable);
}

}  // namespace hearsay::kernels
