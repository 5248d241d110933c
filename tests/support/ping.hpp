// SPDX-License-Identifier: BSD-3-Clause
// `ping_answers`: which of the requests of the kernel's ping were answered, by its output without -q.
//
//     const finished ping = bed.run(side::peer, {"ping", "-c", "2000", "-i", "0.002", "-w", "40", address}, 60s);
//     CHECK(ping_answers(ping.output).are_the_first(2000));
//
// With -c and -w ping ends when it has so many answers. Requests that it has sent beyond those, while the answers of others
// were still under way, have none; so how many were sent tells nothing of losses, and the numbers of the answers do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fluxnet::test {

class ping_answers {
public:
    explicit ping_answers(const std::string& output) {
        constexpr std::string_view number = "icmp_seq=";
        for (std::size_t at = output.find(number); at != std::string::npos; at = output.find(number, at)) {
            at += number.size();
            numbers_.push_back(std::stoul(output.substr(at, 10)));
        }
        std::sort(numbers_.begin(), numbers_.end());
    }

    /// Whether the first `count` requests have one answer each, and no other has one.
    [[nodiscard]] bool are_the_first(std::size_t count) const {
        if (numbers_.size() != count) { return false; }
        for (std::size_t i = 0; i != count; ++i) {
            if (numbers_[i] != i + 1) { return false; }
        }
        return true;
    }

private:
    std::vector<std::size_t> numbers_;
};

}  // namespace fluxnet::test
