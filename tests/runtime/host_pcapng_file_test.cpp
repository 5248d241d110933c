// SPDX-License-Identifier: BSD-3-Clause
// pcapng_file: what hosts receive and send, on a simulated wire in real time, written to a file.
#include "fluxnet/runtime/host/pcapng_file.hpp"

#include "fluxnet/runtime/core/scope.hpp"
#include "tests/proto/pcapng_reader.hpp"
#include "tests/runtime/file_tests.hpp"
#include "tests/runtime/host_bed.hpp"
#include "tests/support/deadline.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using proto::test::counting;
using proto::test::read_pcapng;

static_assert(std::is_nothrow_move_constructible_v<host::pcapng_file> && !std::is_copy_constructible_v<host::pcapng_file>);

namespace {

constexpr unsigned count_of_frames = 4;  // isb_ifrecv
constexpr unsigned count_of_missed = 5;  // isb_ifdrop

/// How many octets a datagram of an exchange is in the file: 1000 octets, three headers, and what is around them.
constexpr std::uint64_t block_length = 32 + 1044 + 12;

/// Two hosts on an executor that goes by the real clock, with an endpoint each.
struct hosts_in_real_time {
    using end = simulated_wire::end;

    [[nodiscard]] host::ip_host open(end which, std::uint8_t number) {
        auto sockets = open_async(loop, wire.socket_on(which)).value();
        return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), host_number(number)).value();
    }

    void capture_to(host::pcapng_file& file) {
        left.capture_to(&file.interface("left"));
        right.capture_to(&file.interface("right"));
    }

    /// Sends `count` datagrams from left to right, and receives them.
    task<void> exchange(int count) {
        const frame_bytes bytes = counting(1000);
        frame_bytes room(2000);
        for (int i = 0; i != count; ++i) {
            const io_result sent = co_await near.send_to(bytes, far.local_endpoint());
            CHECK(sent.n == bytes.size());
            const datagram_result got = co_await far.recv_from(room);
            CHECK(got.n == bytes.size());
        }
    }

    simulated_wire wire;
    executor loop;
    host::ip_host left = open(end::left, 1);
    host::ip_host right = open(end::right, 2);
    host::udp_endpoint near = left.open_udp({v4_of(1), 5000}).value();
    host::udp_endpoint far = right.open_udp({v4_of(2), 6000}).value();
};

std::vector<std::byte> contents_of(const std::string& path) {
    std::ifstream from(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(from), {}};
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

/// A file that has everything: its form is right, and what it lacks it counts.
proto::test::read_capture check_whole(const std::string& path) {
    proto::test::read_capture read = read_pcapng(contents_of(path));
    REQUIRE(read.wrong == "");
    REQUIRE(read.interfaces.size() == 2);
    REQUIRE(read.statistics.size() == 2);
    std::uint64_t frames = 0;
    std::uint64_t missed = 0;
    for (const auto& one : read.statistics) {
        frames += one.counts.at(count_of_frames);
        missed += one.counts.at(count_of_missed);
    }
    CHECK(read.packets.size() + missed == frames);
    return read;
}

constexpr std::size_t roomy = 1 << 20;
constexpr std::size_t narrow = 0;  // the least that there may be

task<host::pcapng_file> open_capture(executor& on, std::string path, std::size_t memory) {
    result<file> into = co_await file::open(std::move(path), file_options{.write = true, .create = true});
    REQUIRE(into.has_value());
    const host::pcapng_options options{.memory = memory, .begin = {}};
    co_return host::pcapng_file(on, std::move(*into), options);
}

task<void> close_well(host::pcapng_file& file) {
    const wait_result closed = co_await file.close();
    CHECK_FALSE(closed);
    CHECK_FALSE(file.failure());
}

}  // namespace

TEST_CASE("what two hosts say to each other is in the file when that was closed, and nothing later") {
    const scratch_directory directory;
    const std::string path = directory / "capture.pcapng";
    hosts_in_real_time bed;
    bed.loop.run([](hosts_in_real_time& in, std::string into) -> task<void> {
        host::pcapng_file file = co_await open_capture(in.loop, into, roomy);
        in.capture_to(file);
        co_await in.exchange(20);
        co_await close_well(file);
        const std::uint64_t frames = file.seen();
        CHECK(file.missed() == 0);
        CHECK(file.written() == std::filesystem::file_size(into));
        co_await in.exchange(1);
        CHECK(file.seen() == frames);
        co_await close_well(file);  // there is nothing more to do
    }(bed, path));
    const auto read = check_whole(path);
    CHECK(read.packets.size() >= 2 * 20);
}

TEST_CASE("a capture that is many times its memory is written while the hosts go on") {
    const scratch_directory directory;
    const std::string path = directory / "capture.pcapng";
    hosts_in_real_time bed;
    std::uint64_t missed = 0;
    bed.loop.run([](hosts_in_real_time& in, std::string into, std::uint64_t& lacks) -> task<void> {
        host::pcapng_file file = co_await open_capture(in.loop, into, narrow);
        in.capture_to(file);
        std::uint64_t blocks = 0;
        for (int round = 0; round != 10; ++round) {
            co_await in.exchange(20);  // fits
            blocks += std::uint64_t{2} * 20 * block_length;
            while (file.written() < blocks) { static_cast<void>(co_await sleep_for(1ms)); }
        }
        CHECK(file.missed() == 0);
        co_await in.exchange(500);
        co_await close_well(file);
        lacks = file.missed();
    }(bed, path, missed));
    const auto read = check_whole(path);
    CHECK(read.packets.size() + missed >= 2 * 700);
    CHECK(read.packets.size() >= 2 * 200);
}

TEST_CASE("a file that cannot be written any more says why, and the hosts go on") {
    hosts_in_real_time bed;
    bed.loop.run([](hosts_in_real_time& in) -> task<void> {
        host::pcapng_file file = co_await open_capture(in.loop, "/dev/full", narrow);
        in.capture_to(file);
        co_await in.exchange(1);
        while (!file.failure()) { static_cast<void>(co_await sleep_for(1ms)); }
        CHECK(file.failure() == std::errc::no_space_on_device);
        co_await in.exchange(200);
        CHECK(file.missed() != 0);
        CHECK(file.written() == 0);
        const wait_result closed = co_await file.close();
        CHECK_FALSE(closed);
        CHECK(file.failure() == std::errc::no_space_on_device);
    }(bed));
}

TEST_CASE(
    "writing that was cancelled with the executor's tasks goes on with the next frame, and close() makes up for the rest") {
    const scratch_directory directory;
    const std::string path = directory / "capture.pcapng";
    hosts_in_real_time bed;
    std::optional<host::pcapng_file> file;
    const auto begin = [&]() -> task<void> {
        file.emplace(co_await open_capture(bed.loop, path, roomy));
        bed.capture_to(*file);
        co_await bed.exchange(1);
    };
    bed.loop.run(begin());
    for (int round = 0; round != 3; ++round) { bed.loop.run(bed.exchange(3)); }
    bed.loop.run(close_well(*file));
    const auto read = check_whole(path);
    CHECK(read.packets.size() == file->seen());
    CHECK(read.packets.size() >= 2 * 10);
}

TEST_CASE("a file that is destroyed without being closed is written to its end in the background") {
    const scratch_directory directory;
    const std::string path = directory / "capture.pcapng";
    hosts_in_real_time bed;
    bed.loop.run([](hosts_in_real_time& in, std::string into) -> task<void> {
        {
            host::pcapng_file file = co_await open_capture(in.loop, into, roomy);
            in.capture_to(file);
            co_await in.exchange(10);
        }
        while (read_pcapng(contents_of(into)).statistics.size() != 2) { static_cast<void>(co_await sleep_for(1ms)); }
        co_await in.exchange(1);  // which nobody captures
    }(bed, path));
    CHECK(check_whole(path).packets.size() >= 2 * 10);
}

TEST_CASE("a file that is destroyed while its writing is being cancelled is written to its end all the same") {
    const scratch_directory directory;
    const std::string path = directory / "capture.pcapng";
    hosts_in_real_time bed;
    bed.loop.spawn([](hosts_in_real_time& in, std::string into) -> task<void> {
        host::pcapng_file file = co_await open_capture(in.loop, into, roomy);
        in.capture_to(file);
        co_await in.exchange(10);
        while (file.written() == 0) { static_cast<void>(co_await sleep_for(1ms)); }
        in.loop.request_stop();
        in.loop.restart();
        in.loop.spawn([](std::string of) -> task<void> {
            const fluxnet::test::deadline limit = 60s;
            while (read_pcapng(contents_of(of)).statistics.size() != 2 && !limit.passed()) {
                static_cast<void>(co_await sleep_for(1ms));
            }
        }(into));
    }(bed, path));
    bed.loop.run();
    CHECK(check_whole(path).packets.size() >= 2 * 10);
}

TEST_CASE("several coroutines await the end of a capture, and one that is cancelled leaves it to the others") {
    const scratch_directory directory;
    const std::string path = directory / "capture.pcapng";
    hosts_in_real_time bed;
    bed.loop.run([](hosts_in_real_time& in, std::string into) -> task<void> {
        host::pcapng_file file = co_await open_capture(in.loop, into, roomy);
        in.capture_to(file);
        co_await in.exchange(1);
        {
            scope gone;
            const auto cancelled = [&]() -> task<void> {
                const wait_result closed = co_await file.close();
                CHECK(closed == errc::operation_canceled);
            };
            gone.spawn(cancelled());
            gone.request_stop();
            static_cast<void>(co_await gone.join());
        }
        std::array<bool, 2> ended{};
        const auto note = [&](bool& when) -> task<void> {
            co_await close_well(file);
            when = true;
        };
        scope both;
        for (bool& one : ended) { both.spawn(note(one)); }
        static_cast<void>(co_await both.join());
        CHECK(ended[0]);
        CHECK(ended[1]);
    }(bed, path));
    CHECK(check_whole(path).packets.size() >= 2);
}

TEST_CASE("a capture that makes place for another one is written to its end") {
    const scratch_directory directory;
    const std::string path = directory / "capture.pcapng";
    hosts_in_real_time bed;
    bed.loop.run([](hosts_in_real_time& in, std::string into, std::string next) -> task<void> {
        host::pcapng_file file = co_await open_capture(in.loop, into, roomy);
        in.capture_to(file);
        co_await in.exchange(1);
        file = co_await open_capture(in.loop, next, roomy);
        CHECK(file.seen() == 0);
        while (read_pcapng(contents_of(into)).statistics.size() != 2) { static_cast<void>(co_await sleep_for(1ms)); }
        in.capture_to(file);
        co_await in.exchange(2);
        const host::pcapng_file moved = std::move(file);
        CHECK(moved.seen() >= 4);
    }(bed, path, directory / "another.pcapng"));
    CHECK(check_whole(path).packets.size() >= 2);
}

TEST_CASE("a capture file in virtual time fails with that, and the hosts go on") {
    two_hosts bed;
    auto near = bed.left.open_udp({v4_of(1), 5000}).value();
    auto far = bed.right.open_udp({v4_of(2), 6000}).value();
    host::pcapng_file file(bed.loop, memory_file(""));
    bed.left.capture_to(&file.interface("left"));
    bed.loop.spawn([&]() -> task<void> {
        const frame_bytes bytes = counting(10);
        const io_result sent = co_await near.send_to(bytes, far.local_endpoint());
        CHECK(sent.n == 10);
        frame_bytes room(20);
        const datagram_result got = co_await far.recv_from(room);
        CHECK(got.n == 10);
        const wait_result closed = co_await file.close();
        CHECK_FALSE(closed);
    });
    bed.loop.run();
    CHECK(file.failure() == errc::not_in_virtual_time);
}
