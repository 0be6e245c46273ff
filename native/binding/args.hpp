// Strict reading of arguments: Node-API by itself turns NaN, 1.5 and 2^32 into some integer without a word.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

namespace hearsay::binding {

/// Reads the arguments of one call. The first argument that is wrong throws a TypeError that names it; from then on
/// `failed()` is true, all reads give 0, and the method must return at once (a JavaScript exception is pending).
class Args {
 public:
  explicit Args(const Napi::CallbackInfo& info) : info_(info) {}

  bool failed() const { return failed_; }

  uint32_t u32(size_t index, const char* name) {
    return static_cast<uint32_t>(integer(index, name, 0, std::numeric_limits<uint32_t>::max()));
  }

  int32_t i32(size_t index, const char* name) {
    return static_cast<int32_t>(
        integer(index, name, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
  }

  /// Any finite number.
  double f64(size_t index, const char* name) {
    double value = 0;
    if (!number(index, value) || !std::isfinite(value)) {
      reject(name, "a finite number");
      return 0;
    }
    return value;
  }

  /// The memory of a Uint8Array (over an ArrayBuffer or a SharedArrayBuffer). Valid during this call only.
  std::span<uint8_t> bytes(size_t index, const char* name) {
    if (failed_) return {};
    napi_typedarray_type type = napi_int8_array;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(info_.Env(), info_[index], &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array) {
      reject(name, "a Uint8Array");
      return {};
    }
    return {static_cast<uint8_t*>(data), data == nullptr ? 0 : length};
  }

  /// Throws a TypeError "<name>: expected <what>", unless one was thrown already.
  void reject(const char* name, const char* what) {
    if (failed_) return;
    failed_ = true;
    const std::string message = std::string(name) + ": expected " + what;
    napi_throw_type_error(info_.Env(), "ERR_ARGUMENT_INVALID", message.c_str());
  }

 private:
  bool number(size_t index, double& value) {
    return !failed_ && napi_get_value_double(info_.Env(), info_[index], &value) == napi_ok;
  }

  double integer(size_t index, const char* name, double low, double high) {
    double value = 0;
    if (!number(index, value) || !(value >= low && value <= high) || value != std::trunc(value)) {
      const std::string range = "an integer from " + std::to_string(static_cast<int64_t>(low)) + " to " +
                                std::to_string(static_cast<int64_t>(high));
      reject(name, range.c_str());
      return 0;
    }
    return value;
  }

  const Napi::CallbackInfo& info_;
  bool failed_ = false;
};

}  // namespace hearsay::binding
