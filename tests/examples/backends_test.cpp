// SPDX-License-Identifier: BSD-3-Clause
#include "examples/load_balancer/backends.hpp"

#include "examples/load_balancer/flow.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using namespace load_balancer;

namespace {

backend_list make(std::string_view text) {
    auto list = backend_list::parse(text, "test");
    REQUIRE_MESSAGE(list.has_value(), list.error().message());
    return std::move(*list);
}

/// Lines for backends number 1 to `count` but for `without`.
std::string lines(int count, int without = 0) {
    std::string text;
    for (int i = 1; i <= count; ++i) {
        const std::string number = std::to_string(i);
        if (i != without) { text += "b" + number + "=02:00:00:00:00:" + (i < 10 ? "0" : "") + number + "\n"; }
    }
    return text;
}

/// Connections as one client makes them: consecutive ports.
std::vector<std::uint64_t> hashes(std::uint16_t count) {
    flow each{.source = {10, 0, 0, 1}, .destination = {10, 0, 0, 100}, .protocol = fluxnet::proto::ip_protocol::tcp};
    each.destination_port = 80;
    std::vector<std::uint64_t> all;
    for (std::uint16_t i = 0; i < count; ++i) {
        each.source_port = static_cast<std::uint16_t>(32768 + i);
        all.push_back(each.hash());
    }
    return all;
}

std::map<std::string, int> spread(const backend_list& list, const std::vector<std::uint64_t>& flows) {
    std::map<std::string, int> count;
    for (const std::uint64_t hash : flows) { ++count[list.pick(hash).name]; }
    return count;
}

}  // namespace

TEST_CASE("a list of backends has blanks and comments and empty lines") {
    const backend_list list = make("# the web servers\n\n  web-1 = 02:00:00:00:00:01  # first\r\n\tweb.2=02:00:00:00:00:0A");
    REQUIRE(list.all().size() == 2);
    CHECK(list.all()[0].name == "web-1");
    CHECK(list.all()[0].mac.to_string() == "02:00:00:00:00:01");
    CHECK(list.all()[1].name == "web.2");
    CHECK(list.all()[1].mac.to_string() == "02:00:00:00:00:0a");
}

TEST_CASE("each mistake in a list names line and column and cause") {
    const struct {
        std::string_view text;
        const char* message;
    } mistakes[] = {
        {"", "read file: it names no backend; write NAME=MAC, one per line"},
        {" # nothing\n\n", "read file: it names no backend"},
        {"a=02:00:00:00:00:01\nb\n", "read file:2:1: 'b' has no '='; write NAME=MAC"},
        {"  a 02:00:00:00:00:01", "read file:1:3: 'a 02:00:00:00:00:01' has no '='"},
        {"\n =02:00:00:00:00:01", "read file:2:2: a backend without a name"},
        {"a/b=02:00:00:00:00:01", "read file:1:2: '/' in a name"},
        {"a=", "read file:1:3: '' is not a MAC address"},
        {"a= 02:00:00:00:01", "read file:1:4: '02:00:00:00:01' is not a MAC address; write one like 02:00:00:00:00:01"},
        {"a=02:00:00:00:00:01 x", "read file:1:3: '02:00:00:00:00:01 x' is not a MAC address"},
        {"a=ff:ff:ff:ff:ff:ff", "read file:1:3: 'ff:ff:ff:ff:ff:ff' is not the address of one station"},
        {"a=00:00:00:00:00:00", "read file:1:3: '00:00:00:00:00:00' is not the address of one station"},
        {"a=02:00:00:00:00:01\n  a=02:00:00:00:00:02", "read file:2:3: there is a backend 'a' already"},
        {"a=02:00:00:00:00:01\nb=02:00:00:00:00:01", "read file:2:1: backend 'a' has the address 02:00:00:00:00:01 already"},
    };
    for (const auto& [text, message] : mistakes) {
        CAPTURE(text);
        const auto list = backend_list::parse(text, "file");
        REQUIRE(!list.has_value());
        CHECK(list.error().code == fluxnet::errc::invalid_option);
        CHECK_MESSAGE(list.error().message().starts_with(message), list.error().message());
    }
}

TEST_CASE("bytes that no text has are refused like any other mistake") {
    const std::string_view bytes("a\0b=02:00:00:00:00:01", 21);
    const auto list = backend_list::parse(bytes, "file");
    REQUIRE(!list.has_value());
    CHECK(list.error().step == "read file:1:2");
}

TEST_CASE("flows spread over the backends as evenly as chance allows") {
    const std::vector<std::uint64_t> flows = hashes(30'000);
    for (const int backends : {2, 3, 8, 20}) {
        CAPTURE(backends);
        const auto count = spread(make(lines(backends)), flows);
        CHECK(count.size() == static_cast<std::size_t>(backends));
        const double share = 1.0 / backends;
        const double deviation = std::sqrt(30'000 * share * (1 - share));
        for (const auto& [name, flows_of] : count) {
            CAPTURE(name);
            CHECK(std::abs(flows_of - 30'000 * share) < 4 * deviation);
        }
    }
}

TEST_CASE("removing a backend moves its own flows only and spreads them over the others") {
    const std::vector<std::uint64_t> flows = hashes(30'000);
    const backend_list before = make(lines(5));
    const backend_list after = make(lines(5, 3));
    std::map<std::string, int> heirs;
    for (const std::uint64_t hash : flows) {
        const std::string& former = before.pick(hash).name;
        const std::string& now = after.pick(hash).name;
        if (former == "b3") {
            ++heirs[now];
        } else {
            CHECK(former == now);
        }
    }
    REQUIRE(heirs.size() == 4);
    for (const auto& [name, count] : heirs) { CHECK(std::abs(count - 1500) < 4 * 34); }  // 6000 flows, a quarter each
}

TEST_CASE("a new backend takes flows from the others and moves none between them") {
    const backend_list before = make(lines(5, 3));
    const backend_list after = make(lines(5));
    int moved = 0;
    for (const std::uint64_t hash : hashes(30'000)) {
        const std::string& now = after.pick(hash).name;
        if (now == before.pick(hash).name) { continue; }
        CHECK(now == "b3");
        ++moved;
    }
    CHECK(std::abs(moved - 6000) < 4 * 70);
}

TEST_CASE("neither the order of the list nor an address decides where a flow goes") {
    const backend_list one = make("x=02:00:00:00:00:01\ny=02:00:00:00:00:02\nz=02:00:00:00:00:03\n");
    const backend_list other = make("z=02:00:00:00:00:09\nx=02:00:00:00:00:07\ny=02:00:00:00:00:08\n");
    for (const std::uint64_t hash : hashes(1000)) { CHECK(one.pick(hash).name == other.pick(hash).name); }
}

TEST_CASE("a board shows a new list and its counters go on by name") {
    backend_board board(make(lines(3)));
    const std::uint64_t version = board.version();
    const auto before = board.list();
    before->all()[0].count->packets += 5;
    before->all()[2].count->packets += 7;
    board.hang_up(make(lines(4, 3)));
    CHECK(board.version() != version);
    const auto after = board.list();
    CHECK(after->all().size() == 3);
    CHECK(after->all()[0].count->packets == 5);
    CHECK(before->all().size() == 3);  // who still has the former list keeps it whole
    before->all()[2].count->packets += 1;
    const auto counts = board.counts();
    CHECK(counts.size() == 4);
    CHECK(counts.at("b3")->packets == 8);
    CHECK(counts.at("b4")->packets == 0);
}
