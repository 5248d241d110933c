// SPDX-License-Identifier: BSD-3-Clause
// raw_traceroute over two routers, which are hosts of the kernel's.
#include "tests/support/lan.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

/// client 10.1.0.1 - 10.1.0.2 first 10.2.0.1 - 10.2.0.2 second 10.3.0.1 - 10.3.0.2 target, all on one wire.
class routed_lan {
public:
    routed_lan() {
        lan_.add_host("client", "10.1.0.1/24");
        lan_.add_host("first", "10.1.0.2/24");
        lan_.add_host("second", "10.2.0.2/24");
        lan_.add_host("target", "10.3.0.2/24");
        lan_.configure("client", "ip route add default via 10.1.0.2");
        lan_.configure("first", "ip address add 10.2.0.1/24 dev eth0; ip route add 10.3.0.0/24 via 10.2.0.2");
        lan_.configure("second", "ip address add 10.3.0.1/24 dev eth0; ip route add 10.1.0.0/24 via 10.2.0.1");
        lan_.configure("target", "ip route add default via 10.3.0.1");
        for (const char* const router : {"first", "second"}) {
            // Without redirects, which would lead the client past the router: all of them are on one wire.
            lan_.configure(router,
                           "cd /proc/sys/net/ipv4; echo 0 > conf/all/send_redirects; "
                           "echo 0 > conf/eth0/send_redirects; echo 0 > icmp_ratelimit; echo 1 > ip_forward");
        }
    }

    void configure(const std::string& host, const std::string& shell) { lan_.configure(host, shell); }

    [[nodiscard]] finished trace(const std::vector<std::string>& arguments) const {
        std::vector<std::string> argv{FLUXNET_RAW_TRACEROUTE};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return lan_.run("client", argv, 60s);
    }

private:
    lan lan_;
};

bool has(const finished& run, const std::string& part) {
    return run.output.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("raw_traceroute prints both routers on the way, and the host") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const routed_lan net;
    const finished run = net.trace({"--to", "10.3.0.2", "--wait", "10", "--probes", "2"});
    CAPTURE(run.output);
    CHECK(run.exit_code == 0);
    CHECK(has(run, " 1  10.1.0.2 "));
    CHECK(has(run, " 2  10.2.0.2 "));
    CHECK(has(run, " 3  10.3.0.2 "));
    CHECK_FALSE(has(run, "*"));
    CHECK_FALSE(has(run, " 4 "));
}

TEST_CASE("raw_traceroute tells a host that a router cannot reach, and one that never answers") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    routed_lan net;
    net.configure("second", "ip route add unreachable 10.3.0.64/26");
    const finished unreachable = net.trace({"--to", "10.3.0.70", "--wait", "10", "--probes", "1"});
    CAPTURE(unreachable.output);
    CHECK(unreachable.exit_code == 1);
    CHECK(has(unreachable, " 1  10.1.0.2 "));
    CHECK(has(unreachable, " 2  10.2.0.2 "));
    CHECK(has(unreachable, "unreachable"));

    net.configure("first", "ip route add blackhole 10.4.0.0/24");
    const finished silent = net.trace({"--to", "10.4.0.1", "--wait", "0.02", "--probes", "2", "--hops", "3"});
    CAPTURE(silent.output);
    CHECK(silent.exit_code == 1);
    CHECK(silent.output == " 1  * *\n 2  * *\n 3  * *\nnot reached: it is silent, or further away than --hops 3\n");

    const finished too_far = net.trace({"--to", "10.3.0.2", "--wait", "10", "--hops", "2", "--probes", "1"});
    CHECK(too_far.exit_code == 1);
    CHECK(has(too_far, " 2  10.2.0.2 "));
    CHECK(has(too_far, "not reached"));
    const finished no_address = net.trace({"--to", "nowhere"});
    CHECK(no_address.exit_code == 2);
    CHECK(has(no_address, "nowhere"));
}
