// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include "fluxnet/xsk/simulation/detail/simulated_device.hpp"
#include "fluxnet/xsk/simulation/detail/simulated_kernel.hpp"
#include "fluxnet/xsk/simulation/detail/wire_direction.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <condition_variable>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>

namespace fluxnet {
namespace {

using time = simulated_wire::time;
using detail::ethernet_header;

/// The queue of the flow that a packet belongs to: protocol, addresses and (unless there are options or it is a fragment)
/// ports of IPv4, else the Ethernet header.
std::uint32_t steer(std::span<const std::byte> bytes, std::uint32_t queues) noexcept {
    if (queues == 1) { return 0; }
    detail::wire_hash flow;
    const bool ipv4 = bytes.size() >= 38 && bytes[12] == std::byte{0x08} && bytes[13] == std::byte{0};
    if (ipv4) {
        const bool ports =
            bytes[14] == std::byte{0x45} && (bytes[20] & std::byte{0x3f}) == std::byte{0} && bytes[21] == std::byte{0};
        flow.add(bytes.subspan(23, 1));
        flow.add(bytes.subspan(26, ports ? 12 : 8));
    } else {
        flow.add(bytes.first(ethernet_header));
    }
    return static_cast<std::uint32_t>((flow.value() >> 32) % queues);
}

/// Tells whether packets may stay under way after the kick that sent them.
bool takes_time(const wire_profile& profile) noexcept {
    constexpr std::chrono::nanoseconds none{0};
    return profile.delay > none || profile.jitter > none || profile.bits_per_second != 0 ||
           (profile.reordering > 0 && profile.reordering_delay > none);
}

}  // namespace

/// Everything behind the wire: one kernel with two devices, two directions, one clock.
///
/// The clock of a threaded wire is the real one since the wire was made. Whoever offers a packet sets it first, so that what
/// is due arrives before it; when nobody does, the wire's own thread wakes for the next arrival, at `wakes_at_`. A packet
/// that is due earlier puts that forward and wakes it, and so does a driver that wants to be polled. All of that happens
/// under the mutex.
class simulated_wire::model {
public:
    explicit model(const wire_options& options)
        : options_(options),
          directions_{detail::wire_direction(options.to_right, options.seed * 2, options.transit_capacity, options.mtu),
                      detail::wire_direction(options.to_left, options.seed * 2 + 1, options.transit_capacity, options.mtu)},
          kernel_(options.threaded ? &mutex_ : nullptr, options.first_index),
          devices_{detail::simulated_device(
                       describe(end::left), [this](auto bytes) { return offer(0, bytes); }, [this] { driver_awake(); }),
                   detail::simulated_device(
                       describe(end::right), [this](auto bytes) { return offer(1, bytes); }, [this] { driver_awake(); })} {
        for (detail::simulated_device& device : devices_) { kernel_.add(device); }
        completes_late_ = options.to_right.withheld > 0 || options.to_left.withheld > 0;
        if (options.threaded &&
            (options.zero_copy || completes_late_ || takes_time(options.to_right) || takes_time(options.to_left))) {
            clock_ = std::jthread([this](std::stop_token stop) { keep_time(stop); });
        }
    }

    [[nodiscard]] bool threaded() const noexcept { return options_.threaded; }
    [[nodiscard]] detail::simulated_kernel& kernel() noexcept { return kernel_; }
    [[nodiscard]] time now() const noexcept { return options_.threaded ? real_time() : now_; }

    [[nodiscard]] std::uint64_t digest() const noexcept {
        const auto lock = kernel_.lock();
        return digest_.value();
    }

    [[nodiscard]] wire_counts counts(end from) const noexcept {
        const auto lock = kernel_.lock();
        const detail::wire_direction& way = directions_[index(from)];
        wire_counts result = way.counts;
        result.in_transit = way.size();
        return result;
    }

    [[nodiscard]] std::optional<time> next_arrival() const noexcept {
        const auto lock = kernel_.lock();
        if (options_.zero_copy && !options_.threaded && (devices_[0].awake() || devices_[1].awake())) { return now_; }
        return next_work();
    }

    void set_link(end which, wire_link state) noexcept {
        const auto lock = kernel_.lock();
        devices_[index(which)].set_link(state);
    }

    void advance_to(time when) noexcept {
        assert(!options_.threaded && "a threaded wire's clock is the real one");
        if (options_.threaded) { return; }
        if (options_.zero_copy) { poll_drivers(); }
        move_clock(when);
    }

private:
    static std::size_t index(end which) noexcept { return which == end::left ? 0 : 1; }

    [[nodiscard]] detail::simulated_interface describe(end which) const {
        interface_info info;
        info.name = name(which);
        info.index = which == end::left ? 1 : 2;
        info.mtu = options_.mtu;
        info.queues = options_.queues;
        info.mac_address = {2, 0, 0, 0, 0, static_cast<std::uint8_t>(info.index)};
        info.up = true;
        const bool left = which == end::left;
        return {info,
                options_.zero_copy,
                options_.temper,
                left ? options_.to_right : options_.to_left,
                options_.hides_progress,
                ~(options_.seed * 2 + (left ? 0 : 1)),
                &now_};
    }

    [[nodiscard]] time real_time() const noexcept { return std::chrono::steady_clock::now() - start_; }

    /// When the next packet arrives. Those that travel for ever, as time::max() says, never do.
    [[nodiscard]] std::optional<time> next_due() const noexcept {
        std::optional<time> next;
        for (const detail::wire_direction& way : directions_) {
            if (!way.empty() && way.next_due() < next.value_or(time::max())) { next = way.next_due(); }
        }
        return next;
    }

    /// When the wire's own thread is wanted next.
    [[nodiscard]] std::optional<time> next_work() const noexcept {
        const auto next = next_due();
        const auto work = !polls_at_ || (next && *next <= *polls_at_) ? next : polls_at_;
        return completes_late_ ? earlier(work, earlier(devices_[0].next_completion(), devices_[1].next_completion())) : work;
    }

    [[nodiscard]] static std::optional<time> earlier(std::optional<time> a, std::optional<time> b) noexcept {
        return !a || (b && *b < *a) ? b : a;
    }

    bool poll_drivers() noexcept {
        for (detail::simulated_device& device : devices_) { device.raise_flags(); }
        const bool left = devices_[0].poll_drivers();
        return devices_[1].poll_drivers() || left;
    }

    /// A driver wants to be polled. Where nobody but advance_to() moves the clock, that polls it.
    void driver_awake() noexcept {
        if (!options_.threaded) { return; }
        if (!polls_at_) { polls_at_ = real_time() + poll_interval; }
        hurry_clock();
    }

    void move_clock(time when) noexcept {
        for (auto next = next_due(); next && *next <= when; next = next_due()) {
            now_ = std::max(now_, *next);
            // At equal times the packet for the right comes first.
            arrive(!directions_[0].empty() && directions_[0].next_due() == *next ? 0 : 1);
        }
        now_ = std::max(now_, when);
        if (completes_late_) {
            for (detail::simulated_device& device : devices_) { device.complete_late(); }
        }
    }

    /// A packet leaves end `from`.
    bool offer(std::size_t from, std::span<const std::byte> bytes) noexcept {
        if (options_.threaded) { move_clock(real_time()); }
        const bool taken = directions_[from].offer(bytes, now_);
        move_clock(now_);
        if (options_.threaded) { hurry_clock(); }
        return taken;
    }

    /// The next packet of a direction reaches the other end.
    void arrive(std::size_t from) noexcept {
        detail::wire_direction& way = directions_[from];
        const auto next = way.take();
        xdp_desc placed;
        const auto outcome = devices_[1 - from].receive(steer(next.bytes, options_.queues), next.bytes, placed);
        if (options_.hash_traffic) {
            digest_.add(static_cast<std::uint64_t>(now_.count()));
            digest_.add(from * 16 + static_cast<std::uint64_t>(outcome));
            digest_.add(placed.addr.value);
            digest_.add(next.bytes);
        }
        way.settle(next);
        switch (outcome) {
            case detail::arrival::delivered: ++way.counts.delivered; break;
            case detail::arrival::no_socket: ++way.counts.no_socket; break;
            case detail::arrival::rx_ring_full: ++way.counts.rx_ring_full; break;
            case detail::arrival::fill_ring_empty: ++way.counts.fill_ring_empty; break;
            case detail::arrival::too_large: ++way.counts.too_large; break;
            case detail::arrival::filtered: ++way.counts.filtered; break;
        }
    }

    /// The wire's own thread.
    void keep_time(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (!stop.stop_requested()) {
            const time present = real_time();
            move_clock(present);
            if (polls_at_ && *polls_at_ <= present) {
                polls_at_ = poll_drivers() ? std::optional(present + poll_interval) : std::nullopt;
            }
            const auto until = wakes_at_ = next_work();
            const auto hurried = [&] { return wakes_at_ != until; };
            if (until) {
                earlier_work_.wait_until(lock, stop, detail::time_after(start_, *until), hurried);
            } else {
                earlier_work_.wait(lock, stop, hurried);
            }
        }
    }

    /// Wakes the wire's own thread when it is wanted before it would wake.
    void hurry_clock() noexcept {
        const auto next = next_work();
        if (!next || (wakes_at_ && *wakes_at_ <= *next)) { return; }
        wakes_at_ = next;
        earlier_work_.notify_one();
    }

    static constexpr time poll_interval{20'000};  // between two interrupts of a device

    const wire_options options_;
    const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    mutable std::mutex mutex_;                          // of a threaded wire: guards everything below
    std::array<detail::wire_direction, 2> directions_;  // by the end that sends
    detail::simulated_kernel kernel_;
    std::array<detail::simulated_device, 2> devices_;
    time now_{};
    bool completes_late_ = false;
    detail::wire_hash digest_;
    std::optional<time> wakes_at_;  // of the wire's own thread; nothing when it sleeps until it is woken
    std::optional<time> polls_at_;  // when it polls the drivers; nothing while all sleep
    std::condition_variable_any earlier_work_;
    std::jthread clock_;  // the last member: it ends before the others do
};

simulated_wire::simulated_wire(const wire_options& options) : model_(std::make_unique<model>(options)) {}
simulated_wire::~simulated_wire() = default;

bool simulated_wire::threaded() const noexcept {
    return model_->threaded();
}

kernel& simulated_wire::side(end) noexcept {
    return model_->kernel();
}

void simulated_wire::set_link(end which, wire_link state) noexcept {
    model_->set_link(which, state);
}

simulated_wire::time simulated_wire::now() const noexcept {
    return model_->now();
}

std::optional<simulated_wire::time> simulated_wire::next_arrival() const noexcept {
    return model_->next_arrival();
}

void simulated_wire::advance_to(time when) noexcept {
    model_->advance_to(when);
}

wire_counts simulated_wire::counts(end from) const noexcept {
    return model_->counts(from);
}

std::uint64_t simulated_wire::digest() const noexcept {
    return model_->digest();
}

}  // namespace fluxnet
