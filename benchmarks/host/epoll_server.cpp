// SPDX-License-Identifier: BSD-3-Clause
// The kernel's TCP by the smallest loop over epoll: what there is no more to take away from.
// Usage: http_epoll --address IP --port N [--congestion NAME]
#include "benchmarks/echo/program.hpp"
#include "benchmarks/host/tiny_http.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace benchmark;

struct connection {
    int fd = -1;
    tiny_requests requests;
    std::string head;             // not yet sent
    std::uint64_t remaining = 0;  // of a body
    bool wants_room = false;      // told to epoll
};

static const std::vector<char> body(256 * 1024, 'x');

/// Sends what is left of an answer. Returns false when there was no room, or the peer is gone.
static bool send_rest(connection& peer) {
    while (!peer.head.empty() || peer.remaining != 0) {
        const bool is_head = !peer.head.empty();
        const char* const from = is_head ? peer.head.data() : body.data();
        const std::size_t size = is_head ? peer.head.size() : std::min<std::uint64_t>(body.size(), peer.remaining);
        const ssize_t sent = ::send(peer.fd, from, size, MSG_NOSIGNAL);
        if (sent < 0) { return false; }
        if (is_head) {
            peer.head.erase(0, static_cast<std::size_t>(sent));
        } else {
            peer.remaining -= static_cast<std::uint64_t>(sent);
        }
    }
    return true;
}

/// Answers what has been asked. Returns false when the connection is over.
static bool answer(int poll, connection& peer) {
    bool went = send_rest(peer);
    while (went) {
        const auto asked = peer.requests.next();
        if (!asked) { break; }
        if (*asked == 0) {
            const ssize_t sent = ::send(peer.fd, tiny_answer.data(), tiny_answer.size(), MSG_NOSIGNAL);
            if (sent != static_cast<ssize_t>(tiny_answer.size())) {
                peer.head = tiny_answer.substr(sent < 0 ? 0 : static_cast<std::size_t>(sent));
                went = false;
            }
        } else {
            peer.head = head_of(*asked);
            peer.remaining = *asked;
            went = send_rest(peer);
        }
    }
    if (!went && errno != EAGAIN) { return false; }
    if (peer.wants_room == went) {
        peer.wants_room = !went;
        epoll_event event{};
        event.events = went ? EPOLLIN : EPOLLOUT;
        event.data.ptr = &peer;
        ::epoll_ctl(poll, EPOLL_CTL_MOD, peer.fd, &event);
    }
    return true;
}

/// Reads once and answers. Returns false when the connection is over.
static bool attend(int poll, connection& peer, std::uint32_t events) {
    if ((events & EPOLLIN) != 0) {
        const std::span<char> room = peer.requests.room();
        const ssize_t got = ::recv(peer.fd, room.data(), room.size(), 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) { return false; }
        if (got > 0) { peer.requests.received(static_cast<std::size_t>(got)); }
    } else if ((events & EPOLLOUT) == 0) {
        return false;
    }
    return answer(poll, peer);
}

static void accept_one(int poll, int listening) {
    const int fd = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) { return; }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto* const peer = new connection;
    peer->fd = fd;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = peer;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char** argv) {
    const auto port = static_cast<std::uint16_t>(number_after(argc, argv, "--port", 8080, 65'535));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    std::string_view congestion;
    for (int i = 1; i + 1 < argc; ++i) {
        if (std::string_view(argv[i]) == "--address") { ::inet_pton(AF_INET, argv[i + 1], &at.sin_addr); }
        if (std::string_view(argv[i]) == "--congestion") { congestion = argv[i + 1]; }
    }
    const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Connections have what their listener has.
    if (!congestion.empty() && ::setsockopt(listening, IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                                            static_cast<socklen_t>(congestion.size())) != 0) {
        fail("choose the congestion control", errno);
    }
    if (::bind(listening, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) { fail("bind", errno); }
    if (::listen(listening, 1024) != 0) { fail("listen", errno); }
    const int poll = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event);
    print_listening(port);
    for (std::array<epoll_event, 256> ready;;) {
        const int count = ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), -1);
        for (int i = 0; i < count; ++i) {
            auto* const peer = static_cast<connection*>(ready[static_cast<std::size_t>(i)].data.ptr);
            if (peer == nullptr) {
                accept_one(poll, listening);
            } else if (!attend(poll, *peer, ready[static_cast<std::size_t>(i)].events)) {
                ::close(peer->fd);
                delete peer;
            }
        }
    }
}
