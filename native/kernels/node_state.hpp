// One member as a push/pull node state (protocol §3.1, §4.2). The twin and specification is src/kernels/js/node-state.ts.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "layout.hpp"
#include "member_rows.hpp"
#include "profile_draft.hpp"

namespace hearsay::kernels {

/// Counts bytes instead of writing them.
class SizeSink {
 public:
  void byte(uint32_t) { size_++; }
  void bytes(const void*, std::size_t length) { size_ += length; }
  uint64_t size() const { return size_; }

 private:
  uint64_t size_ = 0;
};

/// Writes where a SizeSink has counted that there is room.
class ByteSink {
 public:
  explicit ByteSink(uint8_t* to) : to_(to) {}
  void byte(uint32_t value) { *to_++ = static_cast<uint8_t>(value); }
  void bytes(const void* from, std::size_t length) {
    if (length > 0) std::memcpy(to_, from, length);
    to_ += length;
  }

 private:
  uint8_t* to_;
};

template <typename Sink>
class NodeStateWriter {
 public:
  explicit NodeStateWriter(Sink& sink) : sink_(sink) {}

  /// Keys in byte order.
  void write(const Row& row, std::span<const uint8_t> name, const Profile& profile) {
    sink_.byte(0x80 + (row.ext != 0 ? 8 : 7));
    key("Addr");
    raw(profile.ip);
    if (row.ext != 0) {
      key(layout::kExtKey);
      unsigned_integer(row.ext);
    }
    key("Incarnation");
    unsigned_integer(row.incarnation);
    key("Meta");
    if (profile.meta.empty()) {
      sink_.byte(0xc0);
    } else {
      raw(profile.meta);
    }
    key("Name");
    raw(name);
    key("Port");
    unsigned_integer(profile.port);
    key("State");
    sink_.byte(row.status);
    key("Vsn");
    raw(profile.vsn);
  }

 private:
  void key(std::string_view text) {
    sink_.byte(0xa0 + static_cast<uint32_t>(text.size()));
    sink_.bytes(text.data(), text.size());
  }

  void raw(std::span<const uint8_t> value) {
    const auto length = static_cast<uint32_t>(value.size());
    if (length < 32) {
      sink_.byte(0xa0 + length);
    } else {
      sink_.byte(0xda);
      sink_.byte(length >> 8);
      sink_.byte(length & 255);
    }
    sink_.bytes(value.data(), length);
  }

  void unsigned_integer(uint32_t value) {
    if (value < 128) {
      sink_.byte(value);
    } else if (value < 256) {
      sink_.byte(0xcc);
      sink_.byte(value);
    } else if (value < 65536) {
      sink_.byte(0xcd);
      sink_.byte(value >> 8);
      sink_.byte(value & 255);
    } else {
      sink_.byte(0xce);
      sink_.byte(value >> 24);
      sink_.byte((value >> 16) & 255);
      sink_.byte((value >> 8) & 255);
      sink_.byte(value & 255);
    }
  }

  Sink& sink_;
};

}  // namespace hearsay::kernels
