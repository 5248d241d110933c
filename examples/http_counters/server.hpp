// SPDX-License-Identifier: BSD-3-Clause
// `http_server`: serves pages over any `listener`: the kernel's TCP, or an in-memory network in virtual time.
//
//     http_server server([](std::string_view path) { return find_page(path); });
//     executor loop;
//     loop.spawn(server.serve(tcp_listener::listen(endpoint).value()));
//     loop.run();  // until server.end(), and then until the last request under way was answered
//
// One coroutine for each connection. It reads one request, writes the answer, and only then looks at the next, so that a
// client that sends much or reads slowly takes no more memory than one that does not: two buffers. Every wait has a limit.
// When all connections are taken, the one that has been idle for longest makes room for the next.
//
// Threads: that of the executor where serve() runs. Must outlive that coroutine: make it before the executor.
#pragma once

#include "examples/http_counters/request_reader.hpp"
#include "examples/http_counters/response_writer.hpp"
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace http_example {

struct server_options {
    std::uint32_t connections = 1024;                              ///< Served at the same time; others wait to be accepted.
    std::chrono::nanoseconds idle = std::chrono::minutes(1);       ///< Between two requests.
    std::chrono::nanoseconds request = std::chrono::seconds(10);   ///< From a request's first byte to its last.
    std::chrono::nanoseconds response = std::chrono::seconds(30);  ///< For a client to take a whole response.
    std::chrono::nanoseconds linger = std::chrono::seconds(1);     ///< For a client to end its side after we have ours.
    std::chrono::nanoseconds grace = std::chrono::seconds(5);      ///< After end(), for what is under way.
    request_limits limits = {};
    std::time_t (*wall_clock)(std::time_t*) = std::time;  ///< For the field Date; null for a server that has no clock.
};

struct server_counts {
    std::uint64_t connections = 0;              ///< Accepted.
    std::uint64_t open = 0;                     ///< Of these, still there.
    std::uint64_t dismissed = 0;                ///< Of these, closed while idle to make room.
    std::uint64_t cut_off = 0;                  ///< Closed in the middle of an answer: by the client, or by a limit.
    std::uint64_t shortages = 0;                ///< Times that accept() found no descriptors left.
    std::map<unsigned, std::uint64_t> answers;  ///< That were written to their end, by status.
};

struct page {
    std::string content_type;
    std::string body;
};

/// The page at a path, if there is one. May throw: the answer is 500 then.
using page_source = std::function<std::optional<page>(std::string_view path)>;

class http_server {
public:
    explicit http_server(page_source pages, const server_options& options = {});

    /// Serves until end(), and then until what is under way has ended or the grace is over. Completes with no error then;
    /// with operation_canceled when it was cancelled, which ends all connections at once; or with why accept() failed.
    template <fluxnet::listener L>
    [[nodiscard]] fluxnet::task<std::error_code> serve(L door);

    /// Closes the listener and idle connections, and lets requests under way come to their end. May be called again.
    void end() noexcept;

    [[nodiscard]] const server_counts& counts() const noexcept { return counts_; }

private:
    class slot;
    class idle_place;

    enum class reading : std::uint8_t {
        ready,  ///< A request is there.
        ended,  ///< No more will come.
        late,   ///< It took too long.
    };

    template <fluxnet::listener L>
    fluxnet::task<void> accept_all(L& door, fluxnet::scope& connections, std::error_code& failure);

    template <fluxnet::stream S>
    fluxnet::task<void> attend(S peer, slot taken);

    /// Answers requests until one of both sides wants no more. Returns whether the client may still be sending.
    template <fluxnet::stream S>
    fluxnet::task<bool> answer_all(S& peer);

    template <fluxnet::stream S>
    fluxnet::task<reading> read_request(S& peer, request_reader& reader);

    /// Waits for the next bytes as long as a connection may be idle.
    template <fluxnet::stream S>
    fluxnet::task<void> read_first(S& peer, request_reader& reader, bool& ended);

    /// Reads until a request is there; returns false when the stream ends before.
    template <fluxnet::stream S>
    static fluxnet::task<bool> read_rest(S& peer, request_reader& reader);

    /// Returns whether everything was written.
    template <fluxnet::stream S>
    static fluxnet::task<bool> write_all(S& peer, response_writer& writer);

    /// Ends our side and reads until the client has ended its own: a stream that is closed with bytes unread is reset, and
    /// the client might lose the last answer by that.
    template <fluxnet::stream S>
    static fluxnet::task<void> drain(S& peer);

    [[nodiscard]] http_response answer_to(const http_request& asked) const;
    void dismiss_longest_idle() noexcept;

    const page_source pages_;
    const server_options options_;
    server_counts counts_;
    fluxnet::semaphore slots_;
    std::list<fluxnet::scope*> idle_;  // the waits of idle connections, the longest first
    bool wants_slot_ = false;          // a connection was accepted and waits for a slot
    std::stop_source ending_;
};

/// The right of a connection to be served.
class http_server::slot {
public:
    /// Takes over a unit of the semaphore.
    explicit slot(http_server& of) noexcept : of_(&of) { ++of.counts_.open; }
    slot(slot&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    slot& operator=(slot&&) = delete;
    ~slot() {
        if (of_ == nullptr) { return; }
        --of_->counts_.open;
        of_->slots_.release();
    }

private:
    http_server* of_;
};

/// The entry of an idle connection, which may be asked to leave by stopping what it waits for.
class http_server::idle_place {
public:
    idle_place(http_server& of, fluxnet::scope& wait) : of_(of), at_(of.idle_.insert(of.idle_.end(), &wait)) {
        if (of.ending_.stop_requested()) {
            wait.request_stop();
        } else if (of.wants_slot_) {
            of.dismiss_longest_idle();
        }
    }
    idle_place(const idle_place&) = delete;
    idle_place& operator=(const idle_place&) = delete;
    ~idle_place() { of_.idle_.erase(at_); }

private:
    http_server& of_;
    const std::list<fluxnet::scope*>::iterator at_;
};

template <fluxnet::listener L>
fluxnet::task<std::error_code> http_server::serve(L door) {
    std::optional<L> open(std::move(door));
    fluxnet::scope connections(fluxnet::on_error::await_all);
    std::error_code failure;
    fluxnet::wait_result ended;
    {
        fluxnet::scope accepting;
        const std::stop_callback leave(ending_.get_token(), [&accepting] { accepting.request_stop(); });
        accepting.spawn(accept_all(*open, connections, failure));
        ended = co_await accepting.join();
    }
    open.reset();
    end();
    if (!ended) {
        const auto rest = co_await fluxnet::timeout(options_.grace, connections.join());
        if (!rest.expired) { ended = rest.value; }
    } else {
        static_cast<void>(co_await connections.join());
    }
    co_return failure ? failure : ended;
}

template <fluxnet::listener L>
fluxnet::task<void> http_server::accept_all(L& door, fluxnet::scope& connections, std::error_code& failure) {
    for (;;) {
        auto next = co_await door.accept();
        if (!next) {
            const std::error_code why = next.error().code;
            if (why == fluxnet::errc::operation_canceled) { co_return; }
            const bool is_shortage = why == std::errc::too_many_files_open ||
                                     why == std::errc::too_many_files_open_in_system || why == std::errc::no_buffer_space ||
                                     why == std::errc::not_enough_memory;
            if (!is_shortage) {
                failure = why;
                co_return;
            }
            ++counts_.shortages;  // accept() goes on when there are descriptors; an idle connection has one
            dismiss_longest_idle();
            continue;
        }
        ++counts_.connections;
        if (!slots_.try_acquire()) {
            wants_slot_ = true;
            dismiss_longest_idle();
            const fluxnet::wait_result waited = co_await slots_.acquire();
            wants_slot_ = false;
            if (waited) { co_return; }
        }
        connections.spawn(attend(std::move(*next), slot(*this)));
    }
}

template <fluxnet::stream S>
fluxnet::task<void> http_server::attend(S peer, slot) {
    try {
        const bool may_send = co_await answer_all(peer);
        if (may_send) { static_cast<void>(co_await fluxnet::timeout(options_.linger, drain(peer))); }
    } catch (const std::exception&) {
        ++counts_.cut_off;  // no memory: this connection ends, and the others go on
    }
}

template <fluxnet::stream S>
fluxnet::task<bool> http_server::answer_all(S& peer) {
    request_reader reader(options_.limits);
    response_writer writer;
    for (;;) {
        const reading got = co_await read_request(peer, reader);
        if (got == reading::ended) { co_return false; }
        http_request asked;
        if (got == reading::late) {
            asked.refusal = 408;
        } else {
            asked = reader.take();
        }
        const bool goes_on = asked.keep_alive && !ending_.stop_requested();
        http_response response = answer_to(asked);
        const unsigned status = response.status;
        const std::time_t date = options_.wall_clock != nullptr ? options_.wall_clock(nullptr) : 0;
        writer.start(std::move(response), asked, goes_on, date);
        const fluxnet::timed<bool> written = co_await fluxnet::timeout(options_.response, write_all(peer, writer));
        if (!written.value) {
            ++counts_.cut_off;
            co_return false;
        }
        ++counts_.answers[status];
        if (!goes_on) { co_return true; }
    }
}

template <fluxnet::stream S>
fluxnet::task<http_server::reading> http_server::read_request(S& peer, request_reader& reader) {
    if (reader.ready()) { co_return reading::ready; }
    if (!reader.begun()) {
        bool ended = false;
        fluxnet::scope wait;
        const idle_place place(*this, wait);
        wait.spawn(read_first(peer, reader, ended));
        const fluxnet::wait_result canceled = co_await wait.join();
        if (canceled || ended) { co_return reading::ended; }
    }
    const fluxnet::timed<bool> rest = co_await fluxnet::timeout(options_.request, read_rest(peer, reader));
    if (rest.value) { co_return reading::ready; }
    co_return rest.expired ? reading::late : reading::ended;
}

template <fluxnet::stream S>
fluxnet::task<void> http_server::read_first(S& peer, request_reader& reader, bool& ended) {
    const auto got = co_await fluxnet::timeout(options_.idle, peer.read(reader.room()));
    if (got.value.n != 0) { reader.received(got.value.n); }
    ended = got.value.n == 0;
}

template <fluxnet::stream S>
fluxnet::task<bool> http_server::read_rest(S& peer, request_reader& reader) {
    while (!reader.ready()) {
        const fluxnet::io_result got = co_await peer.read(reader.room());
        if (got.n != 0) { reader.received(got.n); }
        if (got.ec) { break; }
    }
    co_return reader.ready();
}

template <fluxnet::stream S>
fluxnet::task<bool> http_server::write_all(S& peer, response_writer& writer) {
    for (std::span<const std::byte> bytes = writer.next(); !bytes.empty(); bytes = writer.next()) {
        const fluxnet::io_result put = co_await peer.write(bytes);
        if (put.ec) { co_return false; }
    }
    co_return true;
}

template <fluxnet::stream S>
fluxnet::task<void> http_server::drain(S& peer) {
    const fluxnet::wait_result ended = co_await peer.shutdown_write();
    if (ended) { co_return; }
    std::array<std::byte, 1024> dropped;
    for (;;) {
        const fluxnet::io_result got = co_await peer.read(dropped);
        if (got.ec) { co_return; }
    }
}

}  // namespace http_example
