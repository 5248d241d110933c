// SPDX-License-Identifier: BSD-3-Clause
// Our end: proto::tcp::stack with the checks, headers and look-ups that an ip_host has around it.
#include "benchmarks/tcp/node.hpp"

#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/neighbour/neighbour_table.hpp"
#include "fluxnet/proto/tcp/segment_writer.hpp"
#include "fluxnet/proto/tcp/stack.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ranges>

namespace benchmark::tcp {
namespace {

namespace proto = fluxnet::proto;
namespace stack_of = fluxnet::proto::tcp;
using time_point = std::chrono::steady_clock::time_point;

constexpr std::size_t headroom = 128;  // before what is written, as in a frame that a header goes before

template <std::size_t Count>
std::array<std::byte, Count> octets_of(std::uint8_t seed) {
    std::array<std::byte, Count> made{};
    for (std::size_t i = 0; i != made.size(); ++i) { made[i] = static_cast<std::byte>(seed * 37 + i * 101 + 11); }
    return made;
}

proto::ipv4_address address_of(std::uint8_t last) {
    return {192, 0, 2, last};
}
proto::mac_address hardware_of(std::uint8_t last) {
    return proto::mac_address({2, 0, 0, 0, 0, last});
}

stack_of::stack_options options_of(const setting& chosen) {
    stack_of::stack_options made;
    made.connections = chosen.connections + 1;
    made.embryonic = made.orphans = chosen.connections + 1;
    made.ranges = std::size_t{chosen.frames} * 2;
    made.buffers = chosen.frames;
    made.v4.send_limit = made.v4.receive_limit = chosen.window;
    made.v4.maximum_segment = segment;
    return made;
}

class fluxnet_node final : public node, public stack_of::buffer_source {
public:
    explicit fluxnet_node(const setting& chosen)
        : node(chosen), own_(address_of(chosen.own)), peer_(address_of(chosen.peer)), hardware_(hardware_of(chosen.own)),
          neighbours_({}, octets_of<16>(chosen.own)),
          stack_(options_of(chosen), *this, octets_of<32>(chosen.own), time_point()) {
        if (!neighbours_.add_permanent(peer_, hardware_of(chosen.peer), time_point())) { std::abort(); }
    }

    void listen() override {
        const auto made = stack_.listen(
            {.address = own_, .port = port, .backlog = chosen_.connections + 1, .syn_queue = chosen_.connections + 1});
        if (!made) { std::abort(); }
        listens_ = true;
    }
    void connect(std::int64_t now_ns) override {
        if (!stack_.connect(own_, {peer_, port}, time_point(std::chrono::nanoseconds(now_ns)))) { std::abort(); }
    }
    void turn(std::span<const descriptor> arrived, std::int64_t now_ns) override {
        now_ = time_point(std::chrono::nanoseconds(now_ns));
        for (const descriptor& one : arrived) { receive(one); }
        stack_.advance(now_);
        tell();
        stack_of::stack_segment out;
        while (stack_.next(out, now_)) { send(out); }
    }
    [[nodiscard]] std::uint32_t established() const override { return established_; }

    [[nodiscard]] stack_of::buffer allocate() noexcept override {
        std::byte* const one = frames_.take();
        if (one == nullptr) { return {}; }
        return {one + headroom, chunks::size - headroom, reinterpret_cast<std::uintptr_t>(one)};
    }
    void release(std::uint64_t token) noexcept override { frames_.give(reinterpret_cast<std::byte*>(token)); }

private:
    void receive(const descriptor& one) noexcept {
        if (!deliver({one.data, one.length}, reinterpret_cast<std::uintptr_t>(one.data))) { frames_.give(one.data); }
    }

    /// Returns whether the stack keeps the frame.
    bool deliver(std::span<const std::byte> frame, std::uint64_t token) noexcept {
        const auto ethernet = proto::ethernet_view::parse(frame);
        if (!ethernet || ethernet->destination() != hardware_ || ethernet->type() != proto::ethertype::ipv4) {
            return false;
        }
        const auto parsed = proto::ipv4_view::parse(ethernet->payload());
        if (!parsed) { return false; }
        const proto::ipv4_view packet = *parsed;
        if (packet.destination() != own_ || packet.is_fragment() || packet.time_to_live() == 0) { return false; }
        const proto::ipv4_address source = packet.source();
        if (source.is_multicast() || source.is_broadcast() || source.is_loopback() || source.is_this_network() ||
            source == own_) {
            return false;
        }
        if (packet.protocol() != proto::ip_protocol::tcp) { return false; }
        const auto checked = chosen_.checksums ? stack_of::checksum_state::unchecked : stack_of::checksum_state::right;
        const stack_of::arrival told = stack_.receive(source, own_, packet.payload(), token, now_, checked);
        if (told.answer_now) {
            stack_of::stack_segment out;
            while (stack_.next_immediate(out, now_)) { send(out); }
        }
        return told.kept;
    }

    void send(const stack_of::stack_segment& out) noexcept {
        const auto hop = neighbours_.resolve(peer_, now_);
        std::byte* const chunk = frames_.take();
        if (chunk == nullptr || hop.what != proto::neighbour_table::hop::known) { std::abort(); }
        const std::size_t header = stack_of::header_length(out.segment);
        const std::size_t payload = out.segment.payload.size();
        const std::size_t length = proto::ethernet_header_length + proto::ipv4_header_length + header + payload;
        const std::span frame(chunk, length);
        proto::ethernet_repr{hop.hardware, hardware_, proto::ethertype::ipv4}.emit(frame);
        const auto packet = frame.subspan(proto::ethernet_header_length);
        proto::ipv4_repr{own_, peer_, proto::ip_protocol::tcp, header + payload}.emit(packet);
        const auto octets = packet.subspan(proto::ipv4_header_length);
        const std::uint16_t sum = chosen_.checksums ? proto::internet_checksum::of(out.segment.payload) : 0xffff;
        stack_of::emit_header(octets, out.name, out.segment, sum);
        if (payload != 0) { std::memcpy(octets.data() + header, out.segment.payload.data(), payload); }
        sent_.push_back({chunk, static_cast<std::uint32_t>(length)});
    }

    void tell() noexcept {
        stack_of::connection_event news;
        while (stack_.next_event(news)) {
            if (news.what.connected && !listens_) { begin(news.connection); }
            run(news.connection, news.what);
        }
        stack_of::listener_handle at;
        while (stack_.next_acceptable(at)) {
            while (const auto one = stack_.accept(at)) {
                begin(*one);
                run(*one, {.readable = true, .writable = true});
            }
        }
    }

    void begin(stack_of::connection_handle one) noexcept {
        ++established_;
        if (chosen_.does == program::ask) { octets_written_ += stack_.write(one, std::span(scratch_).first(1), now_); }
    }

    void run(stack_of::connection_handle one, const stack_of::events& what) noexcept {
        if (chosen_.does == program::source) {
            for (std::size_t taken = most_read; taken == most_read; octets_written_ += taken) {
                taken = stack_.write(one, scratch_, now_);
            }
            return;
        }
        if (!what.readable) { return; }
        bool any = false;
        for (std::size_t read = most_read; read == most_read;) {
            read = stack_.read(one, scratch_, now_);
            octets_read_ += read;
            any = any || read != 0;
        }
        if (any && chosen_.does != program::sink) {
            octets_written_ += stack_.write(one, std::span(scratch_).first(1), now_);
        }
    }

    proto::ipv4_address own_;
    proto::ipv4_address peer_;
    proto::mac_address hardware_;
    proto::neighbour_table neighbours_;
    stack_of::stack stack_;
    bool listens_ = false;
    time_point now_;
    std::uint32_t established_ = 0;
};

}  // namespace

node* make_fluxnet_node(const setting& chosen) {
    return new fluxnet_node(chosen);
}

}  // namespace benchmark::tcp
