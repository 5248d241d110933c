// SPDX-License-Identifier: BSD-3-Clause
// `kernel_subject`: the kernel's TCP in a network namespace, reached by frames over a veth pair.
//
// Its timers are told to wait for a minute before they send anything again, so that what it does depends on what it is told
// and not on when. All is delivered in order and dealt with before an echo request behind it is answered: the thread stays on
// one processor, whose queue the frames go through. Needs root.
#pragma once

#include "fluxnet/proto/ip_protocol.hpp"
#include "tests/e2e/tcp_differential/subject.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/testbed.hpp"

#include <cstdint>

namespace tcp_differential {

class kernel_subject final : public subject {
public:
    kernel_subject();

    void hear(std::span<const std::byte> segment) override;
    [[nodiscard]] std::vector<std::vector<std::byte>> answers() override;
    call_result accept() override;
    call_result read(std::size_t most, std::vector<std::byte>& into) override;
    call_result write(std::span<const std::byte> octets) override;
    void shutdown_write() override;
    void close() override;
    void abort() override;
    void clear() override;

private:
    [[nodiscard]] std::vector<std::byte> framed(fluxnet::proto::ip_protocol what, std::span<const std::byte> payload) const;

    fluxnet::test::testbed bed_;
    fluxnet::test::packet_socket wire_;
    fluxnet::test::detail::file_descriptor door_;
    fluxnet::test::detail::file_descriptor mine_;
    bool over_ = false;  // the user was told so
    std::uint16_t echoes_ = 0;
};

}  // namespace tcp_differential
