// SPDX-License-Identifier: BSD-3-Clause
// `tls_settings`: what a `tls_context` stands for. Shared by all handles and engines made of it; constant once it is made.
// Threads: any.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

namespace fluxnet::detail {

struct tls_settings {
    struct freeing {
        void operator()(SSL_CTX* gone) const noexcept { ::SSL_CTX_free(gone); }
    };

    std::unique_ptr<SSL_CTX, freeing> shared;
    std::string protocols;  ///< As ALPN has them: each name after its length.
    bool is_server = false;
    bool verify = true;
};

/// Takes everything that OpenSSL has to say about this thread's last failure.
[[nodiscard]] std::string take_openssl_text();

}  // namespace fluxnet::detail
