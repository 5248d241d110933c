// SPDX-License-Identifier: BSD-3-Clause
// `engine`: an executor whose turns hand received packets, in batches, to a callback that the compiler inlines.
//
//     auto loop = open_engine(builder("eth0")).value();
//     const std::error_code failed = loop->run([](packet_batch& batch) {
//         for (const packet_ref one : batch) {
//             if (turn_into_answer(one)) { one.send(); }
//         }
//     });
//     if (failed) { report(loop->port(*loop->failed_port()).receiving().interface().name, failed); }
//
// An engine has ports: sockets over one UMEM. So a packet that came in by one port leaves by another without being copied.
// run() lends each batch to the callback and then commits it as a whole. A packet without a mark goes straight back into the
// fill ring; packets to be sent are kicked once for all batches of the turn. Everything that an executor does goes on beside
// that: coroutines, timers, posts. run() needs no tasks to go on. A batch costs no allocation, no lock and, apart from the
// kick, no system call. Ports are added before run(), or by what it runs.
// Threads: as for an executor. One thread calls run(); any thread may call stop() and post().
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/xsk/builder.hpp"
#include "fluxnet/xsk/packet_batch.hpp"

#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace fluxnet {

/// What a port has done since it was added. Between batches, `received` = `recycled` + `sent` + `extracted`. The packets
/// that `no_room` and `refused` count are among the recycled.
struct port_counts {
    std::uint64_t received = 0;
    std::uint64_t recycled = 0;
    std::uint64_t sent = 0;  ///< By whichever port.
    std::uint64_t extracted = 0;
    std::uint64_t no_room = 0;  ///< Dropped because the sending side had no room (congestion::drop_new).
    std::uint64_t refused = 0;  ///< Dropped because they could not be sent: too short, no such port, a port that failed.
};

/// One socket of an engine.
class FLUXNET_EXPORT engine_port {
public:
    /// See engine::add_port().
    engine_port(executor& on, system_sockets sockets, const batch_options& options, std::uint8_t number);

    /// The sending half: coroutines may send through it too.
    [[nodiscard]] async_tx& tx() noexcept { return tx_; }

    /// The halves without the executor, for their observers.
    [[nodiscard]] fluxnet::rx& receiving() noexcept { return rx_.socket(); }
    [[nodiscard]] fluxnet::tx& sending() noexcept { return tx_.socket(); }

    /// Any thread may read them, as a snapshot.
    [[nodiscard]] port_counts counts() const noexcept;

    /// Why this port has ended; none while it works.
    [[nodiscard]] std::error_code failure() const noexcept;

    /// The steps of the bind ladder that were refused before the port's socket was open, with the reasons: why a port runs
    /// in generic mode, for one.
    [[nodiscard]] const std::vector<error>& refusals() const noexcept { return refusals_; }

    /// What is no failure and yet may surprise, in sentences. See raw_socket::notes().
    [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

private:
    friend class engine;

    struct counters {
        detail::counter received, recycled, sent, extracted, no_room, refused;
    };

    void commit(std::span<fluxnet::tx* const> outs) noexcept;
    [[nodiscard]] bool failed() const noexcept { return in_->failure() || out_->failure(); }

    async_rx rx_;
    async_tx tx_;
    const fluxnet::rx* in_;   // of rx_
    const fluxnet::tx* out_;  // of tx_
    packet_batch batch_;
    batch_options options_;
    counters counts_;
    std::vector<error> refusals_;
    std::vector<std::string> notes_;
};

class FLUXNET_EXPORT engine : public executor {
public:
    static constexpr std::size_t max_ports = 64;

    /// Makes an engine without ports. Throws std::system_error when the kernel refuses the reactor.
    explicit engine(const idle_policy& idle = {.how = poller::adaptive}, reactor_kind kind = reactor_kind::automatic)
        : executor(idle, kind) {}

    /// Makes an engine in virtual time.
    explicit engine(executor_clock& clock) : executor(clock) {}

    /// Adds a port and returns its number: 0 for the first. Its UMEM must be that of the other ports. Must be called in the
    /// network namespace of its interface. Errors: invalid_option (batch size, another UMEM, too many ports).
    [[nodiscard]] result<std::uint8_t> add_port(system_sockets sockets, const batch_options& options = {});

    /// Runs until stop() is called, or a port fails. Returns why the port failed; failed_port() says which one. `callback`
    /// is called with a `packet_batch&` (returning nothing), or with each `packet_ref` (returning its `action`). An
    /// exception that leaves it, or a spawned task, leaves run() when the batch is committed with the marks made so far;
    /// run() may be called again then. stop() takes effect when the turn ends: after at most 512 packets of each port.
    template <class F>
    requires std::invocable<F&, packet_batch&> || std::is_invocable_r_v<action, F&, packet_ref> std::error_code run(
        F callback);

    /// How many ports it has.
    [[nodiscard]] std::size_t ports() const noexcept { return ports_.size(); }
    /// The port of that number, which is below ports().
    [[nodiscard]] engine_port& port(std::size_t number) noexcept { return *ports_[number]; }

    /// The number of the port that has failed, the lowest if several have; none while all work. On the thread of run(), or
    /// while none runs it.
    [[nodiscard]] std::optional<std::uint8_t> failed_port() const noexcept;

private:
    static constexpr std::uint32_t packets_per_visit = 512;

    template <class F>
    bool serve(engine_port& port, F& callback);

    /// How many packets the next batch of a port may have.
    [[nodiscard]] std::uint32_t room_for(engine_port& port) noexcept {
        return port.options_.when_full == congestion::drop_new ? port.options_.size : credit_for(port);
    }
    [[nodiscard]] std::uint32_t credit_for(engine_port& port) noexcept;

    std::vector<std::unique_ptr<engine_port>> ports_;
    std::vector<tx*> outs_;  // of ports_
};

/// Opens a socket and makes an engine of it. See builder for what can be set.
[[nodiscard]] FLUXNET_EXPORT result<std::unique_ptr<engine>> open_engine(const builder& options,
                                                                         const idle_policy& idle = {.how = poller::adaptive},
                                                                         reactor_kind kind = reactor_kind::automatic);

/// The same with several ports, numbered as given, over one UMEM: that of the first builder, which is made with the frames
/// of all when none is given. Ports on queues of one interface share its program.
[[nodiscard]] FLUXNET_EXPORT result<std::unique_ptr<engine>> open_engine(std::span<const builder> ports,
                                                                         const idle_policy& idle = {.how = poller::adaptive},
                                                                         reactor_kind kind = reactor_kind::automatic);

template <class F>
requires std::invocable<F&, packet_batch&> || std::is_invocable_r_v<action, F&, packet_ref> std::error_code engine::run(
    F callback) {
    const run_visit here(*this);
    for (;;) {
        start_turn();
        bool worked = false;
        // By number: what runs may add ports.
        for (std::size_t i = 0; i < ports_.size(); ++i) { worked = serve(*ports_[i], callback) || worked; }
        end_turn(worked || failed_port());  // nothing would end a sleep after a port has failed
        if (stopped()) { return {}; }
        for (const auto& port : ports_) {
            if (port->failed()) [[unlikely]] { return port->failure(); }
        }
    }
}

template <class F>
bool engine::serve(engine_port& port, F& callback) {
    struct committing {
        engine_port& port;
        const std::vector<tx*>& outs;  // which the callback may extend
        ~committing() { port.commit(outs); }
    };
    std::uint32_t served = 0;
    while (served < packets_per_visit) {
        const std::uint32_t wanted = room_for(port);
        const std::uint32_t count = port.batch_.receive(wanted);
        if (count == 0) { break; }
        const committing at_the_end{port, outs_};
        if constexpr (std::invocable<F&, packet_batch&>) {
            callback(port.batch_);
        } else {
            for (const packet_ref one : port.batch_) {
                const action what = callback(one);
                if (what != action::drop || port.batch_.marked()) { one.mark(what); }
            }
        }
        served += count;
        if (count < wanted || stopped()) { break; }
    }
    return served != 0;
}

}  // namespace fluxnet
