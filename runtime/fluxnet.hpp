// SPDX-License-Identifier: BSD-3-Clause
// Every public header of the library, except those of TLS, which is not built everywhere, and those for Boost.Asio
// (fluxnet/asio.hpp), which take long to compile.
#pragma once

#include "fluxnet/proto.hpp"
#include "fluxnet/runtime.hpp"
#include "fluxnet/simulation.hpp"
#include "fluxnet/xsk.hpp"
