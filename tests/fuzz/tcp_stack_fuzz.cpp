// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes tcp::stack: two of them, their users and the wire between them follow a script; see tcp_script/script.hpp for what
// its octets mean, and tcp_script/host.hpp for what has to hold after each step.
#include "tests/fuzz/fuzz_input.hpp"
#include "tests/fuzz/tcp_script/script.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span octets(data, size);
    const std::uint64_t told = tcp_script::run_script(octets);  // a broken promise ends the process
    if (told % 16 == 0) { fluxnet::proto::fuzz::check(tcp_script::run_script(octets) == told); }
    return 0;
}
