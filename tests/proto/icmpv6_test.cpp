// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/icmpv6.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

static_assert(std::is_trivially_copyable_v<icmpv6_view>);
static_assert(std::is_convertible_v<mutable_icmpv6_view, icmpv6_view> &&
              !std::is_convertible_v<icmpv6_view, mutable_icmpv6_view>);

namespace {

const ipv6_address asker = ipv6_address::parse("fe80::1").value();
const ipv6_address answerer = ipv6_address::parse("fe80::2").value();

std::vector<std::byte> icmpv6_sample() {
    return octets(128, 0, 0xac, 0x1d, 0x12, 0x34, 0, 1, 0x61, 0x62, 0x63);
}

result<mutable_icmpv6_view> icmpv6_parse(std::vector<std::byte>& bytes) {
    return mutable_icmpv6_view::parse(bytes, asker, answerer);
}

}  // namespace

TEST_CASE("an ICMPv6 echo request is read field by field") {
    auto bytes = icmpv6_sample();
    const auto message = icmpv6_parse(bytes);
    REQUIRE(message.has_value());
    CHECK(message->type() == icmpv6_type::echo_request);
    CHECK(message->code() == 0);
    CHECK(message->checksum() == 0xac1d);
    CHECK(message->identifier() == 0x1234);
    CHECK(message->sequence() == 1);
    CHECK(message->payload().data() == bytes.data() + 8);
    CHECK(message->payload().size() == 3);
}

TEST_CASE("an ICMPv6 echo request is written octet by octet") {
    std::vector<std::byte> bytes(11);
    std::ranges::copy(octets(0x61, 0x62, 0x63), bytes.begin() + 8);
    icmpv6_echo_repr{icmpv6_type::echo_request, 0x1234, 1}.emit(bytes, asker, answerer);
    CHECK(bytes == icmpv6_sample());
}

TEST_CASE("an ICMPv6 message of fewer than 8 octets is truncated and one cut later has a wrong sum") {
    const auto bytes = icmpv6_sample();
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(icmpv6_parse(prefix).error() == (size < 8 ? reason::icmpv6_truncated : reason::icmpv6_bad_checksum));
    }
}

TEST_CASE("every single wrong bit of an ICMPv6 message is noticed, and so is another address") {
    for (std::size_t bit = 0; bit != 88; ++bit) {
        auto bytes = icmpv6_sample();
        bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        CHECK(icmpv6_parse(bytes).error() == reason::icmpv6_bad_checksum);
    }
    auto bytes = icmpv6_sample();
    CHECK(mutable_icmpv6_view::parse(bytes, asker, asker).error() == reason::icmpv6_bad_checksum);
}

TEST_CASE("an updated type keeps the ICMPv6 checksum right") {
    for (unsigned round = 0; round != 0x10000; ++round) {
        std::vector<std::byte> bytes(9);
        const auto identifier = static_cast<std::uint16_t>(round);
        auto message = icmpv6_echo_repr{icmpv6_type::echo_request, identifier, 0}.emit(bytes, asker, answerer);
        message.update_type(icmpv6_type::echo_reply);
        REQUIRE(message.type() == icmpv6_type::echo_reply);
        REQUIRE(mutable_icmpv6_view::parse(bytes, answerer, asker).has_value());
    }
}

TEST_CASE("an ICMPv6 error says what is wrong and quotes what it is about") {
    const auto packet = test::counting(60);
    std::vector<std::byte> bytes(100, std::byte{0xee});
    const icmpv6_error_repr error{icmpv6_type::packet_too_big, 0, 1400};
    const auto message = error.emit(bytes, packet, asker, answerer);
    REQUIRE(message.bytes().size() == 68);
    CHECK(bytes[68] == std::byte{0xee});
    const auto parsed = icmpv6_view::parse(message.bytes(), asker, answerer);
    REQUIRE(parsed.has_value());
    CHECK(parsed->type() == icmpv6_type::packet_too_big);
    CHECK(parsed->mtu() == 1400);
    CHECK(std::ranges::equal(parsed->payload(), packet));
}

TEST_CASE("an ICMPv6 parameter problem points at an octet, even beyond the quote") {  // RFC 4443 section 3.4
    std::vector<std::byte> bytes(8);
    const icmpv6_error_repr error{icmpv6_type::parameter_problem, ipv6_problem::unknown_option, 0x12345};
    CHECK(error.emit(bytes, {}, asker, answerer).pointer() == 0x12345);
}

TEST_CASE("a packet with an ICMPv6 error has at most 1280 octets") {  // RFC 4443 section 2.4 (c)
    const auto packet = test::counting(1500);
    std::vector<std::byte> bytes(1500);
    const auto message = icmpv6_error_repr{}.emit(bytes, packet, asker, answerer);
    CHECK(message.bytes().size() == 1240);
    CHECK(std::equal(packet.begin(), packet.begin() + 1232, message.payload().begin()));
}

TEST_CASE("errors of ICMPv6 are those below 128") {  // RFC 4443 section 2.1
    for (unsigned type = 0; type != 256; ++type) {
        CHECK(is_error(icmpv6_type{static_cast<std::uint8_t>(type)}) == (type < 128));
    }
}
