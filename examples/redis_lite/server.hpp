// SPDX-License-Identifier: BSD-3-Clause
// `redis_server`: serves a store over any `listener`: TCP of a host in user space, the kernel's, or streams in memory.
//
//     redis_server server;
//     const std::error_code ended = co_await server.serve(door);  // until the task is cancelled, or the listener fails
//
// One coroutine for each connection. It answers all commands that have come, in one write unless that is long, and only then
// reads on: a client that sends much and reads nothing takes no more memory than its reader's and `flush_bytes` and an
// answer. Every wait for a client has a limit. When all connections are taken, the next waits to be accepted, and silent
// ones are closed sooner.
//
// Threads: that of the executor where serve() runs. Must outlive that coroutine: make it before the executor.
#pragma once

#include "examples/bounded_store.hpp"
#include "examples/redis_lite/command_reader.hpp"
#include "examples/redis_lite/commands.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace redis_example {

struct server_options {
    std::uint32_t connections = 512;                              ///< At the same time, at least 1.
    std::chrono::nanoseconds idle = std::chrono::minutes(5);      ///< For the next bytes of a client.
    std::chrono::nanoseconds crowded = std::chrono::seconds(10);  ///< The same while all connections are taken.
    std::chrono::nanoseconds answer = std::chrono::seconds(30);   ///< For a client to take what is written to it.
    std::chrono::nanoseconds linger = std::chrono::seconds(1);    ///< For a client to end its side after a protocol error.
    std::chrono::nanoseconds sweep = std::chrono::seconds(1);     ///< How often keys are freed whose time has come.
    reader_limits limits = {};
    store_example::store_limits store = {};
};

struct server_counts {
    std::uint64_t connections = 0;  ///< Accepted.
    std::uint64_t open = 0;         ///< Of these, still there.
    std::uint64_t commands = 0;
    std::uint64_t refused = 0;  ///< Connections that were closed for a protocol error.
    std::uint64_t late = 0;     ///< Connections that were closed because a wait was too long.
};

class redis_server {
public:
    explicit redis_server(const server_options& options = {})
        : options_(options), store_(options.store), slots_(options.connections) {}

    /// Completes with operation_canceled when it was cancelled, or with why accept() failed; all connections are closed
    /// then.
    template <fluxnet::listener L>
    [[nodiscard]] fluxnet::task<std::error_code> serve(L& door);

    [[nodiscard]] const server_counts& counts() const noexcept { return counts_; }
    [[nodiscard]] const store_example::bounded_store& store() const noexcept { return store_; }

private:
    static constexpr std::size_t flush_bytes = 64 * 1024;
    static constexpr std::size_t freed_at_once = 10'000;
    class slot;

    template <fluxnet::listener L>
    fluxnet::task<std::error_code> accept_all(L& door, fluxnet::scope& connections);
    template <fluxnet::stream S>
    fluxnet::task<void> attend(S peer, slot taken);
    /// Answers commands until the connection ends. Returns whether the client may still be sending.
    template <fluxnet::stream S>
    fluxnet::task<bool> answer_all(S& peer);
    /// Waits for the next bytes. Returns whether there are any.
    template <fluxnet::stream S>
    fluxnet::task<bool> hear(S& peer, command_reader& reader);
    /// Writes what is there, and empties it. Returns whether all of it went.
    template <fluxnet::stream S>
    fluxnet::task<bool> write(S& peer, std::string& out);
    /// A stream that is closed with octets unread is reset, and the client might lose the last answer by that.
    template <fluxnet::stream S>
    static fluxnet::task<void> drain(S& peer);
    fluxnet::task<void> free_expired_keys();

    const server_options options_;
    store_example::bounded_store store_;
    server_counts counts_;
    fluxnet::semaphore slots_;
};

/// The right of a connection to be served.
class redis_server::slot {
public:
    /// Takes over a unit of the semaphore.
    explicit slot(redis_server& of) noexcept : of_(&of) {}
    slot(slot&& other) noexcept : of_(std::exchange(other.of_, nullptr)), is_taken_(other.is_taken_) {}
    slot& operator=(slot&&) = delete;
    ~slot() {
        if (of_ == nullptr) { return; }
        if (is_taken_) { --of_->counts_.open; }
        of_->slots_.release();
    }

    void take() noexcept {
        is_taken_ = true;
        ++of_->counts_.open;
        ++of_->counts_.connections;
    }

private:
    redis_server* of_;
    bool is_taken_ = false;  // there is a connection
};

template <fluxnet::listener L>
fluxnet::task<std::error_code> redis_server::serve(L& door) {
    fluxnet::scope all(fluxnet::on_error::await_all);
    all.spawn(free_expired_keys());
    const std::error_code ended = co_await accept_all(door, all);
    all.request_stop();
    static_cast<void>(co_await all.join());
    co_return ended;
}

template <fluxnet::listener L>
fluxnet::task<std::error_code> redis_server::accept_all(L& door, fluxnet::scope& connections) {
    for (;;) {
        const fluxnet::wait_result free = co_await slots_.acquire();
        if (free) { co_return free; }
        slot place(*this);
        auto next = co_await door.accept();
        if (next) {
            place.take();
            connections.spawn(attend(std::move(*next), std::move(place)));
            continue;
        }
        const std::error_code why = next.error().code;
        const bool is_shortage = why == std::errc::too_many_files_open || why == std::errc::too_many_files_open_in_system ||
                                 why == std::errc::no_buffer_space || why == std::errc::not_enough_memory;
        if (!is_shortage) { co_return why; }  // after a shortage, accept() waits until it is over
    }
}

template <fluxnet::stream S>
fluxnet::task<void> redis_server::attend(S peer, slot) {
    try {
        const bool may_send = co_await answer_all(peer);
        if (may_send) { static_cast<void>(co_await fluxnet::timeout(options_.linger, drain(peer))); }
    } catch (const std::bad_alloc&) {}  // this connection ends, and the others go on
}

template <fluxnet::stream S>
fluxnet::task<bool> redis_server::answer_all(S& peer) {
    command_reader reader(options_.limits);
    std::string out;
    for (;;) {
        while (reader.next()) {
            ++counts_.commands;
            execute(store_, reader.words(), fluxnet::executor::current()->now(), out);
            if (out.size() < flush_bytes) { continue; }
            const bool went = co_await write(peer, out);
            if (!went) { co_return false; }
        }
        if (reader.refusal() != nullptr) {
            ++counts_.refused;
            write_error(out, std::string("ERR Protocol error: ") + reader.refusal());
        }
        const bool went = co_await write(peer, out);
        if (!went) { co_return false; }
        if (reader.refusal() != nullptr) { co_return true; }
        const bool came = co_await hear(peer, reader);
        if (!came) { co_return false; }
    }
}

template <fluxnet::stream S>
fluxnet::task<bool> redis_server::hear(S& peer, command_reader& reader) {
    const auto until = fluxnet::executor::current()->now() + options_.idle;
    for (;;) {
        const std::chrono::nanoseconds rest = until - fluxnet::executor::current()->now();
        const auto got = co_await fluxnet::timeout(std::min(rest, options_.crowded), peer.read(reader.room()));
        if (!got.value.ec) {
            reader.received(got.value.n);
            co_return true;
        }
        if (!got.expired) { co_return false; }
        if (counts_.open == options_.connections || fluxnet::executor::current()->now() >= until) {
            ++counts_.late;
            co_return false;
        }
    }
}

template <fluxnet::stream S>
fluxnet::task<bool> redis_server::write(S& peer, std::string& out) {
    if (out.empty()) { co_return true; }
    const auto sent = co_await fluxnet::timeout(options_.answer, peer.write(std::as_bytes(std::span(out))));
    out.clear();
    if (sent.value.ec && sent.expired) { ++counts_.late; }
    co_return !sent.value.ec;
}

template <fluxnet::stream S>
fluxnet::task<void> redis_server::drain(S& peer) {
    const fluxnet::wait_result ended = co_await peer.shutdown_write();
    if (ended) { co_return; }
    std::array<std::byte, 1024> dropped;
    for (;;) {
        const fluxnet::io_result got = co_await peer.read(dropped);
        if (got.ec) { co_return; }
    }
}

inline fluxnet::task<void> redis_server::free_expired_keys() {
    for (;;) {
        const fluxnet::wait_result canceled = co_await fluxnet::sleep_for(options_.sweep);
        if (canceled) { co_return; }
        static_cast<void>(store_.expire(fluxnet::executor::current()->now(), freed_at_once));
    }
}

}  // namespace redis_example
