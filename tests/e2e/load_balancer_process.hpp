// SPDX-License-Identifier: BSD-3-Clause
// examples/load_balancer_system as a child, its file of backends, and what it prints as numbers.
#pragma once

#include "tests/support/detail/file_descriptor.hpp"
#include "tests/support/process.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace fluxnet::test {

/// A file of backends that ends with the test: another process reads it through /proc.
class backend_file {
public:
    explicit backend_file(const std::string& text)
        : file_(detail::file_descriptor::checked(::memfd_create("backends", MFD_CLOEXEC), "memfd_create")) {
        write(text);
    }

    void write(const std::string& text) {
        if (::ftruncate(file_.get(), 0) != 0) detail::throw_errno("ftruncate");
        if (::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
            detail::throw_errno("pwrite");
        }
    }

    [[nodiscard]] std::string path() const {
        return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_.get());
    }

private:
    detail::file_descriptor file_;
};

/// Returns the number behind " `name` " in the last line of `output` that begins with `head`; -1 when there is none.
inline long long number_in(const std::string& output, const std::string& head, const std::string& name) {
    const std::size_t begin = output.rfind("\n" + head);
    if (begin == std::string::npos) { return -1; }
    const std::string line = output.substr(begin + 1, output.find('\n', begin + 1) - begin - 1);
    const std::size_t at = line.find(" " + name + " ");
    return at == std::string::npos ? -1 : std::atoll(line.c_str() + at + name.size() + 2);
}

/// Waits until a balancer that was just started forwards packets. Throws, with what it wrote, when it does not.
inline void wait_until_balancing(process& child) {
    if (!child.read_until("balancing ", std::chrono::seconds(10))) {
        throw std::runtime_error("load_balancer_system did not start: " + child.output());
    }
}

/// Stops it as a user would and returns what it printed. Throws when it does not end well.
inline std::string stop_balancer(process& child, int signal) {
    child.signal(signal);
    const auto ended = child.wait(std::chrono::seconds(10));
    if (!ended || !ended->success()) {
        throw std::runtime_error("load_balancer_system did not end well: " + child.output());
    }
    return child.output();
}

/// Tells whether every packet and every frame of a run is accounted for.
inline bool accounts_balance(const std::string& output) {
    const auto count = [&](const char* name) { return number_in(output, "summary:", name); };
    const auto frames = [&](const char* name) { return number_in(output, "census:", name); };
    const long long lost_behind = count("egress_queue_full") + count("unsent");
    return count("rx") == count("tx") + count("refused") + count("worker_queue_full") + lost_behind &&
           count("forwarded") + count("answered") == count("tx") + lost_behind &&
           output.find(" exact\n", output.rfind("census:")) != std::string::npos && frames("frames") > 0 &&
           frames("sum") == frames("frames") && frames("user") == 0 && frames("tx") == 0;
}

}  // namespace fluxnet::test
