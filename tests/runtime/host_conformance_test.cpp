// SPDX-License-Identifier: BSD-3-Clause
// udp_endpoint as a model of `datagram_socket`: endpoints of two hosts on a simulated wire in turn, by either version and at
// both at once, and all endpoints on one host.
#include "fluxnet/runtime/host/udp_endpoint.hpp"

#include "tests/runtime/datagram_conformance.hpp"
#include "tests/runtime/host_bed.hpp"

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

template <bool V4, bool OneHost>
class host_datagrams {
public:
    using socket_type = host::udp_endpoint;

    executor& loop() { return hosts_.loop; }
    socket_type make_socket() {
        const bool first = OneHost || next_++ % 2 == 0;
        return (first ? hosts_.left : hosts_.right).open_udp({address_of(V4, first ? 1 : 2), 0}).value();
    }
    static proto::ip_endpoint nobody() { return {address_of(V4, 2), 9}; }

private:
    two_hosts hosts_;
    std::size_t next_ = 0;
};

using over_ipv4 = host_datagrams<true, false>;
using over_ipv6 = host_datagrams<false, false>;
using inside_a_host = host_datagrams<false, true>;

}  // namespace

FLUXNET_DATAGRAM_CONFORMANCE(over_ipv4, "a host's UDP over IPv4")
FLUXNET_DATAGRAM_CONFORMANCE(over_ipv6, "a host's UDP over IPv6")
FLUXNET_DATAGRAM_CONFORMANCE(inside_a_host, "a host's UDP within the host")
