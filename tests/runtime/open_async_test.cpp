// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/packets/open_async.hpp"

#include "fluxnet/runtime/core/executor.hpp"
#include "fluxnet/runtime/core/sleep.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/fake_port.hpp"
#include "tests/runtime/seccomp.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <string>
#include <type_traits>
#include <utility>

using namespace fluxnet;
using namespace fluxnet::test;

static_assert(std::is_nothrow_move_constructible_v<async_sockets> && !std::is_copy_constructible_v<async_sockets>);

TEST_CASE("a socket is opened and bound to its executor before run and during it") {
    fake_kernel kernel;
    executor loop;
    {
        const async_sockets before = fake_port::open(loop, kernel);
        CHECK(before.rx.socket().interface().name == "fake0");
        CHECK(before.refusals.size() <= 1);
    }
    loop.spawn([&]() -> task<void> {
        const async_sockets during = fake_port::open(loop, kernel);
        CHECK(kernel.live_fds() == 1);
        co_await requeue();
    });
    loop.run();
    CHECK(kernel.live_fds() == 0);
}

TEST_CASE("an opened socket keeps what the bind ladder refused and what may surprise") {
    fake_kernel kernel;
    kernel.interface.mtu = 1522;  // a frame holds 1536 bytes: a VLAN tag is too much
    executor loop;
    const async_sockets sockets = fake_port::open(loop, kernel);
    REQUIRE(sockets.refusals.size() == 1);
    CHECK(sockets.refusals.front().message().find("zero-copy") != std::string::npos);
    REQUIRE(sockets.notes.size() == 1);
    CHECK(sockets.notes.front().find("VLAN") != std::string::npos);
}

TEST_CASE("an interface that does not exist is named with the step and the remedy") {
    executor loop;
    const auto refused = open_async(loop, builder("nosuch0"));
    REQUIRE(refused.has_error());
    const error failure = refused.error();
    CHECK(failure.code == errc::interface_not_found);
    CHECK(failure.message().find("nosuch0") != std::string::npos);
    CHECK_FALSE(failure.remedy.empty());
    loop.run();
}

TEST_CASE("a socket that cannot be watched is closed again and the error says what was refused") {
    const std::string text = said_without({SYS_socket, EACCES, AF_NETLINK}, [] {
        fake_kernel kernel;
        kernel.interface.index = 1;
        executor loop;
        const auto refused = open_async(loop, builder("fake0").calls(kernel).attach(false).frames(64));
        if (!refused.has_error()) { return std::string("no error"); }
        return (refused.error().code == errc::system_failure ? "" : "code ") + refused.error().message() + " live " +
               std::to_string(kernel.live_fds() + kernel.live_mappings());
    });
    CHECK_MESSAGE(text.find("watch interface fake0") == 0, text);
    CHECK_MESSAGE(text.find("rtnetlink") != std::string::npos, text);
    CHECK_MESSAGE(text.find("live 0") != std::string::npos, text);
}
