// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/base/error.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <set>
#include <string>
#include <system_error>
#include <type_traits>

using namespace fluxnet;

static_assert(std::is_error_code_enum_v<errc>);
static_assert(std::is_convertible_v<errc, std::error_code>);
static_assert(std::is_nothrow_move_constructible_v<error>);

TEST_CASE("every condition has a text of its own") {
    std::set<std::string> texts;
    for (int value = static_cast<int>(errc::invalid_option); value <= static_cast<int>(errc::system_failure); ++value) {
        const std::error_code code = static_cast<errc>(value);
        CHECK(&code.category() == &flux_category());
        CHECK(code.value() == value);
        CHECK(code.message() != "unknown condition");
        CHECK(texts.insert(code.message()).second);
    }
    CHECK(flux_category().message(0) == "unknown condition");
    CHECK(flux_category().message(static_cast<int>(errc::system_failure) + 1) == "unknown condition");
    CHECK(std::string(flux_category().name()) == "fluxnet");
}

TEST_CASE("no condition has the value of success") {
    CHECK_FALSE(std::error_code(0, flux_category()));
    CHECK(std::error_code(errc::invalid_option));
}

TEST_CASE("a condition compares equal to the nearest standard one") {
    const struct {
        errc condition;
        std::errc nearest;
    } table[] = {
        {errc::invalid_option, std::errc::invalid_argument},
        {errc::queue_out_of_range, std::errc::invalid_argument},
        {errc::foreign_packet, std::errc::invalid_argument},
        {errc::interface_not_found, std::errc::no_such_device},
        {errc::interface_gone, std::errc::no_such_device_or_address},
        {errc::link_down, std::errc::network_down},
        {errc::interface_not_supported, std::errc::operation_not_supported},
        {errc::kernel_not_supported, std::errc::operation_not_supported},
        {errc::queue_busy, std::errc::device_or_resource_busy},
        {errc::program_conflict, std::errc::device_or_resource_busy},
        {errc::permission_denied, std::errc::permission_denied},
        {errc::out_of_memory, std::errc::not_enough_memory},
        {errc::memlock_exceeded, std::errc::not_enough_memory},
        {errc::mtu_too_large, std::errc::message_size},
        {errc::packet_too_small, std::errc::message_size},
        {errc::packet_too_large, std::errc::message_size},
        {errc::completions_missing, std::errc::timed_out},
        {errc::operation_canceled, std::errc::operation_canceled},
        {errc::closed, std::errc::bad_file_descriptor},
    };
    for (const auto& row : table) {
        const std::error_code code = row.condition;
        CAPTURE(code.message());
        CHECK(code == row.nearest);
        CHECK(code == row.condition);
        CHECK(code != std::errc::io_error);
    }
    for (const errc own : {errc::ring_corruption, errc::program_detached, errc::callback_threw, errc::system_failure}) {
        CHECK(std::error_code(own).default_error_condition().category() == flux_category());
    }
}

TEST_CASE("a message joins step and cause and remedy") {
    CHECK(make_error(errc::queue_busy, "bind fake0", "taken", "use another").message() == "bind fake0: taken; use another");
    CHECK(make_error(errc::queue_busy, "bind fake0", "taken", "").message() == "bind fake0: taken");
    CHECK(make_error(errc::queue_busy, "bind fake0", "", "wait").message() == "bind fake0: queue busy; wait");
}

TEST_CASE("an errno is written with its symbol and its meaning") {
    CHECK(errno_text(EPERM) == "EPERM (Operation not permitted)");
    CHECK(errno_text(ENOBUFS).starts_with("ENOBUFS ("));
    CHECK(errno_text(123456).starts_with("errno 123456 ("));
}

TEST_CASE("a result without a value throws its whole message") {
    const result<int> failed = make_error(errc::memlock_exceeded, "register", "too much", "raise the limit");
    REQUIRE_FALSE(failed.has_value());
    try {
        static_cast<void>(failed.value());
        FAIL("it returned");
    } catch (const std::system_error& thrown) {
        CHECK(thrown.code() == errc::memlock_exceeded);
        CHECK(thrown.code() == std::errc::not_enough_memory);
        CHECK(std::string(thrown.what()) == "register: too much; raise the limit");
    }
    CHECK(result<int>(7).value() == 7);
}
