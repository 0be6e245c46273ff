// Fuzz target of the packet codec: any bytes as datagrams and as a push/pull body.
//
// Under ASan the inbox is poisoned but for the datagram at hand, so a read behind its end is an error even though the arena
// goes on.

#include "../kernels/packet_codec.hpp"

#include "fuzz.hpp"

namespace {

using namespace hearsay;

using fuzz::Bytes;
using fuzz::Random;
using fuzz::require;

/// An arena of its own allocation, so that ASan sees both of its ends.
class Fixture {
 public:
  Fixture(uint32_t records, uint32_t inbox_bytes, uint32_t scratch_bytes)
      : records_(records),
        inbox_bytes_(inbox_bytes),
        scratch_bytes_(scratch_bytes),
        inbox_(kRecords + records * layout::record::stride),
        scratch_(static_cast<uint32_t>(layout::align8(inbox_ + inbox_bytes))),
        memory_(layout::align8(scratch_ + scratch_bytes), {{layout::header::kernelId, layout::kernel_id::packetCodec},
                                                           {layout::header::capacity, 1},
                                                           {layout::codec::recordCapacity, records},
                                                           {layout::codec::inboxBytes, inbox_bytes},
                                                           {layout::codec::scratchBytes, scratch_bytes}}) {
    require(!codec.attach(memory_.data(), memory_.size() - 8), "attached to a short arena");
    require(codec.attach(memory_.data(), memory_.size()), "did not attach");
  }

  void run_datagram(const uint8_t* bytes, uint32_t length) {
    using namespace layout;
    length = std::min(length, inbox_bytes_);
    std::copy_n(bytes, length, memory_.data() + inbox_);
    set(codec::packetsOffset + packet::offset, inbox_);
    set(codec::packetsOffset + packet::length, length);
    memory_.forbid(inbox_ + length, scratch_);
    const uint32_t count = codec.index(1);
    memory_.allow(inbox_ + length, scratch_);
    used_ = length;
    const auto result = static_cast<int32_t>(get(codec::packetsOffset + packet::result));
    require(result <= 0 && result >= -static_cast<int32_t>(reject::fieldInvalid), "unknown result");
    require(result == 0 || count == 0, "a rejected datagram left records");
    require(get(codec::packetsOffset + packet::recordCount) == count, "record count");
    check(count);
  }

  void run_state(const uint8_t* bytes, uint32_t length, uint32_t from, uint32_t nodes) {
    using namespace layout;
    length = std::min(length, inbox_bytes_);
    std::copy_n(bytes, length, memory_.data() + inbox_);
    set(codec::inboxTop, length);
    memory_.forbid(inbox_ + length, scratch_);
    const int32_t end = codec.index_state(from, nodes);
    memory_.allow(inbox_ + length, scratch_);
    used_ = length;
    require(end >= 0 ? static_cast<uint32_t>(end) <= length : end >= -static_cast<int32_t>(reject::fieldInvalid),
            "end");
    check(end >= 0 ? nodes : 0);
  }

  kernels::PacketCodec codec;

 private:
  static constexpr uint32_t kRecords = layout::codec::packetsOffset + layout::packet::stride;

  void set(uint32_t offset, uint32_t value) { memory_.set(offset, value); }
  uint32_t get(uint32_t offset) const { return memory_.get(offset); }

  /// Every span of every record lies in what was received or in scratch, and all that is unused is zero.
  void check(uint32_t count) {
    using namespace layout;
    const uint32_t scratch_top = get(codec::scratchTop);
    require(get(codec::recordCount) == count && count <= records_, "record count");
    require(scratch_top <= scratch_bytes_, "scratchTop");
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = kRecords + i * record::stride;
      check_span(get(at + record::nameOffset), get(at + record::nameLength));
      check_span(get(at + record::fromOffset), get(at + record::fromLength));
      check_span(get(at + record::ipOffset), get(at + record::ipLength));
      check_span(get(at + record::dataOffset), get(at + record::dataLength));
      check_span(get(at + record::sourceIpOffset), memory_.data()[at + record::sourceIpLength]);
    }
    const uint8_t* base = memory_.data();
    require(is_zero(base + kRecords + count * record::stride, base + inbox_), "unused records");
    require(is_zero(base + scratch_ + scratch_top, base + memory_.size()), "unused scratch");
  }

  static bool is_zero(const uint8_t* from, const uint8_t* to) {
    const auto length = static_cast<std::size_t>(to - from);
    return length == 0 || (*from == 0 && std::memcmp(from, from + 1, length - 1) == 0);
  }

  void check_span(uint32_t offset, uint32_t length) const {
    if (length == 0) {
      require(offset == 0, "offset of an empty span");
      return;
    }
    const uint64_t end = uint64_t{offset} + length;
    const bool in_inbox = offset >= inbox_ && end <= uint64_t{inbox_} + used_;
    const bool in_scratch = offset >= scratch_ && end <= uint64_t{scratch_} + scratch_bytes_;
    require(in_inbox || in_scratch, "span");
  }

  const uint32_t records_;
  const uint32_t inbox_bytes_;
  const uint32_t scratch_bytes_;
  const uint32_t inbox_;
  const uint32_t scratch_;
  fuzz::Memory memory_;
  uint32_t used_ = 0;
};

void run_one(const uint8_t* bytes, std::size_t length) {
  static Fixture roomy(300, 65536, 16384);
  static Fixture tight(3, 65536 + 3, 61);
  const auto size = static_cast<uint32_t>(std::min<std::size_t>(length, 65536));
  roomy.run_datagram(bytes, size);
  tight.run_datagram(bytes, size);
  if (size > 1) {
    roomy.run_state(bytes, size, bytes[0] & 7u, bytes[1]);
    tight.run_state(bytes, size, 0, bytes[1] & 3u);
  }
}

Bytes from_hex(const char* hex) {
  Bytes out;
  for (; hex[0] != 0; hex += 2)
    out.push_back(static_cast<uint8_t>(std::strtoul(std::string(hex, 2).c_str(), nullptr, 16)));
  return out;
}

/// One message of each kind (protocol §4.2), a node state, a compound, and a compressed and a checksummed message.
std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (const char* hex : {
           "0085a44e6f6465a5627261766fa55365714e6f2aaa536f7572636541646472a40a000001aa536f757263654e6f6465a5616c706861a"
           "a536"
           "f75726365506f7274cd1f0a",
           "0188a44e61636bc3a44e6f6465a7636861726c6965a4506f7274cd1f0aa55365714e6fcd012caa536f7572636541646472a40a00000"
           "1aa53"
           "6f757263654e6f6465a5616c706861aa536f75726365506f7274cd1f0aa6546172676574a40a000003",
           "0283a24873cd0301a75061796c6f6164a3010203a55365714e6f01",
           "0383a446726f6da5616c706861ab496e6361726e6174696f6e03a44e6f6465a5627261766f",
           "0486a441646472a40a000001ab496e6361726e6174696f6e01a44d657461940102cc8003a44e6f6465a5616c706861a4506f7274cd1"
           "f0aa3"
           "56736ea6010502000000",
           "0583a446726f6da5627261766fab496e6361726e6174696f6e03a44e6f6465a5627261766f",
           "87a441646472a47f000001ab496e6361726e6174696f6e01a44d657461a66d6574612d61a44e616d65a5616c706861a4506f7274cd9"
           "a95a553"
           "7461746500a356736ea6010502000000",
           "0702001400250082a44e6f6465a5627261766fa55365714e6f2a0383a446726f6da5616c706861ab496e6361726e6174696f6e03a44"
           "e6f64"
           "65a5627261766f",
           "0875736572206279746573",
           "0982a4416c676f00a3427566af00d19461c3e60d0881040d222c1810",
           "0b81a55365714e6f05",
           "0cf9e17e500085a44e6f6465a5627261766fa55365714e6f2aaa536f7572636541646472a40a000001aa536f757263654e6f6465a56"
           "16c7068"
           "61aa536f75726365506f7274cd1f0a",
           "009605a161c000a0c3",
       }) {
    out.push_back(from_hex(hex));
  }
  return out;
}

void put_be32(Bytes& bytes, std::size_t at, uint32_t value) {
  for (int i = 0; i < 4; i++) bytes[at + static_cast<std::size_t>(i)] = static_cast<uint8_t>(value >> (24 - 8 * i));
}

Bytes wrap(Random& random, kernels::PacketCodec& codec, const std::vector<Bytes>& corpus, Bytes inner) {
  switch (random.below(4)) {
    case 0: {
      Bytes out{layout::message::compound, static_cast<uint8_t>(1 + random.below(3))};
      std::vector<Bytes> parts{std::move(inner)};
      while (parts.size() < out[1]) parts.push_back(corpus[random.below(corpus.size())]);
      for (const Bytes& part : parts) {
        out.push_back(static_cast<uint8_t>(part.size() >> 8));
        out.push_back(static_cast<uint8_t>(part.size()));
      }
      for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
      return out;
    }
    case 1: {
      Bytes packed(inner.size() * 2 + 16);
      packed.resize(static_cast<std::size_t>(codec.compress(inner.data(), inner.size(), packed.data(), packed.size())));
      Bytes out = from_hex("0982a4416c676f00a3427566da");
      out.push_back(static_cast<uint8_t>(packed.size() >> 8));
      out.push_back(static_cast<uint8_t>(packed.size()));
      out.insert(out.end(), packed.begin(), packed.end());
      return out;
    }
    case 2: {
      Bytes out(5);
      out[0] = layout::message::hasCrc;
      put_be32(out, 1, crc32(inner.data(), inner.size()));
      out.insert(out.end(), inner.begin(), inner.end());
      return out;
    }
    default:
      return inner;
  }
}

/// Layers around messages that are damaged now and then; a checksum that fits is nothing that chance would find.
Bytes mutate(Random& random, const std::vector<Bytes>& corpus) {
  static const std::vector<Bytes> kSeeds = seeds();
  static const auto kCodec = std::make_unique<kernels::PacketCodec>();
  const std::vector<Bytes>& from = random.below(2) == 0 ? kSeeds : corpus;
  Bytes bytes = from[random.below(from.size())];
  for (std::size_t times = random.below(4); times > 0; times--) fuzz::damage(random, kSeeds, bytes);
  for (std::size_t layers = random.below(6); layers > 0; layers--) {
    bytes = wrap(random, *kCodec, kSeeds, std::move(bytes));
    if (random.below(4) == 0) fuzz::damage(random, kSeeds, bytes);
  }
  return bytes;
}

}  // namespace

#ifdef HEARSAY_LIBFUZZER

extern "C" std::size_t LLVMFuzzerMutate(uint8_t* bytes, std::size_t length, std::size_t capacity);

/// Mostly libFuzzer's own mutations, now and then a layer around the input, or pieces of messages in it.
extern "C" std::size_t LLVMFuzzerCustomMutator(uint8_t* bytes, std::size_t length, std::size_t capacity,
                                               unsigned int seed) {
  if (seed % 8 != 0) return LLVMFuzzerMutate(bytes, length, capacity);
  Random random{seed};
  const Bytes next = mutate(random, {Bytes(bytes, bytes + length)});
  if (next.size() > capacity) return LLVMFuzzerMutate(bytes, length, capacity);
  std::copy(next.begin(), next.end(), bytes);
  return next.size();
}

#endif

HEARSAY_FUZZ_TARGET_WITH(packet_codec, run_one, mutate)
