// Which entry of a broadcast queue speaks about a key: open addressing, linear probing, backward-shift removal. The C++
// half of src/kernels/js/broadcast-index.ts.
#pragma once

#include <bit>
#include <cstdint>

#include "broadcast_view.hpp"

namespace hearsay::kernels {

class BroadcastIndex {
 public:
  explicit BroadcastIndex(const QueueView& view) : view_(view) {}

  /// Entry + 1 of a key, 0 when there is none.
  uint32_t find(uint32_t key) const { return buckets()[bucket_of(key)]; }

  /// Adds a key that is not in the table.
  void put(uint32_t key, uint32_t entry) { buckets()[bucket_of(key)] = entry + 1; }

  /// Removes a key that is in the table.
  void remove(uint32_t key) {
    uint32_t* table = buckets();
    const uint32_t mask = view_.index_buckets - 1;
    uint32_t hole = bucket_of(key);
    uint32_t bucket = hole;
    for (uint32_t steps = 0; steps < mask; steps++) {
      bucket = (bucket + 1) & mask;
      const uint32_t value = table[bucket];
      if (value == 0) break;
      // An entry may fill the hole unless its home lies behind the hole.
      const uint32_t home = home_of(view_.entry(value - 1).key());
      if (((bucket - home) & mask) < ((bucket - hole) & mask)) continue;
      table[hole] = value;
      hole = bucket;
    }
    table[hole] = 0;
  }

 private:
  uint32_t* buckets() const { return view_.words_at(view_.index); }
  uint32_t home_of(uint32_t key) const {
    return (key * 0x9e3779b1u) >> (32 - static_cast<uint32_t>(std::countr_zero(view_.index_buckets)));
  }

  /// Where the key lies, or the empty bucket where it would go. Bounded, in case no bucket of a damaged table is empty.
  uint32_t bucket_of(uint32_t key) const {
    const uint32_t* table = buckets();
    const uint32_t mask = view_.index_buckets - 1;
    uint32_t bucket = home_of(key);
    for (uint32_t steps = 0; steps < mask; steps++) {
      const uint32_t value = table[bucket];
      if (value == 0 || view_.entry(value - 1).key() == key) break;
      bucket = (bucket + 1) & mask;
    }
    return bucket;
  }

  const QueueView& view_;
};

}  // namespace hearsay::kernels
