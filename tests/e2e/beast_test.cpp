// SPDX-License-Identifier: BSD-3-Clause
// Servers of Boost.Beast's over our streams, with the clients of others. Stays on the loopback interface.
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

sockaddr_in beast_loopback(std::uint16_t port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
}

/// A port of TCP's that was free a moment ago.
std::uint16_t free_port() {
    const detail::file_descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at = beast_loopback(0);
    socklen_t size = sizeof at;
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    return ntohs(at.sin_port);
}

/// A server that listens.
class beast_process {
public:
    beast_process(std::vector<std::string> argv, std::uint16_t port) : port_(port), child_(argv) {
        const deadline limit(60s);
        while (!answers()) {
            REQUIRE_MESSAGE(child_.running(), child_.output());
            REQUIRE_FALSE(limit.passed());
            std::this_thread::sleep_for(5ms);
        }
    }

    [[nodiscard]] std::string url(const std::string& path) const {
        return "http://127.0.0.1:" + std::to_string(port_) + path;
    }
    process& child() { return child_; }

private:
    [[nodiscard]] bool answers() const {
        const detail::file_descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in at = beast_loopback(port_);
        return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
    }

    const std::uint16_t port_;
    process child_;
};

finished by_curl(std::vector<std::string> arguments) {
    std::vector<std::string> argv{"curl", "--silent", "--show-error", "--noproxy", "*"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run(argv, {}, 60s);
}

bool says(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Thousands of requests, with connections that are kept and with ones that are not.
void ask_often(const std::string& url) {
    const finished kept = run({"ab", "-q", "-k", "-n", "2000", "-c", "20", url}, {}, 120s);
    CHECK_MESSAGE(kept.success(), kept.output);
    CHECK(says(kept.output, "Complete requests:      2000"));
    CHECK(says(kept.output, "Failed requests:        0"));
    CHECK(says(kept.output, "Keep-Alive requests:    2000"));
    const finished once = run({"ab", "-q", "-n", "300", "-c", "20", url}, {}, 120s);
    CHECK_MESSAGE(once.success(), once.output);
    CHECK(says(once.output, "Complete requests:      300"));
    CHECK(says(once.output, "Failed requests:        0"));
}

/// A folder that goes with the test.
class beast_folder {
public:
    beast_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "fluxnet_beast_XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    beast_folder(const beast_folder&) = delete;
    beast_folder& operator=(const beast_folder&) = delete;
    ~beast_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path_ / name) << text;
        return (path_ / name).string();
    }
    [[nodiscard]] std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

std::optional<std::string> why_no_example() {
#ifdef FLUXNET_BEAST_EXAMPLE
    return std::nullopt;
#else
    return "Boost.Beast's examples are not there (libboost1.81-doc)";
#endif
}

}  // namespace

TEST_CASE("a server of Boost.Beast's over our TCP stream serves curl and ab") {
    const std::uint16_t port = free_port();
    beast_process server({FLUXNET_BEAST_SERVER, std::to_string(port)}, port);
    CHECK(by_curl({"--fail", server.url("/")}).output == "hello, packets\n");
    const finished head = by_curl({"--head", server.url("/")});
    CHECK(says(head.output, " 200 OK\r\n"));
    CHECK(says(head.output, "Content-Length: 15\r\n"));
    CHECK(says(by_curl({"--include", server.url("/other")}).output, " 404 Not Found\r\n"));
    const finished two = by_curl({"--output", "/dev/null", "--write-out", "%{num_connects} ", server.url("/"), "--output",
                                  "/dev/null", server.url("/")});
    CHECK(two.output == "1 0 ");  // one connection for both
    const beast_folder files;
    std::string posted;
    for (int i = 0; i != 100'000; ++i) { posted += std::to_string(i); }
    const std::string sent = files.write("posted", posted);
    CHECK(by_curl({"--fail", "--header", "Expect:", "--data-binary", "@" + sent, server.url("/")}).output == posted);
    ask_often(server.url("/"));
    server.child().signal(SIGTERM);
    const auto ended = server.child().wait(60s);
    REQUIRE(ended);
    CHECK(ended->success());
}

TEST_CASE("Boost.Beast's example of an asynchronous server serves curl and ab over our TCP stream") {
    FLUXNET_SKIP_IF(why_no_example());
#ifdef FLUXNET_BEAST_EXAMPLE
    const beast_folder files;
    files.write("index.html", "<p>hello</p>\n");
    for (const char* const threads : {"1", "3"}) {
        CAPTURE(threads);
        const std::uint16_t port = free_port();
        beast_process server({FLUXNET_BEAST_EXAMPLE, "127.0.0.1", std::to_string(port), files.path(), threads}, port);
        CHECK(by_curl({"--fail", server.url("/")}).output == "<p>hello</p>\n");
        CHECK(says(by_curl({"--head", server.url("/index.html")}).output, " 200 OK\r\n"));
        CHECK(says(by_curl({"--include", server.url("/other")}).output, " 404 Not Found\r\n"));
        CHECK(says(by_curl({"--include", "--data", "a=b", server.url("/")}).output, " 400 Bad Request\r\n"));
        ask_often(server.url("/index.html"));
        CHECK(server.child().running());
    }
#endif
}
