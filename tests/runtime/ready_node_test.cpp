// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/core/ready_node.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <type_traits>

using fluxnet::ready_node;
using fluxnet::ready_queue;

static_assert(std::is_abstract_v<ready_node>);
static_assert(!std::is_copy_constructible_v<ready_node> && !std::is_copy_assignable_v<ready_node>);

namespace {

struct named_node final : ready_node {
    explicit named_node(int number) : name(number) {}
    void run() noexcept override {}
    int name;
};

}  // namespace

TEST_CASE("a node that is destroyed leaves its queue by itself") {
    ready_queue queue;
    named_node first(1);
    std::optional<named_node> second;
    second.emplace(2);
    named_node third(3);
    queue.push_back(first);
    queue.push_back(*second);
    queue.push_back(third);
    second.reset();
    CHECK(queue.size() == 2);
    CHECK(&queue.front() == &first);
    CHECK(&queue.back() == &third);
}

TEST_CASE("a node that was taken from its queue may go into another") {
    ready_queue one;
    ready_queue other;
    named_node node(1);
    one.push_back(node);
    CHECK(node.is_linked());
    one.pop_front();
    CHECK_FALSE(node.is_linked());
    other.push_back(node);
    CHECK(one.empty());
    CHECK(other.size() == 1);
}
