// SPDX-License-Identifier: BSD-3-Clause
#include "examples/raw/carry_traffic.hpp"

#include "examples/command_line.hpp"
#include "examples/opening_report.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include <poll.h>

namespace raw_example {

traffic::traffic(int argc, char** argv, const char* what, std::uint32_t queues) {
    xdp_mode mode = xdp_mode::automatic;
    command_line options(what);
    options.optional("--interface", interface_, "interface to receive on; a simulated wire when not given");
    options.optional("--count", count_, "packets to carry; 100000 on a simulated wire, no limit on an interface");
    options.optional("--duration", seconds_, "seconds to run at most", {0.1, 1e6});
    options.mode(mode);
    if (queues > 1) { options.optional("--queues", queues, "queues to serve", {2, 4}); }
    options.parse(argc, argv);
    if (count_ == 0) { count_ = simulated() ? 100'000 : ~std::uint64_t{0}; }
    if (seconds_ == 0) { seconds_ = simulated() ? 60 : 10; }
    open(builder(interface_).mode(mode), queues);
    deadline_ = std::chrono::steady_clock::now() +
                std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds_));
}

std::vector<frame_index> traffic::frames_in_hand() const {
    std::vector<frame_index> all;
    all.reserve(frames);
    for (std::uint32_t i = frames - memory_.pool().unassigned(); i < frames; ++i) { all.push_back({i}); }
    return all;
}

bool traffic::more(const tally& done) {
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

void traffic::rest(raw_socket& socket) {
    if (simulated()) {
        std::this_thread::yield();
        return;
    }
    pollfd wait{socket.fd(), POLLIN, 0};
    if (::poll(&wait, 1, 1) != 0) { return; }
    const auto now = std::chrono::steady_clock::now();
    auto& next = next_check_[static_cast<std::size_t>(&socket - sockets_.data())];
    if (now < next) { return; }
    next = now + std::chrono::seconds(1);
    check(socket.check());
}

int traffic::conclude(const tally& done, std::span<const frame_index> in_hand) {
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

void traffic::open(builder options, std::uint32_t queues) {
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
        print_opening_report(sockets_.back().refusals(), {});
        options.use_program(sockets_[0].redirect());  // one program directs the packets of every queue
    }
    print_opening_report({}, sockets_.back().notes());  // the last one knows of all queues that are served
    next_check_.resize(queues);
    if (simulated()) {
        const proto::mac_address mac(sockets_[0].interface().mac_address);
        generator_ = std::make_unique<generator>(*wire_, simulated_wire::end::right, queues, mac);
        return;
    }
    std::printf("receiving on %s, %u queues\n", interface_.c_str(), queues);
    std::fflush(stdout);
}

void traffic::drain(raw_socket& socket) {
    for (int kicks = 0; kicks < 1000 && socket.tx.pending() != 0; ++kicks) { check(socket.wakeup_tx()); }
}

bool traffic::generator_is_content(const tally& done) const {
    if (!generator_) { return true; }
    std::printf("generator: sent %llu returned %llu wrong %llu\n", 0ULL + generator_->sent(), 0ULL + generator_->returned(),
                0ULL + generator_->wrong());
    return generator_->sent() == count_ && done.received == count_ && generator_->returned() == done.sent &&
           generator_->wrong() == 0 && generator_->frames_are_whole();
}

}  // namespace raw_example
