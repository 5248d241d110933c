// SPDX-License-Identifier: BSD-3-Clause
// Which reactor an executor gets, and what it says about that.
#include "fluxnet/runtime/reactor/reactor.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "fluxnet/runtime/packets/engine.hpp"
#include "tests/runtime/reactor_tests.hpp"
#include "tests/runtime/seccomp.hpp"
#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/skip.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>

using namespace fluxnet;
using namespace fluxnet::test;
using namespace std::chrono_literals;
using fluxnet::test::detail::file_descriptor;

namespace {

/// What an executor says of its reactor, or of what the kernel refuses.
std::string said_by(reactor_kind kind, const idle_policy& idle = {}) {
    try {
        executor loop(idle, kind);
        bool ran = false;
        loop.spawn([&]() -> task<void> {
            static_cast<void>(co_await sleep_for(1ms));
            ran = true;
        });
        loop.run();
        return std::string(loop.reactor_name()) + " | " + std::string(loop.reactor_reason()) + (ran ? "" : " | did not run");
    } catch (const std::system_error& failure) {
        return "refused " + std::to_string(failure.code().value()) + ' ' + failure.what();
    }
}

/// The same where io_uring_setup answers `number`.
std::string said_where(int number, reactor_kind kind) {
    return said_without({SYS_io_uring_setup, number}, [kind] { return said_by(kind); });
}

bool begins(const std::string& text, const std::string& with) {
    return text.compare(0, with.size(), with) == 0;
}

bool holds(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

std::optional<std::string> why_no_mounts() {
    if (::geteuid() != 0) { return "mounting over a file of /proc needs root"; }
    if (::access("/proc/sys/kernel/io_uring_disabled", R_OK) != 0) {
        return "the kernel has no sysctl kernel.io_uring_disabled";
    }
    return std::nullopt;
}

constexpr const char* no_mounts = "nothing can be mounted, as in a container or a root that is no mount point: ";

/// Has the calling process see `value` as the sysctl's. Returns what failed.
std::optional<std::string> show_sysctl(char value) {
    const char line[] = {value, '\n'};
    if (::unshare(CLONE_NEWNS) != 0) { return "unshare"; }
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) { return "make mounts private"; }
    if (::mount("tmpfs", "/mnt", "tmpfs", 0, nullptr) != 0) { return "mount a tmpfs"; }
    const file_descriptor shown{::open("/mnt/io_uring_disabled", O_CREAT | O_WRONLY | O_CLOEXEC, 0444)};
    if (::write(shown.get(), line, sizeof line) != static_cast<ssize_t>(sizeof line)) { return "write to the tmpfs"; }
    if (::mount("/mnt/io_uring_disabled", "/proc/sys/kernel/io_uring_disabled", nullptr, MS_BIND, nullptr) != 0) {
        return "bind mount: " + std::to_string(errno);
    }
    return std::nullopt;
}

}  // namespace

TEST_CASE("an executor takes io_uring where the kernel grants it") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    const std::string text = said_by(reactor_kind::automatic);
    CHECK_MESSAGE(begins(text, "io_uring ("), text);
    CHECK_MESSAGE(holds(text, " | the kernel grants an io_uring"), text);
    const std::string asked = said_by(reactor_kind::io_uring);
    CHECK_MESSAGE(begins(asked, "io_uring ("), asked);
    CHECK_MESSAGE(holds(asked, " | asked for"), asked);
}

TEST_CASE("an executor takes epoll on request") {
    CHECK(said_by(reactor_kind::epoll) == "epoll | asked for");
}

TEST_CASE("an engine passes the choice on") {
    const engine made({}, reactor_kind::epoll);
    CHECK(made.reactor_name() == "epoll");
    const auto opened = open_engine(std::span<const builder>(), {}, reactor_kind::epoll);
    REQUIRE(opened.has_value());
    CHECK((*opened)->reactor_name() == "epoll");
}

TEST_CASE("an executor falls back to epoll whatever the kernel answers and keeps the reason") {
    struct refusal {
        int number;
        const char* because;
    };
    for (const auto& [number, because] :
         {refusal{EPERM, "EPERM: io_uring is forbidden here"},
          refusal{ENOSYS, "ENOSYS: the kernel has no io_uring, or seccomp hides it"},
          refusal{ENOMEM, "ENOMEM: no memory for the ring, or RLIMIT_MEMLOCK is too small"}, refusal{EMFILE, "EMFILE"}}) {
        const std::string text = said_where(number, reactor_kind::automatic);
        const std::string answer = std::string("io_uring_setup answered ") + because;
        CHECK_MESSAGE(begins(text, "epoll (" + answer), text);
        CHECK_MESSAGE(holds(text, " | " + answer), text);
        CHECK_MESSAGE(!holds(text, "did not run"), text);
    }
}

TEST_CASE("an executor falls back to epoll where io_uring can be made but not used") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    struct refusal {
        long call;
        const char* name;
    };
    for (const auto& [call, name] :
         {refusal{SYS_io_uring_register, "io_uring_register"}, refusal{SYS_io_uring_enter, "io_uring_enter"}}) {
        for (const int number : {EPERM, ENOSYS, EACCES}) {
            const std::string text = said_without({call, number}, [] { return said_by(reactor_kind::automatic); });
            CHECK_MESSAGE(begins(text, std::string("epoll (") + name + " answered "), text);
            CHECK_MESSAGE(!holds(text, "did not run"), text);
            const std::string asked = said_without({call, number}, [] { return said_by(reactor_kind::io_uring); });
            CHECK_MESSAGE(begins(asked, "refused " + std::to_string(number) + ' ' + name), asked);
        }
    }
}

TEST_CASE("an executor names the sysctl that may forbid io_uring and its value") {
    FLUXNET_SKIP_IF(why_no_mounts());
    const std::string text = said_without({SYS_io_uring_setup, EPERM}, [] {
        if (const auto failed = show_sysctl('2')) { return std::string(no_mounts) + *failed; }
        return said_by(reactor_kind::automatic);
    });
    FLUXNET_SKIP_IF(begins(text, no_mounts) ? std::optional(text) : std::nullopt);
    CHECK_MESSAGE(holds(text, "sysctl kernel.io_uring_disabled is 2"), text);
}

TEST_CASE("an executor that is to have io_uring and cannot says why") {
    const std::string forbidden = said_where(EPERM, reactor_kind::io_uring);
    CHECK_MESSAGE(begins(forbidden, "refused " + std::to_string(EPERM) + ' '), forbidden);
    CHECK_MESSAGE(holds(forbidden, "io_uring is forbidden"), forbidden);
    CHECK_MESSAGE(holds(forbidden, "seccomp"), forbidden);
    CHECK_MESSAGE(holds(forbidden, "kernel.io_uring_disabled"), forbidden);
    const std::string hidden = said_where(ENOSYS, reactor_kind::io_uring);
    CHECK_MESSAGE(begins(hidden, "refused " + std::to_string(ENOSYS) + ' '), hidden);
    CHECK_MESSAGE(holds(hidden, "no io_uring"), hidden);
    const std::string short_of_memory = said_where(ENOMEM, reactor_kind::io_uring);
    CHECK_MESSAGE(holds(short_of_memory, "no memory for the ring"), short_of_memory);
    CHECK_MESSAGE(holds(short_of_memory, "RLIMIT_MEMLOCK"), short_of_memory);
}

TEST_CASE("an executor that is to poll devices says whether the kernel grants it") {
    const idle_policy polling{.napi_poll = 50us};
    CHECK(said_by(reactor_kind::epoll, polling) == "epoll, no NAPI busy poll: that takes io_uring | asked for");
    FLUXNET_SKIP_IF(why_no_io_uring());
    const std::string text = said_by(reactor_kind::io_uring, polling);
    const bool granted = holds(text, ", NAPI busy poll for 50 us | ");
    CHECK_MESSAGE(granted != holds(text, ", no NAPI busy poll: io_uring_register answered "), text);
    CHECK_MESSAGE(!holds(text, "did not run"), text);
    CHECK(!holds(said_by(reactor_kind::io_uring), "NAPI"));
}

TEST_CASE("an executor whose kernel does not poll devices says why and runs") {
    FLUXNET_SKIP_IF(why_no_io_uring());
    struct refusal {
        int number;
        const char* because;
    };
    constexpr std::uint32_t register_napi = 27;
    for (const auto& [number, because] :
         {refusal{EINVAL, "EINVAL: the kernel is older than Linux 6.9"},
          refusal{EOPNOTSUPP, "EOPNOTSUPP: the kernel is built without CONFIG_NET_RX_BUSY_POLL"},
          refusal{EPERM, "EPERM: io_uring is forbidden here"}}) {
        const std::string text =
            said_without({.number = SYS_io_uring_register, .answer = number, .second_argument = register_napi},
                         [] { return said_by(reactor_kind::io_uring, {.napi_poll = 50us}); });
        CHECK_MESSAGE(holds(text, std::string(", no NAPI busy poll: io_uring_register answered ") + because), text);
        CHECK_MESSAGE(!holds(text, "did not run"), text);
    }
}

TEST_CASE("an executor that gets neither reactor says what epoll was refused") {
    const std::string text = said_without({SYS_io_uring_setup, EPERM}, [] {
        forbid({SYS_epoll_create1, ENOMEM});
        return said_by(reactor_kind::automatic);
    });
    CHECK_MESSAGE(begins(text, "refused " + std::to_string(ENOMEM) + " make an epoll descriptor"), text);
}
