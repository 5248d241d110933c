// SPDX-License-Identifier: BSD-3-Clause
// The clients that udp_kv remembers, and what it answers them.
#include "examples/udp_kv/kv_service.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>

using namespace kv_example;
using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

constexpr kv_service::time_point start{1000s};

proto::ip_endpoint from_port(std::uint16_t port) {
    return {proto::ipv4_address(192, 0, 2, 1), port};
}

}  // namespace

TEST_CASE("a table of clients forgets each at its time, and knows when that is") {
    client_table table(10, 5s);
    CHECK_FALSE(table.next_expiry().has_value());
    table.seen(from_port(1), start).answer = "one";
    static_cast<void>(table.seen(from_port(2), start + 1s));
    CHECK(table.next_expiry() == start + 5s);
    static_cast<void>(table.seen(from_port(1), start + 2s));
    CHECK(table.next_expiry() == start + 6s);
    CHECK(table.expire(start + 6s - 1ns) == 0);
    CHECK(table.expire(start + 6s) == 1);
    CHECK(table.find(from_port(2)) == nullptr);
    REQUIRE(table.find(from_port(1)) != nullptr);
    CHECK(table.find(from_port(1))->requests == 2);
    CHECK(table.find(from_port(1))->answer == "one");
    CHECK(table.expire(start + 1h) == 1);
    CHECK(table.size() == 0);
}

TEST_CASE("the client that was silent for longest makes room for a new one, of which nothing is known") {
    client_table table(3, 1h);
    for (std::uint16_t port = 1; port <= 3; ++port) {
        client& made = table.seen(from_port(port), start + port * 1s);
        made.last_id = port;
        made.answer = "answer";
    }
    static_cast<void>(table.seen(from_port(1), start + 4s));
    const client& fourth = table.seen(from_port(4), start + 5s);
    CHECK(table.size() == 3);
    CHECK(table.displaced() == 1);
    CHECK(table.find(from_port(2)) == nullptr);
    CHECK(fourth.at == from_port(4));
    CHECK(fourth.requests == 1);
    CHECK_FALSE(fourth.last_id.has_value());
    CHECK(fourth.answer.empty());
    CHECK(table.find(from_port(1))->answer == "answer");
    for (std::uint16_t port = 100; port != 1000; ++port) { static_cast<void>(table.seen(from_port(port), start + 6s)); }
    CHECK(table.size() == 3);
    CHECK(table.find(from_port(999)) != nullptr);
    client_table one(1, 1h);
    static_cast<void>(one.seen(from_port(1), start));
    CHECK(one.seen(from_port(2), start).at == from_port(2));
    CHECK(one.size() == 1);
}

TEST_CASE("clients of other addresses and ports are others") {
    client_table table(10, 1h);
    static_cast<void>(table.seen(from_port(1), start));
    static_cast<void>(table.seen({proto::ipv4_address(192, 0, 2, 2), 1}, start));
    static_cast<void>(table.seen({proto::ipv6_address::parse("fe80::1").value(), 1, 1}, start));
    static_cast<void>(table.seen({proto::ipv6_address::parse("fe80::1").value(), 1, 2}, start));
    CHECK(table.size() == 4);
}

TEST_CASE("udp_kv sets, gets and deletes") {
    kv_service of;
    CHECK(of.answer("1 GET a", from_port(1), start) == "NONE 1");
    CHECK(of.answer("2 SET a dark blue", from_port(1), start) == "OK 2");
    CHECK(of.answer("1 GET a", from_port(2), start) == "OK 1 dark blue");
    CHECK(of.answer("3 DEL a", from_port(1), start) == "OK 3");
    CHECK(of.answer("4 DEL a", from_port(1), start) == "NONE 4");
    CHECK(of.answer("5 BREW a", from_port(1), start) == "ERROR 5 the request is GET, SET or DEL");
    CHECK(of.answer("hello", from_port(1), start) == "");
    CHECK(of.counts().requests == 6);
    CHECK(of.counts().ignored == 1);
}

TEST_CASE("udp_kv answers a repeated request as it did, and does it once") {
    kv_service of;
    CHECK(of.answer("1 SET a 1", from_port(1), start) == "OK 1");
    CHECK(of.answer("2 DEL a", from_port(1), start) == "OK 2");
    CHECK(of.answer("2 DEL a", from_port(1), start) == "OK 2");
    CHECK(of.answer("1 SET a 2", from_port(2), start) == "OK 1");
    CHECK(of.answer("2 DEL a", from_port(1), start) == "OK 2");
    CHECK(of.answer("2 GET a", from_port(2), start) == "OK 2 2");
    CHECK(of.counts().repeated == 2);
    CHECK(of.clients().find(from_port(1))->requests == 4);
}

TEST_CASE("udp_kv refuses a request that comes behind a later one of the same client") {
    kv_service of;
    CHECK(of.answer("1 SET a 1", from_port(1), start) == "OK 1");
    CHECK(of.answer("2 SET a 2", from_port(1), start) == "OK 2");
    CHECK(of.answer("1 SET a 1", from_port(1), start).starts_with("ERROR 1 "));
    CHECK(of.answer("2 SET a 2", from_port(1), start) == "OK 2");
    CHECK(of.answer("3 GET a", from_port(1), start) == "OK 3 2");
    CHECK(of.counts().late == 1);
    CHECK(of.answer("1 GET a", from_port(2), start) == "OK 1 2");  // another client has numbers of its own
}

TEST_CASE("udp_kv forgets a client that is silent, and begins anew with its numbers") {
    service_options options;
    options.idle = 10s;
    kv_service of(options);
    CHECK(of.answer("9 SET a 1", from_port(1), start) == "OK 9");
    CHECK(of.answer("1 GET a", from_port(1), start + 9s).starts_with("ERROR"));
    CHECK(of.answer("1 GET a", from_port(1), start + 19s - 1ns).starts_with("ERROR"));
    CHECK(of.answer("1 GET a", from_port(1), start + 29s) == "OK 1 1");
    CHECK(of.counts().forgotten == 1);
    CHECK(of.counts().late == 2);
}

TEST_CASE("udp_kv says when its store is full, and keeps no more clients than it may") {
    service_options options;
    options.clients = 4;
    options.store = {.keys = 2, .octets = 100'000};
    kv_service of(options);
    CHECK(of.answer("1 SET a 1", from_port(1), start) == "OK 1");
    CHECK(of.answer("2 SET b 1", from_port(1), start) == "OK 2");
    CHECK(of.answer("3 SET c 1", from_port(1), start) == "ERROR 3 the store is full");
    CHECK(of.answer("4 SET a 2", from_port(1), start) == "OK 4");
    for (std::uint16_t port = 2; port != 100; ++port) { CHECK(of.answer("1 GET a", from_port(port), start) == "OK 1 2"); }
    CHECK(of.clients().size() == 4);
    CHECK(of.clients().displaced() == 95);
    CHECK(of.answer("1 GET a", from_port(1), start) == "OK 1 2");  // was displaced: its numbers begin anew
}
