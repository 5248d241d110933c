// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/mac_address.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <string_view>

using namespace fluxnet::proto;

namespace {
constexpr mac_address local_address({0x02, 0x00, 0x5e, 0x10, 0xab, 0xff});
}

static_assert(sizeof(mac_address) == 6);
static_assert(mac_address::parse("02:00:5e:10:ab:ff") == local_address);

TEST_CASE("a hardware address is written as it is read") {
    CHECK(local_address.to_string() == "02:00:5e:10:ab:ff");
    CHECK(mac_address::parse("02:00:5E:10:AB:FF") == local_address);
    CHECK(mac_address::parse(mac_address::broadcast().to_string()) == mac_address::broadcast());
    CHECK(mac_address().to_string() == "00:00:00:00:00:00");
}

TEST_CASE("text that is no hardware address is refused") {
    for (const std::string_view text :
         {"", "02:00:5e:10:ab", "02:00:5e:10:ab:f", "02:00:5e:10:ab:ff:", "02:00:5e:10:ab:ff:00", "02-00-5e-10-ab-ff",
          "2:0:5e:10:ab:ff", "02:00:5e:10:ab:fg", "02:00:5e:10:ab: f", " 2:00:5e:10:ab:ff", "02:00:5e:10:ab:ff ",
          "02005e10abff", "02:00:5e:10:ab.ff", "+2:00:5e:10:ab:ff", "0x:00:5e:10:ab:ff"}) {
        CAPTURE(text);
        CHECK_FALSE(mac_address::parse(text));
    }
    CHECK_FALSE(mac_address::parse(std::string_view("02:00:5e:10:ab:f\0", 17)));
}

TEST_CASE("a hardware address knows what kind it is") {
    CHECK(mac_address().is_zero());
    CHECK_FALSE(local_address.is_zero());
    CHECK(local_address.is_local());
    CHECK_FALSE(local_address.is_multicast());
    CHECK(mac_address({0x01, 0, 0x5e, 0, 0, 1}).is_multicast());
    CHECK_FALSE(mac_address({0x01, 0, 0x5e, 0, 0, 1}).is_broadcast());
    CHECK(mac_address::broadcast().is_multicast());
    CHECK(mac_address::broadcast().is_broadcast());
    CHECK(mac_address() < local_address);
    CHECK(local_address != mac_address::broadcast());
}

TEST_CASE("a hardware address travels first octet first") {
    std::array<std::byte, 8> bytes{};
    local_address.store(bytes.data() + 1);
    CHECK(bytes[0] == std::byte{});
    CHECK(bytes[1] == std::byte{0x02});
    CHECK(bytes[6] == std::byte{0xff});
    CHECK(bytes[7] == std::byte{});
    CHECK(mac_address::load(bytes.data() + 1) == local_address);
    CHECK(local_address.octets()[4] == 0xab);
}
