// Fuzz target of the broadcast queue: bytes are read as calls and as damage to the arena between them. Whatever the arena
// holds, no access may leave it and every call must end.

#include "../kernels/broadcast_queue.hpp"

#include "fuzz.hpp"

namespace {

using namespace hearsay;
using fuzz::Input;
using fuzz::require;

constexpr uint32_t kCapacity = 24;
constexpr uint32_t kItems = 4;
constexpr uint32_t kRequests = 3;
constexpr uint32_t kInBytes = 8192;

class Fixture {
 public:
  Fixture()
      : memory_(kSize, {{layout::header::kernelId, layout::kernel_id::broadcastQueue},
                        {layout::header::capacity, kCapacity},
                        {layout::queue::heapBytes, kHeapBytes},
                        {layout::queue::requestCapacity, kRequests},
                        {layout::queue::finishedCapacity, kCapacity + kItems},
                        {layout::queue::inBytes, kInBytes},
                        {layout::queue::outBytes, kOutBytes},
                        {layout::queue::inItemCapacity, kItems},
                        {layout::queue::indexBuckets, 64}}) {
    require(!kernel_.attach(memory_.data(), kSize - 8), "attached to a short arena");
    require(kernel_.attach(memory_.data(), kSize), "did not attach");
  }

  void run(Input input) {
    memory_.reset();
    require(kernel_.attach(memory_.data(), kSize), "did not attach again");
    bool damaged = false;
    for (int steps = 0; steps < 64 && !input.done(); steps++) {
      switch (input.u8() % 8) {
        case 0:
        case 1:
        case 2:
          enqueue(input);
          break;
        case 3:
        case 4:
        case 5:
          fill(input);
          break;
        case 6:
          if ((input.u8() & 1) != 0) {
            kernel_.invalidate(input.u8() % 16);
          } else {
            kernel_.prune(input.u8() & 1, input.u8() % 30);
          }
          break;
        default:
          memory_.damage(input);
          damaged = true;
          // Every so often the damage is met by a new attach, which may refuse it and then keeps what it had.
          if ((input.u8() & 3) == 0) kernel_.attach(memory_.data(), kSize);
      }
      if (!damaged) check();
    }
  }

 private:
  static constexpr uint32_t kHeapBytes = 4096;
  static constexpr uint32_t kOutBytes = 2048;
  static constexpr uint32_t kSize = layout::queue::requestsOffset +
                                    kRequests * (layout::queue_request::stride + layout::queue_packet::stride) +
                                    layout::align8((kCapacity + kItems) * 4) + kItems * layout::queue_item::stride +
                                    kCapacity * layout::queue_entry::stride + 2 * layout::align8(kCapacity * 4) +
                                    64 * 4 + kHeapBytes + kInBytes + kOutBytes;

  void set(uint32_t offset, uint32_t value) { memory_.set(offset, value); }
  uint32_t get(uint32_t offset) const { return memory_.get(offset); }

  uint32_t requests() const { return layout::queue::requestsOffset; }
  uint32_t items() const {
    return requests() + kRequests * (layout::queue_request::stride + layout::queue_packet::stride) +
           static_cast<uint32_t>(layout::align8((kCapacity + kItems) * 4));
  }

  void enqueue(Input& input) {
    using namespace layout;
    const uint32_t count = std::min(input.u8() % (kItems + 1), kernel_.item_capacity());
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = items() + i * queue_item::stride;
      const uint32_t style = input.u8();
      set(at + queue_item::key, input.u8() % 16);
      set(at + queue_item::offset, (style & 0x70) == 0 ? input.u32() : input.u16() % 4096);
      set(at + queue_item::length, (style & 3) == 0 ? input.u16() % 2100 : input.u8());
      set(at + queue_item::token, input.u8());
      set(at + queue_item::prefix, input.u8() % 8);
      // The upper half says how often it counts as sent already.
      const uint32_t transmits = (style & 0x18) == 0 ? input.u16() : 0;
      set(at + queue_item::lane, ((style & 0x80) != 0 ? 1 : (style & 4) >> 2) | transmits << 16);
    }
    require(kernel_.enqueue(count) <= count, "queued more than was handed in");
  }

  void fill(Input& input) {
    using namespace layout;
    const uint32_t count = std::min(input.u8() % (kRequests + 1), kernel_.request_capacity());
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = requests() + i * queue_request::stride;
      const uint32_t style = input.u8();
      set(at + queue_request::leadOffset, (style & 0x70) == 0 ? input.u32() : input.u8());
      set(at + queue_request::leadLength, (style & 1) == 0 ? 0 : input.u16());
      set(at + queue_request::limit, (style & 2) == 0 ? input.u32() : input.u16());
      set(at + queue_request::flags, style >> 7);
    }
    require(kernel_.fill(count, input.u8() % 6, input.u16() % 257) <= count, "filled more than was asked for");
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

  fuzz::Memory memory_;
  kernels::BroadcastQueue kernel_;
};

void run_one(const uint8_t* bytes, std::size_t length) {
  static Fixture fixture;
  fixture.run(Input(bytes, length));
}

/// Every fourth input has no damage in it: then the counts are checked to its end.
fuzz::Bytes mutate(fuzz::Random& random, const std::vector<fuzz::Bytes>& corpus) {
  fuzz::Bytes bytes = fuzz::mutated(random, corpus);
  if (random.below(4) == 0) {
    for (uint8_t& byte : bytes) byte = byte % 8 == 7 ? static_cast<uint8_t>(byte - 1) : byte;
  }
  return bytes;
}

}  // namespace

HEARSAY_FUZZ_TARGET_WITH(broadcast_queue, run_one, mutate)
