// SPDX-License-Identifier: BSD-3-Clause
// `kernel_share`: what a host needs of the kernel whose addresses it shares: neighbours, and ports that it holds.
//
// Owned by the host. Threads: that of the executor; held_ports: any.
#pragma once

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/host/detail/kernel_neighbours.hpp"
#include "fluxnet/runtime/host/host_options.hpp"
#include "fluxnet/runtime/sockets/descriptor.hpp"
#include "fluxnet/xsk/base/error.hpp"
#include "fluxnet/xsk/rx.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fluxnet::host::detail {

/// Ports that no program of the kernel's can have meanwhile: a socket of the kernel's is bound to each, and nothing more.
class held_ports {
public:
    /// Binds the ports that the options name at each address, which the kernel has. Errors: address_in_use and
    /// address_not_available (std::errc: a program has the port, or the kernel does not have the address),
    /// permission_denied, system_failure.
    [[nodiscard]] static result<std::shared_ptr<held_ports>> hold(const std::string& step, const host_options& options,
                                                                  int interface);

private:
    std::vector<descriptor> sockets_;
};

/// Whether the host may use a port, of TCP or of UDP; and the first and the last of those that it may choose.
class given_ports {
public:
    explicit given_ports(const host_options& options);

    [[nodiscard]] bool are_all() const noexcept { return !only_; }
    /// Port 0: one that is to be chosen.
    [[nodiscard]] bool has_tcp(std::uint16_t port) const noexcept { return !only_ || has(only_->tcp, port); }
    [[nodiscard]] bool has_udp(std::uint16_t port) const noexcept { return !only_ || has(only_->udp, port); }
    /// None when first is behind last.
    [[nodiscard]] port_range chosen() const noexcept { return chosen_; }
    [[nodiscard]] bool may_choose() const noexcept { return chosen_.first <= chosen_.last; }

private:
    [[nodiscard]] bool has(const std::vector<std::uint16_t>& named, std::uint16_t port) const noexcept;

    std::optional<host_ports> only_;
    port_range chosen_{49152, 65535};  // RFC 6335 section 6
};

struct kernel_share {
    std::unique_ptr<kernel_neighbours> neighbours;
    std::shared_ptr<held_ports> ports;

    /// What is wrong with host_options::only_ports; empty: nothing.
    [[nodiscard]] static std::string check(const host_options& options);
    /// Why the socket does not leave the rest to the kernel, or the kernel could give the ports to be chosen away; no error:
    /// neither. Reads what the kernel says of its ports from /proc.
    [[nodiscard]] static result<void> examine(const std::string& step, const host_options& options, const rx& socket);
    /// Begins to listen to the kernel. Errors: permission_denied, not_in_virtual_time, system_failure.
    [[nodiscard]] static result<std::unique_ptr<kernel_neighbours>> find_neighbours(const std::string& step, executor& on,
                                                                                    int interface);
};

}  // namespace fluxnet::host::detail
