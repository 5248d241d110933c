// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/tx.hpp"

#include "tests/support/skip.hpp"
#include "tests/xsk/dies.hpp"
#include "tests/xsk/mapped.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<tx>);
static_assert(std::is_nothrow_move_constructible_v<tx> && std::is_nothrow_move_assignable_v<tx>);

namespace {

/// A socket of 128 frames, half of them for sending.
struct tx_fixture {
    explicit tx_fixture(std::uint32_t tx_ring = 64, std::uint32_t completion_ring = 64, bool old_kernel = false,
                        std::uint32_t first_index = 0xffff'fff0U) {
        fake.first_index = first_index;
        fake.old_kernel = old_kernel;
        memory = umem::create({.frame_count = 128, .fill_ring = 64, .completion_ring = completion_ring}).value();
        auto options = sim_builder(fake, 128).over(memory).tx_frames(64);
        auto built = options.tx_ring(tx_ring).completion_ring(completion_ring).build_system().value();
        receiver.emplace(std::move(built.rx));
        sender.emplace(std::move(built.tx));
    }

    std::vector<packet> make(unsigned count, unsigned first = 0, std::size_t size = 60) {
        std::vector<packet> packets(count);
        REQUIRE(sender->allocate(packets) == count);
        for (unsigned i = 0; i < count; ++i) { REQUIRE(packets[i].assign(payload(size, first + i))); }
        return packets;
    }

    void check_sent(unsigned count, unsigned first = 0, std::size_t size = 60) {
        const auto sent = fake.take_sent();
        REQUIRE(sent.size() == count);
        for (unsigned i = 0; i < count; ++i) { CHECK(same(sent[i], payload(size, first + i))); }
    }

    void check_quiet() {
        CHECK(sender->in_flight() == 0);
        CHECK(sender->pending() == 0);
        CHECK_FALSE(sender->failure());
        check_census(sender->pool());
    }

    [[nodiscard]] unsigned kicks() const { return fake.calls(fake_call::kick_tx); }

    fake_kernel fake;
    umem memory;
    std::optional<rx> receiver;
    std::optional<tx> sender;
};

}  // namespace

TEST_CASE("allocated packets are empty and have the headroom that was asked for") {
    tx_fixture f;
    std::vector<packet> packets(100);
    CHECK(f.sender->allocate(packets) == 64);
    for (unsigned i = 0; i < 64; ++i) {
        CHECK(packets[i].empty());
        CHECK(packets[i].headroom() == 256);
        CHECK(packets[i].capacity() == 1792);
        CHECK(packets[i].home() == &f.sender->home());
    }
    CHECK_FALSE(packets[64]);
    CHECK(f.sender->allocate(std::span(packets).last(1)) == 0);
    packets[7].reset();
    CHECK(f.sender->allocate(std::span(packets).last(2)) == 1);
    packets.clear();
    f.check_quiet();
}

TEST_CASE("packets leave in order and their frames come home") {
    tx_fixture f;
    for (unsigned round = 0; round < 20; ++round) {
        auto packets = f.make(24, round * 24);
        CHECK(f.sender->try_send(packets) == 24);
        for (const packet& one : packets) { CHECK_FALSE(one); }
        CHECK(f.sender->pending() == 24);
        CHECK(f.sender->in_flight() == 24);
        CHECK_FALSE(f.sender->flush());
        f.check_sent(24, round * 24);
        f.check_quiet();
    }
    CHECK(f.kicks() == 20);
}

TEST_CASE("a packet grown into its headroom is sent from its new start") {
    tx_fixture f;
    auto packets = f.make(1);
    REQUIRE(packets[0].adjust_head(-256));
    REQUIRE(packets[0].assign(payload(1000, 5)));
    CHECK(f.sender->try_send(packets[0]));
    f.sender->flush();
    f.check_sent(1, 5, 1000);
    f.check_quiet();
}

TEST_CASE("what is in flight never exceeds the completion ring") {
    tx_fixture f(64, 8);
    f.fake.hold_completions(true);
    auto packets = f.make(20);
    CHECK(f.sender->credit() == 8);
    CHECK(f.sender->try_send(packets) == 8);
    CHECK(f.sender->credit() == 0);
    CHECK(f.sender->try_send(std::span(packets).subspan(8)) == 0);
    CHECK_FALSE(f.sender->flush());
    CHECK(f.sender->pending() == 0);
    CHECK(f.sender->in_flight() == 8);
    CHECK(f.sender->credit() == 0);
    for (unsigned i = 8; i < 20; ++i) { CHECK(same(packets[i].data(), payload(60, i))); }
    CHECK(f.fake.release_completions(3) == 3);
    CHECK(f.sender->reap() == 3);
    CHECK(f.sender->credit() == 3);
    CHECK(f.sender->try_send(std::span(packets).subspan(8)) == 3);
    f.fake.hold_completions(false);
    f.sender->flush();
    f.fake.release_completions();
    CHECK(f.sender->reap() == 8);
    CHECK(f.sender->try_send(std::span(packets).subspan(11)) == 8);
    f.sender->flush();
    CHECK(f.sender->try_send(std::span(packets).subspan(19)) == 1);
    f.sender->flush();
    f.check_sent(20);
    f.check_quiet();
}

TEST_CASE("a TX ring smaller than the completion ring bounds the credit too") {
    tx_fixture f(4, 64);
    auto packets = f.make(10);
    CHECK(f.sender->credit() == 4);
    CHECK(f.sender->try_send(packets) == 4);
    CHECK(f.sender->credit() == 0);
    f.sender->flush();
    CHECK(f.sender->try_send(std::span(packets).subspan(4)) == 4);
    f.sender->flush();
    CHECK(f.sender->try_send(std::span(packets).subspan(8)) == 2);
    f.sender->flush();
    f.check_sent(10);
    f.check_quiet();
}

TEST_CASE("packets that can never be sent stay with the caller") {
    tx_fixture f;
    fake_kernel other_kernel;
    auto other = sim_builder(other_kernel).build_system().value();
    auto packets = f.make(4);
    REQUIRE(packets[1].set_len(13));
    CHECK(f.sender->refusal(packets[1]) == errc::packet_too_small);
    CHECK_FALSE(f.sender->refusal(packets[0]));
    CHECK(f.sender->try_send(packets) == 1);
    CHECK(packets[1].size() == 13);
    CHECK(packets[2].size() == 60);
    CHECK(f.sender->try_send(std::span(packets).subspan(1)) == 0);
    REQUIRE(packets[1].set_len(14));
    CHECK_FALSE(f.sender->refusal(packets[1]));

    packet foreign;
    REQUIRE(other.tx.allocate(std::span(&foreign, 1)) == 1);
    REQUIRE(foreign.assign(payload(60, 0)));
    CHECK(f.sender->refusal(foreign) == errc::foreign_packet);
    CHECK_FALSE(f.sender->try_send(foreign));
    CHECK(foreign);
    packet none;
    CHECK(f.sender->refusal(none) == errc::foreign_packet);
    CHECK_FALSE(f.sender->try_send(none));

    CHECK(f.sender->try_send(std::span(packets).subspan(1)) == 3);
    CHECK(other.tx.try_send(foreign));
    f.sender->flush();
    other.tx.flush();
    CHECK(f.fake.take_sent().size() == 4);
    CHECK(other_kernel.take_sent().size() == 1);
    f.check_quiet();
    check_census(other.tx.pool());
}

TEST_CASE("sent packets of two homes return to the home that each came from") {
    tx_fixture f;
    for (unsigned i = 0; i < 20; ++i) { REQUIRE(f.fake.deliver(payload(60, i))); }
    std::vector<packet> mixed(40);
    REQUIRE(f.receiver->try_recv(std::span(mixed).first(20)) == 20);
    auto made = f.make(20, 20);
    std::move(made.begin(), made.end(), mixed.begin() + 20);
    for (unsigned i = 0; i < 20; i += 2) { std::swap(mixed[i], mixed[i + 20]); }
    CHECK(f.receiver->home().free_count() == 0);  // the fill ring took all
    CHECK(f.sender->home().free_count() == 44);
    CHECK(f.sender->try_send(mixed) == 40);
    f.sender->flush();
    CHECK(f.receiver->home().free_count() == 20);
    CHECK(f.sender->home().free_count() == 64);
    f.receiver->refill();
    f.check_quiet();
    CHECK(f.sender->pool().census().fill == 64);
}

TEST_CASE("sent packets return to a home that another thread owns") {
    tx_fixture f;
    for (unsigned i = 0; i < 10; ++i) { REQUIRE(f.fake.deliver(payload(60, i))); }
    std::vector<packet> packets(10);
    REQUIRE(f.receiver->try_recv(packets) == 10);
    std::thread([&] {
        CHECK(f.sender->try_send(packets) == 10);
        f.sender->flush();
        CHECK(f.sender->in_flight() == 0);
        f.sender->release();
    }).join();
    f.check_sent(10);
    CHECK(f.receiver->home().free_count() == 0);
    f.receiver->refill();
    CHECK(f.sender->pool().census().fill == 64);
    f.check_quiet();
}

TEST_CASE("a flush with nothing queued makes no call") {
    tx_fixture f;
    CHECK_FALSE(f.sender->flush());
    CHECK(f.kicks() == 0);
    auto packets = f.make(1);
    f.sender->try_send(packets);
    f.fake.set_needs_wakeup(fake_ring::tx, false);
    f.sender->flush();
    CHECK(f.kicks() == 0);
    f.fake.set_needs_wakeup(fake_ring::tx, true);
    f.sender->flush();
    CHECK(f.kicks() == 1);
    f.check_quiet();
}

TEST_CASE("a socket bound without need_wakeup kicks whatever the flag says") {
    fake_kernel fake;
    auto built = sim_builder(fake).need_wakeup(false).build_system().value();
    fake.set_needs_wakeup(fake_ring::tx, false);
    for (unsigned i = 1; i <= 3; ++i) {
        packet one;
        REQUIRE(built.tx.allocate(std::span(&one, 1)) == 1);
        REQUIRE(one.assign(payload(60, i)));
        REQUIRE(built.tx.try_send(one));
        CHECK_FALSE(built.tx.flush());
        CHECK(fake.calls(fake_call::kick_tx) == i);
        CHECK(fake.take_sent().size() == 1);
    }
    CHECK_FALSE(built.tx.flush());
    CHECK(fake.calls(fake_call::kick_tx) == 3);
    check_census(built.tx.pool());
}

TEST_CASE("one flush sends the whole ring whatever one kick sends") {
    for (const bool old_kernel : {false, true}) {
        for (const std::uint32_t budget : {1U, 7U, 32U}) {
            CAPTURE(old_kernel);
            CAPTURE(budget);
            tx_fixture f(16, 64, old_kernel);  // too small a ring for a budget of its own
            f.fake.set_tx_budget(budget);
            auto packets = f.make(16);
            CHECK(f.sender->try_send(packets) == 16);
            CHECK_FALSE(f.sender->flush());
            f.check_sent(16);
            f.check_quiet();
            CHECK(f.kicks() <= 16 / budget + 2);
        }
    }
}

TEST_CASE("a full completion ring stops the kernel until it is reaped") {
    tx_fixture f(64, 16);
    auto packets = f.make(32);
    f.fake.hold_completions(true);
    CHECK(f.sender->try_send(packets) == 16);
    f.sender->flush();
    CHECK(f.fake.take_sent().size() == 16);
    CHECK(f.fake.release_completions(4) == 4);
    f.sender->reap();
    CHECK(f.sender->try_send(std::span(packets).subspan(16)) == 4);
    f.fake.hold_completions(false);
    f.fake.release_completions();
    CHECK_FALSE(f.sender->flush());
    CHECK(f.sender->in_flight() == 0);
    CHECK(f.fake.take_sent().size() == 4);
}

TEST_CASE("a kick without progress is not repeated and is no failure") {
    for (const int number : {EAGAIN, ENOBUFS}) {
        tx_fixture f;
        auto packets = f.make(5);
        f.sender->try_send(packets);
        f.fake.fail(fake_call::kick_tx, 1, number, 2);
        CHECK_FALSE(f.sender->flush());
        CHECK(f.kicks() == 1);
        CHECK(f.sender->pending() == 5);
        CHECK(f.sender->in_flight() == 5);
        CHECK_FALSE(f.sender->flush());
        CHECK(f.kicks() == 2);
        CHECK(f.sender->dropped_by_kernel() == 0);
        CHECK_FALSE(f.sender->flush());
        f.check_sent(5);
        f.check_quiet();
    }
}

TEST_CASE("an interrupted kick is repeated") {
    tx_fixture f;
    auto packets = f.make(5);
    f.sender->try_send(packets);
    f.fake.fail(fake_call::kick_tx, 1, EINTR, 3);
    CHECK_FALSE(f.sender->flush());
    CHECK(f.kicks() == 4);
    f.check_sent(5);
    f.check_quiet();
}

TEST_CASE("a kick that is always interrupted is not repeated for ever") {
    tx_fixture f;
    auto packets = f.make(5);
    f.sender->try_send(packets);
    f.fake.fail(fake_call::kick_tx, 1, EINTR, 1'000);
    CHECK_FALSE(f.sender->flush());
    CHECK(f.kicks() > 3);
    CHECK(f.kicks() < 100);
    CHECK(f.sender->pending() == 5);
    f.fake.heal();
    CHECK_FALSE(f.sender->flush());
    f.check_sent(5);
    f.check_quiet();
}

TEST_CASE("a packet that the kernel drops takes no other with it") {
    for (const bool old_kernel : {false, true}) {
        for (const std::size_t victim : {0U, 1U, 4U}) {
            CAPTURE(old_kernel);
            CAPTURE(victim);
            tx_fixture f(64, 64, old_kernel);
            auto packets = f.make(5);
            REQUIRE(packets[victim].set_len(1515));  // one more than MTU 1500 and a header
            CHECK(f.sender->try_send(packets) == 5);
            CHECK_FALSE(f.sender->flush());
            CHECK(f.fake.take_sent().size() == 4);
            CHECK(f.sender->dropped_by_kernel() == 1);
            f.check_quiet();
        }
    }
}

TEST_CASE("a ring full of packets that the kernel drops is emptied by one flush") {
    for (const bool old_kernel : {false, true}) {
        tx_fixture f(64, 64, old_kernel);
        auto packets = f.make(20, 0, 1600);
        CHECK(f.sender->try_send(packets) == 20);
        CHECK_FALSE(f.sender->flush());
        CHECK(f.sender->dropped_by_kernel() == 20);
        CHECK(f.fake.take_sent().empty());
        f.check_quiet();
    }
}

TEST_CASE("a busy device that takes nothing is not kicked for ever") {
    tx_fixture f;
    f.fake.hold_completions(true);
    auto packets = f.make(3);
    f.sender->try_send(packets);
    f.fake.fail(fake_call::kick_tx, 1, EBUSY, 1000);
    CHECK_FALSE(f.sender->flush());
    CHECK(f.kicks() <= 4);
}

TEST_CASE("packets wait while the link is down") {
    tx_fixture f;
    auto packets = f.make(5);
    f.sender->try_send(packets);
    f.fake.set_link(false);
    CHECK_FALSE(f.sender->flush());
    CHECK(f.sender->link_down());
    CHECK_FALSE(f.sender->failure());
    CHECK(f.sender->pending() == 5);
    CHECK(f.kicks() == 1);
    CHECK_FALSE(f.sender->flush());
    CHECK(f.sender->link_down());
    auto more = f.make(2, 5);
    CHECK(f.sender->try_send(more) == 2);
    f.fake.set_link(true);
    CHECK_FALSE(f.sender->flush());
    CHECK_FALSE(f.sender->link_down());
    f.check_sent(7);
    f.check_quiet();
}

TEST_CASE("an error of the device ends the handle and later packets stay with the caller") {
    for (const auto& [number, condition] :
         {std::pair{ENXIO, errc::interface_gone}, {ENODEV, errc::interface_gone}, {EBADF, errc::interface_gone}}) {
        tx_fixture f;
        auto packets = f.make(4);
        CHECK(f.sender->try_send(std::span(packets).first(2)) == 2);
        f.fake.fail(fake_call::kick_tx, 1, number);
        CHECK(f.sender->flush() == condition);
        CHECK(f.sender->failure() == condition);
        CHECK(f.kicks() == 1);
        CHECK(f.sender->refusal(packets[2]) == condition);
        CHECK(f.sender->try_send(std::span(packets).subspan(2)) == 0);
        CHECK(packets[2]);
        CHECK(packets[3]);
        CHECK(f.sender->flush() == condition);
        CHECK(f.kicks() == 1);
        CHECK_FALSE(f.sender->drain(50ms));
        CHECK(f.fake.pauses().empty());
        f.sender->fail(errc::closed);
        CHECK(f.sender->failure() == condition);
        packets.clear();
        check_census(f.sender->pool(), 0, 2);
    }
}

TEST_CASE("a kick that fails for a reason that may pass is counted and tried again") {
    for (const int number : {ENOMEM, EINVAL, EOPNOTSUPP, EPROTO}) {
        tx_fixture f;
        auto packets = f.make(4);
        CHECK(f.sender->try_send(packets) == 4);
        f.fake.fail(fake_call::kick_tx, 1, number);
        CHECK_FALSE(f.sender->flush());
        CHECK(f.sender->failed_kicks() == 1);
        CHECK(f.sender->last_kick_errno() == number);
        CHECK(f.sender->pending() == 4);
        CHECK_FALSE(f.sender->flush());
        f.check_sent(4);
        CHECK(f.sender->failed_kicks() == 1);
        f.check_quiet();
    }
}

TEST_CASE("kicks that go on failing are made less and less often and the device may still come back") {
    tx_fixture f;
    auto packets = f.make(1);
    CHECK(f.sender->try_send(packets) == 1);
    f.fake.fail(fake_call::kick_tx, 1, EINVAL, 1000);
    for (int i = 0; i < 1600; ++i) { CHECK_FALSE(f.sender->flush()); }
    CHECK(f.sender->failed_kicks() == f.kicks());
    CHECK(f.kicks() >= 100);
    CHECK(f.kicks() <= 110);
    f.fake.heal();
    for (int i = 0; i < 16; ++i) { CHECK_FALSE(f.sender->flush()); }
    f.check_sent(1);
    f.check_quiet();
    // The next failure begins with short waits again.
    packets = f.make(1);
    CHECK(f.sender->try_send(packets) == 1);
    f.fake.fail(fake_call::kick_tx, 1, ENOMEM);
    CHECK_FALSE(f.sender->flush());
    CHECK_FALSE(f.sender->flush());
    f.check_sent(1);
    f.check_quiet();
}

TEST_CASE("a tx whose completions never come ends by name at its limit and its close is bounded too") {
    tx_fixture f;
    f.fake.hold_completions(true);
    auto packets = f.make(5);
    CHECK(f.sender->try_send(packets) == 5);
    packets.clear();
    CHECK(f.sender->finish(3ms) == errc::completions_missing);
    CHECK(f.fake.pauses().size() == 3);
    CHECK_FALSE(f.sender->drain(2ms));
    CHECK_FALSE(f.sender->failure());
    check_census(f.sender->pool(), 0, 5);
    f.sender.reset();
    f.receiver.reset();
    CHECK(f.fake.pauses().size() == 5 + 100);
    check_nothing_left(f.fake);
    CHECK(f.memory.pool().missing_completions() == 5);
    check_census(f.memory.pool(), 0, 5);
}

TEST_CASE("closing waits for packets that the driver still has to send and their frames come home") {
    tx_fixture f;
    f.fake.hold_completions(true);
    auto packets = f.make(5);
    CHECK(f.sender->try_send(packets) == 5);
    packets.clear();
    CHECK_FALSE(f.sender->flush());
    const int fd = f.sender->fd();
    f.fake.on_pause = [&] { f.fake.release_completions(1, fd); };
    f.sender.reset();
    f.receiver.reset();
    CHECK(f.fake.pauses().size() == 5);
    CHECK(f.memory.pool().missing_completions() == 0);
    check_census(f.memory.pool());
    check_nothing_left(f.fake);
}

TEST_CASE("a link that is down is the reason why a tx cannot finish") {
    tx_fixture f;
    auto packets = f.make(2);
    CHECK(f.sender->try_send(packets) == 2);
    f.fake.set_link(false);
    CHECK(f.sender->finish(2ms) == errc::link_down);
    f.fake.set_link(true);
    CHECK_FALSE(f.sender->finish(std::chrono::hours::max()));
    f.check_quiet();
}

TEST_CASE("a deleted interface ends the handle") {
    tx_fixture f;
    auto packets = f.make(1);
    f.sender->try_send(packets);
    f.fake.remove_interface();
    CHECK(f.sender->flush() == errc::interface_gone);
    CHECK(f.sender->flush() == std::errc::no_such_device_or_address);
}

TEST_CASE("indices that cannot be end the handle") {
    {
        tx_fixture f(64, 64, false, 0);
        auto packets = f.make(3);
        f.sender->try_send(packets);
        f.fake.write_producer(fake_ring::completion, 65);
        CHECK(f.sender->reap() == 0);
        CHECK(f.sender->failure() == errc::ring_corruption);
        CHECK(f.sender->flush() == errc::ring_corruption);
        CHECK(f.kicks() == 0);
    }
    {
        tx_fixture f(64, 64, false, 0);
        auto packets = f.make(3);
        f.sender->try_send(packets);
        f.fake.write_consumer(fake_ring::tx, 4);
        CHECK(f.sender->flush() == errc::ring_corruption);
        CHECK(f.sender->credit() == 0);
        CHECK(f.kicks() == 0);
    }
}

TEST_CASE("a completion outside the UMEM ends the handle and spares the others") {
    tx_fixture f;
    auto packets = f.make(3);
    f.sender->try_send(packets);
    f.fake.hold_completions(true);
    f.fake.fail(fake_call::kick_tx, 1, EAGAIN);
    f.sender->flush();
    f.fake.push_completion({std::uint64_t{128} * 2048});
    CHECK(f.sender->reap() == 1);
    CHECK(f.sender->failure() == errc::ring_corruption);
    CHECK(f.sender->in_flight() == 2);
    check_census(f.sender->pool(), 0, 3);  // the kernel has not given any of them back
}

TEST_CASE("a completion of a frame that was not submitted ends the handle of a checked build") {
    FLUXNET_SKIP_IF(why_not_checked());
    tx_fixture f;
    auto packets = f.make(3);
    const frame_home& home = f.sender->home();
    const frame_addr not_sent = home.addr_of(packets[2].data().data());
    CHECK(f.sender->try_send(std::span(packets).first(2)) == 2);
    f.fake.push_completion(not_sent);
    CHECK(f.sender->reap() == 1);
    CHECK(f.sender->failure() == errc::ring_corruption);
    CHECK(same(packets[2].data(), payload(60, 2)));
    packets[2].reset();
    check_census(f.sender->pool(), 0, 2);
}

TEST_CASE("a drain waits for the device and gives up at its limit") {
    tx_fixture f;
    auto packets = f.make(6);
    f.fake.hold_completions(true);
    f.sender->try_send(packets);
    CHECK_FALSE(f.sender->drain(5ms));
    CHECK(f.fake.pauses() == std::vector<int>{1, 1, 1, 1, 1});
    CHECK(f.sender->in_flight() == 6);
    CHECK_FALSE(f.sender->drain(0ms));
    f.fake.release_completions();
    CHECK(f.sender->drain(0ms));
    f.check_sent(6);
    f.check_quiet();
    CHECK(f.sender->drain(5ms));
}

TEST_CASE("a drain goes on after kicks that were put off") {
    tx_fixture f;
    auto packets = f.make(6);
    f.sender->try_send(packets);
    f.fake.fail(fake_call::kick_tx, 1, EAGAIN, 3);
    CHECK(f.sender->drain(10ms));
    CHECK(f.fake.pauses().size() == 3);
    f.check_sent(6);
    f.check_quiet();
}

TEST_CASE("a released handle sends from another thread") {
    tx_fixture f;
    auto packets = f.make(2);
    f.sender->release();
    std::thread([&] {
        tx here = std::move(*f.sender);
        CHECK(here.try_send(packets) == 2);
        CHECK_FALSE(here.flush());
        std::array<packet, 3> more;
        CHECK(here.allocate(more) == 3);
        more[0].reset();
        here.release();
        *f.sender = std::move(here);
        // the rest is dropped by a thread that owns nothing any more
    }).join();
    f.check_sent(2);
    auto again = f.make(2, 2);
    CHECK(f.sender->try_send(again) == 2);
    f.sender->flush();
    f.check_sent(2, 2);
    f.check_quiet();
}

TEST_CASE("closing with packets in flight leaves nothing mapped") {
    tx_fixture f;
    f.fake.hold_completions(true);
    auto packets = f.make(8);
    CHECK(f.sender->try_send(std::span(packets).first(6)) == 6);
    f.sender->flush();
    f.fake.release_completions(2);
    const std::byte* base = f.sender->home().at(frame_index{0});
    f.sender.reset();
    CHECK(f.fake.live_fds() == 1);
    f.receiver.reset();
    f.memory = {};
    check_nothing_left(f.fake);
    CHECK(is_mapped(base));
    packets.clear();
    CHECK_FALSE(is_mapped(base));
}

TEST_CASE("a check of a tx with nothing to send finds the interface gone") {
    tx_fixture f;
    CHECK_FALSE(f.sender->check());
    CHECK(f.fake.calls(fake_call::kick_tx) == 0);
    f.fake.remove_interface();
    CHECK_FALSE(f.sender->flush());  // which has nothing to kick for
    CHECK(f.sender->check() == errc::interface_gone);
    CHECK(f.sender->failure() == errc::interface_gone);
}
