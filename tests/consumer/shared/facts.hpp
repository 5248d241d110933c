// SPDX-License-Identifier: BSD-3-Clause
// What each of three parts of one process sees of FluxNet: the program, and two libraries of its own. Everything in them is
// hidden from each other but the functions below.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/services.hpp"
#include "fluxnet/runtime/core/task.hpp"

#include <system_error>

/// A service that each part asks for by its type, of which each part has its own typeinfo.
class meeting final : public fluxnet::service {
public:
    explicit meeting(fluxnet::executor& /*of*/) {}
    int visits = 0;
};

/// Addresses that have to be the same for all parts.
struct facts {
    const meeting* met = nullptr;
    const void* thread = nullptr;      // by which frames know the thread that owns them
    const void* resumption = nullptr;  // by which coroutines know how deep the stack is
    const std::error_category* category = nullptr;

    bool operator==(const facts&) const = default;
};

#define SHARED_TEST_PART(name)                                                 \
    namespace name {                                                           \
    [[gnu::visibility("default")]] facts look(fluxnet::executor& loop);        \
    /* Completes with `value`, after it has slept. */                          \
    [[gnu::visibility("default")]] fluxnet::task<int> wait_for(int value);     \
    /* Throws the std::system_error of an interface that is missing. */        \
    [[gnu::visibility("default")]] void open_nothing(fluxnet::executor& loop); \
    }

SHARED_TEST_PART(program)
SHARED_TEST_PART(left)
SHARED_TEST_PART(right)
