// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/xsk/detail/bind_ladder.hpp"

#include "fluxnet/xsk/detail/holders.hpp"
#include "tests/support/skip.hpp"
#include "tests/xsk/sim.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <linux/if_arp.h>
#include <linux/if_xdp.h>
#include <sys/resource.h>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

umem make_memory(std::uint32_t frames = 32) {
    umem_config config;
    config.frame_count = frames;
    config.fill_ring = config.completion_ring = 16;
    return umem::create(config).value();
}

socket_options make_options(fake_kernel& fake, xdp_mode mode = xdp_mode::automatic) {
    socket_options options;
    options.interface = "fake0";
    options.rx_ring = options.tx_ring = 32;
    options.mode = mode;
    options.attach = false;
    options.calls = &fake;
    return options;
}

std::vector<std::uint16_t> flags_of(const fake_kernel& fake) {
    std::vector<std::uint16_t> flags;
    for (const auto& bind : fake.binds()) { flags.push_back(bind.flags); }
    return flags;
}

/// A UMEM, a home to stock from and an attempt to open; checks afterwards that a failure leaves nothing behind.
struct attempt {
    explicit attempt(fake_kernel& fake, const socket_options& options)
        : memory(make_memory()), home(memory.pool().make_home(32)), socket(raw_socket::open(memory, options, home)) {
        if (!socket) {
            check_nothing_left(fake);
            CHECK(home->free_count() == 32);
            check_census(memory.pool());
        }
        home->release();
    }

    umem memory;
    frame_home* home;
    result<raw_socket> socket;
};

/// Why a test cannot do without descriptors; none when it can.
std::optional<std::string> why_no_descriptor_limit() {
#if defined(FLUXNET_ADDRESS_SANITIZER)
    return "the sanitizers of this build need descriptors of their own";
#else
    return std::nullopt;
#endif
}

constexpr std::uint16_t zero_copy_flags = XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP;
constexpr std::uint16_t copy_flags = XDP_COPY | XDP_USE_NEED_WAKEUP;

}  // namespace

TEST_CASE("each mode climbs its rungs in order") {
    const struct {
        xdp_mode mode;
        bool zero_copy;
        std::vector<std::uint16_t> flags;
        bool succeeds;
        std::size_t refusals;
    } table[] = {
        {xdp_mode::automatic, true, {zero_copy_flags}, true, 0},
        {xdp_mode::automatic, false, {zero_copy_flags, copy_flags}, true, 1},
        {xdp_mode::native, true, {zero_copy_flags}, true, 0},
        {xdp_mode::native, false, {zero_copy_flags, copy_flags}, true, 1},
        {xdp_mode::native_zero_copy, true, {zero_copy_flags}, true, 0},
        {xdp_mode::native_zero_copy, false, {zero_copy_flags}, false, 0},
        {xdp_mode::native_copy, true, {copy_flags}, true, 0},
        {xdp_mode::generic, true, {copy_flags}, true, 0},
    };
    for (const auto& row : table) {
        CAPTURE(static_cast<int>(row.mode));
        CAPTURE(row.zero_copy);
        fake_kernel fake;
        fake.zero_copy = row.zero_copy;
        {
            const attempt tried(fake, make_options(fake, row.mode));
            CHECK(flags_of(fake) == row.flags);
            REQUIRE(tried.socket.has_value() == row.succeeds);
            if (tried.socket) {
                CHECK(tried.socket->zero_copy() == (row.flags.back() == zero_copy_flags));
                REQUIRE(tried.socket->refusals().size() == row.refusals);
                for (const error& refusal : tried.socket->refusals()) {
                    CHECK(refusal.code == errc::interface_not_supported);
                    CHECK(contains(refusal.step, "zero-copy"));
                    CHECK(contains(refusal.cause, "EOPNOTSUPP"));
                    CHECK_FALSE(refusal.remedy.empty());
                }
            } else {
                CHECK(tried.socket.error().code == errc::interface_not_supported);
            }
        }
        check_nothing_left(fake);
    }
}

TEST_CASE("need_wakeup is asked for unless the user says no") {
    fake_kernel fake;
    auto options = make_options(fake, xdp_mode::native_copy);
    options.need_wakeup = false;
    const attempt tried(fake, options);
    REQUIRE(tried.socket.has_value());
    CHECK(flags_of(fake) == std::vector<std::uint16_t>{XDP_COPY});
}

TEST_CASE("the fill ring is stocked before every bind") {
    fake_kernel fake;
    const attempt tried(fake, make_options(fake));
    REQUIRE(tried.socket.has_value());
    REQUIRE(fake.binds().size() == 2);
    for (const auto& bind : fake.binds()) {
        CHECK(bind.stocked == 16);
        CHECK(bind.interface_index == 7);
        CHECK(bind.queue == 0);
    }
    CHECK(tried.home->free_count() == 16);
    CHECK(tried.home->given() == 16);
    CHECK(tried.memory.pool().census().fill == 16);
    check_census(tried.memory.pool());
}

TEST_CASE("a queue that is still being closed is tried again in steps") {
    fake_kernel fake;
    fake.fail(fake_call::bind, 1, EBUSY, 3);
    const attempt tried(fake, make_options(fake, xdp_mode::native_copy));
    REQUIRE(tried.socket.has_value());
    CHECK(tried.socket->refusals().empty());
    CHECK(fake.pauses() == std::vector<int>{10, 10, 10});
    CHECK(fake.binds().size() == 4);
    CHECK(fake.live_fds() == 1);
    CHECK(tried.memory.pool().census().fill == 16);
    check_census(tried.memory.pool());
}

TEST_CASE("a queue that stays busy is reported when the deadline has passed") {
    for (const auto& [deadline, tries] : {std::pair{0ms, 1U}, {10ms, 2U}, {35ms, 5U}, {1000ms, 101U}}) {
        fake_kernel fake;
        fake.fail(fake_call::bind, 1, EBUSY, 1000);
        auto options = make_options(fake, xdp_mode::native_copy);
        options.busy_deadline = deadline;
        const attempt tried(fake, options);
        REQUIRE_FALSE(tried.socket.has_value());
        CHECK(tried.socket.error().code == errc::queue_busy);
        CHECK(tried.socket.error().code == std::errc::device_or_resource_busy);
        CHECK(contains(tried.socket.error().message(), "fake0 queue 0"));
        CHECK(contains(tried.socket.error().message(), "EBUSY"));
        CHECK(contains(tried.socket.error().remedy, "another queue"));
        CHECK(fake.binds().size() == tries);
        const auto pauses = fake.pauses();
        CHECK(pauses.size() == tries - 1);
        CHECK(std::accumulate(pauses.begin(), pauses.end(), 0) >= deadline.count());
    }
}

TEST_CASE("all rungs together wait for a busy queue once") {
    fake_kernel fake;
    fake.fail(fake_call::bind, 1, EBUSY, 1000);
    auto options = make_options(fake);
    options.busy_deadline = 50ms;
    const attempt tried(fake, options);
    REQUIRE_FALSE(tried.socket.has_value());
    CHECK(tried.socket.error().code == errc::queue_busy);
    CHECK(fake.pauses() == std::vector<int>{10, 10, 10, 10, 10});
    CHECK(flags_of(fake).back() == copy_flags);
}

TEST_CASE("a registration that still counts twice after a closed attempt is tried again") {
    fake_kernel fake;
    fake.fail(fake_call::umem_registration, 2, ENOBUFS, 3);
    const attempt tried(fake, make_options(fake));  // the first attempt ends at zero-copy
    REQUIRE(tried.socket.has_value());
    CHECK(fake.pauses().size() == 3);
    CHECK(fake.live_fds() == 1);
    fake_kernel first;
    first.fail(fake_call::umem_registration, 1, ENOBUFS);
    const attempt refused(first, make_options(first, xdp_mode::native_copy));
    REQUIRE_FALSE(refused.socket.has_value());
    CHECK(refused.socket.error().code == errc::memlock_exceeded);
    CHECK(first.pauses().empty());
}

TEST_CASE("two sockets on one queue do not go together") {
    fake_kernel fake;
    const attempt first(fake, make_options(fake));
    REQUIRE(first.socket.has_value());
    const umem memory = make_memory();
    const auto second = raw_socket::open(memory, make_options(fake));
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == errc::queue_busy);
    CHECK(fake.live_fds() == 1);
    CHECK(fake.live_mappings() == 4);
}

TEST_CASE("every errno of every step has a condition and names step and cause and remedy") {
    const struct {
        fake_call call;
        int number;
        errc condition;
        const char* step;
        const char* remedy;
    } table[] = {
        {fake_call::find_interface, ENODEV, errc::interface_not_found, "'fake0'", "ip link"},
        {fake_call::find_interface, EMFILE, errc::system_failure, "'fake0'", "netdevice(7)"},
        {fake_call::open_socket, EPERM, errc::permission_denied, "AF_XDP socket", "CAP_NET_RAW"},
        {fake_call::open_socket, EAFNOSUPPORT, errc::kernel_not_supported, "AF_XDP socket", "CONFIG_XDP_SOCKETS"},
        {fake_call::open_socket, EMFILE, errc::system_failure, "AF_XDP socket", "socket(2)"},
        {fake_call::umem_registration, ENOBUFS, errc::memlock_exceeded, "65536 bytes (32 frames of 2048)", "ulimit -l"},
        {fake_call::umem_registration, ENOMEM, errc::out_of_memory, "UMEM", "fewer frames"},
        {fake_call::umem_registration, EINVAL, errc::invalid_option, "UMEM", "headroom"},
        {fake_call::umem_registration, EFAULT, errc::system_failure, "UMEM", "af_xdp.rst"},
        {fake_call::fill_ring, ENOMEM, errc::out_of_memory, "fill ring of 16", "smaller ring"},
        {fake_call::completion_ring, EINVAL, errc::invalid_option, "completion ring of 16", "power of two"},
        {fake_call::rx_ring, ENOMEM, errc::out_of_memory, "RX ring of 32", "smaller ring"},
        {fake_call::tx_ring, ENOMEM, errc::out_of_memory, "TX ring of 32", "smaller ring"},
        {fake_call::tx_ring, EBADF, errc::system_failure, "TX ring of 32", "af_xdp.rst"},
        {fake_call::mmap_offsets, ENOPROTOOPT, errc::system_failure, "ring", "af_xdp.rst"},
        {fake_call::map_ring, ENOMEM, errc::out_of_memory, "fill ring of 16", "smaller ring"},
        {fake_call::map_ring, EAGAIN, errc::system_failure, "fill ring of 16", "af_xdp.rst"},
        {fake_call::bind, EPERM, errc::permission_denied, "fake0 queue 0 in copy mode", "CAP_NET_RAW"},
        {fake_call::bind, ENODEV, errc::interface_gone, "fake0 queue 0 in copy mode", "exists"},
        {fake_call::bind, ENXIO, errc::interface_gone, "fake0 queue 0 in copy mode", "exists"},
        {fake_call::bind, ENETDOWN, errc::link_down, "fake0 queue 0 in copy mode", "ip link set dev fake0 up"},
        {fake_call::bind, ENOBUFS, errc::out_of_memory, "fake0 queue 0 in copy mode", "fewer frames"},
        {fake_call::bind, ENOMEM, errc::out_of_memory, "fake0 queue 0 in copy mode", "fewer frames"},
        {fake_call::bind, EOPNOTSUPP, errc::interface_not_supported, "fake0 queue 0 in copy mode", ""},
        {fake_call::bind, EINVAL, errc::queue_out_of_range, "fake0 queue 0", "queue"},
        {fake_call::bind, EIO, errc::system_failure, "fake0 queue 0 in copy mode", "af_xdp.rst"},
    };
    for (const auto& row : table) {
        fake_kernel fake;
        fake.fail(row.call, 1, row.number, 1000);
        const attempt tried(fake, make_options(fake, xdp_mode::native_copy));
        REQUIRE_FALSE(tried.socket.has_value());
        const error& failure = tried.socket.error();
        CAPTURE(failure.message());
        CHECK(failure.code == row.condition);
        CHECK(contains(failure.step, row.step));
        CHECK(contains(failure.cause, errno_text(row.number)));
        CHECK(contains(failure.remedy, row.remedy));
        CHECK_FALSE(failure.remedy.empty());
    }
}

TEST_CASE("only a zero-copy bind blames the lack of zero-copy") {
    fake_kernel fake;
    fake.fail(fake_call::bind, 1, EOPNOTSUPP, 10);
    const attempt copy(fake, make_options(fake, xdp_mode::native_copy));
    REQUIRE_FALSE(copy.socket.has_value());
    CHECK_FALSE(contains(copy.socket.error().message(), "zero-copy"));
    const attempt zero(fake, make_options(fake, xdp_mode::native_zero_copy));
    REQUIRE_FALSE(zero.socket.has_value());
    CHECK(contains(zero.socket.error().message(), "zero-copy"));
}

TEST_CASE("each of the four mappings may be the one that fails") {
    for (unsigned nth = 1; nth <= 4; ++nth) {
        fake_kernel fake;
        fake.fail(fake_call::map_ring, nth, ENOMEM);
        const attempt tried(fake, make_options(fake, xdp_mode::native_copy));
        REQUIRE_FALSE(tried.socket.has_value());
        const char* const names[] = {"fill", "completion", "RX", "TX"};
        CHECK(contains(tried.socket.error().step, std::string(names[nth - 1]) + " ring"));
    }
}

TEST_CASE("the end of the interface ends the climb") {
    for (const int number : {ENODEV, ENXIO}) {
        fake_kernel fake;
        fake.fail(fake_call::bind, 1, number);
        const attempt tried(fake, make_options(fake));
        REQUIRE_FALSE(tried.socket.has_value());
        CHECK(tried.socket.error().code == errc::interface_gone);
        CHECK(fake.binds().size() == 1);
    }
}

TEST_CASE("whatever a driver says against zero-copy copy mode is tried") {
    for (const int number : {EPERM, EINVAL, ENOMEM, ENETDOWN, EOPNOTSUPP, EIO}) {
        CAPTURE(number);
        fake_kernel fake;
        fake.fail(fake_call::bind, 1, number);
        const attempt tried(fake, make_options(fake));
        REQUIRE(tried.socket.has_value());
        CHECK_FALSE(tried.socket->zero_copy());
        REQUIRE(tried.socket->refusals().size() == 1);
        CHECK(contains(tried.socket->refusals().front().cause, errno_text(number)));
        CHECK(tried.memory.pool().census().fill == 16);
    }
}

TEST_CASE("a failure of copy mode is final and its own") {
    for (const int number : {EPERM, ENETDOWN, ENOMEM, EINVAL}) {
        CAPTURE(number);
        fake_kernel fake;
        fake.fail(fake_call::bind, 2, number);
        const attempt tried(fake, make_options(fake));
        REQUIRE_FALSE(tried.socket.has_value());
        CHECK(fake.binds().size() == 2);
        CHECK(contains(tried.socket.error().cause, errno_text(number)));
    }
}

TEST_CASE("a driver that dislikes the ring or the queue for zero-copy is asked for copy mode") {
    fake_kernel fake;
    fake.fail(fake_call::bind, 1, EINVAL);
    const attempt tried(fake, make_options(fake));
    REQUIRE(tried.socket.has_value());
    CHECK(flags_of(fake) == std::vector<std::uint16_t>{zero_copy_flags, copy_flags});
    REQUIRE(tried.socket->refusals().size() == 1);
    CHECK(tried.socket->refusals().front().code == errc::interface_not_supported);
    CHECK(contains(tried.socket->refusals().front().cause, "EINVAL"));
}

TEST_CASE("when all rungs are refused the message tells why each was") {
    fake_kernel fake;
    fake.fail(fake_call::bind, 2, EOPNOTSUPP);
    const attempt tried(fake, make_options(fake));
    REQUIRE_FALSE(tried.socket.has_value());
    const error& failure = tried.socket.error();
    CHECK(failure.code == errc::interface_not_supported);
    CHECK(contains(failure.message(), "zero-copy mode"));
    CHECK(contains(failure.message(), "copy mode: bind answered EOPNOTSUPP"));
    CHECK_FALSE(failure.remedy.empty());
    for (const char* const part : {"zero-copy mode: bind answered EOPNOTSUPP", "copy mode is tried next)", "in copy mode",
                                   "(use another interface)", "one of these remedies suffices"}) {
        CAPTURE(part);
        CHECK(contains(failure.message(), part));
    }
    CHECK(failure.message().size() < 4000);
}

TEST_CASE("a system that fails at every rung is not taken for an interface that lacks something") {
    fake_kernel fake;
    fake.fail(fake_call::open_socket, 1, EMFILE, 10);
    const attempt tried(fake, make_options(fake));
    REQUIRE_FALSE(tried.socket.has_value());
    CHECK(tried.socket.error().code == errc::system_failure);
    CHECK(contains(tried.socket.error().message(), "EMFILE"));
}

TEST_CASE("a queue beyond those of the interface is refused before a socket is opened") {
    fake_kernel fake;
    fake.interface.queues = fake.real_queues = 4;
    auto options = make_options(fake);
    options.queue = 4;
    const attempt tried(fake, options);
    REQUIRE_FALSE(tried.socket.has_value());
    CHECK(tried.socket.error().code == errc::queue_out_of_range);
    CHECK(contains(tried.socket.error().message(), "fake0 queue 4"));
    CHECK(contains(tried.socket.error().message(), "4 queues"));
    CHECK(contains(tried.socket.error().message(), "use queue 0 to 3"));
    CHECK(fake.calls(fake_call::open_socket) == 0);
    options.queue = 3;
    CHECK(attempt(fake, options).socket.has_value());
}

TEST_CASE("a queue of an interface that does not tell its queues is judged by the bind") {
    fake_kernel fake;
    fake.interface.queues = 0;
    auto options = make_options(fake);
    options.queue = 5;
    const attempt tried(fake, options);
    REQUIRE_FALSE(tried.socket.has_value());
    CHECK(tried.socket.error().code == errc::queue_out_of_range);
    CHECK(contains(tried.socket.error().message(), "EINVAL"));
    CHECK(contains(tried.socket.error().message(), "ethtool -l fake0"));
}

TEST_CASE("ring sizes that are no power of two are refused by value") {
    for (const std::uint32_t size : {0U, 3U, 1000U, 0xffff'ffffU}) {
        fake_kernel fake;
        auto options = make_options(fake);
        options.rx_ring = size;
        const attempt rx(fake, options);
        REQUIRE_FALSE(rx.socket.has_value());
        CHECK(rx.socket.error().code == errc::invalid_option);
        CHECK(contains(rx.socket.error().message(), "RX ring size " + std::to_string(size)));
        CHECK(contains(rx.socket.error().message(), "power of two"));
        options.rx_ring = 32;
        options.tx_ring = size;
        const attempt tx(fake, options);
        REQUIRE_FALSE(tx.socket.has_value());
        CHECK(contains(tx.socket.error().message(), "TX ring size " + std::to_string(size)));
        CHECK(fake.calls(fake_call::open_socket) == 0);
    }
}

TEST_CASE("an MTU larger than a frame holds is refused with the numbers") {
    fake_kernel fake;
    fake.interface.mtu = 1523;
    auto options = make_options(fake);
    options.attach = true;
    const attempt tried(fake, options);
    REQUIRE_FALSE(tried.socket.has_value());
    CHECK(tried.socket.error().code == errc::mtu_too_large);
    CHECK(contains(tried.socket.error().message(), "MTU 1523 of fake0"));
    CHECK(contains(tried.socket.error().message(), "up to 1537 bytes, and a frame of 2048 bytes holds 1536"));
    CHECK(contains(tried.socket.error().message(), "256 to headroom"));
    CHECK(fake.calls(fake_call::open_socket) == 0);
}

TEST_CASE("the remedy for an MTU is what works with the numbers at hand") {
    struct {
        std::uint32_t mtu;
        std::uint32_t frame_size;
        std::uint32_t headroom;
        const char* remedy;
    } const cases[] = {
        {1523, 2048, 256,
         "use a headroom of 255 bytes or less, or use frames of 4096 bytes, or run 'ip link set dev fake0 mtu 1522'"},
        {1778, 2048, 256, "use no headroom, or use frames of 4096 bytes, or run 'ip link set dev fake0 mtu 1522'"},
        {3000, 2048, 256, "use frames of 4096 bytes, or run 'ip link set dev fake0 mtu 1522'"},
        {3700, 2048, 256,
         "use frames of 4096 bytes with a headroom of 126 bytes or less, or run 'ip link set dev fake0 mtu 1522'"},
        {3700, 4096, 256, "use a headroom of 126 bytes or less, or run 'ip link set dev fake0 mtu 3570'"},
        {3826, 2048, 0, "use frames of 4096 bytes, or run 'ip link set dev fake0 mtu 1778'"},
        {3827, 2048, 0,
         "no frame is large enough, and packets do not span several: even one of 4096 bytes holds an MTU of 3826 at most; "
         "run 'ip link set dev fake0 mtu 1778'"},
        {9000, 2048, 128,
         "no frame is large enough, and packets do not span several: even one of 4096 bytes holds an MTU of 3826 at most; "
         "run 'ip link set dev fake0 mtu 1650'"},
        {9000, 4096, 0,
         "no frame is large enough, and packets do not span several: even one of 4096 bytes holds an MTU of 3826 at most; "
         "run 'ip link set dev fake0 mtu 3826'"},
    };
    for (const auto& one : cases) {
        CAPTURE(one.mtu);
        fake_kernel fake;
        fake.interface.mtu = one.mtu;
        const auto build = [&] {
            return sim_builder(fake, 32).frame_size(one.frame_size).headroom(one.headroom).build_raw();
        };
        const auto refused = build();
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().remedy == one.remedy);
        // The MTU that it names is the largest that works.
        fake.interface.mtu = umem_config{.frame_size = one.frame_size, .headroom = one.headroom}.packet_capacity() - 14;
        CHECK(build().has_value());
    }
}

TEST_CASE("VLAN tags that do not fit into a frame are noted") {
    for (const auto& [mtu, noted] : {std::pair{1518U, false}, {1519U, true}, {1522U, true}}) {
        fake_kernel fake;
        fake.interface.mtu = mtu;
        const raw_socket socket = sim_builder(fake, 32).build_raw().value();
        CHECK(socket.notes().size() == (noted ? 1U : 0U));
        CHECK((socket.interface().longest_packet(1) > socket.umem.config().packet_capacity()) == noted);
        for (const std::string& note : socket.notes()) {
            CHECK(contains(note, "with a VLAN tag have " + std::to_string(mtu + 18)));
        }
    }
}

TEST_CASE("an interface without Ethernet headers is refused by its link type") {
    for (const int type : {ARPHRD_NONE, ARPHRD_PPP, ARPHRD_TUNNEL, ARPHRD_IPGRE, ARPHRD_INFINIBAND, 12345}) {
        CAPTURE(type);
        fake_kernel fake;
        fake.interface.link_type = static_cast<std::uint16_t>(type);
        const attempt tried(fake, make_options(fake));
        REQUIRE_FALSE(tried.socket.has_value());
        CHECK(tried.socket.error().code == errc::interface_not_supported);
        CHECK(contains(tried.socket.error().message(), "it is " + std::to_string(type)));
        CHECK(fake.calls(fake_call::open_socket) == 0);
    }
}

TEST_CASE("a loopback is refused for its MTU when it could be bound") {
    fake_kernel fake;
    fake.interface.mtu = 65536;
    fake.interface.loopback = true;
    const attempt tried(fake, make_options(fake));
    REQUIRE_FALSE(tried.socket.has_value());
    CHECK(tried.socket.error().code == errc::mtu_too_large);
    CHECK(contains(tried.socket.error().message(), "MTU 65536 of fake0"));
    CHECK(fake.binds().size() == 2);
}

TEST_CASE("an interface of another name is not found") {
    fake_kernel fake;
    auto options = make_options(fake);
    options.interface = "nosuch0";
    const attempt tried(fake, options);
    REQUIRE_FALSE(tried.socket.has_value());
    CHECK(tried.socket.error().code == errc::interface_not_found);
    CHECK(contains(tried.socket.error().message(), "'nosuch0'"));
}

TEST_CASE("a kernel without the transmit budget is used as it is") {
    fake_kernel fake;
    fake.old_kernel = true;
    const attempt old(fake, make_options(fake));
    REQUIRE(old.socket.has_value());
    CHECK(fake.tx_budget() == 0);
    CHECK(old.socket->refusals().empty() == false);
}

TEST_CASE("the transmit budget is the whole ring") {
    fake_kernel fake;
    const attempt tried(fake, make_options(fake));
    REQUIRE(tried.socket.has_value());
    CHECK(fake.tx_budget() == 32);
}

TEST_CASE("a program that cannot be loaded is an error on the last rung too") {
    // With no descriptor left the load fails, whoever runs this: with EMFILE, or for want of privileges.
    FLUXNET_SKIP_IF(why_no_descriptor_limit());
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    fake_kernel fake;
    fake.on_bind = [&] {
        const rlimit none{0, before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &none);
    };
    auto options = make_options(fake, xdp_mode::generic);
    options.attach = true;
    const umem memory = make_memory();
    const auto opened = raw_socket::open(memory, options);
    ::setrlimit(RLIMIT_NOFILE, &before);
    REQUIRE_FALSE(opened.has_value());
    CHECK_FALSE(opened.error().step.empty());
    CHECK_FALSE(opened.error().cause.empty());
    CHECK_FALSE(opened.error().remedy.empty());
    CHECK(opened.error().code);
    check_nothing_left(fake);
}

TEST_CASE("the holders of AF_XDP rings are named without failing") {
    CHECK_NOTHROW(static_cast<void>(detail::describe_ring_holders(-1, {}, 0)));
}
