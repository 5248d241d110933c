// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/icmp_error_rules.hpp"

#include <doctest/doctest.h>

namespace fluxnet::proto::test::error_rules {

namespace {

ip_address parsed(const char* text) {
    return ip_address::parse(text).value();
}

icmp_error_cause cause_of(bool v6) {
    icmp_error_cause cause;
    cause.source = parsed(v6 ? "2001:db8::2" : "192.0.2.2");
    cause.destination = parsed(v6 ? "2001:db8::1" : "192.0.2.1");
    return cause;
}

}  // namespace

TEST_CASE("a packet from one host to this one may be answered with an error") {
    CHECK(may_answer_with_icmp_error(cause_of(false)));
    CHECK(may_answer_with_icmp_error(cause_of(true)));
}

TEST_CASE("an error is never answered with an error (RFC 1122 3.2.2, RFC 4443 2.4 (e.1), (e.2))") {
    for (const bool v6 : {false, true}) {
        icmp_error_cause cause = cause_of(v6);
        cause.icmp_error = true;
        CHECK_FALSE(may_answer_with_icmp_error(cause));
        cause.what = icmp_error_cause::packet_too_big;
        CHECK_FALSE(may_answer_with_icmp_error(cause));
    }
    for (const int type : {3, 4, 5, 11, 12, 1, 6, 40, 255}) { CHECK(is_icmp_error(static_cast<std::uint8_t>(type))); }
    for (const int type : {0, 8, 9, 10, 13, 14, 17, 18}) { CHECK_FALSE(is_icmp_error(static_cast<std::uint8_t>(type))); }
    for (const int type : {0, 1, 2, 3, 4, 100, 127, 137}) { CHECK(is_icmpv6_error(static_cast<std::uint8_t>(type))); }
    for (const int type : {128, 129, 133, 135, 136, 143}) { CHECK_FALSE(is_icmpv6_error(static_cast<std::uint8_t>(type))); }
}

TEST_CASE(
    "a packet to a group or to all is not answered, but for two errors of IPv6 (RFC 1122 3.2.2, RFC 4443 2.4 (e.3-5))") {
    for (const char* group : {"224.0.0.1", "255.255.255.255", "ff02::1"}) {
        icmp_error_cause cause = cause_of(parsed(group).is_v6());
        cause.destination = parsed(group);
        CHECK_FALSE(may_answer_with_icmp_error(cause));
        for (const auto what : {icmp_error_cause::packet_too_big, icmp_error_cause::unrecognized_option}) {
            cause.what = what;
            CHECK(may_answer_with_icmp_error(cause) == cause.destination.is_v6());
        }
    }
    for (const bool v6 : {false, true}) {
        icmp_error_cause cause = cause_of(v6);
        cause.link_group = true;
        CHECK_FALSE(may_answer_with_icmp_error(cause));
        cause.what = icmp_error_cause::packet_too_big;
        CHECK(may_answer_with_icmp_error(cause) == v6);
    }
    icmp_error_cause cause = cause_of(false);
    cause.network_broadcast = true;
    CHECK_FALSE(may_answer_with_icmp_error(cause));
}

TEST_CASE("a fragment that is not the first is not answered (RFC 1122 3.2.2)") {
    icmp_error_cause cause = cause_of(false);
    cause.later_fragment = true;
    CHECK_FALSE(may_answer_with_icmp_error(cause));
}

TEST_CASE("a source that is no single host is not answered (RFC 1122 3.2.2, RFC 4443 2.4 (e.6))") {
    for (const char* source : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
                               "ff02::1", "::ffff:192.0.2.1"}) {
        CAPTURE(source);
        icmp_error_cause cause = cause_of(parsed(source).is_v6());
        cause.source = parsed(source);
        CHECK_FALSE(may_answer_with_icmp_error(cause));
        cause.what = icmp_error_cause::packet_too_big;
        CHECK_FALSE(may_answer_with_icmp_error(cause));
    }
}

}  // namespace fluxnet::proto::test::error_rules
