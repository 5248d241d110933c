// SPDX-License-Identifier: BSD-3-Clause
// The scripts that tcp_stack_fuzz runs, made by a generator: what has to hold after each step holds, and a script does the
// same each time.
#include "tests/fuzz/tcp_script/script.hpp"

#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <random>
#include <vector>

namespace {

/// A script of octets that lean toward an exchange between two hosts that know each other: a listener, a connection, and
/// then anything. Three in four have no forged segments, so that more is promised about them.
std::vector<std::uint8_t> some_script(std::uint64_t seed) {
    using enum tcp_script::deed;
    std::mt19937_64 random(seed);
    const auto octet = [&] { return static_cast<std::uint8_t>(random()); };
    std::vector<std::uint8_t> made;
    for (int i = 0; i != 8; ++i) { made.push_back(random() % 2 == 0 ? std::uint8_t{0} : octet()); }
    const auto step = [&](bool second, tcp_script::deed what) {
        made.push_back(static_cast<std::uint8_t>((second ? 0x80U : 0U) | static_cast<unsigned>(what)));
    };
    step(true, listen);
    made.push_back(static_cast<std::uint8_t>(random() % 32 & ~1U));
    step(false, connect);
    made.push_back(0);
    const bool forges = random() % 4 == 0;
    const std::array<tcp_script::deed, 6> often{deliver_burst, write, write, pour, write_buffer, forges ? forge : pass_time};
    for (std::uint64_t left = 10 + random() % 100; left != 0; --left) {
        auto what = static_cast<tcp_script::deed>(random() % static_cast<std::uint64_t>(count));
        if (!forges && (what == flip || what == forge)) { what = exchange; }
        if (random() % 3 == 0) { what = often[random() % often.size()]; }
        if (what == abort_all && random() % 8 != 0) { what = serve; }
        step(random() % 2 == 0, what);
        for (std::size_t i = tcp_script::octets_of(what); i != 0; --i) { made.push_back(octet()); }
    }
    return made;
}

}  // namespace

TEST_CASE("two stacks, their users and the wire follow any script, keep every promise, and do the same each time") {
    const std::uint64_t last = fluxnet::test::rounds(100'000, 40);
    for (std::uint64_t seed = 1; seed <= last; ++seed) {
        CAPTURE(seed);
        const std::vector<std::uint8_t> made = some_script(seed);
        const std::uint64_t told = tcp_script::run_script(made);
        REQUIRE(tcp_script::run_script(made) == told);
    }
}

TEST_CASE("a script without steps, or with any one step, is a script") {
    CHECK(tcp_script::run_script({}) == tcp_script::run_script({}));
    for (unsigned step = 0; step != 256; ++step) {
        std::vector<std::uint8_t> made(9);
        made[8] = static_cast<std::uint8_t>(step);
        CAPTURE(step);
        CHECK_NOTHROW(tcp_script::run_script(made));
    }
}
