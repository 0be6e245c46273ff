#pragma once

#include <napi.h>

#include "../kernels/interner.hpp"
#include "handle.hpp"

namespace hearsay::binding {

class Interner : public KernelHandle<Interner, kernels::Interner> {
 public:
  static constexpr uint32_t kClassId = layout::kernel_id::interner;

  explicit Interner(const Napi::CallbackInfo& info) : KernelHandle(info) { rehome(info); }

  /// (bytes: Uint8Array) -> id with a reference added, or 0.
  Napi::Value intern(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto bytes = args.bytes(0, "bytes");
    if (args.failed()) return {};
    return number(info, kernel_.intern(bytes.data(), bytes.size()));
  }

  /// (bytes: Uint8Array) -> id, or 0.
  Napi::Value lookup(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto bytes = args.bytes(0, "bytes");
    if (args.failed()) return {};
    return number(info, kernel_.lookup(bytes.data(), bytes.size()));
  }

  /// (id: u32) -> void.
  Napi::Value retain(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t id = args.u32(0, "id");
    if (args.failed()) return {};
    kernel_.retain(id);
    return info.Env().Undefined();
  }

  /// (id: u32) -> void.
  Napi::Value release(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t id = args.u32(0, "id");
    if (args.failed()) return {};
    kernel_.release(id);
    return info.Env().Undefined();
  }
};

inline void register_interner(Napi::Env env, AddonData& data, Napi::Object exports) {
  Interner::define(env, data, exports, "Interner",
                   {Interner::method<&Interner::rehome>("rehome"), Interner::method<&Interner::intern>("intern"),
                    Interner::method<&Interner::lookup>("lookup"), Interner::method<&Interner::retain>("retain"),
                    Interner::method<&Interner::release>("release")});
}

}  // namespace hearsay::binding
