// SPDX-License-Identifier: BSD-3-Clause
// `script_profile`: what the two hosts of a TCP script are like, from the first eight octets of the script. All of them 0:
// the options that are the library's own, with little room.
//
// A plain value.
#pragma once

#include "fluxnet/proto/tcp/stack.hpp"
#include "tests/fuzz/tcp_script/basics.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace tcp_script {

namespace proto = fluxnet::proto;
namespace tcp = fluxnet::proto::tcp;
namespace flag = fluxnet::proto::tcp_flag;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using time_point = std::chrono::steady_clock::time_point;

/// A port that the first host opens connections from and the second one listens at: the numbers of the connection of these
/// names begin where the profile says, when it is opened at once.
inline constexpr std::uint16_t client_port = 1000;
inline constexpr std::uint16_t server_port = 80;

/// Says that the path to every host is narrower than the link.
struct narrow_paths final : tcp::segment_limits {
    std::uint16_t maximum_segment(const proto::ip_address&) noexcept override { return 600; }
};

/// Of one host.
struct host_profile {
    proto::ip_address address;
    tcp::stack_options options;
    std::array<std::byte, 32> secrets{};
    nanoseconds ahead{0};  ///< How far its clock is ahead of that of the script.
};

struct script_profile {
    std::array<host_profile, 2> hosts;
    proto::ip_address stranger;  ///< A third host, which is made by hand.
    bool traced = false;  ///< The decisions of connections count as things that happen.
    bool narrow = false;  ///< Both hosts know of narrow_paths.

    [[nodiscard]] static script_profile read(script_input& from);
};

namespace detail {

template <class T, std::size_t Count>
[[nodiscard]] T one_of(const T (&choices)[Count], unsigned bits) {
    return choices[bits % Count];
}

/// An address for documentation.
[[nodiscard]] inline proto::ip_address address(bool v6, std::uint8_t last) {
    if (!v6) { return proto::ipv4_address(192, 0, 2, last); }
    return proto::ipv6_address({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last});
}

inline void read_options(script_input& from, tcp::connection_options& to) {
    const unsigned first = from.take8();
    to.maximum_segment = one_of<std::uint16_t>({1460, 536, 100, 1000}, first);
    to.receive_limit = one_of<std::uint32_t>({256 * 1024, 20'000, 3000, 300}, first >> 2);
    to.send_limit = one_of<std::uint32_t>({65'536, 20'000, 4000, 500}, first >> 4);
    to.sack = (first & 0x40) == 0;
    to.timestamps = (first & 0x80) == 0;
    const unsigned second = from.take8();
    to.window_scaling = (second & 1) == 0;
    to.window_scale = one_of<std::uint8_t>({8, 0, 2, 14}, second >> 1);
    to.congestion = (second & 8) == 0 ? tcp::congestion_algorithm::cubic : tcp::congestion_algorithm::new_reno;
    to.copy_below = one_of<std::uint32_t>({256, 0, 64, 1500}, second >> 4);
    to.quick_acks = one_of<std::uint8_t>({16, 0, 1, 2}, second >> 6);
    to.give_up = to.give_up_connecting = 40s;
    to.fin_wait = 20s;
    to.keep_alive_idle = 10s;
    to.keep_alive_interval = 5s;
    to.keep_alive_probes = 3;
}

inline void read_stack(unsigned room, unsigned choices, unsigned more, tcp::stack_options& to) {
    to.connections = 6;
    to.listeners = 3;
    to.ranges = one_of<std::size_t>({64, 40, 48, 42}, room);
    to.buffers = one_of<std::uint32_t>({40, 24, 10, 16}, room >> 2);
    to.buffers_per_connection = one_of<std::uint32_t>({24, 8, 40, 16}, more >> 6);
    to.answers = 8;
    to.syn_cookies = (choices & 1) == 0;
    to.embryonic = one_of<std::size_t>({3, 0, 1, 2}, choices >> 1);
    if (!to.syn_cookies && to.embryonic == 0) { to.embryonic = 6; }  // else no SYN would be answered
    to.orphans = one_of<std::size_t>({2, 0, 1, 4}, choices >> 3);
    to.time_wait = (choices & 0x20) == 0 ? 4 : 1;
    to.orphan_life = 20s;
    to.resets_per_second = to.challenges_per_second = (more & 0x10) == 0 ? 1000 : 1;
    to.v4.most_ranges = one_of<std::uint32_t>({4096, 1, 3, 8}, more);
    to.v4.delayed_ack = one_of<nanoseconds>({40ms, 1ms, 500ms, 200ms}, more >> 2);
    to.v6 = to.v4;
}

/// The first sequence number of a connection of that host's to the other one, opened at `at`.
inline std::uint32_t first_number(const host_profile& of, const proto::ip_address& peer, bool is_client, time_point at) {
    tcp::stack_options small;
    small.connections = small.listeners = small.ranges = small.time_wait = small.answers = 1;
    std::array<std::byte, 1> none{};
    script_buffers buffers({none.data(), 0});
    tcp::stack stack(small, buffers, of.secrets, at);
    const std::uint16_t own = is_client ? client_port : server_port;
    const std::uint16_t theirs = is_client ? server_port : client_port;
    const auto made = stack.connect(of.address, {peer, theirs}, at, {.local_port = own});
    tcp::stack_segment out;
    promise(made.has_value() && stack.next(out, at), "a connection begins with a SYN");
    return out.segment.sequence.value();
}

}  // namespace detail

inline constexpr auto script_start = time_point(1'000'000s);

inline script_profile script_profile::read(script_input& from) {
    script_profile made;
    const unsigned seed = from.take8();
    const unsigned starts = from.take8();
    const unsigned choices = from.take8();
    for (host_profile& one : made.hosts) {
        detail::read_options(from, one.options.v4);
    }
    const unsigned more = from.take8();
    const bool v6 = (choices & 0x40) != 0;
    made.traced = (choices & 0x80) != 0;
    made.narrow = (more & 0x20) != 0;
    for (unsigned i = 0; i != 2; ++i) {
        host_profile& one = made.hosts[i];
        detail::read_stack(seed >> 4, choices, more, one.options);
        one.address = detail::address(v6, static_cast<std::uint8_t>(i + 1));
        fill_octets(one.secrets, 0, (seed % 16 * 2 + i) * 32);
    }
    made.stranger = detail::address(v6, 3);
    for (unsigned i = 0; i != 2; ++i) {
        const std::uint32_t target = detail::one_of<std::uint32_t>(
            {0xffff'fff0, 0x7fff'fff0, 0, 0x8000'0000, 0xffff'fffe, 0x7fff'fffe, 0xffff'f000, 0x7fff'f000}, starts >> 4 * i);
        host_profile& one = made.hosts[i];
        const std::uint32_t number = detail::first_number(one, made.hosts[1 - i].address, i == 0, script_start);
        one.ahead = (target - number) * tcp::isn_generator::step;
    }
    return made;
}

}  // namespace tcp_script
