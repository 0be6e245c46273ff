// Message bytes of a broadcast queue: one run in order of arrival, entries linked in the same order; holes are closed by
// sliding blocks down when the end is reached. The C++ half of src/kernels/js/broadcast-heap.ts.
#pragma once

#include <cstdint>
#include <cstring>

#include "broadcast_view.hpp"

namespace hearsay::kernels {

class BroadcastHeap {
 public:
  explicit BroadcastHeap(const QueueView& view) : view_(view) {}

  /// Gives an entry a block and copies `length` bytes into it. The caller checked that all blocks together fit.
  void push(uint32_t index, const uint8_t* from, uint32_t length) {
    if (uint64_t{top()} + length > view_.heap_bytes) slide();
    const QueueEntry entry = view_.entry(index);
    const uint32_t offset = top();
    if (uint64_t{offset} + length > view_.heap_bytes) return;
    std::memcpy(view_.base + view_.heap + offset, from, length);
    view_.word(layout::queue::heapTop) = offset + length;
    entry.offset() = offset;
    const uint32_t newest = view_.word(layout::queue::newestBlock);
    entry.previous() = newest;
    if (newest == 0) {
      view_.word(layout::queue::oldestBlock) = index + 1;
    } else {
      view_.entry(newest - 1).next() = index + 1;
    }
    view_.word(layout::queue::newestBlock) = index + 1;
  }

  /// Takes the block of an entry back and zeroes it.
  void drop(uint32_t index) {
    const QueueEntry entry = view_.entry(index);
    const uint32_t offset = entry.offset();
    const uint32_t length = entry.length();
    if (inside(offset, length)) std::memset(view_.base + view_.heap + offset, 0, length);
    const uint32_t next = entry.next();
    const uint32_t previous = entry.previous();
    if (previous == 0) {
      view_.word(layout::queue::oldestBlock) = next;
    } else {
      view_.entry(previous - 1).next() = next;
    }
    if (next != 0) {
      view_.entry(next - 1).previous() = previous;
      return;
    }
    view_.word(layout::queue::newestBlock) = previous;
    const QueueEntry before = view_.entry(previous - 1);
    view_.word(layout::queue::heapTop) = previous == 0 ? 0 : before.offset() + before.length();
  }

  bool inside(uint32_t offset, uint32_t length) const { return uint64_t{offset} + length <= view_.heap_bytes; }

 private:
  uint32_t top() const { return view_.clamped(layout::queue::heapTop, view_.heap_bytes); }

  void slide() {
    uint8_t* heap = view_.base + view_.heap;
    uint32_t end = 0;
    uint32_t block = view_.word(layout::queue::oldestBlock);
    // Bounded by the number of entries, in case a damaged link makes a ring.
    for (uint32_t steps = 0; block != 0 && steps < view_.capacity; steps++) {
      const QueueEntry entry = view_.entry(block - 1);
      const uint32_t offset = entry.offset();
      const uint32_t length = entry.length();
      if (!inside(offset, length) || offset < end) break;
      if (offset != end) {
        std::memmove(heap + end, heap + offset, length);
        entry.offset() = end;
      }
      end += length;
      block = entry.next();
    }
    const uint32_t old_top = top();
    if (old_top > end) std::memset(heap + end, 0, old_top - end);
    view_.word(layout::queue::heapTop) = end;
  }

  const QueueView& view_;
};

}  // namespace hearsay::kernels
