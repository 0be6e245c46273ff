// The profile (versions, port, IP, metadata) that an alive record carries, to be compared with the one we hold. The twin and
// specification is src/kernels/js/profile-draft.ts.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "interner.hpp"
#include "layout.hpp"

namespace hearsay::kernels {

inline constexpr uint32_t kVsnBytes = 6;

inline bool same_bytes(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

/// A profile as it lies in the interner; all empty when its bytes cannot be one.
struct Profile {
  std::span<const uint8_t> vsn;
  std::span<const uint8_t> address;  // port, IP length, IP
  std::span<const uint8_t> ip;
  std::span<const uint8_t> meta;
  uint32_t port = 0;

  explicit Profile(std::span<const uint8_t> bytes) {
    using namespace layout;
    if (bytes.size() < profile::ip || bytes.size() - profile::ip < bytes[profile::ipLength]) return;
    const uint32_t ip_length = bytes[profile::ipLength];
    vsn = bytes.subspan(profile::vsn, kVsnBytes);
    address = bytes.subspan(profile::port, 3 + ip_length);
    ip = bytes.subspan(profile::ip, ip_length);
    meta = bytes.subspan(profile::ip + ip_length);
    port = (uint32_t{bytes[profile::port]} << 8) | bytes[profile::port + 1];
  }

  bool is_at(uint32_t other_port, std::span<const uint8_t> other_ip) const {
    return port == other_port && same_bytes(ip, other_ip);
  }
};

class ProfileDraft {
 public:
  /// `ip` is 4 or 16 bytes, `meta` at most kMetaBytesMax. Fewer than six version bytes count as zeros.
  void compose(const uint8_t* vsn, uint32_t vsn_length, uint32_t port, std::span<const uint8_t> ip,
               std::span<const uint8_t> meta) {
    using namespace layout;
    vsn_length_ = vsn_length;
    if (vsn_length >= kVsnBytes) {
      std::memcpy(bytes_, vsn, kVsnBytes);
    } else {
      std::memset(bytes_, 0, kVsnBytes);
    }
    bytes_[profile::port] = static_cast<uint8_t>(port >> 8);
    bytes_[profile::port + 1] = static_cast<uint8_t>(port);
    bytes_[profile::ipLength] = static_cast<uint8_t>(ip.size());
    std::memcpy(bytes_ + profile::ip, ip.data(), ip.size());
    if (!meta.empty()) std::memcpy(bytes_ + profile::ip + ip.size(), meta.data(), meta.size());
    length_ = profile::ip + static_cast<uint32_t>(ip.size() + meta.size());
  }

  /// Takes the versions of a known profile when the record brought fewer than six bytes of them.
  void keep_versions(const Profile& known) {
    if (vsn_length_ < kVsnBytes && known.vsn.size() == kVsnBytes) std::memcpy(bytes_, known.vsn.data(), kVsnBytes);
  }

  std::span<const uint8_t> bytes() const { return {bytes_, length_}; }

  bool is_same_address(const Profile& known) const { return same_bytes(known.address, Profile(bytes()).address); }
  bool is_same_meta(const Profile& known) const { return same_bytes(known.meta, Profile(bytes()).meta); }
  /// Whether an alive about ourselves says what we say: metadata, and exactly our six version bytes.
  bool is_same_content(const Profile& known) const {
    return vsn_length_ == kVsnBytes && is_same_meta(known) && same_bytes(known.vsn, Profile(bytes()).vsn);
  }

 private:
  uint8_t bytes_[layout::profile::ip + 16 + layout::kMetaBytesMax] = {};
  uint32_t length_ = 0;
  uint32_t vsn_length_ = 0;
};

}  // namespace hearsay::kernels
