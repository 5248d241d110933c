// SPDX-License-Identifier: BSD-3-Clause
#include "examples/http_counters/packet_program.hpp"

#include "fluxnet/proto/reason.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
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
    const proto::echo_host::counters& count = host_.count();
    const auto answered = [&](std::string_view protocol, std::uint64_t value) {
        all.add_counter("host_replies_total", "Packets answered, by protocol.", value, {{"protocol", protocol}});
    };
    answered("arp", count.arp_replies);
    answered("icmp", count.icmp_replies);
    answered("udp", count.udp_replies);
    for (std::size_t i = 0; i < proto::reason_count; ++i) {
        if (count.dropped[i] == 0) { continue; }
        all.add_counter("host_drops_total", "Packets without an answer, by reason.", count.dropped[i],
                        {{"reason", name(static_cast<proto::reason>(i))}});
    }
}

}  // namespace http_example
