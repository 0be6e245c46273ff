#pragma once

#include <napi.h>

#include "../kernels/member_table.hpp"
#include "handle.hpp"
#include "interner.hpp"

namespace hearsay::binding {

class MemberTable : public KernelHandle<MemberTable, kernels::MemberTable> {
 public:
  static constexpr uint32_t kClassId = layout::kernel_id::memberTable;

  /// (arena: Uint8Array, names: Interner, profiles: Interner)
  explicit MemberTable(const Napi::CallbackInfo& info) : KernelHandle(info) {
    if (info.Env().IsExceptionPending()) return;
    if (names_.set(info, 1, "names") && profiles_.set(info, 2, "profiles")) rehome(info);
  }

  bool attach(uint8_t* data, size_t size) { return kernel_.attach(data, size, names_->kernel(), profiles_->kernel()); }

  /// (nowMs: f64, codec: Uint8Array over its whole arena, first: u32, count: u32, flags: u32) -> records used up.
  Napi::Value merge(const Napi::CallbackInfo& info) {
    Args args(info);
    const double now_ms = args.f64(0, "nowMs");
    const auto codec = args.bytes(1, "codec");
    const uint32_t first = args.u32(2, "first");
    const uint32_t count = args.u32(3, "count");
    const uint32_t flags = args.u32(4, "flags");
    kernels::RecordView view;
    if (!args.failed() && !view.attach(codec.data(), codec.size())) args.reject("codec", "the arena of a packet codec");
    if (!args.failed() && uint64_t{first} + count > view.capacity()) {
      args.reject("first + count", "at most the record capacity");
    }
    if (args.failed()) return {};
    return number(info, kernel_.merge(now_ms, view, first, count, flags));
  }

  /// (nowMs: f64, slot: i32, kind: u32, incarnation: u32) -> number of changes listed.
  Napi::Value accuse(const Napi::CallbackInfo& info) {
    Args args(info);
    const double now_ms = args.f64(0, "nowMs");
    const int32_t slot = args.i32(1, "slot");
    const uint32_t kind = args.u32(2, "kind");
    const uint32_t incarnation = args.u32(3, "incarnation");
    if (args.failed()) return {};
    return number(info, kernel_.accuse(now_ms, static_cast<uint32_t>(slot), kind, incarnation));
  }

  /// (name: Uint8Array) -> slot, or -1.
  Napi::Value find(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto name = args.bytes(0, "name");
    if (args.failed()) return {};
    return number(info, kernel_.find(name));
  }

  /// (nowMs: f64, reapAfterMs: f64) -> slot, or -1.
  Napi::Value next_probe(const Napi::CallbackInfo& info) {
    Args args(info);
    const double now_ms = args.f64(0, "nowMs");
    const double reap_after_ms = args.f64(1, "reapAfterMs");
    if (args.failed()) return {};
    return number(info, kernel_.next_probe(now_ms, reap_after_ms));
  }

  /// (ext: u32) -> void.
  Napi::Value set_own_ext(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t ext = args.u32(0, "ext");
    if (args.failed()) return {};
    kernel_.set_own_ext(ext);
    return info.Env().Undefined();
  }

  /// (slot: i32, ext: u32) -> 1 if a change was listed, else 0.
  Napi::Value note_ext(const Napi::CallbackInfo& info) {
    Args args(info);
    const int32_t slot = args.i32(0, "slot");
    const uint32_t ext = args.u32(1, "ext");
    if (args.failed()) return {};
    return number(info, kernel_.note_ext(static_cast<uint32_t>(slot), ext));
  }

  /// (out: Uint8Array, at: u32) -> end offset, or -(length that `out` must have).
  Napi::Value encode_state(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto out = args.bytes(0, "out");
    const uint32_t at = args.u32(1, "at");
    if (args.failed()) return {};
    const uint64_t end = at + kernel_.state_size();
    if (end > out.size()) return number(info, -static_cast<double>(end));
    kernel_.encode_state(out.data() + at);
    return number(info, static_cast<double>(end));
  }

 private:
  HandleRef<Interner> names_;
  HandleRef<Interner> profiles_;
};

inline void register_member_table(Napi::Env env, AddonData& data, Napi::Object exports) {
  MemberTable::define(
      env, data, exports, "MemberTable",
      {MemberTable::method<&MemberTable::rehome>("rehome"), MemberTable::method<&MemberTable::merge>("merge"),
       MemberTable::method<&MemberTable::accuse>("accuse"), MemberTable::method<&MemberTable::find>("find"),
       MemberTable::method<&MemberTable::next_probe>("nextProbe"),
       MemberTable::method<&MemberTable::set_own_ext>("setOwnExt"),
       MemberTable::method<&MemberTable::note_ext>("noteExt"),
       MemberTable::method<&MemberTable::encode_state>("encodeState")});
}

}  // namespace hearsay::binding
