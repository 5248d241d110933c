// SPDX-License-Identifier: BSD-3-Clause
// Runs two nodes of one stack against each other on a wire of memory, in a time of its own, and prints what the measured one
// has done while it was counted: octets of payload moved, frames received, frames sent. Run it under callgrind by
// benchmarks/tcp/compare, which counts what happens within counted_turn().
//
// Counted is, of both stacks alike: a frame's Ethernet and IPv4 header and their checks, the segment with its checksum, the
// look-up of the connection, what the program reads (copied out) and writes (copied in), the segment that goes out with its
// checksum, the look-up of the neighbour, both headers, the copy into the frame, its descriptor, the frames' coming and
// going, and the look at the timers in each turn with all that comes due. Not counted: the other node, what carries frames
// between the two, connecting, and the first part of each load. Each turn is for one frame unless told otherwise: of what a
// turn costs, a busier program would pay less for a frame. Both acknowledge every second segment of a bulk transfer.
//
// Usage: tcp_cost STACK LOAD CONNECTIONS AMOUNT [FRAMES A TURN]
//   STACK: fluxnet; fluxnet.sums-off, which neither makes nor checks the checksums of TCP; or a shared object with lwIP
//   LOAD: exchange (an octet in, an octet out; AMOUNT requests), send or receive (AMOUNT full segments)
#include "benchmarks/tcp/node.hpp"

#include <dlfcn.h>

#include <unistd.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace benchmark::tcp {

/// A turn that is counted.
[[gnu::noinline]] void counted_turn(node& one, std::span<const descriptor> arrived, std::int64_t now_ns) {
    one.turn(arrived, now_ns);
}

namespace {

constexpr std::int64_t frame_ns = 5'000;  // for a frame at either end: 100,000 requests a second

std::unique_ptr<node> make(const std::string& stack, const setting& chosen) {
    if (stack == "fluxnet") { return std::unique_ptr<node>(make_fluxnet_node(chosen)); }
    // A copy, under another name, has variables of its own.
    const std::filesystem::path copy =
        std::filesystem::temp_directory_path() / ("tcp_cost." + std::to_string(getpid()) + "." + std::to_string(chosen.own));
    std::filesystem::copy_file(stack, copy, std::filesystem::copy_options::overwrite_existing);
    void* const loaded = dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
    std::filesystem::remove(copy);
    if (loaded == nullptr) { throw std::runtime_error(dlerror()); }
    void* const found = dlsym(loaded, "make_node");
    if (found == nullptr) { throw std::runtime_error(dlerror()); }
    return std::unique_ptr<node>(reinterpret_cast<node_maker*>(found)(chosen));
}

/// The two nodes, and what is on the wire between them.
class wire {
public:
    wire(node& measured, node& other, std::size_t frames_a_turn)
        : measured_(measured), other_(other), frames_a_turn_(frames_a_turn) {}

    /// Turns of the other node, with all that has come for it, and then of the measured one.
    void round(bool counted) {
        carry(measured_, other_);
        turns(other_, [](node& one, auto frames, auto now_ns) { one.turn(frames, now_ns); });
        carry(other_, measured_);
        frames_in_ += there_.size();
        turns(measured_, [&](node& one, auto frames, auto now_ns) {
            counted ? counted_turn(one, frames, now_ns) : one.turn(frames, now_ns);
        });
        frames_out_ += measured_.sent().size();
    }
    [[nodiscard]] std::int64_t now_ns() const noexcept { return now_ns_; }
    /// Frames that the measured node has received and sent.
    [[nodiscard]] std::uint64_t frames_in() const noexcept { return frames_in_; }
    [[nodiscard]] std::uint64_t frames_out() const noexcept { return frames_out_; }

private:
    void carry(node& from, node& to) {
        there_.clear();
        for (const descriptor& one : from.sent()) {
            std::byte* const chunk = to.frames().take();
            if (chunk == nullptr) { throw std::runtime_error("no chunk is left"); }
            std::memcpy(chunk, one.data, one.length);
            there_.push_back({chunk, one.length});
            from.frames().give(one.data);
        }
        from.sent().clear();
    }

    /// At least one turn: without frames time passes.
    template <class Turn>
    void turns(node& of, Turn turn) {
        std::span<const descriptor> left(there_);
        do {
            const auto next = left.first(std::min(frames_a_turn_, left.size()));
            left = left.subspan(next.size());
            now_ns_ += frame_ns * static_cast<std::int64_t>(std::max<std::size_t>(next.size(), 1));
            turn(of, next, now_ns_);
        } while (!left.empty());
    }

    node& measured_;
    node& other_;
    std::size_t frames_a_turn_;
    std::vector<descriptor> there_;
    std::uint64_t frames_in_ = 0;
    std::uint64_t frames_out_ = 0;
    std::int64_t now_ns_ = 1'000'000'000'000;
};

struct roles {
    program measured;
    program other;
};

roles roles_of(std::string_view load) {
    if (load == "exchange") { return {program::answer, program::ask}; }
    if (load == "send") { return {program::source, program::sink}; }
    if (load == "receive") { return {program::sink, program::source}; }
    throw std::runtime_error("the load is exchange, send or receive");
}

void run(std::string stack, std::string_view load, std::uint32_t connections, std::uint64_t amount,
         std::size_t frames_a_turn) {
    constexpr std::string_view off = ".sums-off";
    setting one;
    if (stack == std::string("fluxnet").append(off)) {
        stack = "fluxnet";
        one.checksums = false;
    }
    const roles who = roles_of(load);
    one.does = who.measured;
    one.connections = connections;
    one.frames = connections * 4 + 4096;
    one.window = 65'535;
    one.own = 1;
    one.peer = 2;
    setting two = one;
    two.does = who.other;
    std::swap(two.own, two.peer);
    const auto measured = make(stack, one);
    const auto other = make(stack, two);
    measured->listen();
    wire between(*measured, *other, frames_a_turn);
    for (std::uint32_t i = 0; i != connections; ++i) {
        other->connect(between.now_ns());
        if (i % 100 == 99) { between.round(false); }  // two such rounds fit into the backlog of lwIP
    }
    const auto octets_moved = [&] { return (load == "send" ? other : measured)->octets_read(); };
    const auto done = [&] { return octets_moved() / (load == "exchange" ? 1 : segment); };
    // Warm: windows are open, acknowledgments are delayed as they are later.
    const std::uint64_t warm = load == "exchange" ? std::max<std::uint64_t>(connections, 1280) : 1000;
    for (int rounds = 0; measured->established() != connections || done() < warm; ++rounds) {
        if (rounds == 100'000) { throw std::runtime_error("nothing moves"); }
        between.round(false);
    }
    const std::uint64_t before = done();
    const std::uint64_t frames_in = between.frames_in();
    const std::uint64_t octets = octets_moved();
    const std::uint64_t frames_out = between.frames_out();
    while (done() < before + amount) { between.round(true); }
    const std::uint64_t moved = octets_moved() - octets;
    std::printf("%llu %llu %llu\n", static_cast<unsigned long long>(moved),
                static_cast<unsigned long long>(between.frames_in() - frames_in),
                static_cast<unsigned long long>(between.frames_out() - frames_out));
}

}  // namespace
}  // namespace benchmark::tcp

int main(int argc, char** argv) try {
    if (argc < 5) {
        std::fprintf(stderr, "usage: tcp_cost STACK LOAD CONNECTIONS AMOUNT [FRAMES A TURN]\n");
        return 2;
    }
    const auto connections = static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10));
    const std::size_t frames = argc > 5 ? std::strtoul(argv[5], nullptr, 10) : 1;
    benchmark::tcp::run(argv[1], argv[2], connections, std::strtoull(argv[4], nullptr, 10),
                        std::max<std::size_t>(frames, 1));
    return 0;
} catch (const std::exception& failure) {
    std::fprintf(stderr, "tcp_cost: %s\n", failure.what());
    return 1;
}
