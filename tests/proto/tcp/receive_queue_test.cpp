// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/receive_queue.hpp"

#include "tests/proto/tcp/pair.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace tcp_test;

namespace {

constexpr std::uint32_t copy_below = 12;

/// A queue that gets segments at random places, some of them with other octets than came before, and a map of what it has.
class arrivals {
public:
    explicit arrivals(std::uint64_t seed) : random_(seed), base_(starts[seed % 3]), fin_at_(200 + random_() % 2000) {
        queue_.begin(base_);
    }

    void step() {
        buffers_.refusing = random_() % 6 == 0;
        switch (random_() % 8) {
            case 0: read(); break;
            case 1: lend(); break;
            case 2: give_back(); break;
            case 3: if (random_() % 16 == 0) { finish(); } break;
            default: insert();
        }
        compare();
    }
    void end() {
        buffers_.refusing = false;
        // What is missing comes at last, in pieces that fit a buffer.
        for (int i = 0; next_ != fin_at_; ++i) {
            REQUIRE(i < 10'000);
            put(next_, std::min<std::size_t>(40, fin_at_ - next_));
            read();
        }
        finish();
        compare();
        REQUIRE(queue_.finished());
        REQUIRE(queue_.beyond() == 0);
        while (queue_.readable() != 0) {
            read();
            lend();
        }
        while (!lent_.empty()) { give_back(); }
        REQUIRE(read_ == fin_at_);
        REQUIRE(buffers_.lent() == 0);
        REQUIRE(ranges_.in_use() == 0);
    }

private:
    static constexpr std::array<std::uint32_t, 3> starts{0xffff'ff00, 0x7fff'ff00, 0};
    static constexpr std::size_t window = 600;

    [[nodiscard]] tcp::sequence_number number(std::size_t at) const { return base_ + static_cast<std::uint32_t>(at); }
    [[nodiscard]] std::size_t at(std::uint32_t value) const { return value - base_.value(); }

    void insert() {
        const std::size_t from = next_ < 20 ? 0 : next_ - 20;
        const std::size_t start = random_() % 3 == 0 ? next_ : from + random_() % (window / 2);
        const std::size_t length = 1 + random_() % (random_() % 4 == 0 ? 60 : 16);
        const std::size_t edge = std::min(next_ + window, fin_at_);
        if (start >= edge) { return; }
        put(start, std::min(length, edge - start));
    }

    void put(std::size_t start, std::size_t length) {
        std::vector<std::byte> octets(length);
        for (std::byte& one : octets) { one = static_cast<std::byte>(random_()); }
        const tcp::buffer came = buffers_.receive(octets);
        const auto told = queue_.insert(number(start), {came.data, came.size}, came.token);
        if (!told.kept) { buffers_.release(came.token); }

        // The first octets that were there already, one behind another, are the duplicate that is told.
        std::size_t duplicate = start;
        while (duplicate != start + length && !has(duplicate)) { ++duplicate; }
        std::size_t duplicate_end = duplicate;
        while (duplicate_end != start + length && has(duplicate_end)) { ++duplicate_end; }
        const std::size_t before = next_;
        bool all = true;
        for (std::size_t i = 0; i != length; ++i) {
            if (has(start + i)) { continue; }
            // Whether it was taken shows in what is told: in order by next(), beyond a gap by the count.
            pending_.emplace(start + i, octets[i]);
            all = false;
        }
        settle();
        if (told.duplicate && duplicate != duplicate_end) {
            REQUIRE(at(told.duplicate->left) == duplicate);
            REQUIRE(at(told.duplicate->right) >= duplicate + 1);
            REQUIRE(at(told.duplicate->right) <= duplicate_end);
        }
        if (all) { REQUIRE(told.duplicate); }
        if (!told.refused && duplicate != duplicate_end) { REQUIRE(told.duplicate); }
        if (duplicate == duplicate_end) { REQUIRE_FALSE(told.duplicate); }
        REQUIRE(told.advanced == (next_ > before));
        if (!told.refused) { REQUIRE(refused_now_ == 0); }
    }

    [[nodiscard]] bool has(std::size_t where) const { return where < next_ || beyond_.contains(where); }

    /// Finds out which of the new octets were taken: those below next(), and beyond it those that were put in from the first
    /// one on, as many as the count says.
    void settle() {
        const std::size_t reached = static_cast<std::uint32_t>(queue_.next() - base_) - (queue_.finished() ? 1U : 0U);
        std::size_t beyond_now = queue_.beyond();
        std::size_t kept_beyond = 0;
        for (const auto& [where, value] : beyond_) {
            if (where >= reached) { ++kept_beyond; }
        }
        refused_now_ = 0;
        for (const auto& [where, value] : pending_) {
            if (where < reached) {
                beyond_.emplace(where, value);
            } else if (kept_beyond < beyond_now) {
                beyond_.emplace(where, value);
                ++kept_beyond;
            } else {
                ++refused_now_;
            }
        }
        pending_.clear();
        REQUIRE(kept_beyond == beyond_now);
        for (; next_ != reached; ++next_) {
            const auto found = beyond_.find(next_);
            REQUIRE(found != beyond_.end());
            stream_.push_back(found->second);
            beyond_.erase(found);
        }
        REQUIRE((beyond_.empty() || beyond_.begin()->first > next_));
    }

    void read() {
        std::vector<std::byte> into(1 + random_() % 50);
        const std::size_t taken = queue_.read(into);
        check(std::span(into).first(taken));
    }
    void lend() {
        std::array<std::byte, 8> little{};
        const auto lent = queue_.lend(little);
        if (!lent) { return; }
        check(lent->octets);
        lent_.push_back({lent->token, static_cast<std::uint32_t>(lent->octets.size())});
    }
    void give_back() {
        if (lent_.empty()) { return; }
        const auto one = lent_.begin() + static_cast<std::ptrdiff_t>(random_() % lent_.size());
        if (one->first != 0) { buffers_.release(one->first); }
        queue_.returned(one->second);
        lent_.erase(one);
    }
    void check(std::span<const std::byte> octets) {
        REQUIRE(octets.size() <= stream_.size() - read_);
        REQUIRE(std::equal(octets.begin(), octets.end(), stream_.begin() + static_cast<std::ptrdiff_t>(read_)));
        read_ += octets.size();
    }
    void finish() {
        queue_.finish(number(fin_at_));
        settle();
        fin_ = true;
    }

    void compare() const {
        REQUIRE(queue_.readable() == stream_.size() - read_);
        REQUIRE(queue_.beyond() == beyond_.size());
        REQUIRE(queue_.finished() == (fin_ && next_ == fin_at_));
        std::uint32_t out = 0;
        for (const auto& one : lent_) { out += one.second; }
        REQUIRE(queue_.lent() == out);
        // Every block is there whole, none twice, and while octets are beyond a gap at least one is told.
        std::vector<std::pair<std::size_t, std::size_t>> blocks;
        for (const fluxnet::proto::sack_block& block : queue_.blocks()) { blocks.emplace_back(at(block.left), at(block.right)); }
        REQUIRE(blocks.empty() == beyond_.empty());
        for (const auto& [left, right] : blocks) {
            REQUIRE(left < right);
            REQUIRE(left > next_);
            for (std::size_t i = left; i != right; ++i) { REQUIRE(beyond_.contains(i)); }
        }
        std::sort(blocks.begin(), blocks.end());
        for (std::size_t i = 1; i < blocks.size(); ++i) { REQUIRE(blocks[i - 1].second < blocks[i].first); }
        if (!blocks.empty()) {  // the first one is all that hangs together with what changed last (RFC 2018 section 4)
            const fluxnet::proto::sack_block first = queue_.blocks().front();
            REQUIRE_FALSE(beyond_.contains(at(first.left) - 1));
            REQUIRE_FALSE(beyond_.contains(at(first.right)));
        }
    }

    std::mt19937_64 random_;
    tcp::sequence_number base_;
    std::size_t fin_at_;
    bool fin_ = false;
    heap_buffers buffers_{48};
    tcp::range_pool ranges_{40};
    tcp::memory memory_{buffers_, ranges_};
    tcp::receive_queue queue_{memory_, copy_below, 16};
    std::size_t next_ = 0;
    std::size_t read_ = 0;
    std::size_t refused_now_ = 0;
    std::vector<std::byte> stream_;
    std::map<std::size_t, std::byte> beyond_;
    std::map<std::size_t, std::byte> pending_;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> lent_;
};

}  // namespace

TEST_CASE("a receive queue has what came first of every octet, whatever comes in whatever order") {
    for (std::uint64_t seed = 1; seed <= fluxnet::test::rounds(10'000, 60); ++seed) {
        CAPTURE(seed);
        arrivals one(seed);
        for (int i = 0; i != 400; ++i) { one.step(); }
        one.end();
    }
}
