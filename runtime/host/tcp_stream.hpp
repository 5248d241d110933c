// SPDX-License-Identifier: BSD-3-Clause
// `tcp_stream`: a connection of a host in user space: a `stream` (fluxnet/runtime/core/stream.hpp).
//
//     result<host::tcp_stream> made = co_await here.connect(proto::ip_endpoint::parse("192.0.2.2:80").value());
//     host::tcp_stream peer = std::move(made).value();
//     const io_result sent = co_await peer.write(request);
//     const auto got = co_await peer.read_borrowed();  // got.buffer.bytes() lie where they have arrived
//
// Made by ip_host::connect() or a listener's accept(). A move-only handle. Destroying it closes the stream: what was written
// is still sent in the background, while the host lives, and the connection ends in order; but it ends by a reset when octets
// were not read, or come later (RFC 9293 section 3.6.1), when the peer takes too long (proto::tcp::stack_options::orphan_life)
// or when new connections need its place (orphans there). It may outlive the host, whose end it is told with `closed`, and not
// the executor. What is read and written costs no allocation and no system call of its own, once the host has the memory
// that its connections fill.
//
// What is written goes out at the end of the turn: small writes of one turn share a segment.
//
// Threads: that of the host's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/tcp/connection_info.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/core/wait_result.hpp"
#include "fluxnet/runtime/host/detail/tcp_end.hpp"
#include "fluxnet/runtime/host/tcp_buffer.hpp"
#include "fluxnet/runtime/host/tcp_options.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace fluxnet::host {

class FLUXNET_EXPORT tcp_stream {
public:
    class [[nodiscard]] connect_awaiter;
    class [[nodiscard]] read_awaiter;
    class [[nodiscard]] borrow_awaiter;
    class [[nodiscard]] write_awaiter;
    class [[nodiscard]] shutdown_awaiter;

    /// Makes a handle of no stream.
    tcp_stream() noexcept = default;
    /// See ip_host::connect(), which makes it.
    explicit tcp_stream(std::unique_ptr<detail::tcp_end> end) noexcept : end_(std::move(end)) {}

    /// Completes with what has arrived, at least one octet. What had arrived before a reset or a time-out can still be read.
    /// An empty span completes at once. One coroutine reads at a time. Errors: end_of_stream; connection_reset; timed_out
    /// (std::errc: something was to be sent again, and the peer had not answered for
    /// proto::tcp::connection_options::give_up); operation_canceled, which has taken nothing; handle_in_use; wrong_executor;
    /// closed, for a handle that was moved from or is destroyed meanwhile, and when the host has gone; how the host has ended
    /// (interface_gone; program_detached, which the kernel tells nobody: it is found out with the next news of the interface,
    /// see async_rx::recv()).
    [[nodiscard]] read_awaiter read(std::span<std::byte> into) noexcept;

    /// The same without the copy; draws from one order of octets with read(). The peer's window stays smaller by what is lent
    /// until `buffer` is destroyed.
    [[nodiscard]] borrow_awaiter read_borrowed() noexcept;

    /// Completes when all octets were taken: they are copied, and sent as the peer's window and the path allow. Waits while
    /// proto::tcp::connection_options::send_limit of them wait, or the host has no memory left for more. One coroutine writes
    /// at a time. Errors: those of read() but end_of_stream, and n tells what was taken; broken_pipe after shutdown_write().
    [[nodiscard]] write_awaiter write(std::span<const std::byte> from) noexcept;

    /// Ends the direction behind what was written, unless its task was asked to stop before; completes in the next turn. Once
    /// more, it does nothing. Errors: those of write(); handle_in_use while a write waits.
    [[nodiscard]] shutdown_awaiter shutdown_write() noexcept;

    /// Ends the connection at once, with a reset (RFC 9293 section 3.10.5); awaits under way end with connection_aborted
    /// (std::errc).
    void abort() noexcept {
        if (end_ != nullptr) { end_->abort(); }
    }

    /// Closes it now, as its destructor does.
    void close() noexcept { end_.reset(); }

    /// False once it was closed or moved from, and of a handle of no stream.
    [[nodiscard]] bool is_open() const noexcept { return end_ != nullptr; }

    /// 0.0.0.0:0 of a stream that is not open.
    [[nodiscard]] proto::ip_endpoint local_endpoint() const noexcept {
        return is_open() ? end_->local() : proto::ip_endpoint();
    }
    [[nodiscard]] proto::ip_endpoint remote_endpoint() const noexcept {
        return is_open() ? end_->remote() : proto::ip_endpoint();
    }

    /// What its connection knows: state, windows, round-trip times, what was sent again and why. Nothing of a stream that is
    /// not open, or whose host has gone.
    [[nodiscard]] proto::tcp::connection_info info() const noexcept {
        return is_open() ? end_->info() : proto::tcp::connection_info();
    }

    /// See tcp_options.
    void set_no_delay(bool on) noexcept {
        if (is_open()) { end_->set_no_delay(on); }
    }
    void set_keep_alive(bool on) noexcept {
        if (is_open()) { end_->set_keep_alive(on); }
    }

    /// Switches the decision trace on: `sink` is told what the connection decides, and why. Null switches it off. The sink
    /// outlives the connection, which may end after the stream.
    void trace_to(proto::tcp::trace_sink* sink) noexcept {
        if (is_open()) { end_->trace_to(sink); }
    }

private:
    std::unique_ptr<detail::tcp_end> end_;
};

namespace detail {

/// An await at an end.
class FLUXNET_EXPORT tcp_transfer : public fluxnet::detail::placed_operation {
protected:
    /// `end` is null for a stream that was closed or moved from.
    explicit tcp_transfer(tcp_end* end) noexcept : end_(end) {}
    ~tcp_transfer() = default;

    /// Takes the place of the await, unless nothing is asked for, or notes in refusal_ why it cannot begin. The host works from
    /// now on.
    void take_place(fluxnet::detail::placed_operation* tcp_end::*place, bool wanted) noexcept;
    /// Tells how it has ended: no error when the end is there and has what was waited for.
    [[nodiscard]] std::error_code end_wait() noexcept;

    tcp_end* const end_;                  // valid until the place is lost
    std::error_code refusal_ = no_error;  // why it has not begun
};

}  // namespace detail

class [[nodiscard]] tcp_stream::read_awaiter final : private detail::tcp_transfer {
public:
    read_awaiter(detail::tcp_end* end, std::span<std::byte> into) noexcept : tcp_transfer(end), into_(into) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "host::tcp_stream::read"; }
    [[nodiscard]] bool is_settled() const noexcept { return refusal_ || into_.empty() || end_->is_readable(); }
    void look() noexcept override {
        if (waiting() && is_settled()) { complete(no_error); }
    }

    std::span<std::byte> into_;
};

class [[nodiscard]] tcp_stream::borrow_awaiter final : private detail::tcp_transfer {
public:
    explicit borrow_awaiter(detail::tcp_end* end) noexcept : tcp_transfer(end) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    borrowed_result<tcp_buffer> await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "host::tcp_stream::read_borrowed"; }
    [[nodiscard]] bool is_settled() const noexcept { return refusal_ || end_->is_readable(); }
    void look() noexcept override {
        if (waiting() && is_settled()) { complete(no_error); }
    }
};

class [[nodiscard]] tcp_stream::write_awaiter final : private detail::tcp_transfer {
public:
    write_awaiter(detail::tcp_end* end, std::span<const std::byte> from) noexcept : tcp_transfer(end), from_(from) {}

    [[nodiscard]] bool await_ready() noexcept;

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { look(); });
    }

    io_result await_resume() noexcept;

private:
    [[nodiscard]] const char* name() const noexcept override { return "host::tcp_stream::write"; }
    void look() noexcept override;

    /// Has as much taken as there is room for.
    void write_on() noexcept;

    std::span<const std::byte> from_;
    std::size_t taken_ = 0;
    std::error_code failure_ = no_error;
    bool is_settled_ = false;
};

class [[nodiscard]] tcp_stream::shutdown_awaiter final : private fluxnet::detail::operation {
public:
    explicit shutdown_awaiter(detail::tcp_end* end) noexcept : end_(end) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    wait_result await_resume() noexcept { return finish(); }

private:
    [[nodiscard]] const char* name() const noexcept override { return "host::tcp_stream::shutdown_write"; }
    void start() noexcept;
    void cancel() noexcept override { complete(errc::operation_canceled); }

    detail::tcp_end* const end_;  // used in await_suspend() only
};

/// Opens a connection; made by ip_host::connect().
class [[nodiscard]] FLUXNET_EXPORT tcp_stream::connect_awaiter final : private detail::tcp_waiter {
public:
    /// `core` is null for a host that was moved from.
    connect_awaiter(boost::intrusive_ptr<detail::host_core> core, const proto::ip_endpoint& peer,
                    const tcp_options& options) noexcept;
    ~connect_awaiter();

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> waiting) {
        return suspend(waiting, [this] { start(); });
    }

    result<tcp_stream> await_resume();

private:
    [[nodiscard]] const char* name() const noexcept override { return "host::ip_host::connect"; }
    void start() noexcept;
    /// Sends the first segment, or waits in line while the own address is being probed.
    void open() noexcept;
    [[nodiscard]] std::optional<proto::ip_address> find_source() noexcept;
    void fail(std::error_code why, const char* remedy = "") noexcept;
    void look() noexcept override;
    void cancel() noexcept override;

    const boost::intrusive_ptr<detail::host_core> core_;
    const proto::ip_endpoint peer_;
    const tcp_options options_;
    std::unique_ptr<detail::tcp_end> end_;
    std::error_code failure_ = no_error;
    const char* remedy_ = "";
};

inline tcp_stream::read_awaiter tcp_stream::read(std::span<std::byte> into) noexcept {
    return {end_.get(), into};
}
inline tcp_stream::borrow_awaiter tcp_stream::read_borrowed() noexcept {
    return borrow_awaiter(end_.get());
}
inline tcp_stream::write_awaiter tcp_stream::write(std::span<const std::byte> from) noexcept {
    return {end_.get(), from};
}
inline tcp_stream::shutdown_awaiter tcp_stream::shutdown_write() noexcept {
    return shutdown_awaiter(end_.get());
}

}  // namespace fluxnet::host
