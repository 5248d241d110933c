// SPDX-License-Identifier: BSD-3-Clause
// Runs an XDP program over a frame without a device (BPF_PROG_TEST_RUN). A function without state; any thread.
#pragma once

#include "fluxnet/xsk/program.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fluxnet::test {

/// What a test run of the program answered.
struct test_verdict {
    int error = 0;
    std::uint32_t action = ~0U;
    std::vector<std::byte> packet;  // as the program left it
};

/// Runs the program once over `bytes`, as if they came in on a queue of an interface of this network namespace.
inline test_verdict run_over(const program& under_test, const std::vector<std::byte>& bytes, int interface_index,
                             std::uint32_t queue) {
    test_verdict result;
    result.packet.resize(bytes.size() + 64);
    xdp_md context{};
    context.data_end = static_cast<std::uint32_t>(bytes.size());
    context.ingress_ifindex = static_cast<std::uint32_t>(interface_index);
    context.rx_queue_index = queue;
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = bytes.data();
    options.data_size_in = static_cast<std::uint32_t>(bytes.size());
    options.data_out = result.packet.data();
    options.data_size_out = static_cast<std::uint32_t>(result.packet.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
    result.error = -::bpf_prog_test_run_opts(under_test.fd(), &options);
    if (result.error == 0) {
        result.action = options.retval;
        result.packet.resize(options.data_size_out);
    }
    return result;
}

}  // namespace fluxnet::test
