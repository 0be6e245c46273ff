// Reader for the msgpack profile of memberlist (protocol §3.2). The other half of src/wire/msgpack.ts: both fail at the same
// byte with the same code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout.hpp"

namespace hearsay::msgpack {

inline uint32_t load_be16(const uint8_t* at) { return (uint32_t{at[0]} << 8) | at[1]; }

inline uint32_t load_be32(const uint8_t* at) {
  return (uint32_t{at[0]} << 24) | (uint32_t{at[1]} << 16) | (uint32_t{at[2]} << 8) | at[3];
}

enum class StructKind : uint8_t { nil, map, list };

/// Reads values from [pos, end) of a buffer. A method that cannot read its value sets `status` (a REJECT code) and answers
/// false; the caller must stop there.
class Reader {
 public:
  Reader(const uint8_t* bytes, uint32_t pos, uint32_t end) : bytes_(bytes), pos_(pos), end_(end) {}

  uint32_t pos() const { return pos_; }
  uint32_t status() const { return status_; }
  /// Content of the last text or byte field: its offset, and how many bytes it stands for.
  uint32_t start() const { return start_; }
  uint32_t length() const { return length_; }
  /// True when the last byte field was a list of integers: its content has to be unpacked.
  bool listed() const { return listed_; }

  bool fail(uint32_t status) {
    status_ = status;
    return false;
  }

  /// Header of a struct: a map, a list (elements in declaration order) or nil.
  bool open_struct(StructKind& kind, uint32_t& entries) {
    kind = StructKind::nil;
    entries = 0;
    uint8_t head = 0;
    if (!take(head)) return false;
    if (head == 0xc0) return true;
    if (head >= 0x80 && head <= 0x9f) {
      kind = head < 0x90 ? StructKind::map : StructKind::list;
      entries = head & 15;
      return true;
    }
    if (head < 0xdc || head > 0xdf) return fail(layout::reject::malformed);
    kind = head < 0xde ? StructKind::list : StructKind::map;
    return (head & 1) == 0 ? take_be(2, entries) : take_be(4, entries);
  }

  /// A string or map key: raw, str8 or bin; nil is the empty string.
  bool read_text() {
    listed_ = false;
    length_ = 0;
    start_ = pos_;
    uint8_t head = 0;
    if (!take(head)) return false;
    uint32_t length = 0;
    if ((head & 0xe0) == 0xa0) {
      length = head & 31;
    } else {
      switch (head) {
        case 0xc0:
          return true;
        case 0xc4:
        case 0xd9:
          if (!take_be(1, length)) return false;
          break;
        case 0xc5:
        case 0xda:
          if (!take_be(2, length)) return false;
          break;
        case 0xc6:
        case 0xdb:
          if (!take_be(4, length)) return false;
          break;
        default:
          return fail(layout::reject::malformed);
      }
    }
    if (end_ - pos_ < length) return fail(layout::reject::truncated);
    start_ = pos_;
    length_ = length;
    pos_ += length;
    return true;
  }

  /// A byte field: what read_text takes, or a list of integers 0..255.
  bool read_bytes() {
    if (pos_ >= end_) return read_text();
    const uint8_t head = bytes_[pos_];
    if ((head & 0xf0) != 0x90 && head != 0xdc && head != 0xdd) return read_text();
    listed_ = true;
    length_ = 0;
    pos_++;
    uint32_t count = head & 15;
    if (head >= 0xdc && !take_be(head == 0xdc ? 2 : 4, count)) return false;
    start_ = pos_;
    for (uint32_t i = 0; i < count; i++) {
      uint32_t element = 0;
      if (!read_uint(0xff, element)) return false;
    }
    length_ = count;
    return true;
  }

  /// Copies the elements of the last listed byte field, `length()` bytes. They were read once, so this cannot fail.
  void unpack(uint8_t* out) const {
    Reader again(bytes_, start_, pos_);
    for (uint32_t i = 0; i < length_; i++) {
      uint32_t element = 0;
      again.read_uint(0xff, element);
      out[i] = static_cast<uint8_t>(element);
    }
  }

  /// An integer in any form, 0..max; nil is 0.
  bool read_uint(uint32_t max, uint32_t& value) {
    value = 0;
    Integer integer;
    if (!read_integer(integer)) return false;
    if (integer.negative || integer.high != 0 || integer.low > max) return fail(layout::reject::malformed);
    value = integer.low;
    return true;
  }

  /// A 64-bit signed integer, answered as it is when it is 0..max, else as `other`; nil is 0.
  bool read_state(uint32_t max, uint32_t other, uint32_t& value) {
    value = 0;
    Integer integer;
    if (!read_integer(integer)) return false;
    if (!integer.negative && (integer.high >> 31) != 0) return fail(layout::reject::malformed);
    value = integer.negative || integer.high != 0 || integer.low > max ? other : integer.low;
    return true;
  }

  /// true, false, nil (false), or the small integers 0 and 1.
  bool read_bool(bool& value) {
    value = false;
    uint8_t head = 0;
    if (!take(head)) return false;
    if (head == 0xc3 || head == 1) {
      value = true;
      return true;
    }
    return head == 0xc2 || head == 0xc0 || head == 0 ? true : fail(layout::reject::malformed);
  }

  /// Passes over one value of any type, however deep: a counter of values, no recursion.
  bool skip() {
    uint64_t left = 1;
    while (left > 0) {
      if (pos_ >= end_) return fail(layout::reject::truncated);
      const uint8_t head = bytes_[pos_];
      const uint32_t header = header_bytes(head);
      if (header == 0) return fail(layout::reject::malformed);
      if (end_ - pos_ < header) return fail(layout::reject::truncated);
      const uint8_t* at = bytes_ + pos_ + 1;
      uint32_t payload = 0;
      uint64_t children = 0;
      if (head < 0xc0) {
        if (head >= 0xa0) {
          payload = head & 31;
        } else if (head >= 0x90) {
          children = head & 15;
        } else if (head >= 0x80) {
          children = uint64_t{2} * (head & 15);
        }
      } else {
        switch (head) {
          case 0xc4:
          case 0xc7:
          case 0xd9:
            payload = at[0];
            break;
          case 0xc5:
          case 0xc8:
          case 0xda:
            payload = load_be16(at);
            break;
          case 0xc6:
          case 0xc9:
          case 0xdb:
            payload = load_be32(at);
            break;
          case 0xdc:
            children = load_be16(at);
            break;
          case 0xdd:
            children = load_be32(at);
            break;
          case 0xde:
            children = uint64_t{2} * load_be16(at);
            break;
          case 0xdf:
            children = uint64_t{2} * load_be32(at);
            break;
          default:
            break;
        }
      }
      if (end_ - pos_ - header < payload) return fail(layout::reject::truncated);
      pos_ += header + payload;
      left += children;
      left--;
    }
    return true;
  }

 private:
  struct Integer {
    uint32_t high = 0;
    uint32_t low = 0;
    bool negative = false;
  };

  /// Bytes of the header by type byte (type, length, ext type, fixed-size payload); 0 for c1, which msgpack leaves undefined.
  static uint32_t header_bytes(uint8_t head) {
    static constexpr uint8_t kBytes[32] = {1, 0, 1, 1, 2, 3, 5, 3,  4,  6, 5, 9, 2, 3, 5, 9,
                                           2, 3, 5, 9, 3, 4, 6, 10, 18, 2, 3, 5, 3, 5, 3, 5};
    return head < 0xc0 || head >= 0xe0 ? 1 : kBytes[head - 0xc0];
  }

  bool take(uint8_t& byte) {
    if (pos_ >= end_) return fail(layout::reject::truncated);
    byte = bytes_[pos_++];
    return true;
  }

  /// Big-endian unsigned integer of 1, 2 or 4 bytes.
  bool take_be(uint32_t width, uint32_t& value) {
    if (end_ - pos_ < width) return fail(layout::reject::truncated);
    const uint8_t* at = bytes_ + pos_;
    value = width == 1 ? at[0] : width == 2 ? load_be16(at) : load_be32(at);
    pos_ += width;
    return true;
  }

  bool take_be64(Integer& integer) {
    if (end_ - pos_ < 8) return fail(layout::reject::truncated);
    integer.high = load_be32(bytes_ + pos_);
    integer.low = load_be32(bytes_ + pos_ + 4);
    pos_ += 8;
    return true;
  }

  bool read_integer(Integer& integer) {
    uint8_t head = 0;
    if (!take(head)) return false;
    if (head <= 0x7f) {
      integer.low = head;
      return true;
    }
    if (head >= 0xe0) {
      integer.negative = true;
      return true;
    }
    switch (head) {
      case 0xc0:
        return true;
      case 0xcc:
        return take_be(1, integer.low);
      case 0xcd:
        return take_be(2, integer.low);
      case 0xce:
        return take_be(4, integer.low);
      case 0xcf:
        return take_be64(integer);
      case 0xd0:
        if (!take_be(1, integer.low)) return false;
        integer.negative = (integer.low >> 7) != 0;
        return true;
      case 0xd1:
        if (!take_be(2, integer.low)) return false;
        integer.negative = (integer.low >> 15) != 0;
        return true;
      case 0xd2:
        if (!take_be(4, integer.low)) return false;
        integer.negative = (integer.low >> 31) != 0;
        return true;
      case 0xd3:
        if (!take_be64(integer)) return false;
        integer.negative = (integer.high >> 31) != 0;
        return true;
      default:
        return fail(layout::reject::malformed);
    }
  }

  const uint8_t* bytes_;
  uint32_t pos_;
  uint32_t end_;
  uint32_t status_ = layout::reject::none;
  uint32_t start_ = 0;
  uint32_t length_ = 0;
  bool listed_ = false;
};

}  // namespace hearsay::msgpack
