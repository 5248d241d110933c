// SPDX-License-Identifier: BSD-3-Clause
// Every public header of `fluxnet::simulation`.
#pragma once

#include "fluxnet/runtime/simulation/memory_buffer.hpp"
#include "fluxnet/runtime/simulation/memory_datagram_socket.hpp"
#include "fluxnet/runtime/simulation/memory_listener.hpp"
#include "fluxnet/runtime/simulation/memory_network.hpp"
#include "fluxnet/runtime/simulation/memory_options.hpp"
#include "fluxnet/runtime/simulation/memory_stream.hpp"
#include "fluxnet/runtime/simulation/virtual_clock.hpp"
#include "fluxnet/runtime/simulation/wire_pump.hpp"
#include "fluxnet/xsk/simulation/simulated_wire.hpp"
