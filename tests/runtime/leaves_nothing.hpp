// SPDX-License-Identifier: BSD-3-Clause
// `leaves_nothing`: runs something and checks that neither memory nor descriptors are left of it.
#pragma once

#include "fluxnet/runtime/core/detail/frame_cache.hpp"
#include "tests/support/allocation_counter.hpp"
#include "tests/support/open_descriptors.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

namespace fluxnet::test {

/// Runs `body` with the number of the round, and counts; memory from the second round on. What the first leaves is what the
/// C and C++ libraries keep: thread stacks, locales and the like. What this thread keeps of frames that have ended is given
/// back first. A round in which threads run side by side for the first time leaves what the C library keeps of each; so a
/// round that leaves something is followed by another, a few times: what leaks does so in all of them.
template <class F>
void leaves_nothing(F body, std::uint64_t rounds = 2) {
    for (std::uint64_t round = 0, repeats = 4; round < rounds; ++round) {
        const std::ptrdiff_t descriptors = open_descriptors();
        fluxnet::detail::frame_cache::here().clear();
        const allocation_watch watch;
        body(round);
        fluxnet::detail::frame_cache::here().clear();
        const std::int64_t outstanding = watch.outstanding();
        CHECK(open_descriptors() == descriptors);
        if (round == 0) { continue; }
        if (outstanding != 0 && repeats != 0) {
            --repeats;
            ++rounds;
            continue;
        }
        CHECK(outstanding == 0);
    }
}

}  // namespace fluxnet::test
