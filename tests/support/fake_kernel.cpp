// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/fake_kernel.hpp"

#include "fluxnet/xsk/detail/if_xdp.hpp"
#include "fluxnet/xsk/simulation/detail/simulated_device.hpp"
#include "fluxnet/xsk/simulation/detail/simulated_kernel.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include <sys/mman.h>

namespace fluxnet::test {
namespace {

using detail::simulated_socket;

constexpr std::size_t ethernet_header = 14;

std::size_t number(fake_call which) {
    return static_cast<std::size_t>(which);
}

/// Which call a socket option stands for; every option that sockets use.
fake_call call_of(int option) {
    switch (option) {
        case XDP_UMEM_REG: return fake_call::umem_registration;
        case XDP_UMEM_FILL_RING: return fake_call::fill_ring;
        case XDP_UMEM_COMPLETION_RING: return fake_call::completion_ring;
        case XDP_RX_RING: return fake_call::rx_ring;
        case XDP_TX_RING: return fake_call::tx_ring;
        case detail::xdp_max_tx_skb_budget: return fake_call::tx_budget;
        case XDP_MMAP_OFFSETS: return fake_call::mmap_offsets;
        case XDP_STATISTICS: return fake_call::statistics;
        default: throw std::logic_error("fake_kernel: unknown option " + std::to_string(option));
    }
}

}  // namespace

/// What is decorated: a kernel with one interface, whose clock stands still.
struct fake_kernel::machine {
    explicit machine(fake_kernel& fake)
        : calls(&fake.kernel_mutex_, fake.first_index),
          device(
              describe(fake), [&fake](auto bytes) { return fake.leaves(bytes); }, [] {}) {
        calls.add(device);
    }

    [[nodiscard]] detail::simulated_interface describe(const fake_kernel& fake) const {
        detail::simulated_interface result;
        result.info = fake.interface;
        result.info.queues = fake.real_queues;
        result.zero_copy = fake.zero_copy;
        result.hides_progress = fake.old_kernel;
        result.now = &now;
        return result;
    }

    const std::chrono::nanoseconds now{};
    detail::simulated_kernel calls;
    detail::simulated_device device;
};

fake_kernel::fake_kernel() {
    interface.name = "fake0";
    interface.index = 7;
    interface.mtu = 1500;
    interface.queues = 1;
    interface.mac_address = {2, 0, 0, 0, 0, 7};
    interface.up = true;
    machine_ = std::make_unique<machine>(*this);
}

fake_kernel::~fake_kernel() {
    for (const int fd : fds_) { machine_->calls.close(fd); }
    for (const auto& [address, length] : mappings_) { machine_->calls.unmap_ring(address, length); }
}

void fake_kernel::fail(fake_call which, unsigned nth, int number, unsigned times) {
    const std::lock_guard lock(mutex_);
    plans_.push_back({false, which, nth, number, times});
}

void fake_kernel::fail_any(unsigned nth, int number) {
    const std::lock_guard lock(mutex_);
    plans_.push_back({true, {}, nth, number, 1});
}

void fake_kernel::heal() {
    const std::lock_guard lock(mutex_);
    plans_.clear();
}

unsigned fake_kernel::failures() const {
    const std::lock_guard lock(mutex_);
    return failures_;
}

unsigned fake_kernel::calls(fake_call which) const {
    const std::lock_guard lock(mutex_);
    return counts_[number(which)];
}

/// Counts a call; returns the errno that it was told to fail with, or 0.
int fake_kernel::refuse(fake_call which) {
    const std::lock_guard lock(mutex_);
    ++counts_[number(which)];
    int refused = 0;
    for (plan& it : plans_) {
        if ((!it.any && it.which != which) || it.times == 0) { continue; }
        if (it.nth > 1) {
            --it.nth;
        } else {
            --it.times;
            if (refused == 0) { refused = it.number; }
        }
    }
    failures_ += refused != 0 ? 1U : 0U;
    return refused;
}

/// Calls `action` with a socket that nobody else touches meanwhile.
template <class Action>
auto fake_kernel::with_socket(int fd, Action action) const {
    const std::scoped_lock lock(mutex_, kernel_mutex_);
    simulated_socket* const found = machine_->calls.find(fd < 0 ? last_bound_ : fd);
    if (found == nullptr) { throw std::logic_error("fake_kernel: no such socket"); }
    return action(*found);
}

int fake_kernel::bound() const {
    const std::lock_guard lock(mutex_);
    return last_bound_;
}

/// The same with the kernel's end of one of its rings.
template <class Action>
auto fake_kernel::with_ring(fake_ring which, int fd, Action action) const {
    return with_socket(fd, [&](simulated_socket& of) {
        switch (which) {
            case fake_ring::fill: return action(of.fill);
            case fake_ring::completion: return action(of.comp);
            case fake_ring::rx: return action(of.rx);
            case fake_ring::tx: break;
        }
        return action(of.tx);
    });
}

// Set-up

int fake_kernel::find_interface(const char* name, interface_info& found) {
    if (const int number = refuse(fake_call::find_interface)) { return -number; }
    const std::scoped_lock lock(mutex_, kernel_mutex_);
    if (link_ == wire_link::gone || interface.name != name) { return -ENODEV; }
    found = interface;
    return 0;
}

int fake_kernel::open_socket() {
    if (const int number = refuse(fake_call::open_socket)) { return -number; }
    const std::lock_guard lock(mutex_);
    if (fds_.empty()) {
        machine_ = std::make_unique<machine>(*this);
        machine_->device.set_link(link_);
        machine_->device.hold_completions(holds_);
    }
    const int fd = machine_->calls.open_socket();
    if (fd >= 0) { fds_.insert(fd); }
    return fd;
}

int fake_kernel::set_option(int fd, int name, const void* value, std::uint32_t size) {
    const fake_call which = call_of(name);
    if (const int number = refuse(which)) { return -number; }
    if (which == fake_call::tx_budget && old_kernel) { return -ENOPROTOOPT; }
    return machine_->calls.set_option(fd, name, value, size);
}

int fake_kernel::get_option(int fd, int name, void* value, std::uint32_t* size) {
    if (const int number = refuse(call_of(name))) { return -number; }
    return machine_->calls.get_option(fd, name, value, size);
}

int fake_kernel::take_socket_error(int fd) {
    if (const int number = refuse(fake_call::socket_error)) { return -number; }
    return with_socket(fd, [&](const simulated_socket&) { return std::exchange(socket_error_, 0); });
}

void* fake_kernel::map_ring(int fd, std::size_t length, off_t offset, int& failure) {
    failure = -refuse(fake_call::map_ring);
    if (failure != 0) { return nullptr; }
    const std::lock_guard lock(mutex_);
    void* const address = machine_->calls.map_ring(fd, length, offset, failure);
    if (address != nullptr) { mappings_.emplace(address, length); }
    return address;
}

void fake_kernel::unmap_ring(void* address, std::size_t length) {
    const std::lock_guard lock(mutex_);
    const auto found = mappings_.find(address);
    if (found == mappings_.end() || found->second != length) { throw std::logic_error("fake_kernel: no such mapping"); }
    mappings_.erase(found);
    machine_->calls.unmap_ring(address, length);
}

int fake_kernel::bind(int fd, const bind_request& where) {
    if (on_bind) { on_bind(); }
    const std::uint32_t stocked = with_socket(fd, [](const simulated_socket& of) { return of.fill.readable(); });
    const int refused = refuse(fake_call::bind);
    bind_request passed_on = where;
    if (refused != 0) { passed_on.queue = ~0U; }  // a bind to no queue fails, and spoils what a bind can spoil
    const std::lock_guard lock(mutex_);
    binds_.push_back({where.interface_index, where.queue, where.flags, stocked, where.shared_umem_fd});
    const int answer = machine_->calls.bind(fd, passed_on);
    if (answer == 0) { last_bound_ = fd; }
    return refused != 0 ? -refused : answer;
}

int fake_kernel::close(int fd) {
    const int refused = refuse(fake_call::close);
    const std::lock_guard lock(mutex_);
    if (fds_.erase(fd) == 0) { throw std::logic_error("fake_kernel: close of a descriptor that is not open"); }
    if (last_bound_ == fd) { last_bound_ = -1; }
    const int answer = machine_->calls.close(fd);
    return refused != 0 ? -refused : answer;
}

void fake_kernel::pause_ms(int milliseconds) {
    {
        const std::lock_guard lock(mutex_);
        pauses_.push_back(milliseconds);
    }
    if (on_pause) { on_pause(); }
}

// The network

bool fake_kernel::deliver(std::span<const std::byte> bytes, int fd) {
    return with_socket(fd, [&](simulated_socket& to) {
        fluxnet::xdp_desc placed;
        return machine_->device.receive(to.queue, bytes, placed) == detail::arrival::delivered;
    });
}

int fake_kernel::kick_rx(int fd) {
    if (const int number = refuse(fake_call::kick_rx)) { return -number; }
    return machine_->calls.kick_rx(fd);
}

int fake_kernel::kick_tx(int fd) {
    const int refused = refuse(fake_call::kick_tx);
    if (refused == 0) { return machine_->calls.kick_tx(fd); }
    if (refused == EBUSY) {
        with_socket(fd, [&](simulated_socket& from) {
            drops_next_ = true;
            machine_->device.kick_tx(from);
            drops_next_ = false;
        });
    }
    return -refused;
}

/// Takes a packet that leaves; the kernel's mutex is held. Returns whether it has left.
bool fake_kernel::leaves(std::span<const std::byte> bytes) {
    if (drops_next_ || bytes.size() < ethernet_header || bytes.size() > interface.mtu + ethernet_header) { return false; }
    sent_.emplace_back(bytes.begin(), bytes.end());
    return true;
}

std::vector<std::vector<std::byte>> fake_kernel::take_sent() {
    const std::lock_guard lock(kernel_mutex_);
    return std::exchange(sent_, {});
}

void fake_kernel::hold_completions(bool hold) {
    const std::scoped_lock lock(mutex_, kernel_mutex_);
    holds_ = hold;
    machine_->device.hold_completions(hold);
}

std::uint32_t fake_kernel::release_completions(std::uint32_t count, int fd) {
    return with_socket(fd, [&](simulated_socket& of) { return machine_->device.release_completions(of, count); });
}

void fake_kernel::change_link(wire_link state) {
    const std::scoped_lock lock(mutex_, kernel_mutex_);
    link_ = state;
    machine_->device.set_link(state);
}

void fake_kernel::set_link(bool up) {
    change_link(up ? wire_link::up : wire_link::down);
}

void fake_kernel::remove_interface() {
    change_link(wire_link::gone);
}

void fake_kernel::set_socket_error(int number) {
    const std::lock_guard lock(mutex_);
    socket_error_ = number;
}

void fake_kernel::set_needs_wakeup(fake_ring which, bool needed, int fd) {
    with_ring(which, fd, [&](auto& ring) { ring.set_needs_wakeup(needed); });
}

void fake_kernel::set_tx_budget(std::uint32_t budget, int fd) {
    with_socket(fd, [&](simulated_socket& of) { of.tx_budget = budget; });
}

// Faults

void fake_kernel::write_producer(fake_ring which, std::uint32_t index, int fd) {
    with_ring(which, fd, [&](auto& ring) { std::atomic_ref(*ring.memory().producer).store(index); });
}

void fake_kernel::write_consumer(fake_ring which, std::uint32_t index, int fd) {
    with_ring(which, fd, [&](auto& ring) { std::atomic_ref(*ring.memory().consumer).store(index); });
}

std::uint32_t fake_kernel::producer(fake_ring which, int fd) const {
    return with_ring(which, fd, [](auto& ring) { return std::atomic_ref(*ring.memory().producer).load(); });
}

std::uint32_t fake_kernel::consumer(fake_ring which, int fd) const {
    return with_ring(which, fd, [](auto& ring) { return std::atomic_ref(*ring.memory().consumer).load(); });
}

void fake_kernel::push_rx(const fluxnet::xdp_desc& desc, int fd) {
    with_socket(fd, [&](simulated_socket& to) { to.rx.put(desc); });
}

void fake_kernel::push_completion(frame_addr addr, int fd) {
    with_socket(fd, [&](simulated_socket& to) { to.comp.put(addr); });
}

// What happened

std::vector<fake_kernel::bind_record> fake_kernel::binds() const {
    const std::lock_guard lock(mutex_);
    return binds_;
}

std::vector<int> fake_kernel::pauses() const {
    const std::lock_guard lock(mutex_);
    return pauses_;
}

std::uint32_t fake_kernel::tx_budget(int fd) const {
    return with_socket(fd, [](const simulated_socket& of) { return of.tx_budget; });
}

std::uint32_t fake_kernel::ring_size(fake_ring which, int fd) const {
    return with_ring(which, fd, [](auto& ring) { return ring.memory().size; });
}

std::uint32_t fake_kernel::headroom(int fd) const {
    return with_socket(fd, [](const simulated_socket& of) { return of.umem.headroom; });
}

std::size_t fake_kernel::live_fds() const {
    const std::lock_guard lock(mutex_);
    return fds_.size();
}

std::size_t fake_kernel::live_mappings() const {
    const std::lock_guard lock(mutex_);
    return mappings_.size();
}

}  // namespace fluxnet::test
