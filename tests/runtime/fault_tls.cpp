// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: TLS over the in-memory network. The peer of a connection is a TLS engine whose records are put
// into the network by hand, so that it acts in the very turn in which it is told to.
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "fluxnet/runtime/tls/tls_stream.hpp"
#include "tests/runtime/fault_world.hpp"
#include "tests/runtime/tls_world.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

using tls_over_memory_stream = tls_stream<memory_stream>;
using tls_side = fluxnet::detail::tls_connection<memory_stream>;

constexpr std::size_t tls_direction_bytes = 4096;

[[nodiscard]] std::shared_ptr<fluxnet::detail::memory_hub> make_tls_hub(fault_place& place) {
    memory_options options;
    options.buffer_bytes = tls_direction_bytes;
    options.fragmentation = 0;
    return std::make_shared<fluxnet::detail::memory_hub>(place.loop(), options);
}

/// A connection below TLS. End 0 is the awaited one's.
[[nodiscard]] std::shared_ptr<fluxnet::detail::memory_connection> make_tls_link(
    const std::shared_ptr<fluxnet::detail::memory_hub>& hub) {
    const proto::ipv4_address host(192, 0, 2, 1);
    const std::array<proto::ip_endpoint, 2> ends{proto::ip_endpoint{host, 1}, proto::ip_endpoint{host, 443}};
    return std::make_shared<fluxnet::detail::memory_connection>(hub, ends);
}

/// The peer's end of such a connection.
[[nodiscard]] std::unique_ptr<tls_side> make_tls_peer(std::shared_ptr<fluxnet::detail::memory_connection> link,
                                                      bool is_server) {
    auto engine = is_server ? fluxnet::detail::tls_engine::make(some_server(), "", true)
                            : fluxnet::detail::tls_engine::make(some_client(), "server.test", false);
    return std::make_unique<tls_side>(memory_stream(std::move(link), 1), std::move(engine).value());
}

/// A handshake whose peer begins when complete() lets it.
template <bool is_server>
class tls_handshake_world final : public fault_world {
public:
    explicit tls_handshake_world(fault_place& place) : place_(place), hub_(make_tls_hub(place)) {}

    task<ending> await_once() override {
        link_ = make_tls_link(hub_);
        if (std::exchange(is_owed_, false)) { begin_peer(); }
        memory_stream near(link_, 0);
        const auto made = co_await shake(std::move(near));
        if (made.has_value()) { co_return made->is_open() ? ending::completed : ending::failed; }
        co_return ending_of(made.error().code);
    }
    void complete() override {
        if (link_ == nullptr) {
            is_owed_ = true;
        } else {
            begin_peer();
        }
    }
    void let_go() noexcept override { link_.reset(); }

private:
    static task<result<tls_over_memory_stream>> shake(memory_stream near) {
        if constexpr (is_server) {
            return tls_over_memory_stream::accept(std::move(near), some_server());
        } else {
            return tls_over_memory_stream::connect(std::move(near), some_client(), "server.test");
        }
    }
    static task<void> play_peer(std::unique_ptr<tls_side> side) {
        // Fails when the awaited end has given up.
        static_cast<void>(co_await tls_side::shake_hands(*side));
    }
    void begin_peer() { place_.loop().spawn(play_peer(make_tls_peer(link_, !is_server))); }

    fault_place& place_;
    const std::shared_ptr<fluxnet::detail::memory_hub> hub_;
    std::shared_ptr<fluxnet::detail::memory_connection> link_;  // of the last await
    bool is_owed_ = false;                                      // the peer begins as soon as there is a connection
};

/// A client's stream after its handshake, and the server's engine.
class tls_client_world : public fault_world {
public:
    explicit tls_client_world(fault_place& place)
        : place_(place), link_(make_tls_link(make_tls_hub(place))), peer_(make_tls_peer(link_, true)) {
        place.loop().run(meet());
    }

    void let_go() noexcept override {
        near_.close();
        peer_->below.reset();
    }

protected:
    /// The bytes that go to the client's end, and those that come from it.
    [[nodiscard]] fluxnet::detail::memory_way& in() { return link_->to(0); }
    [[nodiscard]] fluxnet::detail::memory_way& out() { return link_->to(1); }
    [[nodiscard]] fluxnet::detail::tls_engine& peer() { return *peer_->engine; }

    fault_place& place_;
    tls_over_memory_stream near_;

private:
    task<void> meet() {
        scope answering;
        answering.spawn(tls_side::shake_hands(*peer_));
        memory_stream below(link_, 0);
        const tls_context context = some_client();
        const std::string host = "server.test";
        auto made = co_await tls_over_memory_stream::connect(std::move(below), context, host);
        const wait_result ended = co_await answering.join();
        CHECK(!ended);
        near_ = std::move(made).value();
    }

    const std::shared_ptr<fluxnet::detail::memory_connection> link_;
    const std::unique_ptr<tls_side> peer_;
};

/// What awaits bytes of which complete() sends one at a time.
class tls_bytes_world : public tls_client_world {
public:
    using tls_client_world::tls_client_world;

    void complete() override {
        const std::byte one{1};
        REQUIRE(peer().write(std::span(&one, 1)).n == 1);
        const std::span<const std::byte> records = peer().unsent();
        REQUIRE(in().put(records) == records.size());
        peer().sent(records.size());
    }
    void check_handles(const fault_tally& tally) override {
        // What no await got comes to the next one.
        while (read_ < static_cast<std::size_t>(tally.completions)) {
            REQUIRE(place_.loop().run(await_once()) == ending::completed);
        }
        CHECK(read_ == static_cast<std::size_t>(tally.completions));
        CHECK(in().there() == 0);
        CHECK(in().reader == nullptr);
    }

protected:
    [[nodiscard]] ending have_read(std::size_t count, std::error_code ec) {
        read_ += count;
        return (count != 0) == static_cast<bool>(ec) ? ending::failed : ending_of(ec);
    }

private:
    std::size_t read_ = 0;
};

class tls_read_world final : public tls_bytes_world {
public:
    using tls_bytes_world::tls_bytes_world;

    task<ending> await_once() override {
        std::array<std::byte, 4> room{};
        const io_result got = co_await near_.read(room);
        co_return have_read(got.n, got.ec);
    }
};

class tls_borrow_world final : public tls_bytes_world {
public:
    using tls_bytes_world::tls_bytes_world;

    task<ending> await_once() override {
        const auto lent = co_await near_.read_borrowed();
        co_return have_read(lent.buffer.bytes().size(), lent.ec);
    }
};

/// A direction full of bytes that are none of TLS's, which complete() takes out.
class tls_full_world : public tls_client_world {
public:
    explicit tls_full_world(fault_place& place) : tls_client_world(place) {
        const std::vector<std::byte> bytes(tls_direction_bytes);
        REQUIRE(out().put(bytes) == bytes.size());
    }

    void complete() override {
        if (!std::exchange(is_full_, false)) { return; }
        std::vector<std::byte> bytes(tls_direction_bytes);
        REQUIRE(out().take(bytes) == bytes.size());
    }

protected:
    /// Gives the peer all that has arrived there, and lets it read.
    [[nodiscard]] io_result read_at_peer(std::span<std::byte> into) {
        complete();
        if (out().there() != 0) {
            std::vector<std::byte> records(out().there());
            REQUIRE(out().take(records) == records.size());
            peer().feed(records);
        }
        return peer().read(into);
    }

private:
    bool is_full_ = true;
};

class tls_write_world final : public tls_full_world {
public:
    using tls_full_world::tls_full_world;

    task<ending> await_once() override {
        const std::array<std::byte, 2> two{};
        const io_result sent = co_await near_.write(two);
        told_ += sent.n;
        last_ = ending_of(sent.ec);
        co_return last_ == ending::completed&& sent.n != 2 ? ending::failed : last_;
    }
    void check_handles(const fault_tally&) override {
        std::size_t arrived = 0;
        std::array<std::byte, 8> room{};
        for (io_result got = read_at_peer(room); got.n != 0; got = read_at_peer(room)) { arrived += got.n; }
        // The record of a write that was cancelled goes with the next write.
        CHECK((arrived == told_ || (last_ == ending::canceled && arrived + 2 == told_)));
        CHECK(out().writer == nullptr);
    }

private:
    std::size_t told_ = 0;
    ending last_ = ending::none;
};

class tls_shutdown_world final : public tls_full_world {
public:
    using tls_full_world::tls_full_world;

    task<ending> await_once() override {
        const wait_result ended = co_await near_.shutdown_write();
        co_return ending_of(ended);
    }
    void check_handles(const fault_tally& tally) override {
        std::array<std::byte, 8> room{};
        const io_result got = read_at_peer(room);
        CHECK(got.n == 0);
        if (tally.completed == 0) { return; }
        CHECK(got.ec == errc::end_of_stream);
        CHECK(out().fin_arrived());
    }
};

[[nodiscard]] fault_entry tls_row(const char* awaiter, const char* what,
                                  std::unique_ptr<fault_world> (*make)(fault_place&)) {
    return {.file = "tls_stream.hpp", .awaiter = awaiter, .what = what, .make = make};
}

}  // namespace

std::span<const fault_entry> tls_faults() {
    static const std::array all{
        tls_row("connect", "a client's handshake", make_world<tls_handshake_world<false>>),
        tls_row("accept", "a server's handshake", make_world<tls_handshake_world<true>>),
        tls_row("read", "decrypted bytes", make_world<tls_read_world>),
        tls_row("read_borrowed", "decrypted bytes that are lent", make_world<tls_borrow_world>),
        tls_row("write", "room for a record", make_world<tls_write_world>),
        tls_row("shutdown_write", "room for the record that ends a direction", make_world<tls_shutdown_world>),
    };
    return all;
}

}  // namespace fluxnet::test
