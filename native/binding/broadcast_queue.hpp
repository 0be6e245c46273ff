#pragma once

#include <napi.h>

#include "../kernels/broadcast_queue.hpp"
#include "handle.hpp"

namespace hearsay::binding {

class BroadcastQueue : public KernelHandle<BroadcastQueue, kernels::BroadcastQueue> {
 public:
  static constexpr uint32_t kClassId = layout::kernel_id::broadcastQueue;

  explicit BroadcastQueue(const Napi::CallbackInfo& info) : KernelHandle(info) { rehome(info); }

  /// (count: u32) -> number of items queued.
  Napi::Value enqueue(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t count = args.u32(0, "count");
    if (!args.failed() && count > kernel_.item_capacity()) args.reject("count", "at most the item capacity");
    if (args.failed()) return {};
    return number(info, kernel_.enqueue(count));
  }

  /// (count: u32, transmitLimit: u32, userShare: u32) -> number of packets with something in them.
  Napi::Value fill(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t count = args.u32(0, "count");
    const uint32_t transmit_limit = args.u32(1, "transmitLimit");
    const uint32_t user_share = args.u32(2, "userShare");
    if (!args.failed() && count > kernel_.request_capacity()) args.reject("count", "at most the request capacity");
    if (!args.failed() && user_share > 256) args.reject("userShare", "at most 256");
    if (args.failed()) return {};
    return number(info, kernel_.fill(count, transmit_limit, user_share));
  }

  /// (key: u32) -> void.
  Napi::Value invalidate(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t key = args.u32(0, "key");
    if (args.failed()) return {};
    kernel_.invalidate(key);
    return info.Env().Undefined();
  }

  /// (lane: u32, keep: u32) -> void.
  Napi::Value prune(const Napi::CallbackInfo& info) {
    Args args(info);
    const uint32_t lane = args.u32(0, "lane");
    const uint32_t keep = args.u32(1, "keep");
    if (!args.failed() && lane > layout::lane::user) args.reject("lane", "0 or 1");
    if (args.failed()) return {};
    kernel_.prune(lane, keep);
    return info.Env().Undefined();
  }
};

inline void register_broadcast_queue(Napi::Env env, AddonData& data, Napi::Object exports) {
  BroadcastQueue::define(env, data, exports, "BroadcastQueue",
                         {BroadcastQueue::method<&BroadcastQueue::rehome>("rehome"),
                          BroadcastQueue::method<&BroadcastQueue::enqueue>("enqueue"),
                          BroadcastQueue::method<&BroadcastQueue::fill>("fill"),
                          BroadcastQueue::method<&BroadcastQueue::invalidate>("invalidate"),
                          BroadcastQueue::method<&BroadcastQueue::prune>("prune")});
}

}  // namespace hearsay::binding
