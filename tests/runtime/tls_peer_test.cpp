// SPDX-License-Identifier: BSD-3-Clause
// TLS against peers that do what ours do not: OpenSSL itself in the test's hands, which decides what arrives and when.
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/tls/tls_stream.hpp"
#include "tests/runtime/memory_world.hpp"
#include "tests/runtime/socket_tests.hpp"
#include "tests/runtime/tls_world.hpp"

#include <doctest/doctest.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

using tls_near = tls_stream<memory_stream>;

/// Gives a ticket more than a record of this peer's holds.
int make_ticket_large(SSL* of, void*) {
    std::array<unsigned char, 2000> filling{};
    return ::SSL_SESSION_set1_ticket_appdata(::SSL_get_session(of), filling.data(), filling.size());
}

SSL_TICKET_RETURN use_no_ticket(SSL*, SSL_SESSION*, const unsigned char*, std::size_t, SSL_TICKET_STATUS, void*) {
    return SSL_TICKET_RETURN_IGNORE;
}

/// One end of a connection. Sends no ticket by itself, and records of 512 bytes.
class raw_peer {
public:
    raw_peer(bool is_server, int oldest, int newest) : context_(::SSL_CTX_new(::TLS_method()), ::SSL_CTX_free) {
        SSL_CTX* const shared = context_.get();
        REQUIRE(shared != nullptr);
        REQUIRE(::SSL_CTX_set_min_proto_version(shared, oldest) == 1);
        REQUIRE(::SSL_CTX_set_max_proto_version(shared, newest) == 1);
        REQUIRE(::SSL_CTX_set_cipher_list(shared, "DEFAULT:@SECLEVEL=0") == 1);
        REQUIRE(::SSL_CTX_set_num_tickets(shared, 0) == 1);
        REQUIRE(::SSL_CTX_set_session_ticket_cb(shared, make_ticket_large, use_no_ticket, nullptr) == 1);
        REQUIRE(::SSL_CTX_set_max_send_fragment(shared, 512) == 1);
        if (is_server) {
            REQUIRE(::SSL_CTX_use_certificate(shared, some_identity().certificate.get()) == 1);
            REQUIRE(::SSL_CTX_use_PrivateKey(shared, some_identity().key.get()) == 1);
        }
        ssl_.reset(::SSL_new(shared), ::SSL_free);
        in_ = ::BIO_new(::BIO_s_mem());
        out_ = ::BIO_new(::BIO_s_mem());
        ::BIO_set_mem_eof_return(in_, -1);
        ::SSL_set_bio(ssl_.get(), in_, out_);
        is_server ? ::SSL_set_accept_state(ssl_.get()) : ::SSL_set_connect_state(ssl_.get());
    }

    [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }

    /// Takes what the peer wants to be sent.
    [[nodiscard]] std::vector<std::byte> take() {
        std::vector<std::byte> made(::BIO_ctrl_pending(out_));
        if (!made.empty()) { static_cast<void>(::BIO_read(out_, made.data(), static_cast<int>(made.size()))); }
        return made;
    }

    /// Sends what the peer has made.
    task<void> send(memory_stream& over) {
        const std::vector<std::byte> made = take();
        static_cast<void>(co_await over.write(made));
    }

    /// Gives the peer what arrives next.
    task<void> receive(memory_stream& over) {
        std::array<std::byte, 4096> room{};
        const io_result got = co_await over.read(room);
        REQUIRE(!got.ec);
        REQUIRE(::BIO_write(in_, room.data(), static_cast<int>(got.n)) == static_cast<int>(got.n));
    }

    task<void> shake_hands(memory_stream& over) {
        for (;;) {
            const int came = ::SSL_do_handshake(ssl());
            co_await send(over);
            if (came == 1) { co_return; }
            REQUIRE(::SSL_get_error(ssl(), came) == SSL_ERROR_WANT_READ);
            co_await receive(over);
        }
    }

    void write(std::string_view text) {
        REQUIRE(::SSL_write(ssl(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()));
    }

    /// The next bytes that arrive, or what OpenSSL says then.
    task<std::string> read(memory_stream& over) {
        std::array<char, 100> room{};
        for (;;) {
            ::ERR_clear_error();
            const int came = ::SSL_read(ssl(), room.data(), static_cast<int>(room.size()));
            if (came > 0) { co_return std::string(room.data(), static_cast<std::size_t>(came)); }
            const int why = ::SSL_get_error(ssl(), came);
            if (why == SSL_ERROR_ZERO_RETURN) { co_return "(end)"; }
            if (why != SSL_ERROR_WANT_READ) { co_return ::ERR_reason_error_string(::ERR_peek_last_error()); }
            co_await receive(over);
        }
    }

private:
    std::shared_ptr<SSL_CTX> context_;
    std::shared_ptr<SSL> ssl_;
    BIO* in_ = nullptr;
    BIO* out_ = nullptr;
};

/// Runs `body` with a stream of ours that is joined to `far`, over `below`.
template <class Body>
void with_raw_server(Body body) {
    memory_world here;
    const auto whole = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        raw_peer far(true, TLS1_2_VERSION, TLS1_3_VERSION);
        scope shaking;
        shaking.spawn(far.shake_hands(two.second));
        result<tls_near> near = co_await tls_near::connect(std::move(two.first), some_client(), "server.test");
        REQUIRE(near.has_value());
        const wait_result ended = co_await shaking.join();
        CHECK(!ended);
        co_await body(*near, far, two.second);
    };
    here.loop.run(whole());
}

/// Writes a text and tells when it has.
task<void> write_and_note(tls_near& to, bool& done) {
    const io_result sent = co_await to.write(bytes_of("hello"));
    CHECK(!sent.ec);
    CHECK(sent.n == 5);
    done = true;
}

task<void> end_and_note(tls_near& to, bool& done) {
    const wait_result ended = co_await to.shutdown_write();
    CHECK(!ended);
    done = true;
}

}  // namespace

TEST_CASE("the host's name is asked for") {
    with_raw_server([](tls_near&, raw_peer& far, memory_stream&) -> task<void> {
        CHECK(std::string(::SSL_get_servername(far.ssl(), TLSEXT_NAMETYPE_host_name)) == "server.test");
        co_return;
    });
}

TEST_CASE("a writer waits for the rest of a message about the connection") {
    for (const bool has_reader : {false, true}) {
        for (const bool ends : {false, true}) {
            with_raw_server([=](tls_near& near, raw_peer& far, memory_stream& over) -> task<void> {
                REQUIRE(::SSL_new_session_ticket(far.ssl()) == 1);
                REQUIRE(::SSL_do_handshake(far.ssl()) == 1);
                const std::vector<std::byte> ticket = far.take();
                REQUIRE(ticket.size() > 1500);
                static_cast<void>(co_await over.write(std::span(ticket).first(1000)));
                std::array<std::byte, 100> room{};
                const timed<io_result> none = co_await timeout(1ms, near.read(room));
                CHECK(none.expired);
                io_result got{errc::not_awaitable, 0};
                bool done = false;
                scope both;
                if (has_reader) {
                    both.spawn([&]() -> task<void> { got = co_await near.read(room); });
                    static_cast<void>(co_await sleep_for(1ms));
                }
                both.spawn(ends ? end_and_note(near, done) : write_and_note(near, done));
                static_cast<void>(co_await sleep_for(1ms));
                CHECK(!done);
                static_cast<void>(co_await over.write(std::span(ticket).subspan(1000)));
                const std::string heard = co_await far.read(over);
                CHECK(heard == (ends ? "(end)" : "hello"));
                far.write("answer");
                co_await far.send(over);
                if (!has_reader) { got = co_await near.read(room); }
                const wait_result joined = co_await both.join();
                CHECK(!joined);
                CHECK(done);
                CHECK(text_of(std::span(room).first(got.n)) == "answer");
            });
        }
    }
}

TEST_CASE("a writer that waits for a reader's bytes goes on when the reader is cancelled") {
    with_raw_server([](tls_near& near, raw_peer& far, memory_stream& over) -> task<void> {
        REQUIRE(::SSL_new_session_ticket(far.ssl()) == 1);
        REQUIRE(::SSL_do_handshake(far.ssl()) == 1);
        const std::vector<std::byte> ticket = far.take();
        static_cast<void>(co_await over.write(std::span(ticket).first(1000)));
        bool done = false;
        scope reading;
        scope writing;
        reading.spawn([&]() -> task<void> {
            std::array<std::byte, 100> room{};
            const io_result got = co_await near.read(room);
            CHECK(got.ec == errc::operation_canceled);
        });
        static_cast<void>(co_await sleep_for(1ms));
        writing.spawn(write_and_note(near, done));
        static_cast<void>(co_await sleep_for(1ms));
        reading.request_stop();
        const wait_result ended = co_await reading.join();
        CHECK(!ended);
        static_cast<void>(co_await over.write(std::span(ticket).subspan(1000)));
        const std::string heard = co_await far.read(over);
        CHECK(heard == "hello");
        const wait_result joined = co_await writing.join();
        CHECK(!joined);
    });
}

TEST_CASE("key updates are answered with the next write") {
    with_raw_server([](tls_near& near, raw_peer& far, memory_stream& over) -> task<void> {
        std::array<std::byte, 1> room{};
        for (int i = 0; i != 10; ++i) {
            REQUIRE(::SSL_key_update(far.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
            far.write("x");
            co_await far.send(over);
            const io_result got = co_await near.read(room);
            CHECK(!got.ec);
        }
        const io_result sent = co_await near.write(bytes_of("new keys"));
        CHECK(!sent.ec);
        const std::string heard = co_await far.read(over);
        CHECK(heard == "new keys");
    });
}

TEST_CASE("a peer that asks for key updates without end is cut off") {
    with_raw_server([](tls_near& near, raw_peer& far, memory_stream& over) -> task<void> {
        std::array<std::byte, 1> room{};
        io_result got;
        int rounds = 0;
        for (; !got.ec && rounds != 10'000; ++rounds) {
            REQUIRE(::SSL_key_update(far.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
            far.write("x");
            co_await far.send(over);
            got = co_await near.read(room);
        }
        CHECK(rounds > 1000);
        CHECK(got.ec == tls_errc::protocol_failure);
        CHECK(near.failure_text().find("key updates") != std::string::npos);
    });
}

TEST_CASE("renegotiation is refused and the connection goes on") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        raw_peer far(false, TLS1_2_VERSION, TLS1_2_VERSION);
        scope both;
        both.spawn(far.shake_hands(two.second));
        result<tls_near> near = co_await tls_near::accept(std::move(two.first), some_server());
        REQUIRE(near.has_value());
        const wait_result ended = co_await both.join();
        CHECK(!ended);
        REQUIRE(::SSL_renegotiate(far.ssl()) == 1);
        CHECK(::SSL_do_handshake(far.ssl()) != 1);
        co_await far.send(two.second);
        std::array<std::byte, 100> room{};
        const timed<io_result> none = co_await timeout(1ms, near->read(room));
        CHECK(none.expired);
        const io_result sent = co_await near->write(bytes_of("no"));
        CHECK(!sent.ec);
        const std::string heard = co_await far.read(two.second);
        CHECK(heard == "no renegotiation");
    };
    here.loop.run(body());
}

TEST_CASE("a peer that speaks nothing newer than TLS 1.1 is refused") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        raw_peer far(false, TLS1_VERSION, TLS1_1_VERSION);
        CHECK(::SSL_do_handshake(far.ssl()) != 1);
        co_await far.send(two.second);
        const result<tls_near> near = co_await tls_near::accept(std::move(two.first), some_server());
        REQUIRE(!near);
        CHECK(near.error().code == tls_errc::protocol_failure);
        CHECK(near.error().cause == "unsupported protocol");
        const std::string heard = co_await far.read(two.second);
        CHECK(heard == "tlsv1 alert protocol version");
    };
    here.loop.run(body());
}

TEST_CASE("a message of the handshake that is too large is refused at its beginning") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        std::string hello("\x16\x03\x01\x40\x00\x01\xff\xff\xff", 9);
        hello.resize(5 + 16'384);
        static_cast<void>(co_await two.second.write(bytes_of(hello)));
        const result<tls_near> near = co_await tls_near::accept(std::move(two.first), some_server());
        REQUIRE(!near);
        CHECK(near.error().code == tls_errc::protocol_failure);
        CHECK(near.error().cause == "excessive message size");
    };
    here.loop.run(body());
}

TEST_CASE("a record that is cut short is told as that and not as the end of the stream") {
    with_raw_server([](tls_near& near, raw_peer& far, memory_stream& over) -> task<void> {
        far.write("whole");
        far.write("cut off");
        std::vector<std::byte> records = far.take();
        records.pop_back();
        static_cast<void>(co_await over.write(records));
        static_cast<void>(co_await over.shutdown_write());
        std::array<std::byte, 100> room{};
        const io_result got = co_await near.read(room);
        CHECK(text_of(std::span(room).first(got.n)) == "whole");
        const io_result rest = co_await near.read(room);
        CHECK(rest.ec == tls_errc::truncated);
        CHECK(rest.n == 0);
    });
}

TEST_CASE("what comes after a close_notify is not read") {
    with_raw_server([](tls_near& near, raw_peer& far, memory_stream& over) -> task<void> {
        CHECK(::SSL_shutdown(far.ssl()) == 0);
        co_await far.send(over);
        static_cast<void>(co_await over.write(bytes_of("this is no record")));
        std::array<std::byte, 100> room{};
        for (int i = 0; i != 2; ++i) {
            const io_result got = co_await near.read(room);
            CHECK(got.ec == errc::end_of_stream);
        }
        const io_result sent = co_await near.write(bytes_of("still heard"));
        CHECK(!sent.ec);
        const std::string heard = co_await far.read(over);
        CHECK(heard == "still heard");
    });
}
