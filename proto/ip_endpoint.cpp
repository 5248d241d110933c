// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/proto/ip_endpoint.hpp"

#include <charconv>

namespace fluxnet::proto {
namespace {

/// Reads a decimal number that is the whole text.
template <class Number>
bool read_number(std::string_view text, Number& value) noexcept {
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    return failure == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::optional<ip_endpoint> ip_endpoint::parse(std::string_view text) noexcept {
    const std::size_t colon = text.rfind(':');
    ip_endpoint endpoint;
    if (colon == text.npos || !read_number(text.substr(colon + 1), endpoint.port)) { return std::nullopt; }
    std::string_view host = text.substr(0, colon);
    if (!host.starts_with('[')) {
        const auto v4 = ipv4_address::parse(host);
        if (!v4) { return std::nullopt; }
        endpoint.address = *v4;
        return endpoint;
    }
    if (!host.ends_with(']')) { return std::nullopt; }
    host = host.substr(1, host.size() - 2);
    const std::size_t percent = host.find('%');
    const auto v6 = ipv6_address::parse(host.substr(0, percent));
    if (!v6 || (percent != host.npos && !read_number(host.substr(percent + 1), endpoint.scope))) { return std::nullopt; }
    endpoint.address = *v6;
    return endpoint;
}

std::string ip_endpoint::to_string() const {
    std::string text = address.to_string();
    if (address.is_v6()) {
        if (scope != 0) { text += '%' + std::to_string(scope); }
        text = '[' + text + ']';
    }
    return text + ':' + std::to_string(port);
}

}  // namespace fluxnet::proto
