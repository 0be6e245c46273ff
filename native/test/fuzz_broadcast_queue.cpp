// Fuzz target of the broadcast queue: bytes are read as calls and as damage to the arena between them. Whatever the arena
// holds, no access may leave it and every call must end.
//
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -DHEARSAY_LIBFUZZER native/test/fuzz_broadcast_queue.cpp
//       -o out/fuzz_broadcast_queue && out/fuzz_broadcast_queue corpus/
//   g++ -std=c++20 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all native/test/fuzz_broadcast_queue.cpp
//       -o out/fuzz_broadcast_queue && out/fuzz_broadcast_queue --seconds 60 [--seed 1]

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../kernels/broadcast_queue.hpp"

namespace {

using namespace hearsay;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz_broadcast_queue: %s\n", what);
  std::abort();
}

/// Takes numbers from the input; zeros when it is used up.
class Reader {
 public:
  Reader(const uint8_t* bytes, std::size_t length) : bytes_(bytes), length_(length) {}
  bool done() const { return at_ >= length_; }
  uint32_t u8() { return at_ < length_ ? bytes_[at_++] : 0; }
  uint32_t u16() { return u8() | (u8() << 8); }
  uint32_t u32() { return u16() | (u16() << 16); }

 private:
  const uint8_t* bytes_;
  std::size_t length_;
  std::size_t at_ = 0;
};

constexpr uint32_t kCapacity = 24;
constexpr uint32_t kItems = 4;
constexpr uint32_t kRequests = 3;
constexpr uint32_t kInBytes = 8192;

class Fixture {
 public:
  Fixture() {
    using namespace layout;
    uint64_t size = queue::requestsOffset + kRequests * (queue_request::stride + queue_packet::stride) +
                    align8((kCapacity + kItems) * 4) + kItems * queue_item::stride + kCapacity * queue_entry::stride +
                    2 * align8(kCapacity * 4) + 64 * 4 + kHeapBytes + kInBytes + kOutBytes;
    size_ = static_cast<uint32_t>(size);
    memory_.reset(static_cast<uint8_t*>(std::calloc(size_, 1)));
    const std::pair<uint32_t, uint32_t> sizes[] = {{header::capacity, kCapacity},
                                                   {header::byteLength, size_},
                                                   {queue::heapBytes, kHeapBytes},
                                                   {queue::requestCapacity, kRequests},
                                                   {queue::finishedCapacity, kCapacity + kItems},
                                                   {queue::inBytes, kInBytes},
                                                   {queue::outBytes, kOutBytes},
                                                   {queue::inItemCapacity, kItems},
                                                   {queue::indexBuckets, 64}};
    for (const auto& [offset, value] : sizes) set(offset, value);
    require(!kernel_.attach(memory_.get(), size_ - 8), "attached to a short arena");
    require(kernel_.attach(memory_.get(), size_), "did not attach");
    fresh_.assign(memory_.get(), memory_.get() + size_);
  }

  void run(Reader reader) {
    std::memcpy(memory_.get(), fresh_.data(), size_);
    bool damaged = false;
    for (int steps = 0; steps < 64 && !reader.done(); steps++) {
      switch (reader.u8() % 8) {
        case 0:
        case 1:
        case 2:
          enqueue(reader);
          break;
        case 3:
        case 4:
        case 5:
          fill(reader);
          break;
        case 6:
          if ((reader.u8() & 1) != 0) {
            kernel_.invalidate(reader.u8() % 16);
          } else {
            kernel_.prune(reader.u8() & 1, reader.u8() % 30);
          }
          break;
        default:
          damage(reader);
          damaged = true;
      }
      if (!damaged) check();
    }
  }

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  static constexpr uint32_t kHeapBytes = 4096;
  static constexpr uint32_t kOutBytes = 2048;

  void set(uint32_t offset, uint32_t value) { std::memcpy(memory_.get() + offset, &value, 4); }
  uint32_t get(uint32_t offset) const {
    uint32_t value = 0;
    std::memcpy(&value, memory_.get() + offset, 4);
    return value;
  }

  uint32_t requests() const { return layout::queue::requestsOffset; }
  uint32_t items() const {
    return requests() + kRequests * (layout::queue_request::stride + layout::queue_packet::stride) +
           static_cast<uint32_t>(layout::align8((kCapacity + kItems) * 4));
  }

  void enqueue(Reader& reader) {
    using namespace layout;
    const uint32_t count = reader.u8() % (kItems + 1);
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = items() + i * queue_item::stride;
      const uint32_t style = reader.u8();
      set(at + queue_item::key, reader.u8() % 16);
      set(at + queue_item::offset, (style & 0x70) == 0 ? reader.u32() : reader.u16() % 4096);
      set(at + queue_item::length, (style & 3) == 0 ? reader.u16() % 2100 : reader.u8());
      set(at + queue_item::token, reader.u8());
      set(at + queue_item::prefix, reader.u8() % 8);
      set(at + queue_item::lane, (style & 0x80) != 0 ? 1 : (style & 4) >> 2);
    }
    require(kernel_.enqueue(count) <= count, "queued more than was handed in");
  }

  void fill(Reader& reader) {
    using namespace layout;
    const uint32_t count = reader.u8() % (kRequests + 1);
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = requests() + i * queue_request::stride;
      const uint32_t style = reader.u8();
      set(at + queue_request::leadOffset, (style & 0x70) == 0 ? reader.u32() : reader.u8());
      set(at + queue_request::leadLength, (style & 1) == 0 ? 0 : reader.u16());
      set(at + queue_request::limit, (style & 2) == 0 ? reader.u32() : reader.u16());
      set(at + queue_request::flags, style >> 7);
    }
    require(kernel_.fill(count, reader.u8() % 6, reader.u16() % 257) <= count, "filled more than was asked for");
  }

  void damage(Reader& reader) {
    // Half of the hits go to the header words and entries, where they hurt.
    const uint32_t range = (reader.u8() & 1) != 0 ? size_ : 2048;
    const uint32_t at = reader.u16() % (range / 4) * 4;
    set(at, (reader.u8() & 1) != 0 ? reader.u32() : reader.u8());
  }

  /// What must hold while nobody else writes to the arena.
  void check() const {
    using namespace layout;
    const uint32_t live = get(header::live);
    require(live <= kCapacity && live == get(queue::laneCount0) + get(queue::laneCount1), "counts");
    require(get(queue::laneBytes0) + get(queue::laneBytes1) <= kHeapBytes - kHeapBytes / 4, "bytes");
    require(get(queue::heapTop) <= kHeapBytes, "heapTop");
    require(live > 0 || (get(queue::heapTop) == 0 && get(queue::oldestBlock) == 0), "an empty heap");
  }

  kernels::BroadcastQueue kernel_;
  uint32_t size_ = 0;
  std::unique_ptr<uint8_t, Free> memory_;
  std::vector<uint8_t> fresh_;
};

void run_one(const uint8_t* bytes, std::size_t length) {
  static Fixture fixture;
  fixture.run(Reader(bytes, length));
}

}  // namespace

#ifdef HEARSAY_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, std::size_t length) {
  run_one(bytes, length);
  return 0;
}

#else

int main(int argc, char** argv) {
  uint64_t seconds = 10;
  uint64_t state = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string argument = argv[i];
    if (argument == "--seconds") seconds = std::strtoull(argv[i + 1], nullptr, 10);
    if (argument == "--seed") state = std::strtoull(argv[i + 1], nullptr, 10);
  }
  const auto next = [&state] {  // splitmix64
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  uint64_t runs = 0;
  std::vector<uint8_t> bytes(1024);
  while (std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 200; i++, runs++) {
      // Every fourth input has no damage in it: then the counts are checked to its end.
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(next());
      if (i % 4 == 0) {
        for (uint8_t& byte : bytes) byte = byte % 8 == 7 ? static_cast<uint8_t>(byte - 1) : byte;
      }
      run_one(bytes.data(), bytes.size());
    }
  }
  std::printf("fuzz_broadcast_queue: %llu inputs, nothing found\n", static_cast<unsigned long long>(runs));
  return 0;
}

#endif
