// What all fuzz targets share: reading an input as choices, an arena in an allocation of its own, and main().
//
// A target is native/test/fuzz_<name>.cpp. It includes this file and ends with HEARSAY_FUZZ_TARGET(name, run_one), where
// run_one(bytes, length) takes any bytes and calls fuzz::require() for what must hold. `make fuzz-native` builds and runs all.
//
// With -DHEARSAY_LIBFUZZER libFuzzer brings main(). Without, main() is here and needs no clang: it runs the files that it is
// given, then mutates them until the time is over:
//
//   fuzz_<name> [--seconds 10] [--seed 1] [--artifacts prefix] [files...]
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/layout.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define HEARSAY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEARSAY_ASAN 1
#endif
#endif
#ifdef HEARSAY_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace hearsay::fuzz {

using Bytes = std::vector<uint8_t>;

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

/// Takes numbers and spans from an input; zeros and empty spans when it is used up.
class Input {
 public:
  Input(const uint8_t* bytes, std::size_t length) : bytes_(bytes), length_(length) {}
  bool done() const { return at_ >= length_; }
  uint32_t u8() { return at_ < length_ ? bytes_[at_++] : 0; }
  uint32_t u16() {
    const uint32_t low = u8();
    return low | (u8() << 8);
  }
  uint32_t u32() {
    const uint32_t low = u16();
    return low | (u16() << 16);
  }
  /// In an allocation of its own, so that ASan sees both ends.
  Bytes take(std::size_t count) {
    count = std::min(count, length_ - std::min(at_, length_));
    Bytes taken(bytes_ + at_, bytes_ + at_ + count);
    at_ += count;
    return taken;
  }

 private:
  const uint8_t* bytes_;
  std::size_t length_;
  std::size_t at_ = 0;
};

/// Any word, a small one, or one that sums overflow with.
inline uint32_t odd_word(Input& input) {
  switch (input.u8() % 4) {
    case 0:
      return input.u32();
    case 1:
      return 0u - input.u8();
    case 2:
      return 0x80000000u - input.u8();
    default:
      return input.u8();
  }
}

/// Zeroed memory in an allocation of its own, with the header words that are given.
class Memory {
 public:
  using Word = std::pair<uint32_t, uint32_t>;

  Memory(uint64_t size, std::initializer_list<Word> words)
      : size_(static_cast<uint32_t>(size)), bytes_(static_cast<uint8_t*>(std::calloc(size_, 1))) {
    set(layout::header::magic, layout::kArenaMagic);
    set(layout::header::layoutVersion, layout::kLayoutVersion);
    set(layout::header::byteLength, size_);
    for (const auto& [offset, value] : words) set(offset, value);
    save();
  }

  uint8_t* data() const { return bytes_.get(); }
  uint32_t size() const { return size_; }
  void set(uint32_t offset, uint32_t value) { std::memcpy(data() + offset, &value, 4); }
  uint32_t get(uint32_t offset) const {
    uint32_t value = 0;
    std::memcpy(&value, data() + offset, 4);
    return value;
  }

  /// What reset() goes back to.
  void save() { fresh_.assign(data(), data() + size_); }
  void reset() { std::memcpy(data(), fresh_.data(), size_); }

  /// One word of an arena written by somebody else. Half of the hits go to the first 2 KiB, where they hurt.
  void damage(Input& input) {
    const uint32_t range = (input.u8() & 1) != 0 ? size_ : std::min(size_, 2048u);
    const uint32_t at = input.u16() % (range / 4) * 4;
    set(at, odd_word(input));
  }

  /// Nobody may touch [from, to) until allow() is called; only ASan notices.
  void forbid([[maybe_unused]] uint32_t from, [[maybe_unused]] uint32_t to) {
#ifdef HEARSAY_ASAN
    ASAN_POISON_MEMORY_REGION(data() + from, to - from);
#endif
  }
  void allow([[maybe_unused]] uint32_t from, [[maybe_unused]] uint32_t to) {
#ifdef HEARSAY_ASAN
    ASAN_UNPOISON_MEMORY_REGION(data() + from, to - from);
#endif
  }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };

  uint32_t size_;
  std::unique_ptr<uint8_t, Free> bytes_;
  Bytes fresh_;
};

/// splitmix64: enough for a mutator.
struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint8_t byte() { return static_cast<uint8_t>(next()); }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
};

/// One small change: a byte, a cut, a hole, an insertion, a piece of another input.
inline void damage(Random& random, const std::vector<Bytes>& corpus, Bytes& bytes) {
  static constexpr uint8_t kOdd[] = {0,    1,    0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc4,
                                     0xc6, 0xc9, 0xcf, 0xd3, 0xd9, 0xdb, 0xdd, 0xdf, 0xfe, 0xff};
  const std::size_t at = random.below(bytes.size() + 1);
  const auto here = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random.below(6)) {
    case 0:
      if (at < bytes.size()) bytes[at] = random.byte();
      break;
    case 1:
      if (at < bytes.size()) bytes[at] = kOdd[random.below(std::size(kOdd))];
      break;
    case 2:
      bytes.resize(at);
      break;
    case 3:
      bytes.insert(here, random.byte());
      break;
    case 4:
      bytes.erase(here, here + static_cast<std::ptrdiff_t>(std::min<std::size_t>(bytes.size() - at, random.below(9))));
      break;
    default: {
      const Bytes& other = corpus[random.below(corpus.size())];
      if (other.empty()) break;
      bytes.insert(here, other.begin() + static_cast<std::ptrdiff_t>(random.below(other.size())), other.end());
    }
  }
}

/// The usual mutator: a few changes to an input of the corpus, or nothing but chance.
inline Bytes mutated(Random& random, const std::vector<Bytes>& corpus) {
  if (random.below(8) == 0) {
    Bytes bytes(1 + random.below(1024));
    for (uint8_t& byte : bytes) byte = random.byte();
    return bytes;
  }
  Bytes bytes = corpus[random.below(corpus.size())];
  for (std::size_t times = 1 + random.below(5); times > 0; times--) damage(random, corpus, bytes);
  return bytes;
}

#ifndef HEARSAY_LIBFUZZER

/// The input at work, for whoever notices that it is a finding.
struct Current {
  static inline const Bytes* bytes = nullptr;
  static inline std::string path;

  static void write() {
    if (bytes == nullptr || path.empty()) return;
    if (std::FILE* file = std::fopen(path.c_str(), "wb")) {
      std::fwrite(bytes->data(), 1, bytes->size(), file);
      std::fclose(file);
      std::fprintf(stderr, "fuzz: input written to %s\n", path.c_str());
    }
    bytes = nullptr;
  }
  static void on_signal(int number) {
    write();
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
};

inline Bytes read_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) {
    std::fprintf(stderr, "fuzz: cannot read %s\n", path);
    std::exit(2);
  }
  Bytes bytes;
  uint8_t buffer[4096];
  for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;) {
    bytes.insert(bytes.end(), buffer, buffer + got);
  }
  std::fclose(file);
  bytes.shrink_to_fit();
  return bytes;
}

template <typename Run, typename Mutate>
int run_main(const char* name, int argc, char** argv, Run run_one, Mutate mutate) {
  uint64_t seconds = 10;
  Random random{1};
  std::string artifacts;
  std::vector<Bytes> corpus;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    if (i + 1 < argc && argument == "--seconds") {
      seconds = std::strtoull(argv[++i], nullptr, 10);
    } else if (i + 1 < argc && argument == "--seed") {
      random.state = std::strtoull(argv[++i], nullptr, 10);
    } else if (i + 1 < argc && argument == "--artifacts") {
      artifacts = argv[++i];
    } else {
      corpus.push_back(read_file(argv[i]));
    }
  }
  if (!artifacts.empty()) Current::path = artifacts + "found-seed-" + std::to_string(random.state);
#ifdef HEARSAY_ASAN
  __sanitizer_set_death_callback(&Current::write);
#endif
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(number, &Current::on_signal);

  uint64_t runs = 0;
  const auto run = [&](const Bytes& bytes) {
    Current::bytes = &bytes;
    run_one(bytes.data(), bytes.size());
    runs++;
  };
  for (const Bytes& bytes : corpus) run(bytes);
  const uint64_t replayed = runs;
  if (corpus.empty()) corpus.emplace_back();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 50; i++) {
      Bytes bytes = mutate(random, corpus);
      bytes.shrink_to_fit();  // so that ASan sees the end
      run(bytes);
    }
  }
  Current::bytes = nullptr;
  std::printf("%s: %llu inputs, %llu of them files, nothing found\n", name, static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(replayed));
  return 0;
}

#endif

}  // namespace hearsay::fuzz

/// main() of a target; `mutate(random, corpus)` makes the next input where libFuzzer does not.
#ifdef HEARSAY_LIBFUZZER
#define HEARSAY_FUZZ_TARGET_WITH(name, run_one, mutate)                             \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, std::size_t length) { \
    static_cast<void>(&mutate);                                                     \
    run_one(bytes, length);                                                         \
    return 0;                                                                       \
  }
#else
#define HEARSAY_FUZZ_TARGET_WITH(name, run_one, mutate) \
  int main(int argc, char** argv) { return hearsay::fuzz::run_main(#name, argc, argv, run_one, mutate); }
#endif
#define HEARSAY_FUZZ_TARGET(name, run_one) HEARSAY_FUZZ_TARGET_WITH(name, run_one, hearsay::fuzz::mutated)
