// SPDX-License-Identifier: BSD-3-Clause
// XDP programs around our sockets: ours go with them, those of others stay, and a user's own program directs packets to
// them. The scenarios are those of the kernel's own AF_XDP tests (Linux tools/testing/selftests/bpf/xskxceiver.c): program
// cleanup, drop half, and the mode that a veth does not have.
#include "tests/support/foreign_program.hpp"
#include "tests/xsk/raw_end.hpp"
#include "tests/xsk/veth_pair.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "drop_half_bpf.skel.h"

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// The user's own program of bpf/drop_half.bpf.c, attached to the host's interface until it goes.
class half_dropper {
public:
    half_dropper(const veth_pair& pair, bool generic) : skeleton_(drop_half_bpf__open_and_load(), &drop_half_bpf__destroy) {
        REQUIRE(skeleton_ != nullptr);
        const network_namespace::scoped_enter inside(pair.bed.host());
        const int program = bpf_program__fd(skeleton_->progs.drop_half);
        link_ = link_program(program, testbed::ifindex(side::host), generic);
        id_ = program_id_of(program);
    }

    void direct(std::uint32_t queue, int socket) {
        REQUIRE(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.sockets), &queue, &socket, BPF_ANY) == 0);
    }

    [[nodiscard]] std::uint32_t id() const { return id_; }
    [[nodiscard]] std::uint64_t seen() const {
        return static_cast<const volatile drop_half_bpf__bss*>(skeleton_->bss)->seen;
    }
    [[nodiscard]] std::uint64_t dropped() const {
        return static_cast<const volatile drop_half_bpf__bss*>(skeleton_->bss)->dropped;
    }

private:
    using drop_half_bpf__bss = std::remove_pointer_t<decltype(drop_half_bpf::bss)>;

    std::unique_ptr<drop_half_bpf, decltype(&drop_half_bpf__destroy)> skeleton_;
    fluxnet::test::detail::file_descriptor link_;
    std::uint32_t id_ = 0;
};

}  // namespace

FLUXNET_VETH_TEST("the program leaves the interface with the last handle of its socket") {
    veth_pair pair;
    {
        std::optional<system_sockets> sockets = pair.open(side::host, mode);
        CHECK(pair.bed.xdp_program_id(side::host) == sockets->rx.redirect()->id());
        std::optional<tx> sender = std::move(sockets->tx);
        sockets.reset();
        CHECK(pair.bed.xdp_program_id(side::host) != 0);
        sender.reset();
        CHECK(pair.bed.is_free_of_xdp(side::host));
    }
    std::shared_ptr<program> kept;
    {
        const raw_end host = open_raw_end(pair, side::host, mode);
        kept = host.socket.redirect();
        CHECK(pair.bed.xdp_program_id(side::host) == kept->id());
    }
    // The user keeps it: packets pass through it to the kernel, until another socket takes it over.
    CHECK(pair.bed.xdp_program_id(side::host) == kept->id());
    packet_socket kernel = pair.plain(side::host);
    packet_socket peer = pair.plain(side::peer);
    peer.send(numbered(1, 64, side::peer));
    CHECK(receive_numbered(kernel, 1, 1, side::peer) == 1);
    {
        system_sockets next = pair.open(side::host, pair.at(side::host, mode).use_program(kept));
        peer.send(numbered(2, 64, side::peer));
        CHECK(receive_numbered(next.rx, 2, 1, side::peer) == 1);
        CHECK_FALSE(kernel.recv(10ms));
        check_all_home(next);
    }
    CHECK(kept->count().passed == 1);
    CHECK(kept->count().redirected == 1);
    kept.reset();
    CHECK(pair.bed.is_free_of_xdp(side::host));
}

FLUXNET_VETH_TEST("a program that somebody else attached stays when sockets come and go and fail") {
    veth_pair pair;
    const auto foreign = load_foreign_program();
    const auto link = pair.bed.host().call(
        [&] { return link_program(foreign.get(), testbed::ifindex(side::host), mode == xdp_mode::generic); });
    const std::uint32_t theirs = program_id_of(foreign.get());
    CHECK(pair.bed.xdp_program_id(side::host) == theirs);
    packet_socket peer = pair.plain(side::peer);
    for (std::uint32_t round = 0; round < 3; ++round) {
        const auto refused = pair.try_open(side::host, pair.at(side::host, mode));
        REQUIRE(refused.has_error());
        CHECK(refused.error().code == errc::program_conflict);
        CHECK_MESSAGE(contains(refused.error().message(), "somebody id " + std::to_string(theirs)),
                      refused.error().message());
        CHECK(pair.bed.xdp_program_id(side::host) == theirs);
        // The queue is free for a socket that leaves the program alone; it only sends.
        system_sockets sender = pair.open(side::host, pair.at(side::host, mode).attach(false));
        CHECK(sender.rx.redirect() == nullptr);
        CHECK(send_numbered(sender.tx, round, 1) == 1);
        CHECK(receive_numbered(peer, round, 1) == 1);
        check_all_home(sender);
    }
    CHECK(pair.bed.xdp_program_id(side::host) == theirs);
}

FLUXNET_VETH_TEST("a user's program that drops every second packet lets the others through") {
    constexpr std::uint32_t count = 400;
    veth_pair pair;
    half_dropper dropper(pair, mode == xdp_mode::generic);
    {
        system_sockets host = pair.open(side::host, pair.at(side::host, mode).attach(false));
        raw_end peer = open_raw_end(pair, side::peer, mode, 0);
        dropper.direct(0, host.rx.fd());
        std::uint32_t received = 0;
        for (std::uint32_t i = 0; i < count; i += 20) {
            REQUIRE(peer.queue_numbered(i, 20, side::peer) == 20);
            REQUIRE(peer.drain());
            for (std::uint32_t j = 0; j < 20; j += 2) { received += receive_numbered(host.rx, i + j, 1, side::peer); }
            REQUIRE(received == (i + 20) / 2);
        }
        CHECK(host.rx.available() == 0);
        CHECK(dropper.seen() == count);
        CHECK(dropper.dropped() == count / 2);
        CHECK(host.rx.statistics().rx_dropped == 0);
        check_all_home(host);
        peer.check_books();
    }
    CHECK(pair.bed.xdp_program_id(side::host) == dropper.id());
}

TEST_CASE("zero-copy that was asked for is granted or refused with the kernel's reason") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    veth_pair pair;
    auto opened = pair.try_open(side::host, pair.at(side::host, xdp_mode::native_zero_copy));
    if (opened) {
        CHECK(opened->rx.zero_copy());
        packet_socket peer = pair.plain(side::peer);
        peer.send(numbered(1, 64, side::peer));
        CHECK(receive_numbered(opened->rx, 1, 1, side::peer) == 1);
        return;
    }
    REQUIRE(opened.error().code == errc::interface_not_supported);
    REQUIRE(contains(opened.error().cause, "EOPNOTSUPP"));
    REQUIRE(pair.bed.is_free_of_xdp(side::host));
    FLUXNET_SKIP_IF(opened.error().message());
}
