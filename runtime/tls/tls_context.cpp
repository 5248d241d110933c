// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/tls/tls_context.hpp"

#include "fluxnet/runtime/tls/detail/tls_settings.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <climits>
#include <optional>
#include <string_view>

namespace fluxnet {
namespace detail {

std::string take_openssl_text() {
    std::string text;
    while (const unsigned long code = ::ERR_get_error()) {
        if (ERR_GET_REASON(code) == ERR_R_SYS_LIB && !text.empty()) { continue; }  // what the system said is there already
        if (!text.empty()) { text += ", "; }
        if (ERR_SYSTEM_ERROR(code)) {
            text += errno_text(ERR_GET_REASON(code));
        } else if (const char* reason = ::ERR_reason_error_string(code)) {
            text += reason;
        } else {
            std::array<char, 256> whole{};
            ::ERR_error_string_n(code, whole.data(), whole.size());
            text += whole.data();
        }
    }
    return text.empty() ? "OpenSSL gives no reason" : text;
}

}  // namespace detail

namespace {

using detail::tls_settings;

struct bio_freeing {
    void operator()(BIO* gone) const noexcept { ::BIO_free(gone); }
};
struct certificate_freeing {
    void operator()(X509* gone) const noexcept { ::X509_free(gone); }
};
struct key_freeing {
    void operator()(EVP_PKEY* gone) const noexcept { ::EVP_PKEY_free(gone); }
};
using certificate = std::unique_ptr<X509, certificate_freeing>;

/// In place of OpenSSL's own, which asks at the terminal.
int no_password(char*, int, int, void*) {
    return -1;
}

std::unique_ptr<BIO, bio_freeing> reader_of(const std::string& text) {
    return std::unique_ptr<BIO, bio_freeing>(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// Calls `use` with each certificate of the text; false when there is none, one is damaged, or `use` says so.
template <class Use>
bool each_certificate(const std::string& text, Use use) {
    const auto from = reader_of(text);
    if (!from) { return false; }
    bool any = false;
    while (certificate next{::PEM_read_bio_X509(from.get(), nullptr, no_password, nullptr)}) {
        any = true;
        if (!use(std::move(next))) { return false; }
    }
    // The end of the text says that there is no further one.
    const bool at_end = ERR_GET_REASON(::ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (any && at_end) { ::ERR_clear_error(); }
    return any && at_end;
}

bool use_chain_text(SSL_CTX* of, const std::string& text) {
    bool is_first = true;
    return each_certificate(text, [&](certificate next) {
        if (std::exchange(is_first, false)) { return ::SSL_CTX_use_certificate(of, next.get()) == 1; }
        if (::SSL_CTX_add0_chain_cert(of, next.get()) != 1) { return false; }
        static_cast<void>(next.release());
        return true;
    });
}

bool use_key_text(SSL_CTX* of, const std::string& text) {
    const auto from = reader_of(text);
    if (!from) { return false; }
    const std::unique_ptr<EVP_PKEY, key_freeing> key(::PEM_read_bio_PrivateKey(from.get(), nullptr, no_password, nullptr));
    return key && ::SSL_CTX_use_PrivateKey(of, key.get()) == 1;
}

bool trust_text(SSL_CTX* of, const std::string& text) {
    return each_certificate(text, [of](const certificate& next) {
        return ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(of), next.get()) == 1;
    });
}

/// Chooses the first protocol of ours that the client offers.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void* protocols) {
    const auto& ours = *static_cast<const std::string*>(protocols);
    unsigned char* found = nullptr;
    const int came = ::SSL_select_next_proto(&found, size, reinterpret_cast<const unsigned char*>(ours.data()),
                                             static_cast<unsigned>(ours.size()), offered, offered_size);
    if (came != OPENSSL_NPN_NEGOTIATED) { return SSL_TLSEXT_ERR_ALERT_FATAL; }
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

/// Takes the certificate and the key; returns what could not be used.
std::optional<std::string> use_identity(SSL_CTX* of, const tls_options& options) {
    if (!options.chain_file.empty() && ::SSL_CTX_use_certificate_chain_file(of, options.chain_file.c_str()) != 1) {
        return "chain_file " + options.chain_file;
    }
    if (!options.chain_text.empty() && !use_chain_text(of, options.chain_text)) { return "chain_text"; }
    if (!options.key_file.empty() && ::SSL_CTX_use_PrivateKey_file(of, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
        return "key_file " + options.key_file;
    }
    if (!options.key_text.empty() && !use_key_text(of, options.key_text)) { return "key_text"; }
    const bool has_chain = !options.chain_file.empty() || !options.chain_text.empty();
    const bool has_key = !options.key_file.empty() || !options.key_text.empty();
    if ((has_chain || has_key) && ::SSL_CTX_check_private_key(of) != 1) { return "the certificate with its key"; }
    return std::nullopt;
}

/// Takes the authorities to trust; returns what could not be used.
std::optional<std::string> use_trust(tls_settings& of, const tls_options& options) {
    SSL_CTX* const shared = of.shared.get();
    const bool has_any = !options.trusted_file.empty() || !options.trusted_text.empty();
    if (!options.trusted_file.empty() && ::SSL_CTX_load_verify_file(shared, options.trusted_file.c_str()) != 1) {
        return "trusted_file " + options.trusted_file;
    }
    if (!options.trusted_text.empty() && !trust_text(shared, options.trusted_text)) { return "trusted_text"; }
    if (!has_any && !of.is_server && of.verify && ::SSL_CTX_set_default_verify_paths(shared) != 1) {
        return "the system's authorities";
    }
    if (of.is_server) { of.verify = has_any; }
    ::SSL_CTX_set_verify(shared, of.verify ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, nullptr);
    return std::nullopt;
}

/// Takes the names for ALPN; returns what could not be used.
std::optional<std::string> use_protocols(tls_settings& of, const tls_options& options) {
    for (const std::string& each : options.protocols) {
        if (each.empty() || each.size() > UCHAR_MAX) { return "protocol name \"" + each + '"'; }
        of.protocols += static_cast<char>(each.size());
        of.protocols += each;
    }
    if (of.protocols.empty()) { return std::nullopt; }
    if (of.is_server) {
        ::SSL_CTX_set_alpn_select_cb(of.shared.get(), choose_protocol, &of.protocols);
        return std::nullopt;
    }
    const auto* const names = reinterpret_cast<const unsigned char*>(of.protocols.data());
    const int failed = ::SSL_CTX_set_alpn_protos(of.shared.get(), names, static_cast<unsigned>(of.protocols.size()));
    return failed != 0 ? std::optional<std::string>("protocols") : std::nullopt;
}

}  // namespace

result<tls_context> tls_context::client(const tls_options& options) {
    return make(options, false);
}

result<tls_context> tls_context::server(const tls_options& options) {
    if (options.chain_file.empty() && options.chain_text.empty()) {
        return make_error(errc::invalid_option, "TLS server options", "there is no certificate",
                          "give chain_file or chain_text, and the key");
    }
    return make(options, true);
}

result<tls_context> tls_context::make(const tls_options& options, bool is_server) {
    ::ERR_clear_error();
    const auto made = std::make_shared<tls_settings>();
    made->is_server = is_server;
    made->verify = options.verify;
    made->shared.reset(::SSL_CTX_new(is_server ? ::TLS_server_method() : ::TLS_client_method()));
    SSL_CTX* const shared = made->shared.get();
    if (shared == nullptr || ::SSL_CTX_set_min_proto_version(shared, TLS1_2_VERSION) != 1) {
        return make_error(errc::system_failure, "set up TLS", detail::take_openssl_text(), "check OpenSSL's configuration");
    }
    ::SSL_CTX_set_default_passwd_cb(shared, no_password);
    ::SSL_CTX_set_options(shared, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    ::SSL_CTX_set_mode(shared, SSL_MODE_RELEASE_BUFFERS);  // an idle connection keeps none
    ::SSL_CTX_set_session_cache_mode(shared, SSL_SESS_CACHE_OFF);
    ::SSL_CTX_set_num_tickets(shared, 0);  // a client that does not read would be left with them unread
    std::optional<std::string> refused = use_identity(shared, options);
    if (!refused) { refused = use_trust(*made, options); }
    if (!refused) { refused = use_protocols(*made, options); }
    if (refused) {
        return make_error(errc::invalid_option, "TLS options: " + *refused, detail::take_openssl_text(),
                          "give what exists, can be read, is PEM without a password, and belongs together");
    }
    return tls_context(made);
}

}  // namespace fluxnet
