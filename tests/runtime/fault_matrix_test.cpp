// SPDX-License-Identifier: BSD-3-Clause
// The fault matrix: every awaiter of the library, in every way in which an await can end, on every kind of executor.
#include "tests/runtime/awaiter_scan.hpp"
#include "tests/runtime/fault_cell.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

void run_row(fault how, temper on) {
    std::set<std::string> absent;
    std::size_t cells = 0;
    for (const fault_entry& entry : fault_registry()) {
        if (const std::optional<std::string> why = why_no_cell(entry, how, on)) {
            absent.insert(entry.what + ": " + *why);
            continue;
        }
        run_fault_cell(entry, how, on);
        ++cells;
    }
    for (const std::string& each : absent) { MESSAGE("no cell: ", each); }
    CHECK(cells + absent.size() == fault_registry().size());
}

std::optional<std::string> why_not_on(temper on) {
    return on == temper::io_uring ? why_no_io_uring() : std::nullopt;
}

/// What users do not await: it never resumes what awaits it, or is made to be spawned.
const std::set<found_awaiter> not_awaited{
    {"task.hpp", "final_awaiter"},
    {"signal_set.hpp", "stop_on"},  // what it awaits is signal_set::next()
    {"resolve.hpp", "resolve"},     // what it awaits is offload()
#ifndef FLUXNET_TEST_TLS
    // TLS is not built.
    {"tls_stream.hpp", "connect"},
    {"tls_stream.hpp", "accept"},
    {"tls_stream.hpp", "read"},
    {"tls_stream.hpp", "read_borrowed"},
    {"tls_stream.hpp", "write"},
    {"tls_stream.hpp", "shutdown_write"},
#endif
    // What these await is an operation of Boost.Asio's.
    {"task_stream.hpp", "read"},
    {"task_stream.hpp", "read_borrowed"},
    {"task_stream.hpp", "write"},
    {"task_stream.hpp", "shutdown_write"},
};

}  // namespace

std::span<const fault_entry> fluxnet::test::fault_registry() {
    static const std::vector<fault_entry> all = [] {
        std::vector<fault_entry> rows;
        for (const auto part : {
                 waiting_faults(),
                 structured_faults(),
                 sync_faults(),
                 memory_faults(),
                 socket_faults(),
                 kernel_stream_faults(),
                 kernel_message_faults(),
                 file_faults(),
                 transport_faults(),
                 host_faults(),
                 host_stream_faults(),
#ifdef FLUXNET_TEST_TLS
                 tls_faults(),
#endif
             }) {
            rows.insert(rows.end(), part.begin(), part.end());
        }
        return rows;
    }();
    return all;
}

TEST_CASE("every awaiter of the runtime is in the fault matrix and nothing else is") {
    const std::set<found_awaiter> found = awaiters_below(FLUXNET_RUNTIME_DIR);
    std::set<found_awaiter> known = not_awaited;
    for (const fault_entry& entry : fault_registry()) { known.insert({entry.file, entry.awaiter}); }
    for (const found_awaiter& each : found) {
        CHECK_MESSAGE(known.contains(each), each.file, ": ", each.name, " is missing from the registry");
    }
    for (const found_awaiter& each : known) {
        CHECK_MESSAGE(found.contains(each), each.file, ": ", each.name, " is not in the headers any more");
    }
    CHECK(found.size() >= 19);
}

TEST_CASE("the search for awaiters sees one that is added") {
    const std::string nested =
        "class [[nodiscard]] outer::new_awaiter final : private detail::operation {\npublic:\n"
        "    struct part {};\n    std::error_code await_resume() noexcept { return finish(); }\n};\n";
    CHECK(awaiters_in("new.hpp", nested) == std::set<found_awaiter>{{"new.hpp", "outer::new_awaiter"}});
    const std::string inner =
        "class box {\n    class peek_awaiter {\n        void await_resume() const noexcept;\n    };\n};\n";
    CHECK(awaiters_in("box.hpp", inner) == std::set<found_awaiter>{{"box.hpp", "peek_awaiter"}});
    const std::string function = "    [[nodiscard]] task<std::vector<int>> gather(int count);\n";
    CHECK(awaiters_in("f.hpp", function) == std::set<found_awaiter>{{"f.hpp", "gather"}});
    CHECK(awaiters_in("g.hpp", "/// A task<int> that await_resume() is said of.\nint await;\n").empty());
}

#define FLUXNET_FAULT_CASE(on, what, ...)                                   \
    TEST_CASE("fault matrix on " what) {                                    \
        FLUXNET_SKIP_IF(why_not_on(temper::on));                            \
        for (const fault how : {__VA_ARGS__}) { run_row(how, temper::on); } \
    }

#define FLUXNET_FAULT_CASES(on, text)                                                                                      \
    FLUXNET_FAULT_CASE(on, text " an await completes", fault::none)                                                        \
    FLUXNET_FAULT_CASE(on, text " an await is cancelled before it starts", fault::stopped_before_start,                    \
                       fault::stopped_before_ready_start)                                                                  \
    FLUXNET_FAULT_CASE(on, text " an await is cancelled while it is suspended and the next one completes",                 \
                       fault::stopped_while_suspended)                                                                     \
    FLUXNET_FAULT_CASE(on, text " an await is cancelled in the turn in which it completes", fault::stopped_then_completed, \
                       fault::completed_then_stopped)                                                                      \
    FLUXNET_FAULT_CASE(on, text " an await is cancelled by another thread", fault::stopped_by_another_thread,              \
                       fault::raced_by_another_thread)                                                                     \
    FLUXNET_FAULT_CASE(on, text " an executor shuts down while something is awaited", fault::shut_down)                    \
    FLUXNET_FAULT_CASE(on, text " an executor goes while something is awaited", fault::destroyed_while_suspended,          \
                       fault::destroyed_when_completed)

FLUXNET_FAULT_CASES(io_uring, "io_uring")
FLUXNET_FAULT_CASES(epoll, "epoll")
FLUXNET_FAULT_CASES(virtual_time, "virtual time")
