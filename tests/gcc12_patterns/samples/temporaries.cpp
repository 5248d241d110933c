// SPDX-License-Identifier: BSD-3-Clause
// Temporaries in an expression with co_await. Each shape was run with g++ 12.2: those marked are destroyed twice there.
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>

struct request {
    std::string name;
    int number;
};
struct with_defaults {
    std::string name = "a name";
    int number = 0;
};
struct derived : request {
    int more;
};
struct with_constructor {
    std::string name;
    int number;
    with_constructor(std::string n, int i) : name{std::move(n)}, number(i) {}
};
struct numbers {
    int a;
    std::chrono::seconds b;
    const char* c;
};
class hidden {
    std::string name;
};
enum class colour { red };
using order = request;

task<int> ask(request what);
task<int> ask_pair(std::pair<std::string, int> what);
task<int> ask_constructed(with_constructor what);
task<int> ask_numbers(numbers what);
task<int> call(std::function<int()> function);
task<std::string> text_of(int number);

task<int> aggregates_in_braces(std::string name) {
    int sum = co_await ask(request{name, 1});                               // finds 2
    sum += co_await ask({.name = name, .number = 1});                       // finds 2
    sum += co_await ask({name, 1});                                         // finds 2
    sum += co_await ask(request(name, 1));                                  // finds 2
    sum += co_await ask(order{name, 1});                                    // finds 2
    sum += co_await timeout(1s, ask(request{std::move(name), 1}));          // finds 2
    sum += co_await ask_any(with_defaults{});                               // finds 2
    sum += co_await ask_any(derived{{name, 1}, 2});                         // finds 2
    sum += co_await ask_any(std::pair<request, int>(request{name, 1}, 2));  // finds 2
    sum += co_await ask_any(std::array<std::string, 2>{name, name});        // finds 2
    sum += co_await ask_any(from_elsewhere{name, 1});                       // finds 2
    sum += use(co_await text_of(1), request{name, 1});                      // finds 2
    sum += request{name, 1}.number + co_await number_of(name);              // finds 2
    sum += name.empty() ? co_await ask(request{name, 1}) : 5;               // finds 2
    if (co_await ask(request{name, 1}) == 3) { ++sum; }                     // finds 2
    sum = (ask(request{name, 1}), co_await number_of(name));                // finds 2
    co_return sum;
}
task<request> made_of_what_was_awaited() {
    request one{co_await text_of(2), 1};                                        // finds 2
    request two = {co_await text_of(2), 1};                                     // finds 2
    auto three = request{co_await text_of(2), 1};                               // finds 2
    one = request{co_await text_of(2), 1};                                      // finds 2
    auto four = std::unique_ptr<request>(new request{co_await text_of(2), 1});  // finds 2
    co_return request{co_await text_of(2), 1};                                  // finds 2
}
task<request> returned_without_a_type() {
    co_return {co_await text_of(2), 1};  // finds 2
}
generator<request> yielded(std::string name) {
    co_yield request{name, 1};  // finds 2
    co_yield {name, 1};         // finds 2
}
task<int> lambdas_with_captures(std::string name, std::shared_ptr<int> count) {
    int sum = co_await call([name] { return 3; });              // finds 2
    sum += co_await call([=] { return *count; });               // finds 2
    sum += co_await call([n = std::move(name)] { return 3; });  // finds 2
    sum += co_await call(std::function<int()>([&sum, count] {   // finds 2
        return *count + sum;
    }));
    sum += co_await [count]() -> task<int> { co_return *count; }();  // finds 2
    co_return sum;
}

// What is destroyed once.
task<int> made_by_constructors_and_functions(std::string name) {
    int sum = co_await timeout(1s, ask(std::string("name"), 1));
    sum += co_await ask_constructed(with_constructor{name, 1});
    sum += co_await ask_constructed({name, 1});
    sum += co_await ask_pair({name, 1});
    sum += co_await ask_pair(std::pair<std::string, int>{name, 1});
    sum += co_await ask(make_request(name, 1));
    sum += co_await ask([]() { return request{"name", 1}; }());
    sum += co_await ask_any(std::optional<std::string>{name});
    sum += co_await ask_any(std::string{name});
    co_return sum;
}
task<int> nothing_to_destroy(std::span<int> values) {
    int sum = co_await ask_numbers(numbers{2, 1s, "name"});
    sum += co_await ask_numbers({.a = 2, .b = 1s, .c = "name"});
    sum += co_await ask_numbers({2, 1s, "name"});
    sum += co_await ask_numbers(numbers{});
    sum += co_await ask_any(std::array<int, 2>{1, 2});
    sum += co_await ask_any(colour{1}) + co_await ask_any(int{3});
    sum += co_await sleep_for(std::chrono::seconds{1});
    sum += co_await ask_any(from_elsewhere{});
    std::array<int, 2> pair{co_await number_of("a"), 1};
    co_return sum + pair[0];
}
task<int> captures_with_nothing_to_destroy(std::string name) {
    int number = 3;
    int sum = co_await call([&name] { return name.size(); });
    sum += co_await call([&] { return name.size(); });
    sum += co_await call([] { return 3; });
    sum += co_await call([number] { return number; });
    sum += co_await call([n = 3] { return n; });
    sum += co_await call([this] { return 3; });
    values[index[1]] = co_await number_of(name);
    auto& [first, second] = co_await number_of(name);
    co_return sum;
}
task<int> in_statements_of_their_own(std::string name) {
    task<int> work = ask(request{name, 1});
    int answer = co_await work;
    const request kept{name, 1};
    answer += co_await ask(kept);
    auto function = [name] { return name.size(); };
    answer += co_await call(std::move(function));
    if (request r{name, 1}; co_await number_of(r.name) == 1) { co_return 3; }
    for (request r{name, 1}; co_await number_of(r.name) == 1;) { co_return 3; }
    request awaited = co_await make_request_later(2);
    request same{co_await make_request_later(2)};
    co_return answer;
}
task<void> given_to_spawn(std::string name) {
    children.spawn([name]() -> task<void> {
        co_await number_of(name);
        children.spawn([name]() -> task<void> { co_await number_of(name); });
    });
    co_await children.join();
}
task<request> returned() {
    co_await yield();
    co_return request{"name", 1};
}
#if defined(__clang__)
task<int> not_for_gcc(std::string name) {
    co_return co_await ask(request{name, 1});
}
#else
task<int> for_gcc(std::string name) {
    co_return co_await ask(request{name, 1});  // finds 2
}
#endif
task<int> silenced(std::string name) {
    // gcc12-ok: from_elsewhere has a constructor
    co_return co_await ask_any(from_elsewhere{name, 1});
}
template <class A>
auto awaiter_of(A awaitable) {
    if constexpr (requires { awaitable.operator co_await(); }) {
        return awaitable.operator co_await();
    } else if constexpr (requires(A& one) { operator co_await(one); }) {
        return operator co_await(awaitable);
    }
}
