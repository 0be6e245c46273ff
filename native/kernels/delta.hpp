// Rows of a member table as compact blocks, and blocks as records (Delta in src/kernels/contract.ts). The twin and
// specification is src/kernels/js/delta.ts with delta-reader.ts: same calls, same bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "delta_reader.hpp"
#include "hash64.hpp"
#include "interner.hpp"
#include "layout.hpp"
#include "member_table.hpp"

namespace hearsay::kernels {

class Delta {
 public:
  /// Takes an arena of `length` bytes whose header was checked. False, and nothing changed, when its sections do not fit.
  bool attach(uint8_t* base, std::size_t length) {
    using namespace layout;
    if (length < delta::slotsOffset) return false;
    auto* const words = reinterpret_cast<uint32_t*>(base);
    const uint64_t capacity = words[header::capacity / 4];
    const uint64_t block_bytes = words[delta::blockBytes / 4];
    const uint64_t dictionary = words[delta::dictionaryCapacity / 4];
    if (capacity > kRowsMax || block_bytes > kDeltaBlockBytesMax) return false;
    if (dictionary < 1 || dictionary > kDictionaryMax || (dictionary & (dictionary - 1)) != 0) return false;
    const uint64_t out = delta::slotsOffset + align8(capacity * 4);
    const uint64_t columns = out + align8(block_bytes);
    const uint64_t stride = align8(block_bytes + kDeltaRowBytesMax);
    const uint64_t entries = columns + kDeltaColumns * stride;
    const uint64_t buckets = entries + dictionary * delta_entry::stride;
    if (buckets + 2 * dictionary * 4 > length) return false;
    words_ = words;
    slots_ = words + delta::slotsOffset / 4;
    out_ = base + out;
    for (uint32_t i = 0; i < kDeltaColumns; i++) columns_[i] = base + columns + i * stride;
    dictionary_ = reinterpret_cast<DeltaEntry*>(base + entries);
    buckets_ = reinterpret_cast<uint32_t*>(base + buckets);
    capacity_ = static_cast<uint32_t>(capacity);
    block_bytes_ = static_cast<uint32_t>(block_bytes);
    dictionary_capacity_ = static_cast<uint32_t>(dictionary);
    return true;
  }

  uint32_t capacity() const { return capacity_; }
  uint32_t block_bytes() const { return block_bytes_; }

  /// first + count is at most capacity(), `budget` at most block_bytes(); how many slots were used up.
  uint32_t encode(const MemberTable& members, uint32_t first, uint32_t count, uint32_t budget) {
    using namespace layout;
    state_ = State{};
    row_count_ = 0;
    previous_name_ = {};
    previous_profile_ = {};
    has_previous_ = false;
    std::memset(buckets_, 0, std::size_t{dictionary_capacity_} * 8);
    const MemberRows& rows = members.rows();
    const uint32_t row_top = std::min(rows.word(table::rowTop), rows.capacity());
    uint32_t used = 0;
    for (; used < count; used++) {
      const uint32_t slot = slots_[first + used];
      if (slot >= row_top || rows.row(slot).name_id == 0) continue;
      const State before = state_;
      put_row(members, rows.row(slot));
      row_count_++;
      if (block_length() > budget) {
        state_ = before;
        row_count_--;
        break;
      }
    }
    finish();
    return used;
  }

  /// Reads a block of the codec at `codec`, whose header was checked, into its records; how many, or -REJECT.
  int32_t decode(const CodecView& codec, uint32_t from, uint32_t length) {
    return DeltaReader(codec, dictionary_, dictionary_capacity_).read(from, length);
  }

 private:
  static constexpr uint64_t kRowsMax = 1u << 21;
  static constexpr uint64_t kDictionaryMax = 1u << 16;
  static constexpr uint32_t kChecksumBytes = 4;
  /// Buckets looked at for one string. A string that is not found there is written again: that costs bytes, never time.
  static constexpr uint32_t kProbesMax = 8;

  /// What has been written so far; copied to take a row back.
  struct State {
    uint32_t tops[layout::kDeltaColumns] = {};
    uint32_t dictionary_count = 0;
    uint32_t text_bytes = 0;
  };

  void put_row(const MemberTable& members, const Row& row) {
    using namespace layout;
    put_name(members.names().bytes(row.name_id));
    put_varint(delta_column::numbers, row.incarnation);
    if (row.status != status::alive) {
      put_byte(delta_column::flags, row.status & delta_flag::status);
      return;
    }
    if (row.ext != 0) put_varint(delta_column::numbers, row.ext);
    const Profile profile(members.profiles().bytes(row.profile_id));
    // Damaged memory only: a profile in use has its fixed part and an IP of 4 or 16 bytes.
    if (profile.vsn.empty() || (profile.ip.size() != 4 && profile.ip.size() != 16)) {
      put_byte(delta_column::flags, 0);
      return;
    }
    uint32_t flags = (profile.ip.size() == 16 ? delta_flag::ip16 : 0) | (row.ext != 0 ? delta_flag::ext : 0);
    const Profile known(previous_profile_);
    const bool same_family = has_previous_ && known.ip.size() == profile.ip.size();
    if (same_family && same_bytes(known.ip, profile.ip)) {
      flags |= delta_flag::sameIp;
    } else {
      uint32_t shared = 0;
      while (same_family && profile.ip[shared] == known.ip[shared]) shared++;
      put_byte(delta_column::addresses, shared);
      put_bytes(delta_column::addresses, profile.ip.subspan(shared));
    }
    if (has_previous_ && known.port == profile.port) {
      flags |= delta_flag::samePort;
    } else {
      put_bytes(delta_column::addresses, profile.address.first(2));
    }
    state_.text_bytes += static_cast<uint32_t>(profile.ip.size());
    if (has_previous_ && same_bytes(known.vsn, profile.vsn)) {
      flags |= delta_flag::sameVsn;
    } else {
      put_string(profile.vsn);
    }
    if (same_bytes(known.meta, profile.meta)) {
      flags |= delta_flag::sameMeta;
    } else {
      put_string(profile.meta);
    }
    put_byte(delta_column::flags, flags);
    previous_profile_ = members.profiles().bytes(row.profile_id);
    has_previous_ = true;
  }

  /// Bytes shared with the name before, bytes of its own, and these.
  void put_name(std::span<const uint8_t> name) {
    using namespace layout;
    name = name.first(std::min<std::size_t>(name.size(), kNameBytesMax));
    const std::size_t most = std::min(name.size(), previous_name_.size());
    uint32_t shared = 0;
    while (shared < most && name[shared] == previous_name_[shared]) shared++;
    put_varint(delta_column::names, shared);
    put_varint(delta_column::names, static_cast<uint32_t>(name.size()) - shared);
    put_bytes(delta_column::names, name.subspan(shared));
    previous_name_ = name;
    state_.text_bytes += static_cast<uint32_t>(name.size());
  }

  /// Number + 1 of a string that the dictionary has, or 0, its length and its bytes.
  void put_string(std::span<const uint8_t> bytes) {
    using namespace layout;
    bytes = bytes.first(std::min<std::size_t>(bytes.size(), kMetaBytesMax));
    const auto length = static_cast<uint32_t>(bytes.size());
    const uint8_t* const column = columns_[delta_column::strings];
    const uint32_t mask = 2 * dictionary_capacity_ - 1;
    const uint32_t start = murmur3(bytes.data(), length, 0) & mask;
    uint32_t* free = nullptr;
    for (uint32_t probe = 0; probe < kProbesMax; probe++) {
      uint32_t& bucket = buckets_[(start + probe) & mask];
      if (bucket == 0) {
        free = &bucket;
        break;
      }
      if (bucket > dictionary_capacity_) continue;
      const DeltaEntry entry = dictionary_[bucket - 1];
      if (entry.length != length || uint64_t{entry.offset} + length > state_.tops[delta_column::strings]) continue;
      if (length > 0 && std::memcmp(column + entry.offset, bytes.data(), length) != 0) continue;
      put_varint(delta_column::strings, bucket);
      return;
    }
    put_varint(delta_column::strings, 0);
    put_varint(delta_column::strings, length);
    if (state_.dictionary_count < dictionary_capacity_) {
      dictionary_[state_.dictionary_count] = {state_.tops[delta_column::strings], length};
      state_.dictionary_count++;
      if (free != nullptr) *free = state_.dictionary_count;
    }
    put_bytes(delta_column::strings, bytes);
  }

  void put_byte(uint32_t column, uint32_t value) {
    columns_[column][state_.tops[column]++] = static_cast<uint8_t>(value);
  }

  /// A column is kDeltaRowBytesMax longer than the block that it may have filled before this row.
  void put_bytes(uint32_t column, std::span<const uint8_t> bytes) {
    if (!bytes.empty()) std::memcpy(columns_[column] + state_.tops[column], bytes.data(), bytes.size());
    state_.tops[column] += static_cast<uint32_t>(bytes.size());
  }

  void put_varint(uint32_t column, uint32_t value) {
    for (; value > 127; value >>= 7) put_byte(column, (value & 127) | 128);
    put_byte(column, value);
  }

  static uint32_t varint_bytes(uint32_t value) {
    return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
  }

  uint32_t block_length() const {
    uint32_t length = kChecksumBytes + varint_bytes(row_count_) + varint_bytes(state_.text_bytes);
    for (const uint32_t top : state_.tops) length += varint_bytes(top) + top;
    return length;
  }

  /// Head and columns into out; no block at all when there is no row.
  void finish() {
    using namespace layout;
    words_[delta::dictionaryCount / 4] = state_.dictionary_count;
    words_[delta::outLength / 4] = 0;
    if (row_count_ == 0) return;
    uint8_t* to = out_ + kChecksumBytes;
    const auto put = [&to](uint32_t value) {
      for (; value > 127; value >>= 7) *to++ = static_cast<uint8_t>((value & 127) | 128);
      *to++ = static_cast<uint8_t>(value);
    };
    put(row_count_);
    put(state_.text_bytes);
    for (const uint32_t top : state_.tops) put(top);
    for (uint32_t i = 0; i < kDeltaColumns; i++) {
      std::memcpy(to, columns_[i], state_.tops[i]);
      to += state_.tops[i];
    }
    const auto length = static_cast<uint32_t>(to - out_);
    const auto checksum = static_cast<uint32_t>(xxh3_64(out_ + kChecksumBytes, length - kChecksumBytes, 0));
    std::memcpy(out_, &checksum, kChecksumBytes);
    words_[delta::outLength / 4] = length;
  }

  uint32_t* words_ = nullptr;
  uint32_t* slots_ = nullptr;
  uint8_t* out_ = nullptr;
  uint8_t* columns_[layout::kDeltaColumns] = {};
  DeltaEntry* dictionary_ = nullptr;
  uint32_t* buckets_ = nullptr;
  uint32_t capacity_ = 0;
  uint32_t block_bytes_ = 0;
  uint32_t dictionary_capacity_ = 0;

  State state_;
  uint32_t row_count_ = 0;
  std::span<const uint8_t> previous_name_;
  std::span<const uint8_t> previous_profile_;
  bool has_previous_ = false;
};

}  // namespace hearsay::kernels
