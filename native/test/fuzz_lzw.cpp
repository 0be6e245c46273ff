// Fuzz target of LZW: any bytes as a stream into any room, and whatever is compressed comes back as it was.

#include "../kernels/lzw.hpp"

#include "fuzz.hpp"

namespace {

using namespace hearsay;
using fuzz::Bytes;
using fuzz::require;

/// `packed` is decoded back to `bytes`, also when there is not a byte of room more; with one less it is oversized.
void check_round_trip(LzwDecoder& decoder, LzwEncoder& encoder, const Bytes& bytes) {
  Bytes packed(bytes.size() + bytes.size() / 2 + bytes.size() / 1024 + 16);
  const int64_t size = encoder.encode(bytes.data(), bytes.size(), packed.data(), packed.size());
  require(size > 0, "the bound of compressed bytes holds");
  packed.resize(static_cast<std::size_t>(size));
  packed.shrink_to_fit();
  Bytes again(bytes.size());
  std::size_t written = 0;
  require(decoder.decode(packed.data(), packed.size(), again.data(), again.size(), written) == LzwResult::ok,
          "what was compressed is decompressed");
  require(written == bytes.size() && again == bytes, "compress and decompress undo each other");
  if (!bytes.empty()) {
    Bytes small(bytes.size() - 1);
    require(decoder.decode(packed.data(), packed.size(), small.data(), small.size(), written) == LzwResult::oversized,
            "too little room is noticed");
  }
  // The encoder gives up when the result would not be shorter than the room.
  Bytes tight(packed.size());
  require(encoder.encode(bytes.data(), bytes.size(), tight.data(), tight.size()) == -1, "no room, no result");
}

void run_one(const uint8_t* bytes, std::size_t length) {
  static const auto decoder = std::make_unique<LzwDecoder>();
  static const auto encoder = std::make_unique<LzwEncoder>();
  if (length == 0) return;
  // The first byte chooses the room, in an allocation of that size, and what is done.
  const uint32_t choice = bytes[0];
  const std::size_t room = choice < 8 ? choice : std::size_t{choice} * choice / 4;
  Bytes plain(room);
  std::size_t written = 0;
  const LzwResult result = decoder->decode(bytes + 1, length - 1, plain.data(), plain.size(), written);
  require(written <= room, "written beyond the room");
  if (choice % 4 == 1 && result == LzwResult::ok && written <= 2048) {
    plain.resize(written);
    check_round_trip(*decoder, *encoder, plain);
  }
  if (choice % 4 == 2) check_round_trip(*decoder, *encoder, Bytes(bytes + 1, bytes + length));
  // Repeated, so that the code space runs full and starts over.
  if (choice % 64 == 3) {
    Bytes many;
    while (many.size() < 12000) {
      many.insert(many.end(), bytes, bytes + length);
      many.push_back(static_cast<uint8_t>(many.size() >> 5));
    }
    check_round_trip(*decoder, *encoder, many);
  }
}

}  // namespace

HEARSAY_FUZZ_TARGET(lzw, run_one)
