// What every binding file needs. A binding file holds no logic: it reads arguments, calls a kernel, returns a number.
//
// How to write one (native/binding/counter.hpp):
//
//   namespace hearsay::binding {
//   class Counter : public KernelHandle<Counter, kernels::Counter> {
//    public:
//     static constexpr uint32_t kClassId = layout::kernel_id::counter;  // or class_id in addon_data.hpp
//     explicit Counter(const Napi::CallbackInfo& info) : KernelHandle(info) { rehome(info); }
//     Napi::Value add(const Napi::CallbackInfo& info) {  // (count: u32) -> number
//       Args args(info);
//       const uint32_t count = args.u32(0, "count");
//       if (args.failed()) return {};  // an exception is pending: return at once
//       return number(info, kernel_.add(count));
//     }
//   };
//   inline void register_counter(Napi::Env env, AddonData& data, Napi::Object exports) {
//     Counter::define(env, data, exports, "Counter",
//                     {Counter::method<&Counter::rehome>("rehome"), Counter::method<&Counter::add>("add")});
//   }
//   }  // namespace hearsay::binding
//
// Another handle as an argument: `HandleRef<Interner> names_;` and `if (!names_.set(info, 1, "names")) return {};`
// (type-checked, kept alive). For one call only: `Interner* names = handle_arg<Interner>(info, 1, "names");`, null when
// it has thrown. C++ exceptions are off: throw with napi_throw_* or Args::reject, and return. No statics, no calls into
// JavaScript, no objects on the hot path. The kernel must survive any bytes in the arena: other code of the process can
// write there.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/layout.hpp"
#include "addon_data.hpp"
#include "args.hpp"

namespace hearsay::binding {

/// The addon data of a call: methods and constructors made by Handle::define carry it.
inline AddonData& addon_data(const Napi::CallbackInfo& info) { return *static_cast<AddonData*>(info.Data()); }

/// A number as result. i32 and u32 results cost no heap allocation when they are small.
inline Napi::Value number(const Napi::CallbackInfo& info, double value) { return Napi::Number::New(info.Env(), value); }

/// The C++ object behind `value`, or null when `value` is not an object of class T made by this copy of the addon.
template <typename T>
T* unwrap(napi_env env, napi_value value, const AddonData& data) {
  void* object = nullptr;
  if (value == nullptr || napi_unwrap(env, value, &object) != napi_ok) return nullptr;
  return data.live->has(object, T::kClassId) ? static_cast<T*>(object) : nullptr;
}

/// Argument `index` as a handle of class T. Throws a TypeError and returns null when it is something else.
template <typename T>
T* handle_arg(const Napi::CallbackInfo& info, size_t index, const char* name) {
  T* object = unwrap<T>(info.Env(), info[index], addon_data(info));
  if (object == nullptr) Args(info).reject(name, "a native handle of this addon");
  return object;
}

/// A handle that another handle works with, kept alive for as long.
template <typename T>
class HandleRef {
 public:
  /// Takes argument `index`. On failure a TypeError is pending, the former target stays, and the result is false.
  bool set(const Napi::CallbackInfo& info, size_t index, const char* name) {
    T* object = handle_arg<T>(info, index, name);
    if (object == nullptr) return false;
    object_ = object;
    reference_ = Napi::Persistent(info[index].template As<Napi::Object>());
    return true;
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }

 private:
  T* object_ = nullptr;
  Napi::ObjectReference reference_;
};

/// Memory that TypeScript owns and a kernel borrows. Holds a strong reference to the view it came through, so the memory
/// lives as long as the handle. An ArrayBuffer must not be transferred away meanwhile: lend() in src/kernels/native.ts
/// marks it.
class Arena {
 public:
  /// Takes argument `index`, a Uint8Array that begins at the start of an arena of this kernel. Checks alignment, header
  /// and length; throws an Error with code ERR_ARENA_INVALID and returns false when something is wrong, and keeps what
  /// it had.
  bool attach(const Napi::CallbackInfo& info, size_t index, uint32_t kernel_id) {
    Args args(info);
    const auto view = args.bytes(index, "arena");
    if (args.failed()) return false;
    if (view.size() < layout::kHeaderBytes) return refuse(info, "shorter than its header", view.size());
    if (reinterpret_cast<uintptr_t>(view.data()) % 8 != 0) return refuse(info, "not 8-byte aligned", view.size());
    const uint32_t magic = word(view.data(), layout::header::magic);
    if (magic != layout::kArenaMagic) return refuse(info, "wrong magic", magic);
    const uint32_t version = word(view.data(), layout::header::layoutVersion);
    if (version != layout::kLayoutVersion) return refuse(info, "wrong layout version", version);
    const uint32_t kernel = word(view.data(), layout::header::kernelId);
    if (kernel != kernel_id) return refuse(info, "made for another kernel", kernel);
    const uint32_t bytes = word(view.data(), layout::header::byteLength);
    if (bytes < layout::kHeaderBytes || bytes > view.size()) return refuse(info, "wrong byteLength", bytes);
    data_ = view.data();
    size_ = bytes;
    reference_ = Napi::Persistent(info[index].As<Napi::Object>());
    return true;
  }

  /// Throws the Error of a bad arena; for checks that only the kernel can make (its section sizes). Returns false.
  static bool refuse(const Napi::CallbackInfo& info, const char* why, uint64_t found) {
    const std::string message = std::string("arena refused: ") + why + " (found " + std::to_string(found) + ")";
    napi_throw_error(info.Env(), "ERR_ARENA_INVALID", message.c_str());
    return false;
  }

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  static uint32_t word(const uint8_t* at, uint32_t offset) {
    uint32_t value = 0;
    std::memcpy(&value, at + offset, sizeof value);
    return value;
  }

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  Napi::ObjectReference reference_;
};

/// Base of every exported class. Methods made with `method<>` check their receiver before they touch it: napi_unwrap
/// gives whatever pointer an object wraps, so `Interner.prototype.intern.call(table)` could read one class as another.
template <typename Derived>
class Handle : public Napi::ObjectWrap<Derived> {
 public:
  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Derived>(info), live_(addon_data(info).live) {
    live_->add(static_cast<Derived*>(this), Derived::kClassId);
  }
  ~Handle() override { live_->remove(static_cast<Derived*>(this)); }

  /// One method of the class or of its base. Its data pointer is filled in by define().
  template <auto method_pointer>
  static napi_property_descriptor method(const char* name) {
    napi_property_descriptor descriptor{};
    descriptor.utf8name = name;
    descriptor.method = &call<method_pointer>;
    descriptor.attributes = napi_default_method;
    return descriptor;
  }

  /// Makes the JavaScript class and exports it under `name`.
  static void define(Napi::Env env, AddonData& data, Napi::Object exports, const char* name,
                     std::initializer_list<napi_property_descriptor> methods) {
    std::vector<Napi::ClassPropertyDescriptor<Derived>> properties;
    properties.reserve(methods.size());
    for (napi_property_descriptor descriptor : methods) {
      descriptor.data = &data;
      properties.emplace_back(descriptor);
    }
    exports.Set(name, Napi::ObjectWrap<Derived>::DefineClass(env, name, properties, &data));
  }

 private:
  template <auto method_pointer>
  static napi_value call(napi_env env, napi_callback_info raw) {
    const Napi::CallbackInfo info(env, raw);
    Derived* self = unwrap<Derived>(env, info.This(), addon_data(info));
    if (self == nullptr) {
      napi_throw_type_error(env, "ERR_INVALID_THIS", "Illegal invocation: the receiver is not a handle of this class");
      return nullptr;
    }
    return (self->*method_pointer)(info);
  }

  std::shared_ptr<LiveHandles> live_;
};

/// Base of the classes whose work is done by a kernel in an arena.
template <typename Derived, typename Kernel>
class KernelHandle : public Handle<Derived> {
 public:
  using Handle<Derived>::Handle;

  /// (arena: Uint8Array) -> void; also the first argument of the constructor, which has to call this. When it throws, the handle
  /// keeps its old arena.
  Napi::Value rehome(const Napi::CallbackInfo& info) {
    Arena next;
    if (!next.attach(info, 0, Derived::kClassId)) return {};
    if (!static_cast<Derived*>(this)->attach(next.data(), next.size())) {
      Arena::refuse(info, "sections do not fit", next.size());
      return {};
    }
    arena_ = std::move(next);
    return info.Env().Undefined();
  }

  /// Lets the kernel check the arena and go on in it. A class whose kernel needs more has its own.
  bool attach(uint8_t* data, size_t size) { return kernel_.attach(data, size); }

  /// For kernels that work with this one. The address stays the same for the life of the handle.
  Kernel* kernel() { return &kernel_; }

 protected:
  Kernel kernel_;

 private:
  Arena arena_;  // keeps the memory alive
};

}  // namespace hearsay::binding
