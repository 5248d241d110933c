// SPDX-License-Identifier: BSD-3-Clause
// `asio_port`: an io_context with a port whose kernel is a model; see fake_port.hpp. `transfer_end`: a handler.
#pragma once

#include "fluxnet/runtime/asio/execution.hpp"
#include "fluxnet/runtime/asio/port.hpp"
#include "tests/runtime/asio/asio_tests.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/support/fake_kernel.hpp"

#include <doctest/doctest.h>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <unistd.h>

namespace fluxnet::test {

/// Remembers how an operation ended.
struct transfer_end {
    void operator()(const boost::system::error_code& code, std::size_t n = 0) const {
        ++to->calls;
        to->code = code;
        to->n = n;
    }
    struct record {
        int calls = 0;
        boost::system::error_code code;
        std::size_t n = 0;
    };
    record* to;
};

template <class Executor = net::any_io_executor>
struct asio_port {
    asio_port() : on(*context), port(on, fake_port::open(on.loop(), kernel)), fd(port.rx().socket().fd()) {}

    /// Lets a packet arrive and makes the descriptor readable, as the kernel does.
    void arrive(std::uint32_t number) {
        const std::uint64_t one = 1;
        REQUIRE(kernel.deliver(numbered_frame(number)));
        REQUIRE(::write(fd, &one, sizeof one) == sizeof one);
    }

    /// Takes the descriptor's readiness back, as draining the ring does.
    void quieten() const {
        std::uint64_t value = 0;
        static_cast<void>(!::read(fd, &value, sizeof value));
    }

    /// Packets to send, with the numbers from `first` on.
    std::vector<packet> packets(std::size_t count, std::uint32_t first = 0) {
        std::vector<packet> made(count);
        REQUIRE(port.allocate(made) == count);
        for (packet& one : made) { REQUIRE(one.assign(numbered_frame(first++))); }
        return made;
    }

    fake_kernel kernel;
    std::unique_ptr<net::io_context> context = std::make_unique<net::io_context>();
    asio::basic_execution<Executor> on;
    asio::basic_port<Executor> port;
    const int fd;
};

}  // namespace fluxnet::test
