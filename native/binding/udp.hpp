// UdpSocket: io::UdpSocket on the event loop of its own environment. Linux only.
//
//   new UdpSocket(ip, port, bufferBytes, onEvents)   throws an Error with the system's code (EADDRINUSE...)
//   port() -> number
//   receive(ring) -> count, or -errno                 descriptors and slots, src/transport/udp-layout.ts
//   send(memory, count) -> failed * 65536 + taken
//   errors(ring) -> count of refusals
//   watch(writable) -> 0 or -errno                    whether onEvents also wants to hear that sending is possible
//   ref(), unref(), kernelDrops()
//   close()                                           onEvents(kClosed) follows when it is done
//
// onEvents(bits) is called once per readiness: 1 readable, 2 writable, 8 refusals are waiting, 16 closed, 32 broken.
#pragma once

#include <napi.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <string>

#include "../io/udp_batch.hpp"
#include "handle.hpp"
#include "uv.hpp"

namespace hearsay::binding {

class UdpSocket : public Handle<UdpSocket> {
 public:
  static constexpr uint32_t kClassId = class_id::udp_socket;
  static constexpr uint32_t kEventClosed = 16;
  static constexpr uint32_t kEventBroken = 32;

  explicit UdpSocket(const Napi::CallbackInfo& info) : Handle(info) {
    Args args(info);
    const auto ip = args.bytes(0, "ip");
    if (!args.failed() && ip.size() != 4 && ip.size() != 16) args.reject("ip", "4 or 16 bytes");
    const uint32_t port = args.u32(1, "port");
    if (port > 65535) args.reject("port", "at most 65535");
    const uint32_t buffer_bytes = args.u32(2, "bufferBytes");
    if (buffer_bytes > (1u << 30)) args.reject("bufferBytes", "at most 1 GiB");
    if (!args.failed() && !info[3].IsFunction()) args.reject("onEvents", "a function");
    if (args.failed() || info.Env().IsExceptionPending()) return;
    state_ = State::open(info.Env(), this, ip, static_cast<uint16_t>(port), static_cast<int>(buffer_bytes), info[3]);
  }

  ~UdpSocket() override {
    if (state_ != nullptr) state_->orphan();
  }

  Napi::Value port(const Napi::CallbackInfo& info) {
    return number(info, state_ == nullptr ? 0 : state_->socket.port());
  }

  Napi::Value receive(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto ring = args.bytes(0, "ring");
    if (args.failed()) return {};
    return number(info, is_open() ? state_->socket.receive(ring) : -EBADF);
  }

  Napi::Value send(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto memory = args.bytes(0, "memory");
    const uint32_t count = args.u32(1, "count");
    if (args.failed()) return {};
    if (!is_open()) return number(info, 0);
    const auto sent = state_->socket.send(memory, count);
    return number(info, sent.failed * 65536.0 + sent.taken);
  }

  Napi::Value errors(const Napi::CallbackInfo& info) {
    Args args(info);
    const auto ring = args.bytes(0, "ring");
    if (args.failed()) return {};
    return number(info, is_open() ? state_->socket.errors(ring) : 0);
  }

  Napi::Value watch(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t writable = args.u32(0, "writable");
    if (args.failed()) return {};
    if (!is_open()) return number(info, -EBADF);
    state_->events = UV_READABLE | UV_PRIORITIZED | (writable != 0 ? UV_WRITABLE : 0);
    return number(info, uv_poll_start(state_->poll(), state_->events, &State::on_poll));
  }

  Napi::Value ref(const Napi::CallbackInfo& info) {
    if (is_open()) uv_ref(state_->handle());
    return info.Env().Undefined();
  }

  Napi::Value unref(const Napi::CallbackInfo& info) {
    if (is_open()) uv_unref(state_->handle());
    return info.Env().Undefined();
  }

  Napi::Value kernel_drops(const Napi::CallbackInfo& info) {
    return number(info, is_open() ? state_->socket.kernel_drops() : 0);
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    if (state_ != nullptr) state_->begin_close();
    return info.Env().Undefined();
  }

 private:
  /// What the loop holds on to. libuv uses a handle until its close callback has run, which is after the JavaScript object
  /// may be gone (collected, or its worker terminated); so this lives by itself and is freed in that callback, always.
  struct State {
    io::UdpSocket socket;
    napi_env env = nullptr;
    UdpSocket* owner = nullptr;
    napi_ref callback = nullptr;
    napi_async_cleanup_hook_handle hook = nullptr;
    void* memory = nullptr;
    int events = 0;
    bool closing = false;
    /// The environment is shutting down: JavaScript can no longer run.
    bool teardown = false;

    uv_poll_t* poll() const { return static_cast<uv_poll_t*>(memory); }
    uv_handle_t* handle() const { return reinterpret_cast<uv_handle_t*>(memory); }

    static State* open(napi_env env, UdpSocket* owner, std::span<const uint8_t> ip, uint16_t port, int buffer_bytes,
                       napi_value callback) {
      auto* state = new State();
      state->env = env;
      state->owner = owner;
      int status = state->socket.open(ip, port, buffer_bytes);
      uv_loop_s* loop = nullptr;
      if (status == 0 && napi_get_uv_event_loop(env, &loop) != napi_ok) status = -ENOTSUP;
      if (status == 0) {
        state->memory = ::operator new(uv_handle_size(UV_POLL));
        status = uv_poll_init(loop, state->poll(), state->socket.fd());
        if (status != 0) {
          ::operator delete(state->memory);
          state->memory = nullptr;
        }
      }
      if (status != 0) {
        delete state;
        napi_throw_error(env, uv_err_name(status), uv_strerror(status));
        return nullptr;
      }
      uv_handle_set_data(state->handle(), state);
      napi_create_reference(env, callback, 1, &state->callback);
      // An async hook, not a plain one: Node runs the loop until it is removed, and a worker's loop must have no open
      // handle left when it is destroyed.
      napi_add_async_cleanup_hook(env, &on_teardown, state, &state->hook);
      state->events = UV_READABLE | UV_PRIORITIZED;
      uv_poll_start(state->poll(), state->events, &on_poll);
      return state;
    }

    /// The JavaScript object is gone.
    void orphan() {
      owner = nullptr;
      begin_close();
    }

    void begin_close() {
      if (closing) return;
      closing = true;
      uv_poll_stop(poll());
      uv_close(handle(), &on_closed);
    }

    static void on_teardown(napi_async_cleanup_hook_handle, void* data) {
      auto* state = static_cast<State*>(data);
      state->teardown = true;
      state->begin_close();
    }

    static void on_closed(uv_handle_t* handle) {
      auto* state = static_cast<State*>(uv_handle_get_data(handle));
      state->socket.close();
      if (state->owner != nullptr) state->owner->state_ = nullptr;
      if (!state->teardown) {
        if (state->owner != nullptr) state->notify(kEventClosed);
        napi_delete_reference(state->env, state->callback);
      }
      // At teardown the environment frees the reference itself; this call tells it that we are done.
      napi_remove_async_cleanup_hook(state->hook);
      ::operator delete(state->memory);
      delete state;
    }

    static void on_poll(uv_poll_t* poll, int status, int ready) {
      auto* state = static_cast<State*>(uv_handle_get_data(reinterpret_cast<uv_handle_t*>(poll)));
      if (state->closing) return;
      if (status >= 0) {
        state->notify(static_cast<uint32_t>(ready));
        return;
      }
      // libuv stops a handle whose descriptor has an error. For a datagram socket that is a refusal or a passing fault
      // of the network device: start again. A descriptor that really broke fails to start.
      state->notify(UV_READABLE | UV_PRIORITIZED);
      if (state->closing) return;
      if (uv_poll_start(state->poll(), state->events, &on_poll) != 0) state->notify(kEventBroken);
    }

    void notify(uint32_t bits) {
      if (teardown) return;
      Napi::HandleScope scope(env);
      napi_value receiver = nullptr;
      napi_value function = nullptr;
      napi_value argument = nullptr;
      if (napi_get_global(env, &receiver) != napi_ok || napi_get_reference_value(env, callback, &function) != napi_ok ||
          function == nullptr || napi_create_uint32(env, bits, &argument) != napi_ok) {
        return;
      }
      if (napi_make_callback(env, nullptr, receiver, function, 1, &argument, nullptr) != napi_pending_exception) return;
      // We are at the bottom of the stack: an exception of the callback becomes an uncaught one. While a worker is being
      // terminated there is nothing to hand over.
      napi_value error = nullptr;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
    }
  };

  bool is_open() const { return state_ != nullptr && !state_->closing; }

  State* state_ = nullptr;
};

inline void register_udp(Napi::Env env, AddonData& data, Napi::Object exports) {
  UdpSocket::define(
      env, data, exports, "UdpSocket",
      {UdpSocket::method<&UdpSocket::port>("port"), UdpSocket::method<&UdpSocket::receive>("receive"),
       UdpSocket::method<&UdpSocket::send>("send"), UdpSocket::method<&UdpSocket::errors>("errors"),
       UdpSocket::method<&UdpSocket::watch>("watch"), UdpSocket::method<&UdpSocket::ref>("ref"),
       UdpSocket::method<&UdpSocket::unref>("unref"), UdpSocket::method<&UdpSocket::kernel_drops>("kernelDrops"),
       UdpSocket::method<&UdpSocket::close>("close")});
}

}  // namespace hearsay::binding
