// SPDX-License-Identifier: BSD-3-Clause
// `traffic`: what the Raw examples share: their options, sockets to work on, packets for them, and the verdict at the end.
//
// Without --interface the sockets are one end of a simulated wire and a `generator` at the other end sends --count packets.
// With --interface NAME packets come from the network, for --duration seconds or until --count have come. Used on one
// thread; the sockets may be used on others, one each.
#pragma once

#include "examples/raw/generator.hpp"
#include "fluxnet/xsk/builder.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <poll.h>

namespace raw_example {

/// What became of the packets that an example has received.
struct tally {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;      ///< Put into a TX ring.
    std::uint64_t recycled = 0;  ///< Dropped: the frame was kept.
};

/// Throws what ends a program; a link that is down does not.
inline void check(std::error_code failure) {
    if (failure && failure != errc::link_down) { throw std::system_error(failure); }
}

/// Exchanges destination and source, so that the frame goes back to where it came from.
inline void swap_mac_addresses(std::span<std::byte> bytes) {
    if (bytes.size() < proto::ethernet_header_length) { return; }
    auto frame = proto::mutable_ethernet_view::unchecked(bytes);
    const proto::mac_address to = frame.destination();
    frame.set_destination(frame.source());
    frame.set_source(to);
}

class traffic {
public:
    static constexpr std::uint32_t frames = 2048;
    static constexpr std::uint32_t prefilled = 1024;  ///< The first ones, in the fill rings before the sockets are bound.

    /// Reads the options and opens sockets on queues 0 to `queues` - 1, over one UMEM; with more than one, --queues says how
    /// many. Exits when the options are wrong.
    traffic(int argc, char** argv, const char* what, std::uint32_t queues = 1) {
        const std::map<std::string, xdp_mode> modes{
            {"auto", xdp_mode::automatic}, {"native", xdp_mode::native}, {"generic", xdp_mode::generic}};
        xdp_mode mode = xdp_mode::automatic;
        CLI::App app(what);
        app.add_option("--interface", interface_, "interface to receive on; a simulated wire when not given");
        app.add_option("--count", count_, "packets to carry; 100000 on a simulated wire, no limit on an interface");
        app.add_option("--duration", seconds_, "seconds to run at most")->check(CLI::Range(0.1, 1e6));
        app.add_option("--mode", mode, "auto, native or generic")->transform(CLI::CheckedTransformer(modes));
        if (queues > 1) { app.add_option("--queues", queues, "queues to serve")->check(CLI::Range(2, 4)); }
        try {
            app.parse(argc, argv);
        } catch (const CLI::ParseError& wrong) { std::exit(app.exit(wrong)); }
        if (count_ == 0) { count_ = simulated() ? 100'000 : ~std::uint64_t{0}; }
        if (seconds_ == 0) { seconds_ = simulated() ? 60 : 10; }
        open(builder(interface_).mode(mode), queues);
        deadline_ = std::chrono::steady_clock::now() +
                    std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds_));
    }

    [[nodiscard]] bool simulated() const noexcept { return interface_.empty(); }
    [[nodiscard]] raw_socket& socket(std::size_t queue = 0) noexcept { return sockets_[queue]; }
    [[nodiscard]] std::uint32_t queues() const noexcept { return static_cast<std::uint32_t>(sockets_.size()); }
    [[nodiscard]] const umem& memory() const noexcept { return memory_; }

    /// The frames that the fill rings do not have: the program's own.
    [[nodiscard]] std::vector<frame_index> frames_in_hand() const {
        std::vector<frame_index> all;
        all.reserve(frames);
        for (std::uint32_t i = frames - memory_.pool().unassigned(); i < frames; ++i) { all.push_back({i}); }
        return all;
    }

    /// Lets the generator send and collect, and tells whether there is more to do.
    [[nodiscard]] bool more(const tally& done) {
        const bool in_time = std::chrono::steady_clock::now() < deadline_;
        if (!simulated()) { return in_time && done.received < count_; }
        generator_->collect();
        // A window, so that a packet always finds a frame in the fill ring, there and on its way back: none may get lost.
        const std::uint64_t under_way = generator_->sent() - generator_->returned() - done.recycled;
        if (under_way < 128 && generator_->sent() < count_) {
            generator_->send(std::min<std::uint64_t>(32, count_ - generator_->sent()));
        }
        return in_time && (done.received < count_ || generator_->returned() < done.sent);
    }

    /// Sleeps until packets are there, a millisecond at most. On a simulated wire, whose packets come from this process, it
    /// only lets other threads run.
    void rest(const raw_socket& socket) const {
        if (simulated()) {
            std::this_thread::yield();
            return;
        }
        pollfd wait{socket.fd(), POLLIN, 0};
        static_cast<void>(::poll(&wait, 1, 1));
    }

    /// Prints what was done and where every frame is. Returns the exit code: 0 when packets came and became what they
    /// should, and the census of the frames is exact, with those `in_hand` counted.
    [[nodiscard]] int conclude(const tally& done, std::span<const frame_index> in_hand) {
        for (raw_socket& socket : sockets_) { drain(socket); }
        if (generator_) { generator_->collect(); }
        std::vector<bool> seen(frames);
        std::uint32_t different = 0;
        for (const frame_index frame : in_hand) {
            different += seen[frame.value] ? 0 : 1;
            seen[frame.value] = true;
        }
        std::vector<const raw_socket*> all;
        for (const raw_socket& socket : sockets_) { all.push_back(&socket); }
        const frame_census census = census_of(all, different);
        std::printf("packets: received %llu sent %llu recycled %llu\n", 0ULL + done.received, 0ULL + done.sent,
                    0ULL + done.recycled);
        std::printf("census: frames %lld sum %lld fill %lld rx %lld tx %lld completion %lld in_hand %lld %s\n",
                    0LL + census.frames, 0LL + census.sum(), 0LL + census.fill, 0LL + census.rx, 0LL + census.tx,
                    0LL + census.completion, 0LL + census.user, census.exact ? "exact" : "inexact");
        const bool whole = census.exact && census.sum() == census.frames && different == in_hand.size();
        const bool passed = done.received != 0 && done.received == done.sent + done.recycled && generator_is_content(done);
        if (!whole) { std::fprintf(stderr, "frames are lost or held twice\n%s", to_string(sockets_[0].rings()).c_str()); }
        if (!passed) { std::fprintf(stderr, "packets are missing or wrong\n"); }
        return whole && passed ? 0 : 1;
    }

    /// ARP requests that came back to the generator; 0 without one.
    [[nodiscard]] std::uint64_t returned_arp() const noexcept { return generator_ ? generator_->returned_arp() : 0; }

private:
    void open(builder options, std::uint32_t queues) {
        if (simulated()) {
            wire_options how;
            how.queues = queues;
            how.threaded = queues > 1;
            how.hash_traffic = false;
            wire_ = std::make_unique<simulated_wire>(how);
            options = wire_->socket_on(simulated_wire::end::left);
        }
        options.frames(frames).prefill(prefilled / queues);
        memory_ = umem::create(options.memory()).value();
        for (std::uint32_t queue = 0; queue < queues; ++queue) {
            auto opened = builder(options).queue(queue).over(memory_).build_raw();
            if (!opened) { throw std::runtime_error(opened.error().message()); }
            sockets_.push_back(std::move(*opened));
            options.use_program(sockets_[0].redirect());  // one program directs the packets of every queue
        }
        if (simulated()) {
            const proto::mac_address mac(sockets_[0].interface().mac_address);
            generator_ = std::make_unique<generator>(*wire_, simulated_wire::end::right, queues, mac);
            return;
        }
        std::printf("receiving on %s, %u queues\n", interface_.c_str(), queues);
        std::fflush(stdout);
    }

    /// Success of a kick does not mean that everything was sent: look at the ring.
    static void drain(raw_socket& socket) {
        for (int kicks = 0; kicks < 1000 && socket.tx.pending() != 0; ++kicks) { check(socket.wakeup_tx()); }
    }

    [[nodiscard]] bool generator_is_content(const tally& done) const {
        if (!generator_) { return true; }
        std::printf("generator: sent %llu returned %llu wrong %llu\n", 0ULL + generator_->sent(),
                    0ULL + generator_->returned(), 0ULL + generator_->wrong());
        return generator_->sent() == count_ && done.received == count_ && generator_->returned() == done.sent &&
               generator_->wrong() == 0 && generator_->frames_are_whole();
    }

    std::string interface_;
    std::uint64_t count_ = 0;
    double seconds_ = 0;
    std::chrono::steady_clock::time_point deadline_;
    std::unique_ptr<simulated_wire> wire_;  // null on an interface; outlives the sockets on it
    umem memory_;
    std::vector<raw_socket> sockets_;  // by queue
    std::unique_ptr<generator> generator_;
};

}  // namespace raw_example
