// Reads one msgpack body (protocol §4.2) into one record of the codec's arena. The other half of
// src/kernels/js/record-decoder.ts: both fail at the same byte with the same code.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "layout.hpp"
#include "msgpack.hpp"
#include "usual_form.hpp"

namespace hearsay {

static_assert(std::endian::native == std::endian::little, "arenas are little-endian");

class RecordDecoder {
 public:
  /// Absolute end of the used scratch; byte fields written as lists are unpacked there.
  uint32_t scratch_top = 0;
  /// Where the last body ended.
  uint32_t pos = 0;
  /// After a compress body: Algo, and where its Buf lies.
  uint32_t algo = 0;
  uint32_t buf_offset = 0;
  uint32_t buf_length = 0;

  void attach(uint8_t* base, uint32_t scratch_end) {
    base_ = base;
    scratch_end_ = scratch_end;
  }

  /// Reads the body of a message of `kind` at [at, end) into `target`, a zeroed record of RECORD.stride bytes, kind and
  /// packet number aside. Answers 0 or a REJECT code; then the record holds garbage.
  uint32_t decode(uint32_t kind, uint32_t at, uint32_t end, uint8_t* target) {
    UsualForm usual(base_, at, end);
    if (usual.read(kind, target)) {
      pos = usual.pos();
      return layout::reject::none;
    }
    algo = 0;
    buf_offset = 0;
    buf_length = 0;
    msgpack::Reader reader(base_, at, end);
    msgpack::StructKind struct_kind{};
    uint32_t entries = 0;
    if (!reader.open_struct(struct_kind, entries)) return reader.status();
    const Order& order = order_of(kind);
    if (struct_kind == msgpack::StructKind::map) {
      const uint32_t fields = order.mask;
      for (uint32_t i = 0; i < entries; i++) {
        if (!reader.read_text()) return reader.status();
        const Field field = field_of(base_ + reader.start(), reader.length());
        const bool known = ((fields >> static_cast<uint32_t>(field)) & 1) != 0;
        if (known ? !read_field(field, reader, target) : !reader.skip()) return reader.status();
      }
    } else {
      for (uint32_t i = 0; i < entries; i++) {
        if (i < order.count ? !read_field(order.fields[i], reader, target) : !reader.skip()) return reader.status();
      }
    }
    pos = reader.pos();
    return kind == layout::message::compress ? layout::reject::none : check(kind, target);
  }

 private:
  enum class Field : uint8_t {
    unknown,
    node,
    name,
    seq_no,
    incarnation,
    from,
    source_node,
    source_addr,
    source_port,
    addr,
    target,
    port,
    meta,
    payload,
    vsn,
    state,
    nack,
    ext,
    algo,
    buf,
  };

  /// Fields of a kind in declaration order, which the list form of a struct follows (§3.2), and as a set.
  struct Order {
    uint32_t mask;
    uint32_t count;
    Field fields[8];
  };

  static constexpr uint32_t bit(Field field) { return 1u << static_cast<uint32_t>(field); }

  template <typename... Fields>
  static constexpr Order make_order(bool extended, Fields... fields) {
    return {(bit(fields) | ... | (extended ? bit(Field::ext) : 0u)), sizeof...(fields), {fields...}};
  }

  static const Order& order_of(uint32_t kind) {
    static constexpr Order kPing =
        make_order(true, Field::seq_no, Field::node, Field::source_addr, Field::source_port, Field::source_node);
    static constexpr Order kIndirectPing =
        make_order(true, Field::seq_no, Field::target, Field::port, Field::node, Field::nack, Field::source_addr,
                   Field::source_port, Field::source_node);
    static constexpr Order kAck = make_order(true, Field::seq_no, Field::payload);
    static constexpr Order kSuspicion = make_order(true, Field::incarnation, Field::node, Field::from);
    static constexpr Order kAlive =
        make_order(true, Field::incarnation, Field::node, Field::addr, Field::port, Field::meta, Field::vsn);
    static constexpr Order kNodeState = make_order(true, Field::name, Field::addr, Field::port, Field::meta,
                                                   Field::incarnation, Field::state, Field::vsn);
    static constexpr Order kCompress = make_order(false, Field::algo, Field::buf);
    static constexpr Order kNack = make_order(true, Field::seq_no);
    switch (kind) {
      case layout::message::ping:
        return kPing;
      case layout::message::indirectPing:
        return kIndirectPing;
      case layout::message::ack:
        return kAck;
      case layout::message::suspect:
      case layout::message::dead:
        return kSuspicion;
      case layout::message::alive:
        return kAlive;
      case layout::message::pushPull:
        return kNodeState;
      case layout::message::compress:
        return kCompress;
      default:
        return kNack;
    }
  }

  static constexpr uint32_t word(const char (&key)[5]) {
    return static_cast<uint32_t>(static_cast<uint8_t>(key[0])) |
           (static_cast<uint32_t>(static_cast<uint8_t>(key[1])) << 8) |
           (static_cast<uint32_t>(static_cast<uint8_t>(key[2])) << 16) |
           (static_cast<uint32_t>(static_cast<uint8_t>(key[3])) << 24);
  }

  template <std::size_t Size>
  static Field when(const uint8_t* key, const char (&expected)[Size], Field field) {
    return std::memcmp(key, expected, Size - 1) == 0 ? field : Field::unknown;
  }

  static Field field_of(const uint8_t* key, uint32_t length) {
    switch (length) {
      case 2:
        return when(key, layout::kExtKey, Field::ext);
      case 3:
        return key[0] == 'V' ? when(key, "Vsn", Field::vsn) : when(key, "Buf", Field::buf);
      case 4: {
        uint32_t letters = 0;
        std::memcpy(&letters, key, 4);
        switch (letters) {
          case word("Node"):
            return Field::node;
          case word("Name"):
            return Field::name;
          case word("From"):
            return Field::from;
          case word("Addr"):
            return Field::addr;
          case word("Port"):
            return Field::port;
          case word("Meta"):
            return Field::meta;
          case word("Nack"):
            return Field::nack;
          case word("Algo"):
            return Field::algo;
          default:
            return Field::unknown;
        }
      }
      case 5:
        return key[1] == 'e' ? when(key, "SeqNo", Field::seq_no) : when(key, "State", Field::state);
      case 6:
        return when(key, "Target", Field::target);
      case 7:
        return when(key, "Payload", Field::payload);
      case 10:
        if (key[6] == 'A') return when(key, "SourceAddr", Field::source_addr);
        return key[6] == 'P' ? when(key, "SourcePort", Field::source_port)
                             : when(key, "SourceNode", Field::source_node);
      case 11:
        return when(key, "Incarnation", Field::incarnation);
      default:
        return Field::unknown;
    }
  }

  static void set32(uint8_t* target, uint32_t offset, uint32_t value) { std::memcpy(target + offset, &value, 4); }
  static uint32_t get32(const uint8_t* target, uint32_t offset) {
    uint32_t value = 0;
    std::memcpy(&value, target + offset, 4);
    return value;
  }

  bool read_field(Field field, msgpack::Reader& reader, uint8_t* target) {
    using namespace layout;
    switch (field) {
      case Field::node:
      case Field::name:
        return read_text(reader, target, record::nameOffset);
      case Field::from:
      case Field::source_node:
        return read_text(reader, target, record::fromOffset);
      case Field::seq_no:
      case Field::incarnation:
        return read_u32(reader, target, record::number);
      case Field::addr:
      case Field::target:
        return read_bytes(reader, target, record::ipOffset);
      case Field::port:
        return read_u16(reader, target, record::port);
      case Field::source_port:
        return read_u16(reader, target, record::sourcePort);
      case Field::source_addr: {
        uint32_t offset = 0;
        if (!take_bytes(reader, offset)) return false;
        set32(target, record::sourceIpOffset, reader.length() == 0 ? 0 : offset);
        // The length field has one byte; no address has 255, so check() refuses whatever is cut here.
        target[record::sourceIpLength] = static_cast<uint8_t>(std::min(reader.length(), 255u));
        return true;
      }
      case Field::meta:
      case Field::payload:
        return read_bytes(reader, target, record::dataOffset);
      case Field::vsn: {
        uint32_t offset = 0;
        if (!take_bytes(reader, offset)) return false;
        const uint32_t kept = std::min(reader.length(), kVsnBytes);
        std::memset(target + record::vsn, 0, kVsnBytes);
        std::memcpy(target + record::vsn, base_ + offset, kept);
        target[record::vsnLength] = static_cast<uint8_t>(std::min(reader.length(), 255u));
        return true;
      }
      case Field::state: {
        uint32_t value = 0;
        if (!reader.read_state(status::left, kStatusUnknown, value)) return false;
        target[record::status] = static_cast<uint8_t>(value);
        return true;
      }
      case Field::nack: {
        bool value = false;
        if (!reader.read_bool(value)) return false;
        target[record::nack] = value ? 1 : 0;
        return true;
      }
      case Field::ext:
        return read_u32(reader, target, record::ext);
      case Field::algo:
        return reader.read_uint(0xff, algo);
      case Field::buf:
        if (!take_bytes(reader, buf_offset)) return false;
        buf_length = reader.length();
        return true;
      case Field::unknown:
        break;
    }
    return reader.skip();
  }

  /// Reads a byte field and answers where its content lies; one written as a list is unpacked into scratch.
  bool take_bytes(msgpack::Reader& reader, uint32_t& offset) {
    if (!reader.read_bytes()) return false;
    offset = reader.start();
    if (!reader.listed()) return true;
    if (reader.length() > scratch_end_ - scratch_top) return reader.fail(layout::reject::oversized);
    reader.unpack(base_ + scratch_top);
    offset = scratch_top;
    scratch_top += reader.length();
    return true;
  }

  static void set_span(uint8_t* target, uint32_t span, uint32_t offset, uint32_t length) {
    set32(target, span, length == 0 ? 0 : offset);
    set32(target, span + 4, length);
  }

  static bool read_text(msgpack::Reader& reader, uint8_t* target, uint32_t span) {
    if (!reader.read_text()) return false;
    set_span(target, span, reader.start(), reader.length());
    return true;
  }

  bool read_bytes(msgpack::Reader& reader, uint8_t* target, uint32_t span) {
    uint32_t offset = 0;
    if (!take_bytes(reader, offset)) return false;
    set_span(target, span, offset, reader.length());
    return true;
  }

  static bool read_u32(msgpack::Reader& reader, uint8_t* target, uint32_t at) {
    uint32_t value = 0;
    if (!reader.read_uint(0xffffffff, value)) return false;
    set32(target, at, value);
    return true;
  }

  static bool read_u16(msgpack::Reader& reader, uint8_t* target, uint32_t at) {
    uint32_t value = 0;
    if (!reader.read_uint(0xffff, value)) return false;
    target[at] = static_cast<uint8_t>(value);
    target[at + 1] = static_cast<uint8_t>(value >> 8);
    return true;
  }

  /// Limits of the fields of a complete record.
  static uint32_t check(uint32_t kind, uint8_t* target) {
    using namespace layout;
    const uint32_t name_length = get32(target, record::nameLength);
    if (kind == message::pushPull) {
      // One odd entry must not keep us from everything else that the other side knows: it alone is passed over. A member
      // that is not alive may have been learned without an address.
      const uint32_t length = get32(target, record::ipLength);
      const bool may_lack = target[record::status] != status::alive;
      const bool fits = name_length != 0 && name_length <= kNameBytesMax &&
                        (length == 4 || length == 16 || (may_lack && length == 0)) &&
                        get32(target, record::dataLength) <= kMetaBytesMax;
      if (!fits) target[record::flags] = record_flag::refused;
      return reject::none;
    }
    if (name_length > kNameBytesMax || get32(target, record::fromLength) > kNameBytesMax) return reject::fieldInvalid;
    const uint32_t source_ip_length = target[record::sourceIpLength];
    if (source_ip_length != 0 && source_ip_length != 4 && source_ip_length != 16) return reject::fieldInvalid;
    const uint32_t ip_length = get32(target, record::ipLength);
    const bool has_address = ip_length == 4 || ip_length == 16;
    const bool meta_fits = get32(target, record::dataLength) <= kMetaBytesMax;
    bool valid = true;
    switch (kind) {
      case message::suspect:
      case message::dead:
        valid = name_length != 0;
        break;
      case message::alive:
        valid = name_length != 0 && has_address && meta_fits;
        break;
      case message::indirectPing:
        valid = has_address;
        break;
      default:
        break;
    }
    return valid ? reject::none : reject::fieldInvalid;
  }

  static constexpr uint32_t kVsnBytes = 6;

  uint8_t* base_ = nullptr;
  uint32_t scratch_end_ = 0;
};

}  // namespace hearsay
