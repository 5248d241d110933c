// SPDX-License-Identifier: BSD-3-Clause
// `udp_port`: what a udp_endpoint owns: where datagrams arrive, and those that wait to be received. `udp_receive`,
// `udp_send`: the operations of coroutines that wait there.
//
// A port is known to its host's core while it lives, and keeps the core alive. The operations lie in the frames of
// coroutines. Threads: that of the host's executor.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/runtime/core/io_result.hpp"
#include "fluxnet/runtime/core/operation.hpp"
#include "fluxnet/runtime/core/stream.hpp"
#include "fluxnet/runtime/host/detail/ip_message.hpp"
#include "fluxnet/runtime/host/received_datagram.hpp"
#include "fluxnet/runtime/host/udp_endpoint_options.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet::host::detail {

class host_core;
class udp_receive;

void intrusive_ptr_add_ref(const host_core* core) noexcept;
void intrusive_ptr_release(const host_core* core) noexcept;

class FLUXNET_EXPORT udp_port {
public:
    /// Allocates the queue.
    udp_port(boost::intrusive_ptr<host_core> core, const proto::ip_endpoint& local, const udp_endpoint_options& options);
    udp_port(const udp_port&) = delete;
    udp_port& operator=(const udp_port&) = delete;
    /// What waits here ends with `closed`.
    ~udp_port();

    [[nodiscard]] host_core& core() const noexcept { return *core_; }
    [[nodiscard]] const proto::ip_endpoint& local() const noexcept { return local_; }
    [[nodiscard]] const std::optional<proto::ip_endpoint>& peer() const noexcept { return peer_; }
    [[nodiscard]] const udp_endpoint_options& options() const noexcept { return options_; }

    /// Takes datagrams from nobody else from now on; drops those of others that wait.
    void connect(const proto::ip_endpoint& peer, const proto::ip_address& source) noexcept;

    /// Whether it takes what comes from there to that address of the host: below 0 not; else the higher the more it is
    /// meant.
    [[nodiscard]] int rank_for(const proto::ip_address& to, const proto::ip_endpoint& from) const noexcept;

    // The queue.

    [[nodiscard]] bool has_room() const noexcept { return count_ < queue_.size(); }
    [[nodiscard]] bool has_datagram() const noexcept { return count_ != 0; }
    /// Only with room.
    void push(received_datagram arrived) noexcept;
    /// Only with a datagram.
    [[nodiscard]] received_datagram pop() noexcept;
    void clear() noexcept;

    // What the network has told.

    /// Notes where a datagram goes, so that errors about it are believed.
    void note_sent(const proto::ip_endpoint& to) noexcept;
    [[nodiscard]] bool has_sent(const proto::ip_endpoint& to) const noexcept;
    void tell(const proto::ip_endpoint& about, std::error_code what) noexcept;
    [[nodiscard]] bool has_error() const noexcept { return static_cast<bool>(pending_); }
    [[nodiscard]] std::error_code take_error() noexcept { return std::exchange(pending_, {}); }
    [[nodiscard]] const udp_trouble& trouble() const noexcept { return trouble_; }

    /// Ends the receive that waits, if one does.
    void wake() noexcept;

    udp_receive* receiver = nullptr;
    udp_port* next_with_port = nullptr;  // in the core's chain

private:
    [[nodiscard]] std::uint32_t mark_of(const proto::ip_endpoint& to) const noexcept;

    const boost::intrusive_ptr<host_core> core_;
    proto::ip_endpoint local_;
    std::optional<proto::ip_endpoint> peer_;
    const udp_endpoint_options options_;
    std::vector<received_datagram> queue_;  // a ring
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    std::array<std::uint32_t, 64> sent_{};  // marks of those it has sent to, by their low bits; 0: none
    proto::ip_endpoint last_;               // that it has sent to
    std::error_code pending_;               // of a connected port, to be told once
    udp_trouble trouble_;
};

/// Waits for a datagram.
class FLUXNET_EXPORT udp_receive : public fluxnet::detail::operation {
public:
    /// The port is going away.
    void abandon() noexcept {
        port_ = nullptr;
        lost_ = true;
        complete(errc::closed);
    }
    /// Something has come.
    void look() noexcept;

protected:
    /// `room`: the await is to take a datagram.
    udp_receive(udp_port* port, bool room) noexcept : port_(port), room_(room) {}
    ~udp_receive() { leave(); }

    [[nodiscard]] bool begin() noexcept;

    template <class Promise>
    void suspend_and_wait(std::coroutine_handle<Promise> waiting) {
        suspend(waiting, [this] { start(); });
    }

    /// Ends the wait. No error: a datagram is there to be popped, or there was no room for one.
    [[nodiscard]] std::error_code end_wait() noexcept;

    [[nodiscard]] udp_port& port() const noexcept { return *port_; }

private:
    [[nodiscard]] bool is_settled() const noexcept;
    void start() noexcept;
    void leave() noexcept;
    void cancel() noexcept override { complete(errc::operation_canceled); }

    udp_port* port_;  // null: moved from, or gone
    const bool room_;
    bool lost_ = false;
    bool placed_ = false;  // it is the port's receiver
    std::error_code refusal_;
    std::error_code told_;  // what the network has told, and ended it with
};

/// By which a send stands in line.
using send_line_hook = boost::intrusive::list_base_hook<boost::intrusive::tag<host_core>,
                                                        boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// Sends a datagram.
class FLUXNET_EXPORT udp_send : public fluxnet::detail::operation, public send_line_hook {
public:
    enum class wait_for : std::uint8_t { nothing, address, neighbour, frame };

protected:
    virtual ~udp_send() = default;

    udp_send(udp_port* port, std::span<const std::byte> from, const std::optional<proto::ip_endpoint>& to) noexcept
        : port_(port), from_(from), to_(to) {}

    [[nodiscard]] bool begin() noexcept;

    template <class Promise>
    void suspend_and_wait(std::coroutine_handle<Promise> waiting) {
        suspend(waiting, [this] { start(); });
    }

    [[nodiscard]] io_result end_send() noexcept;

private:
    friend host_core;

    void start() noexcept;
    void cancel() noexcept override;

    udp_port* port_;  // null: moved from, or gone
    std::span<const std::byte> from_;
    std::optional<proto::ip_endpoint> to_;
    ip_message message_;           // once prepared_
    std::size_t done_ = 0;         // octets of the message
    std::size_t piece_limit_ = 0;  // the longest packet
    proto::ip_address hop_;        // the neighbour that it goes to, unless to_group_
    proto::mac_address group_;     // likewise
    std::error_code failure_;
    wait_for waits_for_ = wait_for::nothing;
    bool prepared_ = false;
    bool to_group_ = false;
    bool to_self_ = false;
    bool over_ = false;
};

}  // namespace fluxnet::host::detail
