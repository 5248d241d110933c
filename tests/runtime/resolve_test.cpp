// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/resolve.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <netdb.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::ip_endpoint;

namespace {

resolved answer_of(executor& loop, fluxnet::detail::look_up_function look, std::string host, std::string service,
                   resolve_options options = {}) {
    return loop.run(fluxnet::detail::resolve_by(look, std::move(host), std::move(service), options));
}

resolved never_asked(const std::string&, const std::string&, const resolve_options&) {
    FAIL("a numeric address was looked up");
    return std::vector<ip_endpoint>();
}

/// A new root directory has no /etc/hosts yet, and may have no network to ask.
std::optional<std::string> why_no_localhost() {
    addrinfo* found = nullptr;
    addrinfo wanted{};
    wanted.ai_family = AF_INET;
    const int failed = ::getaddrinfo("localhost", nullptr, &wanted, &found);
    if (failed != 0) { return std::string("this machine does not know the name localhost: ") + ::gai_strerror(failed); }
    ::freeaddrinfo(found);
    return std::nullopt;
}

// What the slow look-up shares with its test: it outlives the await that was cancelled.
std::atomic<bool> slow_begun = false;
std::atomic<bool> slow_may_end = false;

resolved slow_look_up(const std::string&, const std::string&, const resolve_options&) {
    slow_begun = true;
    while (!slow_may_end.load()) { std::this_thread::sleep_for(1ms); }
    return std::vector<ip_endpoint>(1);
}

}  // namespace

TEST_CASE("a numeric address is there at once, in virtual time too") {
    virtual_clock clock(1);
    executor loop(clock);
    const auto v4 = answer_of(loop, never_asked, "192.0.2.1", "80");
    REQUIRE(v4.has_value());
    CHECK(*v4 == std::vector{ip_endpoint::parse("192.0.2.1:80").value()});
    const auto v6 = answer_of(loop, never_asked, "2001:db8::1", "443");
    REQUIRE(v6.has_value());
    CHECK(*v6 == std::vector{ip_endpoint::parse("[2001:db8::1]:443").value()});
    const auto scoped = answer_of(loop, never_asked, "fe80::1%3", "0");
    REQUIRE(scoped.has_value());
    CHECK(scoped->front().scope == 3);
    CHECK(clock.elapsed() == 0ns);
}

TEST_CASE("a numeric address of the other version is refused") {
    executor loop;
    const auto v4 = answer_of(loop, never_asked, "192.0.2.1", "80", {.version = ip_version::v6});
    REQUIRE_FALSE(v4.has_value());
    CHECK(v4.error().code == resolve_errc::no_address);
    CHECK(v4.error().code == std::errc::address_family_not_supported);
    CHECK(v4.error().step == "resolve host \"192.0.2.1\" service \"80\"");
    const auto v6 = answer_of(loop, never_asked, "::1", "80", {.version = ip_version::v4});
    REQUIRE_FALSE(v6.has_value());
    CHECK(v6.error().code == resolve_errc::no_address);
    CHECK_FALSE(v6.error().remedy.empty());
}

TEST_CASE("a name that is empty or has a zero octet is refused") {
    executor loop;
    for (const std::string& host : {std::string(), std::string("a\0b", 3)}) {
        const auto refused = answer_of(loop, never_asked, host, "80");
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code == errc::invalid_option);
    }
    CHECK(answer_of(loop, never_asked, "192.0.2.1", "").error().code == errc::invalid_option);
}

TEST_CASE("the system's resolver is asked for names") {
    FLUXNET_SKIP_IF(why_no_localhost());
    executor loop;
    const auto local = loop.run(resolve("localhost", "8080", {.version = ip_version::v4}));
    REQUIRE_MESSAGE(local.has_value(), local.error().message());
    CHECK(local->front() == ip_endpoint::parse("127.0.0.1:8080").value());
}

TEST_CASE("an address that only the system's resolver reads needs no network") {
    executor loop;
    const auto read = loop.run(resolve("127.1", "80"));
    REQUIRE_MESSAGE(read.has_value(), read.error().message());
    CHECK(read->front() == ip_endpoint::parse("127.0.0.1:80").value());
}

TEST_CASE("a service that nobody knows is told") {
    executor loop;
    const auto refused = loop.run(resolve("127.0.0.1", "no-such-service-here"));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == resolve_errc::service_not_found);
    CHECK_FALSE(refused.error().cause.empty());
    CHECK_FALSE(refused.error().remedy.empty());
}

TEST_CASE("a number that is no port is no service, of which the system's resolver would keep 16 bits") {
    executor loop;
    for (const char* const service : {"65536", "70000", "4294967376", "-1", "+80", " 80", "99999999999999999999999"}) {
        CAPTURE(service);
        for (const char* const host : {"127.0.0.1", "localhost"}) {
            const auto refused = answer_of(loop, never_asked, host, service);
            REQUIRE_FALSE(refused.has_value());
            CHECK(refused.error().code == resolve_errc::service_not_found);
            CHECK(refused.error().remedy.find("65535") != std::string::npos);
        }
    }
}

TEST_CASE("a look-up that is slow is left at once when its task is cancelled") {
    slow_begun = false;
    slow_may_end = false;
    executor loop;
    std::stop_source source;
    std::error_code seen;
    std::string step;
    const auto wait = [&]() -> task<void> {
        const resolved left = co_await fluxnet::detail::resolve_by(slow_look_up, "slow.invalid", "80", {});
        CHECK_FALSE(slow_may_end.load());
        REQUIRE_FALSE(left.has_value());
        seen = left.error().code;
        step = left.error().step;
    };
    loop.spawn([&]() -> task<void> {
        stoppable under = run_under(source.get_token(), wait());
        co_await under;
        slow_may_end = true;
    });
    loop.spawn([&]() -> task<void> {
        while (!slow_begun.load()) { static_cast<void>(co_await sleep_for(1ms)); }
        source.request_stop();
    });
    loop.run();
    CHECK(seen == errc::operation_canceled);
    CHECK(step == "resolve host \"slow.invalid\" service \"80\"");
}

TEST_CASE("names are not looked up in virtual time") {
    virtual_clock clock(1);
    executor loop(clock);
    const auto refused = answer_of(loop, never_asked, "localhost", "80");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::not_in_virtual_time);
    CHECK(refused.error().remedy == "give a numeric address and port");
}

TEST_CASE("each answer of the system's resolver becomes an error with its cause and a remedy") {
    const struct {
        int answer;
        std::error_code code;
    } table[] = {
        {EAI_NONAME, resolve_errc::name_not_found}, {EAI_NODATA, resolve_errc::no_address},
        {EAI_ADDRFAMILY, resolve_errc::no_address}, {EAI_SERVICE, resolve_errc::service_not_found},
        {EAI_AGAIN, resolve_errc::try_again},       {EAI_FAIL, resolve_errc::failed},
        {EAI_MEMORY, errc::out_of_memory},          {EAI_SYSTEM, std::error_code(EMFILE, std::system_category())},
    };
    for (const auto& row : table) {
        CAPTURE(row.answer);
        const error failure = fluxnet::detail::look_up_error(row.answer, EMFILE, "host", "80", ip_version::v6);
        CHECK(failure.code == row.code);
        CHECK(failure.step == "resolve host \"host\" service \"80\"");
        CHECK_FALSE(failure.cause.empty());
        CHECK_FALSE(failure.remedy.empty());
    }
}

TEST_CASE("every condition of a look-up has a text of its own") {
    std::set<std::string> texts;
    for (int value = 1; value <= static_cast<int>(resolve_errc::failed); ++value) {
        const std::error_code code = static_cast<resolve_errc>(value);
        CHECK(code.message() != "unknown condition");
        CHECK(texts.insert(code.message()).second);
    }
    CHECK(resolve_category().message(0) == "unknown condition");
    CHECK(std::error_code(resolve_errc::try_again) == std::errc::resource_unavailable_try_again);
}
