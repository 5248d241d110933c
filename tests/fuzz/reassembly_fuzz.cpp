// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes reassembly with sequences of fragments: what comes out is what was cut, memory stays within its bound, and all of
// it comes back when the time is up.
//
// An input is a row of fragments, of seven octets each: flags, identification and source, place (two), length (two), time.
#include "fluxnet/proto/reassembly.hpp"

#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>
#include <array>

using namespace fluxnet::proto;

namespace {

constexpr reassembly::options bounds{.octets = std::size_t{128} << 10, .datagrams = 8};
constexpr std::array<std::byte, 16> secret{std::byte{1}};
constexpr std::size_t row_length = 7;

/// The octets of every datagram, by their place.
const std::vector<std::byte>& pattern() {
    static const std::vector<std::byte> bytes = [] {
        std::vector<std::byte> made(2 * 65'536);
        for (std::size_t i = 0; i != made.size(); ++i) { made[i] = static_cast<std::byte>(i * 31 + (i >> 8)); }
        return made;
    }();
    return bytes;
}

ip_address address_of(bool v6, std::uint8_t number) {
    if (!v6) { return ipv4_address(10, 0, 0, number); }
    return ipv6_address({0xfd, 0, 0, 0, 0, 0, 0, number});
}

reassembly::fragment take_fragment(fuzz::fuzz_input& input) {
    const unsigned flags = input.take8();
    const unsigned name = input.take8();
    const std::size_t place = input.take8() * 256U + input.take8();
    const std::size_t length = input.take8() * 256U + input.take8();
    const bool v6 = (flags & 1U) != 0;
    const std::size_t offset = (flags & 2U) != 0 ? place : place / 8 * 8;
    const std::size_t size = (flags & 4U) != 0 ? length : length / 8 * 8;
    // A few protocols, so that some first fragments have headers to miss; a bit that spoils the octets.
    constexpr std::array<std::uint8_t, 4> protocols{253, 6, 0, 17};
    const std::size_t shift = (name & 0x80U) != 0 ? 1 : 0;
    return {.source = address_of(v6, static_cast<std::uint8_t>(name & 7U)),
            .destination = address_of(v6, 9),
            .identification = (name >> 3) & 7U,
            .protocol = protocols[(flags >> 6) & 3U],
            .ecn = static_cast<std::uint8_t>((flags >> 4) & 3U),
            .more = (flags & 8U) != 0,
            .offset = offset,
            .header_length = v6 ? std::size_t{0} : std::size_t{20},
            .payload = std::span(pattern()).subspan(offset + shift, size)};
}

void look_at_datagram(const reassembly::fragment& part, const reassembly::datagram& whole) {
    fuzz::look_at(whole.payload);
    fuzz::check(whole.source == part.source && whole.destination == part.destination);
    fuzz::check(whole.payload.size() <= 65'535);
    fuzz::check(whole.payload.size() >= part.offset + part.payload.size());
    const auto last = std::span(whole.payload).subspan(part.offset, part.payload.size());
    fuzz::check(std::equal(last.begin(), last.end(), part.payload.begin()));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    reassembly store(bounds, secret);
    reassembly::time_point now{};
    for (std::size_t left = size / row_length; left != 0; --left) {
        const reassembly::fragment part = take_fragment(input);
        now += std::chrono::milliseconds(16) * input.take8();
        const auto got = store.add(part, now);
        if (got && *got) { look_at_datagram(part, **got); }
        fuzz::check(store.size() <= bounds.datagrams && store.held_octets() <= bounds.octets);
        if (store.deadline() && *store.deadline() <= now) {
            if (const auto late = store.next_expired(now)) { fuzz::look_at(late->beginning); }
        }
    }
    now += std::chrono::minutes(2);
    while (const auto late = store.next_expired(now)) { fuzz::look_at(late->beginning); }
    fuzz::check(store.size() == 0 && store.held_octets() == 0);
    return 0;
}
