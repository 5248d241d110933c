// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/packet_receiver.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"
#include "fluxnet/xsk/detail/copy_bytes.hpp"
#include "fluxnet/xsk/detail/packet_option.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::uint32_t xdp_packet_headroom = 256;  // what AF_XDP keeps free too
constexpr std::uint32_t addresses_bytes = 12;       // both MAC addresses, before a VLAN tag

/// `struct virtio_net_hdr` of <linux/virtio_net.h>, which is no C++.
struct offload_header {
    std::uint8_t flags;
    std::uint8_t gso_type;
    std::uint16_t header_length;
    std::uint16_t gso_size;
    std::uint16_t checksum_start;
    std::uint16_t checksum_offset;
};
static_assert(sizeof(offload_header) == 10);

constexpr std::uint8_t needs_checksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM

const tpacket3_hdr& header_of(const std::byte* packet) noexcept {
    return *reinterpret_cast<const tpacket3_hdr*>(packet);
}

/// Finishes a checksum that the sender left to its device: the field has the sum of the pseudo-header, and what is added is
/// everything from `start` on.
void finish_checksum(std::byte* packet, std::uint32_t size, std::uint32_t start, std::uint32_t field) noexcept {
    if (field + 2 > size || start >= size) { return; }
    std::uint64_t sum = 0;
    for (std::uint32_t i = start; i + 1 < size; i += 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, packet + i, sizeof word);
        sum += word;
    }
    if ((size - start) % 2 != 0) {
        std::uint16_t last = 0;
        std::memcpy(&last, packet + size - 1, 1);
        sum += last;
    }
    while (sum >> 16 != 0) { sum = (sum & 0xffff) + (sum >> 16); }
    auto folded = static_cast<std::uint16_t>(~sum);
    if (folded == 0) { folded = 0xffff; }  // for UDP 0 means that there is none
    std::memcpy(packet + field, &folded, sizeof folded);
}

}  // namespace

int packet_receiver::open() noexcept {
    socket_ = above_streams(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // protocol 0: nothing arrives before start()
    return socket_ < 0 ? -errno : 0;
}

int packet_receiver::start(int interface_index, std::uint32_t packets, int watched_by, bool receives) noexcept {
    if (const int r = set_packet_option(socket_, PACKET_VERSION, int{TPACKET_V3}); r < 0) { return r; }
    // Before each packet stands what its checksum lacks, if it was left to the device.
    if (const int r = set_packet_option(socket_, PACKET_VNET_HDR, 1); r < 0) { return r; }
    set_packet_option(socket_, PACKET_IGNORE_OUTGOING,
                      1);  // kernels before 4.20 have no such option: copy_next() drops those packets
    blocks_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(8, std::uint64_t{packets} * 2048 / block_size));
    tpacket_req3 request{};
    request.tp_block_size = block_size;
    request.tp_block_nr = blocks_;
    request.tp_frame_size = 2048;  // says nothing in this version, but has to divide the block
    request.tp_frame_nr = blocks_ * (block_size / request.tp_frame_size);
    request.tp_retire_blk_tov = 1;  // milliseconds
    if (const int r = set_packet_option(socket_, PACKET_RX_RING, request); r < 0) { return r; }
    void* const address =
        ::mmap(nullptr, std::size_t{blocks_} * block_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket_, 0);
    if (address == MAP_FAILED) { return -errno; }
    ring_ = static_cast<std::byte*>(address);
    watched_by_ = watched_by;
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(watched_by_, EPOLL_CTL_ADD, socket_, &event) < 0) { return -errno; }
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = receives ? htons(ETH_P_ALL) : std::uint16_t{0};
    where.sll_ifindex = interface_index;
    if (::bind(socket_, reinterpret_cast<const sockaddr*>(&where), sizeof where) < 0) { return -errno; }
    return -take_error();  // ENETDOWN, when the link is down
}

void packet_receiver::close() noexcept {
    if (ring_ != nullptr) { ::munmap(ring_, std::size_t{blocks_} * block_size); }
    if (socket_ >= 0) { ::close(socket_); }
    ring_ = nullptr;
    socket_ = -1;
}

tpacket_block_desc& packet_receiver::block(std::uint32_t number) const noexcept {
    return *reinterpret_cast<tpacket_block_desc*>(ring_ + std::size_t{number} * block_size);
}

/// Tells whether there is a block to read; begins it if need be.
bool packet_receiver::open_block() noexcept {
    if (next_ != nullptr) { return true; }
    tpacket_hdr_v1& header = block(at_).hdr.bh1;
    if ((std::atomic_ref(header.block_status).load(std::memory_order_acquire) & TP_STATUS_USER) == 0) { return false; }
    left_ = header.num_pkts;
    next_ = reinterpret_cast<std::byte*>(&block(at_)) + header.offset_to_first_pkt;
    return true;
}

void packet_receiver::close_block() noexcept {
    give_held_back();
    holds_ = true;
    next_ = nullptr;
    at_ = (at_ + 1) % blocks_;
}

void packet_receiver::give_held_back() noexcept {
    if (!holds_) { return; }
    holds_ = false;
    tpacket_hdr_v1& header = block((at_ + blocks_ - 1) % blocks_).hdr.bh1;
    std::atomic_ref(header.block_status).store(TP_STATUS_KERNEL, std::memory_order_release);
}

/// The beginning of the frame for the next packet.
std::optional<frame_addr> packet_receiver::next_frame() noexcept {
    while (fill_.readable() != 0) {
        const frame_addr frame = fill_.take();
        if (frame.value < memory_.len) { return frame_addr{frame.value & ~std::uint64_t{memory_.chunk_size - 1}}; }
        bad_addresses_.add(1);
    }
    return std::nullopt;
}

/// Copies the next packet of the block, or drops it; false when there is no frame or no room for it.
bool packet_receiver::copy_next() noexcept {
    const tpacket3_hdr& header = header_of(next_);
    sockaddr_ll from;
    std::memcpy(&from, next_ + TPACKET_ALIGN(sizeof(tpacket3_hdr)), sizeof from);
    const std::uint32_t tag = (header.tp_status & TP_STATUS_VLAN_VALID) != 0 ? vlan_tag_bytes : 0;
    const std::uint32_t room = memory_.chunk_size - xdp_packet_headroom - memory_.headroom;
    // A place without TP_STATUS_USER is one that the kernel set aside and did not use; it has counted the packet.
    const bool received = (header.tp_status & TP_STATUS_USER) != 0 && from.sll_pkttype != PACKET_OUTGOING;
    const bool fits = header.tp_snaplen >= header.tp_len && header.tp_snaplen <= room - tag;
    if (received && (!fits || header.tp_snaplen < addresses_bytes)) {
        too_large_.add(1);
    } else if (received) {
        if (rx_.writable() == 0) { return false; }
        const std::optional<frame_addr> frame = next_frame();
        if (!frame) { return false; }
        const std::uint64_t place = frame->value + xdp_packet_headroom + memory_.headroom;
        deliver(next_, reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(memory_.addr)) + place, tag);
        rx_.put({{place}, header.tp_snaplen + tag, 0});
        ++copied_;
    }
    next_ += header.tp_next_offset;
    --left_;
    return true;
}

/// Copies a packet to its place, with the VLAN tag that the kernel has taken off it and the checksum that it lacks.
void packet_receiver::deliver(std::byte* packet, std::byte* at, std::uint32_t tag) const noexcept {
    const tpacket3_hdr& header = header_of(packet);
    std::byte* const bytes = packet + header.tp_mac;
    if ((header.tp_status & TP_STATUS_CSUMNOTREADY) != 0) {
        offload_header lacks{};
        std::memcpy(&lacks, bytes - sizeof lacks, sizeof lacks);
        const std::uint32_t start = lacks.checksum_start;
        if ((lacks.flags & needs_checksum) != 0) {
            finish_checksum(bytes, header.tp_snaplen, start, start + lacks.checksum_offset);
        }
    }
    if (tag == 0) {
        copy_bytes(at, bytes, header.tp_snaplen);
    } else {
        const bool told = (header.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
        const std::uint16_t words[2] = {htons(told ? header.hv1.tp_vlan_tpid : std::uint16_t{ETH_P_8021Q}),
                                        htons(static_cast<std::uint16_t>(header.hv1.tp_vlan_tci))};
        copy_bytes(at, bytes, addresses_bytes);
        copy_bytes(at + addresses_bytes, reinterpret_cast<const std::byte*>(words), sizeof words);
        copy_bytes(at + addresses_bytes + vlan_tag_bytes, bytes + addresses_bytes, header.tp_snaplen - addresses_bytes);
    }
}

int packet_receiver::pull() noexcept {
    if (gone()) { return -ENXIO; }
    const std::uint64_t before = copied_;
    if (rx_.unread() == 0) { give_held_back(); }
    while (open_block()) {
        while (left_ != 0 && copy_next()) {}
        if (left_ != 0) { break; }
        close_block();
    }
    if (copied_ != before) {
        dry_pulls_ = 0;
        if (!watched_) { watch(true); }
    } else if (++dry_pulls_ == dry_pulls_of_a_look) {
        // A loop that never sleeps, or that the socket's error keeps from sleeping.
        find_error();
    }
    return gone() ? -ENXIO : 0;
}

void packet_receiver::prepare_wait() noexcept {
    if (copied_ == std::exchange(copied_at_wait_, copied_)) { find_error(); }
    pull();
    copied_at_wait_ = copied_;
    watch(next_ == nullptr || rx_.unread() != 0);  // a block that cannot be read ends no sleep
}

void packet_receiver::watch(bool wanted) noexcept {
    if (wanted == watched_) { return; }
    epoll_event event{};
    event.events = wanted ? std::uint32_t{EPOLLIN} : 0U;
    ::epoll_ctl(watched_by_, EPOLL_CTL_MOD, socket_, &event);
    watched_ = wanted;
}

void packet_receiver::find_error() noexcept {
    dry_pulls_ = 0;
    if (take_error() != 0) { look(); }
}

int packet_receiver::take_error() noexcept {
    int pending = 0;
    socklen_t size = sizeof pending;
    return ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &pending, &size) < 0 ? errno : pending;
}

int packet_receiver::look() noexcept {
    // The kernel takes the index away when the interface is deleted or leaves the namespace. A link that is down keeps it.
    sockaddr_ll where{};
    socklen_t size = sizeof where;
    if (::getsockname(socket_, reinterpret_cast<sockaddr*>(&where), &size) == 0 && where.sll_ifindex <= 0) {
        gone_.store(true, std::memory_order_relaxed);
    }
    return gone() ? -ENXIO : 0;
}

std::uint64_t packet_receiver::overflowed() noexcept {
    tpacket_stats_v3 since{};  // the last time somebody asked
    socklen_t size = sizeof since;
    if (::getsockopt(socket_, SOL_PACKET, PACKET_STATISTICS, &since, &size) < 0) { since.tp_drops = 0; }
    return overflowed_.fetch_add(since.tp_drops, std::memory_order_relaxed) + since.tp_drops;
}

}  // namespace fluxnet::detail
