// SPDX-License-Identifier: BSD-3-Clause
#include "examples/load_balancer/backends.hpp"

#include "examples/load_balancer/flow.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <utility>

namespace load_balancer {

using fluxnet::errc;
using fluxnet::error;
using fluxnet::make_error;

namespace {

constexpr std::string_view blanks = " \t\r";
constexpr std::string_view name_characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

/// FNV-1a, mixed: names that differ in one letter draw unrelated numbers.
[[nodiscard]] std::uint64_t seed_of(std::string_view name) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char letter : name) { hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U; }
    return mix(hash);
}

[[nodiscard]] std::string_view trim(std::string_view text) noexcept {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
}

[[nodiscard]] std::string quoted(std::string_view text) {
    std::string quote(1, '\'');
    quote.append(text).push_back('\'');
    return quote;
}

/// One line under inspection, and the words for what is wrong with it.
struct line_reader {
    const std::string& source;
    std::size_t number;
    std::string_view line;

    /// `at` is a part of the line: where the mistake is.
    [[nodiscard]] error wrong(std::string_view at, std::string cause, std::string remedy) const {
        const auto column = static_cast<std::size_t>(at.data() - line.data()) + 1;
        return make_error(errc::invalid_option,
                          "read " + source + ":" + std::to_string(number) + ":" + std::to_string(column), std::move(cause),
                          std::move(remedy));
    }

    [[nodiscard]] fluxnet::result<backend> parse(std::string_view entry) const {
        const std::size_t equals = entry.find('=');
        if (equals == std::string_view::npos) { return wrong(entry, quoted(entry) + " has no '='", "write NAME=MAC"); }
        const std::string_view name = trim(entry.substr(0, equals));
        const std::string_view address = trim(entry.substr(equals + 1));
        if (name.empty()) { return wrong(entry, "a backend without a name", "write NAME=MAC"); }
        if (const std::size_t bad = name.find_first_not_of(name_characters); bad != std::string_view::npos) {
            return wrong(name.substr(bad), quoted(name.substr(bad, 1)) + " in a name",
                         "use letters, digits, '-', '_' and '.'");
        }
        const auto mac = fluxnet::proto::mac_address::parse(address);
        if (!mac) {
            return wrong(address.empty() ? entry.substr(entry.size()) : address, quoted(address) + " is not a MAC address",
                         "write one like 02:00:00:00:00:01");
        }
        if (mac->is_multicast() || mac->is_zero()) {
            return wrong(address, quoted(address) + " is not the address of one station",
                         "give the MAC address of the backend's interface");
        }
        return backend{std::string(name), *mac, seed_of(name), nullptr};
    }

    [[nodiscard]] std::optional<error> clash(std::string_view entry, const backend& one,
                                             const std::vector<backend>& others) const {
        for (const backend& other : others) {
            if (other.name == one.name) {
                return wrong(entry, "there is a backend '" + one.name + "' already", "give each its own name");
            }
            if (other.mac == one.mac) {
                return wrong(entry, "backend '" + other.name + "' has the address " + one.mac.to_string() + " already",
                             "give each its own address");
            }
        }
        return std::nullopt;
    }
};

}  // namespace

fluxnet::result<backend_list> backend_list::parse(std::string_view text, const std::string& source) {
    backend_list made;
    line_reader reader{source, 0, {}};
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        reader.line = text.substr(0, end);
        ++reader.number;
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::string_view entry = trim(reader.line.substr(0, reader.line.find('#')));
        if (entry.empty()) { continue; }
        auto one = reader.parse(entry);
        if (!one) { return one.error(); }
        if (auto clash = reader.clash(entry, *one, made.backends_)) { return *clash; }
        made.backends_.push_back(std::move(*one));
    }
    if (made.backends_.empty()) {
        return make_error(errc::invalid_option, "read " + source, "it names no backend", "write NAME=MAC, one per line");
    }
    return made;
}

fluxnet::result<backend_list> backend_list::load(const std::string& path) {
    std::ifstream file(path);
    std::string text;
    for (std::string line; std::getline(file, line);) { text += line + '\n'; }
    if (!file.is_open() || file.bad()) {
        return make_error(errc::invalid_option, "read " + path, fluxnet::errno_text(errno), "check the path");
    }
    return parse(text, path);
}

const backend& backend_list::pick(std::uint64_t flow_hash) const noexcept {
    const backend* best = &backends_.front();
    std::uint64_t highest = 0;
    for (const backend& candidate : backends_) {
        const std::uint64_t drawn = mix(flow_hash ^ candidate.seed);
        if (drawn >= highest) {
            highest = drawn;
            best = &candidate;
        }
    }
    return *best;
}

void backend_board::hang_up(backend_list next) {
    const std::lock_guard lock(mutex_);
    for (backend& one : next.backends_) {
        auto& count = counts_[one.name];
        if (count == nullptr) { count = std::make_shared<backend_counts>(); }
        one.count = count;
    }
    list_ = std::make_shared<const backend_list>(std::move(next));
    version_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<const backend_list> backend_board::list() const {
    const std::lock_guard lock(mutex_);
    return list_;
}

std::map<std::string, std::shared_ptr<const backend_counts>> backend_board::counts() const {
    const std::lock_guard lock(mutex_);
    return {counts_.begin(), counts_.end()};
}

}  // namespace load_balancer
