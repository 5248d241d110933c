// SPDX-License-Identifier: BSD-3-Clause
// Opens, binds and attaches a socket, one rung after the other, and remembers why each was refused.
//
// A bind that failed poisons the registration of its UMEM, so every attempt starts from a new descriptor; the memory itself
// stays. Copy mode is the same to native and generic XDP, so a bound socket is kept when only attaching fails.
// Where another socket over the same UMEM is bound already, the first rung is to share its registration and its mode; when
// that is refused the memory is registered once more, which counts twice against the locked-memory limit.
#pragma once

#include "fluxnet/xsk/detail/socket_core.hpp"
#include "fluxnet/xsk/raw_socket.hpp"

#include <memory>
#include <string>
#include <vector>

namespace fluxnet::detail {

struct ladder_result {
    std::shared_ptr<socket_core> core;
    std::vector<error> refusals;
    std::vector<std::string> notes;
};

[[nodiscard]] result<ladder_result> climb(const umem& memory, const socket_options& options, frame_home* stock);

/// Makes the rings and maps them, and registers the UMEM unless that is to be shared; the socket is not bound yet.
[[nodiscard]] result<std::shared_ptr<socket_core>> open_unbound(const umem& memory, const socket_options& options,
                                                                const interface_info& interface, bool share);

}  // namespace fluxnet::detail
