// SPDX-License-Identifier: BSD-3-Clause
#include "examples/firewall/filter.hpp"

#include <map>
#include <string_view>

namespace firewall {

void filter::replace(rule_set next) {
    std::map<std::string_view, std::uint64_t> former;  // of rules in the same words, only the first can have hits
    for (std::size_t i = 0; i < rules_.size(); ++i) { former.emplace(rules_.text(i), hits_[i]); }
    std::vector<std::uint64_t> hits(next.size());
    for (std::size_t i = 0; i < next.size(); ++i) {
        if (const auto same = former.extract(next.text(i))) { hits[i] = same.mapped(); }
    }
    for (const auto& [text, count] : former) { counts_.former_hits += count; }
    rules_ = std::move(next);
    hits_ = std::move(hits);
}

}  // namespace firewall
