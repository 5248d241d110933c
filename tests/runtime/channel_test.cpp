// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sync/channel.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/xsk/memory/packet.hpp"
#include "fluxnet/xsk/memory/umem.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace std::chrono_literals;

namespace {

/// Sends first, first + 1, ... up to `last`.
task<void> send_numbers(channel<int>& to, int first, int last) {
    for (int i = first; i <= last; ++i) {
        int value = i;
        const io_result put = co_await to.send(value);
        CHECK_FALSE(put.ec);
    }
}

/// Receives into no room until that fails.
task<io_result> receive_nothing(channel<int>& from) {
    for (;;) {
        const io_result got = co_await from.recv(std::span<int>());
        if (got.ec) { co_return got; }
    }
}

/// Where a thread stays in the middle of moving a value until it may go on.
class crossing {
public:
    void pass() noexcept {
        reached_ = true;
        while (!open_) { std::this_thread::yield(); }
    }
    void wait_until_reached() const noexcept {
        while (!reached_) { std::this_thread::yield(); }
    }
    void open() noexcept { open_ = true; }

private:
    std::atomic<bool> reached_ = false;
    std::atomic<bool> open_ = false;
};

/// A value with a crossing on its way into a channel, or out of it.
struct delayed {
    explicit delayed(int value_ = 0, crossing* in_ = nullptr, crossing* out_ = nullptr)
        : value(value_), in(in_), out(out_) {}
    delayed(delayed&& other) noexcept : value(other.value), out(other.out) {
        if (other.in != nullptr) { other.in->pass(); }
    }
    delayed& operator=(delayed&& other) noexcept {
        value = other.value;
        if (other.out != nullptr) { other.out->pass(); }
        return *this;
    }

    int value;
    crossing* in = nullptr;
    crossing* out = nullptr;
};

}  // namespace

TEST_CASE("a channel gives values in the order in which they were sent") {
    channel<int> numbers(4);
    std::vector<int> got;
    executor loop;
    loop.spawn(send_numbers(numbers, 1, 100));
    loop.spawn([&]() -> task<void> {
        while (got.size() < 100) {
            int value = 0;
            const io_result taken = co_await numbers.recv(value);
            CHECK(taken.n == 1);
            got.push_back(value);
        }
    });
    loop.run();
    std::vector<int> expected(100);
    std::iota(expected.begin(), expected.end(), 1);
    CHECK(got == expected);
}

TEST_CASE("batches larger than the channel are sent in parts and received as far as there is room") {
    channel<int> numbers(8);
    std::vector<int> values(100);
    std::iota(values.begin(), values.end(), 0);
    std::vector<int> got;
    executor loop;
    loop.spawn([&]() -> task<void> {
        const io_result put = co_await numbers.send(values);
        CHECK_FALSE(put.ec);
        CHECK(put.n == 100);
        numbers.close();
    });
    loop.spawn([&]() -> task<void> {
        std::array<int, 5> some{};
        for (;;) {
            const io_result taken = co_await numbers.recv(some);
            if (taken.ec) {
                CHECK(taken.ec == errc::closed);
                CHECK(taken.n == 0);
                co_return;
            }
            CHECK(taken.n <= 5);
            got.insert(got.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(taken.n));
        }
    });
    loop.run();
    CHECK(got == values);
}

TEST_CASE("a closed channel refuses senders and empties before its receivers learn of it") {
    channel<int> numbers(2);
    std::array<int, 2> two{1, 2};
    CHECK(numbers.try_send(two) == 2);
    executor loop;
    std::error_code refused;
    std::size_t moved = 99;
    loop.spawn([&]() -> task<void> {
        int value = 3;
        const io_result put = co_await numbers.send(value);
        refused = put.ec;
        moved = put.n;
    });
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await yield());
        numbers.close();
        int late = 4;
        const io_result put = co_await numbers.send(late);
        CHECK(put.ec == errc::closed);
        std::array<int, 4> rest{};
        const io_result taken = co_await numbers.recv(rest);
        CHECK(taken.n == 2);
        CHECK(rest[0] == 1);
        CHECK(rest[1] == 2);
        const io_result nothing = co_await numbers.recv(rest);
        CHECK(nothing.ec == errc::closed);
    });
    loop.run();
    CHECK(refused == errc::closed);
    CHECK(moved == 0);
}

TEST_CASE("closing wakes every receiver that waits") {
    channel<int> numbers(2);
    executor loop;
    int closed = 0;
    for (int i = 0; i < 5; ++i) {
        loop.spawn([&]() -> task<void> {
            int value = 0;
            const io_result taken = co_await numbers.recv(value);
            closed += taken.ec == errc::closed ? 1 : 0;
        });
    }
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        numbers.close();
    });
    loop.run();
    CHECK(closed == 5);
}

TEST_CASE("receivers and senders are served first come first served") {
    channel<int> numbers(2);
    executor loop;
    std::vector<int> order;
    for (int i = 0; i < 6; ++i) {
        loop.spawn([&, i]() -> task<void> {
            int value = 0;
            static_cast<void>(co_await numbers.recv(value));
            CHECK(value == i);
            order.push_back(i);
        });
    }
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        std::array<int, 6> six{0, 1, 2, 3, 4, 5};
        static_cast<void>(co_await numbers.send(six));
    });
    loop.run();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
    order.clear();
    for (int i = 0; i < 6; ++i) {
        loop.spawn([&, i]() -> task<void> {
            int value = i;
            static_cast<void>(co_await numbers.send(value));
        });
    }
    loop.spawn([&]() -> task<void> {
        static_cast<void>(co_await sleep_for(1ms));
        while (order.size() < 6) {
            int value = 0;
            static_cast<void>(co_await numbers.recv(value));
            order.push_back(value);
        }
    });
    loop.run();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("a cancelled receive has taken nothing and a cancelled send says how much it has sent") {
    channel<int> numbers(2);
    executor loop;
    loop.spawn([&]() -> task<void> {
        const auto wait = [](channel<int>& from, io_result& taken) -> task<void> {
            int value = 0;
            taken = co_await from.recv(value);
        };
        io_result taken;
        static_cast<void>(co_await timeout(1ms, wait(numbers, taken)));
        CHECK(taken.ec == errc::operation_canceled);
        CHECK(taken.n == 0);
        std::array<int, 5> five{1, 2, 3, 4, 5};
        const auto give = [](channel<int>& to, std::span<int> values, io_result& put) -> task<void> {
            put = co_await to.send(values);
        };
        io_result put;
        static_cast<void>(co_await timeout(1ms, give(numbers, five, put)));
        CHECK(put.ec == errc::operation_canceled);
        CHECK(put.n == 2);
        CHECK(numbers.size() == 2);
    });
    loop.run();
}

TEST_CASE("values that are never received are destroyed with the channel") {
    auto counted = std::make_shared<int>(0);
    {
        channel<std::shared_ptr<int>> values(4);
        std::array<std::shared_ptr<int>, 3> three{counted, counted, counted};
        CHECK(values.try_send(three) == 3);
        CHECK(counted.use_count() == 4);
        std::shared_ptr<int> one;
        CHECK(values.try_recv(std::span(&one, 1)) == 1);
    }
    CHECK(counted.use_count() == 1);
}

TEST_CASE("packets go through a channel and back to their home") {
    const umem memory = umem::create({.frame_count = 64}).value();
    frame_home* const home = memory.pool().make_home(64);
    home->adopt();
    channel<packet> packets(16);
    executor loop;
    std::size_t received = 0;
    loop.spawn([&]() -> task<void> {
        for (int i = 0; i < 200; ++i) {
            const auto frame = home->take();
            REQUIRE(frame);
            packet one = packet::from_raw(*home, {home->addr_of(home->at(*frame)), 60, 0});
            const io_result put = co_await packets.send(one);
            CHECK_FALSE(put.ec);
            CHECK_FALSE(one);
        }
        packets.close();
    });
    loop.spawn([&]() -> task<void> {
        std::array<packet, 8> burst;
        for (;;) {
            const io_result taken = co_await packets.recv(burst);
            if (taken.ec) { co_return; }
            received += taken.n;
            for (packet& one : burst) { one.reset(); }
        }
    });
    loop.run();
    CHECK(received == 200);
    CHECK(memory.pool().census().user == 0);
    home->release();
}

TEST_CASE("a coroutine destroyed while it waits leaves the channel in order") {
    channel<int> numbers(2);
    {
        executor loop;
        loop.spawn([&]() -> task<void> {
            int value = 0;
            static_cast<void>(co_await numbers.recv(value));
        });
        loop.spawn([&]() -> task<void> {
            loop.stop();
            static_cast<void>(co_await yield());
        });
        loop.run();
    }
    std::array<int, 2> two{1, 2};
    CHECK(numbers.try_send(two) == 2);
    CHECK(numbers.try_recv(two) == 2);
}

TEST_CASE("a receiver that comes while a sender is in the middle of its call gets the value") {
    for (const int closed : {0, 1, 2}) {  // not; after the receiver has come; before
        channel<delayed> values(2);
        crossing on_the_way;
        std::thread sender([&] {
            delayed value(5, &on_the_way);
            CHECK(values.try_send(std::span(&value, 1)) == 1);
        });
        on_the_way.wait_until_reached();
        if (closed == 2) { values.close(); }
        std::atomic<int> received = 0;
        std::error_code then;
        std::thread receiver([&] {
            executor loop;
            loop.spawn([&]() -> task<void> {
                delayed value;
                const io_result got = co_await values.recv(value);
                received = got.n == 1 ? value.value : -1;
                if (closed == 0) { co_return; }
                const io_result none = co_await values.recv(value);
                then = none.ec;
            });
            loop.run();
        });
        std::this_thread::sleep_for(5ms);
        std::thread closer([&] {
            if (closed == 1) { values.close(); }
        });
        std::this_thread::sleep_for(1ms);
        CHECK(received == 0);
        on_the_way.open();
        sender.join();
        receiver.join();
        closer.join();
        CHECK(received == 5);
        if (closed != 0) { CHECK(then == errc::closed); }
    }
}

TEST_CASE("a sender that comes while a receiver is in the middle of its call gets the place") {
    channel<delayed> values(2);
    crossing on_the_way;
    delayed first(1, nullptr, &on_the_way);
    delayed second(2);
    REQUIRE(values.try_send(std::span(&first, 1)) == 1);
    REQUIRE(values.try_send(std::span(&second, 1)) == 1);
    std::thread receiver([&] {
        delayed value;
        CHECK(values.try_recv(std::span(&value, 1)) == 1);
        CHECK(value.value == 1);
    });
    on_the_way.wait_until_reached();
    std::atomic<std::size_t> sent = 0;
    std::thread sender([&] {
        executor loop;
        loop.spawn([&]() -> task<void> {
            delayed third(3);
            const io_result put = co_await values.send(third);
            sent = put.n;
        });
        loop.run();
    });
    std::this_thread::sleep_for(5ms);
    CHECK(sent == 0);
    on_the_way.open();
    receiver.join();
    sender.join();
    CHECK(sent == 1);
    CHECK(values.size() == 2);
}

TEST_CASE("a channel for more values than any memory holds is refused with their number") {
    for (const std::size_t capacity : {SIZE_MAX, (SIZE_MAX >> 1) + 2, (SIZE_MAX >> 1) + 1, SIZE_MAX >> 1, SIZE_MAX >> 4}) {
        CAPTURE(capacity);
        std::string told;
        try {
            const channel<int> numbers(capacity);
        } catch (const std::length_error& refused) { told = refused.what(); }
        CHECK(told.find("channel for " + std::to_string(capacity) + " values") != std::string::npos);
    }
}

TEST_CASE("a receive without room completes at once with nothing and does not hold the thread") {
    channel<int> numbers(2);
    executor loop;
    bool over = false;
    std::uint64_t unexpected = 0;
    int first = 0;
    const auto receive_until_over = [&]() -> task<void> {
        while (!over) {
            const io_result got = co_await numbers.recv(std::span<int>());
            if (got.ec || got.n != 0) { ++unexpected; }
        }
    };
    loop.spawn([&]() -> task<void> {
        const io_result got = co_await numbers.recv(first);  // waits longer than all of those without room
        CHECK(got.n == 1);
        int second = 0;
        CHECK(numbers.try_recv(std::span(&second, 1)) == 1);
        CHECK(second == 2);
    });
    loop.spawn(receive_until_over);
    loop.spawn([&]() -> task<void> {
        std::array<int, 2> values{1, 2};
        CHECK(numbers.try_send(values) == 2);
        over = true;
        co_return;
    });
    loop.run();
    CHECK(first == 1);
    CHECK(unexpected == 0);
}

TEST_CASE("a time limit ends a loop of receives without room") {
    channel<int> numbers(2);
    executor loop;
    loop.spawn([&]() -> task<void> {
        const timed<io_result> ended = co_await timeout(1ms, receive_nothing(numbers));
        CHECK(ended.expired);
        CHECK(ended.value.ec == errc::operation_canceled);
    });
    loop.run();
}
