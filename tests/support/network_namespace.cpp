// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/network_namespace.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fluxnet::test {
namespace {

using detail::file_descriptor;
using detail::throw_errno;

file_descriptor open_own_namespace() {
    return file_descriptor::checked(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
                                    "open /proc/thread-self/ns/net");
}

// Without the loopback interface an address of the namespace's own does not even answer itself.
void raise_loopback() {
    const auto any = file_descriptor::checked(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket(AF_INET)");
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    if (::ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) throw_errno("set lo up");
}

}  // namespace

network_namespace::scoped_enter::scoped_enter(const network_namespace& target) : former_(open_own_namespace()) {
    target.enter();
}

network_namespace::scoped_enter::~scoped_enter() {
    if (::setns(former_.get(), CLONE_NEWNET) != 0) {
        // The rest of the test would run in the wrong place, and could touch the machine's own interfaces.
        std::perror("fluxnet tests: cannot return to the former network namespace");
        std::abort();
    }
}

network_namespace::network_namespace() {
    // A thread of its own, because unshare moves the thread that calls it.
    std::packaged_task<file_descriptor()> make([] {
        if (::unshare(CLONE_NEWNET) != 0) throw_errno("unshare(CLONE_NEWNET)");
        raise_loopback();
        return open_own_namespace();
    });
    auto made = make.get_future();
    std::thread(std::move(make)).join();
    holder_ = made.get();
}

void network_namespace::enter() const {
    if (::setns(holder_.get(), CLONE_NEWNET) != 0) throw_errno("setns into a network namespace");
}

}  // namespace fluxnet::test
