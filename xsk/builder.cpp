// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/builder.hpp"

#include <algorithm>

namespace fluxnet {

result<raw_socket> builder::build_raw() const {
    auto memory = umem::create(memory_);
    if (!memory) { return memory.error(); }
    return build_raw(*memory);
}

result<raw_socket> builder::build_raw(const umem& memory) const {
    frame_pool& pool = memory.pool();
    const std::uint32_t most = std::min(pool.unassigned(), memory.config().fill_ring);
    const std::uint32_t prefill = prefill_.value_or(std::min(pool.frame_count() / 2, most));
    frame_home* const stock = prefill <= most ? pool.make_home(prefill) : nullptr;
    if (stock == nullptr) {
        return make_error(errc::invalid_option, "check prefill " + std::to_string(prefill),
                          "there are " + std::to_string(pool.unassigned()) + " frames and " +
                              std::to_string(memory.config().fill_ring) + " entries in the fill ring",
                          "prefill at most the smaller of the two");
    }
    auto socket = raw_socket::open(memory, socket_, stock);
    stock->release();
    pool.checker().forget();  // from here on nobody follows these frames
    return socket;
}

result<system_sockets> builder::build_system() const {
    if (auto valid = validate(memory_); !valid) { return valid.error(); }
    const std::uint32_t sending = tx_frames_.value_or(memory_.frame_count / 4);
    if (sending >= memory_.frame_count) {
        return make_error(errc::invalid_option, "check tx frames " + std::to_string(sending),
                          "none of the " + std::to_string(memory_.frame_count) + " frames is left to receive into",
                          "set fewer tx frames, or more frames");
    }
    auto memory = umem::create(memory_);
    if (!memory) { return memory.error(); }
    frame_home* receiving = memory->pool().make_home(memory_.frame_count - sending);
    frame_home* reserve = memory->pool().make_home(sending);
    auto socket = raw_socket::open(*memory, socket_, receiving);
    if (!socket) {
        receiving->release();
        return socket.error();
    }
    system_sockets built{rx(socket->core(), *receiving), tx(socket->core(), *reserve), socket->refusals()};
    built.rx.release();
    return built;
}

}  // namespace fluxnet
