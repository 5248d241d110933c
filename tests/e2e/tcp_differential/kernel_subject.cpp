// SPDX-License-Identifier: BSD-3-Clause
#include "tests/e2e/tcp_differential/kernel_subject.hpp"

#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/icmp.hpp"
#include "fluxnet/proto/ipv4.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>

namespace tcp_differential {
namespace {

namespace proto = fluxnet::proto;
namespace test = fluxnet::test;
using namespace std::chrono_literals;
using test::detail::file_descriptor;
using test::detail::throw_errno;

constexpr std::uint16_t echo_identifier = 0x7c9;

constexpr const char* settings =
    "cd /proc/sys/net/ipv4; echo 0 >tcp_invalid_ratelimit; echo 2147483647 >tcp_challenge_ack_limit; echo 0 >tcp_timestamps; "
    "echo 0 >tcp_early_retrans; echo 0 >tcp_ecn; echo 0 >tcp_syncookies; echo 4096 >tcp_max_syn_backlog; ";

void set_option(int socket, int level, int name, int value, const char* step) {
    if (::setsockopt(socket, level, name, &value, sizeof value) != 0) { throw_errno(step); }
}

file_descriptor listen_at_port() {
    file_descriptor made = file_descriptor::checked(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    set_option(made.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    set_option(made.get(), SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20, "SO_RCVBUFFORCE");  // connections inherit these
    set_option(made.get(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(server_port);
    if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) { throw_errno("bind"); }
    if (::listen(made.get(), 4096) != 0) { throw_errno("listen"); }
    return made;
}

void stay_on_this_processor() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    if (::sched_setaffinity(0, sizeof one, &one) != 0) { throw_errno("sched_setaffinity"); }
}

void shell(test::testbed& bed, const std::string& line) {
    const test::finished done = bed.run(test::side::peer, {"sh", "-e", "-c", line}, 10s);
    if (!done.success()) { throw std::runtime_error("'" + line + "' failed: " + done.output); }
}

std::string mac_text(test::side end) {
    return proto::mac_address(test::testbed::mac(end)).to_string();
}

}  // namespace

kernel_subject::kernel_subject() : wire_(bed_.host(), bed_.name(test::side::host)) {
    const std::string device = bed_.name(test::side::peer);
    shell(bed_, settings + ("ip neigh replace 10.77.0.1 lladdr " + mac_text(test::side::host)) + " dev " + device +
                    " nud permanent; ip route change 10.77.0.0/24 dev " + device +
                    " proto kernel scope link src 10.77.0.2 rto_min 60s");
    door_ = bed_.peer().call([] { return listen_at_port(); });
    stay_on_this_processor();
}

std::vector<std::byte> kernel_subject::framed(proto::ip_protocol what, std::span<const std::byte> payload) const {
    constexpr std::size_t headers = proto::ethernet_header_length + proto::ipv4_header_length;
    std::vector<std::byte> frame(headers + payload.size());
    std::ranges::copy(payload, frame.begin() + headers);
    static_cast<void>(proto::ethernet_repr{proto::mac_address(bed_.mac(test::side::peer)),
                                           proto::mac_address(bed_.mac(test::side::host)), proto::ethertype::ipv4}
                          .emit(frame));
    static_cast<void>(proto::ipv4_repr{tester_address, server_address, what, payload.size()}.emit(
        std::span(frame).subspan(proto::ethernet_header_length)));
    return frame;
}

void kernel_subject::hear(std::span<const std::byte> segment) {
    wire_.send(framed(proto::ip_protocol::tcp, segment));
}

std::vector<std::vector<std::byte>> kernel_subject::answers() {
    std::vector<std::byte> echo(proto::icmp_header_length);
    ++echoes_;
    static_cast<void>(
        proto::icmp_echo_repr{.identifier = echo_identifier, .sequence = echoes_}.emit(echo));
    wire_.send(framed(proto::ip_protocol::icmp, echo));
    std::vector<std::vector<std::byte>> segments;
    for (const test::deadline limit = 60s;;) {
        const auto frame = wire_.recv(limit);
        if (!frame) { throw std::runtime_error("the kernel does not answer an echo request"); }
        const auto ethernet = proto::ethernet_view::parse(*frame);
        if (!ethernet || ethernet->type() != proto::ethertype::ipv4) { continue; }
        const auto packet = proto::ipv4_view::parse(std::span<const std::byte>(*frame).subspan(proto::ethernet_header_length));
        if (!packet) { throw std::runtime_error("the kernel has sent a broken IPv4 header"); }
        const auto payload = packet->payload();
        if (packet->protocol() == proto::ip_protocol::tcp) {
            segments.emplace_back(payload.begin(), payload.end());
        } else if (packet->protocol() == proto::ip_protocol::icmp) {
            const auto answer = proto::icmp_view::parse(payload);
            if (answer && answer->type() == proto::icmp_type::echo_reply && answer->identifier() == echo_identifier &&
                answer->sequence() == echoes_) {
                return segments;
            }
        }
    }
}

call_result kernel_subject::accept() {
    over_ = false;
    const int made = ::accept4(door_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (made < 0) {
        if (errno != EAGAIN) { throw_errno("accept"); }
        return {};
    }
    mine_ = file_descriptor(made);
    return {call_result::kind::done};
}

call_result kernel_subject::read(std::size_t most, std::vector<std::byte>& into) {
    const std::size_t before = into.size();
    into.resize(before + most);
    const ssize_t got = ::recv(mine_.get(), into.data() + before, most, 0);
    into.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got > 0) { return {call_result::kind::done, static_cast<std::size_t>(got)}; }
    // The reason is told once, and the end of the stream from then on.
    if (got == 0) { return {over_ ? call_result::kind::ended : call_result::kind::end_of_stream}; }
    if (errno == EAGAIN) { return {}; }
    over_ = true;
    return {call_result::kind::ended};
}

call_result kernel_subject::write(std::span<const std::byte> octets) {
    if (over_) { return {call_result::kind::ended}; }
    const ssize_t put = ::send(mine_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
    if (put >= 0) { return {call_result::kind::done, static_cast<std::size_t>(put)}; }
    if (errno == EAGAIN) { return {}; }
    over_ = true;
    return {call_result::kind::ended};
}

void kernel_subject::shutdown_write() {
    static_cast<void>(::shutdown(mine_.get(), SHUT_WR));
}

void kernel_subject::close() {
    mine_.reset();
}

void kernel_subject::abort() {
    const linger at_once{1, 0};
    if (::setsockopt(mine_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) != 0) { throw_errno("SO_LINGER"); }
    mine_.reset();
}

void kernel_subject::clear() {
    if (mine_) { abort(); }
    while (accept().what == call_result::kind::done) { abort(); }
    static_cast<void>(answers());
}

}  // namespace tcp_differential
