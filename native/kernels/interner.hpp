// Byte strings stored once, known by small ids with a reference count (Interner in src/kernels/contract.ts). The twin and
// specification is src/kernels/js/interner.ts.
//
// Section sizes are taken from the header once, at attach; ids, links and offsets read later are checked at each use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "block_heap.hpp"
#include "hash64.hpp"
#include "layout.hpp"

#ifdef _MSC_VER
#define HEARSAY_NOINLINE __declspec(noinline)
#else
#define HEARSAY_NOINLINE __attribute__((noinline))
#endif

namespace hearsay::kernels {

/// MurmurHash3 x86_32 (Austin Appleby, public domain).
inline uint32_t murmur3(const uint8_t* bytes, uint32_t length, uint32_t seed) {
  const auto rotate = [](uint32_t value, int by) { return (value << by) | (value >> (32 - by)); };
  uint32_t h = seed;
  const uint8_t* const end = bytes + (length & ~3u);
  for (; bytes != end; bytes += 4) {
    uint32_t k = 0;
    std::memcpy(&k, bytes, 4);
    h ^= rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
    h = rotate(h, 13) * 5 + 0xe6546b64u;
  }
  const uint32_t rest = length & 3;
  if (rest > 0) {
    uint32_t k = bytes[0];
    if (rest > 1) k |= uint32_t{bytes[1]} << 8;
    if (rest > 2) k |= uint32_t{bytes[2]} << 16;
    h ^= rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
  }
  h ^= length;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

class Interner {
 public:
  /// Takes an arena of `length` bytes whose header was checked. False, and nothing changed, when its sections do not fit.
  bool attach(uint8_t* base, std::size_t length) {
    using namespace layout;
    if (length < interner::bucketsOffset) return false;
    auto* const words = reinterpret_cast<uint32_t*>(base);
    const uint64_t capacity = words[header::capacity / 4];
    const uint64_t buckets = words[interner::bucketCount / 4];
    const uint64_t heap_bytes = words[interner::heapBytes / 4];
    if (buckets < 2 || (buckets & (buckets - 1)) != 0 || capacity > kIdMax) return false;
    const uint64_t entries = interner::bucketsOffset + buckets * 4;
    const uint64_t heap = entries + capacity * interner_entry::stride;
    if (heap + heap_bytes > length) return false;
    words_ = words;
    capacity_ = static_cast<uint32_t>(capacity);
    mask_ = static_cast<uint32_t>(buckets - 1);
    buckets_ = words + interner::bucketsOffset / 4;
    entries_ = reinterpret_cast<Entry*>(base + entries);
    heap_base_ = base + heap;
    heap_bytes_ = static_cast<uint32_t>(heap_bytes);
    heap_ = BlockHeap(words + interner::headsOffset / 4, words + interner::heapTop / 4, heap_base_, heap_bytes_);
    return true;
  }

  /// Id of these bytes with a reference added; 0 when there is no room.
  uint32_t intern(const uint8_t* bytes, std::size_t size) {
    if (size > layout::kBlockBytesMax) return 0;
    const auto length = static_cast<uint32_t>(size);
    const uint32_t hash = murmur3(bytes, length, words_[layout::interner::hashSeed / 4]);
    const uint32_t known = search(bytes, length, hash);
    if (known != 0) {
      retain(known);
      return known;
    }
    uint32_t& free_id = words_[layout::interner::freeId / 4];
    uint32_t& id_top = words_[layout::interner::idTop / 4];
    const bool is_reused = free_id != 0 && free_id <= capacity_;
    if (!is_reused && id_top >= capacity_) return 0;
    const uint32_t id = is_reused ? free_id : id_top + 1;
    const int64_t offset = heap_.alloc(length);
    if (offset < 0) return 0;
    Entry& entry = entries_[id - 1];
    if (is_reused) {
      free_id = entry.next;
    } else {
      id_top = id;
    }
    uint32_t& bucket = buckets_[hash & mask_];
    entry.hash = hash;
    entry.next = bucket;
    entry.offset = static_cast<uint32_t>(offset);
    entry.length = length;
    entry.refs = 1;
    bucket = id;
    words_[layout::header::live / 4]++;
    if (length > 0) std::memcpy(heap_base_ + offset, bytes, length);
    return id;
  }

  /// Id of these bytes without a reference; 0 when unknown.
  uint32_t lookup(const uint8_t* bytes, std::size_t size) const {
    if (size > layout::kBlockBytesMax) return 0;
    const auto length = static_cast<uint32_t>(size);
    return search(bytes, length, murmur3(bytes, length, words_[layout::interner::hashSeed / 4]));
  }

  void retain(uint32_t id) {
    if (!is_used(id)) return;
    uint32_t& refs = entries_[id - 1].refs;
    if (refs != kRefsMax) refs++;
  }

  void release(uint32_t id) {
    if (!is_used(id)) return;
    Entry& entry = entries_[id - 1];
    if (entry.refs == kRefsMax) return;
    if (--entry.refs > 0) return;
    uint32_t* link = &buckets_[entry.hash & mask_];
    for (uint32_t steps = 0; steps < capacity_; steps++) {
      const uint32_t next = *link;
      if (next == id) {
        *link = entry.next;
        break;
      }
      if (next == 0 || next > capacity_) break;
      link = &entries_[next - 1].next;
    }
    heap_.free(entry.offset, entry.length);
    entry.hash = 0;
    entry.offset = 0;
    entry.length = 0;
    entry.hash_epoch = 0;
    entry.hash64 = 0;
    uint32_t& free_id = words_[layout::interner::freeId / 4];
    entry.next = free_id;
    free_id = id;
    words_[layout::header::live / 4]--;
  }

  /// The bytes of an id; empty when it is not in use.
  std::span<const uint8_t> bytes(uint32_t id) const {
    if (!is_used(id)) return {};
    return {heap_base_ + entries_[id - 1].offset, entries_[id - 1].length};
  }

  /// Chooses the key of hash64(). Hashes kept under another key no longer count.
  void set_hash_key(HashKey key) {
    using namespace layout;
    uint32_t& epoch = words_[interner::hashEpoch / 4];
    HashKey known{};
    std::memcpy(&known, words_ + interner::hashKey / 4, sizeof known);
    if (epoch != 0 && known == key) return;
    std::memcpy(words_ + interner::hashKey / 4, &key, sizeof key);
    // After 2^32 keys hashes of the first would count again: by then they have long been replaced.
    epoch = epoch == 0xffffffffu ? 1 : epoch + 1;
  }

  /// SipHash-2-4 of the bytes of an id under the key of set_hash_key(), 0 for an id that is not in use; kept until the key changes.
  uint64_t hash64(uint32_t id) {
    if (!is_used(id)) return 0;
    Entry& entry = entries_[id - 1];
    const uint32_t epoch = words_[layout::interner::hashEpoch / 4];
    if (entry.hash_epoch != epoch) rehash(words_, heap_base_, entry);
    return entry.hash64;
  }

 private:
  struct Entry {
    uint32_t hash;
    uint32_t next;
    uint32_t offset;
    uint32_t length;
    uint32_t refs;
    uint32_t hash_epoch;
    uint64_t hash64;
  };
  static_assert(sizeof(Entry) == layout::interner_entry::stride);
  static_assert(offsetof(Entry, next) == layout::interner_entry::next);
  static_assert(offsetof(Entry, offset) == layout::interner_entry::offset);
  static_assert(offsetof(Entry, length) == layout::interner_entry::length);
  static_assert(offsetof(Entry, refs) == layout::interner_entry::refs);
  static_assert(offsetof(Entry, hash_epoch) == layout::interner_entry::hashEpoch);
  static_assert(offsetof(Entry, hash64) == layout::interner_entry::hash64);

  static constexpr uint32_t kRefsMax = 0xffffffffu;
  static constexpr uint64_t kIdMax = 1u << 24;

  /// Kept out of the loops over hash64(), where it would take the registers.
  HEARSAY_NOINLINE static void rehash(const uint32_t* words, const uint8_t* heap, Entry& entry) {
    HashKey key{};
    std::memcpy(&key, words + layout::interner::hashKey / 4, sizeof key);
    entry.hash64 = siphash24(heap + entry.offset, entry.length, key);
    entry.hash_epoch = words[layout::interner::hashEpoch / 4];
  }

  /// In use, and with its bytes inside the heap section.
  bool is_used(uint32_t id) const {
    if (id == 0 || id > capacity_) return false;
    const Entry& entry = entries_[id - 1];
    return entry.refs != 0 && uint64_t{entry.offset} + entry.length <= heap_bytes_;
  }

  uint32_t search(const uint8_t* bytes, uint32_t length, uint32_t hash) const {
    uint32_t id = buckets_[hash & mask_];
    for (uint32_t steps = 0; id != 0 && id <= capacity_ && steps < capacity_; steps++) {
      const Entry& entry = entries_[id - 1];
      if (entry.hash == hash && entry.length == length && is_used(id) &&
          (length == 0 || std::memcmp(heap_base_ + entry.offset, bytes, length) == 0)) {
        return id;
      }
      id = entry.next;
    }
    return 0;
  }

  uint32_t* words_ = nullptr;
  uint32_t* buckets_ = nullptr;
  Entry* entries_ = nullptr;
  uint8_t* heap_base_ = nullptr;
  uint32_t heap_bytes_ = 0;
  uint32_t capacity_ = 0;
  uint32_t mask_ = 0;
  BlockHeap heap_;
};

}  // namespace hearsay::kernels
