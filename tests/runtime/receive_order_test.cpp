// SPDX-License-Identifier: BSD-3-Clause
// Streams whose bytes come several buffers at a time: nothing is lost, and nothing changes places.
#include "fluxnet/runtime/reactor/buffer_ring.hpp"

#include "tests/runtime/receive_tests.hpp"

#include <doctest/doctest.h>

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <span>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

constexpr std::size_t bytes_of_each = 200'000;

std::byte nth(std::size_t position) {
    return static_cast<std::byte>((position * 7 + position / 251 + position / 65'536) & 0xffU);
}

/// One connection, and what has been sent and received on it.
class ordered_stream final : public receive_many_operation {
public:
    ordered_stream() {
        int made[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made) == 0);
        near_ = fluxnet::test::detail::file_descriptor{made[0]};
        far_ = fluxnet::test::detail::file_descriptor{made[1]};
    }

    void on_received(int result, received_buffer buffer, unsigned) noexcept override {
        if (result > 0) {
            for (const std::byte each : std::as_const(buffer).bytes()) { wrong += each != nth(received++); }
            held.push_back(std::move(buffer));
        } else if (result == 0) {
            ended = true;
        } else if (result != -ENOBUFS && result != -ECANCELED) {
            failure = result;
        }
    }

    /// Sends as many as there is room for, and ends the stream with the last.
    void send(std::size_t count) {
        std::vector<std::byte> piece(std::min(count, bytes_of_each - sent_));
        for (std::size_t i = 0; i < piece.size(); ++i) { piece[i] = nth(sent_ + i); }
        const ssize_t taken = ::send(far_.get(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken > 0) { sent_ += static_cast<std::size_t>(taken); }
        if (sent_ == bytes_of_each) { far_.reset(); }
    }
    [[nodiscard]] bool sends() const { return sent_ != bytes_of_each; }

    void receive(buffer_ring& ring) {
        if (!ended && !pending() && !ring.none_left()) { ring.receive_stream(*this, near_.get()); }
    }

    std::vector<received_buffer> held;
    std::size_t received = 0;
    std::size_t wrong = 0;
    int failure = 0;
    bool ended = false;

private:
    fluxnet::test::detail::file_descriptor near_;
    fluxnet::test::detail::file_descriptor far_;
    std::size_t sent_ = 0;
};

/// Gives back some of the buffers, in any order.
void give_back(std::vector<received_buffer>& held, std::size_t count, std::mt19937_64& random) {
    for (; count != 0 && !held.empty(); --count) {
        std::swap(held[random() % held.size()], held.back());
        held.pop_back();
    }
}

/// `kept`: the buffers that a reader holds back before it gives any.
void receive_in_order(reactor_kind kind, const buffer_ring_config& config, std::size_t kept, std::uint64_t seed) {
    CAPTURE(config.count);
    CAPTURE(config.size);
    std::mt19937_64 random(seed);
    const auto tested = attached(kind);
    std::array<ordered_stream, 3> streams;
    buffer_ring ring(*tested, config);
    const auto over = [&] {
        return std::ranges::all_of(streams, [](const ordered_stream& each) { return each.ended || each.failure != 0; });
    };
    for (int round = 0; !over() && round < 2'000'000; ++round) {
        ordered_stream& one = streams[random() % streams.size()];
        if (one.sends()) { one.send(1 + random() % (random() % 4 == 0 ? 40 * config.size : config.size)); }
        tested->poll();
        if (one.held.size() > kept) { give_back(one.held, 1 + random() % one.held.size(), random); }
        if (ring.none_left()) { give_back(streams[random() % streams.size()].held, 2, random); }
        if (random() % 100 == 0 && one.pending()) { tested->cancel(one); }
        for (ordered_stream& each : streams) { each.receive(ring); }
    }
    for (ordered_stream& each : streams) {
        CHECK(each.failure == 0);
        CHECK(each.received == bytes_of_each);
        CHECK(each.wrong == 0);
        each.held.clear();
        if (each.pending()) { tested->cancel_now(each); }
    }
    CHECK(ring.count().user == 0);
    CHECK(sum(ring.count()) == config.count);
}

}  // namespace

FLUXNET_RECEIVE_TEST("bytes of several streams come in order while their buffers go round the ring") {
    receive_in_order(kind, {.count = 64, .size = 128}, 0, 1);
    receive_in_order(kind, {.count = 37, .size = 100}, 0, 2);  // fewer buffers than the ring has entries
    receive_in_order(kind, {.count = 5, .size = 1000}, 0, 3);
    receive_in_order(kind, {.count = 1, .size = 2048}, 0, 4);
    receive_in_order(kind, {.count = 1024, .size = 64}, 0, 5);
}

FLUXNET_RECEIVE_TEST("bytes of several streams come in order to readers that hold buffers back") {
    receive_in_order(kind, {.count = 64, .size = 128}, 15, 6);
    receive_in_order(kind, {.count = 37, .size = 100}, 20, 7);
    receive_in_order(kind, {.count = 256, .size = 33}, 80, 8);
}

TEST_CASE("io_uring says that it receives bundles where the kernel has them") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    utsname about{};
    unsigned major = 0;
    unsigned minor = 0;
    REQUIRE(::uname(&about) == 0);
    REQUIRE(std::sscanf(about.release, "%u.%u", &major, &minor) == 2);
    const bool expected = major > 6 || (major == 6 && minor >= 17);
    CHECK(make_io_uring_reactor()->name().ends_with(", receive bundles") == expected);
}
