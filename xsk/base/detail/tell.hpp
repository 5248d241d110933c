// SPDX-License-Identifier: BSD-3-Clause
// Tells the log_sink, if there is one.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/log.hpp"

#include <exception>
#include <new>
#include <string>
#include <string_view>

namespace fluxnet::detail {

[[nodiscard]] FLUXNET_EXPORT bool somebody_listens() noexcept;

FLUXNET_EXPORT void tell(log_kind kind, std::string_view text) noexcept;

/// Tells what `make()` returns, which is called only if somebody listens. Text for which there is no memory is not told.
template <class Make>
void tell_made(log_kind kind, Make make) noexcept {
    if (!somebody_listens()) { return; }
    try {
        tell(kind, make());
    } catch (const std::bad_alloc&) {
        tell(kind, "there was no memory for the text of an event");
    }
}

/// Tells of an exception that no caller receives. `where`: whose it was.
FLUXNET_EXPORT void tell_exception(const std::exception_ptr& failure, std::string_view where) noexcept;

}  // namespace fluxnet::detail
