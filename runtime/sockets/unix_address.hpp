// SPDX-License-Identifier: BSD-3-Clause
// `unix_address`: the address of a Unix socket: a path, or an abstract name, which no file stands for.
//
//     unix_address("/run/service.sock");   // a file, which whoever binds it makes and nobody removes by itself
//     unix_address("@service");            // abstract: seen in this network namespace, gone with its socket
//
// A value. Empty for a socket that is not bound. Threads: any. Source: unix(7).
#pragma once

#include <compare>
#include <string>
#include <utility>

namespace fluxnet {

class unix_address {
public:
    static constexpr std::size_t most = 107;  ///< Bytes of a path, or of an abstract name with its '@'.

    unix_address() = default;
    /// Makes an address of a path, or of "@" and an abstract name.
    explicit unix_address(std::string name) : name_(std::move(name)) {}

    /// Tells which kind it is: none, an abstract name, or else a path.
    [[nodiscard]] bool empty() const noexcept { return name_.empty(); }
    [[nodiscard]] bool is_abstract() const noexcept { return !name_.empty() && name_.front() == '@'; }

    /// The path, or '@' and the abstract name.
    [[nodiscard]] const std::string& to_string() const noexcept { return name_; }

    [[nodiscard]] friend auto operator<=>(const unix_address&, const unix_address&) = default;

private:
    std::string name_;
};

}  // namespace fluxnet
