// SPDX-License-Identifier: BSD-3-Clause
#include "examples/asio_embed/answer.hpp"

#include "examples/asio_embed/files.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/verb.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include <ctime>
#include <string>
#include <string_view>

namespace embed_example {
namespace {

namespace http = beast::http;

[[nodiscard]] std::string date_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

/// `version`: 10 or 11.
[[nodiscard]] http_answer make_answer(http::status status, unsigned version) {
    http_answer made(status, version);
    made.set(http::field::server, "FluxNet asio_embed");
    made.set(http::field::date, date_now());
    made.set(http::field::cache_control, "no-cache");
    made.set("X-Content-Type-Options", "nosniff");
    return made;
}

/// An answer with its status as the text, after which the connection ends.
[[nodiscard]] http_answer refuse(http::status status, unsigned version = 11) {
    http_answer made = make_answer(status, version);
    made.set(http::field::content_type, "text/plain; charset=utf-8");
    const beast::string_view reason = http::obsolete_reason(status);
    made.body().assign(reason.data(), reason.size()).append("\n");
    made.prepare_payload();
    made.keep_alive(false);
    return made;
}

/// A page of another site may open a WebSocket to any address that its browser reaches, this machine's own among them; the
/// browser tells which site that is.
[[nodiscard]] bool comes_from_our_page(const http_request& request) {
    if (request.count(http::field::origin) == 0) { return true; }  // no browser
    const beast::string_view origin = request[http::field::origin];
    const std::size_t scheme = origin.find("://");
    return scheme != beast::string_view::npos && beast::iequals(origin.substr(scheme + 3), request[http::field::host]);
}

[[nodiscard]] http_answer answer_at_feed(const http_request& request) {
    const unsigned version = request.version();
    if (!beast::websocket::is_upgrade(request)) {
        http_answer made = refuse(http::status::upgrade_required, version);
        made.set(http::field::upgrade, "websocket");
        made.set(http::field::connection, "upgrade, close");
        return made;
    }
    if (!comes_from_our_page(request)) { return refuse(http::status::forbidden, version); }
    return http_answer(http::status::switching_protocols, version);
}

}  // namespace

http_answer answer_to(const http_request& request, bool whole) {
    const unsigned version = request.version();
    const std::size_t hosts = request.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && version == 11)) { return refuse(http::status::bad_request, version); }
    const beast::string_view target = request.target();
    const beast::string_view path = target.substr(0, target.find('?'));
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
        http_answer made = refuse(http::status::method_not_allowed, version);
        made.set(http::field::allow, "GET, HEAD");
        return made;
    }
    if (path == feed_path) { return whole ? answer_at_feed(request) : refuse(http::status::bad_request, version); }
    const file* const found = find_file(std::string_view(path.data(), path.size()));
    if (found == nullptr) {
        http_answer made = refuse(http::status::not_found, version);
        made.keep_alive(whole && request.keep_alive());
        return made;
    }
    http_answer made = make_answer(http::status::ok, version);
    made.set(http::field::content_type, beast::string_view(found->type.data(), found->type.size()));
    // Nothing from elsewhere, and nobody else's frame around it.
    made.set("Content-Security-Policy",
             "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    made.body() = found->text;
    made.prepare_payload();
    made.keep_alive(whole && request.keep_alive());
    return made;
}

http_answer refusal(const boost::system::error_code& failed) {
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow) {
        return refuse(http::status::request_header_fields_too_large);
    }
    if (failed == http::error::body_limit) { return refuse(http::status::payload_too_large); }
    if (failed == http::error::bad_version) { return refuse(http::status::http_version_not_supported); }
    return refuse(http::status::bad_request);
}

}  // namespace embed_example
