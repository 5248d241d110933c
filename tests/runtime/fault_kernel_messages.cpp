// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: datagrams and messages of the kernel's sockets.
#include "fluxnet/runtime/sockets/udp_socket.hpp"
#include "fluxnet/runtime/sockets/unix_datagram.hpp"
#include "fluxnet/runtime/sockets/unix_seqpacket.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/runtime/raw_socket_calls.hpp"
#include "tests/runtime/socket_tests.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace fluxnet::test {
namespace {

constexpr std::array<std::byte, 3> three_bytes{};

/// A UDP socket, and another one that sends to it by plain system calls.
class udp_world : public fault_world {
public:
    explicit udp_world(fault_place&) {
        REQUIRE(far_.connect(near_->local_endpoint()).has_value());
        REQUIRE(near_->connect(far_.local_endpoint()).has_value());
    }

    void complete() override { REQUIRE(::send(far_.fd(), three_bytes.data(), three_bytes.size(), MSG_DONTWAIT) == 3); }

    /// The socket goes while it is awaited, if the executor goes then.
    void let_go() noexcept override { near_.reset(); }

protected:
    udp_socket far_ = udp_socket::bind(on_loopback()).value();
    std::optional<udp_socket> near_ = udp_socket::bind(on_loopback()).value();
};

/// What receives: what no await got is still there.
class udp_receiving_world : public udp_world {
public:
    using udp_world::udp_world;

    void check_handles(const fault_tally& tally) override {
        CHECK(drain_socket(near_->fd()).times + received_ == tally.completions);
    }

protected:
    int received_ = 0;
};

class udp_recv_world final : public udp_receiving_world {
public:
    using udp_receiving_world::udp_receiving_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const datagram_result got = co_await near_->recv_from(room);
        if (got.n != (got.ec ? 0U : 3U)) { co_return ending::failed; }
        if (!got.ec) { ++received_; }
        co_return ending_of(got.ec);
    }
};

class udp_segments_world final : public udp_receiving_world {
public:
    using udp_receiving_world::udp_receiving_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const segments_result got = co_await near_->recv_segments(room);
        if (got.n != (got.ec ? 0U : 3U)) { co_return ending::failed; }
        if (!got.ec) { ++received_; }
        co_return ending_of(got.ec);
    }
};

class udp_recv_many_world final : public udp_receiving_world {
public:
    using udp_receiving_world::udp_receiving_world;

    task<ending> await_once() override {
        std::array<std::byte, 8> room{};
        std::array<datagram, 2> into{};
        into[0].bytes = std::span(room).first(4);
        into[1].bytes = std::span(room).last(4);
        const io_result got = co_await near_->recv_many(into);
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        received_ += static_cast<int>(got.n);
        co_return ending_of(got.ec);
    }
};

/// What sends: the loopback interface takes all that there is, so this never has to wait.
class udp_sending_world : public udp_world {
public:
    using udp_world::udp_world;

    void complete() override {}
    void check_handles(const fault_tally& tally) override {
        CHECK(drain_socket(far_.fd()).times == sends_ * tally.completed);
    }

protected:
    int sends_ = 1;
};

class udp_send_world final : public udp_sending_world {
public:
    using udp_sending_world::udp_sending_world;

    task<ending> await_once() override {
        const io_result sent = co_await near_->send_to(three_bytes, far_.local_endpoint());
        if (sent.n != (sent.ec ? 0U : 3U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
};

class udp_send_many_world final : public udp_sending_world {
public:
    explicit udp_send_many_world(fault_place& place) : udp_sending_world(place) { sends_ = 2; }

    task<ending> await_once() override {
        std::array<std::byte, 3> bytes{};
        std::array<datagram, 2> from{};
        for (datagram& each : from) {
            each.bytes = bytes;
            each.peer = far_.local_endpoint();
        }
        const io_result sent = co_await near_->send_many(from);
        if (sent.n != (sent.ec ? 0U : 2U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
};

/// A pair that keeps messages apart. It outlives the executor: it may not go while it is awaited.
class seqpacket_world : public fault_world {
public:
    explicit seqpacket_world(fault_place&) {}

protected:
    std::pair<unix_seqpacket, unix_seqpacket> ends_ = unix_seqpacket::pair().value();
    const descriptor nothing_ = open_nothing();
};

class seqpacket_recv_world final : public seqpacket_world {
public:
    using seqpacket_world::seqpacket_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        std::vector<descriptor> received;
        const io_result got = co_await ends_.first.recv(room, received);
        if (got.n != (got.ec ? 0U : 1U) || received.size() != got.n) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override { send_descriptor(ends_.second.fd(), nothing_.get()); }
    void check_handles(const fault_tally& tally) override {
        CHECK(drain_socket(ends_.first.fd()).times == tally.completions - tally.completed);
    }
};

/// A full queue, of which complete() takes all.
class seqpacket_send_world final : public seqpacket_world {
public:
    explicit seqpacket_send_world(fault_place& place)
        : seqpacket_world(place), filled_(fill_socket(ends_.first.fd(), three_bytes)) {}

    task<ending> await_once() override {
        const std::array passed{nothing_.get()};
        const io_result sent = co_await ends_.first.send(three_bytes, passed);
        if (sent.n != (sent.ec ? 0U : 3U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override { taken_ += drain_socket(ends_.second.fd()).times; }
    void check_handles(const fault_tally& tally) override {
        complete();
        CHECK(taken_ == filled_ + tally.completed);
    }

private:
    const int filled_;
    int taken_ = 0;
};

/// A socket that has a name, and one that sends to it. Both outlive the executor: they may not go while they are awaited.
class unix_datagram_world : public fault_world {
public:
    explicit unix_datagram_world(fault_place&) : address_(near_.local_address()) {}

protected:
    /// Sends by a plain system call; tells whether the queue had room.
    [[nodiscard]] bool send_now() {
        const fluxnet::detail::socket_address at(address_);
        return ::sendto(far_.fd(), three_bytes.data(), three_bytes.size(), MSG_DONTWAIT, &at.get(), at.size()) == 3;
    }

    [[nodiscard]] static unix_datagram make_named() {
        static std::atomic<int> next = 0;
        const std::string name = "@fluxnet-fault-datagram-" + std::to_string(::getpid()) + '-' + std::to_string(next++);
        return unix_datagram::bind(unix_address(name)).value();
    }

    unix_datagram near_ = make_named();
    unix_datagram far_ = unix_datagram::bind().value();
    const unix_address address_;
};

class unix_recv_world final : public unix_datagram_world {
public:
    using unix_datagram_world::unix_datagram_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const unix_datagram::received got = co_await near_.recv_from(room);
        if (got.n != (got.ec ? 0U : 3U)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override { REQUIRE(send_now()); }
    void check_handles(const fault_tally& tally) override {
        CHECK(drain_socket(near_.fd()).times == tally.completions - tally.completed);
    }
};

/// A full queue, of which complete() takes one.
class unix_send_world final : public unix_datagram_world {
public:
    explicit unix_send_world(fault_place& place) : unix_datagram_world(place) {
        while (send_now()) { ++filled_; }
    }

    task<ending> await_once() override {
        const io_result sent = co_await far_.send_to(three_bytes, address_);
        if (sent.n != (sent.ec ? 0U : 3U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override { REQUIRE(take_from_socket(near_.fd()) == 3); }
    void check_handles(const fault_tally& tally) override {
        const drained left = drain_socket(near_.fd());
        CHECK(left.times == filled_ - tally.completions + tally.completed);
        CHECK(left.bytes == 3 * static_cast<std::size_t>(left.times));  // each of them whole
    }

private:
    int filled_ = 0;
};

[[nodiscard]] std::vector<fault_entry> udp_rows() {
    return {
        fault_entry{.file = "udp_socket.hpp",
                    .awaiter = "udp_socket::recv_awaiter",
                    .what = "a datagram of UDP",
                    .make = make_world<udp_recv_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "udp_socket.hpp",
                    .awaiter = "udp_socket::segments_awaiter",
                    .what = "joined datagrams of UDP",
                    .make = make_world<udp_segments_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "udp_socket.hpp",
                    .awaiter = "udp_socket::recv_many_awaiter",
                    .what = "many datagrams of UDP",
                    .make = make_world<udp_recv_many_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "udp_socket.hpp",
                    .awaiter = "udp_socket::send_awaiter",
                    .what = "a datagram that is sent by UDP",
                    .make = make_world<udp_send_world>,
                    .cancellable = false,
                    .completes_by_itself = true,
                    .needs_descriptor = true},
        fault_entry{.file = "udp_socket.hpp",
                    .awaiter = "udp_socket::send_many_awaiter",
                    .what = "many datagrams that are sent by UDP",
                    .make = make_world<udp_send_many_world>,
                    .cancellable = false,
                    .completes_by_itself = true,
                    .never_suspends = true},
    };
}

[[nodiscard]] std::vector<fault_entry> unix_rows() {
    return {
        fault_entry{.file = "unix_seqpacket.hpp",
                    .awaiter = "unix_seqpacket::recv_awaiter",
                    .what = "a message with a descriptor",
                    .make = make_world<seqpacket_recv_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "unix_seqpacket.hpp",
                    .awaiter = "unix_seqpacket::send_awaiter",
                    .what = "room for a message with a descriptor",
                    .make = make_world<seqpacket_send_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "unix_datagram.hpp",
                    .awaiter = "unix_datagram::recv_awaiter",
                    .what = "a Unix datagram",
                    .make = make_world<unix_recv_world>,
                    .needs_descriptor = true},
        fault_entry{.file = "unix_datagram.hpp",
                    .awaiter = "unix_datagram::send_awaiter",
                    .what = "room for a Unix datagram",
                    .make = make_world<unix_send_world>,
                    .needs_descriptor = true},
    };
}

}  // namespace

std::span<const fault_entry> kernel_message_faults() {
    static const std::vector<fault_entry> all = [] {
        std::vector<fault_entry> rows = udp_rows();
        for (fault_entry& each : unix_rows()) { rows.push_back(std::move(each)); }
        return rows;
    }();
    return all;
}

}  // namespace fluxnet::test
