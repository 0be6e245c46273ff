// The members one node knows, and the state machine of protocol §9 (MemberTable in src/kernels/contract.ts). The twin and
// specification is src/kernels/js/member-table.ts: same calls, same bytes.
//
// The codec's arena is only read. Offsets and lengths in its records are checked against it here once more, since any code
// of the process can write there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "interner.hpp"
#include "layout.hpp"
#include "member_rows.hpp"
#include "node_state.hpp"
#include "precedence.hpp"
#include "prng.hpp"
#include "profile_draft.hpp"
#include "record_view.hpp"

namespace hearsay::kernels {

class MemberTable {
 public:
  /// The interners outlive the table.
  bool attach(uint8_t* base, std::size_t length, Interner* names, Interner* profiles) {
    if (!rows_.attach(base, length)) return false;
    names_ = names;
    profiles_ = profiles;
    return true;
  }

  /// For kernels that read what a table holds.
  const MemberRows& rows() const { return rows_; }
  Interner& names() const { return *names_; }
  Interner& profiles() const { return *profiles_; }

  /// Applies records [first, first + count), which the caller has checked against view.capacity(); how many were used up.
  uint32_t merge(double now_ms, const RecordView& view, uint32_t first, uint32_t count, uint32_t flags) {
    const bool began = rows_.begin();
    rows_.word(layout::table::outCount) = 0;
    rows_.word(layout::table::need) = layout::need::none;
    uint32_t used = 0;
    for (; used < count; used++) {
      const uint32_t need = apply(now_ms, view, first + used, flags);
      if (need != layout::need::none) {
        rows_.word(layout::table::need) = need;
        break;
      }
    }
    rows_.end(began);
    return used;
  }

  uint32_t accuse(double now_ms, uint32_t slot, uint32_t kind, uint32_t incarnation) {
    using namespace layout;
    if (!rows_.is_used(slot) || (kind != message::suspect && kind != message::dead)) return 0;
    const bool began = rows_.begin();
    rows_.word(table::outCount) = 0;
    // What we say about ourselves we say as ourselves: From equals Node, which is a leave (§9.4 step 4).
    const uint32_t claimed = rows_.is_self(slot) ? status::left : status::dead;
    accuse_row(now_ms, slot, kind == message::suspect ? status::suspect : claimed, incarnation, kNoRecord);
    rows_.end(began);
    return rows_.word(table::outCount);
  }

  /// Slot of a name, or -1.
  int32_t find(std::span<const uint8_t> name) const {
    const uint32_t slot = rows_.slot_of(names_->lookup(name.data(), name.size()));
    return slot == MemberRows::kNone ? -1 : static_cast<int32_t>(slot);
  }

  int32_t next_probe(double now_ms, double reap_after_ms) {
    using namespace layout;
    rows_.word(table::outCount) = 0;
    for (uint32_t steps = 0; steps < rows_.live(); steps++) {
      uint32_t& index = rows_.word(table::probeIndex);
      if (index >= rows_.live()) {
        const bool began = rows_.begin();
        reap(now_ms, reap_after_ms);
        rows_.shuffle();
        index = 0;
        rows_.end(began);
        continue;
      }
      const uint32_t slot = rows_.slot_at(index++);
      if (!rows_.is_self(slot) && rows_.row(slot).status <= status::suspect) return static_cast<int32_t>(slot);
    }
    return -1;
  }

  void set_own_ext(uint32_t ext) {
    const uint32_t slot = rows_.word(layout::table::selfSlot) - 1;
    if (!rows_.is_used(slot) || rows_.row(slot).ext == ext) return;
    const bool began = rows_.begin();
    rows_.row(slot).ext = ext;
    rows_.touch();
    rows_.end(began);
  }

  uint32_t note_ext(uint32_t slot, uint32_t ext) {
    rows_.word(layout::table::outCount) = 0;
    if (!rows_.is_used(slot) || rows_.is_self(slot)) return 0;
    const bool began = rows_.begin();
    // No rebroadcast: the member tells everybody it talks to, as it told us.
    const bool changed = update_ext(slot, ext, rows_.row(slot).incarnation, layout::kNoRecord, 0);
    rows_.end(began);
    return changed ? 1 : 0;
  }

  /// Bytes that encode_state() will write.
  uint64_t state_size() const {
    SizeSink sink;
    write_state(sink);
    return sink.size();
  }

  /// Writes state_size() bytes.
  void encode_state(uint8_t* out) const {
    ByteSink sink(out);
    write_state(sink);
  }

 private:
  static constexpr uint32_t kNothing = 255;

  /// What a record claims about its member; kNothing for records that claim nothing.
  static uint32_t claim_of(const Record& record) {
    using namespace layout;
    switch (record.kind) {
      case message::alive:
        return status::alive;
      case message::suspect:
        return status::suspect;
      case message::dead:
        return status::dead;
      case message::pushPull:
        // What another node holds for dead is only a suspicion to us, so that the member gets its chance to refute (§7.6).
        if (record.status == status::dead) return status::suspect;
        return record.status <= status::left ? record.status : kNothing;
      default:
        return kNothing;
    }
  }

  /// Whether something that happened at `since_ms` (-1 = never) is more than `age_ms` ago.
  static bool is_older(double since_ms, double now_ms, double age_ms) {
    return since_ms < 0 || now_ms - since_ms > age_ms;
  }

  /// One record. need::none when it is used up, else what is missing; then nothing of it has been applied.
  uint32_t apply(double now_ms, const RecordView& view, uint32_t index, uint32_t merge_flags) {
    using namespace layout;
    const Record record = view.record(index);
    if ((record.flags & record_flag::refused) != 0) return need::none;
    uint32_t claim = claim_of(record);
    if (claim == kNothing) return need::none;
    if (record.name_length == 0 || record.name_length > kNameBytesMax) return need::none;
    if (!view.is_inside(record.name_offset, record.name_length)) return need::none;
    // Any record has at most one effect, so room for one is the worst case.
    if (rows_.is_out_full()) return need::out;
    const auto name = view.bytes(record.name_offset, record.name_length);
    const uint32_t slot = rows_.slot_of(names_->lookup(name.data(), name.size()));
    if (claim == status::alive) return apply_alive(now_ms, view, record, index, name, slot, merge_flags);
    if (slot == MemberRows::kNone) return need::none;
    if (record.kind == message::dead && record.from_length == record.name_length &&
        view.is_inside(record.from_offset, record.from_length) &&
        same_bytes(view.bytes(record.from_offset, record.from_length), name)) {
      claim = status::left;
    }
    accuse_row(now_ms, slot, claim, record.number, index);
    return need::none;
  }

  /// alive (§9.2). The step numbers are those of the protocol.
  uint32_t apply_alive(double now_ms, const RecordView& view, const Record& record, uint32_t index,
                       std::span<const uint8_t> name, uint32_t slot, uint32_t merge_flags) {
    using namespace layout;
    const bool is_bootstrap = (merge_flags & merge_flag::bootstrap) != 0;
    const bool is_created = slot == MemberRows::kNone;
    const bool is_self = rows_.word(table::selfSlot) == 0 ? is_bootstrap : (!is_created && rows_.is_self(slot));
    // 1. A node that has left stays left.
    if (is_self && rows_.word(table::leaving) != 0) return need::none;
    // 2. Versions that nobody can speak. (3, the filter, is the engine's.)
    if (record.vsn_length >= 3 && (record.vsn[0] == 0 || record.vsn[1] == 0 || record.vsn[0] > record.vsn[1])) {
      return need::none;
    }
    if ((record.ip_length != 4 && record.ip_length != 16) || !view.is_inside(record.ip_offset, record.ip_length)) {
      return need::none;
    }
    if (record.data_length > kMetaBytesMax || !view.is_inside(record.data_offset, record.data_length))
      return need::none;
    const uint32_t port = record.port != 0 ? record.port : rows_.word(table::defaultPort);
    const auto ip = view.bytes(record.ip_offset, record.ip_length);
    // Nearly all of a push/pull is no news: what follows would come to the same end.
    if (!is_created && !is_self && record.number <= rows_.row(slot).incarnation &&
        Profile(profiles_->bytes(rows_.row(slot).profile_id)).is_at(port, ip)) {
      update_ext(slot, record.ext, record.number, index, change_flag::rebroadcast);
      return need::none;
    }
    draft_.compose(record.vsn, record.vsn_length, port, ip, view.bytes(record.data_offset, record.data_length));

    // 4. A name we have not heard of.
    if (is_created) {
      const uint32_t missing = reserve(name, slot);
      if (missing != need::none) return missing;
    }
    Row& row = rows_.row(slot);
    const uint32_t known_status = row.status;
    const uint32_t known_incarnation = row.incarnation;
    const Profile known(profiles_->bytes(row.profile_id));
    uint32_t news_bits = (is_self ? news::self : 0) | (is_bootstrap ? news::bootstrap : 0);
    uint32_t flags = is_created ? change_flag::created : 0;

    // 5. Another address.
    if (!is_created && !draft_.is_same_address(known)) {
      if (!may_move(now_ms, row)) {
        rows_.push(change_kind::conflict, slot, known_status, known_incarnation, index, 0);
        return need::none;
      }
      news_bits |= news::address_update;
      flags |= change_flag::addressChanged;
    }

    // 6, 7, 9.
    const Verdict verdict = supersedes(known_status, known_incarnation, status::alive, record.number, news_bits);
    if (verdict == Verdict::refute || (verdict == Verdict::refute_if_different &&
                                       (!draft_.is_same_content(known) || ext_contradicts(row.ext, record.ext)))) {
      refute(slot, record.number, index);
      return need::none;
    }
    if (verdict != Verdict::accept) {
      if (!is_self && flags == 0) update_ext(slot, record.ext, record.number, index, change_flag::rebroadcast);
      return need::none;
    }

    if (!is_created) {
      draft_.keep_versions(known);
      if (!draft_.is_same_meta(known)) flags |= change_flag::metaChanged;
      if (!same_bytes(profiles_->bytes(row.profile_id), draft_.bytes())) {
        const uint32_t profile_id = profiles_->intern(draft_.bytes().data(), draft_.bytes().size());
        if (profile_id == 0) return need::profiles;
        const uint32_t old = row.profile_id;
        row.profile_id = profile_id;
        profiles_->release(old);
      }
    }
    // 8. From here on nothing can stop it.
    flags |= rows_.end_suspicion(slot);
    row.incarnation = record.number;
    if (is_self) {
      row.flags |= row_flag::self;
      rows_.word(table::selfSlot) = slot + 1;
      rows_.word(table::incarnation) = record.number;
    } else {
      const bool is_back = known_status == status::dead || known_status == status::left;
      if (is_back || ext_supersedes(row.ext, known_incarnation, record.ext, record.number)) {
        if (((record.ext ^ row.ext) & ext::stalled) != 0) flags |= change_flag::stallChanged;
        row.ext = record.ext;
      }
    }
    if (known_status != status::alive) rows_.set_status(slot, status::alive, now_ms);
    rows_.push(change_kind::alive, slot, known_status, record.number, index, flags | change_flag::rebroadcast);
    return need::none;
  }

  /// A row for an unknown name into `slot`; else what is missing, and then nothing has changed but the order of free ids.
  uint32_t reserve(std::span<const uint8_t> name, uint32_t& slot) {
    using namespace layout;
    if (!rows_.has_row()) return need::rows;
    const uint32_t profile_id = profiles_->intern(draft_.bytes().data(), draft_.bytes().size());
    if (profile_id == 0) return need::profiles;
    const uint32_t name_id = names_->intern(name.data(), name.size());
    // An interner shared with other tables may have grown while our index by name has not.
    if (name_id == 0 || name_id >= rows_.name_capacity()) {
      names_->release(name_id);
      profiles_->release(profile_id);
      return need::names;
    }
    slot = rows_.create(name_id, profile_id);
    return slot == MemberRows::kNone ? need::rows : need::none;
  }

  /// suspect, dead and left about a known member (§9.3, §9.4).
  void accuse_row(double now_ms, uint32_t slot, uint32_t claim, uint32_t incarnation, uint32_t record) {
    using namespace layout;
    Row& row = rows_.row(slot);
    const uint32_t known_status = row.status;
    const uint32_t news_bits = (rows_.is_self(slot) ? news::self : 0) |
                               ((row.flags & row_flag::suspicion) != 0 ? news::suspicion : 0) |
                               (rows_.word(table::leaving) != 0 ? news::leaving : 0);
    switch (supersedes(known_status, row.incarnation, claim, incarnation, news_bits)) {
      case Verdict::confirm:
        rows_.push(change_kind::confirm, slot, known_status, incarnation, record, 0);
        break;
      case Verdict::refute:
        refute(slot, incarnation, record);
        break;
      case Verdict::accept: {
        const bool is_suspect = claim == status::suspect;
        const uint32_t ended = is_suspect ? 0 : rows_.end_suspicion(slot);
        row.incarnation = incarnation;
        if (is_suspect) row.flags |= row_flag::suspicion;
        rows_.set_status(slot, claim, now_ms);
        rows_.push(is_suspect ? change_kind::suspect : change_kind::dead, slot, known_status, incarnation, record,
                   change_flag::rebroadcast | ended);
        break;
      }
      default:
        break;
    }
  }

  /// Raises our incarnation above an accusation (§9.5).
  void refute(uint32_t slot, uint32_t accused, uint32_t record) {
    uint32_t& own = rows_.word(layout::table::incarnation);
    own = refuting_incarnation(own, accused);
    Row& row = rows_.row(slot);
    row.incarnation = own;
    rows_.push(layout::change_kind::refute, slot, row.status, own, record, layout::change_flag::rebroadcast);
  }

  /// Takes over a newer extension word of a member that is not dead; true when a change was listed.
  bool update_ext(uint32_t slot, uint32_t ext, uint32_t incarnation, uint32_t record, uint32_t flags) {
    using namespace layout;
    Row& row = rows_.row(slot);
    if (row.status > status::suspect || rows_.is_out_full()) return false;
    if (!ext_supersedes(row.ext, row.incarnation, ext, incarnation)) return false;
    if (((ext ^ row.ext) & ext::stalled) != 0) flags |= change_flag::stallChanged;
    row.ext = ext;
    rows_.push(change_kind::ext, slot, row.status, row.incarnation, record, flags);
    return true;
  }

  /// Removes dead and left members whose time is over (§14.3). Never ourselves: a node that left still has to answer.
  void reap(double now_ms, double reap_after_ms) {
    using namespace layout;
    uint32_t position = 0;
    while (position < rows_.live() && !rows_.is_out_full()) {
      const uint32_t slot = rows_.slot_at(position);
      const Row& row = rows_.row(slot);
      if (row.status <= status::suspect || rows_.is_self(slot) ||
          !is_older(row.status_since_ms, now_ms, reap_after_ms)) {
        position++;
        continue;
      }
      rows_.push(change_kind::reap, slot, row.status, row.incarnation, kNoRecord, 0);
      names_->release(row.name_id);
      profiles_->release(row.profile_id);
      rows_.remove(position);
    }
  }

  /// A dead member may come back elsewhere after deadReclaimMs, one that left at any time (§9.2 step 5).
  bool may_move(double now_ms, const Row& row) const {
    if (row.status == layout::status::left) return true;
    const double reclaim_ms = rows_.dead_reclaim_ms();
    return row.status == layout::status::dead && reclaim_ms > 0 && is_older(row.status_since_ms, now_ms, reclaim_ms);
  }

  template <typename Sink>
  void write_state(Sink& sink) const {
    NodeStateWriter<Sink> writer(sink);
    const uint32_t live = rows_.live();
    for (uint32_t i = 0; i < live; i++) {
      const Row& row = rows_.row(rows_.slot_at(i));
      writer.write(row, names_->bytes(row.name_id), Profile(profiles_->bytes(row.profile_id)));
    }
  }

  MemberRows rows_;
  ProfileDraft draft_;
  Interner* names_ = nullptr;
  Interner* profiles_ = nullptr;
};

}  // namespace hearsay::kernels
