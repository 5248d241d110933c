// SPDX-License-Identifier: BSD-3-Clause
// What the tests of TLS share: certificates that the test makes itself, contexts with them, and pairs of streams.
//
// Plain values, used on one thread.
#pragma once

#include "fluxnet/runtime/core/scope.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/tls/tls_context.hpp"
#include "fluxnet/runtime/tls/tls_stream.hpp"

#include <doctest/doctest.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <utility>

namespace fluxnet::test {

/// A certificate with its key, in PEM and as OpenSSL has them.
struct identity {
    std::shared_ptr<X509> certificate;
    std::shared_ptr<EVP_PKEY> key;
    std::string certificate_text;
    std::string key_text;
};

struct identity_options {
    std::string name = "server.test";
    const identity* issuer = nullptr;  ///< Signs it; without one it signs itself.
    long from = -3600;                 ///< Seconds from now on when it begins to be valid.
    long until = 3600;
};

template <class Write>
std::string text_of_pem(Write write) {
    const std::shared_ptr<BIO> into(::BIO_new(::BIO_s_mem()), ::BIO_free);
    REQUIRE(write(into.get()) == 1);
    std::string text(::BIO_ctrl_pending(into.get()), '\0');
    REQUIRE(::BIO_read(into.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()));
    return text;
}

inline void add_extension(X509* to, int which, const std::string& value) {
    const std::shared_ptr<X509_EXTENSION> made(::X509V3_EXT_conf_nid(nullptr, nullptr, which, value.c_str()),
                                               ::X509_EXTENSION_free);
    REQUIRE(made);
    REQUIRE(::X509_add_ext(to, made.get(), -1) == 1);
}

inline identity make_identity(const identity_options& options = {}) {
    identity made;
    made.key.reset(::EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), ::EVP_PKEY_free);
    made.certificate.reset(::X509_new(), ::X509_free);
    X509* const that = made.certificate.get();
    REQUIRE(made.key);
    ::X509_set_version(that, X509_VERSION_3);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(that), options.issuer == nullptr ? 1 : 2);
    ::X509_gmtime_adj(::X509_getm_notBefore(that), options.from);
    ::X509_gmtime_adj(::X509_getm_notAfter(that), options.until);
    ::X509_set_pubkey(that, made.key.get());
    const std::string subject = (options.issuer == nullptr ? "authority " : "host ") + options.name;
    const auto* const name = reinterpret_cast<const unsigned char*>(subject.c_str());
    ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(that), "CN", MBSTRING_ASC, name, -1, -1, 0);
    const X509* const issuer = options.issuer == nullptr ? that : options.issuer->certificate.get();
    ::X509_set_issuer_name(that, ::X509_get_subject_name(issuer));
    add_extension(that, NID_basic_constraints, options.issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(that, NID_subject_alt_name, "DNS:" + options.name + ",IP:127.0.0.1");
    EVP_PKEY* const signing = options.issuer == nullptr ? made.key.get() : options.issuer->key.get();
    REQUIRE(::X509_sign(that, signing, ::EVP_sha256()) != 0);
    made.certificate_text = text_of_pem([&](BIO* into) { return ::PEM_write_bio_X509(into, that); });
    made.key_text = text_of_pem(
        [&](BIO* into) { return ::PEM_write_bio_PrivateKey(into, made.key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
    return made;
}

/// Options of a peer that shows `own`.
inline tls_options showing(const identity& own) {
    tls_options options;
    options.chain_text = own.certificate_text;
    options.key_text = own.key_text;
    return options;
}

/// Options of a peer that trusts `authority`.
inline tls_options trusting(const identity& authority) {
    tls_options options;
    options.trusted_text = authority.certificate_text;
    return options;
}

/// An identity that all tests may use where it does not matter which.
inline const identity& some_identity() {
    static const identity made = make_identity();
    return made;
}

inline tls_context some_server() {
    return tls_context::server(showing(some_identity())).value();
}

inline tls_context some_client() {
    return tls_context::client(trusting(some_identity())).value();
}

/// What both peers came to.
template <class S>
struct handshake_results {
    result<tls_stream<S>> near;
    result<tls_stream<S>> far;
};

/// Shakes hands over two ends of a connection, the near one as the client.
template <class S>
task<handshake_results<S>> shake_hands(S near, S far, tls_context client, tls_context server, std::string host) {
    result<tls_stream<S>> accepted = make_error(errc::closed, "", "", "");
    scope accepting;
    accepting.spawn([&]() -> task<void> { accepted = co_await tls_stream<S>::accept(std::move(far), server); });
    result<tls_stream<S>> connected = co_await tls_stream<S>::connect(std::move(near), client, std::move(host));
    const wait_result ended = co_await accepting.join();
    CHECK(!ended);
    co_return handshake_results<S>{std::move(connected), std::move(accepted)};
}

/// The same with what always works.
template <class S>
task<std::pair<tls_stream<S>, tls_stream<S>>> tls_pair(S near, S far) {
    auto both = co_await shake_hands<S>(std::move(near), std::move(far), some_client(), some_server(), "server.test");
    REQUIRE(both.near.has_value());
    REQUIRE(both.far.has_value());
    co_return std::pair(std::move(*both.near), std::move(*both.far));
}

}  // namespace fluxnet::test
