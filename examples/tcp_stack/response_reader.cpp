// SPDX-License-Identifier: BSD-3-Clause
// All that this example compiles of Boost.Beast.
#include "examples/tcp_stack/response_reader.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <cstring>
#include <limits>
#include <utility>
#include <vector>

namespace tcp_example {
namespace {

namespace http = boost::beast::http;
using boost::beast::string_view;
using error_code = boost::beast::error_code;

class counting_parser final : public http::basic_parser<false> {
public:
    unsigned status = 0;
    std::uint64_t body_bytes = 0;

private:
    void on_request_impl(http::verb, string_view, string_view, int, error_code&) override {}
    void on_response_impl(int code, string_view, int, error_code&) override { status = static_cast<unsigned>(code); }
    void on_field_impl(http::field, string_view, string_view, error_code&) override {}
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    std::size_t on_body_impl(string_view body, error_code&) override { return count(body); }
    void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override { return count(body); }
    void on_finish_impl(error_code&) override {}

    std::size_t count(string_view body) noexcept {
        body_bytes += body.size();
        return body.size();
    }
};

}  // namespace

class response_reader::state {
public:
    state() { parser_.body_limit(std::numeric_limits<std::uint64_t>::max()); }

    [[nodiscard]] std::span<std::byte> room() noexcept { return std::span(buffer_).subspan(filled_); }

    [[nodiscard]] bool received(std::size_t n) {
        filled_ += n;
        while (filled_ != 0 && !parser_.is_done()) {
            error_code failure;
            const std::size_t used = parser_.put(boost::asio::buffer(buffer_.data(), filled_), failure);
            std::memmove(buffer_.data(), buffer_.data() + used, filled_ - used);
            filled_ -= used;
            if (failure == http::error::need_more) { return filled_ != buffer_.size(); }
            if (failure) { return false; }
        }
        return true;
    }

    counting_parser& parser() noexcept { return parser_; }

private:
    counting_parser parser_;
    std::vector<std::byte> buffer_ = std::vector<std::byte>(65'536);
    std::size_t filled_ = 0;
};

response_reader::response_reader() : state_(std::make_unique<state>()) {}
response_reader::~response_reader() = default;

std::span<std::byte> response_reader::room() noexcept {
    return state_->room();
}

bool response_reader::received(std::size_t n) {
    return state_->received(n);
}

void response_reader::ended() {
    error_code failure;
    state_->parser().put_eof(failure);
}

bool response_reader::done() const noexcept {
    return state_->parser().is_done();
}

unsigned response_reader::status() const noexcept {
    return state_->parser().status;
}

std::uint64_t response_reader::body_bytes() const noexcept {
    return state_->parser().body_bytes;
}

}  // namespace tcp_example
