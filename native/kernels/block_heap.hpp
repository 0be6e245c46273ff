// A heap of byte blocks inside an arena. src/kernels/js/block-heap.ts is the specification: same calls, same bytes.
// Offsets handed out are relative to the heap section. Everything read from memory is checked before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hearsay {

class BlockHeap {
 public:
  static constexpr uint32_t kBlockBytesMax = 2048;
  static constexpr uint32_t kClassBytes = 16;
  static constexpr uint32_t kClassCount = kBlockBytesMax / kClassBytes;

  BlockHeap() = default;
  // `heads`: kClassCount words; `top`: word with the relative end of the bump-allocated part; `heap`: the section, 8-byte
  // aligned. The caller has checked that all of it lies inside the arena.
  BlockHeap(uint32_t* heads, uint32_t* top, uint8_t* heap, uint32_t heap_bytes)
      : heads_(heads), top_(top), heap_(heap), bytes_(heap_bytes) {}

  // 1 for 0..16 bytes, kClassCount for kBlockBytesMax.
  static constexpr uint32_t class_of(uint32_t length) {
    const uint32_t block_class = (length + kClassBytes - 1) / kClassBytes;
    return block_class == 0 ? 1 : (block_class > kClassCount ? kClassCount : block_class);
  }

  // Relative offset of a zeroed block, or -1.
  int64_t alloc(uint32_t length) {
    if (length > kBlockBytesMax) return -1;
    const uint32_t block_class = class_of(length);
    const uint64_t size = uint64_t{block_class} * kClassBytes;
    const uint32_t top = *top_;
    uint32_t& head = heads_[block_class - 1];
    if (head != 0) {
      const uint32_t offset = head - 1;
      if (offset + size <= top && top <= bytes_ && (offset & 15u) == 0) {
        std::memcpy(&head, heap_ + offset, sizeof head);
        std::memset(heap_ + offset, 0, sizeof head);
        return offset;
      }
      head = 0;
    }
    if (top + size > bytes_) return -1;
    *top_ = top + static_cast<uint32_t>(size);
    return top;
  }

  void free(uint32_t offset, uint32_t length) {
    if (length > kBlockBytesMax) return;
    const uint32_t block_class = class_of(length);
    const uint64_t size = uint64_t{block_class} * kClassBytes;
    if (offset + size > bytes_ || (offset & 15u) != 0) return;
    uint32_t& head = heads_[block_class - 1];
    std::memset(heap_ + offset, 0, size);
    std::memcpy(heap_ + offset, &head, sizeof head);
    head = offset + 1;
  }

  bool has_room(uint32_t length) const {
    if (length > kBlockBytesMax) return false;
    const uint32_t block_class = class_of(length);
    if (heads_[block_class - 1] != 0) return true;
    return *top_ + uint64_t{block_class} * kClassBytes <= bytes_;
  }

 private:
  uint32_t* heads_ = nullptr;
  uint32_t* top_ = nullptr;
  uint8_t* heap_ = nullptr;
  uint32_t bytes_ = 0;
};

}  // namespace hearsay
