// SPDX-License-Identifier: BSD-3-Clause
// A host's TCP with a kernel's that leaves something out, or asks for what the host does not have: octets pass all the same,
// and both ends say that the feature is not used.
#include "fluxnet/runtime/host/ip_host.hpp"

#include "fluxnet/proto/ethernet.hpp"
#include "fluxnet/proto/ipv4.hpp"
#include "fluxnet/proto/ipv6.hpp"
#include "fluxnet/proto/tcp.hpp"
#include "fluxnet/runtime/host/frame_sink.hpp"
#include "tests/e2e/host_transfer.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

constexpr std::uint64_t agreed_octets = 512 << 10;

/// What the two ends say of a connection.
struct agreement {
    proto::tcp::connection_info at_host;
    unsigned at_kernel = 0;  // TCPI_OPT_...
};

/// The flags of SYN segments, those that were answers included.
class syn_watch final : public host::frame_sink {
public:
    void on_received(std::span<const std::byte> octets, time_point) noexcept override { note(octets, from_kernel); }
    void on_sent(std::span<const std::byte> octets, time_point) noexcept override { note(octets, from_host); }

    std::uint8_t from_kernel = 0;
    std::uint8_t from_host = 0;

private:
    static void note(std::span<const std::byte> octets, std::uint8_t& into) noexcept {
        const auto frame = proto::ethernet_view::parse(octets);
        if (!frame) { return; }
        std::span<const std::byte> segment;
        if (const auto v4 = proto::ipv4_view::parse(frame->payload()); v4 && v4->protocol() == proto::ip_protocol::tcp) {
            segment = v4->payload();
        } else if (const auto v6 = proto::ipv6_view::parse(frame->payload());
                   v6 && v6->next_header() == proto::ip_protocol::tcp) {
            segment = v6->payload();
        }
        const auto tcp = proto::tcp_view::parse_unsummed(segment);
        if (tcp && (tcp->flags() & proto::tcp_flag::syn) != 0) { into = tcp->flags(); }
    }
};

/// Sends octets both ways over one connection, and asks both ends.
task<void> exchange_and_ask(host_testbed& bed, bool v4, bool host_calls, agreement& told) {
    auto ends = co_await connect_both(bed, v4, host_calls);
    scope both;
    both.spawn(send_octets(ends.first, agreed_octets));
    both.spawn(receive_octets(ends.second, agreed_octets));
    both.spawn(send_octets(ends.second, agreed_octets));
    both.spawn(receive_octets(ends.first, agreed_octets));
    const wait_result ended = co_await both.join();
    CHECK_FALSE(ended);
    told.at_host = ends.first.info();
    tcp_info known{};
    socklen_t size = sizeof known;
    REQUIRE(::getsockopt(ends.second.fd(), IPPROTO_TCP, TCP_INFO, &known, &size) == 0);
    told.at_kernel = known.tcpi_options;
}

struct kernel_setting {
    const char* line;  ///< Of shell, in /proc/sys/net/ipv4.
    bool sack = true;
    bool timestamps = true;
    bool window_scaling = true;
    bool asks_for_ecn = false;
};

constexpr kernel_setting kernel_settings[] = {
    {.line = "true"},
    {.line = "echo 0 >tcp_sack", .sack = false},
    {.line = "echo 0 >tcp_timestamps", .timestamps = false},
    {.line = "echo 0 >tcp_window_scaling", .window_scaling = false},
    {.line = "echo 0 >tcp_sack; echo 0 >tcp_timestamps; echo 0 >tcp_window_scaling",
     .sack = false,
     .timestamps = false,
     .window_scaling = false},
    {.line = "echo 0 >tcp_ecn"},
    {.line = "echo 1 >tcp_ecn", .asks_for_ecn = true},
};

void exchange_under(const kernel_setting& setting, bool v4, bool host_calls) {
    CAPTURE(setting.line);
    CAPTURE(v4);
    CAPTURE(host_calls);
    host_testbed bed;
    bed.shell(side::peer, std::string("cd /proc/sys/net/ipv4; ") + setting.line);
    syn_watch syns;
    bed.here->capture_to(&syns);
    agreement told;
    run_and_clear(bed, exchange_and_ask(bed, v4, host_calls, told));

    CHECK(told.at_host.sack == setting.sack);
    CHECK(told.at_host.timestamps == setting.timestamps);
    CHECK(told.at_host.window_scaling == setting.window_scaling);
    CHECK(((told.at_kernel & TCPI_OPT_SACK) != 0) == setting.sack);
    CHECK(((told.at_kernel & TCPI_OPT_TIMESTAMPS) != 0) == setting.timestamps);
    CHECK(((told.at_kernel & TCPI_OPT_WSCALE) != 0) == setting.window_scaling);
    CHECK((told.at_kernel & TCPI_OPT_ECN) == 0);

    using namespace proto::tcp_flag;
    const auto congestion_bits = [](std::uint8_t flags) { return flags & (ece | cwr); };
    CHECK(syns.from_host != 0);
    CHECK(congestion_bits(syns.from_host) == 0);
    CHECK(congestion_bits(syns.from_kernel) == (setting.asks_for_ecn && !host_calls ? (ece | cwr) : 0));
}

}  // namespace

TEST_CASE("a host that the kernel calls agrees with it on what the kernel has, and both send all octets") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const kernel_setting& setting : kernel_settings) {
        for (const bool v4 : {true, false}) { exchange_under(setting, v4, false); }
    }
}

TEST_CASE("a host that calls the kernel agrees with it on what the kernel has, and both send all octets") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const kernel_setting& setting : kernel_settings) {
        for (const bool v4 : {true, false}) { exchange_under(setting, v4, true); }
    }
}
