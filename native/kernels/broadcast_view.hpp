// The arena of a broadcast queue as its parts see it: sizes checked once at attach, every index checked when it is read.
// Words that other code of the process may scribble on are clamped, never trusted: a damaged arena gives wrong answers,
// not wild accesses.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "layout.hpp"

namespace hearsay::kernels {

/// What a compound adds for each message.
inline constexpr uint32_t kPartOverhead = 2;

/// Words of one entry.
struct QueueEntry {
  static constexpr uint32_t kWords = layout::queue_entry::stride / 4;
  static constexpr uint8_t kQueued = 1;
  static constexpr uint8_t kTaken = 2;

  uint32_t* words;

  uint32_t& key() const { return words[layout::queue_entry::key / 4]; }
  uint32_t& offset() const { return words[layout::queue_entry::offset / 4]; }
  uint32_t& length() const { return words[layout::queue_entry::length / 4]; }
  uint32_t& transmits() const { return words[layout::queue_entry::transmits / 4]; }
  uint32_t& token() const { return words[layout::queue_entry::token / 4]; }
  /// Prefix, lane and state.
  uint32_t& facts() const { return words[layout::queue_entry::prefix / 4]; }
  uint32_t& next() const { return words[layout::queue_entry::next / 4]; }
  uint32_t& previous() const { return words[layout::queue_entry::previous / 4]; }

  double id() const {
    double value;
    std::memcpy(&value, words + layout::queue_entry::id / 4, sizeof value);
    return value;
  }
  void set_id(double value) const { std::memcpy(words + layout::queue_entry::id / 4, &value, sizeof value); }
  uint32_t prefix() const { return facts() & 0xffff; }
  uint32_t lane() const { return (facts() >> 16) & 0xff; }
  uint32_t state() const { return facts() >> 24; }
  void set_state(uint32_t state) const { facts() = (facts() & 0xffffff) | (state << 24); }
};

static_assert(layout::queue_entry::prefix % 4 == 0 && layout::queue_entry::lane == layout::queue_entry::prefix + 2 &&
              layout::queue_entry::state == layout::queue_entry::prefix + 3);
static_assert(layout::queue_entry::id % 8 == 0 && layout::queue_entry::stride % 8 == 0);

struct QueueView {
  uint8_t* base = nullptr;
  uint32_t capacity = 0;
  uint32_t heap_bytes = 0;
  uint32_t request_capacity = 0;
  uint32_t finished_capacity = 0;
  uint32_t in_bytes = 0;
  uint32_t out_bytes = 0;
  uint32_t item_capacity = 0;
  uint32_t index_buckets = 0;
  uint32_t requests = 0;
  uint32_t packets = 0;
  uint32_t finished = 0;
  uint32_t items = 0;
  uint32_t entries = 0;
  uint32_t orders[2] = {0, 0};
  uint32_t index = 0;
  uint32_t heap = 0;
  uint32_t in = 0;
  uint32_t out = 0;

  /// Reads the sizes and lays the sections out. False when they do not fill the arena exactly.
  bool attach(uint8_t* data, size_t size) {
    using layout::align8;
    if (size < layout::queue::requestsOffset) return false;
    base = data;
    capacity = word(layout::header::capacity);
    heap_bytes = word(layout::queue::heapBytes);
    request_capacity = word(layout::queue::requestCapacity);
    finished_capacity = word(layout::queue::finishedCapacity);
    in_bytes = word(layout::queue::inBytes);
    out_bytes = word(layout::queue::outBytes);
    item_capacity = word(layout::queue::inItemCapacity);
    index_buckets = word(layout::queue::indexBuckets);
    constexpr uint32_t kSizeMax = 1u << 28;
    for (const uint32_t value :
         {capacity, heap_bytes, request_capacity, finished_capacity, in_bytes, out_bytes, item_capacity}) {
      if (value < 1 || value > kSizeMax) return false;
    }
    if (!std::has_single_bit(index_buckets) || index_buckets < 2 * capacity) return false;

    uint64_t end = layout::queue::requestsOffset;
    const auto section = [&end](uint64_t bytes) {
      const uint64_t start = end;
      end += align8(bytes);
      return static_cast<uint32_t>(start);
    };
    requests = section(uint64_t{request_capacity} * layout::queue_request::stride);
    packets = section(uint64_t{request_capacity} * layout::queue_packet::stride);
    finished = section(uint64_t{finished_capacity} * 4);
    items = section(uint64_t{item_capacity} * layout::queue_item::stride);
    entries = section(uint64_t{capacity} * layout::queue_entry::stride);
    orders[0] = section(uint64_t{capacity} * 4);
    orders[1] = section(uint64_t{capacity} * 4);
    index = section(uint64_t{index_buckets} * 4);
    heap = section(heap_bytes);
    in = section(in_bytes);
    out = section(out_bytes);
    // Offsets above were cut to 32 bits; they only count when the whole fits.
    return end <= 0x7fffffff && end == word(layout::header::byteLength) && end <= size;
  }

  uint32_t* words_at(uint32_t offset) const { return reinterpret_cast<uint32_t*>(base + offset); }
  uint32_t& word(uint32_t offset) const { return *words_at(offset); }
  /// A word that counts or addresses something, cut to what the arena has room for.
  uint32_t clamped(uint32_t offset, uint32_t max) const {
    const uint32_t value = word(offset);
    return value < max ? value : max;
  }

  QueueEntry entry(uint32_t index_of_entry) const {
    const uint32_t safe = index_of_entry < capacity ? index_of_entry : 0;
    return {words_at(entries) + size_t{safe} * QueueEntry::kWords};
  }
};

}  // namespace hearsay::kernels
