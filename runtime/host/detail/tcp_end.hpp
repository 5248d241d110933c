// SPDX-License-Identifier: BSD-3-Clause
// `tcp_end`: what a tcp_stream owns: its end of a connection, and the coroutines that wait there. `tcp_door`: what a
// tcp_listener owns.
//
// Known to the host's core while they live, and keep it alive. When the host has been closed there is no connection any
// more, and every call says so. Threads: that of the host's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/tcp/connection_info.hpp"
#include "fluxnet/proto/tcp/four_tuple.hpp"
#include "fluxnet/proto/tcp/stack_options.hpp"
#include "fluxnet/runtime/core/detail/placed_operation.hpp"
#include "fluxnet/runtime/host/tcp_buffer.hpp"
#include "fluxnet/runtime/host/tcp_options.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

namespace fluxnet::host::detail {

/// By which an end or a door stands in the core's list.
using tcp_user_hook = boost::intrusive::list_base_hook<boost::intrusive::tag<host_core>,
                                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// What waits in the core's line and looks in each turn: a connect while the own address is being probed, a settle.
class tcp_waiter : public fluxnet::detail::placed_operation, public tcp_user_hook {
protected:
    tcp_waiter() = default;
    ~tcp_waiter() = default;

    [[nodiscard]] bool is_in_line() const noexcept { return tcp_user_hook::is_linked(); }
    void leave_line() noexcept {
        if (is_in_line()) { tcp_user_hook::unlink(); }
    }
};

class FLUXNET_EXPORT tcp_end : public tcp_user_hook {
public:
    /// An end of no connection yet.
    explicit tcp_end(boost::intrusive_ptr<host_core> core) noexcept;
    tcp_end(const tcp_end&) = delete;
    tcp_end& operator=(const tcp_end&) = delete;
    /// Parts from the connection: in order, or by a reset while it is still being opened. What waits here ends with
    /// `closed`.
    ~tcp_end();

    /// Makes it the end of a connection.
    void adopt(proto::tcp::connection_handle which, const tcp_options& options) noexcept;

    [[nodiscard]] host_core& core() const noexcept { return *core_; }
    /// Says what is wrong with an await on the calling thread's executor.
    [[nodiscard]] std::error_code check_executor() const noexcept;
    /// Sees to it that the host works while something waits here.
    void wake_host() const noexcept;

    [[nodiscard]] proto::ip_endpoint local() const noexcept;
    [[nodiscard]] proto::ip_endpoint remote() const noexcept;
    [[nodiscard]] proto::tcp::connection_info info() const noexcept;

    // Opening.
    [[nodiscard]] bool is_connected() const noexcept { return connected_; }
    void set_connected() noexcept { connected_ = true; }
    /// How the connection has ended; no error while it has not.
    [[nodiscard]] std::error_code ended() const noexcept;

    // Reading.
    /// Whether a read would not wait.
    [[nodiscard]] bool is_readable() const noexcept;
    [[nodiscard]] std::size_t read(std::span<std::byte> into) noexcept;
    /// Without octets when there are none.
    [[nodiscard]] tcp_buffer lend() noexcept;
    /// Why there is nothing to read.
    [[nodiscard]] std::error_code read_error() const noexcept;

    // Writing.
    [[nodiscard]] std::size_t write(std::span<const std::byte> from) noexcept;
    /// Why nothing can be written; no error when it can.
    [[nodiscard]] std::error_code write_error() const noexcept;
    [[nodiscard]] std::error_code shut_down_write() noexcept;
    void abort() noexcept;

    void set_no_delay(bool on) noexcept;
    void set_keep_alive(bool on) noexcept;
    void trace_to(proto::tcp::trace_sink* sink) noexcept;

    /// Has what waits here look.
    void look() noexcept;

    fluxnet::detail::placed_operation* opener = nullptr;
    fluxnet::detail::placed_operation* reader = nullptr;
    fluxnet::detail::placed_operation* writer = nullptr;

private:
    const boost::intrusive_ptr<host_core> core_;
    proto::tcp::connection_handle which_;
    proto::tcp::four_tuple name_;  // known also when the host has gone
    bool connected_ = false;
    bool shut_ = false;
};

class FLUXNET_EXPORT tcp_door : public tcp_user_hook {
public:
    tcp_door(boost::intrusive_ptr<host_core> core, proto::tcp::listener_handle which, const proto::ip_endpoint& local,
             const tcp_options& options) noexcept;
    tcp_door(const tcp_door&) = delete;
    tcp_door& operator=(const tcp_door&) = delete;
    /// Resets what was not accepted. What waits here ends with `closed`.
    ~tcp_door();

    [[nodiscard]] proto::tcp::listener_handle which() const noexcept { return which_; }
    [[nodiscard]] const proto::ip_endpoint& local() const noexcept { return local_; }
    [[nodiscard]] std::error_code check_executor() const noexcept;
    void wake_host() const noexcept;

    /// Why nothing will ever come; no error while something may.
    [[nodiscard]] std::error_code ended() const noexcept;
    /// Whether a connection is there.
    [[nodiscard]] bool has_waiting() noexcept;
    /// Takes it; only if there is one. Throws std::bad_alloc, and the connection is reset then.
    [[nodiscard]] std::unique_ptr<tcp_end> pop();

    void look() noexcept {
        if (acceptor != nullptr) { acceptor->look(); }
    }

    fluxnet::detail::placed_operation* acceptor = nullptr;

private:
    const boost::intrusive_ptr<host_core> core_;
    const proto::tcp::listener_handle which_;
    const proto::ip_endpoint local_;
    const tcp_options options_;
    std::optional<proto::tcp::connection_handle> next_;  // taken from the stack already
};

}  // namespace fluxnet::host::detail
