// SPDX-License-Identifier: BSD-3-Clause
// A `neighbour_table` against a model at random: the states of RFC 4861 section 7.3.2 in a map, every timer looked at each
// time.
#include "fluxnet/proto/neighbour/neighbour_table.hpp"

#include "tests/proto/neighbours.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

namespace fluxnet::proto::test::neighbours {

using namespace std::chrono_literals;

namespace {

using moment = neighbour_table::time_point;

/// The default options, a table that is never full, and questions that are never short of tokens.
class neighbour_model {
public:
    struct neighbour {
        neighbour_state state = neighbour_state::none;
        mac_address hardware;
        std::optional<mac_address> rival;
        bool router = false;
        int probes = 0;
        bool due = false;    // a question is to be sent
        bool waits = false;  // one was sent
        moment since{};      // of the last question, of the delay, or of the failure
        moment confirmed{};
        moment used{};
        std::optional<moment> asked;
    };
    using asked_set = std::set<std::pair<ip_address, mac_address>>;

    std::map<ip_address, neighbour> all;

    void resolve(const ip_address& address, moment now) {
        neighbour& one = at(address, now);
        one.used = now;
        const bool forgotten = one.state == neighbour_state::failed && now - one.since >= 3s;
        if (one.state == neighbour_state::none || forgotten) { question(one, neighbour_state::incomplete); }
        if (one.state == neighbour_state::stale) {
            one.state = neighbour_state::delay;
            one.since = now;
        }
    }

    void confirm(const ip_address& address, moment now) {
        neighbour& one = at(address, now);
        if (is_known(one)) { settle(one, neighbour_state::reachable, now); }
    }

    /// ARP, and the options of solicitations.
    void heard(const ip_address& address, mac_address hardware, bool reply, moment now) {
        neighbour& one = at(address, now);
        const bool answers = reply && one.probes > 0;
        if (one.state == neighbour_state::incomplete || one.state == neighbour_state::failed) {
            one.hardware = hardware;
            settle(one,
                   answers && one.state == neighbour_state::incomplete ? neighbour_state::reachable : neighbour_state::stale,
                   now);
        } else if (is_known(one) && one.hardware == hardware) {
            if (answers) { settle(one, neighbour_state::reachable, now); }
        } else if (is_known(one) && !one.rival) {
            one.rival = hardware;
            if (one.state != neighbour_state::probe) { question(one, neighbour_state::probe); }
        }
    }

    void advertised(const ip_address& address, mac_address hardware, neighbour_table::advertisement_flags flags,
                    moment now) {
        neighbour& one = at(address, now);
        const bool answers = flags.solicited && one.probes > 0;
        if (one.state == neighbour_state::incomplete || one.state == neighbour_state::failed) {
            one.hardware = hardware;
            one.router = flags.router;
            settle(one,
                   answers && one.state == neighbour_state::incomplete ? neighbour_state::reachable : neighbour_state::stale,
                   now);
            return;
        }
        if (!is_known(one)) { return; }
        const bool differs = one.hardware != hardware;
        if (differs && !flags.overrides) {
            if (one.state == neighbour_state::reachable) { settle(one, neighbour_state::stale, now); }
            return;
        }
        one.router = flags.router;
        one.hardware = hardware;
        if (differs) {
            settle(one, neighbour_state::stale, now);
        } else if (answers) {
            settle(one, neighbour_state::reachable, now);
        }
    }

    /// Lets time pass: what is sent and which neighbours are given up.
    std::pair<asked_set, std::set<ip_address>> pass(moment now) {
        asked_set asked;
        std::set<ip_address> failed;
        for (auto& [address, unused] : all) {
            neighbour& one = at(address, now);
            const bool waited = now - one.since >= 1s && !one.due && one.waits;
            if (one.state == neighbour_state::delay && now - one.since >= 5s) {
                question(one, neighbour_state::probe);
            } else if (waited && unanswered(one, now)) {
                failed.insert(address);
            }
            if (!one.due) { continue; }
            one.due = false;
            one.waits = true;
            one.since = now;
            if (one.asked && now - *one.asked < 1s) { continue; }
            ++one.probes;
            one.asked = now;
            asked.emplace(address, one.state == neighbour_state::probe ? one.hardware : mac_address());
        }
        return {asked, failed};
    }

    neighbour& at(const ip_address& address, moment now) {
        neighbour& one = all[address];
        if (one.state == neighbour_state::reachable && now - one.confirmed >= 30s) { one.state = neighbour_state::stale; }
        return one;
    }

private:
    static bool is_known(const neighbour& one) {
        return one.state == neighbour_state::reachable || one.state == neighbour_state::stale ||
               one.state == neighbour_state::delay || one.state == neighbour_state::probe;
    }

    static void question(neighbour& one, neighbour_state state) {
        one.state = state;
        if (state == neighbour_state::incomplete) { one.hardware = mac_address(); }
        one.probes = 0;
        one.due = true;
        one.waits = false;
    }

    static void settle(neighbour& one, neighbour_state state, moment now) {
        one.state = state;
        one.rival.reset();
        one.probes = 0;
        one.due = false;
        one.waits = false;
        one.confirmed = now;
    }

    /// Goes on without an answer; tells whether the neighbour is given up.
    static bool unanswered(neighbour& one, moment now) {
        one.waits = false;
        one.due = true;
        if (one.state == neighbour_state::incomplete && one.probes == 3) {
            settle(one, neighbour_state::failed, now);
            one.since = now;
            return true;
        }
        if (one.state == neighbour_state::incomplete) { return false; }
        if (one.rival && one.probes >= 2) {
            one.hardware = *one.rival;
            one.rival.reset();
            one.probes = 0;
        } else if (!one.rival && one.probes >= 3) {
            if (now - one.used >= 60s) {
                const auto asked = one.asked;
                one = neighbour();
                one.asked = asked;
            } else {
                question(one, neighbour_state::incomplete);
            }
        }
        return false;
    }
};

}  // namespace

TEST_CASE("at random, a table asks, answers and fails as its states say") {
    std::size_t asked = 0;
    std::size_t given_up = 0;
    std::set<neighbour_state> seen;
    for (std::uint32_t seed = 0; seed != 20; ++seed) {
        std::mt19937 random(seed);
        const auto below = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
        neighbour_table table({.probes_per_second = 100'000, .probe_burst = 1000}, secret);
        neighbour_model model;
        moment now = at(1000);
        for (int step = 0; step != 3000; ++step) {
            now += std::chrono::milliseconds(100 * (below(40) == 0 ? below(700) : below(8)));
            const ip_address address = below(2) == 0 ? v4(1 + below(4)) : v6(1 + below(4));
            const mac_address hardware = mac(1 + below(3));
            const neighbour_table::advertisement_flags flags{below(2) == 0, below(2) == 0, below(2) == 0};
            switch (below(10)) {
                case 0:
                    table.heard_reply(address, hardware, now);
                    model.heard(address, hardware, true, now);
                    break;
                case 1:
                    table.heard_claim(address, hardware, now);
                    model.heard(address, hardware, false, now);
                    break;
                case 2:
                    table.heard_advertisement(address, hardware, flags, now);
                    model.advertised(address, hardware, flags, now);
                    break;
                case 3:
                    table.confirm(address, now);
                    model.confirm(address, now);
                    break;
                case 4:
                case 5:
                    static_cast<void>(table.resolve(address, now));
                    model.resolve(address, now);
                    break;
                default: break;
            }
            const auto expected = model.pass(now);
            neighbour_model::asked_set probes;
            while (const auto probe = table.next_probe(now)) {
                probes.emplace(probe->address, probe->unicast ? probe->to : mac_address());
            }
            std::set<ip_address> failures;
            while (const auto failure = table.next_failure()) { failures.insert(*failure); }
            REQUIRE(probes == expected.first);
            REQUIRE(failures == expected.second);
            for (const auto& [known, unused] : model.all) {
                const neighbour_model::neighbour& one = model.at(known, now);
                const neighbour_table::entry entry = table.lookup(known, now);
                REQUIRE(entry.state == one.state);
                REQUIRE(entry.hardware == one.hardware);
                REQUIRE(entry.router == one.router);
                seen.insert(one.state);
            }
            asked += probes.size();
            given_up += failures.size();
        }
    }
    CHECK(asked > 1000);
    CHECK(given_up > 50);
    CHECK(seen.size() == 7);  // all but permanent
}

}  // namespace fluxnet::proto::test::neighbours
