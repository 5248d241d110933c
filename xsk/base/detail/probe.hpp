// SPDX-License-Identifier: BSD-3-Clause
// `probe`: marks a rare path, so that tests can tell whether they have ever been there.
//
// A line `detail::probe<"tx: kick answered EBUSY">();` counts how often it was reached, in the checked build only; elsewhere
// it is nothing. Every probe of the program is known before main() begins, reached or not: for_each_probe() lists them.
//
// Threads: any thread may pass a probe, and any thread may read the counts.
#pragma once

#include "fluxnet/export.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fluxnet::detail {

/// The name of a probe, as a template argument.
template <std::size_t Size>
struct FLUXNET_EXPORT probe_name {
    consteval probe_name(const char (&from)[Size]) { std::copy_n(from, Size, text); }  // NOLINT: a literal stands for it
    char text[Size]{};
};

/// How often one probe was passed. Lives as long as the program, in a list of all.
class FLUXNET_EXPORT probe_counter {
public:
    explicit probe_counter(const char* name) noexcept : name_(name), next_(first.load(std::memory_order_relaxed)) {
        while (!first.compare_exchange_weak(next_, this, std::memory_order_release, std::memory_order_relaxed)) {}
    }
    probe_counter(const probe_counter&) = delete;
    probe_counter& operator=(const probe_counter&) = delete;
    ~probe_counter() = default;

    void pass() noexcept { passed_.fetch_add(1, std::memory_order_relaxed); }
    [[nodiscard]] const char* name() const noexcept { return name_; }
    [[nodiscard]] std::uint64_t passed() const noexcept { return passed_.load(std::memory_order_relaxed); }
    [[nodiscard]] const probe_counter* next() const noexcept { return next_; }

    inline static constinit std::atomic<probe_counter*> first = nullptr;

private:
    const char* name_;
    probe_counter* next_;
    std::atomic<std::uint64_t> passed_ = 0;
};

template <probe_name Name>
FLUXNET_EXPORT inline probe_counter counter_of{Name.text};

/// Notes that a rare path was taken.
template <probe_name Name>
void probe() noexcept {
#if defined(FLUXNET_CHECKED)
    counter_of<Name>.pass();
#endif
}

/// Calls `visit` with each probe_counter of the program.
template <class Visit>
void for_each_probe(Visit visit) {
    for (const probe_counter* each = probe_counter::first.load(std::memory_order_acquire); each != nullptr;
         each = each->next()) {
        visit(*each);
    }
}

}  // namespace fluxnet::detail
