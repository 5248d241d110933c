// SPDX-License-Identifier: BSD-3-Clause
// `log_sink`: hears what the library has to tell where no caller is there to be told.
//
//     class to_stderr final : public fluxnet::log_sink {
//         void on_event(const fluxnet::log_event& event) noexcept override {
//             std::fprintf(stderr, "fluxnet, %s: %.*s\n", name(event.kind), int(event.text.size()), event.text.data());
//         }
//     } sink;
//     fluxnet::set_log_sink(&sink);
//
// Without a sink, which is how a program begins, nothing is written anywhere, and no text is made. What an error code or an
// `error` tells its caller is not told again; what an object keeps to be asked for, as notes() and refusals() give it, is.
// Events come from set-up, from news of the kernel and from failing tasks, never from the path of packets.
//
// Threads: a sink is called on the thread where something happens, so by several at a time in a program that uses the
// library on several.
#pragma once

#include "fluxnet/export.hpp"

#include <cstdint>
#include <string_view>

namespace fluxnet {

/// What an event tells of.
enum class log_kind : std::uint8_t {
    fallback,   ///< The kernel refused something, and the library goes on without it.
    note,       ///< What is no failure and yet may surprise.
    link,       ///< An interface is up, down or gone, or has lost the program that was attached to it.
    exception,  ///< An exception of a task that no caller receives: another came before it, or the wait for it was over.
};

/// The kind as a word.
[[nodiscard]] FLUXNET_EXPORT const char* name(log_kind kind) noexcept;

/// What a sink is told.
struct log_event {
    log_kind kind = log_kind::note;
    std::string_view text;  ///< UTF-8, without an end of line. Valid during the call.
};

/// What hears events; a program derives from it. See the head of this file.
class FLUXNET_EXPORT log_sink {
public:
    /// Does not call the library, and does not wait.
    virtual void on_event(const log_event& event) noexcept = 0;

protected:
    log_sink() = default;
    log_sink(const log_sink&) = default;
    log_sink& operator=(const log_sink&) = default;
    ~log_sink() = default;
};

/// Has `sink` hear all events of the process from now on; null: nobody does. Returns the sink before, which may still be in
/// a call when other threads use the library: end those, or let it live on.
FLUXNET_EXPORT log_sink* set_log_sink(log_sink* sink) noexcept;

}  // namespace fluxnet
