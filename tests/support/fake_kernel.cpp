// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/fake_kernel.hpp"

#include "fluxnet/xsk/detail/if_xdp.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <tuple>
#include <utility>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace fluxnet::test {
namespace {

// Where the parts of a ring lie in its mapping.
constexpr std::size_t producer_at = 0;
constexpr std::size_t consumer_at = 128;
constexpr std::size_t flags_at = 192;
constexpr std::size_t entries_at = 320;

constexpr std::uint32_t kernel_headroom = 256;  // XDP_PACKET_HEADROOM
constexpr std::uint32_t ethernet_header = 14;
constexpr std::uint32_t need_wakeup = 1;

// The order of struct xdp_statistics.
enum { rx_dropped, rx_invalid, tx_invalid, rx_full, fill_empty, tx_empty };

/// Copies bytes that the address sanitizer may hold to be somebody else's, as the kernel does. The pointers are volatile so
/// that the loop does not become a call of memcpy, which the sanitizer intercepts.
__attribute__((no_sanitize("address"))) void copy_as_kernel(std::byte* to, const std::byte* from, std::size_t count) {
    volatile std::byte* out = to;
    const volatile std::byte* in = from;
    for (std::size_t i = 0; i < count; ++i) { out[i] = in[i]; }
}

std::atomic_ref<std::uint32_t> word(std::byte* memory, std::size_t at) {
    return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(memory + at));
}

template <class T>
T& entry(std::byte* memory, std::uint32_t size, std::uint32_t index) {
    return reinterpret_cast<T*>(memory + entries_at)[index & (size - 1)];
}

std::byte* mapped(std::byte* memory) {
    if (memory == nullptr) { throw std::logic_error("fake_kernel: this ring is not mapped"); }
    return memory;
}

std::size_t number(fake_ring which) {
    return static_cast<std::size_t>(which);
}
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

fake_kernel::fake_kernel() {
    interface.name = "fake0";
    interface.index = 7;
    interface.mtu = 1500;
    interface.queues = 1;
    interface.mac_address = {2, 0, 0, 0, 0, 7};
    interface.up = true;
}

fake_kernel::~fake_kernel() {
    for (const auto& [address, length] : mappings_) { ::munmap(address, length); }
    for (const auto& [fd, it] : sockets_) { ::close(fd); }
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

fake_kernel::socket* fake_kernel::find(int fd) {
    const auto found = sockets_.find(fd);
    return found == sockets_.end() ? nullptr : &found->second;
}

fake_kernel::socket& fake_kernel::chosen(int fd) {
    socket* it = find(fd < 0 ? last_bound_ : fd);
    if (it == nullptr) { throw std::logic_error("fake_kernel: no such socket"); }
    return *it;
}

// Set-up

int fake_kernel::find_interface(const char* name, interface_info& found) {
    const std::lock_guard lock(mutex_);
    if (const int number = refuse(fake_call::find_interface)) { return -number; }
    if (gone_ || interface.name != name) { return -ENODEV; }
    found = interface;
    return 0;
}

int fake_kernel::open_socket() {
    const std::lock_guard lock(mutex_);
    if (const int number = refuse(fake_call::open_socket)) { return -number; }
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) { return -errno; }
    sockets_.emplace(fd, socket{});
    return fd;
}

int fake_kernel::register_umem(socket& it, const void* value, std::uint32_t size) {
    detail::umem_registration request;
    if (it.bound || it.umem != nullptr) { return -EBUSY; }
    if (size != sizeof request) { return -EINVAL; }
    std::memcpy(&request, value, sizeof request);
    const bool sized = request.chunk_size >= 2048 && request.chunk_size <= 4096 && std::has_single_bit(request.chunk_size);
    if (!sized || request.headroom >= request.chunk_size - kernel_headroom || request.addr % 4096 != 0 ||
        request.flags != 0 || request.len < request.chunk_size) {
        return -EINVAL;
    }
    it.umem = reinterpret_cast<std::byte*>(request.addr);
    it.length = request.len;
    it.chunk = request.chunk_size;
    it.headroom = request.headroom;
    return 0;
}

int fake_kernel::make_ring(socket& it, fake_ring which, const void* value, std::uint32_t size) {
    std::uint32_t entries = 0;
    if (size != sizeof entries) { return -EINVAL; }
    std::memcpy(&entries, value, sizeof entries);
    ring& made = it.rings[number(which)];
    if (!std::has_single_bit(entries) || made.size != 0) { return -EINVAL; }
    made.size = entries;
    made.index = first_index;
    made.flags = which == fake_ring::tx ? need_wakeup : 0;
    return 0;
}

int fake_kernel::set_option(int fd, int name, const void* value, std::uint32_t size) {
    const std::lock_guard lock(mutex_);
    const fake_call which = call_of(name);
    if (const int number = refuse(which)) { return -number; }
    socket* it = find(fd);
    if (it == nullptr) { return -EBADF; }
    switch (which) {
        case fake_call::umem_registration: return register_umem(*it, value, size);
        case fake_call::fill_ring: return make_ring(*it, fake_ring::fill, value, size);
        case fake_call::completion_ring: return make_ring(*it, fake_ring::completion, value, size);
        case fake_call::rx_ring: return make_ring(*it, fake_ring::rx, value, size);
        case fake_call::tx_ring: return make_ring(*it, fake_ring::tx, value, size);
        default: break;
    }
    std::uint32_t budget = 0;
    if (old_kernel) { return -ENOPROTOOPT; }
    if (which != fake_call::tx_budget || size != sizeof budget) { return -EINVAL; }
    std::memcpy(&budget, value, sizeof budget);
    if (budget < 32 || budget > it->rings[number(fake_ring::tx)].size) { return -EACCES; }
    it->budget = budget;
    return 0;
}

int fake_kernel::get_option(int fd, int name, void* value, std::uint32_t* size) {
    const std::lock_guard lock(mutex_);
    const fake_call which = call_of(name);
    if (const int number = refuse(which)) { return -number; }
    socket* it = find(fd);
    if (it == nullptr) { return -EBADF; }
    if (which == fake_call::statistics) {
        xdp_statistics answer{};
        if (*size < sizeof answer) { return -EINVAL; }
        static_assert(sizeof answer == sizeof it->statistics);
        std::memcpy(&answer, it->statistics.data(), sizeof answer);
        std::memcpy(value, &answer, sizeof answer);
        *size = sizeof answer;
        return 0;
    }
    xdp_mmap_offsets answer{};
    if (which != fake_call::mmap_offsets || *size < sizeof answer) { return -EINVAL; }
    answer.rx = answer.tx = answer.fr = answer.cr = {producer_at, consumer_at, entries_at, flags_at};
    std::memcpy(value, &answer, sizeof answer);
    *size = sizeof answer;
    return 0;
}

int fake_kernel::take_socket_error(int fd) {
    const std::lock_guard lock(mutex_);
    if (const int number = refuse(fake_call::socket_error)) { return -number; }
    return find(fd) == nullptr ? -EBADF : std::exchange(socket_error_, 0);
}

void* fake_kernel::map_ring(int fd, std::size_t length, off_t offset, int& failure) {
    const std::lock_guard lock(mutex_);
    failure = -refuse(fake_call::map_ring);
    if (failure != 0) { return nullptr; }
    fake_ring which = fake_ring::rx;
    switch (static_cast<unsigned long long>(offset)) {
        case XDP_PGOFF_RX_RING: break;
        case XDP_PGOFF_TX_RING: which = fake_ring::tx; break;
        case XDP_UMEM_PGOFF_FILL_RING: which = fake_ring::fill; break;
        case XDP_UMEM_PGOFF_COMPLETION_RING: which = fake_ring::completion; break;
        default: failure = -EINVAL; return nullptr;
    }
    socket* it = find(fd);
    const bool described = which == fake_ring::rx || which == fake_ring::tx;
    const std::size_t bytes = described ? sizeof(fluxnet::xdp_desc) : sizeof(frame_addr);
    if (it == nullptr || it->rings[number(which)].size == 0 || length > entries_at + it->rings[number(which)].size * bytes) {
        failure = -EINVAL;
        return nullptr;
    }
    void* address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) {
        failure = -errno;
        return nullptr;
    }
    mappings_.emplace(address, length);
    ring& made = it->rings[number(which)];
    made.memory = static_cast<std::byte*>(address);
    word(made.memory, producer_at).store(made.index);
    word(made.memory, consumer_at).store(made.index);
    word(made.memory, flags_at).store(made.flags);
    return address;
}

void fake_kernel::unmap_ring(void* address, std::size_t length) {
    const std::lock_guard lock(mutex_);
    const auto found = mappings_.find(address);
    if (found == mappings_.end() || found->second != length) { throw std::logic_error("fake_kernel: no such mapping"); }
    for (auto& [fd, it] : sockets_) {
        for (ring& made : it.rings) {
            if (made.memory == address) { made.memory = nullptr; }
        }
    }
    ::munmap(address, length);
    mappings_.erase(found);
}

int fake_kernel::bind(int fd, const bind_request& where) {
    if (on_bind) { on_bind(); }
    const std::lock_guard lock(mutex_);
    socket* it = find(fd);
    if (it == nullptr) { return -EBADF; }
    const ring& fill = it->rings[number(fake_ring::fill)];
    const std::uint32_t stocked = fill.memory == nullptr ? 0 : word(fill.memory, producer_at).load() - fill.index;
    binds_.push_back({where.interface_index, where.queue, where.flags, stocked, where.shared_umem_fd});
    int answer = refuse(fake_call::bind);
    if (answer == 0) { answer = judge_bind(*it, where); }
    const bool shared = (where.flags & XDP_SHARED_UMEM) != 0;
    if (answer != 0) {
        it->poisoned = it->poisoned || (!shared && !it->bound);
        return -answer;
    }
    if (shared) {
        const socket& other = *find(where.shared_umem_fd);
        std::tie(it->umem, it->length, it->chunk, it->headroom) =
            std::tie(other.umem, other.length, other.chunk, other.headroom);
    }
    it->bound = true;
    it->queue = where.queue;
    last_bound_ = fd;
    return 0;
}

/// The errno that a bind answers with, or 0.
int fake_kernel::judge_bind(const socket& it, const bind_request& where) {
    if (it.bound) { return EBUSY; }
    if (gone_ || where.interface_index != interface.index) { return ENODEV; }
    if (!link_up_) { return ENETDOWN; }
    const bool shared = (where.flags & XDP_SHARED_UMEM) != 0;
    if (shared) {
        if (const int answer = judge_sharing(it, where)) { return answer; }
    }
    const bool made = std::ranges::all_of(it.rings, [](const ring& r) { return r.size != 0; });
    if (!made || it.poisoned || (!shared && it.umem == nullptr) || where.queue >= real_queues) { return EINVAL; }
    const bool taken = std::ranges::any_of(
        sockets_, [&](const auto& other) { return other.second.bound && other.second.queue == where.queue; });
    if (taken) { return EBUSY; }
    return (where.flags & XDP_ZEROCOPY) != 0 && !zero_copy ? EOPNOTSUPP : 0;
}

/// The same for what XDP_SHARED_UMEM asks more than other binds.
int fake_kernel::judge_sharing(const socket& it, const bind_request& where) {
    if ((where.flags & ~XDP_SHARED_UMEM) != 0 || it.umem != nullptr) { return EINVAL; }
    const socket* const other = find(where.shared_umem_fd);
    if (other == nullptr) { return ENOTSOCK; }
    if (!other->bound) { return EBADF; }
    if (other->queue != where.queue) { return 0; }
    // The kernel lets a socket without fill and completion ring use the other's. Not here.
    const bool own = it.rings[number(fake_ring::fill)].size != 0 || it.rings[number(fake_ring::completion)].size != 0;
    return own ? EINVAL : EBUSY;
}

int fake_kernel::close(int fd) {
    const std::lock_guard lock(mutex_);
    const int refused = refuse(fake_call::close);
    if (sockets_.erase(fd) == 0) { throw std::logic_error("fake_kernel: close of a descriptor that is not open"); }
    if (last_bound_ == fd) { last_bound_ = -1; }
    ::close(fd);
    return -refused;
}

void fake_kernel::pause_ms(int milliseconds) {
    {
        const std::lock_guard lock(mutex_);
        pauses_.push_back(milliseconds);
    }
    if (on_pause) { on_pause(); }
}

// Receiving

/// Takes an address from the fill ring, one that was kept out of sight first.
bool fake_kernel::next_fill(socket& it, std::uint64_t& addr) {
    if (!it.out_of_sight.empty()) {
        addr = it.out_of_sight.front();
        it.out_of_sight.pop_front();
        return true;
    }
    ring& fill = it.rings[number(fake_ring::fill)];
    std::byte* memory = mapped(fill.memory);
    while (word(memory, producer_at).load(std::memory_order_acquire) != fill.index) {
        addr = entry<frame_addr>(memory, fill.size, fill.index).value;
        ++fill.index;
        word(memory, consumer_at).store(fill.index, std::memory_order_release);
        if (addr < it.length) {
            addr &= ~std::uint64_t{it.chunk - 1};
            return true;
        }
        ++it.statistics[rx_invalid];
    }
    return false;
}

bool fake_kernel::deliver(std::span<const std::byte> bytes, int fd) {
    const std::lock_guard lock(mutex_);
    socket& it = chosen(fd);
    if (bytes.size() > it.chunk - kernel_headroom - it.headroom) {
        ++it.statistics[rx_dropped];
        return false;
    }
    std::uint64_t addr = 0;
    if (!next_fill(it, addr)) {
        ++it.statistics[rx_dropped];
        ++it.statistics[fill_empty];
        return false;
    }
    ring& rx = it.rings[number(fake_ring::rx)];
    std::byte* memory = mapped(rx.memory);
    if (rx.index - word(memory, consumer_at).load(std::memory_order_acquire) >= rx.size) {
        ++it.statistics[rx_full];
        it.out_of_sight.push_back(addr);
        return false;
    }
    addr += kernel_headroom + it.headroom;
    copy_as_kernel(it.umem + addr, bytes.data(), bytes.size());
    entry<fluxnet::xdp_desc>(memory, rx.size, rx.index) = {{addr}, static_cast<std::uint32_t>(bytes.size()), 0};
    ++rx.index;
    word(memory, producer_at).store(rx.index, std::memory_order_release);
    return true;
}

int fake_kernel::kick_rx(int fd) {
    const std::lock_guard lock(mutex_);
    if (const int number = refuse(fake_call::kick_rx)) { return -number; }
    const socket* it = find(fd);
    if (it == nullptr) { return -EBADF; }
    if (gone_ || !it->bound) { return -ENXIO; }
    return link_up_ ? 0 : -ENETDOWN;
}

// Sending

void fake_kernel::write_completion(socket& it, std::uint64_t addr) {
    ring& comp = it.rings[number(fake_ring::completion)];
    std::byte* memory = mapped(comp.memory);
    entry<frame_addr>(memory, comp.size, comp.index) = {addr};
    ++comp.index;
    word(memory, producer_at).store(comp.index, std::memory_order_release);
}

/// Tells whether the completion ring has a place for one more of what was sent.
bool fake_kernel::has_room_to_complete(socket& it) {
    const ring& comp = it.rings[number(fake_ring::completion)];
    const std::uint32_t waiting = comp.index - word(mapped(comp.memory), consumer_at).load(std::memory_order_acquire);
    return waiting + it.held.size() < comp.size;
}

/// Completes the frame of a packet that was sent, now or later. Packets that are dropped are completed at once.
void fake_kernel::complete(socket& it, std::uint64_t addr) {
    if (holding_) {
        it.held.push_back(addr);
    } else {
        write_completion(it, addr);
    }
}

/// What EBUSY means: the packet at the head is gone, its frame is completed, and nothing is published.
int fake_kernel::drop_head(socket& it) {
    ring& tx = it.rings[number(fake_ring::tx)];
    std::byte* memory = mapped(tx.memory);
    if (word(memory, producer_at).load(std::memory_order_acquire) == tx.index) { return -EBUSY; }
    if (has_room_to_complete(it)) {
        write_completion(it, entry<fluxnet::xdp_desc>(memory, tx.size, tx.index).addr.value);
        ++tx.index;
    }
    return -EBUSY;
}

/// One pass over the TX ring. The kernel's index is published when packets were sent (or, on an old kernel, only when the
/// ring ran empty): the user may not see the progress of a kick that ended early.
int fake_kernel::transmit(socket& it) {
    ring& tx = it.rings[number(fake_ring::tx)];
    std::byte* memory = mapped(tx.memory);
    const auto publish = [&] { word(memory, consumer_at).store(tx.index, std::memory_order_release); };
    std::uint32_t budget = it.budget != 0 ? it.budget : default_tx_budget;
    bool sent = false;
    int answer = 0;
    for (;;) {
        if (word(memory, producer_at).load(std::memory_order_acquire) == tx.index) {
            it.statistics[tx_empty] += sent ? 0U : 1U;
            publish();
            break;
        }
        if (budget-- == 0) {
            answer = -EAGAIN;
            break;
        }
        const fluxnet::xdp_desc desc = entry<fluxnet::xdp_desc>(memory, tx.size, tx.index);
        if (!has_room_to_complete(it)) {
            answer = -EAGAIN;
            break;
        }
        ++tx.index;
        if (desc.addr.value >= it.length || (desc.addr.value & (it.chunk - 1)) + desc.len > it.chunk || desc.options != 0) {
            ++it.statistics[tx_invalid];
            write_completion(it, desc.addr.value);
            break;
        }
        if (desc.len < ethernet_header || desc.len > interface.mtu + ethernet_header) {
            write_completion(it, desc.addr.value);
            answer = -EBUSY;
            break;
        }
        std::vector<std::byte>& copy = sent_.emplace_back(desc.len);
        copy_as_kernel(copy.data(), it.umem + desc.addr.value, desc.len);
        complete(it, desc.addr.value);
        sent = true;
    }
    if (sent && !old_kernel) { publish(); }
    return answer;
}

int fake_kernel::kick_tx(int fd) {
    const std::lock_guard lock(mutex_);
    const int refused = refuse(fake_call::kick_tx);
    socket* it = find(fd);
    if (it == nullptr) { return -EBADF; }
    if (refused == EBUSY) { return drop_head(*it); }
    if (refused != 0) { return -refused; }
    if (gone_ || !it->bound) { return -ENXIO; }
    if (!link_up_) { return -ENETDOWN; }
    return transmit(*it);
}

std::vector<std::vector<std::byte>> fake_kernel::take_sent() {
    const std::lock_guard lock(mutex_);
    return std::exchange(sent_, {});
}

void fake_kernel::hold_completions(bool hold) {
    const std::lock_guard lock(mutex_);
    holding_ = hold;
}

std::uint32_t fake_kernel::release_completions(std::uint32_t count, int fd) {
    const std::lock_guard lock(mutex_);
    socket& it = chosen(fd);
    std::uint32_t released = 0;
    for (; released < count && !it.held.empty(); ++released) {
        write_completion(it, it.held.front());
        it.held.pop_front();
    }
    return released;
}

void fake_kernel::set_link(bool up) {
    const std::lock_guard lock(mutex_);
    link_up_ = up;
}

void fake_kernel::remove_interface() {
    const std::lock_guard lock(mutex_);
    gone_ = true;
}

void fake_kernel::set_socket_error(int number) {
    const std::lock_guard lock(mutex_);
    socket_error_ = number;
}

// Faults

void fake_kernel::set_needs_wakeup(fake_ring which, bool needed, int fd) {
    const std::lock_guard lock(mutex_);
    word(mapped(chosen(fd).rings[number(which)].memory), flags_at).store(needed ? need_wakeup : 0);
}

void fake_kernel::write_producer(fake_ring which, std::uint32_t index, int fd) {
    const std::lock_guard lock(mutex_);
    word(mapped(chosen(fd).rings[number(which)].memory), producer_at).store(index);
}

void fake_kernel::write_consumer(fake_ring which, std::uint32_t index, int fd) {
    const std::lock_guard lock(mutex_);
    word(mapped(chosen(fd).rings[number(which)].memory), consumer_at).store(index);
}

std::uint32_t fake_kernel::producer(fake_ring which, int fd) const {
    const std::lock_guard lock(mutex_);
    return word(mapped(chosen(fd).rings[number(which)].memory), producer_at).load();
}

std::uint32_t fake_kernel::consumer(fake_ring which, int fd) const {
    const std::lock_guard lock(mutex_);
    return word(mapped(chosen(fd).rings[number(which)].memory), consumer_at).load();
}

void fake_kernel::push_rx(const fluxnet::xdp_desc& desc, int fd) {
    const std::lock_guard lock(mutex_);
    ring& rx = chosen(fd).rings[number(fake_ring::rx)];
    entry<fluxnet::xdp_desc>(mapped(rx.memory), rx.size, rx.index) = desc;
    ++rx.index;
    word(rx.memory, producer_at).store(rx.index);
}

void fake_kernel::push_completion(frame_addr addr, int fd) {
    const std::lock_guard lock(mutex_);
    write_completion(chosen(fd), addr.value);
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

std::uint32_t fake_kernel::tx_budget_set(int fd) const {
    const std::lock_guard lock(mutex_);
    return chosen(fd).budget;
}

std::uint32_t fake_kernel::ring_size(fake_ring which, int fd) const {
    const std::lock_guard lock(mutex_);
    return chosen(fd).rings[number(which)].size;
}

std::uint32_t fake_kernel::headroom(int fd) const {
    const std::lock_guard lock(mutex_);
    return chosen(fd).headroom;
}

std::size_t fake_kernel::live_fds() const {
    const std::lock_guard lock(mutex_);
    return sockets_.size();
}

std::size_t fake_kernel::live_mappings() const {
    const std::lock_guard lock(mutex_);
    return mappings_.size();
}

}  // namespace fluxnet::test
