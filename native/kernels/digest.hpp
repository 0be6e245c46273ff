// Fingerprints of a member table (Digest in src/kernels/contract.ts). The twin and specification is src/kernels/js/digest.ts:
// same calls, same bytes.
//
// Section sizes are taken from the header once, at attach; counts read later are checked at each use.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "hash64.hpp"
#include "layout.hpp"
#include "member_table.hpp"

namespace hearsay::kernels {

class Digest {
 public:
  /// Takes an arena of `length` bytes whose header was checked. False, and nothing changed, when its sections do not fit.
  bool attach(uint8_t* base, std::size_t length) {
    using namespace layout;
    if (length < digest::itemsOffset) return false;
    auto* const words = reinterpret_cast<uint32_t*>(base);
    const uint64_t capacity = words[header::capacity / 4];
    const uint64_t cells = words[digest::cellCapacity / 4];
    const uint64_t ranges = words[digest::rangeCapacity / 4];
    const uint64_t names = words[digest::nameCapacity / 4];
    const uint64_t lookup = words[digest::lookupSize / 4];
    if (capacity > kRowsMax || cells > kCellsMax || names > kCellsMax) return false;
    if (lookup < 2 || (lookup & (lookup - 1)) != 0 || lookup < 2 * names) return false;
    const uint64_t ranges_at = digest::itemsOffset + capacity * digest_item::stride;
    const uint64_t own_at = ranges_at + ranges * 8;
    const uint64_t their_at = own_at + cells * digest_cell::stride;
    const uint64_t names_at = their_at + cells * digest_cell::stride;
    const uint64_t slots_at = names_at + align8(names * 4);
    const uint64_t lookup_at = slots_at + align8(capacity * 4);
    if (lookup_at + lookup * sizeof(Entry) > length) return false;
    words_ = words;
    items_ = reinterpret_cast<Item*>(base + digest::itemsOffset);
    ranges_ = reinterpret_cast<uint64_t*>(base + ranges_at);
    own_ = reinterpret_cast<Cell*>(base + own_at);
    theirs_ = reinterpret_cast<Cell*>(base + their_at);
    names_ = reinterpret_cast<uint32_t*>(base + names_at);
    slots_ = reinterpret_cast<uint32_t*>(base + slots_at);
    lookup_ = reinterpret_cast<Entry*>(base + lookup_at);
    capacity_ = static_cast<uint32_t>(capacity);
    cell_capacity_ = static_cast<uint32_t>(cells);
    range_capacity_ = static_cast<uint32_t>(ranges);
    name_capacity_ = static_cast<uint32_t>(names);
    lookup_mask_ = static_cast<uint32_t>(lookup - 1);
    return true;
  }

  uint32_t cell_capacity() const { return cell_capacity_; }
  uint32_t range_capacity() const { return range_capacity_; }
  uint32_t name_capacity() const { return name_capacity_; }

  /// Hashes all rows; the number of items, or -1 when there are more rows than the arena has items.
  int32_t hash_table(const MemberTable& members) {
    using namespace layout;
    // Copies of what they are made of, pointers and sizes: so the compiler knows that no store below changes them.
    const MemberRows rows = members.rows();
    Interner names = members.names();
    Interner profiles = members.profiles();
    Item* const items = items_;
    const uint32_t count = rows.word(table::rowTop);
    if (count > capacity_ || count > rows.capacity()) return -1;
    HashKey key{};
    std::memcpy(&key, words_ + digest::key / 4, sizeof key);
    names.set_hash_key(key);
    profiles.set_hash_key(key);
    const uint32_t salt = words_[digest::salt / 4];
    uint64_t sum = 0;
    uint32_t live = 0;
    for (uint32_t slot = 0; slot < count; slot++) {
      const Row& row = rows.row(slot);
      Item item{0, 0};
      if (row.name_id != 0) {
        const uint64_t name = names.hash64(row.name_id);
        item.name = std::max(static_cast<uint32_t>(name >> 32), 1u);
        if (row.status <= status::suspect) {
          const uint32_t low = static_cast<uint32_t>(name) ^ salt;
          uint64_t h = mix64((uint64_t{row.incarnation} << 32) | low);
          h = row.status == status::alive ? mix64((h ^ profiles.hash64(row.profile_id)) + row.ext)
                                          : mix64(h ^ kSuspect);
          item.state = std::max(static_cast<uint32_t>(h >> 32), 1u);
          sum += mixed(item);
          live++;
        }
      }
      items[slot] = item;
    }
    std::memcpy(words_ + digest::sum / 4, &sum, sizeof sum);
    words_[header::live / 4] = live;
    words_[digest::rows / 4] = count;
    return static_cast<int32_t>(live);
  }

  /// 2^bits is at most range_capacity().
  uint32_t range_sums(uint32_t bits) {
    const uint32_t count = 1u << bits;
    std::memset(ranges_, 0, std::size_t{count} * 8);
    for (const Item& item : items()) {
      if (item.state == 0) continue;
      ranges_[bits == 0 ? 0 : item.name >> (32 - bits)] += mixed(item);
    }
    return count;
  }

  /// `cells` is a multiple of 4, at most cell_capacity(); `out` has room for them.
  void sketch(uint32_t cells, uint8_t* out) {
    fill_own(cells);
    for (uint32_t i = 0; i < cells; i++)
      std::memcpy(out + i * layout::kDigestCellBytes, own_ + i, layout::kDigestCellBytes);
  }

  /// Name halves of all differing items; how many, or -1. `source` holds `cells` cells.
  int32_t peel(uint32_t cells, const uint8_t* source) {
    fill_own(cells);
    for (uint32_t i = 0; i < cells; i++) {
      Cell their{};
      std::memcpy(&their, source + i * layout::kDigestCellBytes, layout::kDigestCellBytes);
      const Cell& own = own_[i];
      theirs_[i] = {their.state ^ own.state, their.name ^ own.name, their.check ^ own.check,
                    (their.count - own.count) & 255};
    }
    const int32_t found = peel_all(cells);
    if (found < 0) return -1;
    for (uint32_t i = 0; i < cells; i++) {
      const Cell& cell = theirs_[i];
      if ((cell.state | cell.name | cell.check | cell.count) != 0) return -1;
    }
    return found;
  }

  /// Rows whose name half is one of the first `count` names, at most name_capacity().
  uint32_t match(uint32_t count) {
    std::memset(lookup_, 0, (std::size_t{lookup_mask_} + 1) * sizeof(Entry));
    for (uint32_t i = 0; i < count; i++) {
      Entry& entry = find(names_[i]);
      entry.name = names_[i];
      entry.flags |= kWanted;
    }
    uint32_t matched = 0;
    uint32_t slot = 0;
    for (const Item& item : items()) {
      if (item.name != 0) {
        Entry& entry = find(item.name);
        if (entry.flags != 0) {
          entry.flags |= kMatched;
          slots_[matched++] = slot;
        }
      }
      slot++;
    }
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t name = names_[i];
      Entry& entry = find(name);
      if (entry.flags != kWanted) continue;
      entry.flags = kWanted | kListed;
      names_[left++] = name;
    }
    words_[layout::digest::unmatched / 4] = left;
    return matched;
  }

  /// XXH3-64 of values that end at `ends` (u32 each) into `out` (u64 each); the number of values hashed.
  static uint32_t hash_values(std::span<const uint8_t> source, std::span<const uint8_t> ends, std::span<uint8_t> out,
                              uint32_t seed) {
    const std::size_t count = std::min(ends.size() / 4, out.size() / 8);
    uint32_t start = 0;
    for (std::size_t i = 0; i < count; i++) {
      uint32_t end = 0;
      std::memcpy(&end, ends.data() + 4 * i, 4);
      if (end < start || end > source.size()) return static_cast<uint32_t>(i);
      const uint64_t hash = xxh3_64(source.data() + start, end - start, seed);
      std::memcpy(out.data() + 8 * i, &hash, 8);
      start = end;
    }
    return static_cast<uint32_t>(count);
  }

 private:
  struct Item {
    uint32_t state;
    uint32_t name;
  };
  static_assert(sizeof(Item) == layout::digest_item::stride);
  static_assert(offsetof(Item, name) == layout::digest_item::name);
  struct Cell {
    uint32_t state;
    uint32_t name;
    uint32_t check;
    uint32_t count;
  };
  static_assert(sizeof(Cell) == layout::digest_cell::stride);
  static_assert(offsetof(Cell, name) == layout::digest_cell::name);
  static_assert(offsetof(Cell, check) == layout::digest_cell::check);
  static_assert(offsetof(Cell, count) == layout::digest_cell::count);
  struct Entry {
    uint32_t name;
    uint32_t flags;
  };
  struct Place {
    uint32_t check;
    uint32_t at[4];
  };

  static constexpr uint64_t kRowsMax = 1u << 21;
  static constexpr uint64_t kCellsMax = 1u << 20;
  static constexpr uint32_t kPassesMax = 64;
  static constexpr uint64_t kSuspect = 0x9e3779b97f4a7c15u;
  static constexpr uint32_t kWanted = 1;
  static constexpr uint32_t kMatched = 2;
  static constexpr uint32_t kListed = 4;

  std::span<const Item> items() const { return {items_, std::min(words_[layout::digest::rows / 4], capacity_)}; }

  static uint64_t mixed(Item item) { return mix64((uint64_t{item.name} << 32) | item.state); }

  /// The four cells of an item, one in each quarter. Four and not three: two items in the same cells cannot be told apart, and in small
  /// sketches that is what fails.
  static Place place(Item item, uint32_t quarter) {
    const uint64_t first = mixed(item);
    const uint64_t second = mix64(first);
    const auto reduce = [quarter](uint64_t value) {
      return static_cast<uint32_t>(((value & 0xffffffffu) * quarter) >> 32);
    };
    return {static_cast<uint32_t>(first),
            {reduce(first >> 32), quarter + reduce(second), 2 * quarter + reduce(second >> 32),
             3 * quarter + reduce(first)}};
  }

  static void toggle(Cell* cells, Item item, const Place& place, uint32_t by) {
    for (const uint32_t at : place.at) {
      Cell& cell = cells[at];
      cell.state ^= item.state;
      cell.name ^= item.name;
      cell.check ^= place.check;
      cell.count = (cell.count + by) & 255;
    }
  }

  void fill_own(uint32_t cells) {
    std::memset(own_, 0, std::size_t{cells} * sizeof(Cell));
    const uint32_t quarter = cells / 4;
    for (const Item& item : items()) {
      if (item.state != 0) toggle(own_, item, place(item, quarter), 1);
    }
  }

  /// Takes items out of cells that hold just one, as long as there are any. How many, -1 when there are too many.
  int32_t peel_all(uint32_t cells) {
    const uint32_t limit = std::min(cells, name_capacity_);
    const uint32_t quarter = cells / 4;
    uint32_t found = 0;
    for (uint32_t pass = 0; pass < kPassesMax; pass++) {
      const uint32_t before = found;
      for (uint32_t i = 0; i < cells; i++) {
        const Cell cell = theirs_[i];
        if (cell.count != 1 && cell.count != 255) continue;
        const Item item{cell.state, cell.name};
        const Place where = place(item, quarter);
        if (cell.check != where.check || where.at[i / quarter] != i) continue;
        if (found == limit) return -1;
        names_[found++] = item.name;
        toggle(theirs_, item, where, cell.count == 1 ? 255 : 1);
      }
      if (found == before) break;
    }
    return static_cast<int32_t>(found);
  }

  /// The entry of a name, or the free one where it belongs. The table is at most half full; the bound is for damaged memory.
  Entry& find(uint32_t name) {
    uint32_t at = (name * 0x9e3779b1u) & lookup_mask_;
    for (uint32_t steps = 0; steps < lookup_mask_; steps++) {
      Entry& entry = lookup_[at];
      if (entry.flags == 0 || entry.name == name) return entry;
      at = (at + 1) & lookup_mask_;
    }
    return lookup_[at];
  }

  uint32_t* words_ = nullptr;
  Item* items_ = nullptr;
  uint64_t* ranges_ = nullptr;
  Cell* own_ = nullptr;
  Cell* theirs_ = nullptr;
  uint32_t* names_ = nullptr;
  uint32_t* slots_ = nullptr;
  Entry* lookup_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t cell_capacity_ = 0;
  uint32_t range_capacity_ = 0;
  uint32_t name_capacity_ = 0;
  uint32_t lookup_mask_ = 0;
};

}  // namespace hearsay::kernels
