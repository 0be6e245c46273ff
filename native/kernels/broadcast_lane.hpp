// One lane of a broadcast queue: sorted entry indices. The C++ half of src/kernels/js/broadcast-lane.ts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "broadcast_view.hpp"

namespace hearsay::kernels {

/// Messages chosen for the packet under way, in the order taken. Block positions are read once, when the message is
/// taken, so that the size of the packet cannot change between counting and writing.
struct PacketDraft {
  uint32_t entries[layout::kCompoundPartsMax];
  uint32_t offsets[layout::kCompoundPartsMax];
  uint32_t lengths[layout::kCompoundPartsMax];
  uint32_t count = 0;
  uint32_t used_bytes = 0;
};

/// Order (protocol section 10.1):
///   1. fewer transmits first,
///   2. longer first,
///   3. newer first.
class BroadcastLane {
 public:
  BroadcastLane(const QueueView& view, uint32_t lane) : view_(view), lane_(lane) {}

  uint32_t count() const { return view_.clamped(count_offset(), view_.capacity); }

  void insert(uint32_t index) {
    const uint32_t length = count();
    if (length >= view_.capacity) return;
    const uint32_t position = position_of(index);
    uint32_t* list = order();
    std::memmove(list + position + 1, list + position, size_t{length - position} * 4);
    list[position] = index;
    set_count(length + 1);
  }

  void remove(uint32_t index) {
    const uint32_t length = count();
    if (length == 0) return;
    const uint32_t position = std::min(position_of(index), length - 1);
    uint32_t* list = order();
    std::memmove(list + position, list + position + 1, size_t{length - 1 - position} * 4);
    list[length - 1] = 0;
    set_count(length - 1);
  }

  /// Takes the last entry in order out of a lane that is not empty.
  uint32_t remove_last() {
    const uint32_t last = count() - 1;
    uint32_t& slot = order()[last];
    const uint32_t index = slot < view_.capacity ? slot : 0;
    slot = 0;
    set_count(last);
    return index;
  }

  /// Length of the shortest message of a lane that is not empty: the last of some tier.
  uint32_t smallest() const {
    const uint32_t length = count();
    uint32_t smallest = layout::kBlockBytesMax;
    for (uint32_t position = 0; position < length;) {
      position = lower_bound(position + 1, length, at(position).transmits(), 0, 0);
      smallest = std::min(smallest, at(position - 1).length());
    }
    return smallest;
  }

  /// Walks the tiers of equal transmits (protocol section 10.3): in each, from the longest down, whatever still fits.
  void take(PacketDraft& draft, int64_t limit, uint32_t parts_max) {
    const uint32_t length_of_lane = count();
    const uint32_t* list = order();
    parts_max = std::min(parts_max, layout::kCompoundPartsMax);
    uint32_t position = 0;
    while (position < length_of_lane && draft.count < parts_max) {
      const int64_t free = limit - draft.used_bytes - kPartOverhead;
      if (free <= 0) return;
      const uint32_t index = list[position];
      const QueueEntry entry = view_.entry(index);
      const uint32_t length = entry.length();
      if (length > free) {
        // No id reaches infinity, so this finds the first of the tier that is short enough, or the next tier.
        position = lower_bound(position + 1, length_of_lane, entry.transmits(), static_cast<uint32_t>(free),
                               std::numeric_limits<double>::infinity());
        continue;
      }
      const uint32_t offset = entry.offset();
      const bool readable = uint64_t{offset} + length <= view_.heap_bytes;
      if (entry.state() == QueueEntry::kQueued && readable && taken_count_ < layout::kCompoundPartsMax) {
        entry.set_state(QueueEntry::kTaken);
        draft.entries[draft.count] = index;
        draft.offsets[draft.count] = offset;
        draft.lengths[draft.count] = length;
        draft.count++;
        draft.used_bytes += length + kPartOverhead;
        positions_[taken_count_++] = position;
      }
      position++;
    }
  }

  /// Counts the transmission of the taken entries, in one pass over the order: they leave their places, and those below
  /// the limit come back further behind. Entries at the limit stay marked as taken and are out of the lane. Both
  /// sequences are sorted already (each transmit count rises by one), so runs in between move as wholes.
  void settle(uint32_t transmit_limit) {
    const uint32_t taken = taken_count_;
    if (taken == 0) return;
    taken_count_ = 0;
    const uint32_t length = count();
    uint32_t* list = order();
    sort_positions(taken);
    if (positions_[taken - 1] >= length) return;

    // Searched in the old order, before any transmit count changes.
    uint32_t movers[layout::kCompoundPartsMax];
    uint32_t targets[layout::kCompoundPartsMax];
    uint32_t mover_count = 0;
    uint32_t target = 0;
    for (uint32_t i = 0; i < taken; i++) {
      const uint32_t position = positions_[i];
      const QueueEntry entry = at(position);
      const uint64_t transmits = uint64_t{entry.transmits()} + 1;
      if (transmits >= transmit_limit) continue;
      target = lower_bound(std::max(target, position + 1), length, static_cast<uint32_t>(transmits), entry.length(),
                           entry.id());
      movers[mover_count] = list[position];
      targets[mover_count++] = target;
    }
    for (uint32_t i = 0; i < mover_count; i++) {
      const QueueEntry entry = view_.entry(movers[i]);
      entry.transmits()++;
      entry.set_state(QueueEntry::kQueued);
    }

    // A target lies behind the mover's old position, so `write` never overtakes `read`.
    uint32_t read = positions_[0];
    uint32_t write = read;
    uint32_t removal = 0;
    uint32_t insertion = 0;
    while (removal < taken || insertion < mover_count) {
      const uint32_t remove_at = removal < taken ? positions_[removal] : length + 1;
      const uint32_t insert_at = insertion < mover_count ? targets[insertion] : length + 1;
      const uint32_t up_to = std::min(remove_at, insert_at);
      if (up_to > read) {
        if (write != read) std::memmove(list + write, list + read, size_t{up_to - read} * 4);
        write += up_to - read;
        read = up_to;
      }
      if (remove_at < insert_at) {
        read++;
        removal++;
      } else if (write < length) {
        list[write++] = movers[insertion++];
      } else {
        insertion++;
      }
    }
    if (write == read || read > length) return;
    std::memmove(list + write, list + read, size_t{length - read} * 4);
    const uint32_t left = length - taken + mover_count;
    std::memset(list + left, 0, size_t{length - left} * 4);
    set_count(left);
  }

 private:
  uint32_t* order() const { return view_.words_at(view_.orders[lane_]); }
  uint32_t count_offset() const { return lane_ == 0 ? layout::queue::laneCount0 : layout::queue::laneCount1; }
  void set_count(uint32_t value) { view_.word(count_offset()) = value; }
  QueueEntry at(uint32_t position) const { return view_.entry(order()[position]); }

  uint32_t position_of(uint32_t index) const {
    const QueueEntry entry = view_.entry(index);
    return lower_bound(0, count(), entry.transmits(), entry.length(), entry.id());
  }

  /// First position in [low, high) whose entry does not come before (transmits, length, id); `high` when all do.
  uint32_t lower_bound(uint32_t low, uint32_t high, uint32_t transmits, uint32_t length, double id) const {
    const uint32_t* list = order();
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      const QueueEntry other = view_.entry(list[middle]);
      bool before = other.id() > id;
      if (other.length() != length) before = other.length() > length;
      if (other.transmits() != transmits) before = other.transmits() < transmits;
      if (before) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /// Insertion sort: the list is sorted already but for a second run of later additions.
  void sort_positions(uint32_t taken) {
    for (uint32_t i = 1; i < taken; i++) {
      const uint32_t value = positions_[i];
      uint32_t slot = i;
      for (; slot > 0 && positions_[slot - 1] > value; slot--) positions_[slot] = positions_[slot - 1];
      positions_[slot] = value;
    }
  }

  const QueueView& view_;
  uint32_t lane_;
  uint32_t positions_[layout::kCompoundPartsMax] = {};
  uint32_t taken_count_ = 0;
};

}  // namespace hearsay::kernels
