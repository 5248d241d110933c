// SPDX-License-Identifier: BSD-3-Clause
// `rule_set`: what a file of firewall rules says, and which rule decides about a packet: the first that matches.
//
// One rule per line; blanks separate words, and what follows a '#' is a comment:
//
//     allow tcp from 10.0.0.0/8 to 10.1.2.3 port 80
//     allow tcp from 10.1.2.3 port 80 to 10.0.0.0/8      # the answers: a rule knows no connections
//     deny udp to any port 1024-65535
//     allow icmp
//     default deny
//
//     file     = { line end-of-line }, the last line with words being the default
//     line     = [ rule | default ] [ "#" anything ]
//     rule     = verdict ( "tcp" | "udp" | "icmp" | "any" ) [ "from" endpoint ] [ "to" endpoint ]
//     endpoint = ( "any" | address [ "/" length ] ) [ "port" number [ "-" number ] ]     ports with tcp and udp only
//     default  = "default" verdict
//     verdict  = "allow" | "deny"
//
// The default comes last, so that half of a file is not taken for a whole one. A rule with ports matches no later fragment,
// because that has none (see datagram.hpp). "any" as a protocol is every protocol there is.
//
// A rule_set never changes once it is made. find() may be called from any thread, allocates nothing, and takes time in
// proportion to the number of rules.
#pragma once

#include "examples/firewall/datagram.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace firewall {

enum class verdict : std::uint8_t { deny, allow };

struct prefix {
    std::uint32_t bits = 0;  ///< Those outside of the mask are 0.
    std::uint32_t mask = 0;

    [[nodiscard]] constexpr bool holds(std::uint32_t address) const noexcept { return (address & mask) == bits; }
};

struct port_range {
    std::uint16_t first = 0;
    std::uint16_t last = 0xffff;

    [[nodiscard]] constexpr bool holds(std::uint16_t port) const noexcept { return port >= first && port <= last; }
};

struct endpoint {
    prefix where;
    port_range ports;
};

struct rule {
    verdict what = verdict::deny;
    bool has_ports = false;                      ///< At either end: the packet must have some, too.
    std::optional<proto::ip_protocol> protocol;  ///< None: any.
    endpoint from;
    endpoint to;

    [[nodiscard]] constexpr bool matches(const datagram& packet) const noexcept {
        if (protocol && *protocol != packet.protocol) { return false; }
        if (!from.where.holds(packet.source) || !to.where.holds(packet.destination)) { return false; }
        return !has_ports ||
               (packet.has_ports && from.ports.holds(packet.source_port) && to.ports.holds(packet.destination_port));
    }
};

class rule_set {
public:
    static constexpr std::size_t max_rules = 4096;  ///< The default not counted.
    static constexpr std::size_t max_file_size = std::size_t{1} << 20;

    /// Reads the text of a file. A mistake (invalid_option) is named as "read SOURCE:LINE:COLUMN: found ...; expected ...";
    /// lines and columns count from 1, columns in octets.
    [[nodiscard]] static fluxnet::result<rule_set> parse(std::string_view text, const std::string& source);

    /// Reads a file, a regular one of at most max_file_size octets.
    [[nodiscard]] static fluxnet::result<rule_set> load(const std::string& path);

    /// The number of the first rule that matches, which may be the default.
    [[nodiscard]] std::size_t find(const datagram& packet) const noexcept {
        std::size_t number = 0;
        while (!rules_[number].matches(packet)) { ++number; }
        return number;
    }

    /// How many rules there are, the default included, which is the last.
    [[nodiscard]] std::size_t size() const noexcept { return rules_.size(); }
    [[nodiscard]] const rule& operator[](std::size_t number) const noexcept { return rules_[number]; }

    /// A rule as the file has it, with one blank between words.
    [[nodiscard]] const std::string& text(std::size_t number) const noexcept { return texts_[number]; }

private:
    rule_set() = default;

    std::vector<rule> rules_;         // the last one matches everything
    std::vector<std::string> texts_;  // of rules_
};

}  // namespace firewall
