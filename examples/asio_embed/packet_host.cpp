// SPDX-License-Identifier: BSD-3-Clause
#include "examples/asio_embed/packet_host.hpp"

#include "fluxnet/xsk/program.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <utility>

using namespace fluxnet;

namespace embed_example {
namespace {

[[nodiscard]] std::string describe(const rx& socket) {
    std::string text = socket.interface().name;
    if (socket.packet_ring()) { return text + ", packet ring"; }
    if (socket.redirect()) { text.append(", ").append(name(socket.redirect()->mode())).append(" XDP"); }
    return text + (socket.zero_copy() ? ", zero-copy" : ", copy");
}

[[nodiscard]] std::uint64_t bytes_of(std::span<const packet> packets) noexcept {
    std::uint64_t sum = 0;
    for (const packet& each : packets) { sum += each.data().size(); }
    return sum;
}

}  // namespace

packet_host::packet_host(asio::port port, proto::ipv4_address address, const builder& options)
    : port_(std::move(port)), host_(proto::mac_address(port_.rx().socket().interface().mac_address), address),
      source_(describe(port_.rx().socket())) {
    sizes_.rx.size = options.socket().rx_ring;
    sizes_.fill.size = options.memory().fill_ring;
    sizes_.tx.size = options.socket().tx_ring;
    sizes_.completion.size = options.memory().completion_ring;
}

net::awaitable<boost::system::error_code> packet_host::answer() {
    std::array<packet, 64> burst;
    for (;;) {
        boost::system::error_code failed;
        const std::size_t count = co_await port_.async_receive(burst, net::redirect_error(net::use_awaitable, failed));
        if (failed) { co_return failed; }
        received_.packets += count;
        received_.bytes += bytes_of(std::span(burst).first(count));
        std::size_t replies = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const auto length = host_.answer(burst[i].data());
            if (length && burst[i].set_len(*length)) { burst[replies++] = std::move(burst[i]); }
        }
        const std::span<packet> answers = std::span(burst).first(replies);
        const std::uint64_t bytes = bytes_of(answers);
        const std::size_t sent = co_await port_.async_send(answers, net::redirect_error(net::use_awaitable, failed));
        sent_.packets += sent;
        if (failed) { co_return failed; }
        sent_.bytes += bytes;
    }
}

packet_sample packet_host::sample() {
    rx& receiver = port_.rx().socket();
    tx& sender = port_.tx().socket();
    packet_sample now = sizes_;
    now.received = received_;
    now.sent = sent_;
    now.host = host_.count();
    now.kernel = receiver.statistics();
    now.unsent = sender.dropped_by_kernel();
    now.frames = receiver.pool().census();
    now.rx.used = receiver.available();
    now.fill.used = now.frames.fill;
    now.tx.used = sender.pending();
    now.completion.used = now.frames.completion;
    return now;
}

void packet_host::drain() {
    port_.tx().socket().drain(std::chrono::milliseconds(200));
}

}  // namespace embed_example
