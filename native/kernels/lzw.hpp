// The LZW variant of protocol §6.2: literal width 8, least significant bit first, codes of 9 to 12 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hearsay {

enum class LzwResult : uint8_t { ok, corrupt, oversized };

/// Decoder. A string of the table is a stretch of the output already written, so an entry is an offset and a length.
class LzwDecoder {
 public:
  /// Decodes `source` into `out`. `written` counts the bytes put into `out`, also when decoding fails.
  LzwResult decode(const uint8_t* source, std::size_t length, uint8_t* out, std::size_t capacity,
                   std::size_t& written) {
    uint32_t bits = 0;
    uint32_t bit_count = 0;
    uint32_t width = 9;
    uint32_t high = kFirstHigh;
    bool has_previous = false;
    uint32_t previous_at = 0;
    uint32_t previous_length = 0;
    std::size_t in = 0;
    std::size_t at = 0;
    written = 0;
    for (;;) {
      while (bit_count < width) {
        if (in >= length) return LzwResult::corrupt;
        bits |= static_cast<uint32_t>(source[in++]) << bit_count;
        bit_count += 8;
      }
      const uint32_t code = bits & ((1u << width) - 1);
      bits >>= width;
      bit_count -= width;
      if (code == kClear) {
        width = 9;
        high = kFirstHigh;
        has_previous = false;
        continue;
      }
      if (code == kEnd) return LzwResult::ok;
      if (code > high) return LzwResult::corrupt;

      const auto start = static_cast<uint32_t>(at);
      uint32_t size = 1;
      if (code < 256) {
        if (at >= capacity) return LzwResult::oversized;
        out[at] = static_cast<uint8_t>(code);
      } else {
        const bool is_new = code == high && has_previous;
        const uint32_t from = is_new ? previous_at : offsets_[code];
        size = is_new ? previous_length + 1 : lengths_[code];
        if (size > capacity - at) return LzwResult::oversized;
        copy_forward(out + at, out + from, size);
      }
      at += size;
      written = at;
      if (has_previous) {
        // The new string is the previous one and the byte that follows it in the output: the first of this one.
        offsets_[high] = previous_at;
        lengths_[high] = previous_length + 1;
      }
      previous_at = start;
      previous_length = size;
      has_previous = true;
      high++;
      if (high == (1u << width)) {
        if (width == kWidthMax) {
          has_previous = false;
          high--;
        } else {
          width++;
        }
      }
    }
  }

 private:
  static constexpr uint32_t kClear = 256;
  static constexpr uint32_t kEnd = 257;
  static constexpr uint32_t kFirstHigh = 257;
  static constexpr uint32_t kWidthMax = 12;

  /// Copies so that bytes written early are read again when the stretches overlap.
  static void copy_forward(uint8_t* to, const uint8_t* from, uint32_t size) {
    if (static_cast<std::size_t>(to - from) >= size) {
      std::memcpy(to, from, size);
      return;
    }
    for (uint32_t i = 0; i < size; i++) to[i] = from[i];
  }

  uint32_t offsets_[1u << kWidthMax] = {};
  uint32_t lengths_[1u << kWidthMax] = {};
};

/// Encoder, byte for byte the reference's: clear code first, width grows when the code space is full.
class LzwEncoder {
 public:
  /// Encodes `source` into `out`; the length, or -1 as soon as it would not be below `capacity`.
  int64_t encode(const uint8_t* source, std::size_t length, uint8_t* out, std::size_t capacity) {
    out_ = out;
    room_ = capacity;
    at_ = 0;
    bits_ = 0;
    bit_count_ = 0;
    width_ = 9;
    high_ = kFirstHigh;
    choose_table(length);
    if (!emit(kClear)) return -1;
    if (length > 0) {
      uint32_t current = source[0];
      for (std::size_t i = 1; i < length; i++) {
        const uint32_t key = (current << 8) | source[i];
        uint32_t slot = hash(key);
        uint32_t entry = table_[slot];
        while (entry != 0 && (entry >> 12) != key) {
          slot = (slot + 1) & mask_;
          entry = table_[slot];
        }
        if (entry != 0) {
          current = entry & 0xfff;
          continue;
        }
        bool cleared = false;
        if (!emit(current) || !advance(cleared)) return -1;
        if (!cleared) table_[slot] = (key << 12) | high_;
        current = source[i];
      }
      bool cleared = false;
      if (!emit(current) || !advance(cleared)) return -1;
    }
    if (!emit(kEnd)) return -1;
    if (bit_count_ > 0 && !put(static_cast<uint8_t>(bits_))) return -1;
    return static_cast<int64_t>(at_);
  }

 private:
  static constexpr uint32_t kClear = 256;
  static constexpr uint32_t kEnd = 257;
  static constexpr uint32_t kFirstHigh = 257;
  static constexpr uint32_t kHighMax = 4095;
  static constexpr uint32_t kTableBits = 13;

  uint32_t hash(uint32_t key) const { return (key * 0x9e3779b1u) >> shift_; }

  /// A short input fills few entries, so it gets a table that is quick to clear. At most half full.
  void choose_table(std::size_t length) {
    uint32_t size_bits = 8;
    while (size_bits < kTableBits && (std::size_t{1} << size_bits) < 2 * length) size_bits++;
    mask_ = (1u << size_bits) - 1;
    shift_ = 32 - size_bits;
    clear_table();
  }

  // An entry is never 0: codes start at 258.
  void clear_table() { std::memset(table_, 0, (std::size_t{mask_} + 1) * sizeof(uint32_t)); }

  bool put(uint8_t byte) {
    if (at_ + 1 >= room_) return false;
    out_[at_++] = byte;
    return true;
  }

  bool emit(uint32_t code) {
    bits_ |= code << bit_count_;
    bit_count_ += width_;
    while (bit_count_ >= 8) {
      if (!put(static_cast<uint8_t>(bits_))) return false;
      bits_ >>= 8;
      bit_count_ -= 8;
    }
    return true;
  }

  /// Assigns the next code; starts over when they are used up.
  bool advance(bool& cleared) {
    high_++;
    if (high_ == (1u << width_)) width_++;
    if (high_ != kHighMax) return true;
    if (!emit(kClear)) return false;
    width_ = 9;
    high_ = kFirstHigh;
    clear_table();
    cleared = true;
    return true;
  }

  uint8_t* out_ = nullptr;
  std::size_t room_ = 0;
  std::size_t at_ = 0;
  uint32_t bits_ = 0;
  uint32_t bit_count_ = 0;
  uint32_t width_ = 9;
  uint32_t high_ = kFirstHigh;
  uint32_t mask_ = 0;
  uint32_t shift_ = 0;
  uint32_t table_[1u << kTableBits] = {};
};

}  // namespace hearsay
