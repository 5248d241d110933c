// SPDX-License-Identifier: BSD-3-Clause
#include "examples/http_counters/server.hpp"

namespace http_example {
namespace {

/// The path that a target asks for: without a query, and without the scheme and the host that a proxy's client sends too
/// (RFC 9112, section 3.2.2).
[[nodiscard]] std::string_view path_of(std::string_view target) noexcept {
    constexpr std::string_view scheme = "http://";
    if (target.substr(0, scheme.size()) == scheme) {
        const std::size_t slash = target.find('/', scheme.size());
        target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
    return target.substr(0, target.find('?'));
}

[[nodiscard]] const char* text_for(unsigned status) noexcept {
    switch (status) {
        case 400: return "Not a request of HTTP/1.1.\n";
        case 404: return "There is no such page.\n";
        case 405: return "There is only GET and HEAD.\n";
        case 408: return "The request did not come to its end in time.\n";
        case 413: return "The body is too large.\n";
        case 417: return "Only 100-continue may be expected.\n";
        case 431: return "The header is too large.\n";
        case 500: return "The page could not be made.\n";
        case 501: return "Unknown method or transfer encoding.\n";
        case 505: return "There is only HTTP/1.0 and HTTP/1.1.\n";
        default: return "Refused.\n";
    }
}

[[nodiscard]] http_response plain(unsigned status) {
    http_response answer;
    answer.status = status;
    answer.body = text_for(status);
    return answer;
}

}  // namespace

http_server::http_server(page_source pages, const server_options& options)
    : pages_(std::move(pages)), options_(options), slots_(options.connections) {}

void http_server::end() noexcept {
    ending_.request_stop();
    for (fluxnet::scope* const wait : idle_) { wait->request_stop(); }
}

void http_server::dismiss_longest_idle() noexcept {
    for (fluxnet::scope* const wait : idle_) {
        if (wait->stop_token().stop_requested()) { continue; }
        ++counts_.dismissed;
        wait->request_stop();
        return;
    }
}

http_response http_server::answer_to(const http_request& asked) const {
    if (asked.refusal != 0) { return plain(asked.refusal); }
    if (asked.method == http_request::verb::unknown) { return plain(501); }
    try {
        std::optional<page> found = pages_(path_of(asked.target));
        if (!found) { return plain(404); }
        if (asked.method == http_request::verb::other) { return plain(405); }
        http_response answer;
        answer.content_type = std::move(found->content_type);
        answer.body = std::move(found->body);
        return answer;
    } catch (const std::exception&) { return plain(500); }
}

}  // namespace http_example
