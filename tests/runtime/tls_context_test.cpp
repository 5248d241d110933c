// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/tls/tls_context.hpp"

#include "fluxnet/runtime/tls/tls_stream.hpp"
#include "tests/runtime/memory_world.hpp"
#include "tests/runtime/tls_world.hpp"

#include <doctest/doctest.h>

#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

static_assert(std::is_nothrow_copy_constructible_v<tls_context>);

namespace {

/// What the two peers of a handshake in memory came to.
struct tls_outcome {
    std::error_code near;
    std::error_code far;
    std::string near_text;
    std::string protocol;
};

tls_outcome outcome_of(const tls_context& client, const tls_context& server, const std::string& host) {
    memory_world here;
    tls_outcome came;
    const auto body = [&]() -> task<void> {
        auto two = memory_pair(here.net);
        auto both = co_await shake_hands<memory_stream>(std::move(two.first), std::move(two.second), client, server, host);
        if (!both.near) {
            came.near = both.near.error().code;
            came.near_text = both.near.error().message();
        } else {
            came.protocol = both.near->protocol();
        }
        if (!both.far) { came.far = both.far.error().code; }
    };
    here.loop.run(body());
    return came;
}

}  // namespace

TEST_CASE("a certificate that is not to be trusted is refused by its reason") {
    const identity& own = some_identity();
    const identity other = make_identity({.name = "other.test"});
    const identity expired = make_identity({.name = "server.test", .issuer = &own, .from = -7200, .until = -3600});
    const identity early = make_identity({.name = "server.test", .issuer = &own, .from = 3600, .until = 7200});
    const identity signed_by_other = make_identity({.name = "server.test", .issuer = &other});
    const identity signed_by_own = make_identity({.name = "server.test", .issuer = &own});
    struct row {
        const char* what;
        const identity& server;
        const char* host;
        std::error_code expected;
    };
    const std::vector<row> rows{
        {"trusted itself", own, "server.test", no_error},
        {"signed by a trusted one", signed_by_own, "server.test", no_error},
        {"by its name with the dot at its end", signed_by_own, "server.test.", no_error},
        {"by its address", signed_by_own, "127.0.0.1", no_error},
        {"wrong host", signed_by_own, "elsewhere.test", tls_errc::certificate_wrong_host},
        {"wrong address", signed_by_own, "127.0.0.2", tls_errc::certificate_wrong_host},
        {"expired", expired, "server.test", tls_errc::certificate_expired},
        {"not yet valid", early, "server.test", tls_errc::certificate_not_yet_valid},
        {"self-signed", other, "other.test", tls_errc::certificate_self_signed},
        {"untrusted", signed_by_other, "server.test", tls_errc::certificate_untrusted},
    };
    for (const row& each : rows) {
        CAPTURE(each.what);
        const tls_context server = tls_context::server(showing(each.server)).value();
        const tls_outcome came = outcome_of(some_client(), server, each.host);
        CAPTURE(came.near_text);
        CHECK(came.near == each.expected);
        if (!each.expected) { continue; }
        CHECK(came.far == tls_errc::alert_received);
        CHECK(came.near_text.find("TLS handshake with " + std::string(each.host)) == 0);
        CHECK(came.near_text.find("certificate verify failed: ") != std::string::npos);
    }
}

TEST_CASE("a client that does not verify talks to anybody and one with the system's authorities does not") {
    tls_options lax;
    lax.verify = false;
    CHECK(!outcome_of(tls_context::client(lax).value(), some_server(), "elsewhere.test").near);
    CHECK(!outcome_of(tls_context::client(lax).value(), some_server(), "").near);
    CHECK(outcome_of(tls_context::client().value(), some_server(), "server.test").near == tls_errc::certificate_self_signed);
}

TEST_CASE("a server that trusts an authority demands its clients' certificates") {
    tls_options demanding = showing(some_identity());
    demanding.trusted_text = some_identity().certificate_text;
    const tls_context server = tls_context::server(demanding).value();
    const identity guest = make_identity({.name = "guest.test", .issuer = &some_identity()});
    tls_options with = showing(guest);
    with.trusted_text = some_identity().certificate_text;
    const tls_outcome known = outcome_of(tls_context::client(with).value(), server, "server.test");
    CHECK(!known.near);
    CHECK(!known.far);
    CHECK(outcome_of(some_client(), server, "server.test").far == tls_errc::protocol_failure);
}

TEST_CASE("the server's first protocol that the client offers is chosen") {
    tls_options offering = trusting(some_identity());
    offering.protocols = {"http/1.1", "h2"};
    tls_options choosing = showing(some_identity());
    choosing.protocols = {"h3", "h2", "http/1.1"};
    const tls_context client = tls_context::client(offering).value();
    CHECK(outcome_of(client, tls_context::server(choosing).value(), "server.test").protocol == "h2");
    CHECK(outcome_of(client, some_server(), "server.test").protocol.empty());
    choosing.protocols = {"smtp"};
    CHECK(outcome_of(client, tls_context::server(choosing).value(), "server.test").near == tls_errc::alert_received);
}

TEST_CASE("options that cannot work are named") {
    const auto text_of_failure = [](const result<tls_context>& made) {
        REQUIRE(!made);
        CHECK(made.error().code == errc::invalid_option);
        return made.error().message();
    };
    CHECK(text_of_failure(tls_context::server({})).find("no certificate") != std::string::npos);
    tls_options missing = showing(some_identity());
    missing.key_file = "/nonexistent/key.pem";
    CHECK(text_of_failure(tls_context::server(missing))
              .find("key_file /nonexistent/key.pem: ENOENT (No such file or directory); give") != std::string::npos);
    tls_options mixed = showing(some_identity());
    mixed.key_text = make_identity().key_text;
    CHECK(text_of_failure(tls_context::server(mixed)).find("key values mismatch") != std::string::npos);
    tls_options damaged;
    damaged.trusted_text = some_identity().certificate_text + "-----BEGIN CERTIFICATE-----\nMII\n";
    CHECK(text_of_failure(tls_context::client(damaged)).find("trusted_text") != std::string::npos);
    tls_options nameless;
    nameless.protocols = {""};
    CHECK(text_of_failure(tls_context::client(nameless)).find("protocol name") != std::string::npos);
    CHECK(outcome_of(some_client(), some_server(), "").near == errc::invalid_option);
    CHECK(outcome_of(some_client(), some_server(), ".test").near == errc::invalid_option);
    CHECK(outcome_of(some_server(), some_server(), "server.test").near == errc::invalid_option);
}

TEST_CASE("a context and a stream that were moved from are closed") {
    memory_world here;
    const auto body = [&]() -> task<void> {
        const identity& own = some_identity();
        tls_context client = tls_context::client({.trusted_text = own.certificate_text}).value();
        const tls_context moved = std::move(client);
        auto two = memory_pair(here.net);
        auto refused = co_await tls_stream<memory_stream>::connect(std::move(two.first), client, "server.test");
        REQUIRE(refused.has_error());
        CHECK(refused.error().code == errc::closed);
        const tls_stream<memory_stream> none;
        CHECK_FALSE(none.is_open());
        CHECK(none.protocol().empty());
        CHECK(none.failure_text().empty());
    };
    here.loop.run(body());
}
