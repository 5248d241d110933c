// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/builder.hpp"

#include <algorithm>
#include <utility>

namespace fluxnet {
namespace {

error too_few_frames(const umem& memory, std::uint32_t wanted) {
    return make_error(errc::invalid_option, "set " + std::to_string(wanted) + " frames of the UMEM aside",
                      "of its " + std::to_string(memory.config().frame_count) + " frames " +
                          std::to_string(memory.pool().unassigned()) + " are not set aside for other sockets",
                      "make the UMEM larger, or give its sockets fewer frames");
}

}  // namespace

result<umem> builder::find_memory(std::uint32_t sockets) const {
    if (shared_) { return shared_; }
    umem_config wanted = memory_;
    if (auto valid = validate(wanted); !valid) { return valid.error(); }
    if (wanted.frame_count > ~0U / sockets) {
        return make_error(errc::invalid_option, "check frame count " + std::to_string(wanted.frame_count),
                          "it is meant for each of " + std::to_string(sockets) + " sockets", "use 2048");
    }
    wanted.frame_count *= sockets;
    return umem::create(wanted);
}

result<raw_socket> builder::build_raw() const {
    auto memory = find_memory(1);
    if (!memory) { return memory.error(); }
    const umem_config& config = memory->config();
    const std::uint32_t to_have = memory->pool().largest_share();
    const std::uint32_t room = std::min(to_have, config.fill_ring);
    const std::uint32_t prefill = prefill_.value_or(std::min(config.frame_count / 2, room));
    if (prefill > room) {
        return make_error(errc::invalid_option, "check prefill " + std::to_string(prefill),
                          "there are " + std::to_string(to_have) + " frames and " + std::to_string(config.fill_ring) +
                              " entries in the fill ring",
                          "prefill at most the smaller of the two");
    }
    frame_home* stock = memory->pool().make_home(prefill);
    if (stock == nullptr) { return too_few_frames(*memory, prefill); }
    auto socket = raw_socket::open(*memory, socket_, stock);
    stock->release();
    if (!socket) {
        memory->pool().retire(*stock);
        return socket.error();
    }
    socket->core()->receiving = stock;  // which goes back to the pool when the socket closes
    memory->pool().checker().forget();  // from here on the user moves these frames, unseen by the checker
    return socket;
}

result<system_sockets> builder::build_system() const {
    auto memory = find_memory(1);
    if (!memory) { return memory.error(); }
    const std::uint32_t sending = tx_frames_.value_or(memory_.frame_count / 4);
    if (sending >= memory_.frame_count) {
        return make_error(errc::invalid_option, "check tx frames " + std::to_string(sending),
                          "none of the " + std::to_string(memory_.frame_count) + " frames is left to receive into",
                          "set fewer tx frames, or more frames");
    }
    frame_pool& pool = memory->pool();
    frame_home* receiving = pool.make_home(memory_.frame_count - sending);
    if (receiving == nullptr) { return too_few_frames(*memory, memory_.frame_count); }
    frame_home* reserve = pool.make_home(sending);
    if (reserve == nullptr) {
        pool.retire(*receiving);
        return too_few_frames(*memory, memory_.frame_count);
    }
    auto socket = raw_socket::open(*memory, socket_, receiving);
    if (!socket) {
        receiving->release();
        pool.retire(*receiving);
        pool.retire(*reserve);
        return socket.error();
    }
    system_sockets built{rx(socket->core(), *receiving), tx(socket->core(), *reserve), socket->refusals(), socket->notes()};
    built.tx.copy_foreign(copy_foreign_);
    built.rx.release();
    return built;
}

result<std::vector<system_sockets>> builder::build_queues(std::uint32_t count) const {
    auto memory = find_memory(std::max(1U, count));
    if (!memory) { return memory.error(); }
    std::vector<system_sockets> built;
    built.reserve(count);
    builder next = *this;
    next.over(*memory);
    for (std::uint32_t i = 0; i < count; ++i) {
        auto sockets = next.build_system();
        if (!sockets) { return sockets.error(); }
        next.use_program(sockets->rx.redirect()).queue(next.socket().queue + 1);
        built.push_back(std::move(*sockets));
        // Each new socket knows of more queues that are served than the sockets before it.
        std::vector<std::string> latest = std::exchange(built.back().notes, {});
        built.front().notes = std::move(latest);
    }
    return built;
}

}  // namespace fluxnet
