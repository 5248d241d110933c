// SPDX-License-Identifier: BSD-3-Clause
// All public headers in one file, to be compiled with more warnings than our own files are.
#include "fluxnet/asio.hpp"
#include "fluxnet/fluxnet.hpp"
#include "fluxnet/runtime/tls/tls_stream.hpp"
