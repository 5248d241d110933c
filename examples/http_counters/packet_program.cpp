// SPDX-License-Identifier: BSD-3-Clause
#include "examples/http_counters/packet_program.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <utility>

using namespace fluxnet;

namespace http_example {

packet_program::packet_program(async_sockets sockets, proto::ipv4_address address)
    : sockets_(std::move(sockets)), host_(proto::mac_address(sockets_.rx.socket().interface().mac_address), address) {}

task<std::error_code> packet_program::answer() {
    std::array<packet, 64> burst;
    for (;;) {
        const io_result got = co_await sockets_.rx.recv(burst);
        if (got.ec) { co_return got.ec; }
        std::size_t replies = 0;
        for (std::size_t i = 0; i < got.n; ++i) {
            const auto length = host_.answer(burst[i].data());
            if (length && burst[i].set_len(*length)) { burst[replies++] = std::move(burst[i]); }
        }
        const io_result put = co_await sockets_.tx.send(std::span(burst).first(replies));
        if (put.ec) { co_return put.ec; }
    }
}

void packet_program::add_to(metrics& all) {
    all.add("host", sockets_.rx);
    all.add("host", sockets_.tx);
    all.add("host", sockets_.rx.socket().pool());
}

}  // namespace http_example
