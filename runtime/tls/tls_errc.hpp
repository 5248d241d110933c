// SPDX-License-Identifier: BSD-3-Clause
// `tls_errc`: what can go wrong with TLS that no other stream knows of. Plain values, used from any thread.
//
// Each maps to the std::errc that a program written for any stream asks for: `truncated` is a connection_reset to it.
#pragma once

#include "fluxnet/export.hpp"

#include <system_error>

namespace fluxnet {

enum class tls_errc {
    truncated = 1,              ///< The connection ended without the peer's close_notify: bytes may have been cut off.
    not_tls,                    ///< The peer does not speak TLS.
    protocol_failure,           ///< The handshake failed, or what arrived was damaged or forged.
    alert_received,             ///< The peer refuses the connection, and has said why.
    certificate_expired,        ///< A certificate of the peer's chain is not valid any more.
    certificate_not_yet_valid,  ///< A certificate of the peer's chain is not valid yet.
    certificate_self_signed,    ///< The peer's certificate is signed by itself and not trusted.
    certificate_untrusted,      ///< The peer's chain leads to no trusted authority.
    certificate_wrong_host,     ///< The peer's certificate is for another host.
    certificate_refused,        ///< The peer's certificate was refused for another reason.
    write_abandoned,            ///< A coroutine was destroyed while it wrote: how much of a record has gone is not known.
};

/// The category of `tls_errc`.
[[nodiscard]] FLUXNET_EXPORT const std::error_category& tls_category() noexcept;

/// Makes the error code of a condition.
[[nodiscard]] FLUXNET_EXPORT std::error_code make_error_code(tls_errc condition) noexcept;

}  // namespace fluxnet

template <>
struct std::is_error_code_enum<fluxnet::tls_errc> : std::true_type {};
