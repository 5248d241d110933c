// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/send_queue.hpp"

#include "tests/proto/tcp/pair.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace tcp_test;
using place = tcp::range::place;

namespace {

/// What the queue is compared with: every octet by itself, counted from the first that ever was there; a FIN is one, too.
class octet_model {
public:
    struct octet {
        place where = place::unsent;
        std::uint8_t sendings = 0;
        time_point sent_at{};
        std::byte value{};
    };

    explicit octet_model(tcp::sequence_number begin) : base(begin) {}

    [[nodiscard]] std::size_t at(tcp::sequence_number number) const { return static_cast<std::uint32_t>(number - base); }
    [[nodiscard]] std::uint32_t count(place what) const {
        return static_cast<std::uint32_t>(std::count_if(octets.begin() + static_cast<std::ptrdiff_t>(first), octets.end(),
                                                        [&](const octet& one) { return one.where == what; }));
    }

    tcp::sequence_number base;
    std::size_t first = 0;
    std::vector<octet> octets;
};

/// The queue says of every octet what the model says, and its sums and lists are right.
void compare(tcp::send_queue& queue, const octet_model& model) {
    REQUIRE(queue.in_flight() == model.count(place::in_flight));
    REQUIRE(queue.lost_octets() == model.count(place::lost));
    REQUIRE(queue.sacked_octets() == model.count(place::sacked));
    REQUIRE(queue.unsent_octets() == model.count(place::unsent));
    REQUIRE(model.at(queue.first()) == model.first);
    REQUIRE(model.at(queue.end()) == model.octets.size());
    std::size_t place_now = model.first;
    std::size_t flying = 0;
    const tcp::range* first_lost = nullptr;
    const tcp::range* first_unsent = nullptr;
    const tcp::range* before = nullptr;
    for (const tcp::range* one = queue.front(); one != nullptr; before = one, one = one->next) {
        REQUIRE(one->previous == before);
        REQUIRE(model.at(one->first) == place_now);
        REQUIRE(one->extent() != 0);
        for (std::uint32_t i = 0; i != one->extent(); ++i, ++place_now) {
            const octet_model::octet& expected = model.octets[place_now];
            REQUIRE(one->where == expected.where);
            REQUIRE(one->sendings == expected.sendings);
            if (expected.sendings != 0) { REQUIRE(one->sent_at == expected.sent_at); }
            if (i != one->length) { REQUIRE(one->data[i] == expected.value); }
        }
        if (one->where == place::in_flight) { ++flying; }
        if (one->where == place::lost && first_lost == nullptr) { first_lost = one; }
        if (one->where == place::unsent && first_unsent == nullptr) { first_unsent = one; }
    }
    REQUIRE(queue.back() == before);
    REQUIRE(place_now == model.octets.size());
    REQUIRE(queue.lost() == first_lost);
    REQUIRE(queue.unsent() == first_unsent);
    const tcp::range* earlier = nullptr;
    for (const tcp::range* one = queue.oldest(); one != nullptr; earlier = one, one = one->later, --flying) {
        REQUIRE(flying != 0);
        REQUIRE(one->where == place::in_flight);
        REQUIRE(one->earlier == earlier);
        if (earlier != nullptr) { REQUIRE(earlier->sent_at <= one->sent_at); }
    }
    REQUIRE(flying == 0);
    REQUIRE(queue.newest() == earlier);
}

/// Random operations on a queue and its model.
class walk {
public:
    explicit walk(std::uint64_t seed) : random_(seed), model_(tcp::sequence_number(starts[seed % 3])) {
        queue_.begin(model_.base);
    }

    void step() {
        now_ += std::chrono::microseconds(random_() % 3);
        buffers_.refusing = random_() % 8 == 0;
        switch (random_() % 16) {
            case 0: case 1: write(); break;
            case 2: write_buffer(); break;
            case 3: if (!queue_.has_fin() && random_() % 64 == 0) { finish(); } break;
            case 4: case 5: case 6: send(queue_.unsent()); break;
            case 7: send(queue_.lost()); break;
            case 8: acknowledge(); break;
            case 9: case 10: sack(); break;
            case 11: lose_one(); break;
            case 12: if (random_() % 8 == 0) { lose_all(); } break;
            case 13: if (random_() % 4 == 0) { find_all(); } break;
            case 14: if (random_() % 8 == 0) { forget_sacks(); } break;
            case 15: split(); break;
        }
        compare(queue_, model_);
    }
    void end() {
        queue_.clear();
        REQUIRE(buffers_.lent() == 0);
        REQUIRE(ranges_.in_use() == 0);
    }

private:
    static constexpr std::array<std::uint32_t, 3> starts{0xffff'ffc0, 0x7fff'ffc0, 0};

    std::byte fresh() { return static_cast<std::byte>(random_()); }
    tcp::range* any() {
        std::size_t count = 0;
        for (tcp::range* one = queue_.front(); one != nullptr; one = one->next) { ++count; }
        if (count == 0) { return nullptr; }
        tcp::range* one = queue_.front();
        for (std::size_t i = random_() % count; i != 0; --i) { one = one->next; }
        return one;
    }
    void set(const tcp::range& one, place where) {
        for (std::uint32_t i = 0; i != one.extent(); ++i) { model_.octets[model_.at(one.first) + i].where = where; }
    }
    void set_all(place from, place to) {
        for (std::size_t i = model_.first; i != model_.octets.size(); ++i) {
            if (model_.octets[i].where == from) { model_.octets[i].where = to; }
        }
    }

    void write() {
        if (queue_.has_fin()) { return; }
        std::vector<std::byte> octets(1 + random_() % 60);
        for (std::byte& one : octets) { one = fresh(); }
        const std::size_t limit = 40 + random_() % 400;
        const std::size_t had = queue_.size();
        const std::size_t taken = queue_.append(octets, 16, limit);
        REQUIRE(taken <= octets.size());
        REQUIRE((taken == 0 || had + taken <= limit));
        if (!buffers_.refusing && ranges_.in_use() < ranges_.size() - ranges_.reserve()) {
            REQUIRE(taken == std::min(octets.size(), limit - std::min(limit, had)));
        }
        for (std::size_t i = 0; i != taken; ++i) { model_.octets.push_back({.value = octets[i]}); }
    }
    void write_buffer() {
        if (queue_.has_fin()) { return; }
        const tcp::buffer made = buffers_.allocate();
        if (made.data == nullptr) { return; }
        const auto length = static_cast<std::uint32_t>(1 + random_() % made.size);
        std::generate_n(made.data, length, [&] { return fresh(); });
        std::vector<std::byte> octets(made.data, made.data + length);
        if (!queue_.append_buffer(made, length)) { return buffers_.release(made.token); }
        for (const std::byte one : octets) { model_.octets.push_back({.value = one}); }
    }
    void finish() {
        if (queue_.append_fin()) { model_.octets.push_back({}); }
    }
    void send(tcp::range* one) {
        if (one == nullptr) { return; }
        for (std::uint32_t i = 0; i != one->extent(); ++i) {
            octet_model::octet& octet = model_.octets[model_.at(one->first) + i];
            octet.where = place::in_flight;
            ++octet.sendings;
            octet.sent_at = now_;
        }
        queue_.sent(*one, now_);
    }
    void acknowledge() {
        const auto most = static_cast<std::uint32_t>(queue_.next() - queue_.first());
        const std::uint32_t part = random_() % 2 == 0 ? static_cast<std::uint32_t>(random_() % (most + 1)) : std::min(most, 16U);
        std::uint32_t fresh_octets = 0;
        for (std::uint32_t i = 0; i != part; ++i) {
            if (model_.octets[model_.first + i].where != place::sacked) { ++fresh_octets; }
        }
        tcp::delivery told;
        queue_.acknowledge(queue_.first() + part, told);
        model_.first += part;
        REQUIRE(told.acknowledged == part);
        REQUIRE(told.octets == fresh_octets);
        REQUIRE(told.sacked == 0);
    }
    void sack() {
        const auto most = static_cast<std::uint32_t>(queue_.next() - queue_.first());
        if (most == 0) { return; }
        auto left = static_cast<std::uint32_t>(random_() % most);
        auto right = static_cast<std::uint32_t>(left + 1 + random_() % (most - left));
        if (random_() % 2 == 0) {  // mostly on the borders of ranges, as receivers report
            const tcp::range* const one = any();
            if (one->where != place::unsent) {
                left = static_cast<std::uint32_t>(one->first - queue_.first());
                right = std::min(most, left + one->extent() + (random_() % 2 == 0 ? 16 : 0));
            }
        }
        std::uint32_t expected = 0;
        for (const tcp::range* one = queue_.front(); one != nullptr && one->where != place::unsent; one = one->next) {
            if (one->first < queue_.first() + left || one->end() > queue_.first() + right) { continue; }
            if (one->where != place::sacked) { expected += one->extent(); }
            set(*one, place::sacked);
        }
        tcp::delivery told;
        queue_.sack(queue_.first() + left, queue_.first() + right, told);
        REQUIRE(told.sacked == expected);
        REQUIRE(told.octets == expected);
    }
    void lose_one() {
        tcp::range* const one = any();
        if (one == nullptr || one->where != place::in_flight) { return; }
        queue_.lose(*one);
        set(*one, place::lost);
    }
    void lose_all() {
        queue_.lose_all();
        set_all(place::in_flight, place::lost);
    }
    void find_all() {
        queue_.find_all();
        set_all(place::lost, place::in_flight);
    }
    void forget_sacks() {
        queue_.forget_sacks();
        set_all(place::sacked, place::lost);
    }
    void split() {
        tcp::range* const one = any();
        if (one == nullptr || one->length < 2) { return; }
        const std::byte* const stays = one->data;
        const auto part = static_cast<std::uint32_t>(1 + random_() % (one->length - 1));
        const bool possible = ranges_.in_use() != ranges_.size();
        REQUIRE(queue_.split(*one, part) == possible);
        if (possible) { REQUIRE(one->data == stays + part); }
    }

    std::mt19937_64 random_;
    heap_buffers buffers_{24};
    tcp::range_pool ranges_{64};
    tcp::memory memory_{buffers_, ranges_};
    tcp::send_queue queue_{memory_};
    octet_model model_;
    time_point now_ = time_point(1s);
};

}  // namespace

TEST_CASE("a send queue counts every octet as a list of single octets does, whatever is done in whatever order") {
    for (std::uint64_t seed = 1; seed <= fluxnet::test::rounds(3000, 60); ++seed) {
        CAPTURE(seed);
        walk one(seed);
        for (int i = 0; i != 400; ++i) { one.step(); }
        one.end();
    }
}
