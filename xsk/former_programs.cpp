// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/former_programs.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <mutex>

#include <bpf/libbpf.h>

namespace fluxnet::detail {
namespace {

/// The last ones. The kernel gives a number out again only after all others.
struct former_list {
    std::mutex mutex;
    std::array<std::uint32_t, 64> ids{};
    std::size_t next = 0;
};

former_list& former_programs() noexcept {
    static former_list list;
    return list;
}

}  // namespace

void note_former_program(std::uint32_t id) noexcept {
    former_list& list = former_programs();
    const std::lock_guard lock(list.mutex);
    list.ids[list.next++ % list.ids.size()] = id;
}

program_there look_at_program(int interface_index) noexcept {
    bpf_xdp_query_opts query{};
    query.sz = sizeof query;
    if (bpf_xdp_query(interface_index, 0, &query) != 0) { return program_there::other; }
    const std::array<std::uint32_t, 4> found{query.prog_id, query.drv_prog_id, query.hw_prog_id, query.skb_prog_id};
    const auto is_none = [](std::uint32_t id) { return id == 0; };
    if (std::ranges::all_of(found, is_none)) { return program_there::none; }
    former_list& list = former_programs();
    const std::lock_guard lock(list.mutex);
    const auto is_former = [&](std::uint32_t id) { return id == 0 || std::ranges::find(list.ids, id) != list.ids.end(); };
    return std::ranges::all_of(found, is_former) ? program_there::former : program_there::other;
}

}  // namespace fluxnet::detail
