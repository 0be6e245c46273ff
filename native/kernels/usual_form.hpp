// The shortcut of RecordDecoder for what memberlist and we ourselves always send: maps whose keys are complete and in byte order, integers
// and strings in the common forms (protocol §4.2). A message in any other form, and one that is wrong in any way, is left to the
// decoder that reads everything; so the shortcut never decides that something is refused, and both leave the same record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "layout.hpp"

namespace hearsay {

class UsualForm {
 public:
  UsualForm(const uint8_t* base, uint32_t at, uint32_t end) : base_(base), at_(base + at), end_(base + end) {}

  /// Where the body ended; after read() has answered true.
  uint32_t pos() const { return static_cast<uint32_t>(at_ - base_); }

  /// Reads a body into a zeroed record; false, and the record is untouched, when it has another form.
  bool read(uint32_t kind, uint8_t* target) {
    using namespace layout;
    switch (kind) {
      case message::pushPull:
        return read_member<true>(target);
      case message::alive:
        return read_member<false>(target);
      case message::suspect:
      case message::dead:
        return read_accusation(target);
      default:
        return false;
    }
  }

 private:
  struct Span {
    uint32_t offset;
    uint32_t length;
  };

  template <bool IsState>
  bool read_member(uint8_t* target) {
    using namespace layout;
    constexpr uint32_t kEntries = IsState ? 7 : 6;
    uint32_t head = 0;
    Span ip{};
    Span meta{};
    Span name{};
    uint32_t ext = 0;
    uint32_t incarnation = 0;
    uint32_t port = 0;
    uint32_t state = 0;
    if (!take(head) || (head != 0x80 + kEntries && head != 0x81 + kEntries)) return false;
    if (!key("Addr") || !take_raw(ip) || (ip.length != 4 && ip.length != 16)) return false;
    if (head == 0x81 + kEntries && (!key("Hs") || !take_uint(ext))) return false;
    if (!key("Incarnation") || !take_uint(incarnation)) return false;
    if (!key("Meta") || !take_meta(meta)) return false;
    if (!key(IsState ? "Name" : "Node") || !take_raw(name) || name.length == 0) return false;
    if (!key("Port") || !take_uint(port) || port > 0xffff) return false;
    if (IsState && (!key("State") || !take(state) || state > status::left)) return false;
    if (!key("Vsn") || !take(head) || head != 0xa0 + kVsnBytes || end_ - at_ < kVsnBytes) return false;
    set32(target, record::number, incarnation);
    set_span(target, record::nameOffset, name);
    set_span(target, record::ipOffset, ip);
    if (meta.length != 0) set_span(target, record::dataOffset, meta);
    target[record::port] = static_cast<uint8_t>(port);
    target[record::port + 1] = static_cast<uint8_t>(port >> 8);
    std::memcpy(target + record::vsn, at_, kVsnBytes);
    target[record::vsnLength] = kVsnBytes;
    target[record::status] = static_cast<uint8_t>(state);
    set32(target, record::ext, ext);
    at_ += kVsnBytes;
    return true;
  }

  bool read_accusation(uint8_t* target) {
    using namespace layout;
    uint32_t head = 0;
    Span from{};
    Span name{};
    uint32_t incarnation = 0;
    if (!take(head) || head != 0x83) return false;
    if (!key("From") || !take_raw(from) || from.length == 0) return false;
    if (!key("Incarnation") || !take_uint(incarnation)) return false;
    if (!key("Node") || !take_raw(name) || name.length == 0) return false;
    set32(target, record::number, incarnation);
    set_span(target, record::nameOffset, name);
    set_span(target, record::fromOffset, from);
    return true;
  }

  static constexpr uint32_t kVsnBytes = 6;

  static void set32(uint8_t* target, uint32_t offset, uint32_t value) { std::memcpy(target + offset, &value, 4); }
  static void set_span(uint8_t* target, uint32_t offset, Span span) {
    std::memcpy(target + offset, &span, sizeof span);
  }

  bool take(uint32_t& byte) {
    if (at_ == end_) return false;
    byte = *at_++;
    return true;
  }

  /// Passes over this map key.
  template <std::size_t Size>
  bool key(const char (&text)[Size]) {
    constexpr std::ptrdiff_t kLength = Size - 1;
    if (end_ - at_ <= kLength || *at_ != 0xa0 + kLength || std::memcmp(at_ + 1, text, kLength) != 0) return false;
    at_ += 1 + kLength;
    return true;
  }

  bool take_uint(uint32_t& value) {
    uint32_t head = 0;
    if (!take(head)) return false;
    if (head < 0x80) {
      value = head;
      return true;
    }
    if (head < 0xcc || head > 0xce) return false;
    const std::ptrdiff_t width = std::ptrdiff_t{1} << (head - 0xcc);
    if (end_ - at_ < width) return false;
    value = 0;
    for (std::ptrdiff_t i = 0; i < width; i++) value = (value << 8) | at_[i];
    at_ += width;
    return true;
  }

  /// Up to 31 bytes.
  bool take_raw(Span& span) {
    uint32_t head = 0;
    if (!take(head) || (head & 0xe0) != 0xa0) return false;
    return take_content(span, head & 31);
  }

  /// Metadata: none, up to 31 bytes, or more of them.
  bool take_meta(Span& span) {
    if (at_ == end_) return false;
    if (*at_ == 0xc0) {
      at_++;
      return true;
    }
    if (*at_ != 0xda) return take_raw(span);
    if (end_ - at_ < 3) return false;
    const uint32_t length = (uint32_t{at_[1]} << 8) | at_[2];
    at_ += 3;
    return length <= layout::kMetaBytesMax && take_content(span, length);
  }

  bool take_content(Span& span, uint32_t length) {
    if (end_ - at_ < static_cast<std::ptrdiff_t>(length)) return false;
    span.offset = static_cast<uint32_t>(at_ - base_);
    span.length = length;
    at_ += length;
    return true;
  }

  const uint8_t* base_;
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace hearsay
