// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/resolve.hpp"

#include "fluxnet/runtime/sockets/detail/socket_address.hpp"
#include "fluxnet/runtime/sockets/offload.hpp"

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace fluxnet {
namespace {

class category final : public std::error_category {
public:
    const char* name() const noexcept override { return "fluxnet.resolve"; }

    std::string message(int value) const override {
        switch (static_cast<resolve_errc>(value)) {
            case resolve_errc::name_not_found: return "name not found";
            case resolve_errc::service_not_found: return "service not found";
            case resolve_errc::try_again: return "name cannot be looked up at the moment";
            case resolve_errc::no_address: return "no address of this IP version";
            case resolve_errc::failed: return "name cannot be looked up";
        }
        return "unknown condition";
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<resolve_errc>(value)) {
            case resolve_errc::try_again: return std::errc::resource_unavailable_try_again;
            case resolve_errc::no_address: return std::errc::address_family_not_supported;
            case resolve_errc::name_not_found:
            case resolve_errc::service_not_found:
            case resolve_errc::failed: break;
        }
        return {value, *this};
    }
};

struct addrinfo_deleter {
    void operator()(addrinfo* first) const noexcept { ::freeaddrinfo(first); }
};

std::string step_of(const std::string& host, const std::string& service) {
    return "resolve host \"" + host + "\" service \"" + service + '"';
}

const char* text_of(ip_version version) noexcept {
    return version == ip_version::v4 ? "IPv4" : version == ip_version::v6 ? "IPv6" : "IP";
}

/// Whether a service is the number of a port.
bool is_port(const std::string& service) noexcept {
    std::uint16_t port = 0;
    const auto [end, failure] = std::from_chars(service.data(), service.data() + service.size(), port);
    return failure == std::errc{} && end == service.data() + service.size();
}

/// The endpoint, where both parts are numbers.
std::optional<proto::ip_endpoint> numeric(const std::string& host, const std::string& service) {
    if (!is_port(service)) { return std::nullopt; }
    const bool is_v6 = host.find(':') != host.npos;
    return proto::ip_endpoint::parse(is_v6 ? '[' + host + "]:" + service : host + ':' + service);
}

/// Whether getaddrinfo() would take the service for a number, of which it keeps the last 16 bits, though it is no port's.
bool is_no_port(const std::string& service) noexcept {
    char* end = nullptr;
    static_cast<void>(std::strtoul(service.c_str(), &end, 10));
    return *end == '\0' && !is_port(service);
}

/// Why the names cannot be given to a function of C.
std::optional<error> refuse(const std::string& host, const std::string& service) {
    if (!service.empty() && service.find('\0') == service.npos && is_no_port(service)) {
        return error{resolve_errc::service_not_found, step_of(host, service), "the service is a number, but no port's",
                     "give a port from 0 to 65535, or a service of /etc/services"};
    }
    for (const std::string* const each : {&host, &service}) {
        if (!each->empty() && each->find('\0') == each->npos) { continue; }
        return make_error(errc::invalid_option, step_of(host, service),
                          each->empty() ? "a name is empty" : "a name contains a zero octet",
                          "give a host name or an address, and a port or the name of a service");
    }
    return std::nullopt;
}

}  // namespace

const std::error_category& resolve_category() noexcept {
    static const category instance;
    return instance;
}

std::error_code make_error_code(resolve_errc condition) noexcept {
    return {static_cast<int>(condition), resolve_category()};
}

error detail::look_up_error(int answer, int number, const std::string& host, const std::string& service,
                            ip_version version) {
    std::string step = step_of(host, service);
    std::string cause = ::gai_strerror(answer);
    switch (answer) {
        case EAI_NONAME:
            return {resolve_errc::name_not_found, std::move(step), std::move(cause),
                    "check the name (getent ahosts NAME shows what this host knows of it)"};
        case EAI_NODATA:
        case EAI_ADDRFAMILY:
            return {resolve_errc::no_address, std::move(step), std::move(cause),
                    std::string("ask for any version, or give the host an address of ") + text_of(version)};
        case EAI_SERVICE:
            return {resolve_errc::service_not_found, std::move(step), std::move(cause),
                    "give the port as a number, or a service of /etc/services"};
        case EAI_AGAIN:
            return {resolve_errc::try_again, std::move(step), std::move(cause),
                    "try again; if it stays so, check the name servers in /etc/resolv.conf"};
        case EAI_MEMORY: return make_error(errc::out_of_memory, std::move(step), std::move(cause), "free memory");
        case EAI_SYSTEM:
            return {std::error_code(number, std::system_category()), std::move(step), errno_text(number),
                    "see the manual page of getaddrinfo(3)"};
        default:
            return {resolve_errc::failed, std::move(step), std::move(cause),
                    "check the name servers in /etc/resolv.conf and the order of look-ups in /etc/nsswitch.conf"};
    }
}

resolved detail::look_up(const std::string& host, const std::string& service, const resolve_options& options) {
    addrinfo hints{};
    hints.ai_family = options.version == ip_version::v4 ? AF_INET : options.version == ip_version::v6 ? AF_INET6 : AF_UNSPEC;
    hints.ai_socktype = options.datagrams ? SOCK_DGRAM : SOCK_STREAM;
    addrinfo* first = nullptr;
    const int answer = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &first);
    const int number = errno;
    const std::unique_ptr<addrinfo, addrinfo_deleter> list(first);
    if (answer != 0) { return look_up_error(answer, number, host, service, options.version); }
    std::vector<proto::ip_endpoint> found;
    for (const addrinfo* each = list.get(); each != nullptr; each = each->ai_next) {
        if (each->ai_family == AF_INET || each->ai_family == AF_INET6) {
            found.push_back(detail::socket_address(*each->ai_addr, each->ai_addrlen).endpoint());
        }
    }
    if (found.empty()) { return look_up_error(EAI_NONAME, 0, host, service, options.version); }
    return found;
}

task<resolved> detail::resolve_by(look_up_function look, std::string host, std::string service, resolve_options options) {
    if (auto refusal = refuse(host, service)) { co_return std::move(*refusal); }
    if (const auto endpoint = numeric(host, service)) {
        const bool wanted =
            options.version == ip_version::any || (options.version == ip_version::v4) == endpoint->address.is_v4();
        if (wanted) { co_return std::vector<proto::ip_endpoint>(1, *endpoint); }
        co_return error{resolve_errc::no_address, step_of(host, service),
                        std::string("the address is not one of ") + text_of(options.version),
                        "give an address of that version, or ask for any version"};
    }
    // The function owns all that it uses, so it may be abandoned.
    auto job = [look, host, service, options] { return look(host, service, options); };
    result<resolved> ended = co_await offload(std::move(job), when_canceled::abandons);
    if (!ended) {
        error why = ended.error();
        why.step = step_of(host, service);
        if (why.code == errc::not_in_virtual_time) { why.remedy = "give a numeric address and port"; }
        co_return why;
    }
    co_return std::move(*ended);
}

task<resolved> resolve(std::string host, std::string service, resolve_options options) {
    return detail::resolve_by(detail::look_up, std::move(host), std::move(service), options);
}

}  // namespace fluxnet
