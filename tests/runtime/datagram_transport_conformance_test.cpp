// SPDX-License-Identifier: BSD-3-Clause
// datagram_transport over frames as a model of `datagram_socket`: each socket is a host of its own on an Ethernet switch.
#include "fluxnet/runtime/transport/datagram_transport.hpp"

#include "tests/runtime/datagram_conformance.hpp"
#include "tests/support/lan.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

template <datagram_rung rung>
class framed_datagrams {
public:
    using socket_type = datagram_transport;

    framed_datagrams() {
        for (const std::string& host : hosts_) { lan_.add_host(host); }
    }

    static std::optional<std::string> why_not_available() { return testbed::why_not_available(); }

    executor& loop() { return loop_; }

    /// The next host's, whose former transport is gone.
    socket_type make_socket() {
        const std::size_t number = next_++ % hosts_.size();
        const network_namespace::scoped_enter inside(lan_.place(hosts_[number]));
        datagram_options options;
        options.local = place_of(number);
        options.order = {rung};
        options.frames = builder(lan::interface).frames(512).tx_frames(128);
        for (std::size_t i = 0; i != hosts_.size(); ++i) {
            options.neighbours.push_back({place_of(i).address.v4(), proto::mac_address(lan_.mac(hosts_[i]))});
        }
        options.neighbours.push_back({nobody().address.v4(), proto::mac_address({0x02, 0, 0, 0x78, 0, 0x99})});
        return datagram_transport::open(loop_, options).value();
    }

    static proto::ip_endpoint nobody() { return {proto::ipv4_address(10, 78, 0, 99), 7777}; }

private:
    static proto::ip_endpoint place_of(std::size_t number) {
        return {proto::ipv4_address(10, 78, 0, static_cast<std::uint8_t>(number + 1)), 7777};
    }

    const std::array<std::string, 3> hosts_{"one", "two", "three"};
    lan lan_;
    executor loop_;
    std::size_t next_ = 0;
};

using xdp_datagrams = framed_datagrams<datagram_rung::af_xdp>;
using packet_datagrams = framed_datagrams<datagram_rung::af_packet>;

}  // namespace

FLUXNET_DATAGRAM_CONFORMANCE(xdp_datagrams, "datagrams over AF_XDP")
FLUXNET_DATAGRAM_CONFORMANCE(packet_datagrams, "datagrams over AF_PACKET")
