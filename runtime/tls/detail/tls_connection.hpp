// SPDX-License-Identifier: BSD-3-Clause
// `tls_connection<S>`: an engine and the stream below it, with the coroutines that carry bytes between the two.
//
// Shared by a `tls_stream` and its coroutines, which may outlive that: they find no stream below then, and end. One
// coroutine reads and one writes at a time. They meet in the engine, whose calls do not wait, and in fill(). Threads: the
// stream's below.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/task_context.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/sync/detail/claim.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/tls/detail/tls_engine.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <array>
#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <system_error>
#include <utility>

namespace fluxnet::detail {

/// Begins every call: ends it when its task was asked to stop before, and lets others run first when the turn's budget for
/// calls that need not wait is spent.
class [[nodiscard]] tls_beginning final : private operation {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> beginning) {
        const std::stop_token* const stop = stop_token_of(beginning);
        if ((stop == nullptr || !stop->stop_requested()) && draw_here()) { return false; }
        suspend(beginning, [this] { complete(no_error); });
        return true;
    }
    [[nodiscard]] std::error_code await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "tls_stream"; }
    void cancel() noexcept override {}  // it completes in the next turn anyway
};

/// Stands beside a write to the stream below, and tells the engine when it does not see its end.
class tls_write_watch {
public:
    explicit tls_write_watch(tls_engine& engine) noexcept : engine_(&engine) {}
    tls_write_watch(const tls_write_watch&) = delete;
    tls_write_watch& operator=(const tls_write_watch&) = delete;
    ~tls_write_watch() {
        if (engine_ != nullptr) { engine_->abandon_writing(); }
    }
    void saw_end(std::size_t sent) noexcept { std::exchange(engine_, nullptr)->sent(sent); }

private:
    tls_engine* engine_;
};

/// What a `tls_stream` and the coroutines that use it share. `below` is empty once the stream was destroyed.
template <class S>
struct tls_connection {
    tls_connection(S stream_below, std::unique_ptr<tls_engine> of) : below(std::move(stream_below)), engine(std::move(of)) {}

    /// Sends the records that wait. One coroutine at a time.
    static task<std::error_code> flush(tls_connection& of) {
        for (;;) {
            if (!of.below) { co_return errc::closed; }
            const std::span<const std::byte> records = of.engine->unsent();
            if (records.empty()) { co_return no_error; }
            tls_write_watch watch(*of.engine);
            const io_result gone = co_await of.below->write(records);
            watch.saw_end(gone.n);
            if (gone.ec) { co_return gone.ec; }
        }
    }

    /// Completes when something has arrived and was given to the engine. A reader waits so, and sometimes a writer: one of
    /// them reads from the stream below, and the other waits for that.
    static task<std::error_code> fill(tls_connection& of) {
        if (!of.below) { co_return errc::closed; }
        const claim only(of.is_filled, &of.filled);
        if (!only.is_mine()) {
            of.filled.reset();
            const wait_result ended = co_await of.filled.wait();
            co_return ended;
        }
        const io_result got = co_await of.below->read(std::span<std::byte>(of.arrived));
        of.engine->feed(std::span<const std::byte>(of.arrived).first(got.n));
        if (got.ec != errc::end_of_stream) { co_return got.ec; }
        of.engine->feed_end();
        co_return no_error;
    }

    static task<std::error_code> shake_hands(tls_connection& of) {
        for (;;) {
            const tls_engine::step next = of.engine->handshake();
            const std::error_code unsent = co_await flush(of);  // also the alert that says why it failed
            if (next == tls_engine::step::failed) { co_return of.engine->failure(); }
            if (unsent || next == tls_engine::step::done) { co_return unsent; }
            const std::error_code failed = co_await fill(of);
            if (failed) { co_return failed; }
        }
    }

    std::optional<S> below;
    std::unique_ptr<tls_engine> engine;
    bool is_read = false;
    bool is_written = false;
    bool is_filled = false;  // by a coroutine that waits in fill()
    event filled;
    std::array<std::byte, tls_engine::record_bytes> arrived;
};

}  // namespace fluxnet::detail
