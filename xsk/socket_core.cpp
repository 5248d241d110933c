// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/socket_core.hpp"

#include "fluxnet/xsk/detail/bind_ladder.hpp"
#include "fluxnet/xsk/detail/capabilities.hpp"
#include "fluxnet/xsk/detail/holders.hpp"
#include "fluxnet/xsk/detail/if_xdp.hpp"

#include <cerrno>
#include <string>

#include <linux/capability.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

/// One ring to be made: the option that sizes it, where it is mapped, and what to call it.
struct ring_plan {
    const char* what;
    int option;
    off_t offset;
    std::uint32_t size;
    std::size_t entry_bytes;
    const xdp_ring_offset* layout;
};

error explain_socket(const std::string& family, bool attaches, int number) {
    const std::string step = "open an " + family + " socket";
    const std::string cause = "socket(" + family + ") answered " + errno_text(number);
    switch (number) {
        case EPERM:
            return make_error(errc::permission_denied, step, cause,
                              remedy_for_xdp_permission(attaches && family == "AF_XDP"));
        case EAFNOSUPPORT:
            return make_error(
                errc::kernel_not_supported, step, cause,
                std::string("use a kernel with ") + (family == "AF_XDP" ? "CONFIG_XDP_SOCKETS" : "CONFIG_PACKET"));
        default: return make_error(errc::system_failure, step, cause, "see socket(2) for this error");
    }
}

error explain_registration(const umem_config& config, std::size_t length, int number) {
    const std::string step = "register a UMEM of " + std::to_string(length) + " bytes (" +
                             std::to_string(config.frame_count) + " frames of " + std::to_string(config.frame_size) + ")";
    const std::string cause = "XDP_UMEM_REG answered " + errno_text(number);
    switch (number) {
        case ENOBUFS:
            return make_error(errc::memlock_exceeded, step, cause + ": it exceeds the locked-memory limit",
                              "raise the limit (ulimit -l), grant CAP_IPC_LOCK, or use fewer frames");
        case ENOMEM: return make_error(errc::out_of_memory, step, cause, "use fewer frames");
        case EINVAL:
            return make_error(errc::invalid_option, step, cause + " with headroom " + std::to_string(config.headroom),
                              "use frames of 2048 or 4096 bytes and a smaller headroom");
        default: return make_error(errc::system_failure, step, cause, "see the kernel's af_xdp.rst for this error");
    }
}

error explain_ring(const ring_plan& plan, const char* call, int number) {
    const std::string step = std::string("make the ") + plan.what + " ring of " + std::to_string(plan.size) + " entries";
    const std::string cause = std::string(call) + " answered " + errno_text(number);
    switch (number) {
        case EINVAL: return make_error(errc::invalid_option, step, cause, "use a power of two");
        case ENOMEM: return make_error(errc::out_of_memory, step, cause, "use a smaller ring");
        default: return make_error(errc::system_failure, step, cause, "see the kernel's af_xdp.rst for this error");
    }
}

template <class T>
ring_memory<T> view(void* address, const xdp_ring_offset& layout, std::uint32_t size) noexcept {
    auto* bytes = static_cast<std::byte*>(address);
    return {reinterpret_cast<std::uint32_t*>(bytes + layout.producer),
            reinterpret_cast<std::uint32_t*>(bytes + layout.consumer),
            reinterpret_cast<std::uint32_t*>(bytes + layout.flags), reinterpret_cast<T*>(bytes + layout.desc), size};
}

result<void> register_umem(socket_core& core) {
    const umem_config& config = core.memory.config();
    umem_registration request;
    request.addr = reinterpret_cast<std::uintptr_t>(core.memory.base());
    request.len = std::uint64_t{config.frame_count} * config.frame_size;
    request.chunk_size = config.frame_size;
    request.headroom = config.headroom;
    if (const int r = core.calls.set_option(core.fd, XDP_UMEM_REG, &request, sizeof request); r < 0) {
        return explain_registration(config, request.len, -r);
    }
    return {};
}

result<void> map_rings(socket_core& core, const socket_options& options) {
    xdp_mmap_offsets offsets{};
    const umem_config& config = core.memory.config();
    const std::array<ring_plan, 4> plans{{
        {"fill", XDP_UMEM_FILL_RING, static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING), config.fill_ring, sizeof(frame_addr),
         &offsets.fr},
        {"completion", XDP_UMEM_COMPLETION_RING, static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING), config.completion_ring,
         sizeof(frame_addr), &offsets.cr},
        {"RX", XDP_RX_RING, XDP_PGOFF_RX_RING, options.rx_ring, sizeof(xdp_desc), &offsets.rx},
        {"TX", XDP_TX_RING, XDP_PGOFF_TX_RING, options.tx_ring, sizeof(xdp_desc), &offsets.tx},
    }};
    for (const ring_plan& plan : plans) {
        if (const int r = core.calls.set_option(core.fd, plan.option, &plan.size, sizeof plan.size); r < 0) {
            return explain_ring(plan, "setsockopt", -r);
        }
    }
    std::uint32_t size = sizeof offsets;
    if (const int r = core.calls.get_option(core.fd, XDP_MMAP_OFFSETS, &offsets, &size); r < 0) {
        return explain_ring(plans[0], "XDP_MMAP_OFFSETS", -r);
    }
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const ring_plan& plan = plans[i];
        const std::size_t length = plan.layout->desc + plan.size * plan.entry_bytes;
        int failure = 0;
        void* address = core.calls.map_ring(core.fd, length, plan.offset, failure);
        if (address == nullptr) { return explain_ring(plan, "mmap", -failure); }
        core.mappings[i] = {address, length};
    }
    core.fill = view<frame_addr>(core.mappings[0].address, offsets.fr, config.fill_ring);
    core.comp = view<frame_addr>(core.mappings[1].address, offsets.cr, config.completion_ring);
    core.rx = view<xdp_desc>(core.mappings[2].address, offsets.rx, options.rx_ring);
    core.tx = view<xdp_desc>(core.mappings[3].address, offsets.tx, options.tx_ring);
    return {};
}

}  // namespace

socket_core::~socket_core() {
    const bool forked = ::getpid() != opened_by_;  // then the parent uses the rings and has the frames
    if (directed) { redirect->remove(queue, fd); }
    if (watched) {
        memory.pool().unwatch(fd);
        forget_bound(fd);
    }
    if (ledger != nullptr && !zero_copy && !forked) { return_unsent(); }
    for (const mapping& ring : mappings) {
        if (ring.address != nullptr) { calls.unmap_ring(ring.address, ring.length); }
    }
    if (fd >= 0) { calls.close(fd); }
    if (forked) { return; }
    if (receiving != nullptr) {
        // If the rx was dropped on a thread that does not own its home, adopt() fails and the frames lent to the kernel are
        // never reclaimed.
        if (!zero_copy && receiving->adopt()) {
            receiving->reclaim();
            receiving->release();
        }
        memory.pool().retire(*receiving);
    }
    if (sending != nullptr) { memory.pool().retire(*sending); }
}

void socket_core::give_back(frame_addr addr) noexcept {
    if (!memory.contains(addr, 0)) { return; }
    frame_pool& pool = memory.pool();
    const frame_index frame = sending->index_of(addr);
    frame_home& home = pool.home_of(frame);
    if (!home.completed(frame)) { return; }
    home.give_back(frame_chain{frame.value, frame.value, 1});
    ledger->reaped.add(1);
}

void socket_core::give_back_completed() noexcept {
    consumer_ring<frame_addr> completed(comp);
    for (auto claim = completed.consume(); claim.remaining() != 0;) { give_back(claim.next()); }
}

/// Returns what stands in the completion ring, what the driver completes within the deadline, and what waits in the TX ring,
/// which only a kick of ours would have sent.
void socket_core::return_unsent() noexcept {
    give_back_completed();
    const std::uint32_t tail = std::atomic_ref(*tx.consumer).load(std::memory_order_acquire);
    const std::uint32_t head = std::atomic_ref(*tx.producer).load(std::memory_order_relaxed);
    if (head - tail > tx.size) { return; }
    const auto in_driver = [&] { return ledger->submitted.get() - ledger->reaped.get() - (head - tail); };
    constexpr std::chrono::milliseconds step{1};
    for (auto waited = step; in_driver() != 0 && waited <= close_deadline; waited += step) {
        calls.pause_ms(static_cast<int>(step.count()));
        give_back_completed();
    }
    if (const std::uint64_t missing = in_driver(); missing != 0) {
        memory.pool().count_missing(static_cast<std::uint32_t>(missing));
    }
    for (std::uint32_t at = tail; at != head; ++at) { give_back(tx.entries[at & (tx.size - 1)].addr); }
}

result<std::shared_ptr<socket_core>> open_unbound(const umem& memory, const socket_options& options,
                                                  const interface_info& interface, bool share) {
    kernel& calls = options.calls != nullptr ? *options.calls : system_kernel();
    auto core = std::make_shared<socket_core>(calls, memory);
    core->interface = interface;
    core->queue = options.queue;
    core->fd = calls.open_socket();
    if (core->fd < 0) { return explain_socket(calls.socket_family(), options.attach, -core->fd); }
    if (!share) {
        if (auto done = register_umem(*core); !done) { return done.error(); }
    }
    if (auto done = map_rings(*core, options); !done) { return done.error(); }
    // Lets one kick send a whole ring in copy mode; kernels before 6.17 refuse, and send 32 packets a kick.
    const std::uint32_t budget = options.tx_ring;
    calls.set_option(core->fd, xdp_max_tx_skb_budget, &budget, sizeof budget);
    return core;
}

}  // namespace fluxnet::detail
