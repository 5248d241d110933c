// SPDX-License-Identifier: BSD-3-Clause
#include "examples/load_balancer/balancer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace load_balancer {

using fluxnet::packet;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t burst_size = 64;
constexpr auto stop_latency = 100ms;  // how long the ingress thread sleeps before it looks whether it shall end

void add(std::atomic<std::uint64_t>& count, std::uint64_t amount) noexcept {
    count.fetch_add(amount, std::memory_order_relaxed);
}

void drop(std::span<packet> packets) noexcept {
    for (packet& one : packets) { one.reset(); }
}

}  // namespace

balancer::balancer(fluxnet::system_sockets sockets, const balancer_options& options, const backend_board& board)
    : sockets_(std::move(sockets)), board_(board),
      address_(fluxnet::proto::mac_address(sockets_.rx.interface().mac_address), options.address) {
    for (std::uint32_t i = 0; i < options.workers; ++i) {
        lanes_.push_back(std::make_unique<lane>(options.queue_depth, address_));
    }
    for (const auto& each : lanes_) { each->thread = std::thread(&balancer::work, this, std::ref(*each)); }
    ingress_ = std::thread(&balancer::receive, this);
    egress_ = std::thread(&balancer::send, this);
}

balancer::~balancer() {
    request_stop();
    join();
}

void balancer::join() {
    if (!ingress_.joinable()) { return; }
    ingress_.join();
    for (const auto& each : lanes_) { each->thread.join(); }
    egress_.join();
}

void balancer::receive() {
    std::array<packet, burst_size> burst;
    std::vector<bool> touched(lanes_.size());
    while (!stop_.load(std::memory_order_relaxed)) {
        const std::uint32_t count = sockets_.rx.try_recv(burst);
        if (count == 0) {
            if (sockets_.rx.failure()) { break; }
            static_cast<void>(sockets_.rx.wait(stop_latency));
            continue;
        }
        add(counts_.received, count);
        for (packet& one : std::span(burst).first(count)) {
            const auto known = flow::parse(std::as_const(one).data());
            const std::size_t number = known ? known->hash() % lanes_.size() : 0;
            if (lanes_[number]->in.push(std::span(&one, 1)) == 1) {
                touched[number] = true;
            } else {
                one.reset();
                add(counts_.worker_queue_full, 1);
            }
        }
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            if (touched[i]) { lanes_[i]->bell.ring(); }
            touched[i] = false;
        }
    }
    sockets_.rx.release();
    ending_.store(true, std::memory_order_release);
    for (const auto& each : lanes_) {
        each->in.close();
        each->bell.ring();
    }
}

void balancer::work(lane& mine) {
    std::array<packet, burst_size> burst;
    std::uint64_t version = 0;
    std::shared_ptr<const backend_list> backends;
    for (;;) {
        const bool last = mine.in.closed();
        const std::size_t count = mine.in.pop(burst);
        if (count == 0) {
            if (last) { break; }
            mine.bell.wait([&] { return mine.in.idle(); });
            continue;
        }
        if (const std::uint64_t now = board_.version(); now != version) {
            backends = board_.list();
            version = now;
        }
        std::size_t kept = 0;
        for (packet& one : std::span(burst).first(count)) {
            if (direct(one, mine, *backends)) { burst[kept++] = std::move(one); }
        }
        const std::size_t pushed = mine.out.push(std::span(burst).first(kept));
        add(counts_.egress_queue_full, kept - pushed);
        drop(std::span(burst).first(count));  // those refused, and those that found no room
        egress_bell_.ring();
    }
    mine.out.close();
    egress_bell_.ring();
}

bool balancer::direct(packet& one, lane& mine, const backend_list& backends) noexcept {
    auto frame = fluxnet::proto::mutable_ethernet_view::parse(one.data());
    const auto known = flow::parse(std::as_const(one).data());
    if (known && known->destination == mine.host.address() && frame->destination() == mine.host.hardware()) {
        const backend& chosen = backends.pick(known->hash());
        frame->set_destination(chosen.mac);
        frame->set_source(mine.host.hardware());
        add(counts_.forwarded, 1);
        add(chosen.count->packets, 1);
        add(chosen.count->bytes, one.size());
        if (known->opens) { add(chosen.count->connections, 1); }
        return true;
    }
    // ARP and ping are answered here; for everything else the host knows the reason why not.
    const auto length = mine.host.answer(one.data());
    const bool answered = length && one.set_len(*length);
    add(answered ? counts_.answered : counts_.refused, 1);
    return answered;
}

void balancer::send() {
    std::array<packet, burst_size> burst;
    for (;;) {
        const auto closed = [](const auto& each) { return each->out.closed(); };
        const bool last = std::ranges::all_of(lanes_, closed);
        bool any = false;
        for (const auto& each : lanes_) {
            const std::size_t count = each->out.pop(burst);
            send_all(std::span(burst).first(count));
            any = any || count != 0;
        }
        if (sockets_.tx.flush()) { request_stop(); }
        if (any) { continue; }
        if (last) { break; }
        // A closed queue stays "not idle", so while the others end the wait returns at once: milliseconds, at the very end.
        const auto idle = [&] { return std::ranges::all_of(lanes_, [](const auto& each) { return each->out.idle(); }); };
        // Frames that the kernel still has come back by reaping only, and the rx may be waiting for them.
        const auto until_reaping = sockets_.tx.link_down() ? 100ms : 1ms;
        egress_bell_.wait(idle, sockets_.tx.in_flight() == 0 ? doorbell::for_ever : until_reaping);
    }
    sockets_.tx.drain(200ms);
    sockets_.tx.release();
}

void balancer::send_all(std::span<packet> packets) {
    while (!packets.empty()) {
        const std::uint32_t taken = sockets_.tx.try_send(packets);
        add(counts_.sent, taken);
        packets = packets.subspan(taken);
        if (packets.empty()) { return; }
        if (sockets_.tx.flush() || sockets_.tx.refusal(packets.front())) { break; }
        if (sockets_.tx.credit() != 0) { continue; }
        // The link may be down: wait for it, while the queues behind fill up and their packets are dropped.
        if (ending()) { break; }
        std::this_thread::sleep_for(1ms);
    }
    add(counts_.unsent, packets.size());
    drop(packets);
}

std::error_code balancer::failure() const noexcept {
    return sockets_.rx.failure() ? sockets_.rx.failure() : sockets_.tx.failure();
}

void balancer::add_refusals(std::span<std::uint64_t, fluxnet::proto::reason_count> sum) const noexcept {
    for (const auto& each : lanes_) {
        for (std::size_t i = 0; i < sum.size(); ++i) { sum[i] += each->host.count().dropped[i]; }
    }
}

}  // namespace load_balancer
