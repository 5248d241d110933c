// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/socket_buffers.hpp"

#include <stdexcept>

namespace fluxnet {

void socket_buffers::configure(const buffer_ring_config& config) {
    if (ring_) {
        throw std::logic_error(
            "configure the socket buffers of an executor: streams receive into them already: "
            "configure them before the first read_borrowed()");
    }
    config_ = config;
    static_cast<void>(ring());
}

buffer_ring& socket_buffers::ring() {
    return ring_ ? *ring_ : ring_.emplace(detail::inside(executor_).reactor(), config_);
}

}  // namespace fluxnet
