// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/detail/slots.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <list>
#include <map>
#include <random>
#include <vector>

using namespace fluxnet::proto::detail;

TEST_CASE("an index finds what was put in, by hash and key, until it is full") {
    slot_index index(5);
    std::vector<int> keys(5);
    for (int key = 0; key != 5; ++key) {
        const slot_number slot = index.insert(7);  // all in one chain
        REQUIRE(slot != no_slot);
        keys[slot] = key;
    }
    CHECK(index.full());
    CHECK(index.insert(8) == no_slot);
    for (int key = 0; key != 5; ++key) {
        const slot_number slot = index.find(7, [&](slot_number at) { return keys[at] == key; });
        REQUIRE(slot != no_slot);
        CHECK(keys[slot] == key);
    }
    CHECK(index.find(6, [](slot_number) { return true; }) == no_slot);
    CHECK(index.memory_octets() == (8 + 5) * sizeof(slot_number));
}

TEST_CASE("an index of no slots is full") {
    slot_index index(0);
    CHECK(index.full());
    CHECK(index.insert(1) == no_slot);
    CHECK(index.find(1, [](slot_number) { return true; }) == no_slot);
}

TEST_CASE("at random, an index and its lists do what a map and a list of the standard library do") {
    std::mt19937 random(1);
    slot_index index(50);
    std::vector<std::uint64_t> keys(50);
    std::vector<slot_link> links(50);
    slot_list order;
    std::map<std::uint64_t, slot_number> model;
    std::list<std::uint64_t> model_order;
    for (int step = 0; step != 20'000; ++step) {
        const std::uint64_t key = random() % 100;
        const std::uint64_t hash = key % 13;
        const slot_number slot = index.find(hash, [&](slot_number at) { return keys[at] == key; });
        const auto known = model.find(key);
        REQUIRE((slot != no_slot) == (known != model.end()));
        if (slot != no_slot) {
            REQUIRE(slot == known->second);
            order.erase(links, slot);
            index.erase(hash, slot);
            model.erase(known);
            model_order.remove(key);
        } else if (!index.full()) {
            const slot_number made = index.insert(hash);
            keys[made] = key;
            order.push_back(links, made);
            model[key] = made;
            model_order.push_back(key);
        }
        REQUIRE(index.size() == model.size());
        REQUIRE(order.size() == model.size());
        REQUIRE(order.empty() == model.empty());
        if (!model.empty()) { REQUIRE(keys[order.front()] == model_order.front()); }
    }
}
