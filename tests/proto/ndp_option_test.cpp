// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ndp_option.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <random>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

namespace {

std::vector<std::byte> link_option(std::uint8_t kind = ndp_option::source_link_address) {
    return octets(kind, 1, 2, 0, 0, 0, 0, 7);
}

std::vector<std::byte> prefix_option() {
    return octets(3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x07, 0x08, 0, 0, 0, 0,  //
                  0x20, 1, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
}

void append_option(std::vector<std::byte>& to, const std::vector<std::byte>& option) {
    std::ranges::copy(option, std::back_inserter(to));
}

}  // namespace

TEST_CASE("the options of neighbour discovery are walked one by one") {
    auto bytes = link_option();
    append_option(bytes, octets(200, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    append_option(bytes, octets(5, 1, 0, 0, 0, 0, 0x05, 0xdc));
    CHECK_FALSE(ndp_option_reader::refuse(bytes));
    ndp_option_reader reader(bytes);
    const auto link = reader.next();
    REQUIRE(link);
    CHECK(link->kind == ndp_option::source_link_address);
    CHECK(link->link_address() == mac_address({2, 0, 0, 0, 0, 7}));
    const auto mtu = reader.next(ndp_option::mtu);
    REQUIRE(mtu);
    CHECK(mtu->mtu_value() == 1500);
    CHECK_FALSE(reader.next());
    CHECK_FALSE(reader.problem());
}

TEST_CASE("an option of neighbour discovery without a length is refused") {  // RFC 4861 section 4.6
    for (unsigned kind = 0; kind != 256; ++kind) {
        auto bytes = link_option();
        append_option(bytes, octets(kind, 0, 0, 0, 0, 0, 0, 0));
        CHECK(ndp_option_reader::refuse(bytes) == reason::ndp_zero_option_length);
    }
}

TEST_CASE("options of neighbour discovery are refused at every length that they do not fit in") {
    auto bytes = link_option();
    append_option(bytes, prefix_option());
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        const auto why = ndp_option_reader::refuse(cut);
        if (size == 0 || size == 8) {
            CHECK_FALSE(why);
        } else {
            CHECK(why == reason::ndp_truncated_option);
        }
    }
    CHECK_FALSE(ndp_option_reader::refuse(bytes));
}

TEST_CASE("options of neighbour discovery have the length of their kind") {
    for (const unsigned kind : {1U, 2U, 3U, 4U, 5U, 14U}) {
        for (unsigned length = 1; length != 8; ++length) {
            std::vector<std::byte> bytes(length * 8);
            bytes[0] = static_cast<std::byte>(kind);
            bytes[1] = static_cast<std::byte>(length);
            const bool fits = kind == 4 || kind == 14 || length == (kind == 3 ? 4U : 1U);
            CHECK(ndp_option_reader::refuse(bytes) == (fits ? std::nullopt : std::optional(reason::ndp_bad_option_length)));
        }
    }
}

TEST_CASE("a link address of a group is refused") {
    for (const std::uint8_t kind : {ndp_option::source_link_address, ndp_option::target_link_address}) {
        auto bytes = link_option(kind);
        CHECK_FALSE(ndp_option_reader::refuse(bytes));
        bytes[2] |= std::byte{1};
        CHECK(ndp_option_reader::refuse(bytes) == reason::ndp_multicast_link_address);
    }
}

TEST_CASE("64 options of neighbour discovery are walked and no more") {
    std::vector<std::byte> bytes;
    for (std::size_t count = 1; count != 80; ++count) {
        append_option(bytes, link_option());
        const auto why = ndp_option_reader::refuse(bytes);
        CHECK(why == (count <= 64 ? std::nullopt : std::optional(reason::ndp_too_many_options)));
    }
}

TEST_CASE("a prefix is read and written octet by octet") {
    const auto bytes = prefix_option();
    const auto found = ndp_prefix::read(ndp_option_reader(bytes).next().value());
    REQUIRE(found);
    CHECK(found->prefix == ipv6_address::parse("2001:db8:0:1::"));
    CHECK(found->length == 64);
    CHECK(found->on_link);
    CHECK(found->autonomous);
    CHECK(found->valid_lifetime_s == 3600);
    CHECK(found->preferred_lifetime_s == 1800);
    std::vector<std::byte> again(32, std::byte{0xee});
    found->emit(again);
    CHECK(again == bytes);
}

TEST_CASE("a prefix longer than an address and an option that is no prefix are not read as one") {
    for (unsigned length = 0; length != 256; ++length) {
        auto bytes = prefix_option();
        bytes[2] = static_cast<std::byte>(length);
        CHECK(ndp_prefix::read(ndp_option_reader(bytes).next().value()).has_value() == (length <= 128));
    }
    CHECK_FALSE(ndp_prefix::read(ndp_option_reader(link_option()).next().value()));
    CHECK_FALSE(ndp_prefix::read(ndp_option_reader(link_option(ndp_option::prefix)).next().value()));
}

TEST_CASE("random options of neighbour discovery never make the walk leave its bytes") {
    std::mt19937 random(8);
    for (int round = 0; round != 20000; ++round) {
        std::vector<std::byte> bytes(random() % 90);
        for (std::byte& byte : bytes) { byte = static_cast<std::byte>(random() % 6); }
        ndp_option_reader reader(bytes);
        std::size_t seen = 0;
        while (const auto option = reader.next()) { seen += option->data.size() + 2; }
        REQUIRE((reader.problem() ? seen < bytes.size() : seen == bytes.size()));
    }
}
