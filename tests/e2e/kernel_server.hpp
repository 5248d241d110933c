// SPDX-License-Identifier: BSD-3-Clause
// A server over the kernel's own TCP, on a thread of the test: HTTP on port 80 and an echo service on port 7.
//
// It listens on every address of one network namespace from the constructor until the destructor. An HTTP request, whatever
// it asks for, is answered by the same document, which begins with the server's name. The echo service first writes
// its name and a newline, then everything back that it reads. Counters may be read from any thread. Throws
// std::system_error.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/network_namespace.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <thread>

namespace fluxnet::test {

class kernel_server {
public:
    static constexpr std::uint16_t http_port = 80;
    static constexpr std::uint16_t echo_port = 7;
    static constexpr std::size_t document_size = 4000;  // three segments of an Ethernet

    kernel_server(const network_namespace& place, std::string name, std::size_t size = document_size);
    kernel_server(const kernel_server&) = delete;
    kernel_server& operator=(const kernel_server&) = delete;
    ~kernel_server();

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    /// What HTTP answers with, without the header. No part of it looks like another.
    [[nodiscard]] const std::string& document() const noexcept { return document_; }
    [[nodiscard]] std::uint64_t requests() const noexcept { return requests_; }
    [[nodiscard]] std::uint64_t echo_connections() const noexcept { return echo_connections_; }

private:
    struct connection {
        detail::file_descriptor fd;
        bool http = false;
        std::string request;   // of HTTP, as far as it has come
        std::size_t sent = 0;  // of the answer
    };

    void serve();
    void accept_all(int listener);
    [[nodiscard]] bool read_from(connection& from);
    [[nodiscard]] bool answer(connection& one);
    void watch(int fd);
    void watch_room(int fd);

    std::string name_;
    std::string document_;
    std::string answer_;  // the document with its HTTP header
    detail::file_descriptor http_;
    detail::file_descriptor echo_;
    detail::file_descriptor stop_;
    detail::file_descriptor epoll_;
    std::map<int, connection> open_;
    std::atomic<std::uint64_t> requests_ = 0;
    std::atomic<std::uint64_t> echo_connections_ = 0;
    std::thread thread_;
};

}  // namespace fluxnet::test
