// What one loaded copy of the addon knows. There is one per Node environment (main thread, each worker): no statics.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

namespace hearsay::binding {

/// The C++ objects that are alive, and the class of each. napi_unwrap gives whatever pointer an object wraps, ours or
/// another addon's; a pointer found here is one of ours and of that class, and is not looked into before that is known.
/// (Node-API's type tags answer the same question in 100 ns, a lookup takes 5.)
class LiveHandles {
 public:
  void add(const void* handle, uint32_t class_id) { classes_[handle] = class_id; }
  void remove(const void* handle) { classes_.erase(handle); }
  bool has(const void* handle, uint32_t class_id) const {
    const auto found = classes_.find(handle);
    return found != classes_.end() && found->second == class_id;
  }

 private:
  std::unordered_map<const void*, uint32_t> classes_;
};

struct AddonData {
  /// Shared with each handle: Node does not promise in which order it finalizes handles and addon at exit.
  std::shared_ptr<LiveHandles> live = std::make_shared<LiveHandles>();

  AddonData() = default;
  AddonData(const AddonData&) = delete;
  AddonData& operator=(const AddonData&) = delete;
};

/// `T::kClassId` of exported classes that are not kernels; kernels use their kernel id.
namespace class_id {
inline constexpr uint32_t udp_socket = 100;
}

}  // namespace hearsay::binding
