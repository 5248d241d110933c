// SPDX-License-Identifier: BSD-3-Clause
// The pipeline between two AF_XDP sockets on the ends of a veth pair: the kernel loses packets, and tells how many.
#include "tests/e2e/pipeline.hpp"
#include "tests/e2e/pipeline_checks.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include <fcntl.h>
#include <unistd.h>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// Reads how many packets a device has dropped instead of sending them. Does not allocate after it was made.
/// Source: dev_seq_printf_stats() in net/core/net-procfs.c.
class send_drops {
public:
    send_drops(const testbed& bed, side which) : name_(bed.name(which) + ":") {
        const network_namespace::scoped_enter inside(bed.place(which));
        table_ = test::detail::file_descriptor::checked(::open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC),
                                                        "open /proc/thread-self/net/dev");
        REQUIRE(look().has_value());
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return look().value_or(0); }

private:
    [[nodiscard]] std::optional<std::uint64_t> look() const noexcept {
        std::array<char, 4096> text;
        const ::ssize_t length = ::pread(table_.get(), text.data(), text.size() - 1, 0);
        if (length <= 0) { return std::nullopt; }
        text[static_cast<std::size_t>(length)] = '\0';
        const char* const line = std::strstr(text.data(), name_.c_str());
        if (line == nullptr) { return std::nullopt; }
        unsigned long long drops = 0;  // the fourth column behind the eight of reception
        const int found = std::sscanf(line + name_.size(), "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &drops);
        return found == 1 ? std::optional<std::uint64_t>(drops) : std::nullopt;
    }

    std::string name_;
    test::detail::file_descriptor table_;
};

system_sockets open_end(const testbed& bed, side which, xdp_mode mode) {
    const network_namespace::scoped_enter inside(bed.place(which));
    return builder(bed.name(which)).mode(mode).frames(8192).tx_frames(4096).build_system().value();
}

exchange_outcome cross_veth(const testbed& bed, pipeline_middle& through, xdp_mode mode, const char* name,
                            const traffic& plan) {
    far_side far(open_end(bed, side::peer, mode));
    const send_drops there(bed, side::peer);
    const send_drops back(bed, side::host);
    const exchange_outcome outcome = send_and_check(far, through, plan, name, [&] {
        return far.lost_at_socket() + through.lost_at_socket() + there.count() + back.count();
    });
    CHECK(through.received() + through.lost_at_socket() + there.count() == far.sent());
    CHECK(far.received() + far.lost_at_socket() + back.count() == through.sent());
    return outcome;
}

void cross_veth(xdp_mode mode, const char* name, const traffic& plan) {
    testbed bed;
    pipeline through(open_end(bed, side::host, mode));
    cross_veth(bed, through, mode, name, plan);
}

}  // namespace

TEST_CASE("ten million packets through four workers on veth are all accounted for in native mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    cross_veth(xdp_mode::native, "veth native",
               {.packets = rounds(10'000'000, 20), .slice = rounds(1'000'000, 5), .overload = 40'000});
}

TEST_CASE("ten million packets through coroutines on four executors survive random cancels on veth") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    std::optional<coroutine_pipeline> through;
    {
        const network_namespace::scoped_enter inside(bed.place(side::host));
        through.emplace(builder(bed.name(side::host))
                            .mode(xdp_mode::native)
                            .frames(8192)
                            .tx_frames(4096)
                            .tx_ring(64)
                            .build_system()
                            .value());
    }
    const exchange_outcome outcome =
        cross_veth(bed, *through, xdp_mode::native, "veth native, coroutines",
                   {.packets = rounds(10'000'000, 20), .slice = rounds(1'000'000, 5), .overload = 40'000});
    check_cancels(*through, outcome);
}

TEST_CASE("two million packets through four workers on veth are all accounted for in generic mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    cross_veth(xdp_mode::generic, "veth generic",
               {.packets = scaled(2'000'000, 10), .slice = scaled(500'000, 5), .overload = 40'000});
}
