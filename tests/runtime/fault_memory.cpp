// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: streams, listeners and datagram sockets of the in-memory network.
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "tests/runtime/fault_world.hpp"

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace fluxnet::test {
namespace {

[[nodiscard]] proto::ip_endpoint somewhere(std::uint16_t port) {
    return {proto::ipv4_address(192, 0, 2, 1), port};
}

[[nodiscard]] memory_options four_bytes() {
    memory_options options;
    options.buffer_bytes = 4;
    options.fragmentation = 0;
    return options;
}

/// A connection of which one end is awaited, and the other one's part is played without awaiting.
class connection_world : public fault_world {
public:
    explicit connection_world(fault_place& place)
        : hub_(std::make_shared<fluxnet::detail::memory_hub>(place.loop(), four_bytes())) {}

    void let_go() noexcept override {
        near_.close();
        far_.close();
    }

protected:
    /// What goes to the awaited end.
    [[nodiscard]] fluxnet::detail::memory_way& in() { return connection_->to(0); }
    [[nodiscard]] fluxnet::detail::memory_way& out() { return connection_->to(1); }

    std::shared_ptr<fluxnet::detail::memory_hub> hub_;
    std::shared_ptr<fluxnet::detail::memory_connection> connection_ =
        std::make_shared<fluxnet::detail::memory_connection>(hub_, std::array{somewhere(1), somewhere(2)});
    memory_stream near_{connection_, 0};
    memory_stream far_{connection_, 1};
};

class read_world final : public connection_world {
public:
    using connection_world::connection_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const io_result got = co_await near_.read(room);
        read_ += got.n;
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override {
        const std::byte one{1};
        REQUIRE(in().put(std::span(&one, 1)) == 1);
    }
    void check_handles(const fault_tally& tally) override {
        CHECK(in().there() + read_ == static_cast<std::size_t>(tally.completions));
        CHECK(in().reader == nullptr);
    }

private:
    std::size_t read_ = 0;
};

class borrow_world final : public connection_world {
public:
    using connection_world::connection_world;

    task<ending> await_once() override {
        const auto lent = co_await near_.read_borrowed();
        read_ += lent.buffer.bytes().size();
        if (lent.buffer.bytes().empty() != static_cast<bool>(lent.ec)) { co_return ending::failed; }
        co_return ending_of(lent.ec);
    }
    void complete() override {
        const std::byte one{1};
        REQUIRE(in().put(std::span(&one, 1)) == 1);
    }
    void check_handles(const fault_tally& tally) override {
        CHECK(in().there() + read_ == static_cast<std::size_t>(tally.completions));
        CHECK(in().reader == nullptr);
    }

private:
    std::size_t read_ = 0;
};

/// A full direction, of which complete() takes two bytes; the await writes two.
class write_world final : public connection_world {
public:
    explicit write_world(fault_place& place) : connection_world(place) {
        const std::array<std::byte, 4> full{};
        REQUIRE(out().put(full) == 4);
    }

    task<ending> await_once() override {
        const std::array<std::byte, 2> two{};
        const io_result sent = co_await near_.write(two);
        if (sent.n != (sent.ec ? 0U : 2U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override {
        std::array<std::byte, 2> room{};
        REQUIRE(out().take(room) == 2);
    }
    void check_handles(const fault_tally& tally) override {
        CHECK(out().there() == static_cast<std::size_t>(4 - 2 * tally.completions + 2 * tally.completed));
        CHECK(out().writer == nullptr);
    }
};

class shutdown_world final : public connection_world {
public:
    using connection_world::connection_world;

    task<ending> await_once() override {
        const wait_result ended = co_await near_.shutdown_write();
        co_return ending_of(ended);
    }
    void complete() override {}
    void check_handles(const fault_tally& tally) override { CHECK((out().fin_arrived() || tally.completed == 0)); }
};

class accept_world final : public fault_world {
public:
    explicit accept_world(fault_place& place)
        : hub_(std::make_shared<fluxnet::detail::memory_hub>(place.loop(), four_bytes())),
          door_(std::make_unique<fluxnet::detail::memory_door>(hub_, somewhere(80), 4)) {}

    task<ending> await_once() override {
        const auto peer = co_await door_->accept();
        if (peer.has_value() && !peer->is_open()) { co_return ending::failed; }
        co_return peer.has_value() ? ending::completed : ending_of(peer.error().code);
    }
    void complete() override {
        auto made = std::make_shared<fluxnet::detail::memory_connection>(hub_, std::array{somewhere(1), somewhere(80)});
        hub_->door_at(somewhere(80))->push(std::move(made));
    }
    void check_handles(const fault_tally& tally) override {
        CHECK(hub_->door_at(somewhere(80))->has_waiting() == (tally.completed < tally.completions));
    }
    void let_go() noexcept override { door_.reset(); }

private:
    std::shared_ptr<fluxnet::detail::memory_hub> hub_;
    std::optional<memory_listener> door_;
};

class connect_world final : public fault_world {
public:
    explicit connect_world(fault_place& place) : net_(place.loop()), door_(net_.listen(somewhere(80)).value()) {}

    task<ending> await_once() override {
        const auto made = co_await net_.connect(somewhere(80));
        if (made.has_value() && !made->is_open()) { co_return ending::failed; }
        co_return made.has_value() ? ending::completed : ending_of(made.error().code);
    }
    void complete() override {}
    void let_go() noexcept override { door_.reset(); }
    void check(const fault_tally& tally) override {
        CHECK(net_.counts().connections >= static_cast<std::uint64_t>(tally.completed));
    }

private:
    memory_network net_;
    std::optional<memory_listener> door_;
};

class datagram_world : public fault_world {
public:
    explicit datagram_world(fault_place& place)
        : hub_(std::make_shared<fluxnet::detail::memory_hub>(place.loop(), memory_options())),
          socket_(std::make_unique<fluxnet::detail::memory_mailbox>(hub_, somewhere(5))) {}

    void let_go() noexcept override { socket_.reset(); }

protected:
    std::shared_ptr<fluxnet::detail::memory_hub> hub_;
    std::optional<memory_datagram_socket> socket_;
};

class recv_from_world final : public datagram_world {
public:
    using datagram_world::datagram_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const datagram_result got = co_await socket_->recv_from(room);
        if (got.n != (got.ec ? 0U : 3U)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override {
        const std::array<std::byte, 3> three{};
        REQUIRE(!hub_->send(three, somewhere(6), somewhere(5), pace_));
    }
    void check_handles(const fault_tally& tally) override {
        CHECK(hub_->mailbox_at(somewhere(5))->has_datagram() == (tally.completed < tally.completions));
    }

private:
    fluxnet::detail::memory_pace pace_;
};

class send_to_world final : public datagram_world {
public:
    using datagram_world::datagram_world;

    task<ending> await_once() override {
        const std::array<std::byte, 3> three{};
        const io_result sent = co_await socket_->send_to(three, somewhere(5));
        if (sent.n != (sent.ec ? 0U : 3U)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override {}
    void check(const fault_tally& tally) override {
        CHECK(hub_->counts.sent >= static_cast<std::uint64_t>(tally.completed));
    }
};

}  // namespace

std::span<const fault_entry> memory_faults() {
    static const std::array all{
        fault_entry{.file = "memory_stream.hpp",
                    .awaiter = "memory_stream::read_awaiter",
                    .what = "bytes of an in-memory stream",
                    .make = make_world<read_world>},
        fault_entry{.file = "memory_stream.hpp",
                    .awaiter = "memory_stream::borrow_awaiter",
                    .what = "bytes that an in-memory stream lends",
                    .make = make_world<borrow_world>},
        fault_entry{.file = "memory_stream.hpp",
                    .awaiter = "memory_stream::write_awaiter",
                    .what = "room in an in-memory stream",
                    .make = make_world<write_world>},
        fault_entry{.file = "memory_stream.hpp",
                    .awaiter = "memory_stream::shutdown_awaiter",
                    .what = "the end of an in-memory stream",
                    .make = make_world<shutdown_world>,
                    .cancellable = false,
                    .completes_by_itself = true},
        fault_entry{.file = "memory_listener.hpp",
                    .awaiter = "memory_listener::accept_awaiter",
                    .what = "a connection at an in-memory listener",
                    .make = make_world<accept_world>},
        fault_entry{.file = "memory_network.hpp",
                    .awaiter = "memory_network::connect_awaiter",
                    .what = "a connection to an in-memory listener",
                    .make = make_world<connect_world>,
                    .cancellable = false,
                    .completes_by_itself = true},
        fault_entry{.file = "memory_datagram_socket.hpp",
                    .awaiter = "memory_datagram_socket::recv_awaiter",
                    .what = "a datagram in memory",
                    .make = make_world<recv_from_world>},
        fault_entry{.file = "memory_datagram_socket.hpp",
                    .awaiter = "memory_datagram_socket::send_awaiter",
                    .what = "a datagram that is sent in memory",
                    .make = make_world<send_to_world>,
                    .cancellable = false,
                    .completes_by_itself = true},
    };
    return all;
}

}  // namespace fluxnet::test
