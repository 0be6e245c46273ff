#pragma once

#include <napi.h>

#include <utility>

#include "../kernels/interner.hpp"
#include "handle.hpp"

namespace hearsay::binding {

class Interner : public Handle<Interner> {
 public:
  static constexpr uint32_t kClassId = layout::kernel_id::interner;

  explicit Interner(const Napi::CallbackInfo& info) : Handle(info) { rehome(info); }

  /// (arena: Uint8Array) -> void; also the constructor's argument.
  Napi::Value rehome(const Napi::CallbackInfo& info) {
    Arena next;
    if (!next.attach(info, 0, kClassId)) return {};
    if (!kernel_.attach(next.data(), next.size())) {
      Arena::refuse(info, "sections do not fit", next.size());
      return {};
    }
    arena_ = std::move(next);
    return info.Env().Undefined();
  }

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

  /// For kernels that work with this one. The address stays the same for the life of the handle.
  kernels::Interner* kernel() { return &kernel_; }

 private:
  Arena arena_;
  kernels::Interner kernel_;
};

inline void register_interner(Napi::Env env, AddonData& data, Napi::Object exports) {
  Interner::define(env, data, exports, "Interner",
                   {Interner::method<&Interner::rehome>("rehome"), Interner::method<&Interner::intern>("intern"),
                    Interner::method<&Interner::lookup>("lookup"), Interner::method<&Interner::retain>("retain"),
                    Interner::method<&Interner::release>("release")});
}

}  // namespace hearsay::binding
