// SPDX-License-Identifier: BSD-3-Clause
// The way to a host, by a raw IP socket: ICMP echo requests that may take one hop, two hops, and so on, until the host
// itself answers. Each router at which one ends says so, and is printed. Needs CAP_NET_RAW.
// Usage: raw_traceroute --to IP [--hops N] [--probes N] [--wait SECONDS]
#include "examples/command_line.hpp"

#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ip_endpoint.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/quoted_packet.hpp"
#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/core/task.hpp"
#include "fluxnet/runtime/core/timeout.hpp"
#include "fluxnet/runtime/sockets/udp_socket.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace fluxnet;
using steady = std::chrono::steady_clock;

/// One question, by what its answers carry of it.
struct probe {
    std::uint16_t identifier = 0;
    std::uint16_t sequence = 0;
};

struct answer {
    proto::ip_address from;
    proto::icmp_type type{};
    std::uint8_t code = 0;
};

/// Tells whether a message is the probe itself, or the answer to it.
static bool names(const probe& asked, proto::icmp_view message, proto::icmp_type as) {
    return message.type() == as && message.identifier() == asked.identifier && message.sequence() == asked.sequence;
}

/// What a datagram answers to the probe, if it does. A router sends the beginning of the probe back with its refusal: the IP
/// header and eight octets, which are all of an ICMP header.
static std::optional<answer> answer_to(const probe& asked, std::span<const std::byte> datagram,
                                       const proto::ip_address& from) {
    const auto outer = proto::ipv4_view::parse(datagram);
    if (!outer) { return std::nullopt; }
    const auto message = proto::icmp_view::parse(outer->payload());
    if (!message) { return std::nullopt; }
    const answer found{from, message->type(), message->code()};
    if (names(asked, *message, proto::icmp_type::echo_reply)) { return found; }
    if (found.type != proto::icmp_type::time_exceeded && found.type != proto::icmp_type::destination_unreachable) {
        return std::nullopt;
    }
    const auto refused = proto::quoted_packet::parse_ipv4(message->payload());
    if (!refused || refused->protocol != proto::ip_protocol::icmp) { return std::nullopt; }
    const auto quoted = proto::icmp_view::unchecked(refused->transport);
    return names(asked, quoted, proto::icmp_type::echo_request) ? std::optional(found) : std::nullopt;
}

/// Sends the probe, and receives until it is answered. Nothing when that is cancelled or the kernel refuses it.
static task<std::optional<answer>> ask(udp_socket& socket, proto::ip_endpoint to, probe asked, std::error_code& failure) {
    std::array<std::byte, 64> request{};
    proto::icmp_echo_repr{.identifier = asked.identifier, .sequence = asked.sequence}.emit(request);
    const io_result sent = co_await socket.send_to(request, to);
    failure = sent.ec;
    std::array<std::byte, 1500> datagram;
    while (!failure) {
        const datagram_result got = co_await socket.recv_from(datagram);
        failure = got.ec == std::errc::message_size ? std::error_code() : got.ec;  // not ours, then
        const std::optional<answer> found = answer_to(asked, std::span(datagram).first(got.n), got.from.address);
        if (found) { co_return found; }
    }
    co_return std::nullopt;
}

struct search {
    proto::ip_endpoint to;
    unsigned hops = 30;
    unsigned probes = 3;
    double wait = 1;
};

/// Returns 0 when the host has answered.
static task<int> trace(udp_socket& socket, search of) {
    const std::chrono::duration<double> wait(of.wait);
    probe asked{static_cast<std::uint16_t>(::getpid()), 0};
    for (unsigned hop = 1; hop <= of.hops; ++hop) {
        const int hops_left = static_cast<int>(hop);
        if (::setsockopt(socket.fd(), IPPROTO_IP, IP_TTL, &hops_left, sizeof hops_left) != 0) {
            throw std::system_error(errno, std::system_category(), "set IP_TTL");
        }
        std::printf("%2u ", hop);
        std::optional<answer> last;
        for (unsigned i = 0; i < of.probes; ++i) {
            ++asked.sequence;
            std::error_code failure;
            const steady::time_point sent = steady::now();
            const auto limit = std::chrono::duration_cast<steady::duration>(wait);
            const auto ended = co_await timeout(limit, ask(socket, of.to, asked, failure));
            const std::chrono::duration<double, std::milli> took = steady::now() - sent;
            if (!ended.value && !ended.expired) {
                std::printf(" %s\n", failure.message().c_str());
                co_return 1;
            }
            if (!ended.value) {
                std::printf(" *");
                continue;
            }
            if (!last || last->from != ended.value->from) { std::printf(" %s", ended.value->from.to_string().c_str()); }
            std::printf(" %.3f ms", took.count());
            last = ended.value;
        }
        std::printf("\n");
        std::fflush(stdout);
        if (last && last->type == proto::icmp_type::echo_reply) { co_return 0; }
        if (last && last->type == proto::icmp_type::destination_unreachable) {
            std::printf("unreachable (code %u)\n", unsigned{last->code});
            co_return 1;
        }
    }
    std::printf("not reached: it is silent, or further away than --hops %u\n", of.hops);
    co_return 1;
}

int main(int argc, char** argv) try {
    std::string to;
    search of;
    command_line options("Prints the routers on the way to a host");
    options.required("--to", to, "IPv4 address of the host");
    options.optional("--hops", of.hops, "routers at most", {1, 255});
    options.optional("--probes", of.probes, "questions for each", {1, 10});
    options.optional("--wait", of.wait, "seconds to wait for an answer", {0.001, 60});
    options.parse(argc, argv);

    const auto address = proto::ip_address::parse(to);
    if (!address || !address->is_v4()) {
        std::fprintf(stderr, "check --to '%s': not an IPv4 address; use one like 10.77.0.1\n", to.c_str());
        return 2;
    }
    of.to.address = *address;
    descriptor raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
    if (!raw) {
        std::fprintf(stderr, "make a raw ICMP socket: %s; run with CAP_NET_RAW, or as root\n", errno_text(errno).c_str());
        return 1;
    }
    udp_socket socket(std::move(raw));  // receives and sends whole datagrams, whatever the protocol
    executor loop;
    loop.spawn_background(stop_on({SIGINT, SIGTERM}));
    return loop.run(trace(socket, of));
} catch (const std::system_error& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
}
