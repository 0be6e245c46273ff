// The one translation unit of the addon; CMakeLists.txt and binding.gyp both compile this file and nothing else.
//
// Context-aware: worker threads load it many times, each load gets its own Addon object and AddonData, nothing is static.

#ifndef NAPI_VERSION
#define NAPI_VERSION 9
#endif

#include <napi.h>

#include "binding/addon_data.hpp"
#include "binding/broadcast_queue.hpp"
#include "binding/delta.hpp"
#include "binding/digest.hpp"
#include "binding/handle.hpp"
#include "binding/interner.hpp"
#include "binding/member_table.hpp"
#include "binding/packet_codec.hpp"
#include "kernels/layout.hpp"
#include "kernels/prng.hpp"
#ifdef __linux__
#include "binding/udp.hpp"
#endif

namespace hearsay {

class HearsayAddon : public Napi::Addon<HearsayAddon> {
 public:
  HearsayAddon(Napi::Env env, Napi::Object exports) {
    DefineAddon(exports, {InstanceMethod<&HearsayAddon::abi>("abi")});
    binding::register_interner(env, data_, exports);
    binding::register_packet_codec(env, data_, exports);
    binding::register_member_table(env, data_, exports);
    binding::register_broadcast_queue(env, data_, exports);
    binding::register_digest(env, data_, exports);
    binding::register_delta(env, data_, exports);
#ifdef __linux__
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
