// SPDX-License-Identifier: BSD-3-Clause
// Servers of Boost.Beast's as programs, with the clients of others: on the loopback interface, or a host in user space with
// its clients at the other end of a veth pair. And what each such server has to pass.
//
// Owned by one test case and used on its thread.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/process.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fluxnet::test {

/// Where a server is reached: on the loopback interface, or at the host's end of a testbed.
class beast_place {
public:
    /// On the loopback interface, at a port that was free a moment ago.
    beast_place() : address_("127.0.0.1"), port_(free_port()) {}
    /// At the address that the kernel does not have, in namespaces of its own.
    explicit beast_place(std::unique_ptr<testbed> bed)
        : bed_(std::move(bed)), address_(bed_->options().host_address), port_(80) {}

    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    [[nodiscard]] std::string port() const { return std::to_string(port_); }

    [[nodiscard]] process start_server(const std::vector<std::string>& argv) {
        if (bed_ == nullptr) { return process(argv); }
        process_options options;
        options.env = {{"FLUXNET_BEAST_INTERFACE", bed_->name(side::host)}};
        return bed_->spawn(side::host, argv, options);
    }
    [[nodiscard]] process start_client(const std::vector<std::string>& argv) {
        return bed_ == nullptr ? process(argv) : bed_->spawn(side::peer, argv);
    }
    finished run_client(const std::vector<std::string>& argv) {
        const std::chrono::seconds limit(120);
        return bed_ == nullptr ? run(argv, {}, limit) : bed_->run(side::peer, argv, limit);
    }

    [[nodiscard]] bool answers() {
        if (bed_ == nullptr) { return connects(); }
        return bed_->xdp_program_id(side::host) != 0 && bed_->peer().call([this] { return connects(); });
    }

private:
    [[nodiscard]] static sockaddr_in at(const std::string& address, std::uint16_t port) {
        sockaddr_in made{};
        made.sin_family = AF_INET;
        made.sin_port = htons(port);
        made.sin_addr.s_addr = ::inet_addr(address.c_str());
        return made;
    }

    [[nodiscard]] bool connects() const {
        const detail::file_descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in server = at(address_, port_);
        return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) == 0;
    }

    [[nodiscard]] std::uint16_t free_port() const {
        const detail::file_descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in chosen = at(address_, 0);
        socklen_t size = sizeof chosen;
        REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&chosen), size) == 0);
        REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&chosen), &size) == 0);
        return ntohs(chosen.sin_port);
    }

    const std::unique_ptr<testbed> bed_;  // null: on the loopback interface
    const std::string address_;
    const std::uint16_t port_;
};

/// A server that listens.
class beast_process {
public:
    beast_process(beast_place& at, const std::vector<std::string>& argv) : at_(at), child_(at.start_server(argv)) {
        const deadline limit(std::chrono::seconds(60));
        while (!at_.answers()) {
            REQUIRE_MESSAGE(child_.running(), child_.output());
            REQUIRE_FALSE(limit.passed());
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }

    [[nodiscard]] std::string url(const std::string& path) const {
        return "http://" + at_.address() + ":" + at_.port() + path;
    }
    [[nodiscard]] static std::vector<std::string> curl(const std::vector<std::string>& arguments) {
        std::vector<std::string> argv{"curl", "--silent", "--show-error", "--noproxy", "*"};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return argv;
    }
    finished by_curl(const std::vector<std::string>& arguments) { return at_.run_client(curl(arguments)); }

    /// The connections that the clients' kernel has with the server, those that are over left out.
    [[nodiscard]] std::string connections() {
        const finished listed = at_.run_client({"ss", "--no-header", "--tcp", "--numeric", "state", "connected", "exclude",
                                                "time-wait", "( dport = :" + at_.port() + " )"});
        REQUIRE_MESSAGE(listed.success(), listed.output);
        return listed.output;
    }

    beast_place& place() noexcept { return at_; }
    process& child() noexcept { return child_; }

private:
    beast_place& at_;
    process child_;
};

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
        return at(name);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (path_ / name).string(); }
    [[nodiscard]] std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

[[nodiscard]] inline bool says(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Waits for a state.
template <class F>
void wait_until(F is_so) {
    const deadline limit(std::chrono::seconds(60));
    while (!is_so()) {
        REQUIRE_FALSE(limit.passed());
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

/// Thousands of requests, with connections that are kept and with ones that are not.
inline void ask_often(beast_process& server, const std::string& path) {
    const std::string url = server.url(path);
    const finished kept = server.place().run_client({"ab", "-q", "-k", "-n", "2000", "-c", "20", url});
    CHECK_MESSAGE(kept.success(), kept.output);
    CHECK(says(kept.output, "Complete requests:      2000"));
    CHECK(says(kept.output, "Failed requests:        0"));
    CHECK(says(kept.output, "Keep-Alive requests:    2000"));
    const finished once = server.place().run_client({"ab", "-q", "-n", "300", "-c", "20", url});
    CHECK_MESSAGE(once.success(), once.output);
    CHECK(says(once.output, "Complete requests:      300"));
    CHECK(says(once.output, "Failed requests:        0"));
}

/// Several requests on one connection.
inline void ask_on_one_connection(beast_process& server, const std::string& path) {
    const std::string url = server.url(path);
    const finished three = server.by_curl({"--write-out", "%{num_connects} ", "--output", "/dev/null", url, "--output",
                                           "/dev/null", url, "--output", "/dev/null", url});
    CHECK(three.output == "1 0 0 ");
}

/// A client that is killed while it sends a request: the server parts from it, and goes on.
inline void kill_a_client_that_sends(beast_process& server, const std::string& path, const std::string& file) {
    process client = server.place().start_client(
        beast_process::curl({"--limit-rate", "10k", "--header", "Expect:", "--data-binary", "@" + file, server.url(path)}));
    wait_until([&] { return says(server.connections(), "ESTAB"); });
    client.signal(SIGKILL);
    wait_until([&] { return server.connections().empty(); });
}

/// The same while it receives an answer, which `path` is long enough for.
inline void kill_a_client_that_receives(beast_process& server, const std::string& path, const std::string& into) {
    process client = server.place().start_client(
        beast_process::curl({"--limit-rate", "10k", "--output", into, server.url(path)}));
    std::error_code none_yet;
    wait_until([&] { return std::filesystem::exists(into) && std::filesystem::file_size(into, none_yet) != 0; });
    client.signal(SIGKILL);
    wait_until([&] { return server.connections().empty(); });
}

/// What beast_server.cpp has to pass.
inline void check_beast_server(beast_process& server) {
    CHECK(server.by_curl({"--fail", server.url("/")}).output == "hello, packets\n");
    const finished head = server.by_curl({"--head", server.url("/")});
    CHECK(says(head.output, " 200 OK\r\n"));
    CHECK(says(head.output, "Content-Length: 15\r\n"));
    CHECK(says(server.by_curl({"--include", server.url("/other")}).output, " 404 Not Found\r\n"));
    ask_on_one_connection(server, "/");
    const beast_folder files;
    std::string posted;
    for (int i = 0; i != 100'000; ++i) { posted += std::to_string(i); }
    const std::string sent = files.write("posted", posted);
    CHECK(server.by_curl({"--fail", "--header", "Expect:", "--data-binary", "@" + sent, server.url("/")}).output == posted);
    kill_a_client_that_sends(server, "/", sent);
    ask_often(server, "/");
    server.child().signal(SIGTERM);
    const auto ended = server.child().wait(std::chrono::seconds(60));
    REQUIRE(ended);
    CHECK_MESSAGE(ended->success(), server.child().output());
}

/// What the example of Boost.Beast's has to pass, which serves the files of this folder.
struct beast_example_files : beast_folder {
    beast_example_files() {
        write("index.html", "<p>hello</p>\n");
        write("long.txt", std::string(8'000'000, 'x'));
    }

    void check(beast_process& server) const {
        CHECK(server.by_curl({"--fail", server.url("/")}).output == "<p>hello</p>\n");
        CHECK(says(server.by_curl({"--head", server.url("/index.html")}).output, " 200 OK\r\n"));
        CHECK(says(server.by_curl({"--include", server.url("/other")}).output, " 404 Not Found\r\n"));
        CHECK(says(server.by_curl({"--include", "--data", "a=b", server.url("/")}).output, " 400 Bad Request\r\n"));
        ask_on_one_connection(server, "/index.html");
        const std::string copy = at("copy");
        CHECK(server.by_curl({"--fail", "--output", copy, server.url("/long.txt")}).success());
        CHECK(run({"cmp", copy, at("long.txt")}, {}, std::chrono::seconds(60)).success());
        kill_a_client_that_receives(server, "/long.txt", at("part"));
        ask_often(server, "/index.html");
        CHECK_MESSAGE(server.child().running(), server.child().output());
    }
};

/// Why the example is not there; nothing when it is.
[[nodiscard]] inline std::optional<std::string> why_no_example() {
#ifdef FLUXNET_BEAST_EXAMPLE
    return std::nullopt;
#else
    return "Boost.Beast's examples are not there (libboost1.81-doc)";
#endif
}

/// Starts the example with one thread and with several.
inline void check_beast_example([[maybe_unused]] beast_place& at) {
#ifdef FLUXNET_BEAST_EXAMPLE
    for (const char* const threads : {"1", "3"}) {
        CAPTURE(threads);
        const beast_example_files files;
        beast_process server(at, {FLUXNET_BEAST_EXAMPLE, at.address(), at.port(), files.path(), threads});
        files.check(server);
    }
#endif
}

}  // namespace fluxnet::test
