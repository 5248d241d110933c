// SPDX-License-Identifier: BSD-3-Clause
// What becomes of the cells of the token matrix: the program prints a table of them when its test cases have run.
//
// A row is one test case, run on one thread. Only rows that have run are in the table.
#pragma once

#include <string>
#include <vector>

namespace fluxnet::test {

/// A column, as it is for one row.
struct token_cell {
    const char* column;
    void (*run)();
    const char* why_none = nullptr;  ///< Why the combination makes no sense; null: it does.
};

/// Says that there is a row, though it may not run in this process.
struct token_row {
    explicit token_row(const char* function);
};

/// The names of all rows.
[[nodiscard]] const std::vector<std::string>& token_rows();

/// Runs the cells, also those behind one that fails, and notes how each has ended.
void run_token_row(const char* function, const std::vector<token_cell>& cells);

}  // namespace fluxnet::test
