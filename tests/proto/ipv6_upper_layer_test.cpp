// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ipv6_upper_layer.hpp"

#include "tests/proto/frames.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <utility>
#include <vector>

using namespace fluxnet::proto;
using test::octets;

namespace {

using byte_list = std::vector<std::byte>;

constexpr std::uint8_t hop_by_hop = 0;
constexpr std::uint8_t routing = 43;
constexpr std::uint8_t fragment = 44;
constexpr std::uint8_t destination_options = 60;

/// Makes a packet whose payload begins with what `next_header` says.
byte_list ipv6_packet(std::uint8_t next_header, const byte_list& payload, const char* to = "2001:db8::2") {
    byte_list bytes(ipv6_header_length + payload.size());
    const auto source = ipv6_address::parse("2001:db8::1").value();
    const auto destination = ipv6_address::parse(to).value();
    const auto packet = ipv6_repr{source, destination, ip_protocol{next_header}, payload.size()}.emit(bytes);
    std::ranges::copy(payload, packet.payload().begin());
    return bytes;
}

byte_list joined(std::initializer_list<byte_list> parts) {
    byte_list all;
    for (const byte_list& part : parts) { all.insert(all.end(), part.begin(), part.end()); }
    return all;
}

/// Makes an extension header of 8 octets around 6 octets of options.
byte_list options_header(std::uint8_t next, const byte_list& options) {
    return joined({octets(next, 0), options});
}

const byte_list ipv6_padding = octets(1, 4, 0, 0, 0, 0);
const byte_list ipv6_upper = octets(1, 2, 3, 4, 5);

struct walked {
    result<ipv6_content> content = reason::ipv6_truncated;
    std::optional<ipv6_problem> problem;
};

walked walk_of(const byte_list& bytes) {
    walked all;
    const auto packet = ipv6_view::parse(std::span<const std::byte>(bytes));
    REQUIRE(packet.has_value());
    all.content = ipv6_upper_layer(*packet, &all.problem);
    return all;
}

void check_refused(const byte_list& bytes, reason why, std::optional<ipv6_problem> problem) {
    const walked all = walk_of(bytes);
    REQUIRE(all.content.has_error());
    CHECK(name(all.content.error()) == name(why));
    CHECK(all.problem == problem);
}

}  // namespace

TEST_CASE("an IPv6 packet without extension headers carries what its header says") {
    auto bytes = ipv6_packet(17, ipv6_upper);
    const auto content = ipv6_upper_layer(mutable_ipv6_view::parse(bytes).value());
    REQUIRE(content.has_value());
    CHECK(content->protocol == ip_protocol::udp);
    CHECK(content->payload.data() == bytes.data() + 40);
    CHECK(content->payload.size() == 5);
    CHECK(content->next_header_at == 6);
    CHECK(content->is_whole());
}

TEST_CASE("the upper layer is found behind every extension header in its order") {  // RFC 8200 section 4.1
    const auto bytes = ipv6_packet(hop_by_hop, joined({options_header(destination_options, octets(5, 2, 0, 0, 0, 0)),
                                                       options_header(routing, octets(0x1e, 3, 1, 2, 3, 0)),
                                                       octets(fragment, 1, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9),
                                                       octets(destination_options, 0, 0, 6, 1, 2, 3, 4),  // atomic
                                                       options_header(6, ipv6_padding), ipv6_upper}));
    const auto content = walk_of(bytes).content;
    REQUIRE(content.has_value());
    CHECK(content->protocol == ip_protocol::tcp);
    CHECK(content->payload.data() == bytes.data() + 40 + 48);
    CHECK(content->payload.size() == 5);
    CHECK(content->next_header_at == 40 + 40);
    CHECK(content->is_whole());
    CHECK(content->fragment == ipv6_fragment{0, false, 0x01020304, 40 + 32, 40 + 16});
}

TEST_CASE("the walk ends at a piece of an IPv6 packet, whose headers count once it is whole") {  // RFC 8200 section 4.5
    for (const bool first : {true, false}) {
        byte_list header(8);
        const ipv6_fragment_repr piece{ip_protocol::ipv6_destination_options, first ? 0U : 1448U, first, 0xabcdef01};
        piece.emit(header);
        const auto bytes = ipv6_packet(hop_by_hop, joined({options_header(fragment, ipv6_padding), header, ipv6_upper}));
        const auto content = walk_of(bytes).content;
        REQUIRE(content.has_value());
        CHECK_FALSE(content->is_whole());
        CHECK(content->protocol == ip_protocol::ipv6_destination_options);
        CHECK(content->fragment == ipv6_fragment{piece.offset, first, 0xabcdef01, 48, 40});
        CHECK(content->payload.data() == bytes.data() + 56);
        CHECK(content->next_header_at == 48);
    }
}

TEST_CASE("extension headers are refused at every length that they do not fit in") {
    const byte_list headers =
        joined({options_header(routing, ipv6_padding), octets(fragment, 0, 0, 0, 0, 0, 0, 0),
                octets(destination_options, 0, 0, 0, 0, 0, 0, 1), octets(17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)});
    for (std::size_t size = 1; size != headers.size(); ++size) {
        const byte_list cut(headers.begin(), headers.begin() + static_cast<std::ptrdiff_t>(size));
        check_refused(ipv6_packet(hop_by_hop, cut), reason::ipv6_truncated_extension, std::nullopt);
    }
    CHECK(walk_of(ipv6_packet(hop_by_hop, headers)).content.has_value());
    check_refused(ipv6_packet(destination_options, {}), reason::ipv6_truncated_extension, std::nullopt);
}

TEST_CASE("every length of an extension header is refused unless it fits") {
    for (unsigned length = 0; length != 256; ++length) {
        byte_list header(32);
        header[0] = std::byte{17};
        header[1] = static_cast<std::byte>(length);
        const walked all = walk_of(ipv6_packet(destination_options, header));
        REQUIRE(all.content.has_value() == (length < 4));
        if (length < 4) {
            CHECK(all.content->payload.size() == 24 - 8 * length);
        } else {
            CHECK(all.content.error() == reason::ipv6_truncated_extension);
        }
    }
}

TEST_CASE("eight extension headers are walked and a chain without end is not") {
    for (std::size_t headers = 1; headers != 200; ++headers) {
        byte_list chain;
        for (std::size_t i = 0; i != headers; ++i) {
            const std::uint8_t next = i + 1 == headers ? 17 : destination_options;
            chain = joined({chain, options_header(next, ipv6_padding)});
        }
        const walked all = walk_of(ipv6_packet(destination_options, chain));
        REQUIRE(all.content.has_value() == (headers <= 8));
        if (headers > 8) { CHECK(all.content.error() == reason::ipv6_too_many_extensions); }
    }
}

TEST_CASE("hop-by-hop options come first or the packet is refused") {  // RFC 8200 sections 4 and 4.1
    const auto hop_by_hop_second = joined({options_header(hop_by_hop, ipv6_padding), options_header(17, ipv6_padding)});
    check_refused(ipv6_packet(destination_options, hop_by_hop_second), reason::ipv6_misplaced_hop_by_hop,
                  ipv6_problem{ipv6_problem::unknown_next_header, 40});
    check_refused(ipv6_packet(hop_by_hop, hop_by_hop_second), reason::ipv6_misplaced_hop_by_hop,
                  ipv6_problem{ipv6_problem::unknown_next_header, 40});
    check_refused(ipv6_packet(hop_by_hop, hop_by_hop_second, "ff02::1"), reason::ipv6_misplaced_hop_by_hop, std::nullopt);
}

TEST_CASE("a second fragment header is refused") {
    const auto atomic = octets(fragment, 0, 0, 0, 0, 0, 0, 1);
    check_refused(ipv6_packet(fragment, joined({atomic, atomic, ipv6_upper})), reason::ipv6_repeated_fragment_header,
                  std::nullopt);
}

TEST_CASE("a route with segments left is refused and the sender is shown its type") {  // RFC 8200 section 4.4, RFC 5095
    for (unsigned type = 0; type != 256; ++type) {
        const auto route = [&](unsigned left) {
            return ipv6_packet(hop_by_hop, joined({options_header(routing, ipv6_padding),
                                                   octets(17, 0, type, left, 0, 0, 0, 0), ipv6_upper}));
        };
        CHECK(walk_of(route(0)).content.has_value());
        check_refused(route(1), type == 0 ? reason::ipv6_routing_type_zero : reason::ipv6_unknown_routing_type,
                      ipv6_problem{ipv6_problem::erroneous_field, 50});
    }
}

TEST_CASE("the kind of an unknown option says what becomes of the packet") {  // RFC 8200 section 4.2
    for (const std::uint8_t header : {hop_by_hop, destination_options}) {
        for (unsigned kind = 2; kind != 256; ++kind) {
            const byte_list payload = joined({options_header(17, octets(1, 0, kind, 1, 7, 0)), ipv6_upper});
            const auto to_host = ipv6_packet(header, payload);
            const auto to_group = ipv6_packet(header, payload, "ff02::1");
            const ipv6_problem problem{ipv6_problem::unknown_option, 44, (kind >> 6) == 2};
            switch (kind >> 6) {
                case 0: CHECK(walk_of(to_host).content.has_value()); break;
                case 1: check_refused(to_host, reason::ipv6_unknown_option, std::nullopt); break;
                case 2:
                    check_refused(to_host, reason::ipv6_unknown_option, problem);
                    check_refused(to_group, reason::ipv6_unknown_option, problem);
                    break;
                default:
                    check_refused(to_host, reason::ipv6_unknown_option, problem);
                    check_refused(to_group, reason::ipv6_unknown_option, std::nullopt);
            }
        }
    }
}

TEST_CASE("a jumbo option in a packet with a length is an unknown option, wherever it stands") {  // RFC 2675 section 3
    for (const std::uint8_t header : {hop_by_hop, destination_options}) {
        check_refused(ipv6_packet(header, options_header(59, octets(0xc2, 4, 0, 1, 0, 0))), reason::ipv6_unknown_option,
                      ipv6_problem{ipv6_problem::unknown_option, 42});
    }
}

TEST_CASE("every length of an option is refused unless it fits its header") {
    for (unsigned length = 0; length != 256; ++length) {
        const auto bytes =
            ipv6_packet(destination_options, joined({options_header(17, octets(0, 0, 5, length, 0, 0)), ipv6_upper}));
        const walked all = walk_of(bytes);
        REQUIRE(all.content.has_value() == (length <= 2));
        if (length > 2) { CHECK(all.content.error() == reason::ipv6_bad_options); }
    }
    check_refused(ipv6_packet(hop_by_hop, options_header(17, octets(1, 3, 0, 0, 0, 5))), reason::ipv6_bad_options,
                  std::nullopt);
}

TEST_CASE("an extension header may have 64 options and no more") {
    byte_list header(72);
    header[0] = std::byte{17};
    header[1] = std::byte{8};
    check_refused(ipv6_packet(destination_options, header), reason::ipv6_too_many_options, std::nullopt);
    header[2] = std::byte{1};
    header[3] = std::byte{4};  // one option of 6 octets and 64 of one
    check_refused(ipv6_packet(destination_options, header), reason::ipv6_too_many_options, std::nullopt);
    header[3] = std::byte{5};
    CHECK(walk_of(ipv6_packet(destination_options, header)).content.has_value());
}

TEST_CASE("headers of IPsec and unknown protocols are left to the caller") {
    for (const unsigned protocol : {50U, 51U, 58U, 59U, 135U, 253U}) {
        const auto content =
            walk_of(ipv6_packet(hop_by_hop,
                                joined({options_header(static_cast<std::uint8_t>(protocol), ipv6_padding), ipv6_upper})))
                .content;
        REQUIRE(content.has_value());
        CHECK(static_cast<unsigned>(content->protocol) == protocol);
        CHECK(content->payload.size() == 5);
        CHECK(content->next_header_at == 40);
    }
}

TEST_CASE("random extension headers never make the walk leave the packet") {
    std::mt19937 random(6);
    for (int round = 0; round != 20000; ++round) {
        byte_list payload(random() % 80);
        constexpr std::uint8_t kinds[] = {0, 1, 17, 43, 44, 60};
        for (std::byte& byte : payload) { byte = std::byte{kinds[random() % 6]}; }
        if (payload.empty()) { continue; }
        const auto bytes = ipv6_packet(kinds[random() % 6], payload);
        const walked all = walk_of(bytes);
        if (!all.content) { continue; }
        REQUIRE(all.content->payload.data() >= bytes.data() + 40);
        REQUIRE(all.content->payload.data() + all.content->payload.size() == bytes.data() + bytes.size());
    }
}
