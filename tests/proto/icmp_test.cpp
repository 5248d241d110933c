// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/icmp.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<icmp_view>);
static_assert(std::is_convertible_v<mutable_icmp_view, icmp_view> && !std::is_convertible_v<icmp_view, mutable_icmp_view>);

namespace {

std::vector<std::byte> icmp_sample() {
    return octets(8, 0, 0x21, 0x68, 0x12, 0x34, 0, 1, 0x61, 0x62, 0x63);
}

}  // namespace

TEST_CASE("an echo request is read field by field") {
    const auto bytes = icmp_sample();
    const auto message = icmp_view::parse(std::span<const std::byte>(bytes));
    REQUIRE(message.has_value());
    CHECK(message->type() == icmp_type::echo_request);
    CHECK(message->code() == 0);
    CHECK(message->checksum() == 0x2168);
    CHECK(message->identifier() == 0x1234);
    CHECK(message->sequence() == 1);
    CHECK(message->payload().size() == 3);
    CHECK(message->payload().data() == bytes.data() + 8);
}

TEST_CASE("an echo request is written octet by octet") {
    std::vector<std::byte> bytes(11);
    std::ranges::copy(octets(0x61, 0x62, 0x63), bytes.begin() + 8);
    icmp_echo_repr{icmp_type::echo_request, 0x1234, 1}.emit(bytes);
    CHECK(bytes == icmp_sample());
}

TEST_CASE("an ICMP message of fewer than 8 octets is truncated and one cut later has a wrong sum") {
    const auto bytes = icmp_sample();
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        const std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(icmp_view::parse(std::span<const std::byte>(prefix)).error() ==
              (size < 8 ? reason::icmp_truncated : reason::icmp_bad_checksum));
    }
}

TEST_CASE("every single wrong bit of an ICMP message is noticed") {
    for (std::size_t bit = 0; bit != 88; ++bit) {
        auto bytes = icmp_sample();
        bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        CHECK(mutable_icmp_view::parse(bytes).error() == reason::icmp_bad_checksum);
    }
}

TEST_CASE("an ICMP message of nothing but zeros needs a checksum of ffff") {
    std::vector<std::byte> bytes(8);
    CHECK(mutable_icmp_view::parse(bytes).error() == reason::icmp_bad_checksum);
    mutable_icmp_view::unchecked(bytes).fill_checksum();
    CHECK(load_be16(bytes.data() + 2) == 0xffff);
    CHECK(mutable_icmp_view::parse(bytes).has_value());
}

TEST_CASE("an updated type keeps the ICMP checksum that a full sum gives") {
    std::mt19937 random(4);
    for (int round = 0; round != 70000; ++round) {
        std::vector<std::byte> bytes(8 + random() % 3);
        const auto identifier = static_cast<std::uint16_t>(round);  // meets both zeros on its way through all values
        auto message = icmp_echo_repr{icmp_type::echo_request, identifier, 0}.emit(bytes);
        message.update_type(icmp_type::echo_reply);
        REQUIRE(message.type() == icmp_type::echo_reply);
        REQUIRE(mutable_icmp_view::parse(bytes).has_value());
        const std::uint16_t updated = message.checksum();
        message.fill_checksum();
        REQUIRE(updated == message.checksum());
    }
}
