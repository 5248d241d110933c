// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/tls/tls_errc.hpp"

#include <string>

namespace fluxnet {
namespace {

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "fluxnet.tls"; }

    std::string message(int value) const override {
        switch (static_cast<tls_errc>(value)) {
            case tls_errc::truncated: return "the connection ended without a close_notify";
            case tls_errc::not_tls: return "the peer does not speak TLS";
            case tls_errc::protocol_failure: return "TLS protocol failure";
            case tls_errc::alert_received: return "the peer refused the connection with an alert";
            case tls_errc::certificate_expired: return "certificate expired";
            case tls_errc::certificate_not_yet_valid: return "certificate not yet valid";
            case tls_errc::certificate_self_signed: return "self-signed certificate that is not trusted";
            case tls_errc::certificate_untrusted: return "certificate of an authority that is not trusted";
            case tls_errc::certificate_wrong_host: return "certificate for another host";
            case tls_errc::certificate_refused: return "certificate refused";
            case tls_errc::write_abandoned: return "a write was destroyed before its end";
        }
        return "unknown condition";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<tls_errc>(value)) {
            case tls_errc::truncated: return std::errc::connection_reset;
            case tls_errc::not_tls:
            case tls_errc::protocol_failure: return std::errc::protocol_error;
            case tls_errc::alert_received: return std::errc::connection_aborted;
            case tls_errc::certificate_expired:
            case tls_errc::certificate_not_yet_valid:
            case tls_errc::certificate_self_signed:
            case tls_errc::certificate_untrusted:
            case tls_errc::certificate_wrong_host:
            case tls_errc::certificate_refused: return std::errc::permission_denied;
            case tls_errc::write_abandoned: return std::errc::broken_pipe;
        }
        return {value, *this};
    }
};

}  // namespace

const std::error_category& tls_category() noexcept {
    static const category instance;
    return instance;
}

std::error_code make_error_code(tls_errc condition) noexcept {
    return {static_cast<int>(condition), tls_category()};
}

}  // namespace fluxnet
