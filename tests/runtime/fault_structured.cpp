// SPDX-License-Identifier: BSD-3-Clause
// Rows of the fault matrix: scopes, when_all and when_any.
#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/sync/event.hpp"
#include "tests/runtime/fault_world.hpp"

#include <array>
#include <utility>
#include <vector>

namespace fluxnet::test {
namespace {

/// Children that wait for one event, and one that nobody sets.
class children_world : public fault_world {
public:
    explicit children_world(fault_place&) {}
    void complete() override { happened_.set(); }

protected:
    [[nodiscard]] task<std::error_code> child() { return wait_for(happened_); }
    [[nodiscard]] task<std::error_code> endless() { return wait_for(never_); }
    [[nodiscard]] std::vector<task<std::error_code>> both(task<std::error_code> second) {
        std::vector<task<std::error_code>> all;
        all.push_back(child());
        all.push_back(std::move(second));
        return all;
    }

    /// One may have been cancelled and the other not, which began only after the event.
    [[nodiscard]] static ending of_both(std::error_code first, std::error_code second) {
        return ending_of(first) == ending::completed ? ending_of(second) : ending_of(first);
    }

    /// The first of two was to win, because its event was set.
    [[nodiscard]] static ending of_first(std::size_t index, std::error_code value) {
        if (index != 0 && !value) { return ending::failed; }
        return ending_of(value);
    }

private:
    event happened_;
    event never_;
};

class join_world final : public children_world {
public:
    using children_world::children_world;
    task<ending> await_once() override {
        scope children;
        for (int i = 0; i < 2; ++i) {
            children.spawn([this]() -> task<void> { static_cast<void>(co_await child()); });
        }
        const std::error_code ec = co_await children.join();
        co_return children.running() == 0 ? ending_of(ec) : ending::failed;
    }
};

class all_world final : public children_world {
public:
    using children_world::children_world;
    task<ending> await_once() override {
        const auto [first, second] = co_await when_all(child(), child());
        co_return of_both(first, second);
    }
};

class all_of_many_world final : public children_world {
public:
    using children_world::children_world;
    task<ending> await_once() override {
        const std::vector<std::error_code> all = co_await when_all(both(child()));
        co_return all.size() == 2 ? of_both(all[0], all[1]) : ending::failed;
    }
};

class any_world final : public children_world {
public:
    using children_world::children_world;
    task<ending> await_once() override {
        const auto first = co_await when_any(child(), endless());
        co_return of_first(first.index, first.index == 0 ? *std::get<0>(first.values) : *std::get<1>(first.values));
    }
};

class any_of_many_world final : public children_world {
public:
    using children_world::children_world;
    task<ending> await_once() override {
        const auto first = co_await when_any(both(endless()));
        co_return of_first(first.index, *first.values[first.index]);
    }
};

}  // namespace

std::span<const fault_entry> structured_faults() {
    static const std::array all{
        fault_entry{.file = "scope.hpp",
                    .awaiter = "scope::join_awaiter",
                    .what = "the end of a scope's children",
                    .make = make_world<join_world>},
        fault_entry{.file = "when.hpp", .awaiter = "when_all", .what = "all of two tasks", .make = make_world<all_world>},
        fault_entry{
            .file = "when.hpp", .awaiter = "when_all", .what = "all of many tasks", .make = make_world<all_of_many_world>},
        fault_entry{.file = "when.hpp", .awaiter = "when_any", .what = "one of two tasks", .make = make_world<any_world>},
        fault_entry{
            .file = "when.hpp", .awaiter = "when_any", .what = "one of many tasks", .make = make_world<any_of_many_world>},
    };
    return all;
}

}  // namespace fluxnet::test
