// SPDX-License-Identifier: BSD-3-Clause
// pcapng_capture and frame_sink: what hosts receive and send, on a simulated wire, in virtual time.
#include "fluxnet/runtime/host/pcapng_capture.hpp"

#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "tests/proto/pcapng_reader.hpp"
#include "tests/runtime/host_bed.hpp"
#include "tests/support/allocation_counter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;
using proto::test::read_capture;
using proto::test::read_packet;
using proto::test::read_pcapng;
using capture_end = simulated_wire::end;

static_assert(!std::is_move_constructible_v<host::pcapng_capture> && !std::is_copy_constructible_v<host::frame_sink>);

namespace {

constexpr unsigned inbound = 1;
constexpr unsigned outbound = 2;
constexpr unsigned frames_there_were = 4;  // isb_ifrecv
constexpr unsigned frames_missed = 5;      // isb_ifdrop

const proto::test::endpoints& station = station_to_host;

/// The first virtual moment, in nanoseconds, which counts as a time since 1970.
constexpr auto first_moment =
    static_cast<std::uint64_t>(std::chrono::nanoseconds(virtual_clock::start.time_since_epoch()).count());

/// What is read back of a capture whose form is right.
read_capture read_back(std::span<const std::byte> file) {
    read_capture read = read_pcapng(file);
    REQUIRE(read.wrong == "");
    for (const read_packet& one : read.packets) { CHECK(one.octets.size() == one.original_length); }
    CHECK(std::ranges::is_sorted(read.packets, {}, &read_packet::time));
    return read;
}

void check_frame(const read_packet& one, unsigned flags, const frame_bytes& octets, std::string_view comment = "") {
    CHECK(one.flags == flags);
    CHECK(one.octets == octets);
    CHECK(one.comment == comment);
}

/// Sends `count` datagrams there and back.
task<void> talk(host::udp_endpoint& near, host::udp_endpoint& far, int count) {
    frame_bytes bytes = counting(100);
    frame_bytes room(200);
    for (int i = 0; i != count; ++i) {
        bytes[0] = static_cast<std::byte>(i);
        const io_result there = co_await near.send_to(bytes, far.local_endpoint());
        CHECK(there.n == 100);
        const datagram_result got = co_await far.recv_from(room);
        CHECK(got.n == 100);
        const io_result back = co_await far.send_to(std::span(room).first(got.n), near.local_endpoint());
        CHECK(back.n == 100);
        const datagram_result echoed = co_await near.recv_from(room);
        CHECK(echoed.n == 100);
    }
}

/// Two hosts that can talk.
struct talking_hosts : two_hosts {
    host::udp_endpoint near = left.open_udp({v4_of(1), 5000}).value();
    host::udp_endpoint far = right.open_udp({v4_of(2), 6000}).value();

    void exchange(int count) {
        loop.spawn(talk(near, far, count));
        loop.run();
    }
};

/// Counts what it is told, and checks the order.
struct counting_sink final : host::frame_sink {
    void on_received(std::span<const std::byte>, time_point) noexcept override {
        ++frames;
        CHECK(frames == verdicts + 1);
    }
    void on_verdict(const host::frame_verdict& what) noexcept override {
        ++verdicts;
        CHECK(frames == verdicts);
        if (!host::why_dropped(what).empty()) { ++drops; }
    }
    void on_sent(std::span<const std::byte>, time_point) noexcept override { ++departures; }

    std::uint64_t frames = 0;
    std::uint64_t verdicts = 0;
    std::uint64_t drops = 0;
    std::uint64_t departures = 0;
};

std::vector<std::byte> copy_of_bytes(std::span<const std::byte> bytes) {
    return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("a question and its answer, which lies in the same frame, are captured as they were on the wire") {
    host_and_station bed;
    host::pcapng_capture seen(bed.loop);
    bed.here.capture_to(&seen.interface("left"));
    const std::array<frame_bytes, 3> asked{proto::test::arp_request(station),
                                           proto::test::echo_request(station, counting(56)), echo6_request(1400)};
    std::vector<frame_bytes> answered;
    for (const frame_bytes& one : asked) {
        const auto answers = bed.ask(one);
        REQUIRE(answers.size() == 1);
        answered.push_back(answers[0]);
    }
    const read_capture read = read_back(seen.bytes());
    CHECK(read.application == "FluxNet");
    REQUIRE(read.interfaces.size() == 1);
    CHECK(read.interfaces[0].name == "left");
    REQUIRE(read.packets.size() == 6);
    for (std::size_t i = 0; i != asked.size(); ++i) {
        CAPTURE(i);
        check_frame(read.packets[2 * i], inbound, asked[i]);
        check_frame(read.packets[2 * i + 1], outbound, answered[i]);
    }
    CHECK(read.packets[0].time >= first_moment);
    CHECK(read.packets[5].time <= first_moment + static_cast<std::uint64_t>(std::chrono::nanoseconds(1s).count()));
}

TEST_CASE("a frame that was dropped has a comment that says why, also when an ICMP error answers it") {
    host_and_station bed;
    host::pcapng_capture seen(bed.loop);
    bed.here.capture_to(&seen.interface("left"));
    auto elsewhere = station;
    elsewhere.host_ip = v4_of(3);
    const frame_bytes stray = proto::test::echo_request(elsewhere, counting(10));
    const frame_bytes refused = proto::test::udp_request(station, counting(33));
    frame_bytes torn = proto::test::echo_request(station, counting(21));
    torn.back() ^= std::byte{1};
    CHECK(bed.ask(stray).empty());
    const auto errors = bed.ask(refused);
    REQUIRE(errors.size() == 1);
    CHECK(bed.ask(torn).empty());

    const read_capture read = read_back(seen.bytes());
    REQUIRE(read.packets.size() == 4);
    check_frame(read.packets[0], inbound, stray, "dropped: ipv4_not_for_us");
    check_frame(read.packets[1], inbound, refused, "dropped: udp_port_not_served");
    check_frame(read.packets[2], outbound, errors[0]);
    check_frame(read.packets[3], inbound, torn, "dropped: icmp_bad_checksum");
    CHECK(bed.here.counters().dropped_for(proto::reason::udp_port_not_served) == 1);
}

TEST_CASE("every malformed frame is captured whole, with the reason for which it was dropped") {
    host_and_station bed;
    host::pcapng_capture seen(bed.loop);
    bed.here.capture_to(&seen.interface("left"));
    std::vector<frame_bytes> sent;
    for (const auto& one : proto::test::malformed_frames(station)) {
        if (one.bytes.size() < proto::ethernet_header_length) { continue; }
        bed.send(one.bytes);
        sent.push_back(one.bytes);
    }
    const read_capture read = read_back(seen.bytes());
    std::vector<frame_bytes> arrived;
    std::uint64_t dropped = 0;
    for (const read_packet& one : read.packets) {
        if (one.flags != inbound) { continue; }
        arrived.push_back(one.octets);
        if (one.comment.starts_with("dropped: ")) { ++dropped; }
    }
    CHECK(arrived == sent);
    const host::host_counters& counts = bed.here.counters();
    CHECK(std::accumulate(counts.dropped.begin(), counts.dropped.end(), counts.queue_full) == dropped);
}

TEST_CASE("what one host sends is what the other receives: two interfaces of one capture") {
    talking_hosts bed;
    host::pcapng_capture seen(bed.loop);
    bed.left.capture_to(&seen.interface("left"));
    bed.right.capture_to(&seen.interface("right"));
    bed.exchange(5);
    CHECK(seen.add_statistics());
    const read_capture read = read_back(seen.bytes());
    REQUIRE(read.interfaces.size() == 2);
    CHECK(read.interfaces[1].name == "right");
    std::array<std::array<std::vector<frame_bytes>, 3>, 2> frames;
    for (const read_packet& one : read.packets) {
        REQUIRE(one.interface < 2);
        REQUIRE(one.flags < 3);
        CHECK(one.comment == "");
        frames[one.interface][one.flags].push_back(one.octets);
    }
    CHECK(frames[0][outbound] == frames[1][inbound]);
    CHECK(frames[1][outbound] == frames[0][inbound]);
    CHECK(frames[0][inbound].size() == bed.left.counters().frames);
    CHECK(frames[0][outbound].size() >= 5 + 1);  // datagrams, and what finds the neighbour
    CHECK(seen.seen() == read.packets.size());
    CHECK(seen.missed() == 0);
    REQUIRE(read.statistics.size() == 2);
    for (std::size_t i = 0; i != 2; ++i) {
        CHECK(read.statistics[i].interface == i);
        CHECK(read.statistics[i].counts.at(frames_there_were) == frames[i][inbound].size() + frames[i][outbound].size());
        CHECK(read.statistics[i].counts.at(frames_missed) == 0);
    }
}

TEST_CASE("two runs of one seed make the same capture, and a capture does not change how a run goes") {
    const auto run = [](bool captures) {
        talking_hosts bed;
        host::pcapng_capture seen(bed.loop);
        if (captures) {
            bed.left.capture_to(&seen.interface("left"));
            bed.right.capture_to(&seen.interface("right"));
        }
        bed.exchange(20);
        seen.add_statistics();
        return std::pair(bed.clock.digest(), copy_of_bytes(seen.bytes()));
    };
    const auto first = run(true);
    const auto second = run(true);
    CHECK(first.first == second.first);
    CHECK(first.second == second.second);
    const auto without = run(false);
    CHECK(without.first == first.first);
    CHECK(without.second.empty());
}

TEST_CASE("of a frame no more is kept than the snap length says") {
    host_and_station bed;
    host::pcapng_capture seen(bed.loop, {.snap_length = 60, .begin = {}});
    bed.here.capture_to(&seen.interface("left"));
    const frame_bytes request = proto::test::echo_request(station, counting(500));
    const auto answers = bed.ask(request);
    REQUIRE(answers.size() == 1);
    bed.send(proto::test::udp_request(station, counting(500)));
    const read_capture read = read_pcapng(seen.bytes());
    CHECK(read.wrong == "");
    REQUIRE(read.packets.size() == 4);
    CHECK(std::ranges::equal(read.packets[0].octets, std::span(request).first(60)));
    CHECK(read.packets[0].original_length == request.size());
    CHECK(std::ranges::equal(read.packets[1].octets, std::span(answers[0]).first(60)));
    CHECK(read.packets[2].comment == "dropped: udp_port_not_served");
    CHECK(read.packets[2].octets.size() == 60);
}

TEST_CASE("a capture begins when it is told that it begins") {
    host_and_station bed;
    bed.pass(5s);
    const std::chrono::system_clock::time_point begin{1'700'000'000s};
    host::pcapng_capture seen(bed.loop, {.begin = begin});
    bed.here.capture_to(&seen.interface("left"));
    bed.pass(2s);
    bed.send(proto::test::arp_request(station));
    const read_capture read = read_back(seen.bytes());
    REQUIRE_FALSE(read.packets.empty());
    CHECK(read.packets[0].time / 1'000'000'000 == 1'700'000'002);
}

TEST_CASE("what finds no room is counted as missed, and the parts of a capture are one file") {
    talking_hosts bed;
    host::pcapng_capture seen(bed.loop, {.memory = 0, .begin = {}});  // the least that there may be
    bed.left.capture_to(&seen.interface("left"));
    bed.right.capture_to(&seen.interface("right"));
    bed.exchange(400);
    CHECK(seen.missed() != 0);
    std::vector<std::byte> file = copy_of_bytes(seen.bytes());
    const std::uint64_t first_kept = read_back(file).packets.size();
    CHECK(first_kept + seen.missed() == seen.seen());

    seen.clear();
    const std::uint64_t missed = seen.missed();
    bed.exchange(1);
    CHECK(seen.missed() == missed);
    std::ranges::copy(seen.bytes(), std::back_inserter(file));
    seen.clear();
    bed.exchange(400);
    CHECK(seen.missed() > missed);
    CHECK(seen.add_statistics());  // for which room was kept
    CHECK(seen.bytes().size() <= 65'536);
    std::ranges::copy(seen.bytes(), std::back_inserter(file));

    const read_capture read = read_back(file);
    CHECK(read.interfaces.size() == 2);
    CHECK(read.packets.size() + seen.missed() == seen.seen());
    REQUIRE(read.statistics.size() == 2);
    CHECK(read.statistics[0].counts.at(frames_missed) + read.statistics[1].counts.at(frames_missed) == seen.missed());
    CHECK(read.statistics[0].counts.at(frames_there_were) + read.statistics[1].counts.at(frames_there_were) == seen.seen());
}

TEST_CASE("an interface for which there was no room yet is told of with its first frame") {
    talking_hosts bed;
    host::pcapng_capture seen(bed.loop, {.memory = 0, .begin = {}});
    bed.left.capture_to(&seen.interface("left"));
    bed.exchange(600);
    const std::string name(60'000, 'x');
    bed.right.capture_to(&seen.interface(name));
    CHECK(read_back(seen.bytes()).interfaces.size() == 1);
    seen.clear();
    bed.exchange(1);
    CHECK(seen.missed() != 0);
    std::vector<std::byte> file(proto::pcapng_section_repr{}.length() + proto::pcapng_interface_repr{"left"}.length());
    proto::pcapng_interface_repr{"left"}.emit(std::span(file).subspan(proto::pcapng_section_repr{}.emit(file)));
    std::ranges::copy(seen.bytes(), std::back_inserter(file));
    const read_capture read = read_back(file);
    REQUIRE(read.interfaces.size() == 2);
    CHECK(read.interfaces[1].name == name);
    CHECK(std::ranges::count(read.packets, 1U, &read_packet::interface) >= 2);
}

TEST_CASE("a frame that is captured, or finds the memory full, costs no allocation") {
    talking_hosts bed;
    host::pcapng_capture seen(bed.loop, {.memory = 0, .begin = {}});
    bed.left.capture_to(&seen.interface("left"));
    bed.right.capture_to(&seen.interface("right"));
    std::uint64_t allocations = 1;
    bed.loop.spawn([&]() -> task<void> {
        const frame_bytes bytes = counting(100);
        frame_bytes room(200);
        for (int round = 0; round != 3; ++round) {
            if (round == 1) { seen.clear(); }
            const allocation_watch watch;
            for (int i = 0; i != 500; ++i) {
                const io_result sent = co_await bed.near.send_to(bytes, bed.far.local_endpoint());
                CHECK(sent.n == 100);
                const datagram_result got = co_await bed.far.recv_from(room);
                CHECK(got.n == 100);
            }
            allocations = round == 0 ? 0 : allocations + watch.allocations();
        }
    });
    bed.loop.run();
    CHECK(allocations == 0);
    CHECK(seen.missed() != 0);
    CHECK(seen.missed() < seen.seen());
}

TEST_CASE("a sink is told of every frame that the host counts, until it leaves") {
    talking_hosts bed;
    counting_sink first;
    counting_sink second;
    bed.left.capture_to(&first);
    bed.exchange(3);
    CHECK(first.frames == bed.left.counters().frames);
    CHECK(first.verdicts == first.frames);
    CHECK(first.departures >= 3);
    CHECK(first.drops == 0);

    bed.left.capture_to(&second);  // in place of the first
    CHECK_FALSE(first.has_host());
    const std::uint64_t before = first.frames;
    bed.exchange(2);
    CHECK(first.frames == before);
    CHECK(second.frames == 2);

    bed.right.capture_to(&second);  // which leaves the left host
    bed.exchange(2);
    CHECK(second.frames == 4);
    CHECK(second.departures == 4);

    bed.right.capture_to(nullptr);
    CHECK_FALSE(second.has_host());
    bed.exchange(1);
    CHECK(second.frames == 4);
}

TEST_CASE("a host and its sink may go in either order") {
    virtual_wire bed;
    counting_sink outlives;
    std::optional<counting_sink> goes(std::in_place);
    std::optional<host::ip_host> left = bed.open(capture_end::left, host_number(1));
    host::ip_host right = bed.open(capture_end::right, host_number(2));
    auto far = right.open_udp({v4_of(2), 6000}).value();
    {
        auto near = left->open_udp({v4_of(1), 5000}).value();
        left->capture_to(&*goes);
        bed.loop.spawn(talk(near, far, 1));
        bed.loop.run();
        CHECK(goes->frames != 0);
        goes.reset();
        bed.loop.spawn(talk(near, far, 1));
        bed.loop.run();
    }
    left->capture_to(&outlives);
    CHECK(outlives.has_host());
    host::ip_host moved = std::move(*left);
    CHECK(outlives.has_host());
    left->capture_to(&outlives);  // without effect
    CHECK(outlives.has_host());
    left.reset();
    CHECK(outlives.has_host());
    { const host::ip_host gone = std::move(moved); }
    CHECK_FALSE(outlives.has_host());
}
