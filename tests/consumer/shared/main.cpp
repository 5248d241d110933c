// SPDX-License-Identifier: BSD-3-Clause
// Fails, and says what differs, unless the program and its two libraries share one FluxNet.
#include "facts.hpp"

#include "fluxnet/xsk/base/error.hpp"

#include <cstdio>
#include <system_error>

namespace {

fluxnet::task<int> wait_for_all() {
    int sum = co_await left::wait_for(1);
    sum += co_await right::wait_for(2);
    sum += co_await program::wait_for(4);
    co_return sum;
}

bool is_thrown_by(void (*open_nothing)(fluxnet::executor&), fluxnet::executor& loop) {
    try {
        open_nothing(loop);
    } catch (const std::system_error& failure) {
        return failure.code().category() == fluxnet::flux_category();
    }
    return false;
}

bool check(bool holds, const char* what) {
    if (!holds) { std::fprintf(stderr, "not so: %s\n", what); }
    return holds;
}

}  // namespace

int main() {
    fluxnet::executor loop;
    const facts ours = program::look(loop);
    bool good = check(left::look(loop) == ours, "the left library sees what the program sees");
    good &= check(right::look(loop) == ours, "the right library sees what the program sees");
    good &= check(ours.met->visits == 3, "all three met at one service");
    good &= check(loop.run(wait_for_all()) == 7, "coroutines of all three await each other");
    good &= check(is_thrown_by(left::open_nothing, loop) && is_thrown_by(right::open_nothing, loop), "what one throws others catch");
    if (!good) { return 1; }
    std::printf("one FluxNet in three parts\n");
}
