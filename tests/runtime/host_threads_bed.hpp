// SPDX-License-Identifier: BSD-3-Clause
// Two hosts on a threaded wire, each with its executor on a thread of its own, and a thread to hand things to.
//
// Made and destroyed by the test's thread, which uses a host before its thread starts and after that has finished, and
// others through start_task() and ask().
#pragma once

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
#include "tests/runtime/host_connections_bed.hpp"
#include "tests/support/deadline.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

namespace fluxnet::test {

[[nodiscard]] inline wire_options between_threads() {
    wire_options options;
    options.threaded = true;
    return options;
}

[[nodiscard]] inline proto::ip_address threaded_address(std::uint8_t number) {
    return proto::ipv4_address(192, 0, 2, number);
}

/// A host whose executor a thread of its own runs from start() to finish(); the rest is for the test's thread, before and
/// after.
class host_thread {
public:
    /// `together`: the hosts that are one with those on other queues of that end.
    host_thread(simulated_wire& wire, simulated_wire::end which, std::uint8_t number, std::uint32_t queue = 0,
                const std::optional<host::host_queues>& together = {}) {
        builder socket = wire.socket_on(which);
        socket.queue(queue);
        socket.over(memory_).frames(256 + 64).tx_frames(64).rx_ring(128).tx_ring(64).fill_ring(128).completion_ring(64);
        auto sockets = open_async(*loop_, socket).value();
        host::host_options options;
        options.addresses = {{threaded_address(number), 24}};
        options.hardware = proto::mac_address({0x02, 0, 0, 0, 0, number});
        options.probe_addresses = false;
        options.queues = together;
        here_.emplace(host::ip_host::open(*loop_, std::move(sockets.rx), std::move(sockets.tx), options).value());
    }
    host_thread(const host_thread&) = delete;
    host_thread& operator=(const host_thread&) = delete;
    ~host_thread() {
        if (thread_.joinable()) { finish(); }
    }

    void start() {
        guard_.emplace(*loop_);
        thread_ = std::thread([this] { loop_->run(); });
    }
    /// Returns when the tasks have ended, but those in the background.
    void finish() {
        guard_.reset();
        thread_.join();
    }
    /// Ends the host, and the executor with what is suspended there.
    void end() {
        here_.reset();
        loop_.reset();
    }

    [[nodiscard]] executor& loop() noexcept { return *loop_; }
    [[nodiscard]] host::ip_host& here() noexcept { return *here_; }
    /// In a turn of its own.
    void end_host() noexcept { here_.reset(); }

    /// Starts a task on its thread, from any other. `make` returns it, and is called there.
    template <class F>
    void start_task(F make) {
        static_cast<void>(ask([this, make] {
            loop_->spawn(make());
            return true;
        }));
    }
    /// Waits for what a function returns there.
    template <class F>
    [[nodiscard]] auto ask(F function) {
        using answer_type = std::invoke_result_t<F&>;
        const auto told = std::make_shared<std::promise<answer_type>>();
        auto answer = told->get_future();
        loop_->post([told, function] { told->set_value(function()); });
        return answer.get();
    }

    /// Whether all frames have come home, once all has ended.
    [[nodiscard]] bool frames_are_home() const { return frames_in_use(memory_) == 0; }

private:
    static umem_config few_frames() {
        umem_config config;
        config.frame_count = 256 + 64;
        config.fill_ring = 128;
        config.completion_ring = 64;
        return config;
    }

    umem memory_ = umem::create(few_frames()).value();
    std::optional<executor> loop_{std::in_place};
    std::optional<host::ip_host> here_;
    std::optional<executor::work_guard> guard_;
    std::thread thread_;
};

inline task<void> echo_streams(host::tcp_listener door) {
    scope echoing;
    for (;;) {
        auto next = co_await door.accept();
        if (!next) { break; }
        echoing.spawn(echo_numbers(std::move(*next)));
    }
    static_cast<void>(co_await echoing.join());
}

inline task<void> echo_datagrams(host::udp_endpoint socket) {
    for (;;) {
        const auto lent = co_await socket.recv();
        if (lent.ec) { co_return; }
        const io_result sent = co_await socket.send_to(lent.buffer.bytes(), lent.buffer.from());
        if (sent.ec) { co_return; }
    }
}

/// Host 1, and host 2, which echoes streams and datagrams, each on its thread.
struct threaded_pair {
    threaded_pair() {
        far.loop().spawn_background(echo_streams(far.here().listen(service).value()));
        far.loop().spawn_background(echo_datagrams(far.here().open_udp(service).value()));
        far.start();
        near.start();
    }
    threaded_pair(const threaded_pair&) = delete;
    threaded_pair& operator=(const threaded_pair&) = delete;
    ~threaded_pair() = default;

    /// Waits until the far host has no connection any more but those that it has closed, too, and whose end the near host may
    /// not have lived to acknowledge.
    void wait_until_far_is_quiet() {
        const fluxnet::test::deadline limit = std::chrono::seconds(60);
        const auto open_connections = [this] {
            const proto::tcp::stack& told = *far.here().tcp();
            return told.connections() - told.orphans();
        };
        while (far.ask(open_connections) != 0) {
            REQUIRE_FALSE(limit.passed());
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    void finish_far() {
        far.finish();
        far.end();
        CHECK(far.frames_are_home());
    }

    const proto::ip_endpoint service{threaded_address(2), 80};
    simulated_wire wire{between_threads()};
    host_thread near{wire, simulated_wire::end::left, 1};
    host_thread far{wire, simulated_wire::end::right, 2};
};

/// Two hosts, each on two queues, and each queue's on its thread. The second echoes streams and datagrams.
struct threaded_queues {
    threaded_queues() {
        for (host_thread* const one : {&far_0, &far_1}) {
            one->loop().spawn_background(echo_streams(one->here().listen(service).value()));
            one->loop().spawn_background(echo_datagrams(one->here().open_udp(service).value()));
            one->start();
        }
        near_0.start();
        near_1.start();
    }
    threaded_queues(const threaded_queues&) = delete;
    threaded_queues& operator=(const threaded_queues&) = delete;
    ~threaded_queues() = default;

    const proto::ip_endpoint service{threaded_address(2), 80};
    host::host_queues near_queues{2};
    host::host_queues far_queues{2};
    simulated_wire wire{two_queues_between_threads()};
    host_thread near_0{wire, simulated_wire::end::left, 1, 0, near_queues};
    host_thread near_1{wire, simulated_wire::end::left, 1, 1, near_queues};
    host_thread far_0{wire, simulated_wire::end::right, 2, 0, far_queues};
    host_thread far_1{wire, simulated_wire::end::right, 2, 1, far_queues};

private:
    static wire_options two_queues_between_threads() {
        wire_options options = between_threads();
        options.queues = 2;
        return options;
    }
};

/// Hands things to a thread of its own, which does something with each.
template <class T>
class handed_over {
public:
    explicit handed_over(std::function<void(T)> use) : use_(std::move(use)), thread_([this] { work(); }) {}
    handed_over(const handed_over&) = delete;
    handed_over& operator=(const handed_over&) = delete;
    ~handed_over() {
        {
            const std::scoped_lock locked(mutex_);
            over_ = true;
        }
        more_.notify_one();
        thread_.join();
    }

    void push(T one) {
        {
            const std::scoped_lock locked(mutex_);
            waiting_.push_back(std::move(one));
        }
        more_.notify_one();
    }

private:
    void work() {
        for (std::unique_lock locked(mutex_);;) {
            more_.wait(locked, [this] { return over_ || !waiting_.empty(); });
            if (waiting_.empty()) { return; }
            T one = std::move(waiting_.front());
            waiting_.pop_front();
            locked.unlock();
            use_(std::move(one));
            locked.lock();
        }
    }

    const std::function<void(T)> use_;
    std::mutex mutex_;
    std::condition_variable more_;
    std::deque<T> waiting_;
    bool over_ = false;
    std::thread thread_;
};

}  // namespace fluxnet::test
