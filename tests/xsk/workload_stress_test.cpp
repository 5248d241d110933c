// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/builder.hpp"

#include "tests/xsk/mapped.hpp"
#include "tests/xsk/scale.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// A thread that drops the packets it is given.
class dropper {
public:
    dropper() : thread_([this] { run(); }) {}
    dropper(const dropper&) = delete;
    dropper& operator=(const dropper&) = delete;
    ~dropper() { finish(); }

    void give(packet one) {
        const std::lock_guard lock(mutex_);
        packets_.push_back(std::move(one));
    }

    void finish() {
        done_ = true;
        if (thread_.joinable()) { thread_.join(); }
    }

private:
    void run() {
        for (bool last = false;;) {
            std::vector<packet> batch;
            {
                const std::lock_guard lock(mutex_);
                batch.swap(packets_);
            }
            if (batch.empty() && last) { return; }
            last = done_;
            batch.clear();
            std::this_thread::yield();
        }
    }

    std::mutex mutex_;
    std::vector<packet> packets_;
    std::atomic<bool> done_ = false;
    std::thread thread_;
};

/// Does one thing after the other to a socket, as the dice fall, and knows what has to come out.
class workload {
public:
    workload(std::uint32_t frames, std::uint32_t ring, std::uint32_t completion_ring) {
        fake_.first_index = 0xffff'ff00U;
        auto built = sim_builder(fake_, frames, ring).completion_ring(completion_ring).build_system().value();
        receiver_.emplace(std::move(built.rx));
        sender_.emplace(std::move(built.tx));
    }

    void step() {
        switch (roll(12)) {
            case 0:
            case 1:
            case 2: deliver(); break;
            case 3:
            case 4: receive(); break;
            case 5: drop(); break;
            case 6: allocate(); break;
            case 7: send(); break;
            case 8: REQUIRE_FALSE(sender_->flush()); break;
            case 9: elsewhere(); break;
            case 10: receiver_->refill(); break;
            case 11: trouble(); break;
        }
        if (roll(64) == 0) { check(); }
    }

    void finish() {
        dropper_.finish();
        held_.clear();
        fake_.heal();
        fake_.hold_completions(false);
        fake_.set_link(true);
        fake_.release_completions();
        REQUIRE(sender_->drain(std::chrono::milliseconds(100)));
        while (receive() != 0) { held_.clear(); }
        receiver_->refill();
        check_census(receiver_->pool());
        CHECK(received_ == delivered_);
        CHECK(wrong_ == 0);
        CHECK(fake_.take_sent().size() + sent_ + sender_->dropped_by_kernel() == queued_);
        CHECK_FALSE(receiver_->failure());
        CHECK_FALSE(sender_->failure());
        const std::byte* base = receiver_->home().at(frame_index{0});
        receiver_.reset();
        sender_.reset();
        check_nothing_left(fake_);
        CHECK_FALSE(is_mapped(base));
        CHECK(received_ > 0);
        CHECK(queued_ > 0);
    }

private:
    void deliver() {
        for (unsigned count = roll(20); count != 0; --count) {
            if (fake_.deliver(payload(64 + delivered_ % 512, delivered_))) { ++delivered_; }
        }
    }

    std::uint32_t receive() {
        std::vector<packet> into(1 + roll(32));
        const std::uint32_t count = receiver_->try_recv(into);
        for (std::uint32_t i = 0; i < count; ++i, ++received_) {
            wrong_ += same(into[i].data(), payload(64 + received_ % 512, received_)) ? 0U : 1U;
            held_.push_back(std::move(into[i]));
        }
        return count;
    }

    void drop() {
        for (unsigned count = roll(16); count != 0 && !held_.empty(); --count) { held_.erase(held_.begin() + pick()); }
    }

    void allocate() {
        std::vector<packet> into(roll(16));
        const std::uint32_t count = sender_->allocate(into);
        for (std::uint32_t i = 0; i < count; ++i) {
            REQUIRE(into[i].assign(payload(60 + roll(1000), i)));
            if (roll(32) == 0) { REQUIRE(into[i].set_len(1600)); }  // too large for the device
            held_.push_back(std::move(into[i]));
        }
    }

    void send() {
        std::vector<packet> batch;
        for (unsigned count = roll(32); count != 0 && !held_.empty(); --count) {
            const auto at = pick();
            batch.push_back(std::move(held_[static_cast<std::size_t>(at)]));
            held_.erase(held_.begin() + at);
        }
        const std::uint32_t credit = sender_->credit();
        const std::uint32_t sent = sender_->try_send(batch);
        CHECK(sent == std::min<std::uint32_t>(credit, static_cast<std::uint32_t>(batch.size())));
        queued_ += sent;
        for (std::size_t i = sent; i < batch.size(); ++i) { held_.push_back(std::move(batch[i])); }
        CHECK(sender_->in_flight() <= fake_.ring_size(fake_ring::completion));
    }

    void elsewhere() {
        for (unsigned count = roll(8); count != 0 && !held_.empty(); --count) {
            const auto at = pick();
            dropper_.give(std::move(held_[static_cast<std::size_t>(at)]));
            held_.erase(held_.begin() + at);
        }
    }

    void trouble() {
        switch (roll(8)) {
            case 0: fake_.fail(fake_call::kick_tx, 1 + roll(3), EAGAIN); break;
            case 1: fake_.fail(fake_call::kick_tx, 1 + roll(3), ENOBUFS); break;
            case 2: fake_.fail(fake_call::kick_tx, 1 + roll(3), EINTR); break;
            case 3: fake_.set_link(roll(2) == 0); break;
            case 4: fake_.hold_completions(roll(2) == 0); break;
            case 5: fake_.release_completions(roll(16)); break;
            case 6: fake_.set_needs_wakeup(fake_ring::fill, roll(2) == 0); break;
            case 7: receiver_->release(); break;
        }
    }

    void check() {
        const frame_census census = receiver_->pool().census();
        REQUIRE(census.exact);
        REQUIRE(census.sum() == census.frames);
        REQUIRE(census.rx == static_cast<std::int64_t>(delivered_ - received_));
        REQUIRE(census.tx + census.completion == sender_->in_flight());
        // Packets given to the other thread are the user's until it has dropped them.
        REQUIRE(census.user >= static_cast<std::int64_t>(held_.size()));
        sent_ += fake_.take_sent().size();
    }

    std::ptrdiff_t pick() { return static_cast<std::ptrdiff_t>(roll(static_cast<unsigned>(held_.size()))); }

    unsigned roll(unsigned sides) { return static_cast<unsigned>(dice_() % sides); }

    std::mt19937 dice_{20'240'817};
    fake_kernel fake_;
    std::optional<rx> receiver_;
    std::optional<tx> sender_;
    std::deque<packet> held_;
    dropper dropper_;
    unsigned delivered_ = 0;
    unsigned received_ = 0;
    unsigned wrong_ = 0;
    std::size_t queued_ = 0;
    std::size_t sent_ = 0;
};

}  // namespace

TEST_CASE("a hundred thousand random steps lose no frame") {
    workload mixed(256, 64, 64);
    for (std::uint32_t i = 0; i < rounds(100'000, 4); ++i) { mixed.step(); }
    mixed.finish();
}

TEST_CASE("random steps with few frames and small rings lose no frame") {
    workload mixed(12, 8, 4);
    for (std::uint32_t i = 0; i < rounds(30'000, 4); ++i) { mixed.step(); }
    mixed.finish();
}

TEST_CASE("packets that travel from a receiving to a sending thread lose no frame") {
    const unsigned count = rounds(60'000, 4);
    fake_kernel fake;
    auto built = sim_builder(fake, 128, 64).build_system().value();
    std::mutex mutex;
    std::deque<packet> between;
    std::atomic<unsigned> sent = 0;

    std::thread receiving([&] {
        std::vector<packet> into(16);
        for (unsigned received = 0; received < count;) {
            const std::uint32_t got = built.rx.try_recv(into);
            received += got;
            if (got == 0) {
                built.rx.refill();
                std::this_thread::yield();
                continue;
            }
            const std::lock_guard lock(mutex);
            for (std::uint32_t i = 0; i < got; ++i) { between.push_back(std::move(into[i])); }
        }
        built.rx.release();
    });
    std::thread sending([&] {
        std::vector<packet> batch;
        while (sent.load() < count) {
            {
                const std::lock_guard lock(mutex);
                for (; !between.empty() && batch.size() < 32; between.pop_front()) {
                    batch.push_back(std::move(between.front()));
                }
            }
            const std::uint32_t taken = built.tx.try_send(batch);
            batch.erase(batch.begin(), batch.begin() + taken);
            if (taken == 0) { std::this_thread::yield(); }
            built.tx.flush();
            sent += taken;
        }
        built.tx.drain(std::chrono::milliseconds(100));
        built.tx.release();
    });

    unsigned delivered = 0;
    unsigned echoed = 0;
    unsigned wrong = 0;
    while (echoed < count) {
        if (delivered < count && fake.deliver(payload(64, delivered))) { ++delivered; }
        for (const auto& bytes : fake.take_sent()) { wrong += same(bytes, payload(64, echoed++)) ? 0U : 1U; }
        if (delivered == count || delivered - echoed > 90) { std::this_thread::yield(); }
    }
    receiving.join();
    sending.join();
    CHECK(wrong == 0);
    built.rx.refill();
    check_census(built.rx.pool());
}
