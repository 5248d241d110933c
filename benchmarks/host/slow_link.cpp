// SPDX-License-Identifier: BSD-3-Clause
// A link between two interfaces, whose packets it passes on later: by AF_XDP, in user space. What goes from the first to the
// second can be lost, or passed on later than what came behind it.
// Usage: slow_link FIRST SECOND DELAY LOST LATE LATER: microseconds each way, how many of 1,000 are lost, how many are late,
// and by how many microseconds. Ends at SIGTERM, and says how many there were.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/runtime/sync/channel.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <span>
#include <utility>

using namespace fluxnet;
using time_point = std::chrono::steady_clock::time_point;

struct rates {
    std::chrono::microseconds delay{0};
    unsigned lost = 0;  // of 1,000
    unsigned late = 0;
    std::chrono::microseconds later{0};
};

struct held {
    time_point due;
    packet what;
};

/// One way over the link: what is held waits in one of two lines, of which each is in order.
class one_way {
public:
    one_way(async_rx& from, async_tx& to, const rates& chosen) : from_(from), to_(to), rates_(chosen) {}

    void begin(executor& on) {
        on.spawn(receive());
        on.spawn(pass_on(in_order_));
        on.spawn(pass_on(late_ones_));
    }

    void print(const char* name) const {
        std::printf("%s: %llu packets, %llu lost, %llu late, %llu too many\n", name, 0ULL + seen_, 0ULL + lost_,
                    0ULL + late_, 0ULL + too_many_);
    }

private:
    task<void> receive() {
        std::array<packet, 64> batch;
        for (;;) {
            const io_result got = co_await from_.recv(batch);
            const time_point now = std::chrono::steady_clock::now();
            for (packet& one : std::span(batch).first(got.n)) { take(std::move(one), now); }
            if (got.ec) { co_return; }
        }
    }

    task<void> pass_on(channel<held>& line) {
        held next;
        for (;;) {
            const io_result got = co_await line.recv(next);
            if (got.ec) { co_return; }
            const std::error_code woken = co_await sleep_until(next.due);
            packet copy;  // the frame that it lies in is the other interface's
            const io_result given = co_await to_.allocate(copy);
            if (woken || given.ec) { co_return; }
            static_cast<void>(copy.assign(next.what.data()));
            next.what.reset();
            const io_result sent = co_await to_.send(copy);
            if (sent.ec) { co_return; }
        }
    }

    void take(packet what, time_point now) {
        ++seen_;
        const unsigned drawn = static_cast<unsigned>(random_() % 1000);
        if (drawn < rates_.lost) {
            ++lost_;
            return;
        }
        const bool late = drawn < rates_.lost + rates_.late;
        if (late) { ++late_; }
        held one{now + rates_.delay + (late ? rates_.later : std::chrono::microseconds(0)), std::move(what)};
        if ((late ? late_ones_ : in_order_).try_send(std::span(&one, 1)) != 1) { ++too_many_; }
    }

    async_rx& from_;
    async_tx& to_;
    rates rates_;
    std::mt19937_64 random_{1};
    channel<held> in_order_{2048};
    channel<held> late_ones_{256};
    std::uint64_t seen_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t late_ = 0;
    std::uint64_t too_many_ = 0;
};

int main(int argc, char** argv) try {
    if (argc != 7) { return std::fprintf(stderr, "usage: slow_link FIRST SECOND DELAY LOST LATE LATER\n"), 2; }
    const auto number = [&](int which) { return static_cast<unsigned>(std::strtoul(argv[which], nullptr, 10)); };
    rates there{.delay = std::chrono::microseconds(number(3)),
                .lost = number(4),
                .late = number(5),
                .later = std::chrono::microseconds(number(6))};
    executor loop;
    const auto open = [&](const char* name) { return open_async(loop, builder(name).frames(8192).tx_frames(4096)).value(); };
    async_sockets first = open(argv[1]);
    async_sockets second = open(argv[2]);
    one_way out(first.rx, second.tx, there);
    one_way back(second.rx, first.tx, {.delay = there.delay});
    std::puts("linked");
    std::fflush(stdout);
    out.begin(loop);
    back.begin(loop);
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));
    loop.run();
    out.print("there");
    back.print("back");
    return 0;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
