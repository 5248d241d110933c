// SPDX-License-Identifier: BSD-3-Clause
// The client of the echo benchmark: connections that each send 64 bytes, wait for them to come back, compare them and send
// the next 64. Prints what it measured between the warm-up and the closing of the connections, as "REQUESTS SECONDS CPU_NS":
// the last is the CPU time of the server, of all its threads, by the kernel's clock of that process. Usage: echo_load --port
// N --connections N --requests N [--server-pid N]
#include "benchmarks/echo/program.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <vector>

namespace {

using benchmark::fail;

constexpr std::size_t message_size = 64;

struct connection {
    int fd = -1;
    std::size_t arrived = 0;
    std::array<unsigned char, message_size> sent{};
    std::array<unsigned char, message_size> received{};
};

int connect_to(std::uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) { fail("socket", errno); }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) { fail("connect", errno); }
    return fd;
}

class load {
public:
    load(std::uint16_t port, std::size_t count) : connections_(count), events_(count) {
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ < 0) { fail("epoll_create1", errno); }
        for (connection& each : connections_) {
            each.fd = connect_to(port);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.ptr = &each;
            if (epoll_ctl(epoll_, EPOLL_CTL_ADD, each.fd, &event) != 0) { fail("epoll_ctl", errno); }
        }
    }

    /// Returns when `requests` messages have come back.
    void run(std::uint64_t requests) {
        std::uint64_t to_send = requests;
        for (connection& each : connections_) {
            if (to_send == 0) { break; }
            send_next(each);
            --to_send;
        }
        for (std::uint64_t missing = requests; missing != 0;) {
            const int ready = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 10'000);
            if (ready == 0) { fail("no answer for ten seconds", ETIMEDOUT); }
            if (ready < 0 && errno != EINTR) { fail("epoll_wait", errno); }
            for (int i = 0; i < ready; ++i) {
                connection& each = *static_cast<connection*>(events_[static_cast<std::size_t>(i)].data.ptr);
                if (!receive(each)) { continue; }
                --missing;
                if (to_send == 0) { continue; }
                send_next(each);
                --to_send;
            }
        }
    }

private:
    /// No two messages are alike, so that an answer from another connection or of another request is found out.
    void send_next(connection& peer) {
        const std::uint64_t seed = ++number_ * 0x9e3779b97f4a7c15;
        for (std::size_t at = 0; at < message_size; at += sizeof seed) {
            const std::uint64_t word = seed ^ at;
            std::memcpy(peer.sent.data() + at, &word, sizeof word);
        }
        peer.arrived = 0;
        const ssize_t count = send(peer.fd, peer.sent.data(), message_size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count != static_cast<ssize_t>(message_size)) { fail("send of 64 bytes", count < 0 ? errno : ENOBUFS); }
    }

    /// True when the whole message is back.
    static bool receive(connection& peer) {
        const ssize_t count = recv(peer.fd, peer.received.data() + peer.arrived, message_size - peer.arrived, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) { return false; }
        if (count <= 0) { fail("the server ended a connection", count < 0 ? errno : ECONNRESET); }
        peer.arrived += static_cast<std::size_t>(count);
        if (peer.arrived < message_size) { return false; }
        if (peer.received != peer.sent) { fail("the server sent back other bytes", EBADMSG); }
        return true;
    }

    int epoll_ = -1;
    std::uint64_t number_ = 0;
    std::vector<connection> connections_;
    std::vector<epoll_event> events_;
};

std::int64_t cpu_ns(pid_t server) {
    if (server == 0) { return 0; }
    clockid_t clock{};
    const int refused = clock_getcpuclockid(server, &clock);
    if (refused != 0) { fail("clock_getcpuclockid", refused); }
    timespec now{};
    if (clock_gettime(clock, &now) != 0) { fail("clock_gettime", errno); }
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void allow_files() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

int main(int argc, char** argv) {
    const auto port = static_cast<std::uint16_t>(benchmark::number_after(argc, argv, "--port", 0, 65535));
    const auto count = static_cast<std::size_t>(benchmark::number_after(argc, argv, "--connections", 1, 20'000));
    const auto requests =
        static_cast<std::uint64_t>(benchmark::number_after(argc, argv, "--requests", 100'000, 1'000'000'000));
    const auto server = static_cast<pid_t>(benchmark::number_after(argc, argv, "--server-pid", 0, 1L << 22));
    if (count == 0 || requests == 0) { fail("--connections and --requests must be above 0", EINVAL); }
    allow_files();
    load traffic(port, count);
    traffic.run(count + requests / 10);
    const std::int64_t cpu_before = cpu_ns(server);
    const auto before = std::chrono::steady_clock::now();
    traffic.run(requests);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - before;
    std::printf("%llu %.6f %lld\n", static_cast<unsigned long long>(requests), passed.count(),
                static_cast<long long>(cpu_ns(server) - cpu_before));
}
