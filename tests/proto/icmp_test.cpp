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

TEST_CASE("an ICMP error says what is wrong and quotes what it is about") {
    const auto datagram = test::counting(60);
    std::vector<std::byte> bytes(100, std::byte{0xee});
    const icmp_error_repr error{icmp_type::destination_unreachable, icmp_code::fragmentation_needed, 1400};
    const auto message = error.emit(bytes, datagram);
    REQUIRE(message.bytes().size() == 68);
    CHECK(bytes[68] == std::byte{0xee});
    const auto parsed = icmp_view::parse(message.bytes());
    REQUIRE(parsed.has_value());
    CHECK(parsed->type() == icmp_type::destination_unreachable);
    CHECK(parsed->code() == 4);
    CHECK(parsed->next_hop_mtu() == 1400);  // RFC 1191 section 4
    CHECK(parsed->pointer() == 0);
    CHECK(std::ranges::equal(parsed->payload(), datagram));
}

TEST_CASE("an ICMP parameter problem points at an octet") {
    std::vector<std::byte> bytes(8);
    const auto message = icmp_error_repr{icmp_type::parameter_problem, 0, 0, 20}.emit(bytes, {});
    CHECK(message.pointer() == 20);
    CHECK(bytes == octets(12, 0, 0xdf, 0xff, 20, 0, 0, 0));
}

TEST_CASE("a datagram with an ICMP error has at most 576 octets") {  // RFC 1812 section 4.3.2.3
    const auto datagram = test::counting(1500);
    std::vector<std::byte> bytes(1500);
    const auto message = icmp_error_repr{icmp_type::time_exceeded, icmp_code::hops_exceeded}.emit(bytes, datagram);
    CHECK(message.bytes().size() == 556);
    CHECK(std::equal(datagram.begin(), datagram.begin() + 548, message.payload().begin()));
    for (std::size_t room = 8; room != 40; ++room) {
        const auto small = icmp_error_repr{}.emit(std::span(bytes).first(room), datagram);
        CHECK(small.bytes().size() == room);
        CHECK(icmp_view::parse(small.bytes()).has_value());
    }
}

TEST_CASE("an ICMP error may take the place of the datagram that it quotes") {
    auto bytes = test::counting(120);
    const auto datagram = bytes;
    const auto message = icmp_error_repr{}.emit(bytes, std::span(bytes).first(100));
    CHECK(std::equal(datagram.begin(), datagram.begin() + 100, message.payload().begin()));
}

TEST_CASE("only errors of ICMP are errors") {  // RFC 1122 section 3.2.2
    for (unsigned type = 0; type != 256; ++type) {
        const bool expected = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
        CHECK(is_error(icmp_type{static_cast<std::uint8_t>(type)}) == expected);
    }
}
