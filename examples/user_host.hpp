// SPDX-License-Identifier: BSD-3-Clause
// What examples that run on a host in user space share: addresses out of their options, a host on an interface, two hosts on
// a simulated wire, and what a host has counted.
//
//     auto here = open_host(loop, made.interface, made.mode, made.host_options());   // `made` is a place
//     ...
//     return print_end(*here, made.interface, 0);
//
// Functions without state, and a wire that owns its executor and both hosts; for the thread of the executor.
#pragma once

#include "examples/command_line.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"

#include <cstdint>
#include <string>

namespace user_host {

/// Reads an address. Throws std::invalid_argument, which names the option and says what it should be.
[[nodiscard]] fluxnet::proto::ip_address address_in(const std::string& text, const char* option);

/// Reads IP or IP/BITS; without BITS the prefix is one that most links have. Throws as address_in() does.
[[nodiscard]] fluxnet::host::host_address host_address_in(const std::string& text, const char* option = "--address");

/// Where a service runs: on a host in user space, over the kernel's sockets, or at both ends of a simulated wire.
struct place {
    std::string interface;
    std::string address;
    std::string gateway;
    fluxnet::xdp_mode mode = fluxnet::xdp_mode::automatic;
    bool skip_probe = false;
    bool kernel = false;
    bool sim = false;

    /// Declares the options that say it, of which one of --interface, --kernel and --sim is to be given.
    void declare(command_line& options);
    /// The options of a host on the interface. Throws as address_in() does.
    [[nodiscard]] fluxnet::host::host_options host_options() const;
};

/// Reads IP:PORT. Throws as address_in() does.
[[nodiscard]] fluxnet::proto::ip_endpoint endpoint_in(const std::string& text, const char* option);

/// Opens a host on an interface, and says on stderr what its socket could not have. All that the queue receives is the host's,
/// unless the options have `only_ports`.
[[nodiscard]] fluxnet::result<fluxnet::host::ip_host> open_host(fluxnet::executor& on, const std::string& interface,
                                                                fluxnet::xdp_mode mode,
                                                                const fluxnet::host::host_options& options,
                                                                std::uint32_t queue = 0);

/// Prints what came and what was dropped for which reason.
void print_host(const fluxnet::host::ip_host& here);

/// Does the same at the end of a program, and says how the host has ended, if it has. Returns the program's status: `status`,
/// or 1 then.
[[nodiscard]] int print_end(const fluxnet::host::ip_host& here, const std::string& interface, int status);

/// Runs until all streams that were closed have sent what was written to them, some seconds at most.
void let_streams_end(fluxnet::executor& loop, fluxnet::host::ip_host& here);

/// The hosts 192.0.2.1 and 192.0.2.2 at the two ends of a wire, in real time.
class hosts_on_a_wire {
public:
    explicit hosts_on_a_wire(const fluxnet::wire_options& options = {}) : wire_(options) {}

    fluxnet::executor& loop() noexcept { return loop_; }
    fluxnet::host::ip_host& left() noexcept { return left_; }
    fluxnet::host::ip_host& right() noexcept { return right_; }
    [[nodiscard]] static fluxnet::proto::ip_address left_address() { return fluxnet::proto::ipv4_address(192, 0, 2, 1); }
    [[nodiscard]] static fluxnet::proto::ip_address right_address() { return fluxnet::proto::ipv4_address(192, 0, 2, 2); }

private:
    [[nodiscard]] fluxnet::host::ip_host open(fluxnet::simulated_wire::end which, std::uint8_t number);

    fluxnet::simulated_wire wire_;
    fluxnet::executor loop_;
    fluxnet::wire_pump pump_{loop_, wire_};
    fluxnet::host::ip_host left_ = open(fluxnet::simulated_wire::end::left, 1);
    fluxnet::host::ip_host right_ = open(fluxnet::simulated_wire::end::right, 2);
};

}  // namespace user_host
