// SPDX-License-Identifier: BSD-3-Clause
// Runs another program beside packets, writes to its input and reads its output: here sort(1) puts the numbers of datagrams
// in order. The program is killed when its handle is destroyed, so that nothing of it is left after a failure.
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/when.hpp"
#include "fluxnet/runtime/sockets/pipe.hpp"
#include "fluxnet/runtime/sockets/subprocess.hpp"

#include <array>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>

using namespace fluxnet;

static task<bool> feed(pipe_writer input) {
    constexpr std::string_view numbers = "30\n4\n100\n";
    const io_result sent = co_await input.write(std::as_bytes(std::span(numbers)));
    co_return !sent.ec;
}  // the input ends here, and sort begins

static task<std::string> collect(pipe_reader output) {
    std::string text;
    for (std::array<char, 4096> bytes;;) {
        const io_result got = co_await output.read(std::as_writable_bytes(std::span(bytes)));
        if (got.ec) { co_return text; }  // end_of_stream
        text.append(bytes.data(), got.n);
    }
}

static task<bool> sort_numbers() {
    process_options options{.argv = {"sort", "-n"}};
    options.in = process_stream::pipe();
    options.out = process_stream::pipe();
    result<subprocess> child = subprocess::start(options);
    if (!child) {
        std::fprintf(stderr, "%s\n", child.error().message().c_str());
        co_return false;
    }
    pipe_writer input = pipe_writer::adopt(child->release_stdin()).value();
    pipe_reader output = pipe_reader::adopt(child->release_stdout()).value();
    const auto [fed, text] = co_await when_all(feed(std::move(input)), collect(std::move(output)));
    const exit_result end = co_await child->wait();
    std::fputs(text.c_str(), stdout);
    co_return fed && !end.ec && end.status.success() && text == "4\n30\n100\n";
}

int main() {
    executor loop;
    return loop.run(sort_numbers()) ? 0 : 1;
}
