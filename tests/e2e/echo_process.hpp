// SPDX-License-Identifier: BSD-3-Clause
// examples/echo_async, or a program that prints as it does, as a child in the host namespace of a testbed, and its summary
// as numbers.
#pragma once

#include "tests/support/process.hpp"
#include "tests/support/testbed.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet::test {

/// The lines that echo_async prints when it stops: "head: name value name value ...".
class echo_summary {
public:
    explicit echo_summary(const std::string& output) {
        std::istringstream lines(output);
        for (std::string line; std::getline(lines, line);) {
            std::istringstream words(line);
            std::string head;
            words >> head;
            if (head.empty() || head.back() != ':') { continue; }
            head.pop_back();
            std::string name;
            long long value = 0;
            while (words >> name) {
                if (words >> value) {
                    numbers_[head][name] = value;
                } else {
                    numbers_[head][name] = 1;  // a word without a number: "exact"
                }
            }
        }
    }

    [[nodiscard]] long long of(const std::string& head, const std::string& name) const {
        const auto lines = numbers_.find(head);
        if (lines == numbers_.end()) { return 0; }
        const auto value = lines->second.find(name);
        return value == lines->second.end() ? 0 : value->second;
    }

    [[nodiscard]] std::map<std::string, long long> all(const std::string& head) const {
        const auto lines = numbers_.find(head);
        return lines == numbers_.end() ? std::map<std::string, long long>() : lines->second;
    }

    /// Tells whether every frame is accounted for, exactly, and none is left with the user or on its way out.
    [[nodiscard]] bool frames_are_whole() const {
        return of("census", "exact") == 1 && of("census", "frames") > 0 && of("census", "sum") == of("census", "frames") &&
               of("census", "user") == 0 && of("census", "tx") == 0;
    }

private:
    std::map<std::string, std::map<std::string, long long>> numbers_;
};

/// `command`: the words that start the program.
inline process start_echo(testbed& bed, std::vector<std::string> more = {"--quiet"},
                          std::vector<std::string> command = {FLUXNET_ECHO_ASYNC}) {
    std::vector<std::string> argv = std::move(command);
    argv.insert(argv.end(), {"--interface", bed.name(side::host), "--address", bed.options().host_address});
    argv.insert(argv.end(), more.begin(), more.end());
    process child = bed.spawn(side::host, argv);
    if (!child.read_until("answering for", std::chrono::seconds(10))) {
        throw std::runtime_error(argv.front() + " did not start: " + child.output());
    }
    return child;
}

/// Stops it as a user would, and returns what it printed. Throws when it does not end well.
inline echo_summary stop_echo(process& child) {
    child.signal(15);
    const auto ended = child.wait(std::chrono::seconds(10));
    if (!ended || !ended->success()) { throw std::runtime_error("a program did not end well: " + child.output()); }
    return echo_summary(child.output());
}

}  // namespace fluxnet::test
