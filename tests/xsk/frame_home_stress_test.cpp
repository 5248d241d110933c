// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/memory/frame_home.hpp"

#include "fluxnet/xsk/memory/umem.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

using namespace fluxnet;

namespace {

umem make_memory(std::uint32_t frames) {
    umem_config config;
    config.frame_count = frames;
    return umem::create(config).value();
}

/// Where an owner sleeps. A sleep that nobody ends is a wake-up that was lost.
class bed {
public:
    bed() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
    bed(const bed&) = delete;
    bed& operator=(const bed&) = delete;
    ~bed() { ::close(fd_); }

    frame_waker waker() {
        return {[](void* self) noexcept { static_cast<bed*>(self)->wake(); }, this};
    }

    /// Sleeps until woken; returns false after ten seconds.
    bool sleep() {
        pollfd ready{fd_, POLLIN, 0};
        if (::poll(&ready, 1, 10'000) != 1) { return false; }
        std::uint64_t count = 0;
        return ::read(fd_, &count, sizeof count) == sizeof count && count == 1;
    }

    [[nodiscard]] std::uint32_t wakes() const { return wakes_.load(); }

private:
    void wake() noexcept {
        ++wakes_;
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
    }

    int fd_;
    std::atomic<std::uint32_t> wakes_ = 0;
};

/// Threads that return each frame they are given. There are as many as frames, so one is free for every free frame.
class returners {
public:
    static constexpr std::uint32_t stop = ~0U;

    returners(frame_home& home, std::uint32_t count) : boxes_(count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            threads_.emplace_back([&home, &box = boxes_[i], i] {
                for (;;) {
                    box.wait(0);
                    const std::uint32_t job = box.load();
                    if (job == stop) { return; }
                    box.store(0);
                    if ((job + i) % 3 == 0) { std::this_thread::yield(); }
                    home.give_back(frame_index{job - 1});
                }
            });
        }
    }
    returners(const returners&) = delete;
    returners& operator=(const returners&) = delete;
    ~returners() {
        for (auto& box : boxes_) {
            while (box.load() != 0) { std::this_thread::yield(); }
            box.store(stop);
            box.notify_one();
        }
        for (std::thread& thread : threads_) { thread.join(); }
    }

    void hand_over(frame_index frame) {
        for (;; next_ = (next_ + 1) % boxes_.size()) {
            if (boxes_[next_].load() == 0) { break; }
        }
        boxes_[next_].store(frame.value + 1);
        boxes_[next_].notify_one();
        next_ = (next_ + 1) % boxes_.size();
    }

private:
    std::deque<std::atomic<std::uint32_t>> boxes_;
    std::vector<std::thread> threads_;
    std::size_t next_ = 0;
};

}  // namespace

TEST_CASE("an owner that sleeps hungry is woken by every first return") {
    const std::uint32_t rounds = test::rounds(120'000, 10);
    const umem memory = make_memory(3);
    frame_home* home = memory.pool().make_home(3);
    bed sleeper;
    std::uint32_t slept = 0;
    std::uint32_t lost = 0;
    home->adopt();
    home->set_waker(sleeper.waker());
    {
        returners others(*home, 3);
        for (std::uint32_t round = 0; round < rounds && lost == 0;) {
            while (const auto frame = home->take()) {
                others.hand_over(*frame);
                ++round;
            }
            if (home->publish_hungry()) {
                ++slept;
                lost += sleeper.sleep() ? 0U : 1U;
                home->withdraw_hungry();
            }
        }
    }
    home->withdraw_hungry();
    home->settle();
    CHECK(lost == 0);
    CHECK(sleeper.wakes() == slept);
    MESSAGE(slept, " times asleep");
    home->set_waker({});
    home->drain();
    CHECK(home->free_count() == 3);
    CHECK(memory.pool().census().user == 0);
    home->release();
}

TEST_CASE("hunger that is withdrawn at any moment is either granted or gone") {
    const std::uint32_t rounds = test::rounds(100'000, 20);
    const umem memory = make_memory(2);
    frame_home* home = memory.pool().make_home(2);
    std::uint32_t published = 0;
    home->adopt();
    {
        bed before;
        returners others(*home, 2);
        for (std::uint32_t round = 0; round < rounds; ++round) {
            // A waker of its own each round: settle() lets it end.
            bed brief;
            if (round % 16 == 0) { home->set_waker(brief.waker()); }
            if (const auto frame = home->take()) { others.hand_over(*frame); }
            if (home->publish_hungry()) {
                ++published;
                if (round % 2 == 0) { std::this_thread::yield(); }
                home->withdraw_hungry();
            }
            home->withdraw_hungry();
            home->settle();
            if (round % 16 == 0) {
                CHECK(brief.wakes() <= 1);
                home->set_waker(before.waker());
            }
        }
    }
    home->withdraw_hungry();
    home->settle();
    home->set_waker({});
    home->drain();
    MESSAGE(published, " times hungry");
    CHECK(home->free_count() == 2);
    home->release();
}

TEST_CASE("a home handed from owner to owner loses no frame") {
    const std::uint32_t turns = test::rounds(20'000, 10);
    constexpr std::uint32_t owners = 3;
    const umem memory = make_memory(16);
    frame_home* home = memory.pool().make_home(16);
    std::atomic<std::uint32_t> turn = 0;
    std::atomic<bool> done = false;
    // Frames on loan: every thread may pick one up and return it.
    std::array<std::atomic<std::uint32_t>, 8> loans{};
    std::thread stranger([&] {
        while (!done.load()) {
            for (auto& loan : loans) {
                if (const std::uint32_t frame = loan.exchange(0)) { home->give_back(frame_index{frame - 1}); }
            }
            std::this_thread::yield();
        }
    });
    std::vector<std::thread> threads;
    for (std::uint32_t me = 0; me < owners; ++me) {
        threads.emplace_back([&, me] {
            for (std::uint32_t mine = me; mine < turns; mine += owners) {
                while (turn.load() != mine) { std::this_thread::yield(); }
                home->adopt();
                home->drain();
                for (auto& loan : loans) {
                    const auto frame = home->take();
                    if (!frame) { break; }
                    if (const std::uint32_t before = loan.exchange(frame->value + 1)) {
                        home->give_back(frame_index{before - 1});
                    }
                }
                home->release();
                turn.store(mine + 1);
                // A former owner is a stranger now.
                if (const std::uint32_t frame = loans[mine % loans.size()].exchange(0)) {
                    home->give_back(frame_index{frame - 1});
                }
            }
        });
    }
    for (std::thread& thread : threads) { thread.join(); }
    done = true;
    stranger.join();
    for (auto& loan : loans) {
        if (const std::uint32_t frame = loan.exchange(0)) { home->give_back(frame_index{frame - 1}); }
    }
    const frame_census census = memory.pool().census();
    CHECK(census.exact);
    CHECK(census.free == 16);
    CHECK(census.user == 0);
    CHECK(census.sum() == 16);
}

TEST_CASE("a census on another thread disturbs no owner that comes and goes") {
    const std::uint32_t turns = test::rounds(50'000, 10);
    const umem memory = make_memory(8);
    frame_home* home = memory.pool().make_home(8);
    std::atomic<bool> done = false;
    std::atomic<std::uint32_t> counts = 0;
    std::uint64_t wrong = 0;
    std::thread counter([&] {
        while (!done.load()) {
            const frame_census census = memory.pool().census();
            wrong += census.exact && census.sum() != 8 ? 1U : 0U;
            ++counts;
        }
    });
    for (std::uint32_t turn = 0; turn < turns || counts.load() < 1000; ++turn) {
        home->adopt();
        const auto frame = home->take();
        if (turn % 2 == 0) { home->release(); }
        home->give_back(*frame);
        home->release();
    }
    done = true;
    counter.join();
    CHECK(wrong == 0);
    CHECK(memory.pool().census().free == 8);
}
