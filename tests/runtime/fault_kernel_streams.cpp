// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: streams of the kernel's, and how they are connected and accepted.
#include "fluxnet/runtime/sockets/tcp_listener.hpp"
#include "fluxnet/runtime/sockets/tcp_stream.hpp"
#include "fluxnet/runtime/sockets/unix_listener.hpp"
#include "fluxnet/runtime/sockets/unix_seqpacket.hpp"
#include "fluxnet/runtime/sockets/unix_stream.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/runtime/raw_socket_calls.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <unistd.h>

namespace fluxnet::test {
namespace {

template <class Socket>
[[nodiscard]] ending how_ended(const result<Socket>& got) noexcept {
    return got.has_value() ? ending::completed : ending_of(got.error().code);
}

/// Two ends, of which one is awaited and the other one used by plain system calls.
class kernel_pair_world : public fault_world {
public:
    explicit kernel_pair_world(fault_place&) {
        auto made = unix_stream::pair();
        near_.emplace(std::move(made->first));
        far_.emplace(std::move(made->second));
    }

    /// The stream goes while it is awaited, if the executor goes then.
    void let_go() noexcept override { near_.reset(); }

protected:
    std::optional<unix_stream> near_;
    std::optional<unix_stream> far_;
};

/// What awaits bytes that complete() sends one by one.
class kernel_bytes_world : public kernel_pair_world {
public:
    using kernel_pair_world::kernel_pair_world;

    void complete() override {
        const std::byte one{1};
        REQUIRE(::send(far_->fd(), &one, 1, MSG_NOSIGNAL) == 1);
    }

protected:
    std::size_t read_ = 0;
};

class kernel_read_world final : public kernel_bytes_world {
public:
    using kernel_bytes_world::kernel_bytes_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const io_result got = co_await near_->read(room);
        read_ += got.n;
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void check_handles(const fault_tally& tally) override {
        CHECK(drain_socket(near_->fd()).bytes + read_ == static_cast<std::size_t>(tally.completions));
    }
};

class kernel_borrow_world final : public kernel_bytes_world {
public:
    using kernel_bytes_world::kernel_bytes_world;

    task<ending> await_once() override {
        const auto lent = co_await near_->read_borrowed();
        if (lent.buffer.bytes().empty() != static_cast<bool>(lent.ec)) { co_return ending::failed; }
        co_return ending_of(lent.ec);
    }
};

/// A full direction, of which complete() takes all; the await writes two bytes.
class kernel_write_world : public kernel_pair_world {
public:
    explicit kernel_write_world(fault_place& place) : kernel_pair_world(place) {
        const std::array<std::byte, 1024> bytes{};
        filled_ = bytes.size() * static_cast<std::size_t>(fill_socket(near_->fd(), bytes));
    }

    task<ending> await_once() override {
        const std::array<std::byte, 2> two{};
        const io_result sent = co_await near_->write(two);
        if (sent.n != (sent.ec ? 0U : 2U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override { taken_ += drain_socket(far_->fd()).bytes; }
    void check_handles(const fault_tally& tally) override {
        complete();
        CHECK(taken_ == filled_ + static_cast<std::size_t>(2 * tally.completed));
    }

private:
    std::size_t filled_ = 0;
    std::size_t taken_ = 0;
};

class kernel_shutdown_world final : public kernel_pair_world {
public:
    using kernel_pair_world::kernel_pair_world;

    task<ending> await_once() override {
        const wait_result ended = co_await near_->shutdown_write();
        co_return ending_of(ended);
    }
    void complete() override {}
    void check_handles(const fault_tally&) override {
        std::byte one{};
        CHECK(::recv(far_->fd(), &one, 1, MSG_DONTWAIT) == 0);
    }
};

class send_with_world final : public kernel_write_world {
public:
    using kernel_write_world::kernel_write_world;

    task<ending> await_once() override {
        const std::array<std::byte, 2> two{};
        const std::array passed{nothing_.get()};
        const io_result sent = co_await near_->send_with(two, passed);
        if (sent.n != (sent.ec ? 0U : 2U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void let_go() noexcept override {}  // the stream may not go while this is awaited

private:
    const descriptor nothing_ = open_nothing();
};

class recv_with_world final : public kernel_pair_world {
public:
    using kernel_pair_world::kernel_pair_world;

    task<ending> await_once() override {
        std::array<std::byte, 1> room{};
        std::vector<descriptor> received;
        const io_result got = co_await near_->recv_with(room, received);
        if (got.n != (got.ec ? 0U : 1U) || received.size() != got.n) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override { send_descriptor(far_->fd(), nothing_.get()); }
    void check_handles(const fault_tally& tally) override {
        CHECK(drain_socket(near_->fd()).times == tally.completions - tally.completed);
    }
    void let_go() noexcept override {}  // the stream may not go while this is awaited

private:
    const descriptor nothing_ = open_nothing();
};

[[nodiscard]] unix_address own_name() {
    static std::atomic<int> next = 0;
    return unix_address("@fluxnet-fault-" + std::to_string(::getpid()) + '-' + std::to_string(next++));
}

/// Where the type of a listener listens.
[[nodiscard]] tcp_listener open_door(std::type_identity<tcp_listener>) {
    return tcp_listener::listen(on_loopback()).value();
}
template <class Socket>
[[nodiscard]] basic_unix_listener<Socket> open_door(std::type_identity<basic_unix_listener<Socket>>) {
    return basic_unix_listener<Socket>::listen(own_name()).value();
}

template <class Listener, int Type>
class kernel_accept_world final : public fault_world {
public:
    explicit kernel_accept_world(fault_place&) : door_(open_door(std::type_identity<Listener>())) {}

    task<ending> await_once() override {
        const auto peer = co_await door_->accept();
        co_return how_ended(peer);
    }
    void complete() override {
        peers_.push_back(connect_to_listener(door_->fd(), Type));
        REQUIRE(peers_.back().get() >= 0);
    }
    void let_go() noexcept override { door_.reset(); }
    void check(const fault_tally&) override {
        for (const descriptor& each : peers_) {  // accepted and dropped, or not accepted: the connection has ended
            std::byte one{};
            const ssize_t count = ::recv(each.get(), &one, 1, MSG_DONTWAIT);
            CHECK((count == 0 || (count < 0 && errno == ECONNRESET)));
        }
    }

private:
    std::optional<Listener> door_;
    std::vector<descriptor> peers_;
};

/// Connects to a listener that has room, or to one whose queue is full: the kernel drops the request then, and asks again
/// after a second.
class tcp_connect_world final : public fault_world {
public:
    explicit tcp_connect_world(fault_place&) : peer_(connect_to_listener(full_.fd())) { REQUIRE(peer_.get() >= 0); }

    task<ending> await_once() override {
        const auto made = co_await tcp_stream::connect((has_room_ ? open_ : full_).local_endpoint());
        co_return how_ended(made);
    }
    void complete() override {}
    void let_complete(bool soon) override { has_room_ = soon; }

private:
    [[nodiscard]] static tcp_listener listener_for(int backlog) {
        return tcp_listener::listen(on_loopback(), {.backlog = backlog}).value();
    }

    const tcp_listener open_ = listener_for(64);
    const tcp_listener full_ = listener_for(0);
    const descriptor peer_;  // is what fills it
    bool has_room_ = false;
};

/// The listener's queue is full until complete() takes one out.
template <class Socket, int Type>
class unix_connect_world final : public fault_world {
public:
    explicit unix_connect_world(fault_place&) {
        while (descriptor one = connect_to_listener(door_.fd(), Type)) { peers_.push_back(std::move(one)); }
        REQUIRE(!peers_.empty());
    }

    task<ending> await_once() override {
        const result<Socket> made = co_await Socket::connect(door_.local_address());
        co_return how_ended(made);
    }
    void complete() override { accept_and_close(door_.fd()); }

private:
    const basic_unix_listener<Socket> door_ = basic_unix_listener<Socket>::listen(own_name(), 0).value();
    std::vector<descriptor> peers_;
};

[[nodiscard]] std::vector<fault_entry> transfer_rows() {
    return {
        fault_entry{.file = "kernel_stream.hpp",
                    .awaiter = "kernel_stream::read_awaiter",
                    .what = "bytes of a stream of the kernel's",
                    .make = make_world<kernel_read_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "kernel_stream.hpp",
                    .awaiter = "kernel_stream::borrow_awaiter",
                    .what = "bytes that a stream of the kernel's lends",
                    .make = make_world<kernel_borrow_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "kernel_stream.hpp",
                    .awaiter = "kernel_stream::write_awaiter",
                    .what = "room in a stream of the kernel's",
                    .make = make_world<kernel_write_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "kernel_stream.hpp",
                    .awaiter = "kernel_stream::shutdown_awaiter",
                    .what = "the end of a stream of the kernel's",
                    .make = make_world<kernel_shutdown_world>,
                    .cancellable = false,
                    .completes_by_itself = true,
                    .never_suspends = true},
        fault_entry{.file = "unix_stream.hpp",
                    .awaiter = "unix_stream::send_awaiter",
                    .what = "room in a Unix stream for descriptors",
                    .make = make_world<send_with_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "unix_stream.hpp",
                    .awaiter = "unix_stream::recv_awaiter",
                    .what = "descriptors of a Unix stream",
                    .make = make_world<recv_with_world>,
                    .needs_descriptor = true},
    };
}

[[nodiscard]] std::vector<fault_entry> connection_rows() {
    return {
        fault_entry{.file = "accept_awaiter.hpp",
                    .awaiter = "accept_awaiter",
                    .what = "a connection at a TCP listener",
                    .make = make_world<kernel_accept_world<tcp_listener, SOCK_STREAM>>,
                    .needs_descriptor = true},
        fault_entry{.file = "accept_awaiter.hpp",
                    .awaiter = "accept_awaiter",
                    .what = "a connection at a Unix listener",
                    .make = make_world<kernel_accept_world<unix_listener, SOCK_STREAM>>,
                    .needs_descriptor = true},
        fault_entry{.file = "accept_awaiter.hpp",
                    .awaiter = "accept_awaiter",
                    .what = "a connection at a Unix listener for messages",
                    .make = make_world<kernel_accept_world<unix_seqpacket_listener, SOCK_SEQPACKET>>,
                    .needs_descriptor = true},
        fault_entry{.file = "tcp_stream.hpp",
                    .awaiter = "tcp_stream::connect_awaiter",
                    .what = "a TCP connection",
                    .make = make_world<tcp_connect_world>,
                    .completes_by_itself = true,
                    .needs_descriptor = true},
        fault_entry{.file = "unix_stream.hpp",
                    .awaiter = "connect",
                    .what = "a Unix connection",
                    .make = make_world<unix_connect_world<unix_stream, SOCK_STREAM>>,
                    .needs_descriptor = true},
        fault_entry{.file = "unix_seqpacket.hpp",
                    .awaiter = "connect",
                    .what = "a Unix connection for messages",
                    .make = make_world<unix_connect_world<unix_seqpacket, SOCK_SEQPACKET>>,
                    .needs_descriptor = true},
    };
}

}  // namespace

std::span<const fault_entry> kernel_stream_faults() {
    static const std::vector<fault_entry> all = [] {
        std::vector<fault_entry> rows = transfer_rows();
        for (fault_entry& each : connection_rows()) { rows.push_back(std::move(each)); }
        return rows;
    }();
    return all;
}

}  // namespace fluxnet::test
