// SPDX-License-Identifier: BSD-3-Clause
// `resolve`: the addresses of a host that is given by name.
//
//     const result<std::vector<proto::ip_endpoint>> found = co_await resolve("www.example.org", "443");
//     if (!found) { log(found.error().message()); co_return; }
//     for (const proto::ip_endpoint& each : *found) { ... }  // the best first, as the system orders them (RFC 6724)
//
// A numeric address with a numeric port needs no look-up: it is there at once, without a thread or a system call. All others
// are looked up by getaddrinfo(3), which blocks, on the executor's pool for offloaded functions. A task that is cancelled
// leaves the look-up at once. The look-up itself goes on, for it cannot be interrupted, and the executor's end waits for it:
// as long as the system's resolver tries, which are seconds where no server answers (resolv.conf(5), "timeout").
//
// Threads: awaited on an executor, which resumes the coroutine.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <string>
#include <system_error>
#include <vector>

namespace fluxnet {

/// What can be wrong with a name. An error's code; the error says more.
enum class resolve_errc {
    name_not_found = 1,  ///< There is no host of this name.
    service_not_found,   ///< The service is no port number and none that this host knows.
    try_again,           ///< No name server has answered, or one has asked to try again later.
    no_address,          ///< The host has no address of the IP version that was asked for.
    failed,              ///< The system's resolver has failed for good.
};

/// The category of `resolve_errc`. try_again compares equal to std::errc::resource_unavailable_try_again, no_address to
/// std::errc::address_family_not_supported.
[[nodiscard]] FLUXNET_EXPORT const std::error_category& resolve_category() noexcept;

/// Makes the error code of a condition.
[[nodiscard]] FLUXNET_EXPORT std::error_code make_error_code(resolve_errc condition) noexcept;

/// Which addresses are wanted.
enum class ip_version { any, v4, v6 };

/// Which of a host's endpoints are wanted.
struct resolve_options {
    ip_version version = ip_version::any;  ///< Of the addresses that are wanted.
    bool datagrams = false;                ///< For a service that is a name: its port of UDP, not of TCP.
};

using resolved = result<std::vector<proto::ip_endpoint>>;

/// Completes with one endpoint at least; with an error: a resolve_errc; operation_canceled; invalid_option: a name that is
/// empty or has a zero octet; not_in_virtual_time, but for what is numeric. `host`: a name or an address, of IPv6 without
/// brackets, with "%2" or "%eth0" for a link-local one. `service`: a port, or a name of services(5).
[[nodiscard]] FLUXNET_EXPORT task<resolved> resolve(std::string host, std::string service, resolve_options options = {});

namespace detail {

/// Looks up by blocking calls. resolve() uses look_up().
using look_up_function = resolved (*)(const std::string& host, const std::string& service, const resolve_options& options);

/// getaddrinfo(3).
[[nodiscard]] resolved look_up(const std::string& host, const std::string& service, const resolve_options& options);

/// The error for an answer EAI_... of getaddrinfo(). `number`: errno, for EAI_SYSTEM.
[[nodiscard]] error look_up_error(int answer, int number, const std::string& host, const std::string& service,
                                  ip_version version);

/// resolve() by another function, for tests.
task<resolved> resolve_by(look_up_function look, std::string host, std::string service, resolve_options options);

}  // namespace detail
}  // namespace fluxnet

template <>
struct std::is_error_code_enum<fluxnet::resolve_errc> : std::true_type {};
