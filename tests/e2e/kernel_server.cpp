// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/kernel_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <utility>

namespace fluxnet::test {
namespace {

using detail::file_descriptor;
using detail::throw_errno;

file_descriptor listen_on(std::uint16_t port) {
    auto fd = file_descriptor::checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw_errno("bind a server");
    if (::listen(fd.get(), 1024) != 0) throw_errno("listen");
    return fd;
}

// Echoes are small beside a socket's buffer, so one call takes all of it.
bool send_whole(int fd, const std::string& text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

}  // namespace

kernel_server::kernel_server(const network_namespace& place, std::string name, std::size_t size) : name_(std::move(name)) {
    document_ = name_ + "\n";
    while (document_.size() < size) { document_ += std::to_string(document_.size()) + "\n"; }
    document_.resize(size);
    answer_ = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(size) +
              "\r\nConnection: close\r\n\r\n" + document_;
    place.call([this] {
        http_ = listen_on(http_port);
        echo_ = listen_on(echo_port);
    });
    stop_ = file_descriptor::checked(::eventfd(0, EFD_CLOEXEC), "eventfd");
    epoll_ = file_descriptor::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (const auto* each : {&http_, &echo_, &stop_}) { watch(each->get()); }
    thread_ = std::thread([this] { serve(); });
}

kernel_server::~kernel_server() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(stop_.get(), &one, sizeof one);
    thread_.join();
}

void kernel_server::watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl");
}

void kernel_server::watch_room(int fd) {
    epoll_event event{};
    event.events = EPOLLOUT;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) throw_errno("epoll_ctl");
}

void kernel_server::serve() {
    for (;;) {
        std::array<epoll_event, 64> events{};
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == stop_.get()) return;
            if (fd == http_.get() || fd == echo_.get()) {
                accept_all(fd);
            } else if (const auto found = open_.find(fd); found != open_.end()) {
                const bool room = (events[static_cast<std::size_t>(i)].events & EPOLLOUT) != 0;
                if (!(room ? answer(found->second) : read_from(found->second))) open_.erase(found);
            }
        }
    }
}

void kernel_server::accept_all(int listener) {
    for (;;) {
        file_descriptor fd{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (!fd) return;
        const int number = fd.get();
        const bool http = listener == http_.get();
        if (!http) {
            ++echo_connections_;
            if (!send_whole(number, name_ + "\n")) continue;
        }
        watch(number);
        open_.emplace(number, connection{std::move(fd), http, {}});
    }
}

// Returns false when the connection is to be closed.
bool kernel_server::read_from(connection& from) {
    std::array<char, 8192> chunk;
    const ssize_t count = ::recv(from.fd.get(), chunk.data(), chunk.size(), 0);
    if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
    const std::string text(chunk.data(), static_cast<std::size_t>(count));
    if (!from.http) return send_whole(from.fd.get(), text);
    from.request += text;
    if (from.request.find("\r\n\r\n") == std::string::npos) return true;
    ++requests_;
    if (!answer(from)) return false;
    watch_room(from.fd.get());
    return true;
}

// Returns false when all of it is written, or nobody wants it any more.
bool kernel_server::answer(connection& one) {
    const std::string_view rest = std::string_view(answer_).substr(one.sent);
    const ssize_t count = ::send(one.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    one.sent += static_cast<std::size_t>(count);
    return one.sent != answer_.size();
}

}  // namespace fluxnet::test
