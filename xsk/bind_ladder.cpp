// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/bind_ladder.hpp"

#include "fluxnet/xsk/base/detail/refusals.hpp"
#include "fluxnet/xsk/detail/bind_errors.hpp"
#include "fluxnet/xsk/detail/holders.hpp"
#include "fluxnet/xsk/detail/if_xdp.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace fluxnet::detail {
namespace {

using namespace std::chrono_literals;

/// One rung: how to bind, and in which modes to attach afterwards.
struct rung {
    const char* name;
    bool zero_copy;
    std::span<const attach_mode> attach;
    bool share = false;  // the registration of another socket, which is in that mode
};

constexpr std::array native_only{attach_mode::native};
constexpr std::array native_then_generic{attach_mode::native, attach_mode::generic};
constexpr std::array generic_only{attach_mode::generic};

std::vector<rung> rungs(xdp_mode mode) {
    const rung zero_copy{"zero-copy", true, native_only};
    switch (mode) {
        case xdp_mode::automatic: return {zero_copy, {"copy", false, native_then_generic}};
        case xdp_mode::native: return {zero_copy, {"copy", false, native_only}};
        case xdp_mode::native_zero_copy: return {zero_copy};
        case xdp_mode::native_copy: return {{"copy", false, native_only}};
        case xdp_mode::generic:
        case xdp_mode::packet_ring: break;  // the latter is no rung of XDP
    }
    return {{"copy", false, generic_only}};
}

/// "0 to 3", "0, 2 and 5".
std::string list_of(const std::vector<std::uint32_t>& numbers) {
    const auto count = static_cast<std::uint32_t>(numbers.size());
    if (count > 2 && numbers.back() - numbers.front() == count - 1) {
        return std::to_string(numbers.front()) + " to " + std::to_string(numbers.back());
    }
    std::string text;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (i != 0) { text += i + 1 == count ? " and " : ", "; }
        text += std::to_string(numbers[i]);
    }
    return text;
}

std::string place_of(const interface_info& interface) {
    return interface.name + " (index " + std::to_string(interface.index) + " in network namespace " +
           std::to_string(interface.network_namespace) + ")";
}

/// Tells whether another rung may still succeed where this one failed.
bool worth_another_rung(const error& failure) {
    return failure.code == errc::interface_not_supported || failure.code == errc::mtu_too_large ||
           failure.code == errc::system_failure;
}

/// Tells whether a packet ring may carry the packets where XDP was refused for this reason. Not where another socket has
/// them: none would arrive.
bool packet_ring_may_do(const error& failure) {
    return worth_another_rung(failure) || failure.code == errc::permission_denied ||
           failure.code == errc::kernel_not_supported || failure.code == errc::memlock_exceeded ||
           failure.code == errc::program_conflict;
}

class climber {
public:
    climber(const umem& memory, const socket_options& options, frame_home* stock)
        : memory_(memory), options_(options), stock_(stock),
          calls_(options.calls != nullptr ? *options.calls : system_kernel()) {}

    result<ladder_result> climb() {
        if (auto known = look_up(); !known) { return known.error(); }
        if (options_.mode == xdp_mode::packet_ring) { return open_packet_ring(); }
        auto opened = climb_xdp();
        // A packet ring sees everything: it does not stand in for a socket that is to see some packets only.
        if (opened || !options_.packet_ring_last || options_.only) { return opened; }
        if (!packet_ring_may_do(opened.error())) { return opened; }
        auto last = open_packet_ring();
        if (last) { return last; }
        refusals_.push_back(last.error());
        return all_refused();
    }

private:
    result<ladder_result> climb_xdp() {
        for (const rung& step : with_sharing(rungs(options_.mode))) {
            auto bound = bind_patiently(step);
            if (!bound) {
                refusals_.push_back(bound.error());
                if (!worth_another_rung(bound.error()) && !driver_refused_) { return bound.error(); }
                ++attempts_;
                continue;
            }
            auto ready = attach(*bound, step);
            if (ready) { return finish(std::move(*bound)); }
            give_up(*bound);
            refusals_.push_back(ready.error());
            if (!worth_another_rung(ready.error())) { return ready.error(); }
            ++attempts_;
        }
        return all_refused();
    }

    /// Below all rungs: an AF_PACKET socket, which takes no packet away from the kernel.
    result<ladder_result> open_packet_ring() {
        const std::string step = "open a packet ring on " + interface_.name + " queue " + std::to_string(options_.queue);
        if (options_.queue != 0) {
            return make_error(errc::invalid_option, step, "an AF_PACKET socket receives the packets of all queues",
                              "use queue 0 only");
        }
        program_.reset();
        std::unique_ptr<kernel> calls = calls_.make_packet_ring(options_.attach);
        if (calls == nullptr) {
            return make_error(errc::kernel_not_supported, step, "the system calls given by builder::calls() have none",
                              "use another mode, or the running kernel");
        }
        socket_options options = options_;
        options.calls = calls.get();
        auto core = open_unbound(memory_, options, interface_, false);
        if (!core) { return core.error(); }
        (*core)->packet_ring = std::move(calls);
        restock(**core);
        if (const int r = (*core)->calls.bind((*core)->fd, {interface_.index, 0, 0}); r < 0) {
            give_up(*core);
            return explain_packet_ring(interface_, -r);
        }
        (*core)->need_wakeup = options.need_wakeup;
        return finish(std::move(*core));
    }

    result<void> look_up() {
        if (auto fits = check_filter(options_); !fits) { return fits.error(); }
        for (const auto& [what, size] : {std::pair{"RX ring size", options_.rx_ring}, {"TX ring size", options_.tx_ring}}) {
            if (!std::has_single_bit(size)) {
                return make_error(errc::invalid_option, "check " + std::string(what) + " " + std::to_string(size),
                                  "not a power of two", "use 2048");
            }
        }
        if (const int r = calls_.find_interface(options_.interface.c_str(), interface_); r < 0) {
            return explain_interface(options_.interface, -r);
        }
        if (auto ethernet = check_link_type(interface_); !ethernet) { return ethernet.error(); }
        if (interface_.queues != 0 && options_.queue >= interface_.queues) {
            return queue_error(
                interface_, options_.queue,
                "the interface has " + std::to_string(interface_.queues) + " queue" + (interface_.queues == 1 ? "" : "s"));
        }
        // A loopback's MTU never fits, and whether XDP works there at all is the better news: finish() looks at it.
        return interface_.loopback ? result<void>() : check_mtu();
    }

    result<void> check_mtu() const {
        if (interface_.longest_packet() <= memory_.config().packet_capacity()) { return {}; }
        return mtu_error(interface_, memory_.config());
    }

    [[nodiscard]] auto can_share(bool zero_copy) const {
        return [this, zero_copy](const bound_socket& other) {
            return other.calls == &calls_ && other.zero_copy == zero_copy && other.need_wakeup == options_.need_wakeup;
        };
    }

    /// Puts a rung in front when a socket over the same UMEM is bound in one of the modes wanted.
    std::vector<rung> with_sharing(std::vector<rung> steps) const {
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const bool zero_copy = steps[i].zero_copy;
            if (!memory_.pool().with_bound(can_share(zero_copy), [](const bound_socket&) {})) { continue; }
            steps.insert(steps.begin(), {zero_copy ? "shared zero-copy" : "shared copy", zero_copy, steps[i].attach, true});
            break;
        }
        return steps;
    }

    int bind(const socket_core& core, const rung& step) const {
        if (options_.only && !options_.attach) {  // a model of the kernel's side, which has no program
            if (const int r = calls_.set_filter(core.fd, *options_.only); r < 0) { return r; }
        }
        bind_request where{interface_.index, options_.queue, 0};
        if (!step.share) {
            where.flags = static_cast<std::uint16_t>((step.zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                                                     (options_.need_wakeup ? XDP_USE_NEED_WAKEUP : 0));
            return calls_.bind(core.fd, where);
        }
        int answer = -EBADF;
        where.flags = XDP_SHARED_UMEM;
        memory_.pool().with_bound(can_share(step.zero_copy), [&](const bound_socket& other) {
            where.shared_umem_fd = other.fd;
            answer = calls_.bind(core.fd, where);
        });
        return answer;
    }

    /// Binds, trying again for as long as a former socket may still be on its way out. One deadline for all rungs.
    result<std::shared_ptr<socket_core>> bind_patiently(const rung& step) {
        for (driver_refused_ = false;; ++attempts_) {
            auto core = open_unbound(memory_, options_, interface_, step.share);
            if (!core) {
                // The kernel takes its time to forget the registration of a closed attempt, which counts twice till then.
                if (core.error().code == errc::memlock_exceeded && attempts_ != 0 && pause()) { continue; }
                return core.error();
            }
            restock(**core);
            const int r = bind(**core, step);
            if (r >= 0) {
                (*core)->zero_copy = step.zero_copy;
                (*core)->need_wakeup = options_.need_wakeup;
                return std::move(*core);
            }
            const bool again = r == -EBUSY && waited_ < options_.busy_deadline;
            std::optional<error> failure;
            if (!again) {
                failure = explain_bind(**core, step.name, step.zero_copy, step.share,
                                       -r);  // while /proc still shows the holder of the queue
                driver_refused_ = (step.zero_copy || step.share) && failure->code != errc::interface_gone;
                if (step.zero_copy && copy_is_next(*failure)) {
                    failure->remedy = "none is needed: copy mode is tried next";
                }
            }
            give_up(*core);
            if (failure) { return std::move(*failure); }
            pause();
        }
    }

    [[nodiscard]] bool copy_is_next(const error& refusal) const {
        return refusal.code == errc::interface_not_supported &&
               (options_.mode == xdp_mode::automatic || options_.mode == xdp_mode::native);
    }

    /// Waits a little; false when the deadline has passed.
    bool pause() {
        if (waited_ >= options_.busy_deadline) { return false; }
        calls_.pause_ms(static_cast<int>(retry_interval.count()));
        waited_ += retry_interval;
        return true;
    }

    result<void> attach(const std::shared_ptr<socket_core>& core, const rung& step) {
        if (!options_.attach) { return {}; }
        if (options_.shared_program != nullptr) {
            if (auto fits = check_program(options_.shared_program->interface()); !fits) { return fits.error(); }
            program_ = options_.shared_program;
        } else if (program_ == nullptr) {
            auto loaded = program::load(interface_, options_.only);
            if (!loaded) { return loaded.error(); }
            program_ = *loaded;
        }
        error last;  // kept as a refusal once another mode is tried; else the answer
        for (const attach_mode mode : step.attach) {
            if (last.code) { refusals_.push_back(std::move(last)); }
            auto attached = attach_in(mode);
            if (attached) {
                core->redirect = program_;
                if (auto inserted = program_->insert(core->queue, core->fd); !inserted) { return inserted.error(); }
                core->directed = true;
                return {};
            }
            last = attached.error();
            if (!worth_another_rung(last)) { return last; }
        }
        return last;
    }

    /// The socket map of a program directs by queue alone: with two interfaces each would take the other's packets.
    result<void> check_program(const interface_info& loaded_for) const {
        const bool same_namespace = loaded_for.network_namespace == 0 || interface_.network_namespace == 0 ||
                                    loaded_for.network_namespace == interface_.network_namespace;
        if (loaded_for.index == interface_.index && same_namespace) { return {}; }
        return make_error(errc::invalid_option, "use the shared XDP program on " + place_of(interface_),
                          "it was loaded for " + place_of(loaded_for),
                          "share a program between the sockets of one interface only, and let each interface have its own");
    }

    /// Notes what is no failure and yet may surprise.
    void take_notes() {
        const std::uint32_t capacity = memory_.config().packet_capacity();
        if (interface_.longest_packet() <= capacity && interface_.longest_packet(1) > capacity) {
            notes_.push_back("a frame holds " + std::to_string(capacity) + " bytes of packet: the longest of " +
                             interface_.name + " with a VLAN tag have " + std::to_string(interface_.longest_packet(1)) +
                             " and are dropped");
        }
        if (program_ == nullptr || interface_.queues < 2) { return; }
        const std::vector<std::uint32_t> served = program_->queues();
        if (served.size() >= interface_.queues) { return; }
        const std::string all = std::to_string(interface_.queues);
        notes_.push_back(interface_.name + " has " + all + " queues, and of them " + list_of(served) +
                         (served.size() == 1 ? " is" : " are") +
                         " served by sockets of this program: packets of the others go to the kernel; build_queues(" + all +
                         ") from queue 0 serves all");
    }

    /// A program that other sockets use already keeps the mode it is attached in.
    result<void> attach_in(attach_mode mode) {
        if (!program_->attached() || program_->mode() == mode) { return program_->attach(mode); }
        return make_error(errc::interface_not_supported,
                          std::string("use the shared XDP program in ") + name(mode) + " mode",
                          std::string("it is attached in ") + name(program_->mode()) + " mode", "use that mode, or auto");
    }

    result<ladder_result> finish(std::shared_ptr<socket_core> core) {
        if (interface_.loopback) {
            if (auto fits = check_mtu(); !fits) {
                give_up(core);
                return fits.error();
            }
        }
        memory_.pool().watch({core->rx, core->comp, &core->calls, core->fd, core->zero_copy, core->need_wakeup});
        core->watched = true;
        if (core->packet_ring == nullptr) {
            note_bound(core->fd, interface_, core->queue);
        } else {
            notes_.push_back("packets of " + interface_.name +
                             " come by AF_PACKET: they are copies, of all queues, and the kernel's own stack receives and "
                             "answers the same packets");
        }
        take_notes();
        return ladder_result{std::move(core), std::move(refusals_), std::move(notes_)};
    }

    error all_refused() {
        if (refusals_.size() == 1) { return refusals_.front(); }
        std::string causes;
        for (const error& refusal : refusals_) { add_refusal(causes, refusal); }
        error whole =
            make_error(errc::interface_not_supported, "open " + interface_.name + " queue " + std::to_string(options_.queue),
                       std::move(causes), any_remedy);
        // A condition that every rung met is more than "not supported".
        const std::error_code code = refusals_.front().code;
        if (std::ranges::all_of(refusals_, [&](const error& refusal) { return refusal.code == code; })) {
            whole.code = code;
        }
        return whole;
    }

    void restock(socket_core& core) {
        if (stock_ == nullptr) { return; }
        stock_->adopt();
        producer_ring<frame_addr> fill(core.fill);
        stocked_ = stock_->refill(fill);
    }

    void give_up(std::shared_ptr<socket_core>& core) {
        core.reset();
        if (std::exchange(stocked_, 0) != 0) { stock_->reclaim(); }
    }

    static constexpr std::chrono::milliseconds retry_interval = 10ms;

    const umem& memory_;
    const socket_options& options_;
    frame_home* stock_;
    kernel& calls_;
    interface_info interface_;
    std::shared_ptr<program> program_;
    std::uint32_t stocked_ = 0;  // frames in the fill ring of the attempt under way
    // The last bind failed for zero-copy. Drivers refuse that with any errno they like, and the kernel itself falls back to
    // copy on all of them: when copy mode fails for the same reason, its error says so.
    bool driver_refused_ = false;
    unsigned attempts_ = 0;  // closed again, on any rung
    std::chrono::milliseconds waited_{0};
    std::vector<error> refusals_;
    std::vector<std::string> notes_;
};

}  // namespace

result<ladder_result> climb(const umem& memory, const socket_options& options, frame_home* stock) {
    return climber(memory, options, stock).climb();
}

}  // namespace fluxnet::detail
