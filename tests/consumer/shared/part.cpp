// SPDX-License-Identifier: BSD-3-Clause
// One part, named by PART.
#include "facts.hpp"

#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"
#include "fluxnet/xsk/memory/frame_home.hpp"

#include <chrono>

facts PART::look(fluxnet::executor& loop) {
    auto& met = loop.use_service<meeting>();
    ++met.visits;
    return {&met, fluxnet::detail::thread_token(), &fluxnet::detail::resumed_at, &fluxnet::flux_category()};
}

fluxnet::task<int> PART::wait_for(int value) {
    static_cast<void>(co_await fluxnet::sleep_for(std::chrono::milliseconds(1)));
    co_return value;
}

void PART::open_nothing(fluxnet::executor& loop) {
    static_cast<void>(fluxnet::open_async(loop, fluxnet::builder("nosuch0")).value());
}
