// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/network_namespace.hpp"

#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <net/if.h>
#include <sys/stat.h>

#include <memory>
#include <stdexcept>
#include <string>

using namespace fluxnet::test;

namespace {

ino_t namespace_of_caller() {
    struct stat status{};
    return ::stat("/proc/thread-self/ns/net", &status) == 0 ? status.st_ino : 0;
}

ino_t namespace_behind(int fd) {
    struct stat status{};
    return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

std::string interface_names() {
    std::string names;
    const std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> list(::if_nameindex(), ::if_freenameindex);
    for (const struct if_nameindex* entry = list.get(); entry != nullptr && entry->if_index != 0; ++entry) {
        names += std::string{entry->if_name} + " ";
    }
    return names;
}

}  // namespace

TEST_CASE("a network namespace holds nothing but its loopback interface") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const ino_t before = namespace_of_caller();
    const network_namespace fresh;
    CHECK(namespace_of_caller() == before);
    CHECK(namespace_behind(fresh.fd()) != before);
    CHECK(fresh.call(interface_names) == "lo ");
}

TEST_CASE("scoped_enter returns to the former namespace") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const ino_t before = namespace_of_caller();
    const network_namespace outer;
    const network_namespace inner;
    {
        const network_namespace::scoped_enter in_outer(outer);
        CHECK(namespace_of_caller() == namespace_behind(outer.fd()));
        {
            const network_namespace::scoped_enter in_inner(inner);
            CHECK(namespace_of_caller() == namespace_behind(inner.fd()));
        }
        CHECK(namespace_of_caller() == namespace_behind(outer.fd()));
    }
    CHECK(namespace_of_caller() == before);
}

TEST_CASE("call runs inside and hands over results and exceptions") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const network_namespace fresh;
    CHECK(fresh.call(namespace_of_caller) == namespace_behind(fresh.fd()));
    CHECK(*fresh.call([] { return std::make_unique<int>(7); }) == 7);
    int seen = 0;
    fresh.call([&] { seen = 1; });
    CHECK(seen == 1);
    CHECK_THROWS_AS(fresh.call([] { throw std::runtime_error("inside"); }), std::runtime_error);
}

TEST_CASE("a moved network namespace stays the same one") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    network_namespace first;
    const ino_t inode = namespace_behind(first.fd());
    const network_namespace second(std::move(first));
    CHECK(namespace_behind(second.fd()) == inode);
}
