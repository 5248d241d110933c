// SPDX-License-Identifier: BSD-3-Clause
// Reads standard input and writes standard output on an executor, whatever they are: a pipe, a terminal, a file, /dev/null.
// For programs that are a part of a pipeline, and for commands typed beside running packets.
// Usage: copy_standard_input <FILE
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/sockets/byte_source.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <utility>

#include <unistd.h>

using namespace fluxnet;

static task<bool> copy(byte_source from, byte_sink to) {
    std::array<std::byte, 16'384> bytes;
    for (;;) {
        const io_result got = co_await from.read(bytes);
        if (got.ec) { co_return got.ec == errc::end_of_stream; }
        const io_result sent = co_await to.write(std::span(bytes).first(got.n));
        if (sent.ec) { co_return false; }
    }
}

int main() {
    executor loop;
    result<byte_source> from = byte_source::duplicate(STDIN_FILENO);
    result<byte_sink> to = byte_sink::duplicate(STDOUT_FILENO);
    if (!from || !to) { return std::fprintf(stderr, "standard input or output is closed\n"), 1; }
    return loop.run(copy(std::move(*from), std::move(*to))) ? 0 : 1;
}
