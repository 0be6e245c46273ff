// The records that a packet codec leaves in its arena, for kernels that read them (RECORD in src/kernels/layout.ts).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "layout.hpp"

namespace hearsay::kernels {

/// One decoded message in a codec's arena.
struct Record {
  uint8_t kind;
  uint8_t flags;
  uint16_t port;
  uint32_t packet;
  uint32_t number;
  uint32_t name_offset;
  uint32_t name_length;
  uint32_t from_offset;
  uint32_t from_length;
  uint32_t ip_offset;
  uint32_t ip_length;
  uint32_t data_offset;
  uint32_t data_length;
  uint8_t vsn[6];
  uint8_t vsn_length;
  uint8_t status;
  uint32_t source_ip_offset;
  uint8_t source_ip_length;
  uint8_t nack;
  uint16_t source_port;
  uint32_t ext;
};
static_assert(sizeof(Record) == layout::record::stride);
static_assert(offsetof(Record, port) == layout::record::port);
static_assert(offsetof(Record, number) == layout::record::number);
static_assert(offsetof(Record, name_offset) == layout::record::nameOffset);
static_assert(offsetof(Record, from_offset) == layout::record::fromOffset);
static_assert(offsetof(Record, ip_offset) == layout::record::ipOffset);
static_assert(offsetof(Record, data_offset) == layout::record::dataOffset);
static_assert(offsetof(Record, vsn) == layout::record::vsn);
static_assert(offsetof(Record, vsn_length) == layout::record::vsnLength);
static_assert(offsetof(Record, status) == layout::record::status);
static_assert(offsetof(Record, ext) == layout::record::ext);

/// The records of a codec's arena, for reading.
class RecordView {
 public:
  /// False when the bytes are not those of a codec.
  bool attach(const uint8_t* base, std::size_t length) {
    using namespace layout;
    if (length < codec::packetsOffset || reinterpret_cast<uintptr_t>(base) % 8 != 0) return false;
    if (load(base, header::magic) != kArenaMagic || load(base, header::kernelId) != kernel_id::packetCodec)
      return false;
    const uint64_t records = codec::packetsOffset + uint64_t{load(base, header::capacity)} * packet::stride;
    const uint64_t capacity = load(base, codec::recordCapacity);
    if (records + capacity * record::stride > length) return false;
    base_ = base;
    length_ = length;
    records_ = base + records;
    capacity_ = static_cast<uint32_t>(capacity);
    return true;
  }

  uint32_t capacity() const { return capacity_; }
  Record record(uint32_t index) const {
    Record value;
    std::memcpy(&value, records_ + std::size_t{index} * layout::record::stride, sizeof value);
    return value;
  }
  bool is_inside(uint32_t offset, uint32_t length) const { return uint64_t{offset} + length <= length_; }
  /// Of a range that is_inside().
  std::span<const uint8_t> bytes(uint32_t offset, uint32_t length) const { return {base_ + offset, length}; }

 private:
  static uint32_t load(const uint8_t* base, uint32_t offset) {
    uint32_t value = 0;
    std::memcpy(&value, base + offset, sizeof value);
    return value;
  }

  const uint8_t* base_ = nullptr;
  const uint8_t* records_ = nullptr;
  std::size_t length_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace hearsay::kernels
