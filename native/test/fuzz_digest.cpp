// Fuzz target of the digest: a table and its damage as in fuzz_member_table, hashes of it, sketches that somebody else sent, and
// names that we may not have.

#include "../kernels/digest.hpp"
#include "fuzz_members.hpp"

namespace {

using namespace hearsay;
using fuzz::Bytes;
using fuzz::Input;
using fuzz::require;

constexpr uint32_t kCells = 48;
constexpr uint32_t kRanges = 16;
/// Fewer rows and names than the table has, so that either runs out.
constexpr uint32_t kRows = 10;
constexpr uint32_t kNames = 5;
constexpr uint32_t kLookup = 16;

class Fixture {
 public:
  void run(Input input) {
    using namespace layout;
    members_.reset();
    memory_.reset();
    require(!kernel_.attach(memory_.data(), memory_.size() - 8), "attached to a short arena");
    require(kernel_.attach(memory_.data(), memory_.size()), "did not attach");
    is_damaged_ = false;
    members_.fill(input);
    for (int steps = 0; steps < 64 && !input.done(); steps++) act(input);
  }

 private:
  void act(Input& input) {
    using namespace layout;
    switch (input.u8() % 8) {
      case 0:
        members_.act(input);
        break;
      case 1: {
        memory_.set(digest::salt, input.u8());
        const int32_t items = kernel_.hash_table(members_.table);
        if (is_damaged_) break;
        require(items <= static_cast<int32_t>(kRows), "more items than there is room for");
        // A damaged table can also claim fewer rows than it uses; then it is refused although we had room.
        const bool is_too_large = members_.rows.get(table::rowTop) > kRows;
        require(items < 0 || !is_too_large, "hashed a table that is too large");
        if (members_.is_damaged) break;
        require(items >= 0 || is_too_large, "refused a table that fits");
        if (items < 0) break;
        const uint32_t counted = members_.rows.get(table::aliveCount) + members_.rows.get(table::suspectCount);
        require(items == static_cast<int32_t>(counted), "an item for each alive and suspect member");
        break;
      }
      case 2: {
        // As the binding checks it.
        const uint32_t bits = input.u8() % 17;
        if ((1u << bits) <= kernel_.range_capacity()) kernel_.range_sums(bits);
        break;
      }
      case 3:
        own_sketch(4 * (1 + input.u8() % (kCells / 4)));
        break;
      case 4: {
        const uint32_t cells = 4 * (1 + input.u8() % (kCells / 4));
        if (cells > kernel_.cell_capacity()) break;
        // Often shorter than that: of an empty sketch all our items differ.
        Bytes sketch = input.take(input.u8() * kDigestCellBytes);
        sketch.resize(cells * kDigestCellBytes);
        match(kernel_.peel(cells, sketch.data()));
        break;
      }
      case 5:
        their_items(input);
        break;
      case 6:
        match(static_cast<int32_t>(input.u8() % (kNames + 1)));
        break;
      default:
        memory_.damage(input);
        is_damaged_ = true;
        if ((input.u8() & 3) == 0) kernel_.attach(memory_.data(), memory_.size());
    }
  }

  /// Against our own sketch nothing differs.
  void own_sketch(uint32_t cells) {
    if (cells > kernel_.cell_capacity()) return;
    Bytes sketch(cells * layout::kDigestCellBytes);
    kernel_.sketch(cells, sketch.data());
    const int32_t found = kernel_.peel(cells, sketch.data());
    if (!is_damaged_) require(found == 0, "we differ from ourselves");
  }

  /// Our sketch with some bytes changed: nearly right is the hardest.
  void their_items(Input& input) {
    const uint32_t cells = 4 * (1 + input.u8() % (kCells / 4));
    if (cells > kernel_.cell_capacity()) return;
    Bytes sketch(cells * layout::kDigestCellBytes);
    kernel_.sketch(cells, sketch.data());
    for (uint32_t times = input.u8() % 8; times > 0; times--) {
      const uint32_t at = input.u16();
      sketch[at % sketch.size()] = static_cast<uint8_t>(input.u8());
    }
    match(kernel_.peel(cells, sketch.data()));
  }

  void match(int32_t count) {
    if (!is_damaged_) require(count <= static_cast<int32_t>(kNames), "more names than there is room for");
    if (count < 0 || static_cast<uint32_t>(count) > kernel_.name_capacity()) return;
    const uint32_t slots = kernel_.match(static_cast<uint32_t>(count));
    require(slots <= kRows || is_damaged_, "more slots than rows");
    if (!is_damaged_) require(memory_.get(layout::digest::unmatched) <= static_cast<uint32_t>(count), "unmatched");
  }

  fuzz::Members members_;
  fuzz::Memory memory_{layout::digest::itemsOffset + kRows * (layout::digest_item::stride + 4) + kRanges * 8 +
                           2 * kCells * layout::digest_cell::stride + layout::align8(kNames * 4) + kLookup * 8,
                       {{layout::header::kernelId, layout::kernel_id::digest},
                        {layout::header::capacity, kRows},
                        {layout::digest::cellCapacity, kCells},
                        {layout::digest::rangeCapacity, kRanges},
                        {layout::digest::nameCapacity, kNames},
                        {layout::digest::lookupSize, kLookup}}};
  kernels::Digest kernel_;
  bool is_damaged_ = false;
};

void run_one(const uint8_t* bytes, std::size_t length) {
  static Fixture fixture;
  fixture.run(Input(bytes, length));
}

}  // namespace

HEARSAY_FUZZ_TARGET(digest, run_one)
