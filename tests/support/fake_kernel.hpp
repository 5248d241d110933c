// SPDX-License-Identifier: BSD-3-Clause
// `fake_kernel`: the kernel's side of AF_XDP sockets, in the memory of the test.
//
// A builder takes it with calls(); the test then plays the network: deliver() is a packet that arrives, sent() are those
// that left. Nothing moves by itself: packets leave when the socket kicks, and pause_ms() returns at once. Every call can be
// told to fail. It counts descriptors and mappings, so that a test can ask at the end what was left behind. It must outlive
// the sockets made with it. Any thread may call any function; one mutex guards them all. Source: net/xdp/xsk.c,
// net/xdp/xsk_queue.h and net/xdp/xdp_umem.c of Linux 6.18, copy mode, as far as user space can tell.
#pragma once

#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/memory/ring.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace fluxnet::test {

/// The system calls of `kernel`, with setsockopt and getsockopt told apart by what they set or get.
enum class fake_call {
    find_interface,
    open_socket,
    umem_registration,
    fill_ring,
    completion_ring,
    rx_ring,
    tx_ring,
    tx_budget,
    mmap_offsets,
    map_ring,
    bind,
    statistics,
    socket_error,
    kick_tx,
    kick_rx,
    close,
};
inline constexpr std::size_t fake_call_count = 16;

/// The rings of a socket, in the order in which sockets make them.
enum class fake_ring { fill, completion, rx, tx };

class fake_kernel final : public kernel {
public:
    /// What a bind asked for, and what the fill ring held at that moment.
    struct bind_record {
        int interface_index = 0;
        std::uint32_t queue = 0;
        std::uint16_t flags = 0;
        std::uint32_t stocked = 0;
        int shared_umem_fd = -1;
    };

    fake_kernel();
    fake_kernel(const fake_kernel&) = delete;
    fake_kernel& operator=(const fake_kernel&) = delete;
    ~fake_kernel() override;

    // The world. Set before sockets are opened.
    interface_info interface;       ///< What find_interface() finds: fake0, one queue, MTU 1500, up.
    std::uint32_t real_queues = 1;  ///< Queues that bind() accepts.
    bool zero_copy = false;         ///< Whether bind() accepts XDP_ZEROCOPY; else EOPNOTSUPP.
    bool old_kernel = false;  ///< Before 6.17: no XDP_MAX_TX_SKB_BUDGET, and a kick that ends early hides its progress.
    std::uint32_t default_tx_budget = 32;  ///< Descriptors that one kick sends while no budget is set.
    std::uint32_t first_index = 0;         ///< Where the indices of new rings start.
    std::function<void()> on_bind;         ///< Called before bind() does anything.
    std::function<void()> on_pause;        ///< Called by pause_ms(): what happens meanwhile.

    // What goes wrong.

    /// Lets the `nth` call of a kind (counted from 1, from now on) and the `times - 1` after it answer -`number`. A kick
    /// that is told to answer EBUSY drops the packet at the head of the ring and completes it; other kicks touch nothing.
    void fail(fake_call which, unsigned nth, int number, unsigned times = 1);

    /// Lets the `nth` call of all (counted from 1, from now on) answer -`number`.
    void fail_any(unsigned nth, int number);

    /// Forgets failures that have not happened.
    void heal();

    /// Tells how many calls were made to fail.
    [[nodiscard]] unsigned failures() const;

    /// Tells how many calls of a kind were made.
    [[nodiscard]] unsigned calls(fake_call which) const;

    // The network. Without a descriptor the socket that was bound last is meant.

    /// Lets a packet arrive. Returns false, counting why, when the kernel would have dropped it.
    bool deliver(std::span<const std::byte> bytes, int fd = -1);

    /// Takes the packets that have left since the last call, in order.
    [[nodiscard]] std::vector<std::vector<std::byte>> take_sent();

    /// Keeps the completions of sent packets back from now on, as a device that is slow to send; or hands over `count` of
    /// them.
    void hold_completions(bool hold);
    std::uint32_t release_completions(std::uint32_t count = ~0U, int fd = -1);

    /// The link goes down or up: kicks answer ENETDOWN and touch nothing while it is down.
    void set_link(bool up);
    /// The interface is deleted: kicks answer ENXIO.
    void remove_interface();
    /// What the next take_socket_error() answers.
    void set_socket_error(int number);

    /// Raises or clears XDP_RING_NEED_WAKEUP. TX rings start with it raised, fill rings without.
    void set_needs_wakeup(fake_ring which, bool needed, int fd = -1);

    // Faults: what no kernel should write.
    void write_producer(fake_ring which, std::uint32_t index, int fd = -1);
    void write_consumer(fake_ring which, std::uint32_t index, int fd = -1);
    [[nodiscard]] std::uint32_t producer(fake_ring which, int fd = -1) const;
    [[nodiscard]] std::uint32_t consumer(fake_ring which, int fd = -1) const;
    void push_rx(const fluxnet::xdp_desc& desc, int fd = -1);
    void push_completion(frame_addr addr, int fd = -1);

    // What happened.
    [[nodiscard]] std::vector<bind_record> binds() const;
    [[nodiscard]] std::vector<int> pauses() const;
    [[nodiscard]] std::uint32_t tx_budget_set(int fd = -1) const;  ///< 0: none was.
    [[nodiscard]] std::uint32_t ring_size(fake_ring which, int fd = -1) const;
    [[nodiscard]] std::uint32_t headroom(int fd = -1) const;

    /// What sockets and mappings still exist.
    [[nodiscard]] std::size_t live_fds() const;
    [[nodiscard]] std::size_t live_mappings() const;

    // kernel
    int open_socket() override;
    int set_option(int fd, int name, const void* value, std::uint32_t size) override;
    int get_option(int fd, int name, void* value, std::uint32_t* size) override;
    int take_socket_error(int fd) override;
    void* map_ring(int fd, std::size_t length, off_t offset, int& failure) override;
    void unmap_ring(void* address, std::size_t length) override;
    int bind(int fd, const bind_request& where) override;
    int kick_tx(int fd) override;
    int kick_rx(int fd) override;
    int close(int fd) override;
    int find_interface(const char* name, interface_info& found) override;
    void pause_ms(int milliseconds) override;

private:
    struct ring {
        std::byte* memory = nullptr;  // null until mapped, and after
        std::uint32_t size = 0;       // 0: not made
        std::uint32_t index = 0;      // the kernel's own
        std::uint32_t flags = 0;      // of rings that are not mapped yet
    };

    struct socket {
        std::byte* umem = nullptr;
        std::uint64_t length = 0;
        std::uint32_t chunk = 0;
        std::uint32_t headroom = 0;
        std::array<ring, 4> rings;
        std::uint32_t budget = 0;
        bool bound = false;
        bool poisoned = false;  // a bind failed
        std::uint32_t queue = 0;
        std::deque<std::uint64_t> out_of_sight;     // frames taken from the fill ring for packets that found RX full
        std::deque<std::uint64_t> held;             // completions kept back
        std::array<std::uint64_t, 6> statistics{};  // as in xdp_statistics
    };

    struct plan {
        bool any = false;  // of any kind
        fake_call which{};
        unsigned nth = 0;
        int number = 0;
        unsigned times = 0;
    };

    int refuse(fake_call which);
    socket* find(int fd);
    socket& chosen(int fd);
    const socket& chosen(int fd) const { return const_cast<fake_kernel*>(this)->chosen(fd); }
    int judge_bind(const socket& it, const bind_request& where);
    int judge_sharing(const socket& it, const bind_request& where);
    int make_ring(socket& it, fake_ring which, const void* value, std::uint32_t size);
    int register_umem(socket& it, const void* value, std::uint32_t size);
    bool next_fill(socket& it, std::uint64_t& addr);
    bool has_room_to_complete(socket& it);
    void complete(socket& it, std::uint64_t addr);
    void write_completion(socket& it, std::uint64_t addr);
    int drop_head(socket& it);
    int transmit(socket& it);

    mutable std::mutex mutex_;
    std::map<int, socket> sockets_;
    std::map<void*, std::size_t> mappings_;
    int last_bound_ = -1;
    std::vector<plan> plans_;
    std::array<unsigned, fake_call_count> counts_{};
    unsigned failures_ = 0;
    std::vector<bind_record> binds_;
    std::vector<int> pauses_;
    std::vector<std::vector<std::byte>> sent_;
    bool holding_ = false;
    bool link_up_ = true;
    bool gone_ = false;
    int socket_error_ = 0;
};

}  // namespace fluxnet::test
