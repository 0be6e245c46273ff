// Reads a block of delta into the records of a codec. The twin and specification is src/kernels/js/delta-reader.ts.
// A block is used whole or not at all; every offset and length is checked before it is used.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hash64.hpp"
#include "layout.hpp"
#include "record_view.hpp"

namespace hearsay::kernels {

/// A string that a later row may refer to.
struct DeltaEntry {
  uint32_t offset;
  uint32_t length;
};
static_assert(sizeof(DeltaEntry) == layout::delta_entry::stride);
static_assert(offsetof(DeltaEntry, length) == layout::delta_entry::length);

/// The sections of a codec's arena, for writing records.
struct CodecView {
  uint8_t* base = nullptr;
  uint32_t records = 0;
  uint32_t record_capacity = 0;
  uint32_t inbox = 0;
  uint32_t inbox_bytes = 0;
  uint32_t scratch = 0;
  uint32_t scratch_bytes = 0;

  /// False when the bytes are not those of a codec.
  bool attach(uint8_t* at, std::size_t length) {
    using namespace layout;
    if (length < codec::packetsOffset || length > 0x7fffffff || reinterpret_cast<uintptr_t>(at) % 8 != 0) return false;
    base = at;
    if (word(header::magic) != kArenaMagic || word(header::kernelId) != kernel_id::packetCodec) return false;
    const uint64_t records_at = codec::packetsOffset + uint64_t{word(header::capacity)} * packet::stride;
    const uint64_t inbox_at = records_at + uint64_t{word(codec::recordCapacity)} * record::stride;
    const uint64_t scratch_at = align8(inbox_at + word(codec::inboxBytes));
    if (align8(scratch_at + word(codec::scratchBytes)) > length) return false;
    records = static_cast<uint32_t>(records_at);
    record_capacity = word(codec::recordCapacity);
    inbox = static_cast<uint32_t>(inbox_at);
    inbox_bytes = word(codec::inboxBytes);
    scratch = static_cast<uint32_t>(scratch_at);
    scratch_bytes = word(codec::scratchBytes);
    return true;
  }

  uint32_t word(uint32_t offset) const {
    uint32_t value = 0;
    std::memcpy(&value, base + offset, sizeof value);
    return value;
  }
  void set_word(uint32_t offset, uint32_t value) const { std::memcpy(base + offset, &value, sizeof value); }
};

class DeltaReader {
 public:
  DeltaReader(const CodecView& codec, DeltaEntry* dictionary, uint32_t dictionary_capacity)
      : codec_(codec), base_(codec.base), dictionary_(dictionary), dictionary_capacity_(dictionary_capacity) {}

  /// from + length is at most the inbox; number of records, or -REJECT.
  int32_t read(uint32_t from, uint32_t length) {
    using namespace layout;
    clear();
    const uint32_t start = codec_.inbox + from;
    if (length < kChecksumBytes + 2 + kDeltaColumns) return -static_cast<int32_t>(reject::truncated);
    if (length > kDeltaBlockBytesMax) return -static_cast<int32_t>(reject::oversized);
    const uint64_t hash = xxh3_64(base_ + start + kChecksumBytes, length - kChecksumBytes, 0);
    if (codec_.word(start) != static_cast<uint32_t>(hash)) return -static_cast<int32_t>(reject::crcMismatch);

    scratch_ = codec_.scratch;
    name_ = codec_.scratch;
    const uint32_t rows = open(start + kChecksumBytes, start + length);
    if (failed_ != 0) return -static_cast<int32_t>(failed_);
    const uint32_t text_bytes = scratch_end_;
    if (rows > codec_.record_capacity || text_bytes > codec_.scratch_bytes) {
      return -static_cast<int32_t>(reject::oversized);
    }
    scratch_end_ = codec_.scratch + text_bytes;
    uint32_t done = 0;
    while (done < rows && failed_ == 0) {
      read_row(codec_.records + done * record::stride);
      done++;
    }
    for (uint32_t i = 0; i < kDeltaColumns; i++) {
      if (at_[i] != ends_[i]) fail(reject::malformed);
    }
    if (scratch_ != scratch_end_) fail(reject::malformed);
    if (failed_ != 0) {
      std::memset(base_ + codec_.records, 0, std::size_t{done} * record::stride);
      std::memset(base_ + codec_.scratch, 0, scratch_ - codec_.scratch);
      return -static_cast<int32_t>(failed_);
    }
    codec_.set_word(codec::recordCount, rows);
    codec_.set_word(codec::scratchTop, text_bytes);
    return static_cast<int32_t>(rows);
  }

 private:
  static constexpr uint32_t kChecksumBytes = 4;
  static constexpr uint32_t kVsn = 6;
  static constexpr uint32_t kHead = layout::kDeltaColumns;

  /// Zeroes what the call before used, as every indexing does.
  void clear() {
    using namespace layout;
    const uint32_t used = std::min(codec_.word(codec::recordCount), codec_.record_capacity);
    std::memset(base_ + codec_.records, 0, std::size_t{used} * record::stride);
    std::memset(base_ + codec_.scratch, 0, std::min(codec_.word(codec::scratchTop), codec_.scratch_bytes));
    codec_.set_word(codec::recordCount, 0);
    codec_.set_word(codec::scratchTop, 0);
    codec_.set_word(codec::skippedParts, 0);
  }

  /// The head: number of rows, bytes of names and addresses (left in scratch_end_), where the columns lie.
  uint32_t open(uint32_t start, uint32_t end) {
    using namespace layout;
    at_[kHead] = start;
    ends_[kHead] = end;
    const uint32_t rows = varint(kHead);
    scratch_end_ = varint(kHead);
    uint64_t total = 0;
    for (uint32_t i = 0; i < kDeltaColumns; i++) {
      ends_[i] = varint(kHead);
      total += ends_[i];
    }
    uint32_t at = at_[kHead];
    if (failed_ == 0 && total != end - at) fail(reject::truncated);
    if (failed_ == 0 && ends_[delta_column::flags] != rows) fail(reject::malformed);
    if (failed_ != 0) return 0;
    for (uint32_t i = 0; i < kDeltaColumns; i++) {
      at_[i] = at;
      at += ends_[i];
      ends_[i] = at;
    }
    return rows;
  }

  void read_row(uint32_t at) {
    using namespace layout;
    const uint32_t flags = byte(delta_column::flags);
    const uint32_t status = flags & delta_flag::status;
    read_name();
    Record record{};
    record.number = varint(delta_column::numbers);
    record.kind = message::pushPull;
    record.status = static_cast<uint8_t>(status);
    record.name_offset = name_;
    record.name_length = name_length_;
    if (status != status::alive) {
      if (flags != status) fail(reject::fieldInvalid);
    } else {
      if ((flags & delta_flag::ext) != 0) record.ext = varint(delta_column::numbers);
      read_address(flags);
      read_strings(flags);
      if (failed_ == 0) {
        record.port = static_cast<uint16_t>(port_);
        record.ip_offset = ip_;
        record.ip_length = ip_length_;
        record.data_offset = meta_length_ == 0 ? 0 : meta_;
        record.data_length = meta_length_;
        std::memcpy(record.vsn, base_ + vsn_, kVsn);
        record.vsn_length = kVsn;
      }
    }
    std::memcpy(base_ + at, &record, sizeof record);
  }

  void read_name() {
    using namespace layout;
    const uint32_t shared = varint(delta_column::names);
    const uint32_t own = varint(delta_column::names);
    const uint64_t length = uint64_t{shared} + own;
    if (shared > name_length_) fail(reject::malformed);
    if (length == 0 || length > kNameBytesMax) fail(reject::fieldInvalid);
    const uint32_t name = reserve(length);
    if (failed_ == 0) std::memcpy(base_ + name, base_ + name_, shared);
    copy(delta_column::names, name + shared, own);
    name_ = name;
    name_length_ = static_cast<uint32_t>(length);
  }

  void read_address(uint32_t flags) {
    using namespace layout;
    const uint32_t length = (flags & delta_flag::ip16) != 0 ? 16 : 4;
    const bool same_family = ip_length_ == length;
    const uint32_t ip = reserve(length);
    if ((flags & delta_flag::sameIp) != 0) {
      if (!same_family) fail(reject::fieldInvalid);
      if (failed_ == 0) std::memcpy(base_ + ip, base_ + ip_, length);
    } else {
      const uint32_t shared = byte(delta_column::addresses);
      if (shared >= length || (shared > 0 && !same_family)) fail(reject::fieldInvalid);
      if (failed_ == 0) std::memcpy(base_ + ip, base_ + ip_, shared);
      copy(delta_column::addresses, ip + shared, length - shared);
    }
    if ((flags & delta_flag::samePort) == 0) {
      port_ = byte(delta_column::addresses) << 8;
      port_ |= byte(delta_column::addresses);
    }
    ip_ = ip;
    ip_length_ = length;
  }

  void read_strings(uint32_t flags) {
    using namespace layout;
    if ((flags & delta_flag::sameVsn) == 0) {
      read_string();
      if (string_.length != kVsn) fail(reject::fieldInvalid);
      vsn_ = string_.offset;
    }
    if ((flags & delta_flag::sameMeta) == 0) {
      read_string();
      if (string_.length > kMetaBytesMax) fail(reject::fieldInvalid);
      meta_ = string_.offset;
      meta_length_ = string_.length;
    }
    // The first alive row has no versions before it.
    if (vsn_ == 0) fail(reject::fieldInvalid);
  }

  void read_string() {
    using namespace layout;
    const uint32_t number = varint(delta_column::strings);
    if (number > 0) {
      if (number > dictionary_count_) {
        fail(reject::malformed);
        return;
      }
      string_ = dictionary_[number - 1];
      return;
    }
    const uint32_t length = varint(delta_column::strings);
    const uint32_t at = at_[delta_column::strings];
    if (length > ends_[delta_column::strings] - at) fail(reject::truncated);
    if (failed_ != 0) return;
    at_[delta_column::strings] = at + length;
    string_ = {at, length};
    if (dictionary_count_ < dictionary_capacity_) dictionary_[dictionary_count_++] = string_;
  }

  /// Room in the scratch.
  uint32_t reserve(uint64_t length) {
    const uint32_t at = scratch_;
    if (failed_ == 0 && length > scratch_end_ - at) fail(layout::reject::malformed);
    if (failed_ == 0) scratch_ = at + static_cast<uint32_t>(length);
    return at;
  }

  void copy(uint32_t column, uint32_t to, uint32_t length) {
    const uint32_t at = at_[column];
    if (failed_ == 0 && length > ends_[column] - at) fail(layout::reject::truncated);
    if (failed_ != 0) return;
    std::memcpy(base_ + to, base_ + at, length);
    at_[column] = at + length;
  }

  uint32_t byte(uint32_t column) {
    if (failed_ != 0 || at_[column] >= ends_[column]) {
      fail(layout::reject::truncated);
      return 0;
    }
    return base_[at_[column]++];
  }

  /// At most 32 bits.
  uint32_t varint(uint32_t column) {
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < 35; shift += 7) {
      const uint32_t next = byte(column);
      if (shift == 28 && next > 15) break;
      value |= (next & 127) << shift;
      if (next < 128) return value;
    }
    fail(layout::reject::malformed);
    return 0;
  }

  /// The first failure counts.
  void fail(uint32_t code) {
    if (failed_ == 0) failed_ = code;
  }

  const CodecView codec_;
  uint8_t* const base_;
  /// Written and read during one read() only: what an entry holds was checked when it was made.
  DeltaEntry* const dictionary_;
  const uint32_t dictionary_capacity_;
  uint32_t dictionary_count_ = 0;
  uint32_t failed_ = 0;
  uint32_t at_[layout::kDeltaColumns + 1] = {};
  uint32_t ends_[layout::kDeltaColumns + 1] = {};
  uint32_t scratch_ = 0;
  uint32_t scratch_end_ = 0;
  uint32_t name_ = 0;
  uint32_t name_length_ = 0;
  uint32_t ip_ = 0;
  uint32_t ip_length_ = 0;
  uint32_t port_ = 0;
  uint32_t vsn_ = 0;
  uint32_t meta_ = 0;
  uint32_t meta_length_ = 0;
  DeltaEntry string_{};
};

}  // namespace hearsay::kernels
