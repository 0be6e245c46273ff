// Fuzz target of the delta: blocks of a table and its damage as in fuzz_member_table, decoded again; the same blocks with bytes
// changed, and any bytes, under a checksum that fits.

#include "../kernels/delta.hpp"

#include "fuzz_members.hpp"

namespace {

using namespace hearsay;
using fuzz::Bytes;
using fuzz::Input;
using fuzz::require;

constexpr uint32_t kSlots = 32;
constexpr uint32_t kBlockBytes = 1400;
constexpr uint32_t kDictionary = 8;
constexpr uint32_t kColumn = layout::align8(kBlockBytes + layout::kDeltaRowBytesMax);
constexpr uint32_t kOutAt = layout::delta::slotsOffset + kSlots * 4;

class Fixture {
 public:
  void run(Input input) {
    members_.reset();
    memory_.reset();
    codec_.memory.reset();
    require(!kernel_.attach(memory_.data(), memory_.size() - 8), "attached to a short arena");
    require(kernel_.attach(memory_.data(), memory_.size()), "did not attach");
    is_damaged_ = false;
    // Half of the inputs are all blocks, which is what comes from the network.
    if ((input.u8() & 1) != 0) {
      for (int steps = 0; steps < 16 && !input.done(); steps++) decode(written(input), true);
      return;
    }
    members_.fill(input);
    for (int steps = 0; steps < 64 && !input.done(); steps++) act(input);
  }

 private:
  void act(Input& input) {
    using namespace layout;
    switch (input.u8() % 9) {
      case 0:
      case 1:
        members_.act(input);
        break;
      case 2:
        encode(input, false);
        break;
      case 3:
        encode(input, true);
        break;
      case 4: {
        Bytes block = encode(input, false);
        for (uint32_t times = input.u8() % 8; times > 0 && !block.empty(); times--) {
          const uint32_t at = input.u16() % static_cast<uint32_t>(block.size());
          const uint32_t byte = input.u8();
          if ((byte & 15) == 15) {
            block.resize(at);
          } else {
            block[at] = static_cast<uint8_t>(byte);
          }
        }
        decode(block, (input.u8() & 15) != 0);
        break;
      }
      case 5:
        decode(written(input), true);
        break;
      case 6: {
        const bool is_sealed = (input.u8() & 7) != 0;
        const uint32_t length = input.u16() % 2048;
        decode(input.take(length), is_sealed);
        break;
      }
      case 7: {
        // What lies in the codec's arena is not ours alone either.
        const Bytes block = encode(input, false);
        codec_.memory.damage(input);
        decode(block, true);
        codec_.memory.reset();
        break;
      }
      default:
        memory_.damage(input);
        is_damaged_ = true;
        if ((input.u8() & 3) == 0) kernel_.attach(memory_.data(), memory_.size());
    }
  }

  /// Encodes rows, all of them or those that the input names; what was encoded is decoded to the same members.
  Bytes encode(Input& input, bool any_slots) {
    using namespace layout;
    const uint32_t capacity = std::min(kSlots, kernel_.capacity());
    const uint32_t budget = std::min(input.u16() % (kBlockBytes + 1), kernel_.block_bytes());
    const uint32_t first = any_slots ? input.u8() % (capacity + 1) : 0;
    const uint32_t count =
        any_slots ? input.u8() % (capacity - first + 1) : std::min(capacity, fuzz::Members::kCapacity);
    for (uint32_t i = 0; i < capacity; i++) memory_.set(delta::slotsOffset + 4 * i, any_slots ? input.u8() : i);
    const uint32_t used = kernel_.encode(members_.table, first, count, budget);
    require(used <= count, "used more slots than there are");
    const uint32_t length = memory_.get(delta::outLength);
    if (is_damaged_) return {};
    require(length <= budget, "more than the budget");
    const Bytes block(memory_.data() + kOutAt, memory_.data() + kOutAt + length);
    if (!members_.is_damaged) check_same(block, first, used);
    return block;
  }

  void check_same(const Bytes& block, uint32_t first, uint32_t used) {
    using namespace layout;
    std::vector<uint32_t> slots;
    for (uint32_t i = 0; i < used; i++) {
      const uint32_t slot = memory_.get(delta::slotsOffset + 4 * (first + i));
      if (members_.table.rows().is_used(slot)) slots.push_back(slot);
    }
    require(block.empty() == slots.empty(), "a block when there is a row");
    if (slots.empty()) return;
    require(decode(block, false) == static_cast<int32_t>(slots.size()), "our own block is no block");
    for (uint32_t i = 0; i < slots.size(); i++) {
      const kernels::Row& row = members_.table.rows().row(slots[i]);
      const auto name = members_.name_kernel.bytes(row.name_id);
      const kernels::Profile profile(members_.profile_kernel.bytes(row.profile_id));
      kernels::Record record;
      std::memcpy(&record, codec_.memory.data() + codec_.record(i), sizeof record);
      require(same(record.name_offset, record.name_length, name), "a name on its way");
      require(record.number == row.incarnation && record.status == row.status, "a row on its way");
      if (row.status != status::alive) continue;
      require(record.ext == row.ext && record.port == profile.port, "a row on its way");
      require(same(record.ip_offset, record.ip_length, profile.ip), "an address on its way");
      require(same(record.data_offset, record.data_length, profile.meta), "metadata on their way");
      require(std::equal(profile.vsn.begin(), profile.vsn.end(), record.vsn), "versions on their way");
    }
  }

  bool same(uint32_t offset, uint32_t length, std::span<const uint8_t> bytes) const {
    const uint8_t* const at = codec_.memory.data() + offset;
    return std::equal(at, at + length, bytes.begin(), bytes.end());
  }

  /// A block as another encoder could write it, row by row: mostly right, now and then wrong in what it refers to.
  static Bytes written(Input& input) {
    using namespace layout;
    Bytes columns[kDeltaColumns];
    uint32_t text_bytes = 0;
    uint32_t name_length = 0;
    uint32_t ip_length = 0;
    uint32_t strings = 0;
    const auto chance = [&input] { return input.u8() >= 248; };
    const uint32_t rows = 1 + input.u8() % 8;
    for (uint32_t i = 0; i < rows; i++) {
      uint32_t flags = input.u8();
      // Nothing is the same as in no row, and a member that is not alive has nothing but a name.
      if (ip_length == 0 && !chance()) flags &= ~(delta_flag::sameIp | delta_flag::samePort | delta_flag::sameVsn);
      if ((flags & 16) != 0 && !chance()) flags &= ~delta_flag::status;
      const uint32_t status = flags & delta_flag::status;
      if (status != status::alive && !chance()) flags = status;
      const uint32_t shared = chance() ? input.u16() : input.u8() % (name_length + 1);
      const uint32_t own = chance() ? 0 : 1 + input.u8() % 8;
      put(columns[delta_column::names], shared);
      put(columns[delta_column::names], own);
      columns[delta_column::names].insert(columns[delta_column::names].end(), own, static_cast<uint8_t>('a' + i));
      name_length = shared + own;
      text_bytes += name_length;
      columns[delta_column::flags].push_back(static_cast<uint8_t>(flags));
      put(columns[delta_column::numbers], fuzz::odd_word(input));
      if (status != status::alive) continue;
      if ((flags & delta_flag::ext) != 0) put(columns[delta_column::numbers], input.u16());
      const uint32_t length = (flags & delta_flag::ip16) != 0 ? 16 : 4;
      if ((flags & delta_flag::sameIp) != 0 && length != ip_length && !chance()) flags ^= delta_flag::ip16;
      columns[delta_column::flags].back() = static_cast<uint8_t>(flags);
      const uint32_t own_length = (flags & delta_flag::ip16) != 0 ? 16 : 4;
      Bytes& addresses = columns[delta_column::addresses];
      if ((flags & delta_flag::sameIp) == 0) {
        const uint32_t same = own_length == ip_length || chance() ? input.u8() % (own_length + 1) : 0;
        addresses.push_back(static_cast<uint8_t>(same));
        addresses.insert(addresses.end(), own_length - same, 10);
      }
      if ((flags & delta_flag::samePort) == 0) addresses.insert(addresses.end(), 2, 31);
      ip_length = own_length;
      text_bytes += ip_length;
      if ((flags & delta_flag::sameVsn) == 0) put_string(columns[delta_column::strings], input, strings, 6);
      if ((flags & delta_flag::sameMeta) == 0) put_string(columns[delta_column::strings], input, strings, input.u8());
    }
    Bytes block(4);
    const uint32_t lie = input.u8();
    put(block, rows + (lie == 1 ? 1 : 0));
    put(block, text_bytes + (lie == 2 ? 1 : 0) - (lie == 3 ? 1 : 0));
    for (const Bytes& column : columns) put(block, static_cast<uint32_t>(column.size()));
    for (const Bytes& column : columns) block.insert(block.end(), column.begin(), column.end());
    if (lie == 4) block.resize(input.u16() % block.size());
    return block;
  }

  static void put(Bytes& to, uint32_t value) {
    for (; value > 127; value >>= 7) to.push_back(static_cast<uint8_t>((value & 127) | 128));
    to.push_back(static_cast<uint8_t>(value));
  }

  /// A new string of about that length, or the number of one that may not be there.
  static void put_string(Bytes& to, Input& input, uint32_t& strings, uint32_t length) {
    const uint32_t style = input.u8();
    if ((style & 1) != 0 && strings > 0) {
      put(to, 1 + style / 2 % (strings + (style >= 240 ? 2 : 0)));
      return;
    }
    strings++;
    put(to, 0);
    put(to, length + (style == 0 ? 1 : 0) + (style == 2 ? 600 : 0));
    to.insert(to.end(), length, static_cast<uint8_t>(style));
  }

  /// Decodes as the binding does. `seal` makes the checksum right.
  int32_t decode(Bytes block, bool seal) {
    using namespace layout;
    if (seal && block.size() > 4) {
      const auto checksum = static_cast<uint32_t>(kernels::xxh3_64(block.data() + 4, block.size() - 4, 0));
      std::memcpy(block.data(), &checksum, 4);
    }
    kernels::CodecView view;
    if (!view.attach(codec_.memory.data(), codec_.memory.size()) || block.size() > view.inbox_bytes) return 0;
    const auto length = static_cast<uint32_t>(block.size());
    std::copy(block.begin(), block.end(), codec_.memory.data() + view.inbox);
    const uint32_t behind = view.inbox + length;
    codec_.memory.forbid(behind, view.inbox + view.inbox_bytes);
    const int32_t records = kernel_.decode(view, 0, length);
    codec_.memory.allow(behind, view.inbox + view.inbox_bytes);
    require(records <= static_cast<int32_t>(view.record_capacity) && records >= -16, "number of records");
    const auto count = static_cast<uint32_t>(std::max(records, 0));
    require(view.word(codec::recordCount) == count, "record count");
    for (uint32_t i = 0; i < count; i++) check_record(view, length, view.records + i * record::stride);
    return records;
  }

  /// Every span lies in the block or in scratch, and is what a merge may take.
  static void check_record(const kernels::CodecView& view, uint32_t block_bytes, uint32_t at) {
    using namespace layout;
    const auto inside = [&view, block_bytes](uint32_t offset, uint32_t length) {
      const uint64_t end = uint64_t{offset} + length;
      return length == 0 || (offset >= view.inbox && end <= uint64_t{view.inbox} + block_bytes) ||
             (offset >= view.scratch && end <= uint64_t{view.scratch} + view.scratch_bytes);
    };
    require(inside(view.word(at + record::nameOffset), view.word(at + record::nameLength)), "span of a name");
    require(inside(view.word(at + record::ipOffset), view.word(at + record::ipLength)), "span of an address");
    require(inside(view.word(at + record::dataOffset), view.word(at + record::dataLength)), "span of metadata");
    const uint32_t name_length = view.word(at + record::nameLength);
    require(name_length > 0 && name_length <= kNameBytesMax, "length of a name");
    require(view.word(at + record::dataLength) <= kMetaBytesMax, "length of metadata");
  }

  fuzz::Members members_;
  fuzz::CodecMemory codec_;
  fuzz::Memory memory_{kOutAt + layout::align8(kBlockBytes) + layout::kDeltaColumns * kColumn +
                           kDictionary * (layout::delta_entry::stride + 8),
                       {{layout::header::kernelId, layout::kernel_id::delta},
                        {layout::header::capacity, kSlots},
                        {layout::delta::blockBytes, kBlockBytes},
                        {layout::delta::dictionaryCapacity, kDictionary}}};
  kernels::Delta kernel_;
  bool is_damaged_ = false;
};

void run_one(const uint8_t* bytes, std::size_t length) {
  static Fixture fixture;
  fixture.run(Input(bytes, length));
}

}  // namespace

HEARSAY_FUZZ_TARGET(delta, run_one)
