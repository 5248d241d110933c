// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes udp_station with whole frames: every frame is counted once, a dropped one is left alone, a payload lies in its
// frame, and the sender of a datagram can be answered.
//
// The first octet of an input says what is put right first (see repaired_frame.hpp), the second whether the port is as well.
#include "fluxnet/proto/udp_station.hpp"

#include "tests/fuzz/fuzz_input.hpp"
#include "tests/fuzz/repaired_frame.hpp"

#include <numeric>

using namespace fluxnet::proto;

namespace {

constexpr std::uint16_t port = 7777;

/// Has a frame whose payload is a UDP datagram behind the shortest header go to the port.
void repair_port(std::span<std::byte> bytes) {
    constexpr std::size_t transport_at = ethernet_header_length + ipv4_header_length;
    if (bytes.size() < transport_at + udp_header_length) { return; }
    mutable_udp_view::unchecked(bytes.subspan(transport_at)).set_destination_port(port);
}

void check_datagram(const udp_station& station, const udp_station::arrival& got, std::span<const std::byte> frame) {
    fuzz::look_at(got.payload);
    fuzz::check(got.payload.data() >= frame.data());
    fuzz::check(got.payload.data() + got.payload.size() <= frame.data() + frame.size());
    fuzz::check(got.from.port != 0);
    const auto hop = station.next_hop(got.from.address);
    fuzz::check(hop.has_value());
    std::vector<std::byte> answer(udp_station::overhead + got.payload.size());
    fuzz::check(station.emit(answer, *hop, got.from, got.payload) == answer.size());
    udp_station peer(*hop, got.from.address, got.from.port);
    fuzz::check(peer.receive(answer).what == udp_station::arrival::datagram);
}

/// Has the station ask for the address that an ARP packet names as its sender's, so that a reply may be what it waits for.
void ask_for_sender(udp_station& station, std::span<const std::byte> bytes) {
    if (bytes.size() < udp_station::arp_request_length) { return; }
    const auto sender = arp_view::unchecked(bytes.subspan(ethernet_header_length)).sender_protocol();
    if (station.is_askable(sender)) { fuzz::check(station.may_ask(sender, {}, std::chrono::seconds(1))); }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::fuzz_input input(data, size);
    const unsigned what = input.take8() % 4U;
    const bool right_port = input.take8() % 2U != 0;
    std::vector<std::byte> bytes = input.take_rest();
    if (right_port) { repair_port(bytes); }
    fuzz::repair(bytes, what);

    const std::vector<std::byte> before = bytes;
    udp_station station(fuzz::host_hardware, fuzz::host_address, port);
    ask_for_sender(station, bytes);
    const udp_station::arrival got = station.receive(bytes);
    const udp_station::counters& count = station.count();
    const std::uint64_t drops = std::accumulate(count.dropped.begin(), count.dropped.end(), std::uint64_t{0});
    fuzz::check(count.frames == 1 && count.datagrams + count.arp_replies + count.arp_answers + drops == 1);
    fuzz::check((drops == 1) == (got.what == udp_station::arrival::dropped));
    if (got.what != udp_station::arrival::arp_reply) { fuzz::check(bytes == before); }
    if (got.what == udp_station::arrival::datagram) { check_datagram(station, got, bytes); }
    fuzz::check(got.length <= bytes.size());
    return 0;
}
