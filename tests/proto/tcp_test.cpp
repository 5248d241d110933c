// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp.hpp"

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

static_assert(std::is_trivially_copyable_v<tcp_view> && std::is_aggregate_v<tcp_options>);
static_assert(std::is_convertible_v<mutable_tcp_view, tcp_view> && !std::is_convertible_v<tcp_view, mutable_tcp_view>);

namespace {

constexpr ipv4_address tcp_source(192, 0, 2, 1);
constexpr ipv4_address tcp_destination(198, 51, 100, 7);

std::vector<std::byte> tcp_sample() {
    return octets(0x9c, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x18, 0x20, 0, 0xe8, 0x10, 0, 9,  //
                  1, 1, 8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x61, 0x62, 0x63);
}

result<mutable_tcp_view> tcp_parse(std::vector<std::byte>& bytes) {
    return mutable_tcp_view::parse(bytes, tcp_source, tcp_destination);
}

tcp_options with_timestamps() {
    tcp_options options;
    options.timestamps = true;
    options.timestamp = 0x11223344;
    options.timestamp_echo = 0x55667788;
    return options;
}

std::vector<std::byte> emitted(const tcp_options& options) {
    std::vector<std::byte> bytes(options.length());
    options.emit(bytes);
    return bytes;
}

}  // namespace

TEST_CASE("a TCP segment is read field by field") {
    auto bytes = tcp_sample();
    const auto segment = tcp_parse(bytes);
    REQUIRE(segment.has_value());
    CHECK(segment->source_port() == 40000);
    CHECK(segment->destination_port() == 80);
    CHECK(segment->sequence() == 0x01020304);
    CHECK(segment->acknowledgment() == 0x05060708);
    CHECK(segment->header_length() == 32);
    CHECK(segment->flags() == (tcp_flag::ack | tcp_flag::psh));
    CHECK(segment->window() == 0x2000);
    CHECK(segment->checksum() == 0xe810);
    CHECK(segment->urgent_pointer() == 9);
    CHECK(segment->option_bytes().data() == bytes.data() + 20);
    CHECK(segment->option_bytes().size() == 12);
    CHECK(segment->payload().data() == bytes.data() + 32);
    CHECK(segment->payload().size() == 3);
    CHECK(segment->bytes().size() == 35);
    CHECK(segment->read_options() == with_timestamps());
}

TEST_CASE("a TCP segment is written octet by octet") {
    std::vector<std::byte> bytes(40, std::byte{0xee});
    const tcp_repr header{40000, 80, 0x01020304, 0x05060708, tcp_flag::ack | tcp_flag::psh, 0x2000, 9, with_timestamps(), 3};
    CHECK(header.header_length() == 32);
    auto segment = header.emit(bytes);
    REQUIRE(segment.payload().size() == 3);
    std::ranges::copy(octets(0x61, 0x62, 0x63), segment.payload().begin());
    segment.fill_checksum(tcp_source, tcp_destination);
    CHECK(std::ranges::equal(segment.bytes(), tcp_sample()));
    CHECK(bytes[35] == std::byte{0xee});
}

TEST_CASE("a TCP segment is refused at every length that it does not fit in") {
    const auto bytes = tcp_sample();
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(tcp_parse(prefix).error() == (size < 20   ? reason::tcp_truncated
                                            : size < 32 ? reason::tcp_long_header_length
                                                        : reason::tcp_bad_checksum));
    }
}

TEST_CASE("every data offset of a TCP segment is refused unless it lies between fixed fields and end") {
    for (unsigned words = 0; words != 16; ++words) {
        std::vector<std::byte> bytes(36);
        bytes[12] = static_cast<std::byte>(words << 4);
        const auto parsed = mutable_tcp_view::parse_unsummed(bytes);
        REQUIRE(parsed.has_value() == (words >= 5 && words <= 9));
        if (!parsed) {
            CHECK(parsed.error() == (words < 5 ? reason::tcp_short_header_length : reason::tcp_long_header_length));
        } else {
            CHECK(parsed->payload().size() == 36 - words * 4);
        }
    }
}

TEST_CASE("every single wrong bit of a TCP segment is noticed") {
    for (std::size_t bit = 0; bit != 35 * 8; ++bit) {
        auto bytes = tcp_sample();
        bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
        CHECK_FALSE(tcp_parse(bytes).has_value());
    }
    auto bytes = tcp_sample();
    CHECK(mutable_tcp_view::parse(bytes, tcp_source, tcp_source).error() == reason::tcp_bad_checksum);
}

TEST_CASE("a TCP checksum that somebody else has checked is not looked at") {
    auto bytes = tcp_sample();
    bytes[16] ^= std::byte{0xff};
    CHECK(mutable_tcp_view::parse_unsummed(bytes).has_value());
}

TEST_CASE("a TCP segment over IPv6 is summed with the addresses of that version") {
    const auto source = *ipv6_address::parse("2001:db8::1");
    const auto destination = *ipv6_address::parse("2001:db8::2");
    auto bytes = tcp_sample();
    CHECK(mutable_tcp_view::parse(bytes, source, destination).error() == reason::tcp_bad_checksum);
    mutable_tcp_view::unchecked(bytes).fill_checksum(source, destination);
    CHECK(mutable_tcp_view::parse(bytes, source, destination).has_value());
    auto pseudo = octets();
    for (const auto& address : {source, destination}) {
        for (const std::uint8_t octet : address.octets()) { pseudo.push_back(std::byte{octet}); }
    }
    std::ranges::copy(octets(0, 0, 0, 35, 0, 0, 0, 6), std::back_inserter(pseudo));  // RFC 8200 section 8.1
    std::ranges::copy(bytes, std::back_inserter(pseudo));
    CHECK(internet_checksum::of(pseudo) == 0);
}

TEST_CASE("the reserved bits of a TCP header are cleared when its length is written") {
    auto bytes = tcp_sample();
    bytes[12] = std::byte{0x5f};
    mutable_tcp_view::unchecked(bytes).set_header_length(60);
    CHECK(bytes[12] == std::byte{0xf0});
}

TEST_CASE("the options of a SYN stand in the order that most stacks send") {
    tcp_options options = with_timestamps();
    options.mss = 1460;
    options.window_scale = 7;
    options.sack_permitted = true;
    CHECK(emitted(options) == octets(2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,  //
                                     1, 3, 3, 7));
    CHECK(tcp_options::read(emitted(options)) == options);
}

TEST_CASE("SACK blocks follow the timestamps, three of them at most") {
    tcp_options options = with_timestamps();
    options.sack_count = 4;
    options.sack = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}};
    CHECK(emitted(options) == octets(1, 1, 8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 1, 1, 5, 26,  //
                                     0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6));
    options.timestamps = false;
    CHECK(options.length() == 36);
    CHECK(tcp_options::read(emitted(options)).sack_count == 4);
    CHECK(tcp_options::read(emitted(options)).sack == options.sack);
}

TEST_CASE("every set of TCP options is read as it was written") {
    for (unsigned set = 0; set != 80; ++set) {
        tcp_options options = (set & 1U) != 0 ? with_timestamps() : tcp_options();
        if ((set & 2U) != 0) { options.mss = 1; }
        if ((set & 4U) != 0) { options.window_scale = 255 - 1; }
        options.sack_permitted = (set & 8U) != 0;
        options.sack_count = static_cast<std::uint8_t>(set / 16);
        for (unsigned i = 0; i != options.sack_count; ++i) { options.sack[i] = {i + 1, 0xffffffff - i}; }
        CAPTURE(set);
        const auto bytes = emitted(options);
        REQUIRE(bytes.size() % 4 == 0);
        REQUIRE(bytes.size() <= 40);
        tcp_options back = tcp_options::read(bytes);
        CHECK(back.sack_count <= options.sack_count);
        if (options.sack_count < 3) { CHECK((back.sack_count == options.sack_count || bytes.size() + 8 > 40)); }
        for (unsigned i = 0; i != back.sack_count; ++i) { CHECK(back.sack[i] == options.sack[i]); }
        back.sack_count = options.sack_count;
        back.sack = options.sack;
        CHECK(back == options);
    }
}

TEST_CASE("timestamps are read alike where they stand alone and among others") {
    const auto alone = octets(1, 1, 8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88);
    CHECK(tcp_options::read(alone) == with_timestamps());
    const auto behind = octets(8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 1, 1);
    CHECK(tcp_options::read(behind) == with_timestamps());
    CHECK(emitted(with_timestamps()) == alone);
}

TEST_CASE("unknown TCP options are skipped by their length") {
    const auto found = tcp_options::read(octets(254, 4, 9, 9, 30, 2, 2, 4, 1, 2));
    CHECK(found.mss == 0x0102);
}

TEST_CASE("a TCP option of a malformed length ends the reading and keeps what came before") {
    // RFC 9293 section 3.1 (MUST-7): an illegal option length, zero for one, must be expected.
    const std::vector<std::vector<std::byte>> malformed = {
        octets(8, 0),
        octets(254, 0, 1, 1),
        octets(254, 1, 1, 1),
        octets(254),
        octets(254, 5, 1, 1),
        octets(254, 255),
        octets(2, 3, 1),
        octets(2, 5, 1, 1, 1),
        octets(3, 2),
        octets(4, 3, 0),
        octets(5, 2),
        octets(5, 9, 0, 0, 0, 1, 0, 0, 0),
        octets(5, 11, 0, 0, 0, 1, 0, 0, 0, 2, 0),
        octets(8, 9, 0, 0, 0, 0, 0, 0, 0),
        octets(0),
    };
    for (const auto& wrong : malformed) {
        auto bytes = octets(3, 3, 7, 1);
        std::ranges::copy(wrong, std::back_inserter(bytes));
        std::ranges::copy(octets(2, 4, 5, 0xb4), std::back_inserter(bytes));
        tcp_options expected;
        expected.window_scale = 7;
        CHECK(tcp_options::read(bytes) == expected);
    }
    std::vector<std::byte> five_blocks(42, std::byte{1});
    five_blocks[0] = std::byte{5};
    five_blocks[1] = std::byte{42};
    CHECK(tcp_options::read(five_blocks) == tcp_options());
}

TEST_CASE("TCP options cut at any octet are read up to the cut") {
    tcp_options options = with_timestamps();
    options.mss = 1460;
    options.window_scale = 7;
    const auto bytes = emitted(options);
    for (std::size_t size = 0; size != bytes.size(); ++size) {
        const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
        const tcp_options found = tcp_options::read(cut);
        CHECK(found.mss == (size >= 4 ? 1460 : 0));
        CHECK(found.timestamps == (size >= 16));
        CHECK(found.window_scale == tcp_options::no_scale);
    }
}

TEST_CASE("random TCP options never make the reading leave its bytes") {
    std::mt19937 random(5);
    for (int round = 0; round != 20000; ++round) {
        std::vector<std::byte> bytes(random() % 41);
        for (std::byte& byte : bytes) { byte = static_cast<std::byte>(random() % 12); }
        const tcp_options found = tcp_options::read(bytes);
        REQUIRE(found.sack_count <= 4);
        REQUIRE(found.length() <= 40);
    }
}
