// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/numbered_stream.hpp"

#include "tests/support/deadline.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>

namespace fluxnet::test {
namespace {

using namespace std::chrono_literals;
using detail::throw_errno;

detail::file_descriptor udp_socket(const network_namespace& place) {
    return place.call([] {
        return detail::file_descriptor::checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket");
    });
}

sockaddr_in address_of(const char* address, std::uint16_t port) {
    sockaddr_in made{};
    made.sin_family = AF_INET;
    made.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &made.sin_addr);
    return made;
}

using message = std::array<std::uint32_t, 25>;  // 100 octets

message numbered(std::uint32_t number) {
    message made;
    for (std::uint32_t i = 0; i < made.size(); ++i) { made[i] = number * (i + 1); }
    return made;
}

}  // namespace

numbered_stream::numbered_stream(const network_namespace& from, const network_namespace& to, const char* address,
                                 std::uint16_t port, unsigned per_ms)
    : address_(address), port_(port), per_ms_(per_ms), sender_(udp_socket(from)), receiver_(udp_socket(to)) {
    const int room = 16 << 20;  // a receiver that waits for a processor must not lose any
    if (::setsockopt(receiver_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) throw_errno("SO_RCVBUFFORCE");
    const sockaddr_in here = address_of(address, port);
    if (::bind(receiver_.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) throw_errno("bind");
    receive_thread_ = std::thread([this] { receive_all(); });
    send_thread_ = std::thread([this] { send_all(); });
}

numbered_stream::~numbered_stream() {
    sending_ = false;
    receiving_ = false;
    if (send_thread_.joinable()) { send_thread_.join(); }
    if (receive_thread_.joinable()) { receive_thread_.join(); }
}

numbered_stream::outcome numbered_stream::stop() {
    sending_ = false;
    send_thread_.join();
    const deadline limit = 1s;
    while (received_ < sent_ && !limit.passed()) { std::this_thread::sleep_for(1ms); }
    receiving_ = false;
    receive_thread_.join();
    return {sent_, received_, wrong_};
}

void numbered_stream::send_all() {
    const sockaddr_in there = address_of(address_, port_);
    while (sending_) {
        for (unsigned i = 0; i < per_ms_ && sent_ - received_ < given_up_ + window; ++i) {
            const message next = numbered(sent_ + 1);
            const auto done =
                ::sendto(sender_.get(), &next, sizeof next, 0, reinterpret_cast<const sockaddr*>(&there), sizeof there);
            if (done == static_cast<ssize_t>(sizeof next)) { ++sent_; }  // else the same number again
        }
        std::this_thread::sleep_for(1ms);
    }
}

void numbered_stream::receive_all() {
    std::uint32_t latest = 0;
    while (receiving_) {
        pollfd waiting{receiver_.get(), POLLIN, 0};
        ::poll(&waiting, 1, 10);
        message one{};
        while (::recv(receiver_.get(), &one, sizeof one, 0) == static_cast<ssize_t>(sizeof one)) {
            if (one[0] <= latest || one != numbered(one[0])) { ++wrong_; }
            latest = one[0];
            ++received_;
        }
    }
}

}  // namespace fluxnet::test
