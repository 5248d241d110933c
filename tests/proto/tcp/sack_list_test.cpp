// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/tcp/sack_list.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

using fluxnet::proto::tcp::sack_list;
using fluxnet::proto::tcp::sequence_number;
using fluxnet::proto::tcp::sequence_range;

static_assert(std::is_trivially_copyable_v<sack_list> && sizeof(sack_list) <= 416);

namespace {

constexpr std::array<std::uint32_t, 6> sack_edges{0, 100, 0x7fff'ff00, 0x8000'0000, 0xffff'ff00, 0xffff'ffff};

/// A range at an edge, by the distances of its ends.
struct at_edge {
    std::uint32_t edge;
    sequence_range operator()(std::uint32_t left, std::uint32_t right) const {
        return {sequence_number(edge + left), sequence_number(edge + right)};
    }
};

std::vector<sequence_range> reported(sack_list& list, std::size_t room = 4) {
    std::vector<sequence_range> blocks(room);
    blocks.resize(list.report(blocks));
    return blocks;
}

std::vector<sequence_range> kept(const sack_list& list) {
    return {list.ranges().begin(), list.ranges().end()};
}

using ranges_of = std::vector<sequence_range>;

}  // namespace

TEST_CASE("RFC 2018 section 4: the first block is the one that the last segment is in, then those that were first before") {
    for (const std::uint32_t edge : sack_edges) {
        const at_edge at{edge};
        sack_list list;
        CHECK_FALSE(list.has_report());
        CHECK(reported(list).empty());
        CHECK(list.insert(at(10, 20)));
        CHECK(list.insert(at(50, 60)));
        CHECK(list.insert(at(30, 40)));
        CHECK(reported(list) == ranges_of{at(30, 40), at(50, 60), at(10, 20)});
        CHECK(list.insert(at(20, 25)));
        CHECK(reported(list) == ranges_of{at(10, 25), at(30, 40), at(50, 60)});
        CHECK(kept(list) == ranges_of{at(10, 25), at(30, 40), at(50, 60)});
        CHECK(list.insert(at(70, 80)));
        CHECK(list.insert(at(90, 100)));
        CHECK(reported(list) == ranges_of{at(90, 100), at(70, 80), at(10, 25), at(30, 40)});
        CHECK(reported(list, 3) == ranges_of{at(90, 100), at(70, 80), at(10, 25)});
        CHECK(reported(list, 0).empty());
        CHECK(list.octets() == 55);
    }
}

TEST_CASE("RFC 2018 section 5: the three cases of its example") {
    // Segments of 500 octets from 5000 on; the first is lost, or all after the first, or each second one.
    sack_list list;
    const at_edge at{0};
    for (std::uint32_t left = 5500; left != 9000; left += 500) { CHECK(list.insert(at(left, left + 500))); }
    CHECK(reported(list) == ranges_of{at(5500, 9000)});

    sack_list holes;
    CHECK(holes.insert(at(6000, 6500)));
    CHECK(reported(holes) == ranges_of{at(6000, 6500)});
    CHECK(holes.insert(at(7000, 7500)));
    CHECK(reported(holes) == ranges_of{at(7000, 7500), at(6000, 6500)});
    CHECK(holes.insert(at(8000, 8500)));
    CHECK(reported(holes) == ranges_of{at(8000, 8500), at(7000, 7500), at(6000, 6500)});
    CHECK(holes.insert(at(6500, 7000)));  // the fourth comes late
    CHECK(reported(holes) == ranges_of{at(6000, 7500), at(8000, 8500)});
    CHECK(holes.advance(sequence_number(6000)) == sequence_number(7500));  // the second as well
    CHECK(reported(holes) == ranges_of{at(8000, 8500)});
}

TEST_CASE("RFC 2883 section 4.1: a segment that comes again is told of once, also when nothing else is") {
    for (const std::uint32_t edge : sack_edges) {
        const at_edge at{edge};
        sack_list list;
        list.duplicate(at(0, 10));
        CHECK(list.has_report());
        CHECK(reported(list) == ranges_of{at(0, 10)});
        CHECK_FALSE(list.has_report());
        CHECK(reported(list).empty());
    }
}

TEST_CASE("RFC 2883 section 4.2: what has come twice beyond a gap is told of first, then the block that it is in") {
    for (const std::uint32_t edge : sack_edges) {
        const at_edge at{edge};
        sack_list list;
        CHECK(list.insert(at(10, 30)));
        CHECK(list.insert(at(50, 60)));
        CHECK(reported(list).size() == 2);
        CHECK(list.insert(at(15, 20)));
        CHECK(reported(list) == ranges_of{at(15, 20), at(10, 30), at(50, 60)});
        CHECK(list.insert(at(25, 40)));  // a part has come twice
        CHECK(reported(list) == ranges_of{at(25, 30), at(10, 40), at(50, 60)});
        CHECK(list.insert(at(5, 70)));  // parts of two blocks: the first is told of
        CHECK(reported(list) == ranges_of{at(10, 40), at(5, 70)});
        CHECK(list.insert(at(70, 80)));  // it touches, and nothing has come twice
        CHECK(reported(list) == ranges_of{at(5, 80)});
    }
}

TEST_CASE("octets in order take with them the ranges that they reach, and tell of what they repeat") {
    for (const std::uint32_t edge : sack_edges) {
        const at_edge at{edge};
        const auto place = [&](std::uint32_t octets) { return sequence_number(edge + octets); };
        sack_list list;
        CHECK(list.advance(place(5)) == place(5));
        CHECK(list.insert(at(10, 20)));
        CHECK(list.insert(at(30, 40)));
        CHECK(list.insert(at(50, 60)));
        CHECK(list.advance(place(9)) == place(9));
        CHECK(list.advance(place(10)) == place(20));
        CHECK(reported(list) == ranges_of{at(50, 60), at(30, 40)});
        CHECK(list.advance(place(35)) == place(40));
        CHECK(reported(list) == ranges_of{at(30, 35), at(50, 60)});
        CHECK(list.advance(place(70)) == place(70));
        CHECK(reported(list) == ranges_of{at(50, 60)});
        CHECK(list.is_empty());
        CHECK(list.insert(at(80, 90)));
        CHECK(list.insert(at(100, 110)));
        CHECK(list.advance(place(120)) == place(120));
        CHECK(reported(list) == ranges_of{at(80, 90)});  // the first of two parts that have come twice
    }
}

TEST_CASE("the thirty-third range is refused, and what joins others is not") {
    for (const std::uint32_t edge : sack_edges) {
        const at_edge at{edge};
        sack_list list;
        for (std::uint32_t i = 0; i != sack_list::capacity; ++i) { CHECK(list.insert(at(10 * i, 10 * i + 5))); }
        const auto before = kept(list);
        CHECK_FALSE(list.insert(at(400, 405)));
        CHECK_FALSE(list.insert(at(6, 7)));
        CHECK(kept(list) == before);
        CHECK(list.insert(at(5, 10)));
        CHECK(list.ranges().size() == 31);
        CHECK(list.insert(at(400, 405)));
        CHECK(list.insert(at(0, 405)));
        CHECK(kept(list) == ranges_of{at(0, 405)});
    }
}

TEST_CASE("a list does what a set of octets does, near 0, 2^31 and 2^32") {
    for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{0x7fff'f000}, std::uint64_t{0xffff'f000}}) {
        std::mt19937_64 random(start + 1);
        const auto number = [](std::uint64_t place) { return sequence_number(static_cast<std::uint32_t>(place)); };
        sack_list list;
        std::uint64_t next = start;
        std::map<std::uint64_t, int> model;  // each octet that is kept, and the step in which it came last
        const auto model_ranges = [&] {
            std::vector<std::pair<sequence_range, int>> found;
            for (auto at = model.begin(); at != model.end();) {
                const std::uint64_t left = at->first;
                std::uint64_t right = left;
                int newest = 0;
                for (; at != model.end() && at->first == right; ++at, ++right) { newest = std::max(newest, at->second); }
                found.push_back({{number(left), number(right)}, newest});
            }
            return found;
        };
        std::size_t wrong = 0;
        std::size_t refused = 0;
        for (int step = 1; step != 20'000; ++step) {
            const std::uint64_t left = next + random() % (step % 50 == 0 ? 1 : 250);
            const std::uint64_t right = left + 1 + random() % (step % 1000 < 500 ? 2 : 20);
            std::set<std::uint64_t> twice;
            for (std::uint64_t octet = left; octet != right; ++octet) {
                if (model.contains(octet)) { twice.insert(octet); }
            }
            bool taken = true;
            if (left == next) {
                std::uint64_t after = right;
                while (model.contains(after)) { ++after; }
                model.erase(model.begin(), model.lower_bound(after));
                wrong += list.advance(number(right)) != number(after);
                next = after;
            } else {
                taken = list.insert({number(left), number(right)});
                if (taken) {
                    for (std::uint64_t octet = left; octet != right; ++octet) { model[octet] = step; }
                } else {
                    ++refused;
                    wrong += list.ranges().size() != sack_list::capacity || !twice.empty();
                }
            }
            auto expected = model_ranges();
            wrong += !std::ranges::equal(list.ranges(), expected, {}, {}, [](const auto& pair) { return pair.first; });
            wrong += list.octets() != model.size();

            std::ranges::sort(expected, [](const auto& a, const auto& b) { return a.second > b.second; });
            const std::size_t room = 3 + random() % 2;
            const auto blocks = reported(list, room);
            std::size_t at = 0;
            if (!twice.empty()) {
                std::uint64_t end = *twice.begin();
                while (twice.contains(end)) { ++end; }
                wrong += blocks.empty() || blocks.front() != sequence_range{number(*twice.begin()), number(end)};
                ++at;
            }
            wrong += blocks.size() != std::min(room, expected.size() + at);
            for (std::size_t i = 0; at < blocks.size(); ++i, ++at) { wrong += blocks[at] != expected[i].first; }
        }
        CHECK(wrong == 0);
        CHECK(refused > 10);
        CHECK(next > start + 0x1000);
    }
}
