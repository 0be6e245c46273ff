// Batched UDP for Linux: recvmmsg and sendmmsg over descriptors in memory that the caller lends for one call. No threads, no
// allocation, no Node-API. Errors are returned as -errno.
#pragma once

#if !defined(__linux__)
#error "udp_batch.hpp is for Linux only"
#endif

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef SO_SELECT_ERR_QUEUE
#define SO_SELECT_ERR_QUEUE 45
#endif

namespace hearsay::io {

/// Same numbers as src/transport/udp-layout.ts; a test compares behaviour on both sides.
namespace udp_descriptor {
inline constexpr size_t offset = 0;
inline constexpr size_t length = 4;
inline constexpr size_t result = 8;
inline constexpr size_t peer_port = 20;
inline constexpr size_t peer_ip_length = 22;
inline constexpr size_t flags = 23;
inline constexpr size_t peer_ip = 24;
inline constexpr size_t local_ip = 40;
inline constexpr size_t stride = 48;
inline constexpr uint8_t flag_unreachable = 1;
inline constexpr uint8_t flag_local_known = 2;
}  // namespace udp_descriptor

/// What one node asks for at most; see SOCKET_BUFFER_BYTES.
inline constexpr int kNodeBufferBytes = 2 * 1024 * 1024;

inline constexpr uint32_t kUdpBatch = 64;
inline constexpr size_t kUdpSlotBytes = 65536;
inline constexpr size_t kUdpDescriptorsBytes = kUdpBatch * udp_descriptor::stride;

/// A descriptor in borrowed memory, read and written without assuming alignment.
class UdpDescriptor {
 public:
  UdpDescriptor(uint8_t* memory, uint32_t index) : at_(memory + index * udp_descriptor::stride) {}

  template <typename T>
  T get(size_t field) const {
    T value;
    std::memcpy(&value, at_ + field, sizeof value);
    return value;
  }
  template <typename T>
  void set(size_t field, T value) {
    std::memcpy(at_ + field, &value, sizeof value);
  }
  uint8_t* bytes(size_t field) { return at_ + field; }

  /// Writes peer address and port; mapped IPv4 addresses as 4 bytes.
  void set_peer(const sockaddr_storage& from) {
    std::memset(at_ + udp_descriptor::peer_ip, 0, 16);
    if (from.ss_family == AF_INET) {
      sockaddr_in v4;
      std::memcpy(&v4, &from, sizeof v4);
      set<uint16_t>(udp_descriptor::peer_port, ntohs(v4.sin_port));
      set<uint8_t>(udp_descriptor::peer_ip_length, 4);
      std::memcpy(at_ + udp_descriptor::peer_ip, &v4.sin_addr, 4);
      return;
    }
    sockaddr_in6 v6;
    std::memcpy(&v6, &from, sizeof v6);
    set<uint16_t>(udp_descriptor::peer_port, ntohs(v6.sin6_port));
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
    set<uint8_t>(udp_descriptor::peer_ip_length, mapped ? 4 : 16);
    std::memcpy(at_ + udp_descriptor::peer_ip, v6.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
  }

 private:
  uint8_t* at_;
};

/// True when an errno speaks about the receiver and not about us.
inline bool is_unreachable(int error) {
  return error == ECONNREFUSED || error == ECONNRESET || error == EHOSTUNREACH || error == EHOSTDOWN ||
         error == ENETUNREACH;
}

class UdpSocket {
 public:
  UdpSocket() = default;
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;
  ~UdpSocket() { close(); }

  int fd() const { return fd_; }

  /// Binds to `ip` (4 or 16 bytes) and `port` (0: any). Buffers are asked for at `buffer_bytes` and halved until accepted.
  int open(std::span<const uint8_t> ip, uint16_t port, int buffer_bytes) {
    v6_ = ip.size() == 16;
    wildcard_ = std::all_of(ip.begin(), ip.end(), [](uint8_t byte) { return byte == 0; });
    fd_ = ::socket(v6_ ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return -errno;
    grow_buffer(SO_RCVBUF, SO_RCVBUFFORCE, buffer_bytes);
    grow_buffer(SO_SNDBUF, SO_SNDBUFFORCE, buffer_bytes);
    // Without these an unconnected socket never hears of ICMP "port unreachable"; with them the refusal names its receiver.
    set_option(SOL_IP, IP_RECVERR, 1);
    if (v6_) set_option(SOL_IPV6, IPV6_RECVERR, 1);
    // Lets poll() tell "something in the error queue" apart from "broken descriptor".
    set_option(SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1);
    if (v6_) set_option(SOL_IPV6, IPV6_V6ONLY, wildcard_ ? 0 : 1);
    if (!v6_ && wildcard_) set_option(SOL_IP, IP_PKTINFO, 1);

    sockaddr_storage address;
    const socklen_t length = fill_address(address, ip.data(), ip.size(), port);
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), length) != 0) return fail();
    socklen_t size = sizeof address;
    if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return fail();
    sockaddr_in port_of;  // sin_port and sin6_port lie at the same place
    std::memcpy(&port_of, &address, sizeof port_of);
    port_ = ntohs(port_of.sin_port);
    return 0;
  }

  uint16_t port() const { return port_; }

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  /// Receives up to kUdpBatch datagrams into `ring`: descriptors first, then slots of kUdpSlotBytes. Returns the count.
  int receive(std::span<uint8_t> ring) {
    if (ring.size() < kUdpDescriptorsBytes + kUdpSlotBytes) return -EINVAL;
    const auto count =
        static_cast<uint32_t>(std::min<size_t>(kUdpBatch, (ring.size() - kUdpDescriptorsBytes) / kUdpSlotBytes));
    Batch batch;
    for (uint32_t i = 0; i < count; i++) {
      uint8_t* slot = ring.data() + kUdpDescriptorsBytes + i * kUdpSlotBytes;
      batch.prepare(i, slot, kUdpSlotBytes);
      if (!v6_ && wildcard_) batch.with_control(i);
    }
    int received = 0;
    do {
      received = ::recvmmsg(fd_, batch.messages, count, MSG_DONTWAIT, nullptr);
    } while (received < 0 && errno == EINTR);
    if (received < 0) {
      // A refusal that is pending on the socket is reported once by whatever call comes next; errors() has the details.
      return errno == EAGAIN || errno == EWOULDBLOCK || is_unreachable(errno) ? 0 : -errno;
    }
    for (uint32_t i = 0; i < static_cast<uint32_t>(received); i++) {
      UdpDescriptor descriptor(ring.data(), i);
      descriptor.set<uint32_t>(udp_descriptor::offset, static_cast<uint32_t>(kUdpDescriptorsBytes + i * kUdpSlotBytes));
      descriptor.set<uint32_t>(udp_descriptor::length, batch.messages[i].msg_len);
      descriptor.set<int32_t>(udp_descriptor::result, 0);
      descriptor.set<uint8_t>(udp_descriptor::flags, 0);
      descriptor.set_peer(batch.addresses[i]);
      note_destination(batch.messages[i].msg_hdr, descriptor);
    }
    return received;
  }

  struct Sent {
    /// Descriptors dealt with, from the first on; fewer than asked when the system's buffer is full.
    uint32_t taken;
    /// Those of them with a negative result.
    uint32_t failed;
  };

  /// Sends the datagrams that descriptors 0..count-1 of `memory` describe; writes each one's result.
  Sent send(std::span<uint8_t> memory, uint32_t count) {
    Sent sent{0, 0};
    if (memory.size() < kUdpDescriptorsBytes) return sent;
    count = std::min(count, kUdpBatch);
    Batch batch;
    bool retried = false;
    uint32_t prepared = 0;
    for (; prepared < count; prepared++) {
      if (prepare_send(batch, prepared, UdpDescriptor(memory.data(), prepared), memory)) continue;
      // A descriptor that cannot be sent at all ends the run before it; it fails alone below.
      break;
    }
    while (sent.taken < count) {
      UdpDescriptor first(memory.data(), sent.taken);
      if (sent.taken == prepared) {
        give_up(first, EAFNOSUPPORT, sent);
        for (prepared = sent.taken; prepared < count; prepared++) {
          if (!prepare_send(batch, prepared, UdpDescriptor(memory.data(), prepared), memory)) break;
        }
        continue;
      }
      const int done = ::sendmmsg(fd_, batch.messages + sent.taken, prepared - sent.taken, MSG_DONTWAIT);
      if (done > 0) {
        for (int i = 0; i < done; i++) {
          UdpDescriptor(memory.data(), sent.taken++).set<int32_t>(udp_descriptor::result, 0);
        }
        retried = false;
        continue;
      }
      const int error = done < 0 ? errno : EIO;
      if (error == EINTR) continue;
      if (error == EAGAIN || error == EWOULDBLOCK) break;
      // It may be the refusal of an earlier datagram that waited on the socket: only a second failure is this one's own.
      if (!retried) {
        retried = true;
        continue;
      }
      retried = false;
      give_up(first, error, sent);
    }
    return sent;
  }

  /// Reads refusals (ICMP) from the error queue into descriptors: peer = whom we could not reach. Returns the count.
  int errors(std::span<uint8_t> ring) {
    if (ring.size() < kUdpDescriptorsBytes) return -EINVAL;
    uint32_t count = 0;
    while (count < kUdpBatch) {
      sockaddr_storage peer{};
      uint8_t byte = 0;
      iovec part{&byte, 1};
      alignas(cmsghdr) char control[512];
      msghdr message{};
      message.msg_name = &peer;
      message.msg_namelen = sizeof peer;
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      if (::recvmsg(fd_, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
        if (errno == EINTR) continue;
        break;
      }
      const int error = queued_error(message);
      if (!is_unreachable(error) || (peer.ss_family != AF_INET && peer.ss_family != AF_INET6)) continue;
      UdpDescriptor descriptor(ring.data(), count++);
      descriptor.set<int32_t>(udp_descriptor::result, -error);
      descriptor.set<uint8_t>(udp_descriptor::flags, udp_descriptor::flag_unreachable);
      descriptor.set_peer(peer);
    }
    // Reading SO_ERROR clears the pending error, else poll() reports it for ever.
    int pending = 0;
    socklen_t size = sizeof pending;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &pending, &size);
    return static_cast<int>(count);
  }

  /// Datagrams dropped because our receive buffer was full. The same counter that SO_RXQ_OVFL attaches to packets, read when
  /// asked: costs nothing per packet and also tells of drops after which nothing arrived.
  uint32_t kernel_drops() const {
    uint32_t info[9] = {};
    socklen_t size = sizeof info;
    if (fd_ < 0 || ::getsockopt(fd_, SOL_SOCKET, SO_MEMINFO, info, &size) != 0 || size < sizeof info) return 0;
    return info[8];
  }

 private:
  /// The system's view of one batch. About 20 KiB on the stack, filled only as far as it is used.
  struct Batch {
    mmsghdr messages[kUdpBatch];
    iovec parts[kUdpBatch];
    sockaddr_storage addresses[kUdpBatch];
    alignas(cmsghdr) char control[kUdpBatch][CMSG_SPACE(sizeof(in_pktinfo))];

    void prepare(uint32_t i, void* bytes, size_t length) {
      parts[i] = {bytes, length};
      messages[i] = {};
      msghdr& header = messages[i].msg_hdr;
      header.msg_name = &addresses[i];
      header.msg_namelen = sizeof(sockaddr_storage);
      header.msg_iov = &parts[i];
      header.msg_iovlen = 1;
    }
    void with_control(uint32_t i) {
      messages[i].msg_hdr.msg_control = control[i];
      messages[i].msg_hdr.msg_controllen = sizeof control[i];
    }
  };

  int fail() {
    const int error = errno;
    close();
    return -error;
  }

  void set_option(int level, int name, int value) { ::setsockopt(fd_, level, name, &value, sizeof value); }

  /// A socket that serves many nodes asks for more than the system grants to anybody; it gets that where we may say so.
  void grow_buffer(int name, int force, int bytes) {
    if (bytes > kNodeBufferBytes && ::setsockopt(fd_, SOL_SOCKET, force, &bytes, sizeof bytes) == 0) return;
    for (; bytes >= 65536; bytes /= 2) {
      if (::setsockopt(fd_, SOL_SOCKET, name, &bytes, sizeof bytes) == 0) return;
    }
  }

  socklen_t fill_address(sockaddr_storage& out, const uint8_t* ip, size_t ip_length, uint16_t port) const {
    if (!v6_) {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      std::memcpy(&v4.sin_addr, ip_length == 16 ? ip + 12 : ip, 4);
      std::memcpy(&out, &v4, sizeof v4);
      return sizeof v4;
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    if (ip_length == 16) {
      std::memcpy(v6.sin6_addr.s6_addr, ip, 16);
    } else {
      v6.sin6_addr.s6_addr[10] = 0xff;
      v6.sin6_addr.s6_addr[11] = 0xff;
      std::memcpy(v6.sin6_addr.s6_addr + 12, ip, 4);
    }
    std::memcpy(&out, &v6, sizeof v6);
    return sizeof v6;
  }

  /// False when the descriptor cannot be sent from this socket: bytes outside `memory`, or an address of another family.
  bool prepare_send(Batch& batch, uint32_t i, UdpDescriptor descriptor, std::span<uint8_t> memory) const {
    const size_t offset = descriptor.get<uint32_t>(udp_descriptor::offset);
    const size_t length = descriptor.get<uint32_t>(udp_descriptor::length);
    const size_t ip_length = descriptor.get<uint8_t>(udp_descriptor::peer_ip_length);
    if (length > memory.size() || offset > memory.size() - length) return false;
    uint8_t ip[16];
    std::memcpy(ip, descriptor.bytes(udp_descriptor::peer_ip), sizeof ip);
    if (ip_length != 4 && ip_length != 16) return false;
    if (!v6_ && ip_length == 16) {
      static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
      if (std::memcmp(ip, kMapped, sizeof kMapped) != 0) return false;
    }
    batch.prepare(i, memory.data() + offset, length);
    msghdr& header = batch.messages[i].msg_hdr;
    header.msg_namelen =
        fill_address(batch.addresses[i], ip, ip_length, descriptor.get<uint16_t>(udp_descriptor::peer_port));
    const auto source = descriptor.get<uint32_t>(udp_descriptor::local_ip);
    if (source != 0 && !v6_ && wildcard_) {
      batch.with_control(i);
      std::memset(batch.control[i], 0, sizeof batch.control[i]);
      cmsghdr* control = CMSG_FIRSTHDR(&header);
      control->cmsg_level = SOL_IP;
      control->cmsg_type = IP_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
      in_pktinfo info{};
      info.ipi_spec_dst.s_addr = source;
      std::memcpy(CMSG_DATA(control), &info, sizeof info);
    }
    return true;
  }

  static void give_up(UdpDescriptor descriptor, int error, Sent& sent) {
    descriptor.set<int32_t>(udp_descriptor::result, -error);
    descriptor.set<uint8_t>(udp_descriptor::flags, is_unreachable(error) ? udp_descriptor::flag_unreachable : 0);
    sent.taken++;
    sent.failed++;
  }

  static void note_destination(msghdr& message, UdpDescriptor& descriptor) {
    descriptor.set<uint32_t>(udp_descriptor::local_ip, 0);
    if (message.msg_controllen == 0) return;
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
      if (control->cmsg_level != SOL_IP || control->cmsg_type != IP_PKTINFO) continue;
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      descriptor.set<uint32_t>(udp_descriptor::local_ip, info.ipi_addr.s_addr);
      descriptor.set<uint8_t>(udp_descriptor::flags, udp_descriptor::flag_local_known);
    }
  }

  static int queued_error(msghdr& message) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
      const bool v4 = control->cmsg_level == SOL_IP && control->cmsg_type == IP_RECVERR;
      const bool v6 = control->cmsg_level == SOL_IPV6 && control->cmsg_type == IPV6_RECVERR;
      if (!v4 && !v6) continue;
      sock_extended_err error;
      std::memcpy(&error, CMSG_DATA(control), sizeof error);
      return static_cast<int>(error.ee_errno);
    }
    return 0;
  }

  int fd_ = -1;
  uint16_t port_ = 0;
  bool v6_ = false;
  bool wildcard_ = false;
};

}  // namespace hearsay::io
