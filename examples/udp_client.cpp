// SPDX-License-Identifier: BSD-3-Clause
// A plain kernel-socket client of a UDP echo service: sends every payload size, checks every byte of the answers, and tells
// the round-trip times. The other party to echo_async.
// Usage: udp_client --to IP [--port N] [--first BYTES] [--last BYTES] [--rounds N]
#include "examples/command_line.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

using steady = std::chrono::steady_clock;

struct tally {
    std::uint64_t sent = 0;
    std::uint64_t lost = 0;
    std::uint64_t wrong = 0;
    std::vector<double> round_trips_us;
};

/// Fills a payload with bytes that depend on its size, its round and their place.
static std::vector<unsigned char> make_payload(std::size_t size, unsigned round) {
    std::vector<unsigned char> bytes(size);
    unsigned state = static_cast<unsigned>(size) * 2654435761U + round;
    for (auto& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<unsigned char>(state >> 24);
    }
    return bytes;
}

static void exchange(int fd, const std::vector<unsigned char>& payload, tally& result) {
    const auto start = steady::now();
    ++result.sent;
    if (::send(fd, payload.data(), payload.size(), 0) != static_cast<ssize_t>(payload.size())) {
        ++result.lost;
        return;
    }
    pollfd wait{fd, POLLIN, 0};
    if (::poll(&wait, 1, 1000) != 1) {
        ++result.lost;
        return;
    }
    std::vector<unsigned char> answer(65536);
    const ssize_t length = ::recv(fd, answer.data(), answer.size(), 0);
    const std::chrono::duration<double, std::micro> taken = steady::now() - start;
    answer.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    if (length < 0 || answer != payload) { ++result.wrong; }
    result.round_trips_us.push_back(taken.count());
}

int main(int argc, char** argv) {
    std::string to;
    std::uint16_t port = 7;
    std::size_t first = 0;
    std::size_t last = 1472;
    unsigned rounds = 1;
    command_line options("A client of a UDP echo service that checks every byte");
    options.required("--to", to, "IPv4 address of the service");
    options.optional("--port", port, "UDP port of the service");
    options.optional("--first", first, "smallest payload, in bytes");
    options.optional("--last", last, "largest payload, in bytes", {0, 65507});
    options.optional("--rounds", rounds, "times that each size is sent");
    options.parse(argc, argv);

    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (::inet_pton(AF_INET, to.c_str(), &address.sin_addr) != 1) {
        std::fprintf(stderr, "check --to '%s': not an IPv4 address; use one like 192.0.2.1\n", to.c_str());
        return 2;
    }
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        std::fprintf(stderr, "connect to %s: %s; check the route to it\n", to.c_str(), std::strerror(errno));
        return 2;
    }
    tally result;
    const auto start = steady::now();
    for (unsigned round = 0; round < rounds; ++round) {
        for (std::size_t size = first; size <= last; ++size) { exchange(fd, make_payload(size, round), result); }
    }
    const std::chrono::duration<double> elapsed = steady::now() - start;
    ::close(fd);

    std::sort(result.round_trips_us.begin(), result.round_trips_us.end());
    const auto quantile = [&](double q) {
        const auto& all = result.round_trips_us;
        return all.empty() ? 0.0 : all[static_cast<std::size_t>(q * static_cast<double>(all.size() - 1))];
    };
    std::printf("udp: payloads of %zu to %zu bytes: %llu sent, %llu lost, %llu wrong\n", first, last, 0ULL + result.sent,
                0ULL + result.lost, 0ULL + result.wrong);
    std::printf("udp: round trip p50 %.1f us, p99 %.1f us, %.0f round trips a second\n", quantile(0.5), quantile(0.99),
                static_cast<double>(result.round_trips_us.size()) / elapsed.count());
    return result.sent != 0 && result.lost == 0 && result.wrong == 0 ? 0 : 1;
}
