// SPDX-License-Identifier: BSD-3-Clause
// What firewall_engine is made of, between two simulated wires: frames pass unchanged and in order, without an allocation.
#include "examples/firewall/filter.hpp"
#include "examples/firewall/report.hpp"
#include "fluxnet/runtime/packets/engine.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/proto/frames.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/xsk/sim.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using firewall::filter;
using firewall::rule_set;
using end = simulated_wire::end;

namespace {

/// A host at the far end of a wire: it sends datagrams with numbers, and checks those that come.
class host {
public:
    host(simulated_wire& wire, end which, std::uint8_t last_octet)
        : sockets_(wire.socket_on(which).build_system().value()),
          who_{.host = proto::mac_address({2, 0, 0, 0, 0, 9}),
               .host_ip = {192, 0, 2, 9},
               .client = proto::mac_address({2, 0, 0, 0, 0, last_octet}),
               .client_ip = {192, 0, 2, last_octet}} {}

    /// Sends `count` datagrams, to port 53 and to port 80 in turn.
    void send(std::uint32_t count) {
        std::array<packet, 1> one;
        for (std::uint32_t i = 0; i < count; ++i, ++sent_) {
            REQUIRE(sockets_.tx.allocate(one) == 1);
            REQUIRE(one[0].assign(make(sent_)));
            REQUIRE(sockets_.tx.try_send(one) == 1);
            if (i % 32 == 31) { sockets_.tx.flush(); }
        }
        sockets_.tx.flush();
    }

    /// Takes what has come, and returns how many frames that was. They must be those that `from` sent to port 53.
    std::uint32_t receive(const host& from) {
        std::array<packet, 64> burst;
        std::uint32_t received = 0;
        while (const std::uint32_t count = sockets_.rx.try_recv(burst)) {
            for (const packet& one : std::span(burst).first(count)) {
                CHECK(same(one.data(), from.make(next_)));
                next_ += 2;
            }
            received += count;
        }
        return received;
    }

private:
    [[nodiscard]] std::vector<std::byte> make(std::uint32_t number) const {
        auto to = who_;
        to.echo_port = number % 2 == 0 ? 53 : 80;
        return proto::test::udp_request(to, payload(18, number));
    }

    system_sockets sockets_;
    proto::test::endpoints who_;
    std::uint32_t sent_ = 0;
    std::uint32_t next_ = 0;
};

rule_set make(const char* text) {
    return rule_set::parse(text, "test").value();
}

}  // namespace

TEST_CASE("frames pass unchanged and in order between two ports without an allocation while rules are replaced") {
    simulated_wire first;
    simulated_wire second;
    host here(first, end::left, 1);
    host there(second, end::right, 2);
    const std::array ports{first.socket_on(end::right).tx_frames(0), second.socket_on(end::left).tx_frames(0)};
    const auto opened = open_engine(ports, {.how = poller::wait});
    REQUIRE(opened.has_value());
    engine& loop = **opened;
    filter rules(make("allow udp to any port 53\ndefault deny"));

    std::uint64_t allocations = 0;
    for (std::uint32_t round = 1; round <= 50; ++round) {
        here.send(200);
        there.send(200);
        const allocation_watch watch;
        const std::error_code failed = loop.run([&](packet_batch& batch) {
            const auto other_port = static_cast<std::uint8_t>(1 - batch.port());
            for (const packet_ref one : batch) {
                if (rules.passes(one.data())) { one.send(other_port); }
            }
            if (rules.counts().frames == 400 * round) { loop.stop(); }
        });
        allocations += round == 1 ? 0 : watch.allocations();
        REQUIRE_FALSE(failed);
        CHECK(there.receive(here) == 100);
        CHECK(here.receive(there) == 100);
        rules.replace(round % 2 == 0 ? make("allow udp to any port 53\ndefault deny")
                                     : make("deny udp to any port 80\ndeny icmp\ndefault allow"));
    }
    CHECK(allocations == 0);
    CHECK(rules.counts().frames == 20'000);
    CHECK(rules.counts().allowed == 10'000);
    CHECK(rules.counts().denied == 10'000);
    CHECK(firewall::print_accounts(loop, rules));
    loop.port(0).sending().release();
    loop.port(1).sending().release();
    check_census(loop.port(0).receiving().pool());
}
