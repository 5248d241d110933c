// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/base/log.hpp"

#include "fluxnet/xsk/base/detail/tell.hpp"

#include <atomic>

namespace fluxnet {
namespace {

std::atomic<log_sink*> current_log_sink{nullptr};

}  // namespace

const char* name(log_kind kind) noexcept {
    switch (kind) {
        case log_kind::fallback: return "fallback";
        case log_kind::note: return "note";
        case log_kind::link: return "link";
        case log_kind::exception: return "exception";
    }
    return "unknown";
}

log_sink* set_log_sink(log_sink* sink) noexcept {
    return current_log_sink.exchange(sink, std::memory_order_acq_rel);
}

bool detail::somebody_listens() noexcept {
    return current_log_sink.load(std::memory_order_acquire) != nullptr;
}

void detail::tell(log_kind kind, std::string_view text) noexcept {
    if (log_sink* const sink = current_log_sink.load(std::memory_order_acquire)) { sink->on_event({kind, text}); }
}

void detail::tell_exception(const std::exception_ptr& failure, std::string_view where) noexcept {
    tell_made(log_kind::exception, [&] {
        std::string text(where);
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& thrown) {
            text.append(": ").append(thrown.what());
        } catch (...) { text.append(": an exception that is no std::exception"); }
        return text;
    });
}

}  // namespace fluxnet
