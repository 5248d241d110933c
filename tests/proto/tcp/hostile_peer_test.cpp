// SPDX-License-Identifier: BSD-3-Clause
// Peers that mean harm, or are broken.
#include "fluxnet/proto/tcp/connection.hpp"

#include "tests/proto/tcp/script.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace tcp_test;

namespace {

/// A peer that sends what it likes, near the numbers that matter.
class random_peer {
public:
    random_peer(script& of, std::uint64_t seed) : s_(of), dice_(seed) {}

    void open() {
        options_of_segment peer = sack_peer(static_cast<std::uint16_t>(one_in(3) ? up_to(2000) : 1460));
        peer.sack_permitted = !one_in(4);
        if (!one_in(3)) { peer.window_scale = static_cast<std::uint8_t>(up_to(16)); }
        peer.timestamps = one_in(2);
        if (one_in(2)) {
            s_.in({.flags = flag::syn, .seq = 0, .window = window(), .options = peer});
        } else {
            s_.connect();
            s_.in({.flags = flag::syn | flag::ack, .seq = 0, .ack = 1, .window = window(), .options = peer});
        }
        s_.in({.window = window()});
        take();
    }

    void step() {
        switch (up_to(12)) {
            case 0: s_.read(up_to(5000)); break;
            case 1:
                if (!shut_) { s_.write(up_to(static_cast<std::uint32_t>(std::min<std::size_t>(s_.c.writable(), 20'000)))); }
                break;
            case 2: s_.wait(std::chrono::microseconds(up_to(1000))); break;
            case 3: s_.wait(std::chrono::milliseconds(up_to(300))); break;
            case 4:
                if (one_in(20)) { s_.wait(std::chrono::seconds(up_to(50))); }
                break;
            case 5:
                if (one_in(300)) { rare(); }
                break;
            default: s_.in(segment());
        }
        take();
    }

private:
    [[nodiscard]] std::uint32_t up_to(std::uint32_t most) { return static_cast<std::uint32_t>(dice_() % (most + std::uint64_t{1})); }
    [[nodiscard]] bool one_in(std::uint32_t times) { return up_to(times - 1) == 0; }
    [[nodiscard]] std::uint16_t window() {
        constexpr std::array<std::uint16_t, 6> some{0, 1, 100, 3000, 20'000, 0xffff};
        return some[up_to(5)];
    }
    /// A number near one of two.
    [[nodiscard]] std::uint32_t near(std::uint32_t one, std::uint32_t other) {
        switch (up_to(20)) {
            case 0: return static_cast<std::uint32_t>(dice_());
            case 1: return one - up_to(3000);
            case 2: return other + up_to(3);
            case 3: return other - up_to(3);
            case 4: return one + up_to(std::max(other - one, 1U));
            case 5: return other + up_to(100'000);
            case 6: return other;
            default: return one;
        }
    }

    line_in segment() {
        line_in line;
        line.seq = near(expected_, expected_ + s_.info().receive_window);
        line.ack = one_in(3) ? near(sent_, acknowledged_) : near(acknowledged_, sent_);
        if (line.ack - acknowledged_ <= sent_ - acknowledged_) { acknowledged_ = line.ack; }
        line.window = window();
        if (one_in(2)) { line.data = up_to(one_in(3) ? 3000 : 20); }
        if (one_in(100)) { line.flags = static_cast<std::uint8_t>(dice_()) & static_cast<std::uint8_t>(~flag::rst); }
        if (one_in(2000)) { line.flags = flag::rst; }
        if (one_in(3)) {
            const std::uint32_t count = up_to(4);
            for (std::uint32_t i = 0; i != count; ++i) {
                const std::uint32_t left = near(acknowledged_, sent_);
                line.options.sack[i] = {s_.own_initial + left, s_.own_initial + left + up_to(4000) - (one_in(9) ? 4000 : 0)};
            }
            line.options.sack_count = static_cast<std::uint8_t>(count);
        }
        if (one_in(50)) {
            line.options.timestamps = true;
            line.options.timestamp = s_.peer_clock() - up_to(100);
            line.options.timestamp_echo = s_.heard_stamp - up_to(500);
        }
        return line;
    }

    void rare() {
        shut_ = true;
        s_.does([&](tcp::connection& c) { c.shutdown_write(s_.now); });
    }

    /// Looks at what was sent; the octets are compared there.
    void take() {
        REQUIRE(s_.waiting() < 500);
        while (s_.waiting() != 0) {
            const sent_segment one = s_.out();
            if (one.has(flag::rst)) { continue; }
            const std::uint32_t end = one.seq + static_cast<std::uint32_t>(one.octets.size()) + (one.has(flag::fin | flag::syn) ? 1U : 0U);
            if (end - sent_ < 0x8000'0000) { sent_ = end; }
            if (one.has(flag::ack)) { expected_ = one.ack; }
        }
    }

    script& s_;
    std::mt19937_64 dice_;
    std::uint32_t expected_ = 1;
    std::uint32_t sent_ = 1;
    std::uint32_t acknowledged_ = 1;
    bool shut_ = false;
};

}  // namespace

TEST_CASE("tcp 13: whatever a peer sends, what is read is what it sent, what is sent is what was written, and nothing is left") {
    std::size_t lived = 0;
    for (std::uint64_t seed = 1; seed <= fluxnet::test::rounds(100, 1); ++seed) {
        CAPTURE(seed);
        std::mt19937_64 dice(seed);
        tcp::connection_options options;
        options.receive_limit = dice() % 2 == 0 ? 256 * 1024 : static_cast<std::uint32_t>(500 + dice() % 20'000);
        options.send_limit = static_cast<std::uint32_t>(1000 + dice() % 100'000);
        options.most_ranges = static_cast<std::uint32_t>(4 + dice() % 100);
        options.sack = dice() % 4 != 0;
        constexpr std::array<std::uint32_t, 4> starts{0xffff'fff0, 0x7fff'fff0, 0, 5};
        script s(start{starts[dice() % 4], starts[dice() % 4]}, options);
        random_peer peer(s, seed);
        peer.open();
        for (int i = 0; i != 2000 && s.c.state() != tcp::state::closed; ++i) { peer.step(); }
        lived += s.info().received_octets;
        CHECK(s.ranges.in_use() < 4000);
        s.does([&](tcp::connection& c) { c.abort(s.now); });
        s.read();
        CHECK(s.buffers.lent() == 0);
        CHECK(s.ranges.in_use() == 0);
        CHECK(s.c.deadline() == time_point::max());
    }
    CHECK(lived > 1'000'000);  // they come as far as to exchange something
}

TEST_CASE("tcp 13: tiny segments and SACKs of every second one cost a bounded number of ranges and segments (CVE-2019-11477, "
          "CVE-2019-11478, CVE-2019-11479)") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.send_limit = 64 * 1024;
        script s(at, options);
        options_of_segment peer = modern_peer(48);
        s.open(peer);
        s.write(64 * 1024);
        const std::uint32_t size = s.info().segment;
        CHECK(size >= 48);
        const std::size_t bound = 64 * 1024 / size + 16;
        std::size_t most = 0;
        std::size_t segments = 0;
        std::uint32_t acknowledged = 1;
        for (int round = 0; round != 300; ++round) {
            for (std::uint32_t k = 1; k < 40; k += 8) {
                const auto block = [&](std::uint32_t n) { return std::pair(acknowledged + n * size, acknowledged + (n + 1) * size); };
                s.in({.ack = acknowledged, .options = s.sacks({block(k), block(k + 2), block(k + 4)})});
            }
            if (round % 4 == 3) { acknowledged += size; }
            s.in({.ack = acknowledged, .window = static_cast<std::uint16_t>(round % 3 == 0 ? 3 : 0xffff)});
            s.wait(1ms);
            segments += s.all_out().size();
            most = std::max(most, s.ranges.in_use());
        }
        CHECK(most <= bound);
        CHECK(segments < 300);
    });
}

TEST_CASE("tcp 13: SACK blocks that make no sense change nothing (RFC 2018 section 4)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(10 * 1460);
        CHECK(s.all_out().size() == 10);
        s.in({.ack = 2921});
        s.came_out.clear();
        const std::uint32_t next = 10 * 1460 + 1;
        const std::pair<std::uint32_t, std::uint32_t> table[] = {
            {5841, 4381},          // turned round
            {5841, 5841},          // empty
            {next, next + 1460},   // never sent
            {5841, next + 1},      // in part
            {1, 2921},             // acknowledged
            {1, 4381},             // in part
            {0x8000'0001, 5841}, {5841, 0x8000'0001}, {0xffff'0000, 1}};
        for (const auto& block : table) {
            s.in({.ack = 2921, .options = s.sacks({block})});
            CHECK(s.info().sacked == 0);
            CHECK(s.info().in_flight == 8 * 1460);
            CHECK(s.info().lost == 0);
        }
        s.silent();
    });
}

TEST_CASE("tcp 13: a peer that takes back what it has told by SACK gets it again (RFC 2018 section 8)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(5 * 1460);
        CHECK(s.all_out().size() == 5);
        s.wait(10ms);
        s.in({.options = s.sacks({{1461, 7301}})});
        s.wait(20ms);
        s.out({.seq = 1});
        s.came_out.clear();
        s.in({.ack = 1461});  // nothing behind it, after all
        std::uint32_t got = 1461;
        for (int i = 0; i != 20 && got != 7301; ++i) {
            s.wait_for_output();
            for (const sent_segment& one : s.all_out()) {
                if (one.seq == got) { got += static_cast<std::uint32_t>(one.octets.size()); }
            }
            s.in({.ack = got});
        }
        CHECK(got == 7301);
        CHECK(s.info().in_flight == 0);
    });
}

TEST_CASE("tcp 13: an acknowledgment in many pieces opens the window by its octets (RFC 3465 section 2.1, RFC 5681 section 3.1)") {
    at_every_start([](start at) {
        script s(at);
        s.open();
        s.write(100 * 1460);
        CHECK(s.all_out().size() == 10);
        s.wait(10ms);
        for (std::uint32_t i = 2; i <= 1461; i += 10) { s.in({.ack = i}); }
        CHECK(s.info().congestion_window <= 11 * 1460 + 10);
        for (const sent_segment& one : s.all_out()) { CHECK(one.octets.size() == 1460); }
    });
}

TEST_CASE("tcp 13: no flood of duplicate ACKs lets more out than the peer's window and what was in flight (RFC 5681 section "
          "3.2)") {
    at_every_start([](start at) {
        script s(at);
        s.open(plain_peer());
        s.write(150 * 1460);
        CHECK(s.all_out().size() == 10);
        s.wait(10ms);
        std::size_t segments = 0;
        for (int i = 0; i != 2000; ++i) {
            s.in({});
            segments += s.all_out().size();
        }
        CHECK(segments <= 65535 / 1460 + 1);
    });
}

TEST_CASE("tcp 13: a window that opens and closes all the time keeps the connection's timers, and nothing is sent more than "
          "once for each opening (RFC 9293 section 3.8.6)") {
    at_every_start([](start at) {
        script s(at);
        s.open(sack_peer(), 0);
        s.write(5000);
        std::size_t segments = 0;
        for (int i = 0; i != 500; ++i) {
            s.in({.window = std::uint16_t(i % 2 == 0 ? 500 : 0)});
            s.wait(1ms);
            segments += s.all_out().size();
        }
        CHECK(segments <= 500);
        s.in({.window = 0});
        s.wait_for_output(200s);
        CHECK(s.waiting() != 0);
    });
}

TEST_CASE("tcp 13: two ends whose windows are closed do not answer each other without end (RFC 5961 section 7)") {
    at_every_start([](start at) {
        tcp::connection_options options;
        options.receive_limit = 1000;
        options.window_scaling = false;
        script s(at, options);
        s.open(sack_peer(), 0);
        s.write(100);
        s.in({.window = 0, .data = 1000});
        s.wait_for_output();
        s.came_out.clear();
        std::size_t answers = 0;
        for (int i = 0; i != 1000; ++i) {
            s.in({.seq = 1002, .ack = 1, .window = 0});  // an ACK behind a probe, as the peer's would be
            answers += s.all_out().size();
            s.wait(1ms);
        }
        CHECK(answers <= 8);
    });
}
