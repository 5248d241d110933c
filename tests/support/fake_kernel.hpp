// SPDX-License-Identifier: BSD-3-Clause
// `fake_kernel`: the kernel of a simulated wire whose other end is the test, and whose calls fail as they are told.
//
// A builder takes it with calls(); the test then plays the network: deliver() is a packet that arrives, take_sent() are
// those that left. What AF_XDP does is up to detail::simulated_kernel, in copy mode or zero-copy; this decorator adds
// failures, completions that are held back, ring indices that no kernel would write, and counts of the calls. Nothing moves
// by itself: packets leave when the socket kicks, pause_ms() returns at once, and arrivals do not make the descriptor
// readable (it is an eventfd, which the test may write to). It counts descriptors and mappings, so that a test can ask at
// the end what was left behind. It must outlive the sockets made with it. Any thread may call any function.
#pragma once

#include "fluxnet/xsk/interface.hpp"
#include "fluxnet/xsk/kernel.hpp"
#include "fluxnet/xsk/memory/descriptor.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
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

    // The world. What it is when the first socket is opened counts, but for the MTU, until the last one is closed.
    interface_info interface;       ///< What find_interface() finds: fake0, one queue, MTU 1500, up.
    std::uint32_t real_queues = 1;  ///< Queues that bind() accepts.
    bool zero_copy = false;         ///< Whether bind() accepts XDP_ZEROCOPY; else EOPNOTSUPP.
    bool old_kernel = false;  ///< Before 6.17: no XDP_MAX_TX_SKB_BUDGET, and a kick that ends early hides its progress.
    std::uint32_t first_index = 0;   ///< Where the indices of new rings start.
    std::function<void()> on_bind;   ///< Called before bind() does anything.
    std::function<void()> on_pause;  ///< Called by pause_ms(): what happens meanwhile.

    // What goes wrong.

    /// Lets the `nth` call of a kind (counted from 1, from now on) and the `times - 1` after it answer -`number`. A kick
    /// that is told to answer EBUSY drops the packet at the head of the ring and completes it; other kicks touch nothing. A
    /// bind that is told to fail spoils the socket, as every bind does that fails.
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

    /// That socket's descriptor; -1 without.
    [[nodiscard]] int bound() const;

    /// Lets a packet arrive. Returns false, counting why, when the kernel has dropped it.
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
    /// How many descriptors a kick sends from now on.
    void set_tx_budget(std::uint32_t budget, int fd = -1);

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
    [[nodiscard]] std::uint32_t tx_budget(int fd = -1) const;  ///< 0: none was set.
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
    struct machine;

    struct plan {
        bool any = false;  // of any kind
        fake_call which{};
        unsigned nth = 0;
        int number = 0;
        unsigned times = 0;
    };

    int refuse(fake_call which);
    void change_link(wire_link state);
    bool leaves(std::span<const std::byte> bytes);
    template <class Action>
    auto with_socket(int fd, Action action) const;
    template <class Action>
    auto with_ring(fake_ring which, int fd, Action action) const;

    mutable std::mutex mutex_;  // guards everything but what leaves
    std::unique_ptr<machine> machine_;
    std::set<int> fds_;
    std::map<void*, std::size_t> mappings_;
    int last_bound_ = -1;
    std::vector<plan> plans_;
    std::array<unsigned, fake_call_count> counts_{};
    unsigned failures_ = 0;
    std::vector<bind_record> binds_;
    std::vector<int> pauses_;
    int socket_error_ = 0;
    bool holds_ = false;
    wire_link link_ = wire_link::up;

    mutable std::mutex kernel_mutex_;  // the simulated kernel's; taken after the other
    std::vector<std::vector<std::byte>> sent_;
    bool drops_next_ = false;  // the next packet does not leave
};

}  // namespace fluxnet::test
