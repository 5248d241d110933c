// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: channels, mutexes, semaphores, events and latches.
#include "fluxnet/runtime/sync/channel.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "fluxnet/runtime/sync/mutex.hpp"
#include "fluxnet/runtime/sync/semaphore.hpp"
#include "tests/runtime/fault_world.hpp"

#include <doctest/doctest.h>

#include <array>
#include <utility>

namespace fluxnet::test {
namespace {

class semaphore_world final : public fault_world {
public:
    explicit semaphore_world(fault_place&) {}

    task<ending> await_once() override {
        const std::error_code ec = co_await units_.acquire(2);
        co_return ending_of(ec);
    }
    void complete() override { units_.release(2); }
    void check(const fault_tally& tally) override {
        CHECK(units_.available() == 2U * static_cast<unsigned>(tally.completions - tally.completed));
    }

private:
    semaphore units_{0};
};

class mutex_world final : public fault_world {
public:
    explicit mutex_world(fault_place&) : held_(mutex_.try_lock()) { REQUIRE(static_cast<bool>(held_)); }

    task<ending> await_once() override {
        const mutex::guard guard = co_await mutex_.lock();
        if (static_cast<bool>(guard) == static_cast<bool>(guard.error())) { co_return ending::failed; }
        co_return ending_of(guard.error());
    }
    void complete() override { held_.unlock(); }
    void check(const fault_tally&) override {
        held_.unlock();
        CHECK(static_cast<bool>(mutex_.try_lock()));
    }

private:
    mutex mutex_;
    mutex::guard held_;
};

class event_world final : public fault_world {
public:
    explicit event_world(fault_place&) {}
    task<ending> await_once() override {
        const std::error_code ec = co_await event_.wait();
        co_return ending_of(ec);
    }
    void complete() override { event_.set(); }
    void check(const fault_tally& tally) override { CHECK(event_.is_set() == (tally.completions != 0)); }

private:
    event event_;
};

class latch_world final : public fault_world {
public:
    explicit latch_world(fault_place&) {}
    task<ending> await_once() override {
        const std::error_code ec = co_await latch_.wait();
        co_return ending_of(ec);
    }
    void complete() override {
        if (!latch_.is_done()) { latch_.count_down(3); }
    }
    void check(const fault_tally& tally) override { CHECK(latch_.is_done() == (tally.completions != 0)); }

private:
    latch latch_{3};
};

/// A number on the heap: lost or doubled values are seen by whoever counts memory.
using value = std::unique_ptr<int>;

/// A full channel, of which complete() takes two values; the await sends two.
class send_world final : public fault_world {
public:
    explicit send_world(fault_place&) { fill(2); }

    task<ending> await_once() override {
        std::array<value, 2> two{std::make_unique<int>(1), std::make_unique<int>(2)};
        const io_result sent = co_await channel_.send(two);
        for (std::size_t i = 0; i < two.size(); ++i) {
            if (static_cast<bool>(two[i]) != (i >= sent.n)) { co_return ending::failed; }
        }
        if (sent.n != (sent.ec ? 0 : 2)) { co_return ending::failed; }
        co_return ending_of(sent.ec);
    }
    void complete() override {
        std::array<value, 2> taken;
        REQUIRE(channel_.try_recv(taken) == 2);
    }
    void check(const fault_tally& tally) override {
        const int in_channel = 2 - 2 * tally.completions + 2 * tally.completed;
        if (tally.destroyed) {
            CHECK(channel_.size() <= 2);  // what was moved in before the frame went is there
        } else {
            CHECK(channel_.size() == static_cast<std::size_t>(in_channel));
        }
    }

private:
    void fill(int count) {
        for (int i = 0; i < count; ++i) {
            value one = std::make_unique<int>(i);
            REQUIRE(channel_.try_send(std::span(&one, 1)) == 1);
        }
    }

    channel<value> channel_{2};
};

class recv_world final : public fault_world {
public:
    explicit recv_world(fault_place&) {}

    task<ending> await_once() override {
        std::array<value, 4> into;
        const io_result got = co_await channel_.recv(into);
        for (std::size_t i = 0; i < into.size(); ++i) {
            if (static_cast<bool>(into[i]) != (i < got.n)) { co_return ending::failed; }
        }
        received_ += got.n;
        if ((got.n != 0) == static_cast<bool>(got.ec)) { co_return ending::failed; }
        co_return ending_of(got.ec);
    }
    void complete() override {
        value one = std::make_unique<int>(++sent_);
        REQUIRE(channel_.try_send(std::span(&one, 1)) == 1);
    }
    void check(const fault_tally& tally) override {
        const std::size_t left = static_cast<std::size_t>(sent_) - received_;
        if (tally.destroyed) {
            CHECK(channel_.size() <= left);  // a value that was handed over goes with the frame
        } else {
            CHECK(channel_.size() == left);
        }
    }

private:
    channel<value> channel_{4};
    int sent_ = 0;
    std::size_t received_ = 0;
};

}  // namespace

std::span<const fault_entry> sync_faults() {
    static const std::array all{
        fault_entry{.file = "semaphore.hpp",
                    .awaiter = "semaphore::acquire_awaiter",
                    .what = "two units of a semaphore",
                    .make = make_world<semaphore_world>},
        fault_entry{.file = "mutex.hpp", .awaiter = "lock_awaiter", .what = "a mutex", .make = make_world<mutex_world>},
        fault_entry{
            .file = "event.hpp", .awaiter = "event::wait_awaiter", .what = "an event", .make = make_world<event_world>},
        fault_entry{
            .file = "event.hpp", .awaiter = "event::wait_awaiter", .what = "a latch", .make = make_world<latch_world>},
        fault_entry{.file = "channel.hpp",
                    .awaiter = "channel<T>::send_awaiter",
                    .what = "room in a channel",
                    .make = make_world<send_world>},
        fault_entry{.file = "channel.hpp",
                    .awaiter = "channel<T>::recv_awaiter",
                    .what = "a value in a channel",
                    .make = make_world<recv_world>},
    };
    return all;
}

}  // namespace fluxnet::test
