// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/sequence_number.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <type_traits>

using fluxnet::proto::tcp::sequence_number;

static_assert(std::is_trivially_copyable_v<sequence_number> && sizeof(sequence_number) == sizeof(std::uint32_t));
static_assert(!std::is_convertible_v<std::uint32_t, sequence_number>, "a plain number becomes a place only when told to");
static_assert((sequence_number(0xffff'fff0) + 0x20).value() == 0x10);
static_assert(sequence_number(0x10) - sequence_number(0xffff'fff0) == 0x20);
static_assert(sequence_number() == sequence_number(0));

namespace {

const std::array sequence_places = {0U,           1U,           1460U,        0x7fff'fffeU, 0x7fff'ffffU,
                                    0x8000'0000U, 0x8000'0001U, 0xffff'fffeU, 0xffff'ffffU};
const std::array sequence_steps = {1U, 2U, 1460U, 0xffffU, 1U << 30, 0x7fff'fffeU, 0x7fff'ffffU};

}  // namespace

TEST_CASE("near 0, 2^31 and 2^32 what lies ahead is greater, and by its distance (RFC 9293 section 3.4)") {
    for (const std::uint32_t place : sequence_places) {
        const sequence_number here(place);
        for (const std::uint32_t length : sequence_steps) {
            CAPTURE(place);
            CAPTURE(length);
            const sequence_number ahead = here + length;
            CHECK(here < ahead);
            CHECK(here <= ahead);
            CHECK(ahead > here);
            CHECK(ahead >= here);
            CHECK_FALSE(ahead < here);
            CHECK_FALSE(ahead <= here);
            CHECK_FALSE(here > ahead);
            CHECK_FALSE(here >= ahead);
            CHECK(here != ahead);
            CHECK(ahead - here == static_cast<std::int32_t>(length));
            CHECK(here - ahead == -static_cast<std::int32_t>(length));
            CHECK(ahead - length == here);
        }
    }
}

TEST_CASE("a sequence number equals itself and lies neither ahead of nor behind itself") {
    for (const std::uint32_t place : sequence_places) {
        const sequence_number here(place);
        CHECK(here == sequence_number(place));
        CHECK(here <= here);
        CHECK(here >= here);
        CHECK_FALSE(here < here);
        CHECK_FALSE(here > here);
        CHECK(here - here == 0);
        CHECK(here.value() == place);
    }
}

TEST_CASE("stepping forwards and back in place wraps at 2^32") {
    sequence_number place(0xffff'ffff);
    place += 1;
    CHECK(place.value() == 0);
    place -= 2;
    CHECK(place.value() == 0xffff'fffe);
    place += 0xffff'ffff;
    CHECK(place.value() == 0xffff'fffd);
}

TEST_CASE("two numbers half the circle apart are each less than the other, and never equal") {
    for (const std::uint32_t place : sequence_places) {
        const sequence_number here(place);
        const sequence_number opposite = here + 0x8000'0000U;
        CHECK(here < opposite);
        CHECK(opposite < here);
        CHECK(here != opposite);
    }
}
