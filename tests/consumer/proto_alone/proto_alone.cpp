// SPDX-License-Identifier: BSD-3-Clause
// Uses what is compiled of fluxnet::proto, so that it must be linked.
#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/mac_address.hpp"

#include <array>
#include <cstddef>
#include <cstdio>

int main() {
    const auto address = fluxnet::proto::ipv4_address::parse("192.0.2.1");
    const auto hardware = fluxnet::proto::mac_address::parse("02:00:00:00:00:01");
    if (!address || !hardware) { return 1; }
    fluxnet::proto::echo_host host(*hardware, *address);
    std::array<std::byte, 60> frame{};
    if (host.answer(frame) || host.count().frames != 1) { return 1; }
    std::printf("a frame of zeros is dropped\n");
    return 0;
}
