// Transmit-limited broadcast queue over one arena. src/kernels/js/broadcast-queue.ts is the specification, including the
// rule by which the two lanes share a packet; after the same calls both leave the same bytes behind.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "broadcast_heap.hpp"
#include "broadcast_index.hpp"
#include "broadcast_lane.hpp"
#include "broadcast_view.hpp"

namespace hearsay::kernels {

class BroadcastQueue {
 public:
  BroadcastQueue() = default;
  BroadcastQueue(const BroadcastQueue&) = delete;  // the parts refer to view_
  BroadcastQueue& operator=(const BroadcastQueue&) = delete;

  /// False, and the old arena kept, when the sections do not fill the arena.
  bool attach(uint8_t* data, size_t size) {
    QueueView next;
    if (!next.attach(data, size)) return false;
    view_ = next;
    return true;
  }

  uint32_t item_capacity() const { return view_.item_capacity; }
  uint32_t request_capacity() const { return view_.request_capacity; }

  /// Queues items [0, count); count is at most item_capacity(). Returns how many were queued.
  uint32_t enqueue(uint32_t count) {
    view_.word(layout::queue::finishedCount) = 0;
    uint32_t queued = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (enqueue_item(view_.words_at(view_.items + i * layout::queue_item::stride))) queued++;
    }
    return queued;
  }

  /// Fills packets [0, count); count is at most request_capacity(). Returns how many have a length above 0.
  uint32_t fill(uint32_t count, uint32_t transmit_limit, uint32_t user_share) {
    view_.word(layout::queue::finishedCount) = 0;
    uint32_t filled = 0;
    uint32_t top = 0;
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t length = fill_packet(i, top, transmit_limit, user_share);
      if (length == 0) continue;
      top = static_cast<uint32_t>(layout::align8(uint64_t{top} + length));
      filled++;
    }
    return filled;
  }

  void invalidate(uint32_t key) {
    view_.word(layout::queue::finishedCount) = 0;
    const uint32_t found = key == 0 ? 0 : index_.find(key);
    if (found != 0) remove(found - 1);
  }

  /// Keeps the first `keep` entries of lane 0 or 1.
  void prune(uint32_t lane_number, uint32_t keep) {
    view_.word(layout::queue::finishedCount) = 0;
    BroadcastLane& victims = lane(lane_number);
    while (victims.count() > keep) release(victims.remove_last());
  }

 private:
  bool enqueue_item(const uint32_t* item) {
    const uint32_t key = item[layout::queue_item::key / 4];
    const uint32_t offset = item[layout::queue_item::offset / 4];
    const uint32_t length = item[layout::queue_item::length / 4];
    const uint32_t prefix = item[layout::queue_item::prefix / 4];
    const uint32_t lane_number = item[layout::queue_item::lane / 4] & 0xffff;
    if (length == 0 || length > layout::kBlockBytesMax || lane_number > layout::lane::user || prefix > length) {
      return false;
    }
    if (uint64_t{offset} + length > view_.in_bytes) return false;

    const uint32_t old = key == 0 ? 0 : index_.find(key);
    if (old != 0) {
      remove(old - 1);
      view_.word(layout::queue::invalidatedCount)++;
    }
    if (!make_room(lane_number, length)) return false;

    const uint32_t index = new_entry();
    const QueueEntry entry = view_.entry(index);
    entry.key() = key;
    entry.length() = length;
    entry.set_id(take_next_id());
    entry.token() = item[layout::queue_item::token / 4];
    entry.transmits() = item[layout::queue_item::lane / 4] >> 16;
    entry.facts() = prefix | (lane_number << 16) | (uint32_t{QueueEntry::kQueued} << 24);
    heap_.push(index, view_.base + view_.in + offset, length);
    lane(lane_number).insert(index);
    lane_bytes(lane_number) += length;
    view_.word(layout::header::live)++;
    if (key != 0) index_.put(key, index);
    return true;
  }

  /// Evicts until a message of `length` fits: the last in order of the user lane, else of the same lane. False, and
  /// nothing evicted, when a user message does not fit beside the membership lane.
  bool make_room(uint32_t lane_number, uint32_t length) {
    const uint32_t budget = view_.heap_bytes - (view_.heap_bytes >> 2);
    if (lane_number == layout::lane::user) {
      if (membership_.count() >= view_.capacity) return false;
      if (uint64_t{lane_bytes(0)} + length > budget) return false;
    }
    while (view_.word(layout::header::live) >= view_.capacity ||
           uint64_t{lane_bytes(0)} + lane_bytes(1) + length > budget) {
      BroadcastLane& victims = user_.count() > 0 ? user_ : lane(lane_number);
      if (victims.count() == 0) return false;
      release(victims.remove_last());
      view_.word(layout::queue::evictedCount)++;
    }
    return true;
  }

  uint32_t fill_packet(uint32_t number, uint32_t top, uint32_t transmit_limit, uint32_t user_share) {
    const uint32_t* request = view_.words_at(view_.requests + number * layout::queue_request::stride);
    uint32_t* packet = view_.words_at(view_.packets + number * layout::queue_packet::stride);
    const uint32_t lead_offset = request[layout::queue_request::leadOffset / 4];
    const uint32_t lead_length = request[layout::queue_request::leadLength / 4];
    const uint32_t flags = request[layout::queue_request::flags / 4];
    const int64_t room = int64_t{view_.out_bytes} - top;
    std::memset(packet, 0, layout::queue_packet::stride);
    if (lead_length > 0 && (lead_length > room || uint64_t{lead_offset} + lead_length > view_.in_bytes)) return 0;

    // Type byte and count, and the lead's own place in the table of lengths.
    const int64_t framing = lead_length > 0 ? 2 + kPartOverhead : 2;
    int64_t limit = std::min(int64_t{request[layout::queue_request::limit / 4]}, room - int64_t{lead_length} - framing);
    if (lead_length > 0xffff) limit = 0;
    PacketDraft draft;
    take(draft, limit, lead_length > 0 ? layout::kCompoundPartsMax - 1 : layout::kCompoundPartsMax, user_share);

    const uint32_t parts = draft.count + (lead_length > 0 ? 1 : 0);
    if (parts == 0) return 0;
    uint8_t* start = view_.base + view_.out + top;
    const bool extended = (flags & layout::request_flag::extended) != 0;
    const uint32_t length = write(draft, start, parts, view_.base + view_.in + lead_offset, lead_length, extended);
    packet[layout::queue_packet::offset / 4] = view_.out + top;
    packet[layout::queue_packet::length / 4] = length;
    packet[layout::queue_packet::parts / 4] = parts;
    view_.word(layout::queue::transmittedCount) += draft.count;
    settle(draft, transmit_limit);
    return length;
  }

  /// Chooses the messages of one packet.
  void take(PacketDraft& draft, int64_t limit, uint32_t parts_max, uint32_t user_share) {
    if (limit <= kPartOverhead) return;
    const uint32_t reserved = reserve(static_cast<uint32_t>(limit), user_share);
    if (reserved == 0) {
      membership_.take(draft, limit, parts_max);
    } else {
      const uint32_t parts = std::max(1u, (parts_max * user_share) >> 8);
      membership_.take(draft, limit - reserved, parts_max - std::min(parts, user_.count()));
    }
    const uint32_t before = draft.used_bytes;
    user_.take(draft, limit, parts_max);
    const uint32_t spent = draft.used_bytes - before;
    uint32_t& credit = view_.word(layout::queue::userCredit);
    if (spent > 0) credit = credit > spent ? credit - spent : 0;
    if (reserved > 0) membership_.take(draft, limit, parts_max);
  }

  /// Bytes of this packet kept for the user lane; collects its credit.
  uint32_t reserve(uint32_t limit, uint32_t user_share) {
    uint32_t& credit = view_.word(layout::queue::userCredit);
    const uint32_t count = user_.count();
    if (count == 0 || user_share == 0) {
      credit = 0;
      return 0;
    }
    const uint32_t smallest = user_.smallest() + kPartOverhead;
    if (smallest > limit) return 0;
    const uint64_t share = std::max<uint64_t>(1, uint64_t{limit} * user_share / 256);
    const uint32_t saved = static_cast<uint32_t>(std::min<uint64_t>(credit + share, limit));
    credit = saved;
    if (saved < smallest) return 0;
    const uint64_t pending = uint64_t{lane_bytes(1)} + uint64_t{kPartOverhead} * count;
    return static_cast<uint32_t>(std::min<uint64_t>(saved, pending));
  }

  /// Writes the packet and returns its length: the bare message when there is one, else a compound (protocol section 6.1).
  uint32_t write(const PacketDraft& draft, uint8_t* start, uint32_t parts, const uint8_t* lead, uint32_t lead_length,
                 bool extended) const {
    uint8_t* table = start;
    uint8_t* end = start;
    if (parts > 1) {
      start[0] = layout::message::compound;
      start[1] = static_cast<uint8_t>(parts);
      table = start + 2;
      end = table + kPartOverhead * parts;
    }
    const auto note_length = [&table, parts](uint32_t length) {
      if (parts < 2) return;
      *table++ = static_cast<uint8_t>(length >> 8);
      *table++ = static_cast<uint8_t>(length);
    };
    if (lead_length > 0) {
      note_length(lead_length);
      std::memcpy(end, lead, lead_length);
      end += lead_length;
    }
    for (uint32_t i = 0; i < draft.count; i++) {
      const uint8_t* from = view_.base + view_.heap + draft.offsets[i];
      uint32_t length = draft.lengths[i];
      const uint32_t prefix = std::min(view_.entry(draft.entries[i]).prefix(), length);
      const uint8_t* part = end;
      if (prefix > 0 && !extended) {
        *end++ = layout::message::user;
        from += prefix;
        length -= prefix;
      }
      std::memcpy(end, from, length);
      end += length;
      note_length(static_cast<uint32_t>(end - part));
    }
    return static_cast<uint32_t>(end - start);
  }

  /// Counts the transmission of all taken entries; those at their limit leave the queue.
  void settle(const PacketDraft& draft, uint32_t transmit_limit) {
    membership_.settle(transmit_limit);
    user_.settle(transmit_limit);
    for (uint32_t i = 0; i < draft.count; i++) {
      if (view_.entry(draft.entries[i]).state() == QueueEntry::kTaken) release(draft.entries[i]);
    }
  }

  BroadcastLane& lane(uint32_t number) { return number == layout::lane::user ? user_ : membership_; }
  uint32_t& lane_bytes(uint32_t number) const {
    return view_.word(number == layout::lane::user ? layout::queue::laneBytes1 : layout::queue::laneBytes0);
  }

  double take_next_id() {
    uint8_t* at = view_.base + layout::queue::nextId;
    double id;
    std::memcpy(&id, at, sizeof id);
    const double next = id + 1;
    std::memcpy(at, &next, sizeof next);
    return id;
  }

  uint32_t new_entry() {
    const uint32_t free = view_.word(layout::queue::freeEntry);
    if (free == 0) {
      const uint32_t top = view_.clamped(layout::queue::entryTop, view_.capacity - 1);
      view_.word(layout::queue::entryTop) = top + 1;
      return top;
    }
    const uint32_t index = free <= view_.capacity ? free - 1 : 0;
    const QueueEntry entry = view_.entry(index);
    view_.word(layout::queue::freeEntry) = entry.next();
    entry.next() = 0;
    return index;
  }

  void remove(uint32_t index) {
    lane(view_.entry(index).lane()).remove(index);
    release(index);
  }

  /// Reports and zeroes an entry that has left the order of its lane.
  void release(uint32_t index) {
    const QueueEntry entry = view_.entry(index);
    const uint32_t lane_number = entry.lane();
    uint32_t& finished = view_.word(layout::queue::finishedCount);
    if (entry.token() != 0 && finished < view_.finished_capacity) {
      view_.words_at(view_.finished)[finished++] = entry.token();
    }
    if (entry.key() != 0) index_.remove(entry.key());
    heap_.drop(index);
    lane_bytes(lane_number) -= entry.length();
    std::memset(entry.words, 0, layout::queue_entry::stride);
    entry.next() = view_.word(layout::queue::freeEntry);
    view_.word(layout::queue::freeEntry) = index + 1;
    uint32_t& live = view_.word(layout::header::live);
    if (--live == 0) {
      const double first = 1;
      std::memcpy(view_.base + layout::queue::nextId, &first, sizeof first);
    }
  }

  QueueView view_;
  BroadcastHeap heap_{view_};
  BroadcastIndex index_{view_};
  BroadcastLane membership_{view_, layout::lane::membership};
  BroadcastLane user_{view_, layout::lane::user};
};

}  // namespace hearsay::kernels
