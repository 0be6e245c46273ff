// The memory of a member table: rows, the order list, the index by name id and the list of changes. The twin and
// specification is src/kernels/js/member-rows.ts. Knows no protocol.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "layout.hpp"
#include "prng.hpp"

namespace hearsay::kernels {

struct Row {
  uint32_t name_id;
  uint32_t profile_id;
  uint32_t incarnation;
  uint8_t status;
  uint8_t flags;
  uint16_t generation;
  double status_since_ms;
  uint32_t order_index;
  uint32_t ext;
};
static_assert(sizeof(Row) == layout::row::stride);
static_assert(offsetof(Row, profile_id) == layout::row::profileId);
static_assert(offsetof(Row, incarnation) == layout::row::incarnation);
static_assert(offsetof(Row, status) == layout::row::status);
static_assert(offsetof(Row, flags) == layout::row::flags);
static_assert(offsetof(Row, generation) == layout::row::generation);
static_assert(offsetof(Row, status_since_ms) == layout::row::statusSinceMs);
static_assert(offsetof(Row, order_index) == layout::row::orderIndex);
static_assert(offsetof(Row, ext) == layout::row::ext);

struct Change {
  uint8_t kind;
  uint8_t prev_status;
  uint8_t status;
  uint8_t flags;
  uint32_t slot;
  uint32_t incarnation;
  uint32_t record;
  uint32_t name_id;
  uint32_t ext;
  uint32_t reserved[2];
};
static_assert(sizeof(Change) == layout::change::stride);
static_assert(offsetof(Change, prev_status) == layout::change::prevStatus);
static_assert(offsetof(Change, status) == layout::change::status);
static_assert(offsetof(Change, flags) == layout::change::flags);
static_assert(offsetof(Change, slot) == layout::change::slot);
static_assert(offsetof(Change, incarnation) == layout::change::incarnation);
static_assert(offsetof(Change, record) == layout::change::record);
static_assert(offsetof(Change, name_id) == layout::change::nameId);
static_assert(offsetof(Change, ext) == layout::change::ext);

class MemberRows {
 public:
  static constexpr uint32_t kNone = 0xffffffffu;

  /// Takes an arena of `length` bytes whose header was checked. False, and nothing changed, when its sections do not fit.
  bool attach(uint8_t* base, std::size_t length) {
    using namespace layout;
    if (length < table::outOffset) return false;
    auto* const words = reinterpret_cast<uint32_t*>(base);
    const uint64_t capacity = words[header::capacity / 4];
    const uint64_t name_capacity = words[table::nameCapacity / 4];
    const uint64_t out_capacity = words[table::outCapacity / 4];
    const uint64_t pick_capacity = words[table::pickCapacity / 4];
    // Random positions are exact up to 2^21 (prng.hpp).
    if (capacity == 0 || capacity > (1u << 21) || out_capacity == 0) return false;
    const uint64_t picks = table::outOffset + out_capacity * change::stride;
    const uint64_t rows = picks + align8(pick_capacity * 4);
    const uint64_t order = rows + capacity * row::stride;
    const uint64_t slot_of = order + align8(capacity * 4);
    if (slot_of + align8(name_capacity * 4) > length) return false;
    words_ = words;
    out_ = reinterpret_cast<Change*>(base + table::outOffset);
    rows_ = reinterpret_cast<Row*>(base + rows);
    order_ = reinterpret_cast<uint32_t*>(base + order);
    slot_of_ = reinterpret_cast<uint32_t*>(base + slot_of);
    capacity_ = static_cast<uint32_t>(capacity);
    name_capacity_ = static_cast<uint32_t>(name_capacity);
    out_capacity_ = static_cast<uint32_t>(out_capacity);
    return true;
  }

  uint32_t capacity() const { return capacity_; }
  uint32_t name_capacity() const { return name_capacity_; }
  uint32_t* prng() { return words_ + layout::header::prng / 4; }

  /// Makes the sequence lock odd. False when the caller had done so already: then it is the caller's to end.
  bool begin() {
    std::atomic_ref<uint32_t> seq(words_[layout::header::seq / 4]);
    if ((seq.load(std::memory_order_relaxed) & 1) != 0) return false;
    // Sequentially consistent, as Atomics.add in the twin: no later write may be seen before the lock.
    seq.fetch_add(1, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_release);
    return true;
  }

  void end(bool began) {
    if (!began) return;
    std::atomic_ref<uint32_t> seq(words_[layout::header::seq / 4]);
    seq.fetch_add(1, std::memory_order_seq_cst);
  }

  /// Word of the header or sub-header.
  uint32_t& word(uint32_t offset) { return words_[offset / 4]; }
  uint32_t word(uint32_t offset) const { return words_[offset / 4]; }
  double dead_reclaim_ms() const {
    double value = 0;
    std::memcpy(&value, words_ + layout::table::deadReclaimMs / 4, sizeof value);
    return value;
  }

  uint32_t live() const { return std::min(word(layout::header::live), capacity_); }

  /// A slot that lies inside the rows, whatever was asked for.
  Row& row(uint32_t slot) { return rows_[slot < capacity_ ? slot : 0]; }
  const Row& row(uint32_t slot) const { return rows_[slot < capacity_ ? slot : 0]; }

  bool is_used(uint32_t slot) const { return slot < capacity_ && rows_[slot].name_id != 0; }
  bool is_self(uint32_t slot) const { return word(layout::table::selfSlot) == slot + 1; }

  /// Position below live().
  uint32_t slot_at(uint32_t position) const {
    const uint32_t slot = order_[position];
    return slot < capacity_ ? slot : 0;
  }

  /// Slot of a name id, or kNone.
  uint32_t slot_of(uint32_t name_id) const {
    if (name_id == 0 || name_id >= name_capacity_) return kNone;
    const uint32_t slot = slot_of_[name_id] - 1;
    return slot < capacity_ ? slot : kNone;
  }

  bool has_row() const {
    const uint32_t free = word(layout::table::freeRow);
    return (free != 0 && free <= capacity_) || (word(layout::table::rowTop) < capacity_ && live() < capacity_);
  }

  /// A new row, dead at incarnation 0 since never, at a random position of the order list. Needs has_row().
  uint32_t create(uint32_t name_id, uint32_t profile_id) {
    uint32_t& free = word(layout::table::freeRow);
    uint32_t& top = word(layout::table::rowTop);
    const bool is_reused = free != 0 && free <= capacity_;
    const uint32_t slot = is_reused ? free - 1 : top;
    const uint32_t count = live();
    if (slot >= capacity_ || count >= capacity_ || name_id >= name_capacity_) return kNone;
    Row& at = rows_[slot];
    if (is_reused) {
      free = at.ext;
    } else {
      top = slot + 1;
    }
    at.name_id = name_id;
    at.profile_id = profile_id;
    at.incarnation = 0;
    at.status = layout::status::dead;
    at.flags = 0;
    at.generation++;
    at.status_since_ms = -1;
    at.ext = 0;
    slot_of_[name_id] = slot + 1;
    word(layout::table::deadCount)++;
    word(layout::header::live) = count + 1;

    const uint32_t position = prng::below(prng(), count + 1);
    if (position != count) place(count, slot_at(position));
    place(position, slot);
    touch();
    return slot;
  }

  /// Takes the member at a position out; the last of the list moves there. References stay the caller's to drop.
  void remove(uint32_t position) {
    const uint32_t slot = slot_at(position);
    Row& at = rows_[slot];
    const uint32_t last = live() - 1;
    count(at.status, 0xffffffffu);
    if (at.name_id < name_capacity_) slot_of_[at.name_id] = 0;
    if (position != last) place(position, slot_at(last));
    order_[last] = 0;
    word(layout::header::live) = last;
    at.name_id = 0;
    at.profile_id = 0;
    at.incarnation = 0;
    at.status = 0;
    at.flags = 0;
    at.status_since_ms = 0;
    at.order_index = 0;
    at.ext = word(layout::table::freeRow);
    word(layout::table::freeRow) = slot + 1;
  }

  /// Fisher-Yates over the whole order list.
  void shuffle() {
    const uint32_t count = live();
    for (uint32_t i = count == 0 ? 0 : count - 1; i > 0; i--) {
      const uint32_t j = prng::below(prng(), i + 1);
      const uint32_t slot = slot_at(i);
      place(i, slot_at(j));
      place(j, slot);
    }
  }

  void set_status(uint32_t slot, uint32_t status, double now_ms) {
    Row& at = row(slot);
    count(at.status, 0xffffffffu);
    count(status, 1);
    at.status = static_cast<uint8_t>(status);
    at.status_since_ms = now_ms;
  }

  /// Ends a suspicion; returns the flag that says so, or 0.
  uint32_t end_suspicion(uint32_t slot) {
    Row& at = row(slot);
    if ((at.flags & layout::row_flag::suspicion) == 0) return 0;
    at.flags &= static_cast<uint8_t>(~layout::row_flag::suspicion);
    return layout::change_flag::suspicionEnded;
  }

  bool is_out_full() const { return word(layout::table::outCount) >= out_capacity_; }

  /// Lists one change of a row, with what the row holds now.
  void push(uint32_t kind, uint32_t slot, uint32_t prev_status, uint32_t incarnation, uint32_t record, uint32_t flags) {
    using namespace layout;
    if (is_out_full()) return;
    const Row& at = row(slot);
    Change& to = out_[word(table::outCount)++];
    to.kind = static_cast<uint8_t>(kind);
    to.prev_status = static_cast<uint8_t>(prev_status);
    to.status = at.status;
    to.flags = static_cast<uint8_t>(flags | ((at.flags & row_flag::self) != 0 ? change_flag::self : 0));
    to.slot = slot;
    to.incarnation = incarnation;
    to.record = record;
    to.name_id = at.name_id;
    to.ext = at.ext;
    if (kind != change_kind::confirm && kind != change_kind::conflict) touch();
  }

  /// Readers shall look again.
  void touch() { word(layout::header::changeCount)++; }

 private:
  void place(uint32_t position, uint32_t slot) {
    order_[position] = slot;
    rows_[slot].order_index = position;
  }

  void count(uint32_t status, uint32_t by) {
    if (status <= layout::status::left) word(layout::table::aliveCount + 4 * status) += by;
  }

  uint32_t* words_ = nullptr;
  Change* out_ = nullptr;
  Row* rows_ = nullptr;
  uint32_t* order_ = nullptr;
  uint32_t* slot_of_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t name_capacity_ = 0;
  uint32_t out_capacity_ = 0;
};

}  // namespace hearsay::kernels
