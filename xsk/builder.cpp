// SPDX-License-Identifier: BSD-3-Clause
#include "xsk/builder.hpp"

#include <algorithm>

namespace fluxnet {

result<raw_socket> builder::build_raw() const {
    if (auto valid = validate(memory_); !valid) { return valid.error(); }
    const std::uint32_t prefill = prefill_.value_or(std::min(memory_.frame_count / 2, memory_.fill_ring));
    if (prefill > std::min(memory_.frame_count, memory_.fill_ring)) {
        return make_error(errc::invalid_option, "check prefill " + std::to_string(prefill),
                          "there are " + std::to_string(memory_.frame_count) + " frames and " +
                              std::to_string(memory_.fill_ring) + " entries in the fill ring",
                          "prefill at most the smaller of the two");
    }
    auto memory = umem::create(memory_);
    if (!memory) { return memory.error(); }
    frame_home* stock = memory->pool().make_home(prefill);
    auto socket = raw_socket::open(*memory, socket_, stock);
    stock->release();
    memory->pool().checker().forget();  // from here on nobody follows these frames
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
    built.tx.copy_foreign(copy_foreign_);
    built.rx.release();
    return built;
}

}  // namespace fluxnet
