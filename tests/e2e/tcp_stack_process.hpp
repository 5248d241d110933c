// SPDX-License-Identifier: BSD-3-Clause
// `stack_testbed`: tcp_stack_async on the host side of a testbed, a folder that it serves, and the kernel at the other end.
//
// Owned by one test case and used on its thread. A file that includes it has FLUXNET_TCP_STACK_ASYNC defined.
#pragma once

#include "tests/support/process.hpp"
#include "tests/support/testbed.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <stdlib.h>

namespace fluxnet::test {

inline bool has(const std::string& text, const std::string& part) {
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
        const finished done = run(side::peer, {"sh", "-e", "-c", line}, std::chrono::seconds(10));
        REQUIRE_MESSAGE(done.success(), done.output);
    }
    finished peer_run(const std::vector<std::string>& argv) { return run(side::peer, argv, std::chrono::seconds(120)); }

    /// Starts the program with one address, and waits until it listens.
    [[nodiscard]] process serve(bool v4, std::vector<std::string> more = {}) {
        std::vector<std::string> argv{
            FLUXNET_TCP_STACK_ASYNC, "--interface", "flux0",  "--address", v4 ? "10.77.0.1" : "fd77::1",
            "--skip-probe",          "--quiet",     "--root", files.path()};
        argv.insert(argv.end(), more.begin(), more.end());
        process child = spawn(side::host, argv);
        REQUIRE_MESSAGE(child.read_until("listening on ", std::chrono::seconds(10)), child.output());
        return child;
    }

    served_folder files;
};

/// Ends the program as a user would; returns what it has printed.
inline std::string stop(process& child) {
    child.signal(15);
    const auto ended = child.wait(std::chrono::seconds(20));
    CHECK_MESSAGE((ended && ended->success()), child.output());
    return child.output();
}

inline void get_and_compare(stack_testbed& bed, bool v4, const std::string& name) {
    const std::string copy = bed.files.at("copy");
    const finished got = bed.peer_run(
        {"curl", "--silent", "--show-error", "--fail", "--max-time", "60", "--output", copy, bed.url(v4, name)});
    REQUIRE_MESSAGE(got.success(), got.output);
    CHECK(bed.peer_run({"cmp", copy, bed.files.at(name)}).success());
}

}  // namespace fluxnet::test
