// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/open_async.hpp"

#include <system_error>
#include <utility>

namespace fluxnet {

result<async_sockets> open_async(executor& on, const builder& options) {
    auto built = options.build_system();
    if (!built) { return built.error(); }
    try {
        return async_sockets{async_rx(on, std::move(built->rx)), async_tx(on, std::move(built->tx)),
                             std::move(built->refusals), std::move(built->notes)};
    } catch (const std::system_error& failure) {
        if (failure.code() == errc::not_in_virtual_time) {
            return make_error(errc::not_in_virtual_time, "open interface " + options.socket().interface, failure.what(),
                              "use a simulated wire, or an executor in real time");
        }
        return make_error(errc::system_failure, "watch interface " + options.socket().interface, failure.what(),
                          "allow rtnetlink sockets (socket(AF_NETLINK))");
    }
}

}  // namespace fluxnet
