// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the rules of firewall_engine. An input is the text of a file up to its first octet 255, and a frame behind it.
#include "examples/firewall/filter.hpp"

#include "tests/fuzz/fuzz_input.hpp"

#include <algorithm>
#include <string>

using namespace fluxnet::proto;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, std::find(data, data + size, std::uint8_t{255}));
    fuzz::fuzz_input rest(data + std::min(text.size() + 1, size), size - std::min(text.size() + 1, size));
    auto read = firewall::rule_set::parse(text, "file");
    if (!read) {
        fuzz::check(read.error().step.starts_with("read file:") && read.error().cause.starts_with("found "));
        fuzz::check(read.error().remedy.starts_with("expected "));
        return 0;
    }
    firewall::rule_set& rules = *read;
    std::string again;
    for (std::size_t i = 0; i < rules.size(); ++i) { again += rules.text(i) + "\n"; }
    const auto same = firewall::rule_set::parse(again, "file");
    fuzz::check(same.has_value() && same->size() == rules.size());
    for (std::size_t i = 0; i < rules.size(); ++i) { fuzz::check(same->text(i) == rules.text(i)); }

    const std::vector<std::byte> frame = rest.take_rest();
    firewall::filter filter(std::move(rules));
    const bool passed = filter.passes(frame);
    fuzz::check(passed == (filter.counts().passed() == 1));
    return 0;
}
