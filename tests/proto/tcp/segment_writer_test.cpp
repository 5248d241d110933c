// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/segment_writer.hpp"

#include <doctest/doctest.h>

#include <array>
#include <random>
#include <vector>

using namespace fluxnet::proto;

TEST_CASE("a header is written as tcp_repr writes it, with the checksum, for both versions and all options") {
    std::mt19937_64 random(1);
    const auto number = [&] { return static_cast<std::uint32_t>(random()); };
    const auto some_v6 = [&] {
        std::array<std::uint8_t, 16> octets{};
        for (auto& one : octets) { one = static_cast<std::uint8_t>(random()); }
        return ipv6_address(octets);
    };
    for (int i = 0; i != 2000; ++i) {
        const bool v4 = random() % 2 == 0;
        const ip_address local = v4 ? ip_address(ipv4_address::from_host_order(number())) : ip_address(some_v6());
        const ip_address remote = v4 ? ip_address(ipv4_address::from_host_order(number())) : ip_address(some_v6());
        std::vector<std::byte> payload(random() % 4 == 0 ? 0 : random() % 1500);
        for (auto& one : payload) { one = static_cast<std::byte>(random()); }
        tcp::outgoing out;
        out.sequence = tcp::sequence_number(number());
        out.acknowledgment = tcp::sequence_number(number());
        out.flags = static_cast<std::uint8_t>(random());
        out.window = static_cast<std::uint16_t>(random());
        out.payload = payload;
        if (random() % 2 == 0) {
            out.options.timestamps = true;
            out.options.timestamp = number();
            out.options.timestamp_echo = number();
        }
        if (random() % 4 == 0) { out.options.mss = static_cast<std::uint16_t>(random()); }
        if (random() % 4 == 0) { out.options.window_scale = static_cast<std::uint8_t>(random() % 15); }
        if (random() % 4 == 0) { out.options.sack_permitted = true; }
        out.options.sack_count = static_cast<std::uint8_t>(random() % 3);
        for (auto& block : out.options.sack) { block = {number(), number()}; }
        const auto local_port = static_cast<std::uint16_t>(random());
        const auto remote_port = static_cast<std::uint16_t>(random());
        const tcp::four_tuple name(local, local_port, remote, remote_port);

        std::vector<std::byte> made(tcp::header_length(out) + payload.size());
        CHECK(tcp::emit_header(made, name, out) == tcp::header_length(out));
        std::copy(payload.begin(), payload.end(), made.end() - static_cast<std::ptrdiff_t>(payload.size()));
        CHECK(tcp_view::parse(made, local, remote).has_value());

        tcp_repr repr;
        repr.source_port = local_port;
        repr.destination_port = remote_port;
        repr.sequence = out.sequence.value();
        repr.acknowledgment = out.acknowledgment.value();
        repr.flags = out.flags;
        repr.window = out.window;
        repr.options = out.options;
        repr.payload_length = payload.size();
        std::vector<std::byte> expected(made.size());
        auto view = repr.emit(expected);
        std::copy(payload.begin(), payload.end(), view.payload().begin());
        view.fill_checksum(local, remote);
        CHECK(made == expected);

        std::vector<std::byte> again(tcp::header_length(out));
        tcp::emit_header(again, name, out, internet_checksum::of(payload));
        CHECK(std::equal(again.begin(), again.end(), expected.begin()));
    }
}
