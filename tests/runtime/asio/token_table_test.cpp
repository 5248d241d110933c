// SPDX-License-Identifier: BSD-3-Clause
#include "tests/runtime/asio/token_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>
#include <set>
#include <string>
#include <vector>

using namespace fluxnet::test;

namespace {

struct table_row {
    std::string function;
    std::vector<std::string> results;
};

struct token_table {
    std::vector<std::string> columns;
    std::vector<table_row> rows;
    std::set<std::string> remarks;
};

token_table& the_table() {
    static token_table table;
    return table;
}

std::atomic<bool> cell_failed = false;

void print(std::ostream& to, const token_table& table) {
    std::size_t width = 0;
    for (const table_row& row : table.rows) { width = std::max(width, row.function.size()); }
    to << "\nAsynchronous functions of fluxnet::asio, and the ways in which they were begun and told:\n\n";
    std::string stems;
    for (const std::string& column : table.columns) {
        to << std::string(width + 2, ' ') << stems << column << '\n';
        stems += "|    ";
    }
    for (const table_row& row : table.rows) {
        to << row.function << std::string(width + 2 - row.function.size(), ' ');
        for (const std::string& result : row.results) { to << result << std::string(5 - result.size(), ' '); }
        to << '\n';
    }
    for (const std::string& remark : table.remarks) { to << "-: " << remark << '\n'; }
    to << '\n';
}

/// Hears of each check that fails, and prints the table in the end.
class table_printer final : public doctest::IReporter {
public:
    explicit table_printer(const doctest::ContextOptions& options) : options_(options) {}

    void report_query(const doctest::QueryData&) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats&) override {
        if (!the_table().rows.empty()) { print(*options_.cout, the_table()); }
    }
    void test_case_start(const doctest::TestCaseData&) override {}
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_end(const doctest::CurrentTestCaseStats&) override {}
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData& check) override {
        if (check.m_failed) { cell_failed = true; }
    }
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}

private:
    const doctest::ContextOptions& options_;
};

REGISTER_LISTENER("token_table", 1, table_printer);

std::vector<std::string>& registered_rows() {
    static std::vector<std::string> rows;
    return rows;
}

/// The names that begin with async_ and that headers in `folder` give to functions.
std::set<std::string> async_functions(const std::filesystem::path& folder) {
    std::set<std::string> found;
    const std::regex declared(R"(^ *auto (async_\w+)\()");
    for (const auto& each : std::filesystem::directory_iterator(folder)) {
        std::ifstream header(each.path());
        for (std::string line; std::getline(header, line);) {
            std::smatch match;
            if (std::regex_search(line, match, declared)) { found.insert(match[1]); }
        }
    }
    return found;
}

}  // namespace

namespace fluxnet::test {

token_row::token_row(const char* function) {
    registered_rows().emplace_back(function);
}

const std::vector<std::string>& token_rows() {
    return registered_rows();
}

void run_token_row(const char* function, const std::vector<token_cell>& cells) {
    token_table& table = the_table();
    if (table.columns.empty()) {
        for (const token_cell& cell : cells) { table.columns.emplace_back(cell.column); }
    }
    table_row row{function, {}};
    for (const token_cell& cell : cells) {
        CAPTURE(cell.column);
        if (cell.why_none != nullptr) {
            table.remarks.insert(function + std::string(", ") + cell.column + ": " + cell.why_none);
            row.results.emplace_back("-");
            continue;
        }
        cell_failed = false;
        try {
            cell.run();
        } catch (const std::exception& failure) {
            FAIL_CHECK("an exception has left the cell: ", failure.what());
        } catch (...) {
            if (!cell_failed) { FAIL_CHECK("an exception has left the cell"); }  // else a REQUIRE has ended it
        }
        row.results.emplace_back(cell_failed ? "FAIL" : "ok");
    }
    table.rows.push_back(std::move(row));
}

}  // namespace fluxnet::test

TEST_CASE("every asynchronous function of the headers has a row in the token matrix") {
    std::set<std::string> in_rows;
    for (const std::string& row : token_rows()) {
        std::smatch match;
        REQUIRE(std::regex_search(row, match, std::regex("(async_[a-z_]+)(,|$)")));
        in_rows.insert(match[1]);
    }
    const std::set<std::string> in_headers = async_functions(FLUXNET_ASIO_DIR);
    CHECK(in_headers.size() >= 7);
    CHECK(in_rows == in_headers);
}
