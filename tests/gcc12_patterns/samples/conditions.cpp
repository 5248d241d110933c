// SPDX-License-Identifier: BSD-3-Clause
// Conditions with co_await. Each shape was run with g++ 12.2, at -O0 and -O2: those marked do not run as written there.
#include <array>
#include <utility>

task<int> give(int value);
void mark();

task<int> in_an_if(int p) {
    mark();
    if (co_await give(1) == 1) { co_return 3; }  // finds 1
    co_return p;
}
task<int> negated_and_joined(int p) {
    if (p == 2 && !co_await give(1)) { co_return 3; }  // finds 1
    co_return 4;
}
task<int> in_an_else_if(int p) {
    if (p == 3) {
        co_return 9;
    } else if (co_await give(1) == 1) {  // finds 1
        co_return 3;
    }
    co_return 4;
}
task<void> in_a_while(int p) {
    while (co_await give(p) > 0) { --p; }  // finds 1
}
task<void> in_a_do(int p) {
    do { --p; } while (co_await give(p) > 0);  // finds 1
}
task<int> in_a_switch() {
    switch (co_await give(1)) {  // finds 1
        case 1: co_return 3;
        default: co_return 4;
    }
}
task<void> in_a_for(int p) {
    for (; co_await give(p) > 0; --p) {}  // finds 1
}
task<int> in_a_block_of_a_try(int p) {
    try {
        for (;;) {
            if (co_await give(1) == 1) { co_return p; }  // finds 1
        }
    } catch (...) { mark(); }
    co_return 4;
}
task<int> a_static_assertion_declares_nothing() {
    static_assert(sizeof(int) == 4);
    if (co_await give(1) == 1) { co_return 3; }  // finds 1
    co_return 4;
}
task<int> a_temporary_is_no_variable() {
    std::string("if (x) { int y; }").size();
    if (co_await give(1) == 1) { co_return 3; }  // finds 1
    co_return 4;
}
template <class T>
task<int> of_a_template(T p) {
    if (co_await give(p) == 1) { co_return 3; }  // finds 1
    co_return 4;
}
struct server {
    int value = 3;
    task<int> member_function() {
        if (co_await give(1) == 1) { co_return value; }  // finds 1
        co_return 4;
    }
};
task<int> macros_do_not_disturb() {
#define BRACE {
#if 0
    if (x) {
#endif
    if (co_await give(1) == 1) { co_return 3; }  // finds 1
    co_return 4;
}

// What runs as written.
task<int> a_variable_before() {
    int x = 3;
    if (co_await give(1) == 1) { co_return x; }
    co_return 4;
}
task<int> a_variable_behind_or_inside() {
    if (co_await give(1) == 1) {
        std::string text = "3";
        co_return text.size();
    }
    co_return 4;
}
task<int> a_variable_of_the_condition() {
    if (int x = co_await give(1)) { co_return x; }
    while (auto x = co_await give(0)) { co_return x; }
    co_return 4;
}
task<int> an_initialiser_of_the_condition() {
    if (mark(); co_await give(1) == 1) { co_return 3; }
    co_return 4;
}
task<int> a_variable_of_a_loop(std::array<int, 2> values) {
    for (int value : values) {
        if (co_await give(value) == 2) { co_return value; }
    }
    co_return 4;
}
task<int> structured_bindings() {
    const auto [a, b] = std::pair(1, 3);
    if (co_await give(1) == a) { co_return b; }
    co_return 4;
}
task<int> a_name_for_a_type() {
    using number = int;
    if (co_await give(1) == 1) { co_return number(3); }
    co_return 4;
}
task<int> a_lambda_within() {
    [] { mark(); }();
    if (co_await give(1) == 1) { co_return 3; }
    co_return 4;
}
task<int> an_exception_that_is_caught() {
    try {
        mark();
    } catch (const std::exception&) { mark(); }
    if (co_await give(1) == 1) { co_return 3; }
    co_return 4;
}
task<int> not_in_a_condition(int p) {
    p = co_await give(1) == 1 ? 3 : 4;
    for (; p > 0; p -= co_await give(1)) { co_await give(2); }
    co_return co_await give(1) && p == 2;
}
auto in_a_lambda = []() -> task<int> {
    if (co_await give(1) == 1) { co_return 3; }
    co_return 4;
};
task<int> stored_first() {
    const int result = co_await give(1);
    if (result == 1) { co_return 3; }
    co_return 4;
}
void no_coroutine_but_one_within() {
    if (spawn([]() -> task<void> { co_await give(1); })) { mark(); }
}
task<int> silenced() {
    // gcc12-ok: this file is compiled with clang only
    if (co_await give(1) == 1) { co_return 3; }
    while (co_await give(1) == 1) { co_return 3; }  // gcc12-ok: see above
    co_return 4;
}
const char* text = R"cpp(
    task<int> in_a_raw_string() {
        if (co_await give(1) == 1) { co_return 3; }
        co_return 4;
    }
#no directive
)cpp";
/* task<int> in_a_comment() { if (co_await give(1)) {} }
#if 0 */
char quote = '"', brace = '{';
int digits = 1'000'000;
task<int> behind_all_these() {
    if (co_await give(1) == 1) { co_return 3; }  // finds 1
    co_return 4;
}
