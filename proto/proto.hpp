// SPDX-License-Identifier: BSD-3-Clause
// Every public header of `fluxnet::proto`.
#pragma once

#include "fluxnet/proto/arp.hpp"
#include "fluxnet/proto/byte_order.hpp"
#include "fluxnet/proto/checksum.hpp"
#include "fluxnet/proto/echo_host.hpp"
#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ip_address.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/ip_protocol.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv4_address.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/ipv6_address.hpp"
#include "fluxnet/proto/ipv6_upper_layer.hpp"
#include "fluxnet/proto/mac_address.hpp"
#include "fluxnet/proto/reason.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/proto/tcp_options.hpp"
#include "fluxnet/proto/udp.hpp"
#include "fluxnet/proto/udp_station.hpp"
