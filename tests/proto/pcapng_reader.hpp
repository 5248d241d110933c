// SPDX-License-Identifier: BSD-3-Clause
// Reads a pcapng file back, and finds what is wrong with its form: for tests.
//
// Functions without state; what they return is copied out of the file.
// Source: draft-ietf-opsawg-pcapng, sections 3 and 4.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fluxnet::proto::test {

struct read_interface {
    std::string name;
    std::uint32_t link_type = 0;
    std::uint32_t snap_length = 0;
    unsigned time_resolution = 6;  // microseconds, where nothing is said
};

struct read_packet {
    std::uint32_t interface = 0;
    std::uint64_t time = 0;
    std::uint32_t original_length = 0;
    std::vector<std::byte> octets;
    std::uint32_t flags = 0;
    std::string comment;
};

struct read_statistics {
    std::uint32_t interface = 0;
    std::uint64_t time = 0;
    std::map<unsigned, std::uint64_t> counts;  // by the option's number
};

struct read_capture {
    std::string wrong;  // what is wrong with the file; empty: nothing
    std::string application;
    std::vector<read_interface> interfaces;
    std::vector<read_packet> packets;
    std::vector<read_statistics> statistics;
};

namespace pcapng_reading {

/// Reads numbers of this machine's byte order; `failed` once there was less than was asked for.
struct pcapng_cursor {
    std::span<const std::byte> left;
    bool failed = false;

    template <class T>
    T number() {
        T value{};
        const auto from = take(sizeof value);
        if (!failed) { std::memcpy(&value, from.data(), sizeof value); }
        return value;
    }
    std::uint64_t time() {
        const std::uint64_t high = number<std::uint32_t>();
        return high << 32 | number<std::uint32_t>();
    }
    std::span<const std::byte> take(std::size_t size) {
        failed = failed || size > left.size();
        if (failed) { return {}; }
        const auto taken = left.first(size);
        left = left.subspan(size);
        return taken;
    }
    /// Takes octets and what fills up their last word, which is to be zero.
    std::span<const std::byte> padded(std::size_t size) {
        const auto taken = take(size);
        for (const std::byte one : take((4 - size % 4) % 4)) { failed = failed || one != std::byte{0}; }
        return taken;
    }
};

inline std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Calls `each(code, value)` with the options that are left of a block. Returns what is wrong with them.
template <class F>
std::string walk_options(pcapng_cursor& at, F each) {
    if (at.left.empty()) { return {}; }
    for (;;) {
        const unsigned code = at.number<std::uint16_t>();
        const std::size_t length = at.number<std::uint16_t>();
        if (at.failed) { return "options without an end"; }
        if (code == 0) { return length == 0 && at.left.empty() ? "" : "something follows the options"; }
        const auto value = at.padded(length);
        if (at.failed) { return "an option that is too long, or not padded by zeroes"; }
        each(code, value);
    }
}

inline std::uint64_t number_of(std::span<const std::byte> value) {
    std::uint64_t wide = 0;
    std::uint32_t narrow = 0;
    if (value.size() == 8) { std::memcpy(&wide, value.data(), 8); }
    if (value.size() == 4) { std::memcpy(&narrow, value.data(), 4); }
    return value.size() == 8 ? wide : value.size() == 4 ? narrow : std::to_integer<unsigned>(value[0]);
}

inline std::string read_block(std::uint32_t type, pcapng_cursor at, read_capture& into) {
    if (type == 0x0a0d0d0a) {
        if (at.number<std::uint32_t>() != 0x1a2b3c4d) { return "not in this machine's byte order"; }
        if (at.number<std::uint16_t>() != 1 || at.number<std::uint16_t>() != 0) { return "not version 1.0"; }
        if (at.number<std::uint64_t>() != ~std::uint64_t{0}) { return "the section says how long it is"; }
        return walk_options(at, [&](unsigned code, auto value) {
            if (code == 4) { into.application = text_of(value); }
        });
    }
    if (type == 1) {
        read_interface one;
        one.link_type = at.number<std::uint16_t>();
        if (at.number<std::uint16_t>() != 0) { return "the reserved field of an interface is not 0"; }
        one.snap_length = at.number<std::uint32_t>();
        const std::string wrong = walk_options(at, [&](unsigned code, auto value) {
            if (code == 2) { one.name = text_of(value); }
            if (code == 9) { one.time_resolution = static_cast<unsigned>(number_of(value)); }
        });
        into.interfaces.push_back(one);
        return at.failed ? "an interface that is cut off" : wrong;
    }
    const std::uint32_t interface = at.number<std::uint32_t>();
    if (interface >= into.interfaces.size()) { return "an interface that nothing tells of"; }
    if (type == 6) {
        read_packet one{.interface = interface, .time = at.time(), .octets = {}, .comment = {}};
        const std::size_t kept = at.number<std::uint32_t>();
        one.original_length = at.number<std::uint32_t>();
        if (kept > one.original_length) { return "more is kept of a packet than there was"; }
        const std::uint32_t snap = into.interfaces[interface].snap_length;
        if (snap != 0 && kept > snap) { return "more is kept of a packet than the interface says"; }
        const auto octets = at.padded(kept);
        one.octets.assign(octets.begin(), octets.end());
        if (at.failed) { return "a packet that is cut off, or not padded by zeroes"; }
        const std::string wrong = walk_options(at, [&](unsigned code, auto value) {
            if (code == 1) { one.comment = text_of(value); }
            if (code == 2) { one.flags = static_cast<std::uint32_t>(number_of(value)); }
        });
        into.packets.push_back(one);
        return wrong;
    }
    if (type == 5) {
        read_statistics one{.interface = interface, .time = at.time(), .counts = {}};
        const std::string wrong = walk_options(at, [&](unsigned code, auto value) { one.counts[code] = number_of(value); });
        into.statistics.push_back(one);
        return at.failed ? "statistics that are cut off" : wrong;
    }
    return "a block of type " + std::to_string(type);
}

}  // namespace pcapng_reading

/// Reads a file that is one section, written on a machine of this byte order.
[[nodiscard]] inline read_capture read_pcapng(std::span<const std::byte> file) {
    read_capture read;
    for (bool first = true; !file.empty() && read.wrong.empty(); first = false) {
        pcapng_reading::pcapng_cursor head{file};
        const auto type = head.number<std::uint32_t>();
        const auto length = head.number<std::uint32_t>();
        if (head.failed || length < 12 || length % 4 != 0 || length > file.size()) {
            read.wrong = "a block whose length cannot be";
            break;
        }
        std::uint32_t again = 0;
        std::memcpy(&again, file.data() + length - 4, 4);
        if (again != length) {
            read.wrong = "a block whose lengths differ";
            break;
        }
        if (first != (type == 0x0a0d0d0a)) {
            read.wrong = "not one section from the beginning on";
            break;
        }
        read.wrong = pcapng_reading::read_block(type, {file.subspan(8, length - 12)}, read);
        file = file.subspan(length);
    }
    return read;
}

}  // namespace fluxnet::proto::test
