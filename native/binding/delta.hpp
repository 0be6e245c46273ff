#pragma once

#include <napi.h>

#include "../kernels/delta.hpp"
#include "handle.hpp"
#include "member_table.hpp"

namespace hearsay::binding {

class Delta : public KernelHandle<Delta, kernels::Delta> {
 public:
  static constexpr uint32_t kClassId = layout::kernel_id::delta;

  explicit Delta(const Napi::CallbackInfo& info) : KernelHandle(info) { rehome(info); }

  /// (table: MemberTable, first: u32, count: u32, budgetBytes: u32) -> slots used up.
  Napi::Value encode(const Napi::CallbackInfo& info) {
    MemberTable* table = handle_arg<MemberTable>(info, 0, "table");
    if (table == nullptr) return {};
    Args args(info);
    const uint32_t first = args.u32(1, "first");
    const uint32_t count = args.u32(2, "count");
    const uint32_t budget = args.u32(3, "budgetBytes");
    if (!args.failed() && uint64_t{first} + count > kernel_.capacity()) {
      args.reject("first + count", "at most the capacity");
    }
    if (!args.failed() && budget > kernel_.block_bytes()) args.reject("budgetBytes", "at most the length of a block");
    if (args.failed()) return {};
    return number(info, kernel_.encode(*table->kernel(), first, count, budget));
  }

  /// (codec: Uint8Array over its whole arena, from: u32, length: u32) -> number of records, or -REJECT.
  Napi::Value decode(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto bytes = args.bytes(0, "codec");
    const uint32_t from = args.u32(1, "from");
    const uint32_t length = args.u32(2, "length");
    kernels::CodecView codec;
    if (!args.failed() && !codec.attach(bytes.data(), bytes.size()))
      args.reject("codec", "the arena of a packet codec");
    if (!args.failed() && uint64_t{from} + length > codec.inbox_bytes) args.reject("from + length", "inside the inbox");
    if (args.failed()) return {};
    return number(info, kernel_.decode(codec, from, length));
  }
};

inline void register_delta(Napi::Env env, AddonData& data, Napi::Object exports) {
  Delta::define(env, data, exports, "Delta",
                {Delta::method<&Delta::rehome>("rehome"), Delta::method<&Delta::encode>("encode"),
                 Delta::method<&Delta::decode>("decode")});
}

}  // namespace hearsay::binding
