// A member table with its interners and a codec, small enough to run full, for the fuzz targets that work on one.
#pragma once

#include <bit>
#include <limits>

#include "../kernels/member_table.hpp"
#include "../kernels/packet_codec.hpp"
#include "fuzz.hpp"

namespace hearsay::fuzz {

inline constexpr uint32_t kInternerCapacity = 32;
inline constexpr uint32_t kInternerBuckets = 64;
inline constexpr uint32_t kNameHeapBytes = 2048;
inline constexpr uint32_t kProfileHeapBytes = 4096;

inline Memory interner_memory(uint32_t heap_bytes) {
  using namespace layout;
  return Memory(
      interner::bucketsOffset + kInternerBuckets * 4 + kInternerCapacity * interner_entry::stride + heap_bytes,
      {{header::kernelId, kernel_id::interner},
       {header::capacity, kInternerCapacity},
       {interner::bucketCount, kInternerBuckets},
       {interner::heapBytes, heap_bytes},
       {interner::hashSeed, 7}});
}

/// A codec for one datagram or one body.
struct CodecMemory {
  static constexpr uint32_t kRecords = 64;
  static constexpr uint32_t kInboxBytes = 8192;
  static constexpr uint32_t kScratchBytes = 8192;
  static constexpr uint32_t kInbox =
      layout::codec::packetsOffset + layout::packet::stride + kRecords * layout::record::stride;
  static constexpr uint32_t kScratch = kInbox + kInboxBytes;

  Memory memory{kScratch + kScratchBytes,
                {{layout::header::kernelId, layout::kernel_id::packetCodec},
                 {layout::header::capacity, 1},
                 {layout::codec::recordCapacity, kRecords},
                 {layout::codec::inboxBytes, kInboxBytes},
                 {layout::codec::scratchBytes, kScratchBytes}}};
  kernels::PacketCodec kernel;

  CodecMemory() { require(kernel.attach(memory.data(), memory.size()), "the codec did not attach"); }

  void put(const Bytes& bytes) {
    std::copy(bytes.begin(), bytes.end(), memory.data() + kInbox);
    memory.set(layout::codec::inboxTop, static_cast<uint32_t>(bytes.size()));
  }
  uint32_t index(const Bytes& datagram) {
    put(datagram);
    memory.set(layout::codec::packetsOffset + layout::packet::offset, kInbox);
    memory.set(layout::codec::packetsOffset + layout::packet::length, static_cast<uint32_t>(datagram.size()));
    return kernel.index(1);
  }
  int32_t index_state(const Bytes& body, uint32_t nodes) {
    put(body);
    return kernel.index_state(0, nodes);
  }
  uint32_t record(uint32_t index) const {
    return layout::codec::packetsOffset + layout::packet::stride + index * layout::record::stride;
  }
};

class Members {
 public:
  static constexpr uint32_t kCapacity = 24;
  static constexpr uint32_t kNameCapacity = kInternerCapacity + 1;
  static constexpr uint32_t kOut = 12;
  static constexpr uint32_t kPicks = 16;

  Memory names = interner_memory(kNameHeapBytes);
  Memory profiles = interner_memory(kProfileHeapBytes);
  Memory rows{layout::table::outOffset + kOut * layout::change::stride + kPicks * 4 + kCapacity * layout::row::stride +
                  kCapacity * 4 + layout::align8(kNameCapacity * 4),
              {{layout::header::kernelId, layout::kernel_id::memberTable},
               {layout::header::capacity, kCapacity},
               {layout::header::prng, 1},
               {layout::header::prng + 4, 2},
               {layout::header::prng + 8, 3},
               {layout::header::prng + 12, 4},
               {layout::table::nameCapacity, kNameCapacity},
               {layout::table::outCapacity, kOut},
               {layout::table::pickCapacity, kPicks},
               {layout::table::defaultPort, 7946}}};
  CodecMemory codec;
  kernels::Interner name_kernel;
  kernels::Interner profile_kernel;
  kernels::MemberTable table;
  bool is_damaged = false;

  Members() { reset(); }

  void reset() {
    names.reset();
    profiles.reset();
    rows.reset();
    codec.memory.reset();
    require(name_kernel.attach(names.data(), names.size()), "the names did not attach");
    require(profile_kernel.attach(profiles.data(), profiles.size()), "the profiles did not attach");
    require(table.attach(rows.data(), rows.size(), &name_kernel, &profile_kernel), "the table did not attach");
    is_damaged = false;
    now_ms_ = 1000;
  }

  /// As many members as the first byte says, with a few kinds of addresses and metadata.
  void fill(Input& input) {
    using namespace layout;
    const uint32_t count = input.u8() % (kCapacity + 2);
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t style = input.u8();
      const uint32_t at = codec.record(0);
      const uint32_t bytes = CodecMemory::kInbox;
      uint8_t* const text = codec.memory.data() + bytes;
      std::memcpy(text, "member-0", 8);
      text[7] = static_cast<uint8_t>('0' + i);
      std::fill_n(text + 8, 24, static_cast<uint8_t>(10 + (style & 1)));
      codec.memory.data()[at + record::kind] = message::alive;
      codec.memory.set(at + record::number, style >> 4);
      codec.memory.set(at + record::nameOffset, bytes);
      codec.memory.set(at + record::nameLength, 8);
      codec.memory.set(at + record::ipOffset, bytes + 8);
      codec.memory.set(at + record::ipLength, (style & 2) != 0 ? 16 : 4);
      codec.memory.set(at + record::dataOffset, bytes + 8);
      codec.memory.set(at + record::dataLength, (style & 4) != 0 ? 24 : 0);
      codec.memory.set(at + record::ext, (style & 8) != 0 ? style | 1 : 0);
      std::memcpy(codec.memory.data() + at + record::vsn, "\1\5\2\0\0\0", 6);
      codec.memory.data()[at + record::vsnLength] = 6;
      merge(1, 0);
    }
    if (count > 0) codec.memory.reset();
    check();
  }

  /// One call, chosen by the input. Operation 0 is a datagram: flags, length (u16), bytes.
  void act(Input& input) {
    using namespace layout;
    switch (input.u8() % 16) {
      case 0: {
        const uint32_t flags = input.u8();
        const uint32_t length = input.u16() % (CodecMemory::kInboxBytes + 1);
        merge(codec.index(input.take(length)), flags & 1);
        break;
      }
      case 1: {
        const uint32_t slot = input.u8() % (kCapacity + 2) - 1;
        const uint32_t kind = (input.u8() & 1) != 0 ? message::dead : message::suspect;
        const uint32_t known = slot < kCapacity ? table.rows().row(slot).incarnation : 0;
        table.accuse(now_ms_, slot, kind, known + input.u8() % 4 - 1);
        break;
      }
      case 2:
        table.next_probe(now_ms_, input.u8());
        break;
      case 3: {
        const Bytes name = input.take(input.u8());
        const int32_t slot = table.find(name);
        require(slot < static_cast<int32_t>(kCapacity), "found a slot that the table does not have");
        break;
      }
      case 4:
        encode_state();
        break;
      case 5:
        if ((input.u8() & 1) != 0) {
          table.note_ext(input.u8() % (kCapacity + 2) - 1, input.u32());
        } else {
          table.set_own_ext(input.u32());
        }
        break;
      case 6:
        raw_records(input);
        break;
      case 7: {
        const uint32_t nodes = input.u8();
        const uint32_t length = input.u16() % (CodecMemory::kInboxBytes + 1);
        const int32_t end = codec.index_state(input.take(length), nodes);
        if (end >= 0) merge(nodes, 0);
        break;
      }
      case 8:
        rows.set(table::leaving, input.u8() & 1);
        rows.set(table::defaultPort, input.u16());
        break;
      case 9: {
        const auto reclaim_ms = static_cast<double>(input.u8());
        std::memcpy(rows.data() + table::deadReclaimMs, &reclaim_ms, sizeof reclaim_ms);
        break;
      }
      case 10:
        now_ms_ += input.u8();
        break;
      case 11:
        known_names(input);
        break;
      case 12:
        hurt(rows, input);
        break;
      case 13:
        hurt((input.u8() & 1) != 0 ? names : profiles, input);
        break;
      case 14:
        // Not our arena, but one whose records we read.
        codec.memory.damage(input);
        merge(input.u8() % (CodecMemory::kRecords + 1), input.u8());
        codec.memory.reset();
        break;
      default:
        odd_time(input);
    }
    if (!is_damaged) check();
  }

  /// What must hold while nobody else writes to the arenas.
  void check() const {
    using namespace layout;
    const uint32_t live = rows.get(header::live);
    uint32_t counted = 0;
    for (uint32_t status = 0; status < 4; status++) counted += rows.get(table::aliveCount + 4 * status);
    require(live <= kCapacity && counted == live, "counts of members");
    require(names.get(header::live) == live, "a name without a member");
    require((rows.get(header::seq) & 1) == 0, "the sequence is odd");
    for (uint32_t position = 0; position < live; position++) {
      const uint32_t slot = table.rows().slot_at(position);
      const kernels::Row& row = table.rows().row(slot);
      require(row.order_index == position, "order index");
      require(table.rows().slot_of(row.name_id) == slot, "slot of a name");
      require(!name_kernel.bytes(row.name_id).empty(), "a member without a name");
      require(!kernels::Profile(profile_kernel.bytes(row.profile_id)).vsn.empty(), "a member without a profile");
      require(((row.flags & row_flag::suspicion) != 0) == (row.status == status::suspect), "suspicion");
    }
  }

  double now_ms() const { return now_ms_; }

  /// Damages an arena, and sometimes attaches to it again: then it is refused, or everything still has to hold out.
  void hurt(Memory& memory, Input& input) {
    memory.damage(input);
    is_damaged = true;
    if ((input.u8() & 3) != 0) return;
    name_kernel.attach(names.data(), names.size());
    profile_kernel.attach(profiles.data(), profiles.size());
    table.attach(rows.data(), rows.size(), &name_kernel, &profile_kernel);
  }

 private:
  void merge(uint32_t count, uint32_t flags) {
    using namespace layout;
    kernels::RecordView view;
    if (!view.attach(codec.memory.data(), codec.memory.size())) return;
    count = std::min(count, view.capacity());
    uint32_t first = 0;
    // As the engine does: drains what is listed and goes on. Nothing grows here, so any other need ends it.
    for (;;) {
      const uint32_t used = table.merge(now_ms_, view, first, count - first, flags);
      require(used <= count - first, "used more records than there are");
      first += used;
      if (first == count || rows.get(table::need) != need::out || used == 0) break;
    }
  }

  /// Records that no codec would write.
  void raw_records(Input& input) {
    using namespace layout;
    const uint32_t count = input.u8() % 8;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = codec.record(i);
      const Bytes bytes = input.take(record::stride);
      std::copy(bytes.begin(), bytes.end(), codec.memory.data() + at);
    }
    merge(count, input.u8());
    codec.memory.reset();
  }

  /// Well-formed records of a few names, so that news about known members is common.
  void known_names(Input& input) {
    using namespace layout;
    static constexpr uint8_t kKinds[] = {message::alive, message::alive, message::suspect, message::dead,
                                         message::pushPull};
    const uint32_t count = 1 + input.u8() % 6;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = codec.record(i);
      const uint32_t bytes = CodecMemory::kInbox + 64 * i;
      uint8_t* const text = codec.memory.data() + bytes;
      const uint32_t style = input.u8();
      const uint32_t name_length = 1 + (style & 1) * 20;
      std::fill_n(text, 64, static_cast<uint8_t>('a' + input.u8() % 26));
      text[40] = static_cast<uint8_t>(10 + (style >> 7));
      codec.memory.data()[at + record::kind] = kKinds[input.u8() % std::size(kKinds)];
      codec.memory.data()[at + record::status] = static_cast<uint8_t>(input.u8() % 5);
      codec.memory.set(at + record::number, input.u8() % 8);
      codec.memory.set(at + record::nameOffset, bytes);
      codec.memory.set(at + record::nameLength, name_length);
      codec.memory.set(at + record::fromOffset, bytes + ((style & 2) >> 1));
      codec.memory.set(at + record::fromLength, name_length);
      codec.memory.set(at + record::ipOffset, bytes + 40);
      codec.memory.set(at + record::ipLength, (style & 4) != 0 ? 16 : 4);
      codec.memory.set(at + record::dataOffset, bytes + 30);
      codec.memory.set(at + record::dataLength, (style & 8) != 0 ? 9 : 0);
      std::memcpy(codec.memory.data() + at + record::vsn, "\1\5\2\0\0\0", 6);
      codec.memory.data()[at + record::vsnLength] = (style & 16) != 0 ? 0 : 6;
      codec.memory.set(at + record::ext, (style & 32) != 0 ? input.u16() | 1 : 0);
      // One field that no codec would write.
      if ((style & 64) != 0) codec.memory.set(at + 4 * (input.u8() % (record::stride / 4)), odd_word(input));
    }
    merge(count, (input.u8() & 7) == 0 ? merge_flag::bootstrap : 0);
    codec.memory.reset();
  }

  /// The state of an undamaged table is a body that the codec takes.
  void encode_state() {
    const uint64_t size = table.state_size();
    require(size < (1u << 20), "a state without bounds");
    Bytes out(size);
    table.encode_state(out.data());
    if (is_damaged || size > CodecMemory::kInboxBytes) return;
    const uint32_t live = rows.get(layout::header::live);
    require(codec.index_state(out, live) == static_cast<int32_t>(size), "our own state is no body");
  }

  void odd_time(Input& input) {
    static constexpr double kTimes[] = {0, -1, 1e300, std::numeric_limits<double>::quiet_NaN(),
                                        std::numeric_limits<double>::infinity()};
    const double at = kTimes[input.u8() % std::size(kTimes)];
    table.next_probe(at, kTimes[input.u8() % std::size(kTimes)]);
  }

  double now_ms_ = 1000;
};

}  // namespace hearsay::fuzz
