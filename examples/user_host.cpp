// SPDX-License-Identifier: BSD-3-Clause
#include "examples/user_host.hpp"

#include "examples/opening_report.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/host/host_filter.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

using namespace fluxnet;

namespace user_host {

proto::ip_address address_in(const std::string& text, const char* option) {
    const auto address = proto::ip_address::parse(text);
    if (!address) {
        throw std::invalid_argument(std::string("check ") + option + " '" + text +
                                    "': not an IP address; use one like 192.0.2.1 or 2001:db8::1");
    }
    return *address;
}

host::host_address host_address_in(const std::string& text, const char* option) {
    const std::size_t slash = text.find('/');
    const proto::ip_address address = address_in(text.substr(0, slash), option);
    unsigned bits = address.is_v4() ? 24 : 64;
    if (slash != std::string::npos) {
        const unsigned most = address.is_v4() ? 32 : 128;
        const char* const end = text.data() + text.size();
        const auto [at, failed] = std::from_chars(text.data() + slash + 1, end, bits);
        if (failed != std::errc() || at != end || bits > most) {
            throw std::invalid_argument(std::string("check ") + option + " '" + text + "': the prefix length is not a number from 0 to " +
                                        std::to_string(most));
        }
    }
    return {address, bits};
}

void place::declare(command_line& options) {
    options.optional("--interface", interface, "interface that is the program's own");
    options.flag("--kernel", kernel, "the kernel's sockets instead");
    options.flag("--sim", sim, "both ends on a simulated wire");
    options.exactly_one_of({"--interface", "--kernel", "--sim"});
    options.optional("--address", address, "own address; with --interface IP or IP/BITS");
    options.optional("--gateway", gateway, "router to other networks");
    options.mode(mode);
    options.flag("--skip-probe", skip_probe, "use the address at once, whether or not another station has it");
}

host::host_options place::host_options() const {
    host::host_options made;
    made.addresses = {host_address_in(address)};
    made.probe_addresses = !skip_probe;
    if (!gateway.empty()) { made.gateways = {address_in(gateway, "--gateway")}; }
    return made;
}

proto::ip_endpoint endpoint_in(const std::string& text, const char* option) {
    const auto endpoint = proto::ip_endpoint::parse(text);
    if (!endpoint) {
        throw std::invalid_argument(std::string("check ") + option + " '" + text +
                                    "': not like 192.0.2.1:7777 or [2001:db8::1]:7777");
    }
    return *endpoint;
}

result<host::ip_host> open_host(executor& on, const std::string& interface, xdp_mode mode,
                                const host::host_options& options, std::uint32_t queue) {
    builder wanted = builder(interface).queue(queue).mode(mode).frames(4096).tx_frames(1024);
    if (options.only_ports) { wanted.only(host::filter_for(options)); }
    auto sockets = open_async(on, wanted);
    if (!sockets) { return sockets.error(); }
    print_opening_report(sockets->refusals, sockets->notes);
    return host::ip_host::open(on, std::move(sockets->rx), std::move(sockets->tx), options);
}

void print_host(const host::ip_host& here) {
    const host::host_counters& counts = here.counters();
    std::printf(
        "%llu frames received: %llu segments, %llu datagrams, %llu echo requests, %llu ARP, %llu neighbour discovery\n",
        0ULL + counts.frames, 0ULL + counts.segments, 0ULL + counts.datagrams, 0ULL + counts.echoes, 0ULL + counts.arp,
        0ULL + counts.ndp);
    for (std::size_t i = 0; i != proto::reason_count; ++i) {
        const std::uint64_t by_tcp = here.tcp() == nullptr ? 0 : here.tcp()->count().dropped[i];
        if (counts.dropped[i] + by_tcp == 0) { continue; }
        std::printf("dropped, %s: %llu\n", std::string(name(static_cast<proto::reason>(i))).c_str(),
                    0ULL + counts.dropped[i] + by_tcp);
    }
    std::printf("%llu segments sent\n", 0ULL + counts.segments_sent);
}

int print_end(const host::ip_host& here, const std::string& interface, int status) {
    print_host(here);
    if (!here.failure()) { return status; }
    std::fprintf(stderr, "stopped on %s: %s\n", interface.c_str(), here.failure().message().c_str());
    return 1;
}

static task<void> settle(host::ip_host& here) {
    static_cast<void>(co_await timeout(std::chrono::seconds(5), here.settle()));
}

void let_streams_end(executor& loop, host::ip_host& here) {
    loop.restart();  // a signal has cancelled what it awaits, now and later
    loop.run(settle(here));
}

host::ip_host hosts_on_a_wire::open(simulated_wire::end which, std::uint8_t number) {
    auto sockets = open_async(loop_, wire_.socket_on(which).frames(512).tx_frames(128)).value();
    host::host_options options;
    options.addresses = {{proto::ipv4_address(192, 0, 2, number), 24}};
    options.hardware = proto::mac_address({0x02, 0, 0, 0, 0, number});
    options.probe_addresses = false;
    return host::ip_host::open(loop_, std::move(sockets.rx), std::move(sockets.tx), options).value();
}

}  // namespace user_host
