// SPDX-License-Identifier: BSD-3-Clause
// `metrics`: gathers counters of executors, sockets, engines, frame pools and of the program itself, and writes them in
// Prometheus' text format.
//
//     metrics all;
//     all.add("main", loop);
//     all.add("eth0", sockets.rx);
//     all.add_counter("orders_total", "Orders taken.", taken, {{"side", "buy"}});
//     std::string page = all.text();
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
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace fluxnet {

class FLUXNET_EXPORT metrics {
public:
    /// What tells samples of one family apart. The value is any UTF-8; what is none is written as U+FFFD.
    struct label {
        std::string_view name;
        std::string_view value;
    };

    // Each is told apart by a name, which becomes a label. Two of one kind with one name: std::invalid_argument.

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

    // Of the program's own. A family has the help and the type of its first sample, and its samples differ in their labels.
    // Names are those of Prometheus' data model: letters, digits and '_', in a family's also ':', no digit first, and no two
    // '_' first in a label's. Both throw std::invalid_argument for others, for a label that a sample has twice, for a sample
    // that is there already, and for a counter that is a gauge elsewhere. What they are given is copied.

    /// A total that only rises while the program runs.
    void add_counter(std::string_view family, std::string_view help, std::uint64_t value,
                     std::initializer_list<label> labels = {});

    /// A value of now, which may fall again.
    void add_gauge(std::string_view family, std::string_view help, double value, std::initializer_list<label> labels = {});

    /// The text: families in the order in which they first appeared, each with its help and type.
    [[nodiscard]] std::string text() const;

private:
    enum class kind : std::uint8_t { counter, gauge };

    struct family {
        std::string name;
        std::string help;
        kind type = kind::counter;
        std::string samples;
        std::set<std::string> keys;  // the labels of each sample, sorted
    };

    /// `number`: the value as text.
    void sample(std::string_view family, std::string_view help, kind type, std::initializer_list<label> labels,
                std::string_view number);

    std::vector<family> families_;
};

}  // namespace fluxnet
