// Validates datagrams and push/pull bodies and lists their messages as fixed records (PacketCodec in
// src/kernels/contract.ts). The twin and specification is src/kernels/js/packet-codec.ts.
//
// Section offsets and sizes are taken from the header once, at attach. Everything else read from the arena may be anything:
// packet descriptors and counters are checked against those sections at each use.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "crc32.hpp"
#include "layout.hpp"
#include "lzw.hpp"
#include "msgpack.hpp"
#include "record_decoder.hpp"

namespace hearsay::kernels {

class PacketCodec {
 public:
  /// Takes an arena of `length` bytes whose header was checked. False, and nothing changed, when its sections do not fit.
  bool attach(uint8_t* base, std::size_t length) {
    using namespace layout;
    if (length < codec::packetsOffset || length > 0x7fffffff) return false;
    const uint64_t packet_capacity = load(base, header::capacity);
    const uint64_t record_capacity = load(base, codec::recordCapacity);
    const uint64_t inbox_bytes = load(base, codec::inboxBytes);
    const uint64_t scratch_bytes = load(base, codec::scratchBytes);
    const uint64_t records = codec::packetsOffset + packet_capacity * packet::stride;
    const uint64_t inbox = records + record_capacity * record::stride;
    const uint64_t scratch = align8(inbox + inbox_bytes);
    if (align8(scratch + scratch_bytes) > length) return false;
    base_ = base;
    packet_capacity_ = static_cast<uint32_t>(packet_capacity);
    record_capacity_ = static_cast<uint32_t>(record_capacity);
    records_ = static_cast<uint32_t>(records);
    inbox_ = static_cast<uint32_t>(inbox);
    inbox_bytes_ = static_cast<uint32_t>(inbox_bytes);
    scratch_ = static_cast<uint32_t>(scratch);
    scratch_bytes_ = static_cast<uint32_t>(scratch_bytes);
    decoder_.attach(base, scratch_ + scratch_bytes_);
    return true;
  }

  uint32_t packet_capacity() const { return packet_capacity_; }
  uint32_t inbox_bytes() const { return inbox_bytes_; }

  /// Reads `count` datagrams, at most packet_capacity(); the number of records.
  uint32_t index(uint32_t count) {
    using namespace layout;
    begin();
    count = std::min(count, packet_capacity_);
    for (uint32_t i = 0; i < count; i++) {
      packet_ = i;
      const uint32_t first_record = record_count_;
      const uint32_t first_scratch = decoder_.scratch_top;
      const uint32_t first_skipped = skipped_parts_;
      const uint32_t at = codec::packetsOffset + i * packet::stride;
      const uint32_t code = open(load(base_, at + packet::offset), load(base_, at + packet::length));
      if (code != reject::none) {
        take_back(first_record, first_scratch);
        skipped_parts_ = first_skipped;
      }
      store(at + packet::result, 0u - code);
      store(at + packet::firstRecord, first_record);
      store(at + packet::recordCount, record_count_ - first_record);
    }
    finish();
    return record_count_;
  }

  /// Reads `nodes` node states from the inbox; the relative offset behind the last one, or -REJECT.
  int32_t index_state(uint32_t from, uint32_t nodes) {
    using namespace layout;
    begin();
    packet_ = 0;
    const uint32_t top = std::min(load(base_, codec::inboxTop), inbox_bytes_);
    uint32_t code = reject::none;
    if (nodes > record_capacity_) {
      code = reject::oversized;
    } else if (from > top) {
      code = reject::truncated;
    }
    uint32_t at = inbox_ + std::min(from, top);
    for (uint32_t i = 0; i < nodes && code == reject::none; i++) {
      code = add_record(message::pushPull, at, inbox_ + top);
      at = decoder_.pos;
      const uint8_t* record = base_ + records_ + std::size_t{i} * record::stride;
      if (code == reject::none && record[record::flags] == record_flag::refused) skipped_parts_++;
    }
    if (code != reject::none) take_back(0, scratch_);
    finish();
    return code == reject::none ? static_cast<int32_t>(at - inbox_) : -static_cast<int32_t>(code);
  }

  /// LZW-decodes; the length, or -REJECT.
  int64_t decompress(const uint8_t* source, std::size_t length, uint8_t* out, std::size_t capacity) {
    std::size_t written = 0;
    switch (lzw_decoder_.decode(source, length, out, std::min(capacity, kOutputMax), written)) {
      case LzwResult::ok:
        return static_cast<int64_t>(written);
      case LzwResult::oversized:
        return -int64_t{layout::reject::oversized};
      case LzwResult::corrupt:
        break;
    }
    return -int64_t{layout::reject::lzwCorrupt};
  }

  /// LZW-encodes; the length, or -1 when it would not be below `capacity`.
  int64_t compress(const uint8_t* source, std::size_t length, uint8_t* out, std::size_t capacity) {
    return lzw_encoder_.encode(source, length, out, capacity);
  }

 private:
  static constexpr std::size_t kOutputMax = 0x7fffffff;

  static uint32_t load(const uint8_t* base, uint32_t offset) {
    uint32_t value = 0;
    std::memcpy(&value, base + offset, 4);
    return value;
  }
  void store(uint32_t offset, uint32_t value) { std::memcpy(base_ + offset, &value, 4); }

  /// Zeroes what the last call used, so that unused records and scratch are zero at all times.
  void begin() {
    using namespace layout;
    const uint32_t records = std::min(load(base_, codec::recordCount), record_capacity_);
    std::memset(base_ + records_, 0, std::size_t{records} * record::stride);
    std::memset(base_ + scratch_, 0, std::min(load(base_, codec::scratchTop), scratch_bytes_));
    record_count_ = 0;
    skipped_parts_ = 0;
    decoder_.scratch_top = scratch_;
  }

  void finish() {
    using namespace layout;
    store(codec::recordCount, record_count_);
    store(codec::scratchTop, decoder_.scratch_top - scratch_);
    store(codec::skippedParts, skipped_parts_);
  }

  void take_back(uint32_t first_record, uint32_t first_scratch) {
    const std::size_t stride = layout::record::stride;
    std::memset(base_ + records_ + first_record * stride, 0, (record_count_ - first_record) * stride);
    std::memset(base_ + first_scratch, 0, decoder_.scratch_top - first_scratch);
    record_count_ = first_record;
    decoder_.scratch_top = first_scratch;
  }

  /// One datagram: the outermost layer, then dispatch.
  uint32_t open(uint32_t offset, uint32_t length) {
    using namespace layout;
    if (length == 0) return reject::empty;
    if (offset < inbox_ || uint64_t{offset} + length > uint64_t{inbox_} + inbox_bytes_) return reject::truncated;
    const uint32_t end = offset + length;
    if (length < 5 || base_[offset] != message::hasCrc) return dispatch(offset, end, 0, false);
    if (crc32(base_ + offset + 5, length - 5) != msgpack::load_be32(base_ + offset + 1)) return reject::crcMismatch;
    return dispatch(offset + 5, end, 0, false);
  }

  /// One message with its type byte, at [at, end). `depth` counts the compounds and compressions around it, so the recursion
  /// is at most kNestingMax deep.
  uint32_t dispatch(uint32_t at, uint32_t end, uint32_t depth, bool in_compound) {
    using namespace layout;
    if (at >= end) return reject::empty;
    const uint32_t kind = base_[at];
    switch (kind) {
      case message::ping:
      case message::indirectPing:
      case message::ack:
      case message::suspect:
      case message::alive:
      case message::dead:
      case message::nack:
        return add_record(kind, at + 1, end);
      case message::user:
      case message::rumor:
      case message::average:
      case message::state:
        return add_data(kind, at + 1, end);
      case message::compound:
        return depth == kNestingMax ? reject::nestedTooDeep : open_compound(at + 1, end, depth + 1);
      case message::compress:
        return depth == kNestingMax ? reject::nestedTooDeep : open_compress(at + 1, end, depth + 1, in_compound);
      default:
        if (!in_compound) return reject::unknownType;
        skipped_parts_++;
        return reject::none;
    }
  }

  uint32_t open_compound(uint32_t at, uint32_t end, uint32_t depth) {
    using namespace layout;
    if (at >= end) return reject::truncated;
    const uint32_t count = base_[at];
    const uint32_t lengths = at + 1;
    if (2 * count > end - lengths) return reject::truncated;
    uint32_t part = lengths + 2 * count;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t length = msgpack::load_be16(base_ + lengths + 2 * i);
      if (length > end - part) return reject::truncated;
      const uint32_t code = dispatch(part, part + length, depth, true);
      if (code != reject::none) return code;
      part += length;
    }
    return reject::none;
  }

  uint32_t open_compress(uint32_t at, uint32_t end, uint32_t depth, bool in_compound) {
    using namespace layout;
    const uint32_t code = decoder_.decode(message::compress, at, end, nullptr);
    if (code != reject::none) return code;
    if (decoder_.algo != 0) return reject::fieldInvalid;
    const uint32_t start = decoder_.scratch_top;
    const uint32_t room = scratch_ + scratch_bytes_ - start;
    std::size_t written = 0;
    const LzwResult result =
        lzw_decoder_.decode(base_ + decoder_.buf_offset, decoder_.buf_length, base_ + start, room, written);
    // Also after a failure: take_back then zeroes what was written.
    decoder_.scratch_top = start + static_cast<uint32_t>(written);
    if (result != LzwResult::ok) return result == LzwResult::oversized ? reject::oversized : reject::lzwCorrupt;
    return dispatch(start, decoder_.scratch_top, depth, in_compound);
  }

  uint32_t add_record(uint32_t kind, uint32_t at, uint32_t end) {
    uint8_t* target = new_record(kind);
    return target == nullptr ? layout::reject::oversized : decoder_.decode(kind, at, end, target);
  }

  uint32_t add_data(uint32_t kind, uint32_t at, uint32_t end) {
    using namespace layout;
    uint8_t* target = new_record(kind);
    if (target == nullptr) return reject::oversized;
    const auto record = static_cast<uint32_t>(target - base_);
    store(record + record::dataOffset, at == end ? 0 : at);
    store(record + record::dataLength, end - at);
    return reject::none;
  }

  /// A zeroed record with kind and packet number, or null when there is no room.
  uint8_t* new_record(uint32_t kind) {
    if (record_count_ == record_capacity_) return nullptr;
    uint8_t* target = base_ + records_ + std::size_t{record_count_} * layout::record::stride;
    record_count_++;
    target[layout::record::kind] = static_cast<uint8_t>(kind);
    std::memcpy(target + layout::record::packet, &packet_, 4);
    return target;
  }

  uint8_t* base_ = nullptr;
  uint32_t packet_capacity_ = 0;
  uint32_t record_capacity_ = 0;
  uint32_t records_ = 0;
  uint32_t inbox_ = 0;
  uint32_t inbox_bytes_ = 0;
  uint32_t scratch_ = 0;
  uint32_t scratch_bytes_ = 0;

  uint32_t packet_ = 0;
  uint32_t record_count_ = 0;
  uint32_t skipped_parts_ = 0;
  RecordDecoder decoder_;
  LzwDecoder lzw_decoder_;
  LzwEncoder lzw_encoder_;
};

}  // namespace hearsay::kernels
