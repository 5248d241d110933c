// SPDX-License-Identifier: BSD-3-Clause
// An example that serves HTTP as a child in a network namespace, a client of it that writes what a test wants, and what the
// tests of both such examples ask.
#pragma once

#include "tests/examples/http_answers.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/network_namespace.hpp"
#include "tests/support/process.hpp"
#include "tests/xsk/scale.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace fluxnet::test {

/// The program, http_counters unless another is named, on a port of the loopback interface of `place`.
class http_process {
public:
    explicit http_process(const network_namespace& place, const std::vector<std::string>& more = {},
                          std::vector<std::string> command = {FLUXNET_HTTP_COUNTERS})
        : place_(place), child_(with(std::move(command), more), {.netns_fd = place.fd()}) {
        if (!child_.read_until("listening on ", std::chrono::seconds(10))) {
            throw std::runtime_error("the server did not start: " + child_.output());
        }
        while (child_.output().back() != '\n') {}  // the line is written at once
        const std::string said = child_.output();
        port_ = static_cast<std::uint16_t>(std::stoul(said.substr(said.rfind("listening on ") + 13)));
    }

    [[nodiscard]] process& child() noexcept { return child_; }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] std::string url(const std::string& path) const {
        return "http://127.0.0.1:" + std::to_string(port_) + path;
    }

    /// Runs a program beside it.
    [[nodiscard]] finished run(const std::vector<std::string>& argv) const {
        return test::run(argv, {.netns_fd = place_.fd()}, std::chrono::seconds(60));
    }

    /// Ends it as a user would. Throws when it does not end well; returns what it has printed.
    [[nodiscard]] std::string stop() {
        child_.signal(15);
        const auto ended = child_.wait(std::chrono::seconds(20));
        if (!ended || !ended->success()) { throw std::runtime_error("the server did not end well: " + child_.output()); }
        return child_.output();
    }

    [[nodiscard]] const network_namespace& place() const noexcept { return place_; }

private:
    [[nodiscard]] static std::vector<std::string> with(std::vector<std::string> command,
                                                       const std::vector<std::string>& more) {
        command.insert(command.end(), {"--port", "0"});
        command.insert(command.end(), more.begin(), more.end());
        return command;
    }

    const network_namespace& place_;
    process child_;
    std::uint16_t port_ = 0;
};

/// A connection to it. Reads end after 20 seconds, which no test should need.
class http_peer {
public:
    explicit http_peer(const http_process& to) {
        const network_namespace::scoped_enter inside(to.place());
        fd_ = detail::file_descriptor::checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        const timeval limit{20, 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(to.port());
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) { detail::throw_errno("connect"); }
    }

    /// Sends all of it; returns whether it could.
    bool send(std::string_view text) {
        return ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
    }

    void shut_down_write() { ::shutdown(fd_.get(), SHUT_WR); }

    /// The next answer, or nothing when the connection ends before it is whole.
    [[nodiscard]] std::optional<http_answer> answer(bool head = false) {
        for (;;) {
            if (std::optional<http_answer> made = came_.next(head)) { return made; }
            if (!read_more()) { return std::nullopt; }
        }
    }

    /// Reads until the connection ends; tells whether nothing more came, and by an end rather than a reset.
    [[nodiscard]] bool ends_here() {
        while (read_more()) {}
        return came_.rest().empty() && last_ == 0;
    }

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

private:
    bool read_more() {
        std::array<char, 4096> room;
        last_ = ::recv(fd_.get(), room.data(), room.size(), 0);
        if (last_ <= 0) { return false; }
        came_.received(std::string_view(room.data(), static_cast<std::size_t>(last_)));
        return true;
    }

    detail::file_descriptor fd_;
    http_answers came_;
    ssize_t last_ = 0;
};

inline std::string request(const std::string& line, const std::string& fields = "") {
    return line + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Kilobytes that the program's memory may grow by: a sanitizer keeps what was freed for a while.
#if defined(FLUXNET_TEST_SANITIZED)
constexpr long growth_kb = 256 * 1024;
#else
constexpr long growth_kb = 1024;
#endif

/// Kilobytes of memory that the program has.
inline long resident_kb(http_process& server) {
    std::ifstream status("/proc/" + std::to_string(server.child().pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmRSS:", 0) == 0) { return std::stol(line.substr(6)); }
    }
    return -1;
}

/// Tells whether it listens no more, or not for long.
inline bool refuses_soon(const http_process& server) {
    for (int round = 0; round < 1000; ++round) {
        try {
            const http_peer peer(server);
        } catch (const std::system_error&) { return true; }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
}

}  // namespace fluxnet::test
