// SPDX-License-Identifier: BSD-3-Clause
// A host as the client of an HTTP server of others on the kernel's TCP.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "tests/e2e/host_transfer.hpp"
#include "tests/e2e/tcp_stack_process.hpp"
#include "tests/support/programs.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// Asks for a page and has the whole answer put into `answer`: the server closes the connection behind it.
task<void> get_page(host::ip_host& here, proto::ip_endpoint at, std::string path, std::string& answer) {
    auto made = co_await here.connect(at);
    host::tcp_stream server = std::move(made).value();
    const std::string asked = "GET /" + path + " HTTP/1.0\r\n\r\n";
    const io_result sent = co_await server.write(std::as_bytes(std::span(asked)));
    CHECK_FALSE(sent.ec);
    std::vector<std::byte> room(most_octets);
    for (;;) {
        const io_result got = co_await server.read(room);
        answer.append(reinterpret_cast<const char*>(room.data()), got.n);
        if (!got.ec) { continue; }
        CHECK_MESSAGE(got.ec == errc::end_of_stream, got.ec.message());
        co_return;
    }
}

std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("a host gets files from Python's HTTP server on the kernel's TCP as they are, over both versions") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    host_testbed bed;
    served_folder files;
    files.add("little", 1024);
    files.add("large", 1 << 20);
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        process server = bed.bed.spawn(side::peer, {"python3", "-u", "-m", "http.server", "--bind", peer_text(v4),
                                                    "--directory", files.path(), "8000"});
        REQUIRE_MESSAGE(server.read_until("Serving HTTP on", 60s), server.output());
        for (const char* const name : {"little", "large"}) {
            std::string answer;
            run_and_clear(bed, get_page(*bed.here, {ip(peer_text(v4)), 8000}, name, answer));
            CHECK(answer.starts_with("HTTP/1.0 200 OK\r\n"));
            const std::size_t head = answer.find("\r\n\r\n");
            REQUIRE(head != std::string::npos);
            const bool intact = std::string_view(answer).substr(head + 4) == contents(files.at(name));
            CHECK(intact);
        }
    }
}
