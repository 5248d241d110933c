// SPDX-License-Identifier: BSD-3-Clause
// `tls_context`: what many TLS connections share: certificate and key, whom to trust, which protocols to offer.
//
//     const tls_context context = tls_context::client({.protocols = {"h2", "http/1.1"}}).value();
//     auto peer = co_await tls_stream<tcp_stream>::connect(std::move(socket), context, "www.example.org");
//
// A handle that is cheap to copy; the streams made with it keep what they need. It does not change once it is made. TLS 1.2
// and 1.3 are spoken, nothing older. No session is resumed and nothing is renegotiated.
//
// Threads: any, at the same time.
#pragma once

#include "fluxnet/export.hpp"
#include "fluxnet/xsk/base/error.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet {

namespace detail {
struct tls_settings;
}

/// Certificates and keys are PEM, in a file or as text. A key must not be encrypted: nobody could be asked for its password.
struct tls_options {
    std::string chain_file = {};  ///< One's own certificate, then those that lead to its authority. A server needs one.
    std::string chain_text = {};  ///< The same as text.
    std::string key_file = {};    ///< The certificate's private key.
    std::string key_text = {};    ///< The same as text.

    /// The authorities to trust. A client without any trusts the system's. A server with any demands a certificate of each
    /// client.
    std::string trusted_file = {};
    std::string trusted_text = {};

    /// A client's: whether the server's certificate has to be trusted and be for the host that was asked for. Without that
    /// anybody in between can read and change everything.
    bool verify = true;

    /// Names for ALPN ("h2"), the preferred one first. A server refuses a client that offers only others.
    std::vector<std::string> protocols = {};
};

class FLUXNET_EXPORT tls_context {
public:
    /// Reads files. Errors: invalid_option, with OpenSSL's text and the option that it is about.
    [[nodiscard]] static result<tls_context> client(const tls_options& options = {});
    [[nodiscard]] static result<tls_context> server(const tls_options& options);

    /// For the streams, which keep them.
    [[nodiscard]] const std::shared_ptr<const detail::tls_settings>& settings() const noexcept { return settings_; }

private:
    explicit tls_context(std::shared_ptr<const detail::tls_settings> settings) noexcept : settings_(std::move(settings)) {}

    static result<tls_context> make(const tls_options& options, bool is_server);

    std::shared_ptr<const detail::tls_settings> settings_;
};

}  // namespace fluxnet
