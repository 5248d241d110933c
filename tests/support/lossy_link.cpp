// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/lossy_link.hpp"

#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/process.hpp"

#include <bpf/libbpf.h>
#include <net/if.h>

#include "lose_bpf.skel.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <system_error>

namespace fluxnet::test {
namespace {

// The order of `enum way` in lose.bpf.c.
constexpr std::size_t sent_way = 0;
constexpr std::size_t received_way = 1;

// libbpf returns the negated error and sets errno, too.
void require_done(int outcome, const char* step) {
    if (outcome != 0) { throw std::system_error(-outcome, std::generic_category(), step); }
}

std::uint64_t count_of(std::uint64_t& count) noexcept {
    return std::atomic_ref<std::uint64_t>(count).load(std::memory_order_relaxed);
}

// TCP hands over several segments as one packet, which only a device without offloads makes many, behind the tc hook.
void segment_before_tc(unsigned interface_index) {
    char name[IF_NAMESIZE];
    if (::if_indextoname(interface_index, name) == nullptr) { detail::throw_errno("if_indextoname"); }
    const finished done = run({"ip", "link", "set", "dev", name, "gso_max_segs", "1"}, {}, std::chrono::seconds(20));
    if (!done.success()) { throw std::runtime_error("set gso_max_segs: " + done.output); }
}

std::optional<std::string> try_to_lose() {
    constexpr unsigned loopback_index = 1;
    try {
        const network_namespace place;
        const lossy_link trial(place, loopback_index, {});
        return std::nullopt;
    } catch (const std::exception& refused) {
        return std::string("packets cannot be lost (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF): ") + refused.what();
    }
}

}  // namespace

struct lossy_link::loaded {
    loaded() = default;
    ~loaded() { lose_bpf__destroy(skeleton); }
    loaded(const loaded&) = delete;
    loaded& operator=(const loaded&) = delete;

    [[nodiscard]] packets of(std::size_t way) const noexcept {
        static_assert(sizeof skeleton->bss->seen[0] == sizeof(std::uint64_t));
        return {count_of(reinterpret_cast<std::uint64_t*>(skeleton->bss->seen)[way]),
                count_of(reinterpret_cast<std::uint64_t*>(skeleton->bss->lost)[way])};
    }

    lose_bpf* skeleton = nullptr;
};

lossy_link::lossy_link(const network_namespace& place, unsigned interface_index, const loss_rates& rates)
    : programs_(std::make_unique<loaded>()) {
    const network_namespace::scoped_enter inside(place);
    segment_before_tc(interface_index);
    lose_bpf*& skeleton = programs_->skeleton;
    skeleton = lose_bpf__open();
    if (skeleton == nullptr) {
        throw std::system_error(errno, std::generic_category(), "open the BPF programs that lose packets");
    }
    skeleton->rodata->seed = rates.seed;
    skeleton->rodata->per_mille[sent_way] = rates.sent_per_mille;
    skeleton->rodata->per_mille[received_way] = rates.received_per_mille;
    require_done(lose_bpf__load(skeleton), "load the BPF programs that lose packets");

    bpf_tc_hook hook{};
    hook.sz = sizeof hook;
    hook.ifindex = static_cast<int>(interface_index);
    hook.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    require_done(::bpf_tc_hook_create(&hook), "add the qdisc clsact");
    const auto attach = [&hook](bpf_tc_attach_point point, const bpf_program* program) {
        hook.attach_point = point;
        bpf_tc_opts options{};
        options.sz = sizeof options;
        options.prog_fd = ::bpf_program__fd(program);
        require_done(::bpf_tc_attach(&hook, &options), "attach a program that loses packets");
    };
    attach(BPF_TC_EGRESS, skeleton->progs.lose_sent);
    attach(BPF_TC_INGRESS, skeleton->progs.lose_received);
}

lossy_link::~lossy_link() = default;
lossy_link::lossy_link(lossy_link&&) noexcept = default;
lossy_link& lossy_link::operator=(lossy_link&&) noexcept = default;

std::optional<std::string> lossy_link::why_not_available() {
    static const std::optional<std::string> reason = try_to_lose();
    return reason;
}

lossy_link::packets lossy_link::sent() const noexcept {
    return programs_->of(sent_way);
}

lossy_link::packets lossy_link::received() const noexcept {
    return programs_->of(received_way);
}

}  // namespace fluxnet::test
