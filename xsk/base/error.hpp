// SPDX-License-Identifier: BSD-3-Clause
// What can go wrong while a socket is set up or used, in words that a user can act on.
//
// `errc` names the conditions, `error` adds the step that failed, the value it failed with and what to do about it, and
// `result<T>` carries either a value or an `error`. Set-up functions return `result`; ring operations return counts;
// awaited transfers return a std::error_code beside a count. Values of these types may be used from any thread.
#pragma once

#include "fluxnet/export.hpp"

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <string>
#include <system_error>

namespace fluxnet {

/// The conditions of FluxNet. Each one maps to the nearest std::errc, so that `ec == std::errc::permission_denied` holds.
enum class errc {
    invalid_option = 1,       ///< An option has a value that can never work.
    interface_not_found,      ///< No interface of this name in this network namespace.
    interface_not_supported,  ///< The interface cannot run XDP in the mode that was asked for.
    interface_gone,           ///< The interface was deleted or moved to another network namespace.
    link_down,                ///< The interface is administratively down, or has no carrier.
    queue_out_of_range,       ///< The interface has no such queue.
    queue_busy,               ///< Another AF_XDP socket holds the queue.
    permission_denied,        ///< A capability is missing.
    out_of_memory,            ///< Memory could not be had.
    memlock_exceeded,         ///< RLIMIT_MEMLOCK is too small for the UMEM.
    mtu_too_large,            ///< A frame cannot hold a packet of the interface's MTU.
    program_conflict,         ///< Another XDP program is attached to the interface.
    program_detached,         ///< Our XDP program is no longer attached to the interface.
    kernel_not_supported,     ///< The running kernel lacks something that FluxNet needs.
    ring_corruption,          ///< The other side of a ring wrote an index or a descriptor that cannot be.
    packet_too_small,         ///< A packet is shorter than an Ethernet header.
    packet_too_large,         ///< A packet is larger than a frame, or larger than the device takes.
    foreign_packet,           ///< A packet was given to a tx that holds no frame, or one of another UMEM.
    completions_missing,      ///< The kernel took packets and has not given their frames back in time.
    operation_canceled,       ///< The operation was cancelled before it took effect.
    closed,                   ///< The handle was closed or moved away.
    end_of_stream,            ///< The peer has ended its direction, and everything that it sent was read.
    not_in_virtual_time,      ///< Only the kernel or another thread can do that, and neither takes part in virtual time.
    deadlock,                 ///< Everybody waits and nothing can end that.
    already_running,          ///< An executor was run inside its own run().
    wrong_thread,             ///< An executor, or what belongs to it, was used on another thread than its own.
    wrong_executor,           ///< A handle was awaited on another executor than it is bound to.
    handle_in_use,            ///< A handle was awaited or moved, or a scope joined, while another coroutine awaited it.
    no_executor,              ///< Something was awaited where no executor runs.
    not_awaitable,            ///< A task was awaited that is empty, was moved away or has been awaited before.
    stopped,                  ///< An executor was stopped before the task had ended that was waited for.
    callback_threw,           ///< An exception left a function of the program's that was called back.
    system_failure,           ///< A system call failed in a way that has no condition of its own.
};

/// The category of `errc`.
[[nodiscard]] FLUXNET_EXPORT const std::error_category& flux_category() noexcept;

/// Makes the error code of a condition.
[[nodiscard]] FLUXNET_EXPORT std::error_code make_error_code(errc condition) noexcept;

/// What stands for success. To copy it is cheaper than to make one, which calls into the standard library.
inline const std::error_code no_error;

/// A failure with its context.
struct FLUXNET_EXPORT error {
    std::error_code code;
    std::string step;    ///< What was being done, with the offending value: "bind flux0 queue 7".
    std::string cause;   ///< What the system answered, and why.
    std::string remedy;  ///< What the user can do.

    /// Joins step, cause and remedy into one line.
    [[nodiscard]] std::string message() const;
};

/// Builds an `error` from its parts.
[[nodiscard]] FLUXNET_EXPORT error make_error(errc condition, std::string step, std::string cause, std::string remedy);

/// Returns "EPERM (Operation not permitted)" for 1, and the like.
[[nodiscard]] FLUXNET_EXPORT std::string errno_text(int number);

/// What `result::value()` throws when there is none: std::system_error whose text is `error::message()`.
[[noreturn]] FLUXNET_EXPORT void throw_exception_from_error(const error& failure, const boost::source_location& where);

/// A value, or the error that kept it from being made.
template <class T>
using result = boost::system::result<T, error>;

}  // namespace fluxnet

template <>
struct std::is_error_code_enum<fluxnet::errc> : std::true_type {};
