// SPDX-License-Identifier: BSD-3-Clause
// request_reader and response_writer: all that is compiled of Boost.Beast, which takes long.
#include "examples/http_counters/request_reader.hpp"
#include "examples/http_counters/response_writer.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace http_example {
namespace {

namespace http = boost::beast::http;
using boost::beast::string_view;
using error_code = boost::beast::error_code;

[[nodiscard]] http_request::verb verb_of(http::verb method) noexcept {
    switch (method) {
        case http::verb::get: return http_request::verb::get;
        case http::verb::head: return http_request::verb::head;
        case http::verb::unknown: return http_request::verb::unknown;
        default: return http_request::verb::other;
    }
}

[[nodiscard]] unsigned status_for(const error_code& failure) noexcept {
    if (failure == http::error::header_limit) { return 431; }
    if (failure == http::error::body_limit) { return 413; }
    if (failure == http::error::bad_version) { return 505; }
    return 400;
}

/// Beast's parser, with no memory for fields and bodies: it notes what is of interest as it passes by.
class parser final : public http::basic_parser<true> {
public:
    http_request request;
    bool expects_continue = false;  ///< The client sends the body when it is told to.

    /// What is wrong with a header that can be read: the status to answer with, or 0.
    [[nodiscard]] unsigned header_refusal() const noexcept {
        if (hosts_ > 1 || (hosts_ == 0 && request.version == 11)) { return 400; }
        if (encoded_ && !chunked()) { return 501; }  // nobody knows where such a body ends
        if (expects_other_) { return 417; }
        return 0;
    }

private:
    void on_request_impl(http::verb method, string_view, string_view target, int version, error_code&) override {
        request.method = verb_of(method);
        request.target.assign(target.data(), target.size());
        request.version = static_cast<unsigned>(version);
    }
    void on_field_impl(http::field name, string_view, string_view value, error_code&) override {
        if (is_header_done()) { return; }  // a trailer, which may not say such things
        if (name == http::field::host) { ++hosts_; }
        if (name == http::field::transfer_encoding) { encoded_ = true; }
        if (name == http::field::expect) {
            (boost::beast::iequals(value, "100-continue") ? expects_continue : expects_other_) = true;
        }
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override { return body.size(); }
    void on_finish_impl(error_code&) override {}
    void on_response_impl(int, string_view, int, error_code&) override {}

    unsigned hosts_ = 0;
    bool encoded_ = false;
    bool expects_other_ = false;
};

}  // namespace

class request_reader::state {
public:
    explicit state(const request_limits& limits) : limits_(limits), buffer_(std::max<std::size_t>(limits.header_bytes, 64)) {
        begin();
    }

    [[nodiscard]] bool ready() const noexcept { return ready_; }

    [[nodiscard]] bool begun() const noexcept { return first_ != end_ || parser_->got_some(); }

    [[nodiscard]] std::span<std::byte> room() noexcept {
        if (first_ != 0) {
            std::memmove(buffer_.data(), buffer_.data() + first_, end_ - first_);
            end_ -= std::exchange(first_, 0);
        }
        return std::span(buffer_).subspan(end_);
    }

    void received(std::size_t n) {
        end_ += n;
        parse();
    }

    [[nodiscard]] http_request take() {
        http_request taken = std::move(parser_->request);
        if (taken.refusal != 0) {
            taken.keep_alive = false;
            return taken;
        }
        begin();
        parse();
        return taken;
    }

private:
    void begin() {
        parser_.emplace();
        parser_->header_limit(limits_.header_bytes);
        parser_->body_limit(limits_.body_bytes);
        header_bytes_ = 0;
        ready_ = false;
    }

    void refuse(unsigned status) noexcept {
        parser_->request.refusal = status;
        first_ = end_;  // nobody can tell where another request would begin
        ready_ = true;
    }

    /// Lets the parser have what is there.
    void parse() {
        if (!parser_->got_some()) { skip_empty_lines(); }
        while (!ready_ && first_ != end_) {
            const bool in_header = !parser_->is_header_done();
            // Beast's parser asserts that it sees the last chunk, "0", and what ends it at once. Whatever is whole still has
            // as many bytes to come.
            constexpr std::size_t last_chunk_bytes = 5;
            if (!in_header && parser_->chunked() && end_ - first_ < last_chunk_bytes) { return; }
            error_code failure;
            const std::size_t used = parser_->put({buffer_.data() + first_, end_ - first_}, failure);
            first_ += used;
            if (in_header) { header_bytes_ += used; }  // the parser's limit is on what it was given at once
            if (header_bytes_ > limits_.header_bytes) { return refuse(431); }
            if (failure == http::error::need_more) {
                // The buffer holds a header; what does not fit is the line of a chunk, or trailers.
                if (end_ - first_ == buffer_.size()) { refuse(in_header ? 431 : 400); }
                return;
            }
            if (failure) { return refuse(status_for(failure)); }
            if (in_header && parser_->is_header_done()) { look_at_header(); }
            if (!ready_ && parser_->is_done()) { ready_ = true; }
        }
    }

    void look_at_header() noexcept {
        if (const unsigned status = parser_->header_refusal(); status != 0) { return refuse(status); }
        http_request& request = parser_->request;
        request.keep_alive = parser_->keep_alive();
        // Nothing here wants a body. A client that asks first is not told to send it, and does not know whether it may.
        if (parser_->expects_continue && !parser_->is_done()) {
            request.keep_alive = false;
            ready_ = true;
        }
    }

    /// RFC 9112, section 2.2.
    void skip_empty_lines() noexcept {
        while (first_ != end_ && (buffer_[first_] == std::byte{'\r'} || buffer_[first_] == std::byte{'\n'})) { ++first_; }
    }

    const request_limits limits_;
    std::vector<std::byte> buffer_;
    std::size_t first_ = 0;  // the bytes from here up to end_ are still to be parsed
    std::size_t end_ = 0;
    std::optional<parser> parser_;  // a new one for each request
    std::uint64_t header_bytes_ = 0;
    bool ready_ = false;
};

request_reader::request_reader(const request_limits& limits) : state_(std::make_unique<state>(limits)) {}
request_reader::~request_reader() = default;

std::span<std::byte> request_reader::room() noexcept {
    return state_->room();
}

void request_reader::received(std::size_t n) {
    state_->received(n);
}

bool request_reader::ready() const noexcept {
    return state_->ready();
}

bool request_reader::begun() const noexcept {
    return state_->begun();
}

http_request request_reader::take() {
    return state_->take();
}

namespace {

[[nodiscard]] std::string text_of(std::time_t date) {
    std::tm parts{};
    ::gmtime_r(&date, &parts);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

class response_writer::state {
public:
    void start(http_response&& response, const http_request& to, bool keep_alive, std::time_t date) {
        serializer_.reset();
        message_ = {};
        message_.version(to.version);
        message_.result(response.status);
        message_.set(http::field::server, "FluxNet http_counters");
        if (date != 0) { message_.set(http::field::date, text_of(date)); }
        if (response.status == 405) { message_.set(http::field::allow, "GET, HEAD"); }
        message_.set(http::field::content_type, response.content_type);
        message_.set(http::field::cache_control, "no-store");
        message_.keep_alive(keep_alive);
        message_.body() = std::move(response.body);
        message_.prepare_payload();
        serializer_.emplace(message_);
        header_only_ = to.method == http_request::verb::head;
        serializer_->split(header_only_);
    }

    [[nodiscard]] std::span<const std::byte> next() {
        std::size_t filled = 0;
        while (filled != buffer_.size() && !is_done()) {
            std::size_t copied = 0;
            error_code failure;
            serializer_->next(failure, [&](error_code&, const auto& buffers) {
                copied = boost::asio::buffer_copy(boost::asio::buffer(buffer_) + filled, buffers);
            });
            if (failure) { throw boost::system::system_error(failure, "write an HTTP response"); }
            serializer_->consume(copied);
            filled += copied;
        }
        return std::span(buffer_).first(filled);
    }

private:
    [[nodiscard]] bool is_done() {
        return !serializer_ || (header_only_ ? serializer_->is_header_done() : serializer_->is_done());
    }

    http::response<http::string_body> message_;
    std::optional<http::response_serializer<http::string_body>> serializer_;  // of the message
    bool header_only_ = false;
    std::vector<std::byte> buffer_ = std::vector<std::byte>(8192);
};

response_writer::response_writer() : state_(std::make_unique<state>()) {}
response_writer::~response_writer() = default;

void response_writer::start(http_response response, const http_request& to, bool keep_alive, std::time_t date) {
    state_->start(std::move(response), to, keep_alive, date);
}

std::span<const std::byte> response_writer::next() {
    return state_->next();
}

}  // namespace http_example
