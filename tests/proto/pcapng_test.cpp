// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/pcapng.hpp"

#include "tests/proto/frames.hpp"
#include "tests/proto/pcapng_reader.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <unistd.h>

using namespace fluxnet::proto;
using test::counting;
using test::octets;
using test::read_capture;
using test::read_pcapng;

namespace {

constexpr std::uint64_t some_time = 0x1122'3344'5566'7788;

/// The block in memory that has just room for it, and was full of something else.
template <class Repr>
std::vector<std::byte> block_of(const Repr& repr) {
    std::vector<std::byte> block(repr.length(), std::byte{0xee});
    CHECK(repr.emit(block) == block.size());
    return block;
}

template <class Repr>
void append(std::vector<std::byte>& file, const Repr& repr) {
    const auto block = block_of(repr);
    file.insert(file.end(), block.begin(), block.end());
}

/// A file with an interface "eth0", whose frames follow.
std::vector<std::byte> file_with_interface(std::uint32_t snap_length = 0) {
    std::vector<std::byte> file = block_of(pcapng_section_repr{"a test"});
    append(file, pcapng_interface_repr{"eth0", snap_length});
    return file;
}

/// The command by which a program of this machine reads the file whose name follows, if there is such a program.
std::optional<std::string> reading_command() {
    for (const std::string program : {"tshark", "tcpdump", "capinfos"}) {
        const std::string found = "command -v " + program + " >/dev/null 2>&1";
        if (std::system(found.c_str()) == 0) { return program + (program == "capinfos" ? " -M -c " : " -n -r "); }
    }
    return {};
}

std::optional<std::string> why_nothing_reads() {
    if (reading_command()) { return {}; }
    return "neither tshark nor tcpdump nor capinfos is installed";
}

/// What a command writes to its standard output; nothing when it fails.
std::string output_of(const std::string& command) {
    std::FILE* const pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int one = std::fgetc(pipe); one != EOF; one = std::fgetc(pipe)) { text += static_cast<char>(one); }
    return ::pclose(pipe) == 0 ? text : std::string();
}

}  // namespace

TEST_CASE("a section is written octet by octet") {
    if constexpr (std::endian::native == std::endian::little) {
        CHECK(block_of(pcapng_section_repr{}) == octets(0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0,
                                                        0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28, 0, 0, 0));
        CHECK(block_of(pcapng_section_repr{"abcde"}) ==
              octets(0x0a, 0x0d, 0x0d, 0x0a, 44, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
                     0xff, 0xff, 0xff, 4, 0, 5, 0, 'a', 'b', 'c', 'd', 'e', 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0));
    }
}

TEST_CASE("an interface is written octet by octet") {
    if constexpr (std::endian::native == std::endian::little) {
        CHECK(block_of(pcapng_interface_repr{"lo", 0x1234}) == octets(1, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0x34, 0x12, 0, 0,
                                                                      2, 0, 2, 0, 'l', 'o', 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0,
                                                                      0, 0, 0, 40, 0, 0, 0));
    }
}

TEST_CASE("a packet is written octet by octet") {
    if constexpr (std::endian::native == std::endian::little) {
        const auto frame = octets(0xa1, 0xa2, 0xa3, 0xa4, 0xa5);
        CHECK(block_of(pcapng_packet_repr{.interface = 3, .time_ns = some_time, .octets = frame, .comment = {}}) ==
              octets(6, 0, 0, 0, 40, 0, 0, 0, 3, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55, 5, 0, 0, 0, 5, 0,
                     0, 0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0, 0, 0, 40, 0, 0, 0));
        CHECK(block_of(pcapng_packet_repr{.interface = 3,
                                          .time_ns = some_time,
                                          .octets = frame,
                                          .original_length = 1500,
                                          .direction = pcapng_direction::outbound,
                                          .comment = "hey"}) ==
              octets(6, 0, 0, 0, 60, 0, 0, 0, 3, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55, 5, 0, 0, 0, 0xdc,
                     5, 0, 0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0, 0, 0, 1, 0, 3, 0, 'h', 'e', 'y', 0, 2, 0, 4, 0, 2, 0, 0, 0, 0,
                     0, 0, 0, 60, 0, 0, 0));
    }
}

TEST_CASE("statistics are written octet by octet") {
    if constexpr (std::endian::native == std::endian::little) {
        CHECK(block_of(pcapng_statistics_repr{.interface = 3, .time_ns = some_time, .received = 0x102, .missed = 7}) ==
              octets(5, 0, 0, 0, 52, 0, 0, 0, 3, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55, 4, 0, 8, 0, 2, 1,
                     0, 0, 0, 0, 0, 0, 5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0));
        CHECK(block_of(pcapng_statistics_repr{.interface = 3, .time_ns = some_time, .received = {}, .missed = {}}) ==
              octets(5, 0, 0, 0, 24, 0, 0, 0, 3, 0, 0, 0, 0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55, 24, 0, 0, 0));
    }
}

TEST_CASE("packets of every length and comment, of several interfaces, are read back as they were written") {
    std::vector<std::byte> file = file_with_interface();
    append(file, pcapng_interface_repr{});
    append(file, pcapng_interface_repr{"another interface", 96});
    const std::string text = "a comment of some length";
    std::size_t count = 0;
    for (std::size_t size = 0; size != 70; ++size) {
        const auto frame = counting(size);
        append(file, pcapng_packet_repr{.interface = static_cast<std::uint32_t>(size % 3),
                                        .time_ns = some_time + size,
                                        .octets = frame,
                                        .original_length = static_cast<std::uint32_t>(size % 2 == 0 ? 0 : 2 * size),
                                        .direction = static_cast<pcapng_direction>(size % 3),
                                        .comment = std::string_view(text).substr(0, size % 9)});
        ++count;
    }
    append(file, pcapng_statistics_repr{.interface = 2, .time_ns = some_time, .received = 24, .missed = 1});

    const read_capture read = read_pcapng(file);
    CHECK(read.wrong == "");
    CHECK(read.application == "a test");
    REQUIRE(read.interfaces.size() == 3);
    CHECK(read.interfaces[0].name == "eth0");
    CHECK(read.interfaces[1].name == "");
    CHECK(read.interfaces[2].name == "another interface");
    CHECK(read.interfaces[2].snap_length == 96);
    for (const auto& one : read.interfaces) {
        CHECK(one.link_type == 1);
        CHECK(one.time_resolution == 9);
    }
    REQUIRE(read.packets.size() == count);
    for (std::size_t size = 0; size != count; ++size) {
        CAPTURE(size);
        const auto& one = read.packets[size];
        CHECK(one.interface == size % 3);
        CHECK(one.time == some_time + size);
        CHECK(one.octets == counting(size));
        CHECK(one.original_length == (size % 2 == 0 ? size : 2 * size));
        CHECK(one.flags == size % 3);
        CHECK(one.comment == text.substr(0, size % 9));
    }
    REQUIRE(read.statistics.size() == 1);
    CHECK(read.statistics[0].interface == 2);
    CHECK(read.statistics[0].time == some_time);
    CHECK(read.statistics[0].counts.at(4) == 24);
    CHECK(read.statistics[0].counts.at(5) == 1);
}

TEST_CASE("a text that is longer than an option can be is cut") {
    const std::string text(70'000, 'x');
    std::vector<std::byte> file = block_of(pcapng_section_repr{text});
    append(file, pcapng_interface_repr{text});
    append(file, pcapng_packet_repr{.octets = {}, .comment = text});
    const read_capture read = read_pcapng(file);
    CHECK(read.wrong == "");
    CHECK(read.application == text.substr(0, 0xffff));
    CHECK(read.interfaces.at(0).name == text.substr(0, 0xffff));
    CHECK(read.packets.at(0).comment == text.substr(0, 0xffff));
}

TEST_CASE("a packet gets a comment in the block that it lies in") {
    for (const std::size_t size : {0U, 1U, 4U, 61U, 1514U}) {
        CAPTURE(size);
        const auto frame = counting(size);
        pcapng_packet_repr repr{
            .time_ns = some_time, .octets = frame, .direction = pcapng_direction::inbound, .comment = {}};
        std::vector<std::byte> block = block_of(repr);
        block.resize(block.size() + 100);
        repr.octets = std::span(block).subspan(pcapng_packet_repr::octets_at, size);
        repr.comment = "dropped";
        const std::size_t length = repr.emit(block);
        CHECK(length == repr.length());
        block.resize(length);
        std::vector<std::byte> file = file_with_interface();
        file.insert(file.end(), block.begin(), block.end());
        const read_capture read = read_pcapng(file);
        CHECK(read.wrong == "");
        CHECK(read.packets.at(0).octets == frame);
        CHECK(read.packets.at(0).comment == "dropped");
        CHECK(read.packets.at(0).flags == 1);
    }
}

TEST_CASE("the reader of the tests finds what is wrong with a file") {
    const auto frame = counting(10);
    std::vector<std::byte> file = file_with_interface(10);
    const std::size_t at = file.size();
    append(file, pcapng_packet_repr{.octets = frame, .direction = pcapng_direction::inbound, .comment = "c"});
    CHECK(read_pcapng(file).wrong == "");
    for (std::size_t cut = 1; cut != file.size() - at; ++cut) {
        CHECK(read_pcapng(std::span(file).first(file.size() - cut)).wrong != "");
    }
    const auto wrong_with = [&](std::size_t offset, int value) {
        auto changed = file;
        changed[at + offset] = static_cast<std::byte>(value);
        return read_pcapng(changed).wrong;
    };
    CHECK(wrong_with(4, 60) == "a block whose lengths differ");
    CHECK(wrong_with(4, 13) == "a block whose length cannot be");
    CHECK(wrong_with(8, 1) == "an interface that nothing tells of");
    CHECK(wrong_with(20, 11) == "more is kept of a packet than there was");
    CHECK(wrong_with(28 + 10, 1) == "a packet that is cut off, or not padded by zeroes");
    CHECK(wrong_with(28 + 12 + 5, 1) == "an option that is too long, or not padded by zeroes");
    CHECK(wrong_with(28 + 12 + 8 + 8, 3) != "");  // no end of the options
    CHECK(read_pcapng(std::span(file).subspan(at)).wrong == "not one section from the beginning on");
}

TEST_CASE("a program of the machine reads the file") {
    FLUXNET_SKIP_IF(why_nothing_reads());
    const test::endpoints who{.host = mac_address({2, 0, 0, 0, 0, 1}),
                              .host_ip = ipv4_address(192, 0, 2, 1),
                              .client = mac_address({2, 0, 0, 0, 0, 2}),
                              .client_ip = ipv4_address(192, 0, 2, 2)};
    std::vector<std::byte> file = file_with_interface(65'535);
    const auto frame = test::arp_request(who);
    append(file, pcapng_packet_repr{.time_ns = 1'700'000'000'123'456'789,
                                    .octets = frame,
                                    .direction = pcapng_direction::inbound,
                                    .comment = "dropped: arp_not_for_us"});
    append(file, pcapng_statistics_repr{.time_ns = 1'700'000'000'123'456'789, .received = 1, .missed = 0});
    const std::string path = "/tmp/fluxnet_pcapng_test." + std::to_string(::getpid());
    std::FILE* const into = std::fopen(path.c_str(), "wb");
    REQUIRE(into != nullptr);
    CHECK(std::fwrite(file.data(), 1, file.size(), into) == file.size());
    CHECK(std::fclose(into) == 0);
    const std::string command = *reading_command();
    const std::string said = output_of(command + path);
    CHECK(::unlink(path.c_str()) == 0);
    CAPTURE(said);
    CHECK(said.find(command.starts_with("capinfos") ? "1" : "192.0.2.1") != said.npos);
}
