// SPDX-License-Identifier: BSD-3-Clause
// `hosted_execution`: an execution inside an io_context, and a host in user space on an interface that works in its turns.
//
// Made and destroyed while no thread runs the context; the context outlives it. The address is used at once.
#pragma once

#include "fluxnet/asio.hpp"
#include "fluxnet/runtime/host/ip_host.hpp"
#include "fluxnet/runtime/packets/open_async.hpp"

#include <boost/asio/io_context.hpp>

#include <string>
#include <utility>

namespace fluxnet::test {

class hosted_execution {
public:
    /// Throws std::system_error when the interface cannot be had.
    hosted_execution(boost::asio::io_context& context, const std::string& interface, const proto::ip_address& address)
        : on(context), here(open(on.loop(), interface, address)) {}

    asio::execution on;
    host::ip_host here;

private:
    static host::ip_host open(executor& loop, const std::string& interface, const proto::ip_address& address) {
        auto sockets = open_async(loop, builder(interface).frames(2048).tx_frames(512)).value();
        host::host_options options;
        options.addresses = {{address, address.is_v4() ? 24U : 64U}};
        options.probe_addresses = false;
        return host::ip_host::open(loop, std::move(sockets.rx), std::move(sockets.tx), options).value();
    }
};

}  // namespace fluxnet::test
