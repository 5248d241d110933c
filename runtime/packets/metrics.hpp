// SPDX-License-Identifier: BSD-3-Clause
// `metrics`: gathers counters of executors, sockets, engines and frame pools, and writes them in Prometheus' text format.
//
// A value: fill it, take the text, throw it away. Counters of executors, ports and pools may be read on any thread, as
// snapshots; handles only on their own. Allocates; one getsockopt for each rx, and no other system call.
// Source: Prometheus documentation, "Exposition formats", text-based format version 0.0.4.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/packets/async_rx.hpp"
#include "fluxnet/runtime/packets/async_tx.hpp"
#include "fluxnet/runtime/packets/engine.hpp"
#include "fluxnet/xsk/memory/frame_pool.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fluxnet {

class FLUXNET_EXPORT metrics {
public:
    // Each is told apart by a name, which becomes a label.

    /// Turns, sleeps, spins, resumptions, completions of the reactor, tasks' wake-ups per sleep.
    void add(std::string_view name, const executor& from);

    /// Packets received, wake-ups, packets per wake-up, and what the kernel counts for the socket.
    void add(std::string_view name, const async_rx& from);

    /// Packets sent and not yet completed, and dropped by the kernel.
    void add(std::string_view name, const async_tx& from);

    /// What became of the packets of a port.
    void add(std::string_view name, const engine_port& from);

    /// Frames by state.
    void add(std::string_view name, frame_pool& from);

    /// The text: families in the order in which they first appeared, each with its help and type.
    [[nodiscard]] std::string text() const;

private:
    enum class kind : std::uint8_t { counter, gauge };

    struct family {
        std::string_view name;
        std::string_view help;
        kind type = kind::counter;
        std::string samples;
    };

    void sample(std::string_view family, std::string_view help, kind type, std::string_view label, std::string_view name,
                double value, std::string_view second_label = {}, std::string_view second = {});
    void count(std::string_view family, std::string_view help, std::string_view label, std::string_view name,
               std::uint64_t value);

    std::vector<family> families_;
};

}  // namespace fluxnet
