// Which news replaces what we know (protocol §9.2 to §9.5). src/kernels/js/precedence.ts is the specification; incarnations are
// compared here and nowhere else.
#pragma once

#include <cstdint>

#include "layout.hpp"

namespace hearsay {

enum class Verdict : uint32_t { ignore, accept, confirm, refute, refute_if_different };

namespace news {
inline constexpr uint32_t self = 1;
inline constexpr uint32_t suspicion = 2;
inline constexpr uint32_t leaving = 4;
inline constexpr uint32_t bootstrap = 8;
inline constexpr uint32_t address_update = 16;
}  // namespace news

inline Verdict supersedes(uint32_t known_status, uint32_t known_incarnation, uint32_t new_status,
                          uint32_t new_incarnation, uint32_t news_bits) {
  const bool is_self = (news_bits & news::self) != 0;
  switch (new_status) {
    case layout::status::alive:
      if (is_self) {
        if ((news_bits & news::leaving) != 0 || new_incarnation < known_incarnation) return Verdict::ignore;
        if ((news_bits & news::bootstrap) != 0) return Verdict::accept;
        return new_incarnation == known_incarnation ? Verdict::refute_if_different : Verdict::refute;
      }
      // An alive at the incarnation of a suspicion does not end it: only the accused may, by raising its incarnation.
      return new_incarnation > known_incarnation || (news_bits & news::address_update) != 0 ? Verdict::accept
                                                                                            : Verdict::ignore;
    case layout::status::suspect:
      if (new_incarnation < known_incarnation) return Verdict::ignore;
      if ((news_bits & news::suspicion) != 0) return Verdict::confirm;
      if (known_status != layout::status::alive) return Verdict::ignore;
      return is_self ? Verdict::refute : Verdict::accept;
    case layout::status::dead:
    case layout::status::left:
      if (new_incarnation < known_incarnation) return Verdict::ignore;
      if (known_status == layout::status::dead || known_status == layout::status::left) return Verdict::ignore;
      return is_self && (news_bits & news::leaving) == 0 ? Verdict::refute : Verdict::accept;
    default:
      return Verdict::ignore;
  }
}

// Stays at the largest u32 instead of starting over at 0, which everybody would take for old news.
inline uint32_t refuting_incarnation(uint32_t own, uint32_t accused) {
  const uint32_t base = accused > own ? accused : own;
  return base == 0xffffffffu ? base : base + 1;
}

inline bool ext_supersedes(uint32_t known_ext, uint32_t known_incarnation, uint32_t new_ext, uint32_t new_incarnation) {
  if (new_ext == 0 || new_ext == known_ext || new_incarnation < known_incarnation) return false;
  if (known_ext == 0 || new_incarnation > known_incarnation) return true;
  return new_ext >> layout::ext::sequenceShift > known_ext >> layout::ext::sequenceShift;
}

inline bool ext_contradicts(uint32_t own_ext, uint32_t claimed_ext) {
  if (own_ext == 0 || claimed_ext == 0 || claimed_ext == own_ext) return false;
  return claimed_ext >> layout::ext::sequenceShift >= own_ext >> layout::ext::sequenceShift;
}

}  // namespace hearsay
