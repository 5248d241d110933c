// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/packet_sender.hpp"

#include "fluxnet/xsk/base/detail/above_streams.hpp"
#include "fluxnet/xsk/detail/copy_bytes.hpp"
#include "fluxnet/xsk/detail/packet_option.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>

#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::uint32_t data_offset = TPACKET3_HDRLEN - sizeof(sockaddr_ll);  // where the kernel looks for the packet
constexpr std::uint32_t most_slots = 512;  // SO_SNDBUF bounds what is in transmission to fewer packets anyway
constexpr std::uint32_t type_offset = 12;

std::uint32_t status_of(tpacket3_hdr& slot) noexcept {
    return std::atomic_ref(slot.tp_status).load(std::memory_order_acquire);
}

}  // namespace

int packet_sender::open() noexcept {
    socket_ = above_streams(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // protocol 0: it never receives
    return socket_ < 0 ? -errno : 0;
}

int packet_sender::start(int interface_index, std::uint32_t slots) noexcept {
    interface_index_ = interface_index;
    learn_mtu();
    sent_ = staged_ = std::atomic_ref(*tx_.consumer).load(std::memory_order_relaxed);
    if (const int r = set_packet_option(socket_, PACKET_VERSION, int{TPACKET_V3}); r < 0) { return r; }
    // A packet that the kernel finds malformed, one larger than an MTU that has just shrunk, must not stop those behind it.
    if (const int r = set_packet_option(socket_, PACKET_LOSS, 1); r < 0) { return r; }
    set_packet_option(socket_, PACKET_QDISC_BYPASS,
                      1);  // as AF_XDP does; where it is not granted packets go by the queueing discipline
    const std::uint64_t largest =
        std::min<std::uint64_t>(memory_.chunk_size, std::uint64_t{mtu_} + ETH_HLEN + vlan_tag_bytes);
    slot_size_ = std::bit_ceil(std::max<std::uint32_t>(2048, static_cast<std::uint32_t>(largest) + data_offset));
    slots_ = std::max<std::uint32_t>(8, std::min(slots, most_slots));
    tpacket_req3 request{};
    request.tp_block_size = std::max(slot_size_, std::uint32_t{8192});
    request.tp_frame_size = slot_size_;
    request.tp_frame_nr = slots_;
    request.tp_block_nr = slots_ * slot_size_ / request.tp_block_size;
    if (const int r = set_packet_option(socket_, PACKET_TX_RING, request); r < 0) { return r; }
    void* const address =
        ::mmap(nullptr, std::size_t{slots_} * slot_size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket_, 0);
    if (address == MAP_FAILED) { return -errno; }
    ring_ = static_cast<std::byte*>(address);
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_ifindex = interface_index;
    return ::bind(socket_, reinterpret_cast<const sockaddr*>(&where), sizeof where) < 0 ? -errno : 0;
}

void packet_sender::close() noexcept {
    if (ring_ != nullptr) { ::munmap(ring_, std::size_t{slots_} * slot_size_); }
    if (socket_ >= 0) { ::close(socket_); }
    ring_ = nullptr;
    socket_ = -1;
}

void packet_sender::learn_mtu() noexcept {
    ifreq request{};
    request.ifr_ifindex = interface_index_;
    if (::ioctl(socket_, SIOCGIFNAME, &request) < 0 || ::ioctl(socket_, SIOCGIFMTU, &request) < 0) { return; }
    mtu_ = static_cast<std::uint32_t>(request.ifr_mtu);
}

tpacket3_hdr& packet_sender::slot(std::uint32_t number) const noexcept {
    return *reinterpret_cast<tpacket3_hdr*>(ring_ + std::size_t{number} * slot_size_);
}

bool packet_sender::valid(const xdp_desc& desc) const noexcept {
    const std::uint64_t inside = desc.addr.value & (memory_.chunk_size - 1);
    return desc.options == 0 && desc.addr.value < memory_.len && inside + desc.len <= memory_.chunk_size;
}

/// The longest packet of this kind that the kernel takes: a VLAN tag comes on top of the MTU.
std::uint32_t packet_sender::longest(const xdp_desc& desc) const noexcept {
    const auto* const bytes =
        reinterpret_cast<const std::byte*>(static_cast<std::uintptr_t>(memory_.addr)) + desc.addr.value;
    std::byte type[2];
    copy_bytes(type, bytes + type_offset, sizeof type);
    const bool tagged = type[0] == std::byte{0x81} && type[1] == std::byte{0x00};
    return std::min(mtu_ + ETH_HLEN + (tagged ? vlan_tag_bytes : 0), slot_size_ - data_offset);
}

bool packet_sender::sendable(const xdp_desc& desc) noexcept {
    if (desc.len < ETH_HLEN) { return false; }
    if (desc.len <= longest(desc)) { return true; }
    learn_mtu();  // which may have grown
    return desc.len <= longest(desc);
}

/// Copies a packet into the next slot; false when the device has not sent yet what is in it.
bool packet_sender::copy(const xdp_desc& desc) noexcept {
    tpacket3_hdr& place = slot(slot_staged_);
    constexpr std::uint32_t busy = TP_STATUS_SEND_REQUEST | TP_STATUS_SENDING;
    if ((status_of(place) & busy) != 0) { return false; }
    const auto* const bytes =
        reinterpret_cast<const std::byte*>(static_cast<std::uintptr_t>(memory_.addr)) + desc.addr.value;
    copy_bytes(reinterpret_cast<std::byte*>(&place) + data_offset, bytes, desc.len);
    place.tp_next_offset = 0;
    place.tp_len = desc.len;
    place.tp_snaplen = desc.len;
    std::atomic_ref(place.tp_status).store(TP_STATUS_SEND_REQUEST, std::memory_order_release);
    slot_staged_ = (slot_staged_ + 1) % slots_;
    return true;
}

/// Copies packets into slots. A packet that cannot be sent ends it; when such a packet is the first in the ring, it is
/// completed without being sent. Returns -EBUSY if that was because the interface does not take it, else 0.
int packet_sender::stage() noexcept {
    const std::uint32_t head = std::atomic_ref(*tx_.producer).load(std::memory_order_acquire);
    if (head - staged_ > tx_.size) { return 0; }  // an index that cannot be
    while (staged_ != head && comp_.writable() > staged_ - sent_) {
        const xdp_desc desc = entry(staged_);
        const bool possible = valid(desc);
        if (possible && sendable(desc)) {
            if (!copy(desc)) { break; }
            ++staged_;
            continue;
        }
        if (staged_ != sent_) { break; }
        ++staged_;
        complete();
        if (possible) { return -EBUSY; }
        invalid_.add(1);
        break;
    }
    return 0;
}

/// Gives the frame of the packet at `sent_` back.
void packet_sender::complete() noexcept {
    comp_.put(entry(sent_).addr);
    ++sent_;
    std::atomic_ref(*tx_.consumer).store(sent_, std::memory_order_release);
}

/// Gives the frames back whose copies the kernel has taken. It says that it has sent so many bytes, or something negative:
/// when they are fewer than it took, the interface's MTU has shrunk, and it has dropped what is too long now.
void packet_sender::acknowledge(long bytes) noexcept {
    std::uint32_t taken = 0;
    long taken_bytes = 0;
    for (std::uint32_t at = slot_sent_; taken != staged_ - sent_; at = (at + 1) % slots_) {
        if ((status_of(slot(at)) & TP_STATUS_SEND_REQUEST) != 0) { break; }
        taken_bytes += entry(sent_ + taken++).len;
    }
    if (bytes >= 0 && bytes < taken_bytes) [[unlikely]] {
        learn_mtu();
        for (std::uint32_t i = 0; i != taken; ++i) {
            const xdp_desc& desc = entry(sent_ + i);
            if (desc.len > longest(desc)) { invalid_.add(1); }
        }
    }
    slot_sent_ = (slot_sent_ + taken) % slots_;
    for (; taken != 0; --taken) { complete(); }
}

int packet_sender::kick() noexcept {
    const int refused = stage();
    if (sent_ == staged_) { return refused; }
    const long bytes = ::sendto(socket_, nullptr, 0, MSG_DONTWAIT, nullptr, 0);
    const int answer = bytes < 0 ? -errno : refused;
    acknowledge(bytes);
    return answer;
}

}  // namespace fluxnet::detail
