// SPDX-License-Identifier: BSD-3-Clause
#include "examples/firewall/rules.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <utility>

namespace firewall {

using fluxnet::errc;
using fluxnet::error;
using fluxnet::make_error;

namespace {

constexpr std::string_view blanks = " \t\r";

/// Puts a word into quotes, without what a terminal might obey.
std::string in_quotes(std::string_view word) {
    constexpr std::size_t longest = 40;
    constexpr const char* digits = "0123456789abcdef";
    std::string text = "'";
    for (const char letter : word.substr(0, longest)) {
        const auto octet = static_cast<unsigned char>(letter);
        if (octet > ' ' && octet < 0x7f) {
            text += letter;
        } else {
            text += {'\\', 'x', digits[octet >> 4], digits[octet & 15]};
        }
    }
    return text + (word.size() > longest ? "...'" : "'");
}

/// Reads one line word by word. After the first mistake, which stays, what it returns means nothing.
class line_reader {
public:
    line_reader(const std::string& source, std::size_t number, std::string_view line)
        : source_(source), number_(number), line_(line) {
        const std::string_view code = line.substr(0, line.find('#'));
        std::size_t at = code.find_first_not_of(blanks);
        while (at < code.size()) {
            const std::size_t end = std::min(code.find_first_of(blanks, at), code.size());
            words_.push_back(code.substr(at, end - at));
            at = code.find_first_not_of(blanks, end);
        }
        end_ = words_.empty() ? line.substr(line.size()) : words_.back().substr(words_.back().size());
    }

    [[nodiscard]] bool empty() const noexcept { return words_.empty(); }
    [[nodiscard]] const std::optional<error>& mistake() const noexcept { return mistake_; }

    [[nodiscard]] std::string text() const {
        std::string joined;
        for (const std::string_view word : words_) { joined.append(joined.empty() ? "" : " ").append(word); }
        return joined;
    }

    /// Notes a mistake at `where`, a part of the line.
    void wrong(std::string_view where, const std::string& expected) {
        if (mistake_) { return; }
        std::string found = "found " + in_quotes(where);
        if (where.empty()) { found = where.data() == end_.data() ? "found the end of the line" : "found nothing"; }
        const auto column = static_cast<std::size_t>(where.data() - line_.data()) + 1;
        mistake_ = make_error(errc::invalid_option,
                              "read " + source_ + ":" + std::to_string(number_) + ":" + std::to_string(column),
                              std::move(found), "expected " + expected);
    }

    /// The next word, which stays; empty at the end.
    [[nodiscard]] std::string_view peek() const noexcept { return next_ < words_.size() ? words_[next_] : end_; }
    std::string_view take() noexcept {
        options_.clear();
        return next_ < words_.size() ? words_[next_++] : end_;
    }

    /// Takes the next word if it is `word`, and remembers otherwise that it could have been.
    bool accept(const char* word) {
        if (peek() == word) { return take(), true; }
        options_.push_back(in_quotes(word));
        return false;
    }

    /// The next word is none of those that were acceptable.
    void wrong_choice() {
        std::string list;
        for (std::size_t i = 0; i < options_.size(); ++i) {
            list += (i == 0 ? "" : i + 1 == options_.size() ? " or " : ", ") + options_[i];
        }
        wrong(peek(), list);
    }

    void expect_end() {
        options_.emplace_back("the end of the line");
        if (!peek().empty()) { wrong_choice(); }
    }

private:
    const std::string& source_;
    std::size_t number_;
    std::string_view line_;
    std::string_view end_;  // empty, where the last word ends
    std::vector<std::string_view> words_;
    std::size_t next_ = 0;
    std::vector<std::string> options_;  // acceptable in place of the next word
    std::optional<error> mistake_;
};

std::optional<unsigned> number_up_to(unsigned highest, std::string_view digits) noexcept {
    unsigned value = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    const bool whole = failed == std::errc() && end == digits.data() + digits.size();
    const bool plain = digits.size() == 1 || (!digits.empty() && digits.front() != '0');  // no octal numbers
    if (!whole || !plain || value > highest) { return std::nullopt; }
    return value;
}

prefix read_prefix(line_reader& line) {
    if (line.accept("any")) { return {}; }
    const std::string_view word = line.take();
    const std::size_t slash = std::min(word.find('/'), word.size());
    const auto address = proto::ipv4_address::parse(word.substr(0, slash));
    if (!address) {
        line.wrong(word.substr(0, slash), "'any', an address like 192.0.2.1 or a prefix like 192.0.2.0/24");
        return {};
    }
    unsigned length = 32;
    if (slash != word.size()) {
        const auto given = number_up_to(32, word.substr(slash + 1));
        if (!given) { line.wrong(word.substr(slash + 1), "a prefix length from 0 to 32"); }
        length = given.value_or(32);
    }
    const std::uint32_t mask = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
    const std::uint32_t bits = address->to_host_order() & mask;
    if (bits != address->to_host_order()) {
        const std::string address_text = proto::ipv4_address::from_host_order(bits).to_string();
        line.wrong(word, in_quotes(address_text + "/" + std::to_string(length)) + ", with zeros behind the prefix");
    }
    return {bits, mask};
}

port_range read_ports(line_reader& line) {
    const std::string_view word = line.take();
    const std::size_t dash = std::min(word.find('-'), word.size());
    const auto read = [&](std::string_view digits) {
        const auto port = number_up_to(0xffff, digits);
        if (!port) { line.wrong(digits, "a port from 0 to 65535"); }
        return static_cast<std::uint16_t>(port.value_or(0));
    };
    const std::uint16_t first = read(word.substr(0, dash));
    const std::uint16_t last = dash == word.size() ? first : read(word.substr(dash + 1));
    if (last < first) { line.wrong(word, std::to_string(last) + "-" + std::to_string(first) + ", the lower port first"); }
    return {first, last};
}

endpoint read_endpoint(line_reader& line, rule& of) {
    endpoint made;
    made.where = read_prefix(line);
    const bool can_have_ports = of.protocol == proto::ip_protocol::tcp || of.protocol == proto::ip_protocol::udp;
    if (!can_have_ports && line.peek() == "port") { line.wrong(line.peek(), "no ports: only tcp and udp have them"); }
    if (can_have_ports && line.accept("port")) {
        made.ports = read_ports(line);
        of.has_ports = true;
    }
    return made;
}

std::optional<proto::ip_protocol> read_protocol(line_reader& line) {
    if (line.accept("tcp")) { return proto::ip_protocol::tcp; }
    if (line.accept("udp")) { return proto::ip_protocol::udp; }
    if (line.accept("icmp")) { return proto::ip_protocol::icmp; }
    if (!line.accept("any")) { line.wrong_choice(); }
    return std::nullopt;
}

/// Reads a verdict; whatever else the caller has tried to accept before would do, too.
verdict read_verdict(line_reader& line) {
    if (line.accept("allow")) { return verdict::allow; }
    if (!line.accept("deny")) { line.wrong_choice(); }
    return verdict::deny;
}

rule read_rule(line_reader& line) {
    rule made;
    made.what = read_verdict(line);
    made.protocol = read_protocol(line);
    if (line.accept("from")) { made.from = read_endpoint(line, made); }
    if (line.accept("to")) { made.to = read_endpoint(line, made); }
    line.expect_end();
    return made;
}

}  // namespace

fluxnet::result<rule_set> rule_set::parse(std::string_view text, const std::string& source) {
    rule_set made;
    bool has_default = false;
    std::size_t number = 0;
    std::string_view line;
    for (std::size_t at = 0; at <= text.size(); at += line.size() + 1) {
        line = text.substr(at, text.find('\n', at) - at);
        line_reader reader(source, ++number, line);
        if (reader.empty()) { continue; }
        if (has_default) { reader.wrong(reader.peek(), "nothing behind the default"); }
        if (made.size() == max_rules && reader.peek() != "default") {
            reader.wrong(reader.peek(), "at most " + std::to_string(max_rules) + " rules");
        }
        rule read;
        if (reader.accept("default")) {
            has_default = true;
            read.what = read_verdict(reader);
            reader.expect_end();
        } else {
            read = read_rule(reader);
        }
        if (reader.mistake()) { return *reader.mistake(); }
        made.rules_.push_back(read);
        made.texts_.push_back(reader.text());
    }
    if (!has_default) {
        return make_error(errc::invalid_option,
                          "read " + source + ":" + std::to_string(number) + ":" + std::to_string(line.size() + 1),
                          "found the end of the file", "expected 'default allow' or 'default deny' as the last line");
    }
    return made;
}

fluxnet::result<rule_set> rule_set::load(const std::string& path) {
    const auto refused = [&](std::string cause, std::string remedy) {
        return make_error(errc::invalid_option, "read " + path, std::move(cause), std::move(remedy));
    };
    std::error_code ec;
    const bool regular = std::filesystem::is_regular_file(path, ec);
    if (ec) { return refused(fluxnet::errno_text(ec.value()), "check the path"); }
    if (!regular) { return refused("it is not a regular file", "give a file of rules"); }  // a pipe would keep us waiting
    std::ifstream file(path, std::ios::binary);
    std::string text(max_file_size + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!file.is_open() || file.bad()) { return refused(fluxnet::errno_text(errno), "check the path"); }
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > max_file_size) { return refused("it is larger than 1 MiB", "give a file of rules"); }
    return parse(text, path);
}

}  // namespace firewall
