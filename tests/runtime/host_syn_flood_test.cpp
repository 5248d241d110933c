// SPDX-License-Identifier: BSD-3-Clause
// A host that is flooded with SYNs from addresses of others, between two simulated wires, in virtual time: established
// connections go on, new ones come in, and its memory stays what it was.
#include "tests/runtime/host_connections_bed.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "tests/runtime/host_bed.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using host::tcp_stream;

namespace {

constexpr std::uint8_t caller_number = 1;
constexpr std::uint8_t flooded_number = 2;
constexpr std::uint8_t router_number = 254;
constexpr std::size_t lasting_streams = 8;
constexpr std::size_t syns_a_tick = 32;
constexpr auto switch_tick = 100us;

struct second_wire {
    simulated_wire caller_wire;
};

/// A caller and the flooded host, and between their wires a switch, at which a router to everywhere sends the flood.
struct flooded_bed : second_wire, virtual_wire {
    flooded_bed() { clock.attach(caller_wire); }

    static host::host_options with_router(std::uint8_t number) {
        host::host_options options = host_number(number);
        options.gateways = {v4_of(router_number)};
        options.neighbours = {{v4_of(router_number), mac_of(router_number)}};
        return options;
    }
    host::ip_host open_caller() {
        auto sockets = open_async(loop, caller_wire.socket_on(end::left).frames(512).tx_frames(128)).value();
        return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), with_router(caller_number)).value();
    }

    std::optional<host::ip_host> flooded = open(end::right, with_router(flooded_number));
    system_sockets flooded_side = socket_on(end::left).build_system().value();
    host::ip_host caller = open_caller();
    system_sockets caller_side = caller_wire.socket_on(end::right).frames(512).tx_frames(128).build_system().value();
    host::tcp_listener door = flooded->listen({v4_of(flooded_number), 80}).value();

    std::array<tcp_stream, lasting_streams> lasting;
    std::mt19937_64 dice{7};
    std::uint64_t syns = 0;
    std::uint64_t to_the_router = 0;
    std::size_t most_connections = 0;
    std::size_t most_handshakes = 0;
    bool flooding = false;
    bool over = false;
};

/// Puts a frame into a ring if there is room.
bool put(system_sockets& into, std::span<const std::byte> octets) {
    std::array<packet, 1> one;
    if (into.tx.allocate(one) == 0) { return false; }
    REQUIRE(one[0].assign(octets));
    return into.tx.try_send(one) == 1;
}

/// Hands on what has come for a station on the other side.
void hand_on(flooded_bed& bed, system_sockets& from, system_sockets& to) {
    std::array<packet, 32> burst;
    while (const std::uint32_t count = from.rx.try_recv(burst)) {
        for (packet& one : std::span(burst).first(count)) {
            const auto octets = std::span<const std::byte>(one.data());
            const bool to_router = proto::ethernet_view::parse(octets)->destination() == mac_of(router_number);
            if (to_router) {
                ++bed.to_the_router;
            } else {
                static_cast<void>(put(to, octets));
            }
            one.reset();
        }
    }
}

/// The name of a connection to be: of anybody, of nobody on the link, of the caller, of a connection that is there.
proto::test::endpoints drawn_sender(flooded_bed& bed, proto::tcp_repr& syn) {
    proto::test::endpoints who{mac_of(flooded_number), v4_of(flooded_number), mac_of(router_number), {}};
    const std::uint64_t dice = bed.dice();
    const auto octet = [&](unsigned at) { return static_cast<std::uint8_t>(dice >> at); };
    syn.source_port = static_cast<std::uint16_t>(1024 + (dice >> 48) % 60'000);
    who.client_ip = proto::ipv4_address(static_cast<std::uint8_t>(1 + octet(8) % 120), octet(16), octet(24), octet(32));
    if (who.client_ip.is_loopback()) { who.client_ip = proto::ipv4_address(8, octet(16), octet(24), octet(32)); }
    if (octet(0) < 16) { who.client_ip = v4_of(static_cast<std::uint8_t>(10 + octet(8) % 200)); }
    if (octet(0) >= 250) { who.client_ip = v4_of(caller_number); }
    if (octet(0) == 255) { syn.source_port = bed.lasting[octet(8) % lasting_streams].local_endpoint().port; }
    return who;
}

frame_bytes drawn_syn(flooded_bed& bed) {
    proto::tcp_repr syn;
    const auto who = drawn_sender(bed, syn);
    const std::uint64_t dice = bed.dice();
    syn.destination_port = dice % 16 == 0 ? 81 : 80;  // nobody listens at 81
    syn.sequence = static_cast<std::uint32_t>(dice >> 32);
    syn.flags = proto::tcp_flag::syn;
    syn.window = 65'535;
    syn.options.mss = 1460;
    syn.options.sack_permitted = true;
    syn.options.timestamps = (dice & 256U) != 0;
    syn.options.timestamp = static_cast<std::uint32_t>(dice >> 16);
    return tcp_frame(who, syn);
}

task<void> run_switch(flooded_bed& bed) {
    while (!bed.over) {
        hand_on(bed, bed.caller_side, bed.flooded_side);
        for (std::size_t i = 0; bed.flooding && i != syns_a_tick; ++i) {
            const frame_bytes syn = drawn_syn(bed);
            bed.syns += put(bed.flooded_side, syn) ? 1U : 0U;
        }
        hand_on(bed, bed.flooded_side, bed.caller_side);
        for (system_sockets* const one : {&bed.caller_side, &bed.flooded_side}) {
            one->tx.flush();
            one->tx.reap();
        }
        bed.most_connections = std::max(bed.most_connections, bed.flooded->tcp()->connections());
        bed.most_handshakes = std::max(bed.most_handshakes, bed.flooded->tcp()->embryonic());
        static_cast<void>(co_await sleep_for(bed.flooding ? switch_tick : 50 * switch_tick));
    }
}

task<void> answer_callers(flooded_bed& bed) {
    scope answering;
    for (;;) {
        auto next = co_await bed.door.accept();
        if (!next) { break; }
        answering.spawn(echo_numbers(std::move(*next)));
    }
    static_cast<void>(co_await answering.join());
}

/// What has gone well and what has not.
struct flood_tally {
    std::uint64_t rounds = 0;  // of the connections that were there before
    std::uint64_t opened = 0;
    std::uint64_t failed = 0;
};

task<void> go_on_talking(flooded_bed& bed, tcp_stream& peer, flood_tally& all) {
    while (bed.flooding) {
        const bool well = co_await number_comes_back(peer, 1 + all.rounds);
        if (!well) {
            ++all.failed;
            co_return;
        }
        ++all.rounds;
        static_cast<void>(co_await sleep_for(5ms));
    }
}

task<void> go_on_calling(flooded_bed& bed, flood_tally& all) {
    while (bed.flooding) {
        auto made = co_await bed.caller.connect(bed.door.local_endpoint());
        if (!made) {
            ++all.failed;
            continue;
        }
        const bool well = co_await number_comes_back(*made, 1 + all.opened);
        ++(well ? all.opened : all.failed);
    }
}

task<void> open_lasting(flooded_bed& bed) {
    for (tcp_stream& one : bed.lasting) {
        auto made = co_await bed.caller.connect(bed.door.local_endpoint());
        REQUIRE(made.has_value());
        one = std::move(*made);
    }
}

/// Floods the host with so many SYNs while callers go on.
task<void> flood(flooded_bed& bed, std::uint64_t count, flood_tally& all) {
    scope callers;
    bed.flooding = true;
    for (tcp_stream& one : bed.lasting) { callers.spawn(go_on_talking(bed, one, all)); }
    for (int i = 0; i != 4; ++i) { callers.spawn(go_on_calling(bed, all)); }
    const std::uint64_t enough = bed.syns + count;
    while (bed.syns < enough) { static_cast<void>(co_await sleep_for(switch_tick)); }
    bed.flooding = false;
    static_cast<void>(co_await callers.join());
}

void check_flood(const flooded_bed& bed, const flood_tally& all, std::uint64_t count) {
    const auto& told = bed.flooded->tcp()->count();
    CHECK(bed.syns >= count);
    CHECK(all.failed == 0);
    CHECK(all.rounds > count / 2000);
    CHECK(all.opened > count / 2000);
    CHECK(told.cookies_sent > count / 4);
    CHECK(told.cookies_accepted > 0);
    CHECK(bed.to_the_router > count / 4);
    CHECK(bed.most_handshakes <= 129);  // those of the listener, and one that a cookie is being made of
    CHECK(bed.most_connections <= 256);
    const host::host_counters& counts = bed.flooded->counters();
    CHECK(counts.accounted() == counts.frames);
}

task<void> be_flooded(flooded_bed& bed, std::uint64_t count) {
    scope background;
    background.spawn(run_switch(bed));
    background.spawn(answer_callers(bed));
    co_await open_lasting(bed);
    flood_tally first;
    co_await flood(bed, count / 10, first);  // what is made once
    check_flood(bed, first, count / 10);
    const std::size_t memory = bed.flooded->tcp()->memory_octets();
    const std::size_t heap = heap_octets();
    const allocation_watch watch;
    flood_tally all;
    co_await flood(bed, count, all);
    check_flood(bed, all, count);
    CHECK(bed.flooded->tcp()->memory_octets() == memory);
    CHECK(watch.outstanding() < 200);  // new connections that have not ended
    if (!sanitized) { CHECK(heap_octets() < heap + 256 * 1024); }
    MESSAGE(bed.syns, " SYNs; meanwhile ", all.opened, " connections opened, ", all.rounds,
            " rounds over those that were there; at most ", bed.most_handshakes, " handshakes kept");
    for (tcp_stream& one : bed.lasting) { one.close(); }
    static_cast<void>(co_await sleep_for(5min));
    const tcp_holdings left(*bed.flooded);
    CHECK(left.sum() == 0);
    bed.over = true;
    background.request_stop();
    static_cast<void>(co_await background.join());
}

}  // namespace

TEST_CASE("a million SYNs from addresses of others stop neither a host's connections nor new ones, and take no memory") {
    const std::uint64_t count = rounds(1'000'000, 10);
    flooded_bed bed;
    bed.loop.spawn(be_flooded(bed, count));
    bed.loop.run();
    bed.flooded.reset();
    CHECK(frames_in_use(bed.right_memory) == 0);
}
