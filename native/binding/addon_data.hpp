// What one loaded copy of the addon knows. There is one per Node environment (main thread, each worker): no statics.
#pragma once

#include <napi.h>

#include <cstdint>
#include <random>

namespace hearsay::binding {

/// Marks the JavaScript objects that wrap our C++ objects, so that a method borrowed by another object can be refused.
/// The upper half is random for each load: an object of another copy of this addon (another version, another layout)
/// is not one of ours.
struct AddonData {
  uint64_t load_id;

  AddonData() {
    std::random_device random;
    load_id = (uint64_t{random()} << 32) | random();
  }
  AddonData(const AddonData&) = delete;
  AddonData& operator=(const AddonData&) = delete;

  napi_type_tag tag(uint32_t class_id) const { return {class_id, load_id}; }
};

/// `T::kClassId` of every class that the addon exports. Kernels use their kernel id.
namespace class_id {
inline constexpr uint32_t udp_socket = 100;
}

}  // namespace hearsay::binding
