// SPDX-License-Identifier: BSD-3-Clause
// tcp_stack_async, TCP in user space, with the kernel's TCP and the programs of others at the other end of a veth pair.
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/testbed.hpp"
#include "tests/xsk/scale.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <stdlib.h>

using namespace fluxnet::test;
using namespace std::chrono_literals;

namespace {

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// A folder with a file of each size, which goes with the object.
class served_folder {
public:
    served_folder() {
        std::string pattern = "/tmp/fluxnet-served-XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ~served_folder() { std::filesystem::remove_all(path_); }
    served_folder(const served_folder&) = delete;
    served_folder& operator=(const served_folder&) = delete;

    void add(const std::string& name, std::size_t size) const {
        std::mt19937_64 random(size);
        std::string octets(size, '\0');
        for (char& octet : octets) { octet = static_cast<char>(random()); }
        std::ofstream(path_ / name, std::ios::binary) << octets;
    }
    [[nodiscard]] std::string at(const std::string& name) const { return path_ / name; }
    [[nodiscard]] std::string path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// The addresses of the user-space host, and of the kernel at the other end.
struct stack_testbed : testbed {
    stack_testbed() {
        shell("echo 0 >/proc/sys/net/ipv6/conf/peer0/disable_ipv6; ip -6 address add fd77::2/64 dev peer0 nodad");
        files.add("little", 1024);
        files.add("large", 1U << 20);
    }

    static std::string url(bool v4, const std::string& path) {
        return std::string("http://") + (v4 ? "10.77.0.1" : "[fd77::1]") + "/" + path;
    }

    void shell(const std::string& line) {
        const finished done = run(side::peer, {"sh", "-e", "-c", line}, 10s);
        REQUIRE_MESSAGE(done.success(), done.output);
    }
    finished peer_run(const std::vector<std::string>& argv) { return run(side::peer, argv, 120s); }

    /// Starts the program with one address, and waits until it listens.
    [[nodiscard]] process serve(bool v4, std::vector<std::string> more = {}) {
        std::vector<std::string> argv{FLUXNET_TCP_STACK_ASYNC, "--interface",  "flux0", "--address", v4 ? "10.77.0.1" : "fd77::1",
                                      "--skip-probe",          "--quiet", "--root", files.path()};
        argv.insert(argv.end(), more.begin(), more.end());
        process child = spawn(side::host, argv);
        REQUIRE_MESSAGE(child.read_until("listening on ", 10s), child.output());
        return child;
    }

    served_folder files;
};

/// Ends the program as a user would; returns what it has printed.
std::string stop(process& child) {
    child.signal(15);
    const auto ended = child.wait(20s);
    CHECK_MESSAGE((ended && ended->success()), child.output());
    return child.output();
}

void get_and_compare(stack_testbed& bed, bool v4, const std::string& name) {
    const std::string copy = bed.files.at("copy");
    const finished got = bed.peer_run(
        {"curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--output", copy, bed.url(v4, name)});
    REQUIRE_MESSAGE(got.success(), got.output);
    CHECK(bed.peer_run({"cmp", copy, bed.files.at(name)}).success());
}

void check_ab(const finished& done, const std::string& count) {
    CHECK_MESSAGE(done.success(), done.output);
    CHECK_MESSAGE(has(done.output, "Complete requests:      " + count + "\nFailed requests:        0\n"), done.output);
    CHECK_MESSAGE(!has(done.output, "Non-2xx"), done.output);
}

}  // namespace

TEST_CASE("curl gets files from TCP in user space as they are, over both versions, and is told what there is not") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    for (const bool v4 : {true, false}) {
        CAPTURE(v4);
        stack_testbed bed;
        process server = bed.serve(v4);
        get_and_compare(bed, v4, "little");
        get_and_compare(bed, v4, "large");
        const finished head = bed.peer_run({"curl", "--silent", "--head", bed.url(v4, "large")});
        CHECK(has(head.output, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n"));
        CHECK(has(bed.peer_run({"curl", "--silent", "--include", bed.url(v4, "other")}).output, " 404 Not Found\r\n"));
        const finished outside =
            bed.peer_run({"curl", "--silent", "--include", "--path-as-is", bed.url(v4, "../../../etc/passwd")});
        CHECK(has(outside.output, " 404 Not Found\r\n"));
        const finished posted = bed.peer_run({"curl", "--silent", "--include", "--data", "a=b", bed.url(v4, "large")});
        CHECK(has(posted.output, " 405 Method Not Allowed\r\n"));
        const std::string said = stop(server);
        CHECK_MESSAGE(has(said, "6 connections, 6 requests"), said);
        CHECK(bed.is_free_of_xdp(side::host));
    }
}

TEST_CASE("ab has an answer from TCP in user space to every request, from 1, 64 and 1000 connections at a time") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    stack_testbed bed;
    process server = bed.serve(true);
    for (const char* const at_a_time : {"1", "64", "1000"}) {
        CAPTURE(at_a_time);
        check_ab(bed.peer_run({"ab", "-q", "-n", "2000", "-c", at_a_time, bed.url(true, "little")}), "2000");
    }
    check_ab(bed.peer_run({"ab", "-q", "-k", "-n", "5000", "-c", "64", bed.url(true, "little")}), "5000");
    const std::string said = stop(server);
    CHECK_MESSAGE(has(said, "11000 requests"), said);
}

TEST_CASE("the kernel's TCP and that in user space agree whatever the kernel's leaves out") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    stack_testbed bed;
    process server = bed.serve(true);
    for (const std::string setting : {"tcp_sack=0", "tcp_timestamps=0", "tcp_window_scaling=0", "tcp_ecn=1", "tcp_ecn=0"}) {
        CAPTURE(setting);
        const std::size_t equals = setting.find('=');
        bed.shell("echo " + setting.substr(equals + 1) + " >/proc/sys/net/ipv4/" + setting.substr(0, equals));
        get_and_compare(bed, true, "large");
    }
    static_cast<void>(stop(server));
}

TEST_CASE("TCP in user space gets pages from the kernel's, and says how that went") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    stack_testbed bed;
    process server = bed.spawn(side::peer, {FLUXNET_TCP_STACK_ASYNC, "--kernel", "--address", "10.77.0.2", "--quiet", "--root",
                                            bed.files.path()});
    REQUIRE(server.read_until("listening on ", 10s));
    const auto get = [&](const std::string& path) {
        return bed.run(side::host, {FLUXNET_TCP_STACK_ASYNC, "--interface", "flux0", "--address", "10.77.0.1", "--skip-probe",
                                    "--get", "10.77.0.2:80/" + path},
                       60s);
    };
    const finished large = get("large");
    CHECK_MESSAGE(large.success(), large.output);
    CHECK(has(large.output, "status 200, 1048576 octets in "));
    CHECK(has(large.output, "round trips: "));
    const finished none = get("none");
    CHECK(none.exit_code == 1);
    CHECK(has(none.output, "status 404, "));
    const std::string said = stop(server);
    CHECK_MESSAGE(has(said, "2 connections, 2 requests"), said);
    const finished refused = get("large");
    CHECK(refused.exit_code == 1);
    CHECK_MESSAGE(has(refused.output, "connect to 10.77.0.2:80: Connection refused"), refused.output);
}

TEST_CASE("peers that are killed in the middle leave nothing in TCP in user space") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    stack_testbed bed;
    process server = bed.serve(true, {"--echo-port", "7"});
    for (int round = 0; round != 5; ++round) {
        const std::string part = bed.files.at("part" + std::to_string(round));
        process client = bed.spawn(side::peer, {"curl", "--silent", "--limit-rate", "100k", "--output", part,
                                                bed.url(true, "bytes/100000000")});
        const deadline limit = 20s;
        while (!limit.passed() && (!std::filesystem::exists(part) || std::filesystem::file_size(part) == 0)) {
            std::this_thread::sleep_for(5ms);
        }
        client.signal(9);
        REQUIRE(client.wait(5s));
    }
    get_and_compare(bed, true, "large");
    const std::string said = stop(server);
    CHECK_MESSAGE(has(said, "6 connections, 6 requests"), said);
}

TEST_CASE("tcp_stack_async tells what is wrong with its arguments, and what would be right") {
    FLUXNET_SKIP_IF(testbed::why_not_available());
    const auto said = [](const std::vector<std::string>& arguments, int code) {
        std::vector<std::string> argv{FLUXNET_TCP_STACK_ASYNC};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        const finished done = run(argv, {}, 10s);
        CHECK_MESSAGE(done.exit_code == code, done.output);
        return done.output;
    };
    CHECK(has(said({"--interface", "flux0", "--address", "nonsense"}, 2), "check --address 'nonsense': not an IP address"));
    CHECK(has(said({"--interface", "flux0", "--address", "192.0.2.1/33"}, 2), "the prefix length is not a number"));
    CHECK(has(said({"--kernel", "--get", "nowhere"}, 2), "check --get 'nowhere'"));
    CHECK(has(said({"--interface", "none0", "--address", "192.0.2.1"}, 1), "none0"));
}
