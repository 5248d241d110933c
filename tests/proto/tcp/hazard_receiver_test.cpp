// SPDX-License-Identifier: BSD-3-Clause
// What has made the receivers of other stacks lose octets, answer too much or too little, or crash.
#include "tests/proto/tcp/hazard.hpp"

#include "tests/xsk/scale.hpp"

using namespace tcp_test;

namespace {

tcp::connection_options plain_options() {
    tcp::connection_options options;
    options.timestamps = false;
    return options;
}

tcp::segment bare(std::uint32_t sequence, std::uint32_t acknowledgment, std::uint8_t flags = flag::ack) {
    tcp::segment made;
    made.sequence = tcp::sequence_number(sequence);
    made.acknowledgment = tcp::sequence_number(acknowledgment);
    made.flags = flags;
    made.window = 1000;
    return made;
}

}  // namespace

TEST_CASE("hazard 7: a full window behind a lost segment is kept, and only that segment is sent again") {
    at_each_start([](std::uint32_t start) {
        tcp::connection_options options;
        options.receive_limit = options.send_limit = 64 * 1024;
        pair wire(1, options, options, start, start);
        open(wire);
        more(wire, wire.a, 1'000'000);  // so that the congestion window is larger than the other one
        REQUIRE(wire.run([&] { return arrived(wire); }, 60s));
        REQUIRE(wire.a.c->info().congestion_window > 64 * 1024);
        const auto sent_before = wire.a.c->info().sent_octets;
        bool first = true;
        std::uint32_t most_beyond = 0;
        wire.a.out.drop = [&](const fluxnet::proto::tcp_view& sent) { return !sent.payload().empty() && std::exchange(first, false); };
        wire.on_sent = [&](end&, const fluxnet::proto::tcp_view&) {
            most_beyond = std::max(most_beyond, wire.b.c->info().beyond_gap);
        };
        more(wire, wire.a, 64 * 1024);
        REQUIRE(wire.run([&] { return arrived(wire); }, 60s));
        CHECK(most_beyond >= 64 * 1024 - 3 * 1460);
        CHECK(wire.a.c->info().sent_octets == sent_before + 64 * 1024 + 1448);
        CHECK(wire.a.c->info().timeouts == 0);
        wire.on_sent = nullptr;
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 7: octets beyond a gap that find no room are asked for again at once, and arrive") {
    at_each_start([](std::uint32_t start) {
        tcp::connection_options few;
        few.most_ranges = 3;
        few.maximum_segment = 600;
        pair wire(1, {}, few, start, start);
        open(wire);
        int count = 0;
        wire.a.out.drop = [&](const fluxnet::proto::tcp_view& sent) { return !sent.payload().empty() && ++count % 3 == 1; };
        more(wire, wire.a, 100'000);
        REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 600s), wire.describe());
        wire.a.out.drop = nullptr;
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 8: each duplicate is acknowledged at once, and a flood of bare acknowledgments is not") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, plain_options(), plain_options(), start, start);
        open(wire);
        more(wire, wire.a, 1000);
        REQUIRE(wire.run([&] { return arrived(wire) && wire.flying.empty(); }, 10s));
        std::size_t answers = 0;
        const auto octets = pattern(1000, 1);
        for (int i = 0; i != 100; ++i) {
            tcp::segment again = bare(start + 1, start + 1);
            again.payload = octets;
            answers += forge(wire, wire.b, again).size();
            wire.run_for(10ms);
        }
        CHECK(answers == 100);
        answers = 0;
        for (int i = 0; i != 1000; ++i) {
            answers += forge(wire, wire.b, bare(start + 1 - 100, start + 1)).size();            // old
            answers += forge(wire, wire.b, bare(start + 1'000'000, start + 1)).size();          // beyond the window
            answers += forge(wire, wire.b, bare(start + 1001, start + 5000)).size();            // acknowledges what was not sent
            answers += forge(wire, wire.b, bare(start + 1001, start - 1'000'000'000U)).size();  // long ago
            answers += forge(wire, wire.b, bare(start + 1002, start + 1, flag::rst)).size();
            answers += forge(wire, wire.b, bare(start + 1001, start + 1, flag::syn)).size();
            wire.run_for(1ms);
        }
        CHECK(answers >= 1);
        CHECK(answers <= 3);
        finish_in_order(wire);
    });
}

TEST_CASE("hazard 9: two ends whose windows are both closed do not answer each other without end, and go on later") {
    for (const bool timestamps : {false, true}) {
        at_each_start([&](std::uint32_t start) {
            tcp::connection_options options;
            options.timestamps = timestamps;
            options.receive_limit = 10'000;
            pair wire(1, options, options, start, start);
            open(wire);
            wire.a.reads = wire.b.reads = false;
            more(wire, wire.a, 30'000);
            more(wire, wire.b, 30'000);
            wire.run_for(100s);
            CHECK(wire.a.c->info().send_window == 0);
            CHECK(wire.b.c->info().send_window == 0);
            const auto sent = wire.a.sent + wire.b.sent;
            wire.run_for(1000s);
            CHECK(wire.a.sent + wire.b.sent - sent <= 100);
            CHECK(wire.a.c->ending() == tcp::ending::none);
            CHECK(wire.b.c->ending() == tcp::ending::none);
            // One side reads: its peer's octets come, although the other window is closed and probed still.
            wire.b.reads = true;
            wire.flush();
            const auto begun = wire.now;
            REQUIRE_MESSAGE(wire.run([&] { return wire.b.received.size() == wire.a.to_write.size(); }, 100s), wire.describe());
            CHECK((wire.now - begun) / 1ms <= 300);
            CHECK(wire.a.c->info().unsent == 0);
            wire.a.reads = true;
            wire.flush();
            REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 300s), wire.describe());
            finish_in_order(wire);
        });
    }
}

TEST_CASE("hazard 10: octets that were acknowledged or told by SACK are neither dropped nor rewritten, whatever buffers there are") {
    at_each_start([](std::uint32_t start) {
        for (std::uint64_t seed = 1; seed != 11; ++seed) {
            CAPTURE(seed);
            tcp::connection_options options;
            options.receive_limit = 20'000;
            options.copy_below = 700;  // small segments are copied, large ones kept
            pair wire(seed, options, options, start, start);
            open(wire);
            wire.a.c->set_no_delay(true, wire.now);
            wire.a.out.loss = 0.1;
            std::mt19937_64 dice(seed);
            for (int i = 0; i != 150; ++i) {
                wire.b.buffers.refusing = dice() % 2 == 0;
                wire.b.reads = dice() % 3 != 0;
                more(wire, wire.a, 1 + dice() % 1500);
                wire.run_for(std::chrono::milliseconds(dice() % 12));
            }
            wire.b.reads = true;
            wire.flush();
            REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 600s), wire.describe());
            wire.a.out.loss = 0;
            wire.b.buffers.refusing = false;
            finish_in_order(wire);
        }
    });
}

TEST_CASE("hazard 10: of two segments that claim the same octets beyond a gap the first counts") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, plain_options(), plain_options(), start, start);
        open(wire);
        const auto truth = pattern(300, 1);
        const auto other = pattern(300, 2);
        const auto put = [&](std::size_t from, std::size_t length, const std::vector<std::byte>& octets) {
            tcp::segment made = bare(start + 1 + static_cast<std::uint32_t>(from), start + 1);
            made.payload = std::span(octets).subspan(from, length);  // few: they are copied
            return forge(wire, wire.b, made);
        };
        (void)put(100, 100, truth);
        (void)put(50, 200, other);  // its first 50 and last 50 are new
        (void)put(0, 60, truth);
        std::array<std::byte, 300> got{};
        REQUIRE(wire.b.c->read(got, wire.now) == 250);
        for (std::size_t i = 0; i != 250; ++i) {
            const bool from_other = (i >= 50 && i < 100) || i >= 200;
            REQUIRE(got[i] == (from_other ? other[i] : truth[i]));
        }
    });
}

TEST_CASE("hazard 15: forged blocks of SACK neither crash nor count, and octets that were told are sent again when they must be") {
    for (const std::uint16_t window : {std::uint16_t{0}, std::uint16_t{3}, std::uint16_t{4000}}) {
        at_each_start([&](std::uint32_t start) {
            pair wire(1, plain_options(), plain_options(), start, start);
            open(wire);
            more(wire, wire.a, 20'000);
            bool first = true;
            wire.a.out.drop = [&](const fluxnet::proto::tcp_view& sent) { return sent.payload().size() > 9 && std::exchange(first, false); };
            more(wire, wire.a, 20'000);
            wire.run_for(7ms);
            const auto before = wire.a.c->info();
            const std::uint32_t una = start + 1 + static_cast<std::uint32_t>(wire.b.received.size());
            for (const auto& [left, right] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{
                     {una - 3000, una - 1000}, {una - 10, una + 10}, {una + 500, una + 100}, {una + 40'000, una + 41'000},
                     {una + 100, una + 0x8000'0000U}, {una, una}, {una - 0x7fff'0000U, una - 1}, {una + 1, una + 0x7fff'ffffU},
                     {0, 0}, {0xffff'ffff, 0}}) {
                tcp::segment lie = bare(start + 1, una);
                lie.options.sack_count = 4;
                for (auto& block : lie.options.sack) { block = {left, right}; }
                lie.window = window;
                (void)forge(wire, wire.a, lie);
            }
            CHECK(wire.a.c->info().sacked == before.sacked);
            // A peer that tells everything but the first octets, and then never acknowledges it: it is sent again.
            tcp::segment lie = bare(start + 1, una);
            lie.options.sack_count = 1;
            lie.options.sack[0] = {una + 1460, una + 4 * 1460};
            lie.window = window;
            (void)forge(wire, wire.a, lie);
            wire.b.reads = true;
            REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 200s), wire.describe());
            wire.a.out.drop = nullptr;
            finish_in_order(wire);
        });
    }
}

TEST_CASE("hazard 15: a reset ends a connection at the number that is expected and nowhere else") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, plain_options(), plain_options(), start, start);
        open(wire);
        more(wire, wire.a, 100);
        REQUIRE(wire.run([&] { return arrived(wire) && wire.flying.empty(); }, 10s));
        const std::uint32_t next = start + 101;
        for (const std::uint32_t at : {next + 1, next - 1, next + 0x10000, next + 0x8000'0000U, next + 0x7fff'ffffU, start}) {
            wire.run_for(1s);
            const auto answers = forge(wire, wire.b, bare(at, start + 1, flag::rst));
            const bool within = at == next + 1 || at == next + 0x10000;
            CHECK(answers.size() == (within ? 1 : 0));
            CHECK(wire.b.c->ending() == tcp::ending::none);
        }
        CHECK(forge(wire, wire.b, bare(next, start + 1, flag::rst)).empty());
        CHECK(wire.b.c->ending() == tcp::ending::reset);
    });
}

TEST_CASE("hazard 15: a window that shrinks below what is in flight loses nothing") {
    at_each_start([](std::uint32_t start) {
        pair wire(1, plain_options(), plain_options(), start, start);
        open(wire);
        more(wire, wire.a, 14'000);
        wire.a.out.loss = 1;
        more(wire, wire.a, 20'000);
        wire.run_for(1ms);
        for (const std::uint16_t window : {std::uint16_t{2}, std::uint16_t{0}, std::uint16_t{1}}) {
            tcp::segment shrunk = bare(start + 1, start + 1);
            shrunk.window = window;
            (void)forge(wire, wire.a, shrunk);
            wire.run_for(20s);
        }
        wire.a.out.loss = 0;
        REQUIRE_MESSAGE(wire.run([&] { return arrived(wire); }, 300s), wire.describe());
        finish_in_order(wire);
    });
}
