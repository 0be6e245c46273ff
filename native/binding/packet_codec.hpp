#pragma once

#include <napi.h>

#include "../kernels/packet_codec.hpp"
#include "handle.hpp"

namespace hearsay::binding {

class PacketCodec : public KernelHandle<PacketCodec, kernels::PacketCodec> {
 public:
  static constexpr uint32_t kClassId = layout::kernel_id::packetCodec;

  explicit PacketCodec(const Napi::CallbackInfo& info) : KernelHandle(info) { rehome(info); }

  /// (count: u32) -> number of records.
  Napi::Value index(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t count = args.u32(0, "count");
    if (!args.failed() && count > kernel_.packet_capacity()) args.reject("count", "at most the packet capacity");
    if (args.failed()) return {};
    return number(info, kernel_.index(count));
  }

  /// (from: u32, nodes: u32) -> relative offset behind the last node state, or -REJECT.
  Napi::Value index_state(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t from = args.u32(0, "from");
    const uint32_t nodes = args.u32(1, "nodes");
    if (!args.failed() && from > kernel_.inbox_bytes()) args.reject("from", "an offset inside the inbox");
    if (args.failed()) return {};
    return number(info, kernel_.index_state(from, nodes));
  }

  /// (source: Uint8Array, out: Uint8Array) -> length, or -REJECT.
  Napi::Value decompress(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto source = args.bytes(0, "source");
    const auto out = args.bytes(1, "out");
    if (args.failed()) return {};
    return number(info, static_cast<double>(kernel_.decompress(source.data(), source.size(), out.data(), out.size())));
  }

  /// (source: Uint8Array, out: Uint8Array) -> length, or -1 without gain.
  Napi::Value compress(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto source = args.bytes(0, "source");
    const auto out = args.bytes(1, "out");
    if (args.failed()) return {};
    return number(info, static_cast<double>(kernel_.compress(source.data(), source.size(), out.data(), out.size())));
  }
};

inline void register_packet_codec(Napi::Env env, AddonData& data, Napi::Object exports) {
  PacketCodec::define(
      env, data, exports, "PacketCodec",
      {PacketCodec::method<&PacketCodec::rehome>("rehome"), PacketCodec::method<&PacketCodec::index>("index"),
       PacketCodec::method<&PacketCodec::index_state>("indexState"),
       PacketCodec::method<&PacketCodec::decompress>("decompress"),
       PacketCodec::method<&PacketCodec::compress>("compress")});
}

}  // namespace hearsay::binding
