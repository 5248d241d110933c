// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/tls/detail/tls_engine.hpp"

#include "fluxnet/runtime/tls/detail/tls_settings.hpp"
#include "fluxnet/runtime/tls/tls_errc.hpp"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <new>
#include <utility>

namespace fluxnet::detail {
namespace {

/// Answers that a peer may have OpenSSL make, by key updates, before this side writes again.
constexpr std::size_t most_answers = 65'536;

tls_errc condition_of(long verified) noexcept {
    switch (verified) {
        case X509_V_ERR_CERT_HAS_EXPIRED: return tls_errc::certificate_expired;
        case X509_V_ERR_CERT_NOT_YET_VALID: return tls_errc::certificate_not_yet_valid;
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return tls_errc::certificate_self_signed;
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        case X509_V_ERR_CERT_UNTRUSTED: return tls_errc::certificate_untrusted;
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH: return tls_errc::certificate_wrong_host;
        default: return tls_errc::certificate_refused;
    }
}

const char* remedy_of(const std::error_code& code) noexcept {
    if (code.category() != tls_category()) { return "see the stream below"; }
    switch (static_cast<tls_errc>(code.value())) {
        case tls_errc::certificate_expired: return "have the peer's certificate renewed, or set this machine's clock";
        case tls_errc::certificate_not_yet_valid: return "set this machine's clock, or wait";
        case tls_errc::certificate_self_signed: return "give the certificate as trusted_file if it is the peer's";
        case tls_errc::certificate_untrusted: return "give the peer's authority as trusted_file, or install the system's";
        case tls_errc::certificate_wrong_host: return "ask for the name that the certificate has";
        case tls_errc::not_tls: return "check the port, and whether the peer is to speak TLS there";
        case tls_errc::alert_received: return "see what the peer's log says; it may want a certificate or a protocol";
        case tls_errc::truncated: return "see what the peer's log says";
        case tls_errc::protocol_failure:
        case tls_errc::certificate_refused:
        case tls_errc::write_abandoned: break;
    }
    return "compare what both peers are set up for";
}

}  // namespace

void tls_engine::freeing::operator()(ssl_st* gone) const noexcept {
    ::SSL_free(gone);
}

tls_engine::~tls_engine() = default;

result<std::unique_ptr<tls_engine>> tls_engine::make(const tls_context& context, std::string_view host, bool is_server) {
    if (context.settings() == nullptr) {
        return make_error(errc::closed, is_server ? "accept TLS" : "connect by TLS", "the context was moved from",
                          "use the context that it was moved to; contexts may be copied");
    }
    if (context.settings()->is_server != is_server) {
        return make_error(errc::invalid_option, is_server ? "accept TLS" : "connect by TLS",
                          is_server ? "the context is a client's" : "the context is a server's",
                          is_server ? "make it with tls_context::server" : "make it with tls_context::client");
    }
    ::ERR_clear_error();
    std::unique_ptr<tls_engine> made(new tls_engine);
    made->settings_ = context.settings();
    made->ssl_.reset(::SSL_new(made->settings_->shared.get()));
    made->incoming_ = ::BIO_new(::BIO_s_mem());
    made->outgoing_ = ::BIO_new(::BIO_s_mem());
    if (!made->ssl_ || made->incoming_ == nullptr || made->outgoing_ == nullptr) {
        ::BIO_free(made->incoming_);
        ::BIO_free(made->outgoing_);
        throw std::bad_alloc();
    }
    ::BIO_set_mem_eof_return(made->incoming_, -1);  // an empty buffer is not the end
    ::SSL_set_bio(made->ssl_.get(), made->incoming_, made->outgoing_);
    made->host_ = host;
    if (is_server) {
        ::SSL_set_accept_state(made->ssl_.get());
        return made;
    }
    ::SSL_set_connect_state(made->ssl_.get());
    // Names of the DNS may end with a dot; those of certificates and of the extension do not (RFC 6066 section 3).
    if (made->host_.size() > 1 && made->host_.back() == '.') { made->host_.pop_back(); }
    if (!made->set_host(made->host_)) {
        return make_error(errc::invalid_option, "connect by TLS to \"" + made->host_ + '"', "this is no host name",
                          "give the name or the address that the peer's certificate has");
    }
    return made;
}

bool tls_engine::set_host(const std::string& host) {
    if (host.empty()) { return !settings_->verify; }
    // OpenSSL takes a dot at the beginning for all hosts below.
    if (host.front() == '.' || host.find('\0') != std::string::npos) { return false; }
    if (::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl_.get()), host.c_str()) == 1) { return true; }
    ::ERR_clear_error();
    ::SSL_set_hostflags(ssl_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return ::SSL_set1_host(ssl_.get(), host.c_str()) == 1 &&
           SSL_set_tlsext_host_name(ssl_.get(), const_cast<char*>(host.c_str())) == 1;
}

void tls_engine::feed(std::span<const std::byte> arrived) {
    if (arrived.empty()) { return; }
    const int taken = ::BIO_write(incoming_, arrived.data(), static_cast<int>(arrived.size()));
    if (taken != static_cast<int>(arrived.size())) { throw std::bad_alloc(); }
}

std::span<const std::byte> tls_engine::unsent() {
    if (sent_ == records_.size()) {
        records_.resize(::BIO_ctrl_pending(outgoing_));
        sent_ = 0;
        if (!records_.empty()) {
            static_cast<void>(::BIO_read(outgoing_, records_.data(), static_cast<int>(records_.size())));
        }
    }
    return std::span(records_).subspan(sent_);
}

void tls_engine::fail(const std::error_code& why, std::string text) {
    failure_ = why;
    text_ = std::move(text);
}

void tls_engine::keep_failure() {
    const unsigned long last = ::ERR_peek_last_error();
    const int reason = ERR_GET_LIB(last) == ERR_LIB_SSL ? ERR_GET_REASON(last) : 0;
    const long verified = ::SSL_get_verify_result(ssl_.get());
    std::string text = take_openssl_text();
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
        text += ": ";
        text += ::X509_verify_cert_error_string(verified);
        return fail(condition_of(verified), std::move(text));
    }
    if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST) {
        return fail(tls_errc::not_tls, std::move(text));
    }
    const bool is_alert = reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256;
    fail(is_alert ? tls_errc::alert_received : tls_errc::protocol_failure, std::move(text));
}

tls_engine::step tls_engine::after(int came) {
    if (came == 1) { return step::done; }
    if (::SSL_get_error(ssl_.get(), came) != SSL_ERROR_WANT_READ) {
        keep_failure();
        return step::failed;
    }
    if (!at_end_) { return step::wants_bytes; }
    fail(tls_errc::truncated, "the peer ended the connection without a close_notify");
    return step::failed;
}

tls_engine::step tls_engine::handshake() {
    ::ERR_clear_error();
    return after(::SSL_do_handshake(ssl_.get()));
}

io_result tls_engine::read(std::span<std::byte> into) {
    if (failure_) { return {failure_, 0}; }
    ::ERR_clear_error();
    std::size_t got = 0;
    const int came = ::SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
    if (came != 1 && ::SSL_get_error(ssl_.get(), came) == SSL_ERROR_ZERO_RETURN) { return {errc::end_of_stream, 0}; }
    if (after(came) == step::failed) { return {failure_, 0}; }
    if (::BIO_ctrl_pending(outgoing_) > most_answers) {
        fail(tls_errc::protocol_failure, "the peer asks for more key updates than can be answered");
    }
    return {no_error, got};
}

std::error_code tls_engine::write_refusal() const noexcept {
    if (write_abandoned_) { return tls_errc::write_abandoned; }
    if (failure_) { return failure_; }
    if (write_ended_) { return std::make_error_code(std::errc::broken_pipe); }
    return no_error;
}

io_result tls_engine::write(std::span<const std::byte> from) {
    ::ERR_clear_error();
    std::size_t taken = 0;
    const int came = ::SSL_write_ex(ssl_.get(), from.data(), std::min(from.size(), record_bytes), &taken);
    return {after(came) == step::failed ? failure_ : no_error, taken};
}

tls_engine::step tls_engine::end_writing() {
    if (write_ended_) { return step::done; }
    // OpenSSL does not end a direction in the middle of a message about the connection.
    const step ready = handshake();
    if (ready != step::done) { return ready; }
    const int came = ::SSL_shutdown(ssl_.get());
    write_ended_ = came >= 0;
    return came >= 0 ? step::done : after(came);
}

error tls_engine::handshake_error(const std::error_code& ended) const {
    std::string what = settings_->is_server ? "TLS handshake as the server" : "TLS handshake with " + host_;
    return {ended, std::move(what), ended == failure_ ? text_ : ended.message(), remedy_of(ended)};
}

std::string_view tls_engine::protocol() const noexcept {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    ::SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
}

}  // namespace fluxnet::detail
