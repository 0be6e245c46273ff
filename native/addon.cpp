// The one translation unit of the addon; CMakeLists.txt and binding.gyp both compile this file and nothing else.
//
// Context-aware: worker threads load it many times, each load gets its own Addon object and AddonData, nothing is static.

#ifndef NAPI_VERSION
#define NAPI_VERSION 9
#endif

#include <napi.h>

#include "binding/addon_data.hpp"
#include "binding/handle.hpp"
#include "kernels/layout.hpp"
#include "kernels/prng.hpp"

#if __has_include("binding/interner.hpp")
#include "binding/interner.hpp"
#define HEARSAY_HAS_INTERNER
#endif
#if __has_include("binding/packet_codec.hpp")
#include "binding/packet_codec.hpp"
#define HEARSAY_HAS_PACKET_CODEC
#endif
#if __has_include("binding/member_table.hpp")
#include "binding/member_table.hpp"
#define HEARSAY_HAS_MEMBER_TABLE
#endif
#if __has_include("binding/broadcast_queue.hpp")
#include "binding/broadcast_queue.hpp"
#define HEARSAY_HAS_BROADCAST_QUEUE
#endif
#ifdef __linux__
#if __has_include("binding/udp.hpp")
#include "binding/udp.hpp"
#define HEARSAY_HAS_UDP
#endif
#endif

namespace hearsay {

class HearsayAddon : public Napi::Addon<HearsayAddon> {
 public:
  HearsayAddon([[maybe_unused]] Napi::Env env, Napi::Object exports) {
    DefineAddon(exports, {InstanceMethod<&HearsayAddon::abi>("abi")});
#ifdef HEARSAY_HAS_INTERNER
    binding::register_interner(env, data_, exports);
#endif
#ifdef HEARSAY_HAS_PACKET_CODEC
    binding::register_packet_codec(env, data_, exports);
#endif
#ifdef HEARSAY_HAS_MEMBER_TABLE
    binding::register_member_table(env, data_, exports);
#endif
#ifdef HEARSAY_HAS_BROADCAST_QUEUE
    binding::register_broadcast_queue(env, data_, exports);
#endif
#ifdef HEARSAY_HAS_UDP
    binding::register_udp(env, data_, exports);
#endif
  }

 private:
  /// Every constant that both languages share, under its TypeScript name.
  Napi::Value abi(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Napi::Object all = Napi::Object::New(env);
    all.Set("EXT_KEY", layout::kExtKey);

#define HEARSAY_SET_SCALAR(cpp, ts, value) all.Set(#ts, layout::cpp);
    HEARSAY_SCALARS(HEARSAY_SET_SCALAR)
#undef HEARSAY_SET_SCALAR

#define HEARSAY_SET_ENTRY(name, value) group.Set(#name, uint32_t{value});
#define HEARSAY_SET_GROUP(suffix, space)                         \
  {                                                              \
    Napi::Object group = Napi::Object::New(env);                 \
    HEARSAY_##suffix(HEARSAY_SET_ENTRY) all.Set(#suffix, group); \
  }
    HEARSAY_GROUPS(HEARSAY_SET_GROUP)
#undef HEARSAY_SET_GROUP
#undef HEARSAY_SET_ENTRY
    return all;
  }

  binding::AddonData data_;
};

}  // namespace hearsay

using hearsay::HearsayAddon;
NODE_API_ADDON(HearsayAddon)
