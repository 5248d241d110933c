// SPDX-License-Identifier: BSD-3-Clause
// `awaiters_in`: finds in a header's text what can be awaited: types with an await_resume(), and functions that return a
// task.
//
// Reads text, not C++: a type is named by the last class or struct that was opened before its await_resume() and not closed,
// as told by the braces. Comments are left out.
#pragma once

#include <compare>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet::test {

struct found_awaiter {
    std::string file;
    std::string name;  // as it is written: "channel<T>::send_awaiter"
    auto operator<=>(const found_awaiter&) const = default;
};

/// `file` only names the result.
inline std::set<found_awaiter> awaiters_in(const std::string& file, const std::string& text) {
    static const std::regex type(R"(\b(?:class|struct)\s+(?:\[\[\w+\]\]\s+)?(?:FLUXNET_EXPORT\s+)?([\w:<>]+)[^;{}()]*\{)");
    static const std::regex function(R"(\[\[nodiscard\]\]\s+(?:(?:FLUXNET_EXPORT|inline|static)\s+)*task<.*>\s+(\w+)\()");
    std::set<found_awaiter> found;
    std::vector<std::pair<std::string, int>> open;  // types, and how many braces were open inside them
    int depth = 0;
    std::string line;
    for (std::istringstream lines(text); std::getline(lines, line);) {
        line = line.substr(0, line.find("//"));
        std::smatch match;
        if (std::regex_search(line, match, function)) { found.insert({file, match[1]}); }
        if (std::regex_search(line, match, type)) { open.emplace_back(match[1], depth + 1); }
        if (!open.empty() && line.find("await_resume()") != std::string::npos &&
            line.find(".await_resume()") == std::string::npos && line.find(">await_resume()") == std::string::npos) {
            found.insert({file, open.back().first});
        }
        for (const char each : line) { depth += each == '{' ? 1 : each == '}' ? -1 : 0; }
        while (!open.empty() && depth < open.back().second) { open.pop_back(); }
    }
    return found;
}

/// Those of the headers in `folder` and in its rooms; not of the folders named detail, which users do not include.
inline std::set<found_awaiter> awaiters_below(const std::filesystem::path& folder) {
    std::set<found_awaiter> all;
    for (const auto& each : std::filesystem::recursive_directory_iterator(folder)) {
        if (each.path().extension() != ".hpp" || each.path().parent_path().filename() == "detail") { continue; }
        std::ifstream file(each.path());
        const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
        all.merge(awaiters_in(each.path().filename().string(), text));
    }
    return all;
}

}  // namespace fluxnet::test
