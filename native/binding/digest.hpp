#pragma once

#include <napi.h>

#include "../kernels/digest.hpp"
#include "handle.hpp"
#include "member_table.hpp"

namespace hearsay::binding {

class Digest : public KernelHandle<Digest, kernels::Digest> {
 public:
  static constexpr uint32_t kClassId = layout::kernel_id::digest;

  explicit Digest(const Napi::CallbackInfo& info) : KernelHandle(info) { rehome(info); }

  /// (table: MemberTable) -> number of items, or -1.
  Napi::Value hash_table(const Napi::CallbackInfo& info) {
    MemberTable* table = handle_arg<MemberTable>(info, 0, "table");
    if (table == nullptr) return {};
    return number(info, kernel_.hash_table(*table->kernel()));
  }

  /// (bits: u32) -> 2^bits.
  Napi::Value range_sums(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t bits = args.u32(0, "bits");
    if (!args.failed() && (bits > 16 || (1u << bits) > kernel_.range_capacity())) {
      args.reject("bits", "2^bits at most the range capacity");
    }
    if (args.failed()) return {};
    return number(info, kernel_.range_sums(bits));
  }

  /// (cells: u32, out: Uint8Array, at: u32) -> end offset, or -(length that `out` must have).
  Napi::Value sketch(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t cells = cell_count(args);
    const auto out = args.bytes(1, "out");
    const uint32_t at = args.u32(2, "at");
    if (args.failed()) return {};
    const uint64_t end = at + uint64_t{cells} * layout::kDigestCellBytes;
    if (end > out.size()) return number(info, -static_cast<double>(end));
    kernel_.sketch(cells, out.data() + at);
    return number(info, static_cast<double>(end));
  }

  /// (cells: u32, source: Uint8Array, at: u32) -> number of names, or -1.
  Napi::Value peel(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t cells = cell_count(args);
    const auto source = args.bytes(1, "source");
    const uint32_t at = args.u32(2, "at");
    if (args.failed()) return {};
    if (at + uint64_t{cells} * layout::kDigestCellBytes > source.size()) return number(info, -1);
    return number(info, kernel_.peel(cells, source.data() + at));
  }

  /// (count: u32) -> number of slots.
  Napi::Value match(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t count = args.u32(0, "count");
    if (!args.failed() && count > kernel_.name_capacity()) args.reject("count", "at most the name capacity");
    if (args.failed()) return {};
    return number(info, kernel_.match(count));
  }

  /// (source: Uint8Array, ends: Uint8Array, out: Uint8Array, seed: u32) -> number of values hashed.
  Napi::Value hash_values(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto source = args.bytes(0, "source");
    const auto ends = args.bytes(1, "ends");
    const auto out = args.bytes(2, "out");
    const uint32_t seed = args.u32(3, "seed");
    if (args.failed()) return {};
    return number(info, kernels::Digest::hash_values(source, ends, out, seed));
  }

 private:
  uint32_t cell_count(Args& args) const {
    const uint32_t cells = args.u32(0, "cells");
    if (!args.failed() && (cells < 4 || cells % 4 != 0 || cells > kernel_.cell_capacity())) {
      args.reject("cells", "a multiple of 4, at most the cell capacity");
    }
    return cells;
  }
};

inline void register_digest(Napi::Env env, AddonData& data, Napi::Object exports) {
  Digest::define(env, data, exports, "Digest",
                 {Digest::method<&Digest::rehome>("rehome"), Digest::method<&Digest::hash_table>("hashTable"),
                  Digest::method<&Digest::range_sums>("rangeSums"), Digest::method<&Digest::sketch>("sketch"),
                  Digest::method<&Digest::peel>("peel"), Digest::method<&Digest::match>("match"),
                  Digest::method<&Digest::hash_values>("hashValues")});
}

}  // namespace hearsay::binding
