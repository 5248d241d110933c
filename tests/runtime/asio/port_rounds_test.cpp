// SPDX-License-Identifier: BSD-3-Clause
// How a port's turns and handlers share a context with others: what follows at once, and what lets others run before.
#include "fluxnet/runtime/asio/port.hpp"

#include "tests/runtime/asio/asio_port.hpp"
#include "tests/runtime/asio/asio_tests.hpp"
#include "tests/support/syscall_counter.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sys/types.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// A port whose ring each handler fills up again, so that it is never dry.
class saturated_port {
public:
    saturated_port() : on_(context), port_(on_, fake_port::open(on_.loop(), kernel_, 4096, 2048)) {}

    void start() {
        fill();
        receive();
    }

    net::io_context context;
    std::uint64_t received = 0;

    [[nodiscard]] std::uint64_t turns() { return on_.loop().turns(); }

private:
    void fill() {
        while (kernel_.deliver(numbered_frame(0))) {}
    }

    void receive() {
        port_.async_receive(batch_, [this](const boost::system::error_code& code, std::size_t n) {
            REQUIRE(!code);
            received += n;
            for (packet& each : batch_) { each.reset(); }
            fill();
            receive();
        });
    }

    fake_kernel kernel_;
    asio::execution on_;
    asio::port port_;
    std::array<packet, 16> batch_;
};

/// Receives packets one by one, each reception begun by the handler of the one before.
class one_by_one {
public:
    explicit one_by_one(
        asio_port<>& on, std::function<void(int)> then = [](int) {})
        : port_(on.port), then_(std::move(then)) {}

    void receive() {
        port_.async_receive(batch_, [this](const boost::system::error_code& code, std::size_t n) {
            if (code) {
                ended = code;
                return;
            }
            CHECK(n == 1);
            receive();
            then_(++received);
        });
    }

    int received = 0;
    boost::system::error_code ended;

private:
    asio::port& port_;
    std::function<void(int)> then_;
    std::array<packet, 1> batch_;
};

}  // namespace

TEST_CASE("between two runs of another handler a port that is never dry takes four turns' packets at most") {
    saturated_port one;
    one.start();
    constexpr std::uint64_t of_a_turn = 512;
    std::uint64_t most = 0;
    std::uint64_t most_turns = 0;
    std::uint64_t seen = 0;
    std::uint64_t turns = 0;
    int runs = 0;
    const std::function<void()> other = [&] {
        if (runs++ != 0) {
            most = std::max(most, one.received - seen);
            most_turns = std::max(most_turns, one.turns() - turns);
        }
        seen = one.received;
        turns = one.turns();
        if (runs == 50) {
            one.context.stop();
        } else {
            net::post(one.context, other);
        }
    };
    net::post(one.context, other);
    one.context.run();
    CHECK(runs == 50);
    CHECK(most <= 4 * (of_a_turn + 16));
    CHECK(most >= of_a_turn / 2);  // and is not held up by it either
    CHECK(most_turns <= 8);
}

TEST_CASE("receptions that handlers begin while packets are there make no turns") {
    asio_port one;
    one_by_one chain(one);
    for (std::uint32_t i = 0; i != 20; ++i) { REQUIRE(one.kernel.deliver(numbered_frame(i))); }
    chain.receive();
    run_ready(*one.context);
    CHECK(chain.received == 20);
    CHECK(one.on.loop().turns() < 10);
}

TEST_CASE("no handler of a port is called after one that stopped the io_context, until it runs again") {
    asio_port one;
    one_by_one chain(one, [&](int received) {
        if (received == 3) { one.context->stop(); }
    });
    for (std::uint32_t i = 0; i != 20; ++i) { REQUIRE(one.kernel.deliver(numbered_frame(i))); }
    chain.receive();
    one.context->run();
    CHECK(chain.received == 3);
    run_ready(*one.context);
    CHECK(chain.received == 20);
}

TEST_CASE("an exception of a handler leaves the io_context's run, and the receptions go on") {
    asio_port one;
    one_by_one chain(one, [](int received) {
        if (received == 3) { throw std::runtime_error("three"); }
    });
    for (std::uint32_t i = 0; i != 20; ++i) { REQUIRE(one.kernel.deliver(numbered_frame(i))); }
    chain.receive();
    CHECK_THROWS_WITH_AS(run_ready(*one.context), "three", std::runtime_error);
    CHECK(chain.received == 3);
    run_ready(*one.context);
    CHECK(chain.received == 20);
}

TEST_CASE("a handler closes its port, or destroys the execution, after it has begun the next reception") {
    for (const bool all : {false, true}) {
        CAPTURE(all);
        fake_kernel kernel;
        net::io_context context;
        auto on = std::make_unique<asio::execution>(context);
        asio::port port(*on, fake_port::open(on->loop(), kernel));
        std::array<packet, 1> batch;
        int received = 0;
        std::vector<boost::system::error_code> ended;
        const std::function<void()> receive = [&] {
            port.async_receive(batch, [&](const boost::system::error_code& code, std::size_t) {
                if (code) {
                    ended.push_back(code);
                    return;
                }
                ++received;
                receive();
                if (received != 3) { return; }
                if (all) {
                    on.reset();
                } else {
                    port.close();
                }
            });
        };
        for (std::uint32_t i = 0; i != 3; ++i) { REQUIRE(kernel.deliver(numbered_frame(i))); }
        receive();
        run_all(context);
        CHECK(received == 3);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0] == net::error::operation_aborted);
    }
}

TEST_CASE("an io_context with a bound port makes no system call while nothing arrives, and ends when nothing is awaited") {
    asio_port one;
    run_all(*one.context);
    std::array<packet, 8> batch;
    int calls = 0;
    one.port.async_receive(batch, [&](const boost::system::error_code& code, std::size_t n) {
        CHECK(!code);
        calls += n == 1 ? 1 : 100;
    });
    run_ready(*one.context);
    std::atomic<pid_t> id = 0;
    std::thread runs([&] {
        id = ::gettid();
        one.context->restart();
        one.context->run();
    });
    while (id == 0) { std::this_thread::yield(); }
    std::optional<syscall_counter> counter;  // without it the turns alone tell
    if (!syscall_counter::why_not_available()) {
        counter.emplace(id, counted::thread);
        do {  // until it sleeps
            counter->reset();
            std::this_thread::sleep_for(50ms);
        } while (counter->total() != 0);
    }
    const std::uint64_t turns = one.on.loop().turns();
    std::this_thread::sleep_for(full_scale() ? 5s : 300ms);
    if (counter) { CHECK(counter->total() == 0); }
    CHECK(one.on.loop().turns() == turns);
    one.arrive(1);
    runs.join();
    CHECK(calls == 1);
}
