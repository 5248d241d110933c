// SPDX-License-Identifier: BSD-3-Clause
// With FLUXNET_TEST_DRIVEN in the environment every executor::run() of a test program is this: a plain epoll loop that polls
// the executor and waits for its descriptor and its deadline. The linker leads calls of run() here (--wrap), so that all
// tests of the runtime can be run once more by a loop that is not ours.
#include "fluxnet/runtime/core/executor.hpp"
#include "tests/support/epoll_waiter.hpp"

#include <cstdlib>
#include <memory>

extern "C" {
void real_run(fluxnet::executor* self) __asm__("__real__ZN7fluxnet8executor3runEv");
void driven_run(fluxnet::executor* self) __asm__("__wrap__ZN7fluxnet8executor3runEv");
}

std::unique_ptr<fluxnet::reactor> real_make_reactor(fluxnet::reactor_kind, fluxnet::reactor_threads) __asm__(
    "__real__ZN7fluxnet12make_reactorENS_12reactor_kindENS_15reactor_threadsE");
std::unique_ptr<fluxnet::reactor> driven_make_reactor(fluxnet::reactor_kind, fluxnet::reactor_threads) __asm__(
    "__wrap__ZN7fluxnet12make_reactorENS_12reactor_kindENS_15reactor_threadsE");

namespace {

using namespace fluxnet;

bool wanted() {
    static const bool set = std::getenv("FLUXNET_TEST_DRIVEN") != nullptr;
    return set;
}

/// Ends what run() ends when it returns.
class giving_up {
public:
    explicit giving_up(executor& of) noexcept : of_(of) {}
    ~giving_up() {
        of_.release();
        if (of_.stopped()) { of_.restart(); }
    }

private:
    executor& of_;
};

void drive(executor& loop) {
    test::epoll_waiter waiter;
    const giving_up at_the_end(loop);
    detail::inside(loop).take_inbox();
    if (!loop.has_work() && !detail::inside(loop).has_ready()) { return; }
    for (;;) {
        const bool again = loop.poll();
        if (loop.stopped()) { return; }
        if (again) { continue; }
        if (!loop.has_work()) { return; }
        const auto plan = loop.prepare_sleep();
        if (!plan) { continue; }
        waiter.wait(*plan);
        loop.after_sleep();
    }
}

}  // namespace

// Many sockets of the tests are eventfds, of which a ring of one thread learns late while its loop waits elsewhere.
std::unique_ptr<reactor> driven_make_reactor(reactor_kind kind, reactor_threads threads) {
    return real_make_reactor(kind, wanted() ? reactor_threads::changing : threads);
}

void driven_run(executor* self) {
    // Virtual time has no descriptor to wait for, and how a poller spins is its own affair.
    const bool can_be = detail::inside(*self).clock() == nullptr && self->idle().how == poller::wait;
    if (wanted() && can_be && executor::current() == nullptr) {
        drive(*self);
    } else {
        real_run(self);
    }
}
