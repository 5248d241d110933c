// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/runtime/core/schedule.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/host/detail/host_core.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace fluxnet::host {
namespace {

using detail::host_core;
using owned_core = boost::intrusive_ptr<host_core>;

constexpr std::uint32_t least_mtu = 1280;  // RFC 8200 section 5
constexpr std::uint32_t least_frames = 8;

/// Keeps the core alive for a task of its, and says that the task runs, from its making on until its frame is destroyed.
class task_of {
public:
    task_of(host_core& core, host_core::duty which) noexcept : core_(&core), which_(which) { core.set_running(which, true); }
    task_of(task_of&&) noexcept = default;
    task_of& operator=(task_of&&) = delete;
    ~task_of() {
        if (core_ != nullptr) { core_->set_running(which_, false); }
    }

    host_core* operator->() const noexcept { return core_.get(); }

    /// The task has been cancelled. Who has begun to wait since then has found it running, and needs another one.
    void rest() noexcept {
        const owned_core core = std::move(core_);
        core->set_running(which_, false);
        if (core->is_awaited()) { core->wake(); }
    }

private:
    owned_core core_;
    host_core::duty which_;
};

/// Receives until the host has ended or the task is cancelled.
task<void> receive_frames(task_of core) {
    while (core->is_open()) {
        const io_result got = co_await core->rx().recv(core->batch());
        if (core->is_open()) { core->receive(got.n); }
        if (!got.ec) { continue; }
        if (got.ec == errc::operation_canceled) {
            core.rest();
        } else {
            core->end(got.ec);
        }
        co_return;
    }
}

/// Takes what other hosts hand on, as long as that.
task<void> take_handed_on(task_of core, std::shared_ptr<detail::host_siblings> all, unsigned number) {
    std::array<detail::handed_on, 16> some;
    while (core->is_open() && !core->ended()) {
        const io_result got = co_await all->inbox(number).recv(some);
        for (detail::handed_on& one : std::span(some).first(got.n)) {
            if (core->is_open() && !core->ended()) { core->take(one); }
            one = detail::handed_on();
        }
        if (got.ec) {
            core.rest();
            co_return;
        }
        // They count as what is received: others have their turn.
        auto& loop = fluxnet::detail::inside(core->loop());
        loop.spend_packet_budget(got.n);
        if (!loop.has_packet_budget()) { static_cast<void>(co_await yield()); }
    }
}

error refuse(const std::string& step, std::string cause, std::string remedy) {
    return make_error(errc::invalid_option, step, std::move(cause), std::move(remedy));
}

/// The longest IP packet that a frame of the tx holds.
std::uint32_t packet_room(async_tx& tx) noexcept {
    packet one;
    if (tx.try_allocate(std::span(&one, 1)) == 0) { return 0; }
    const std::size_t room = one.capacity();
    return static_cast<std::uint32_t>(room - std::min(room, proto::ethernet_header_length));
}

}  // namespace

void detail::host_core::start() noexcept {
    // While the executor's tasks are being cancelled it would end at once.
    if (ended_ || on_.stop_token().stop_requested()) { return; }
    try {
        if ((running_ & receiving) == 0) { on_.spawn_background(receive_frames(task_of(*this, receiving))); }
        if ((duties_ & ~running_ & taking) != 0) {
            on_.spawn_background(take_handed_on(task_of(*this, taking), place_.all(), place_.number()));
        }
    } catch (const std::bad_alloc&) { end(errc::out_of_memory); }
}

result<ip_host> ip_host::open(executor& on, async_rx rx, async_tx tx, const host_options& options) {
    const interface_info& link = rx.socket().interface();
    const std::string step = "open a host on " + link.name;
    if (const std::string wrong = detail::routes::check(options); !wrong.empty()) {
        return refuse(step, wrong, "correct host_options::addresses, gateways and neighbours");
    }
    if (const char* const wrong = proto::tcp::check(options.tcp)) {
        return refuse(step, wrong, "correct host_options::tcp");
    }
    if (options.only_ports) {
        if (const std::string wrong = detail::kernel_share::check(options); !wrong.empty()) {
            return refuse(step, wrong, "correct host_options::only_ports");
        }
        if (const auto fits = detail::kernel_share::examine(step, options, rx.socket()); !fits) { return fits.error(); }
    }
    const proto::mac_address hardware = options.hardware.value_or(proto::mac_address(link.mac_address));
    if (hardware.is_zero() || hardware.is_multicast()) {
        return refuse(step, "its link address " + hardware.to_string() + " is not that of a station",
                      "set host_options::hardware");
    }
    if (tx.socket().home().frame_count() < least_frames) {
        return refuse(step, "the tx has fewer than 8 frames of its own", "see builder::tx_frames()");
    }
    const std::uint32_t room = packet_room(tx);
    const std::uint32_t mtu = options.mtu.value_or(std::min(link.mtu, room));
    if (mtu < least_mtu || mtu > 0xffff || mtu > room) {
        return refuse(step,
                      "a frame holds a packet of " + std::to_string(room) + " octets, the MTU is " + std::to_string(mtu),
                      "set an MTU from 1280 on, and builder::frame_size() to match");
    }
    try {
        detail::sibling_place place;
        if (options.queues) {
            unsigned number = 0;
            const std::uint32_t most_lent = rx.socket().home().frame_count() / 4;
            using refusal = detail::host_siblings::refusal;
            switch (options.queues->shared_->join(options, static_cast<std::uint32_t>(link.index), most_lent, number)) {
                case refusal::none: place = {options.queues->shared_, number}; break;
                case refusal::too_many:
                    return refuse(step, std::to_string(options.queues->count()) + " hosts of its host_queues are open",
                                  "make host_queues for one more");
                case refusal::other_addresses:
                    return refuse(step, "other hosts of its host_queues have other addresses",
                                  "give all of them the same host_options::addresses");
                case refusal::other_interface:
                    return refuse(
                        step, "other hosts of its host_queues are on another interface, or were given another link address",
                        "make host_queues for each interface, and give all the same host_options::hardware");
                case refusal::other_ports:
                    return refuse(step, "other hosts of its host_queues choose from other ports",
                                  "give all of them the same host_options::tcp.ports and only_ports");
            }
        }
        detail::kernel_share kernel;
        if (options.only_ports) {
            auto ports = place ? place.all()->hold_ports(step, options) : detail::held_ports::hold(step, options, link.index);
            if (!ports) { return ports.error(); }
            auto neighbours = detail::kernel_share::find_neighbours(step, on, link.index);
            if (!neighbours) { return neighbours.error(); }
            kernel = {std::move(*neighbours), std::move(*ports)};
        }
        owned_core core(new host_core(on, std::move(rx), std::move(tx), options, hardware, mtu, std::move(place),
                                      std::move(kernel)));
        core->wake();
        return ip_host(std::move(core));
    } catch (const std::system_error& refused) {
        return make_error(errc::system_failure, step, refused.what(), "allow rtnetlink sockets (socket(AF_NETLINK))");
    } catch (const std::bad_alloc&) {
        return make_error(errc::out_of_memory, step, "there is no memory for its tables", "ask for less in host_options");
    } catch (const std::length_error&) {
        return make_error(errc::out_of_memory, step, "its tables are larger than memory can be",
                          "ask for less in host_options");
    }
}

ip_host::ip_host(owned_core core) noexcept : core_(std::move(core)) {}
ip_host::ip_host(ip_host&&) noexcept = default;

ip_host& ip_host::operator=(ip_host&& other) noexcept {
    if (this != &other) {
        if (core_ != nullptr) { core_->close(); }
        core_ = std::move(other.core_);
    }
    return *this;
}

ip_host::~ip_host() {
    if (core_ != nullptr) { core_->close(); }
}

result<udp_endpoint> ip_host::open_udp(proto::ip_endpoint local, const udp_endpoint_options& options) {
    const std::string step = "open a UDP endpoint at " + local.to_string();
    if (core_ == nullptr) { return make_error(errc::closed, step, "the host was moved from", "use the other handle"); }
    if (const std::error_code why = core_->bind(local)) {
        return error{why, step, why.message(), "choose one of the host's addresses, and a free port of its own, or 0"};
    }
    return udp_endpoint(std::make_unique<detail::udp_port>(core_, local, options));
}

tcp_stream::connect_awaiter ip_host::connect(const proto::ip_endpoint& peer, const tcp_options& options) noexcept {
    return {core_, peer, options};
}

result<tcp_listener> ip_host::listen(proto::ip_endpoint local, const tcp_options& options) {
    const std::string step = "listen at " + local.to_string();
    if (core_ == nullptr) { return make_error(errc::closed, step, "the host was moved from", "use the other handle"); }
    proto::tcp::listener_handle made;
    if (const std::error_code why = core_->tcp().listen(local, options, made)) {
        return error{why, step, why.message(),
                     why == std::errc::no_buffer_space ? "close a listener, or raise host_options::tcp.listeners"
                                                       : "choose one of the host's addresses, and a free port of its own, or 0"};
    }
    std::unique_ptr<detail::tcp_door> door(new (std::nothrow) detail::tcp_door(core_, made, local, options));
    if (door == nullptr) {
        core_->tcp().stack()->close_listener(made, core_->tcp().now());
        return make_error(errc::out_of_memory, step, "there is no memory for the listener", "free some");
    }
    return tcp_listener(std::move(door));
}

ip_host::settle_awaiter ip_host::settle() noexcept {
    return settle_awaiter(core_);
}

ip_host::settle_awaiter::settle_awaiter(owned_core core) noexcept : core_(std::move(core)) {}
ip_host::settle_awaiter::~settle_awaiter() = default;

void ip_host::settle_awaiter::start() noexcept {
    if (core_ == nullptr) { return complete(errc::closed); }
    if (&home_executor() != &core_->loop()) { return complete(errc::wrong_executor); }
    core_->wake();
    if (core_->ended()) { return complete(core_->ended()); }
    const proto::tcp::stack_counters& counted = core_->tcp().stack()->count();
    reset_before_ = counted.orphans_reset;
    timed_out_before_ = counted.orphans_timed_out;
    core_->tcp().wait_in_turns(*this);
    core_->tcp().touch();  // the end of this turn looks
}

void ip_host::settle_awaiter::look() noexcept {
    if (!waiting()) { return; }
    const auto* const stack = core_->tcp().stack();
    if (core_->ended()) { return complete(core_->ended()); }
    if (stack == nullptr) { return complete(errc::closed); }
    if (stack->has_unsettled_orphans()) { return; }
    if (stack->count().orphans_reset != reset_before_) {
        complete(std::make_error_code(std::errc::connection_reset));
    } else if (stack->count().orphans_timed_out != timed_out_before_) {
        complete(std::make_error_code(std::errc::timed_out));
    } else {
        complete(no_error);
    }
}

void ip_host::settle_awaiter::cancel() noexcept {
    leave_line();
    complete(errc::operation_canceled);
}

wait_result ip_host::settle_awaiter::await_resume() noexcept {
    leave_line();
    return finish();
}

void ip_host::capture_to(frame_sink* sink) noexcept {
    if (core_ != nullptr && core_->is_open()) { core_->capture_to(sink); }
}

const proto::tcp::stack* ip_host::tcp() const noexcept {
    return core_->tcp().stack();
}

bool ip_host::owns(const proto::ip_address& address) const noexcept {
    return core_->own().owns(address);
}

proto::neighbour_table::entry ip_host::neighbour(const proto::ip_address& address) const noexcept {
    return core_->neighbour(address);
}

proto::mac_address ip_host::hardware() const noexcept {
    return core_->hardware();
}

std::uint32_t ip_host::mtu() const noexcept {
    return core_->mtu();
}

const host_counters& ip_host::counters() const noexcept {
    return core_->counters();
}

std::error_code ip_host::failure() const noexcept {
    return core_->ended();
}

}  // namespace fluxnet::host
