// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/program.hpp"

#include "fluxnet/xsk/builder.hpp"
#include "tests/bpf/test_run.hpp"
#include "tests/support/foreign_program.hpp"
#include "tests/support/packet_socket.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/syscall_counter.hpp"
#include "tests/support/testbed.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<program> && !std::is_move_constructible_v<program>);

namespace {

std::vector<std::byte> frame_of(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) { bytes[i] = static_cast<std::byte>(i * 7); }
    return bytes;
}

/// The smallest frame that a device delivers, usual ones, and a jumbo frame that spans several buffers.
const std::array<std::size_t, 5> sizes{14, 60, 590, 1514, 9014};

/// The host side of a testbed with our program loaded for it and attached, and the calling thread inside.
struct attached_program {
    explicit attached_program(unsigned queues = 1) : bed({.queues = queues}), inside(bed.host()) {
        interface_info interface;
        REQUIRE(system_kernel().find_interface(bed.name(side::host).c_str(), interface) == 0);
        loaded = program::load(interface).value();
        index = interface.index;
        loaded->attach(attach_mode::native).value();
    }

    testbed bed;
    network_namespace::scoped_enter inside;
    std::shared_ptr<program> loaded;
    int index = 0;
};

}  // namespace

TEST_CASE("without a socket every packet passes unchanged and is counted") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const attached_program port;
    std::uint64_t runs = 0;
    for (const std::size_t size : sizes) {
        const auto bytes = frame_of(size);
        const test_verdict seen = run_over(*port.loaded, bytes, port.index, 0);
        REQUIRE(seen.error == 0);
        CHECK(seen.action == XDP_PASS);
        CHECK(seen.packet == bytes);
        CHECK(port.loaded->count().passed == ++runs);
    }
    CHECK(port.loaded->count().redirected == 0);
}

TEST_CASE("packets of a queue with a socket are redirected and those of other queues pass") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port(2);
    auto sockets =
        builder(port.bed.name(side::host)).queue(1).use_program(port.loaded).mode(xdp_mode::native).build_system();
    REQUIRE_MESSAGE(sockets.has_value(), sockets.error().message());
    verdict_counts expected;
    for (const std::size_t size : sizes) {
        const auto bytes = frame_of(size);
        const test_verdict taken = run_over(*port.loaded, bytes, port.index, 1);
        REQUIRE(taken.error == 0);
        CHECK(taken.action == XDP_REDIRECT);
        CHECK(taken.packet == bytes);
        ++expected.redirected;
        const test_verdict left = run_over(*port.loaded, bytes, port.index, 0);
        REQUIRE(left.error == 0);
        CHECK(left.action == XDP_PASS);
        ++expected.passed;
        CHECK(port.loaded->count().redirected == expected.redirected);
        CHECK(port.loaded->count().passed == expected.passed);
    }
    port.loaded->remove(1, sockets->rx.fd() + 1);  // not the one that made the entry
    CHECK(run_over(*port.loaded, frame_of(60), port.index, 1).action == XDP_REDIRECT);
    port.loaded->remove(1, sockets->rx.fd());
    CHECK(run_over(*port.loaded, frame_of(60), port.index, 1).action == XDP_PASS);
}

TEST_CASE("a socket that ends takes its queue out of the map") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port;
    {
        auto sockets = builder(port.bed.name(side::host)).use_program(port.loaded).build_system();
        REQUIRE_MESSAGE(sockets.has_value(), sockets.error().message());
        CHECK(run_over(*port.loaded, frame_of(60), port.index, 0).action == XDP_REDIRECT);
    }
    CHECK(run_over(*port.loaded, frame_of(60), port.index, 0).action == XDP_PASS);
}

TEST_CASE("a runt cannot reach the program") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const attached_program port;
    CHECK(run_over(*port.loaded, frame_of(13), port.index, 0).error == EINVAL);
    CHECK(port.loaded->count().passed == 0);
}

TEST_CASE("packets from the wire are counted by what became of them") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port;
    packet_socket peer(port.bed.peer(), port.bed.name(side::peer));
    packet_socket kernel(port.bed.host(), port.bed.name(side::host));
    auto frame = frame_of(60);
    frame[12] = std::byte{0x88};
    frame[13] = std::byte{0xb5};
    for (int i = 0; i < 5; ++i) {
        peer.send(frame);
        CHECK(kernel.recv(2s) == frame);
    }
    CHECK(port.loaded->count().passed == 5);
    auto sockets = builder(port.bed.name(side::host)).use_program(port.loaded).build_system();
    REQUIRE_MESSAGE(sockets.has_value(), sockets.error().message());
    for (int i = 0; i < 3; ++i) { peer.send(frame); }
    std::array<packet, 8> burst;
    std::uint32_t received = 0;
    const deadline limit = 2s;
    while (received < 3 && !limit.passed()) { received += sockets->rx.try_recv(burst); }
    CHECK(received == 3);
    CHECK(port.loaded->count().redirected == 3);
    CHECK(port.loaded->count().passed == 5);
    CHECK_FALSE(kernel.recv(20ms));
}

TEST_CASE("the counters are read without a system call") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    FLUXNET_SKIP_IF(syscall_counter::why_not_available());
    const attached_program port;
    static_cast<void>(run_over(*port.loaded, frame_of(60), port.index, 0));
    syscall_counter calls(::gettid(), counted::thread);
    std::uint64_t sum = 0;
    for (int i = 0; i < 100; ++i) { sum += port.loaded->count().passed; }
    const std::uint64_t made = calls.total();
    CHECK(sum == 100);
    CHECK(made == 0);
}

TEST_CASE("the program on an interface is described by name and number and mode") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port;
    const std::string number = "id " + std::to_string(port.loaded->id());
    for (const attach_mode mode : {attach_mode::native, attach_mode::generic}) {
        port.loaded->attach(mode).value();
        CHECK(port.bed.xdp_program_id(side::host) == port.loaded->id());
        const std::string text = describe_programs(port.index);
        CHECK_MESSAGE(text.find("flux_redirect") != std::string::npos, text);
        CHECK_MESSAGE(text.find(number) != std::string::npos, text);
        CHECK_MESSAGE(text.find(name(mode)) != std::string::npos, text);
    }
    port.loaded->detach();
    CHECK_FALSE(port.loaded->attached());
    CHECK(port.bed.is_free_of_xdp(side::host));
    CHECK(describe_programs(port.index).empty());
}

TEST_CASE("a program of somebody else's is named as the reason why ours cannot be attached") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port;
    port.loaded->detach();
    const auto foreign = load_foreign_program();
    // By netlink, as `ip link` does it, and by a link.
    for (const bool by_link : {false, true}) {
        fluxnet::test::detail::file_descriptor link;
        if (by_link) {
            link = link_program(foreign.get(), static_cast<unsigned>(port.index), false);
        } else {
            REQUIRE(::bpf_xdp_attach(port.index, foreign.get(), XDP_FLAGS_DRV_MODE, nullptr) == 0);
        }
        const auto refused = port.loaded->attach(attach_mode::native);
        REQUIRE(refused.has_error());
        const error failure = refused.error();
        CHECK(failure.code == errc::program_conflict);
        CHECK_MESSAGE(failure.message().find("somebody") != std::string::npos, failure.message());
        CHECK_MESSAGE(failure.message().find(port.bed.name(side::host)) != std::string::npos, failure.message());
        // Who holds it, and a command that works: `ip link` cannot remove a link.
        const std::string holder = "of bpf_test pid " + std::to_string(::getpid());
        CHECK_MESSAGE((failure.message().find(holder) != std::string::npos) == by_link, failure.message());
        CHECK_MESSAGE((failure.remedy.find("bpftool link detach id") != std::string::npos) == by_link, failure.message());
        CHECK_MESSAGE((failure.remedy.find("xdp off") != std::string::npos) == !by_link, failure.message());
        if (!by_link) { REQUIRE(::bpf_xdp_detach(port.index, XDP_FLAGS_DRV_MODE, nullptr) == 0); }
    }
    CHECK(port.loaded->attach(attach_mode::native).has_value());
}

TEST_CASE("a program cannot be replaced by another one while its link holds the interface") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port;
    const auto foreign = load_foreign_program();
    CHECK(::bpf_xdp_attach(port.index, foreign.get(), XDP_FLAGS_DRV_MODE, nullptr) == -EBUSY);
    CHECK(::bpf_xdp_detach(port.index, XDP_FLAGS_DRV_MODE, nullptr) < 0);
    CHECK(port.bed.xdp_program_id(side::host) == port.loaded->id());
}

TEST_CASE("a program that somebody else detached or replaced is displaced until it is attached again") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port;
    const auto foreign = load_foreign_program();
    for (const attach_mode mode : {attach_mode::native, attach_mode::generic}) {
        port.loaded->detach();
        CHECK_FALSE(port.loaded->displaced());
        port.loaded->attach(mode).value();
        CHECK_FALSE(port.loaded->displaced());
        update_link(find_link_of(port.loaded->id()).get(), foreign.get());
        CHECK(port.loaded->displaced());
        CHECK(port.bed.xdp_program_id(side::host) == program_id_of(foreign.get()));
        port.loaded->attach(mode).value();
        CHECK_FALSE(port.loaded->displaced());
        detach_link_of(port.loaded->id());
        CHECK(port.loaded->displaced());
        CHECK(port.loaded->attached());
        port.loaded->attach(mode).value();
        CHECK_FALSE(port.loaded->displaced());
        CHECK(port.bed.xdp_program_id(side::host) == port.loaded->id());
    }
}

TEST_CASE("an interface that is gone is named when a program is attached to it") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    attached_program port;
    port.loaded->detach();
    port.bed.delete_link();
    const auto refused = port.loaded->attach(attach_mode::native);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::interface_gone);
}

TEST_CASE("the program leaves the interface with a process that is killed") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    testbed bed;
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bed.host().enter();
        auto sockets = builder(bed.name(side::host)).build_system();
        const char answer = sockets.has_value() ? 'y' : 'n';
        if (::write(ends[1], &answer, 1) != 1) { ::_exit(1); }
        for (;;) { ::pause(); }
    }
    char answer = 0;
    CHECK(::read(ends[0], &answer, 1) == 1);
    CHECK(answer == 'y');
    CHECK(bed.xdp_program_id(side::host) != 0);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const deadline limit = 5s;
    while (bed.xdp_program_id(side::host) != 0 && !limit.passed()) { std::this_thread::sleep_for(1ms); }
    CHECK(bed.is_free_of_xdp(side::host));
    ::close(ends[0]);
    ::close(ends[1]);
}
