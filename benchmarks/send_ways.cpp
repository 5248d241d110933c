// SPDX-License-Identifier: BSD-3-Clause
// From which size on a zero-copy send (IORING_OP_SEND_ZC) is cheaper than one that copies (IORING_OP_SEND): one thread sends
// over a TCP connection of the loopback interface, another receives and drops. Prints for each size the medians of
// interleaved rounds: CPU microseconds of both threads for each mebibyte, the ratio within the rounds (above 1: zero-copy is
// dearer), and the share of zero-copy sends of which the kernel says that it copied them all the same.
// Usage: send_ways [--rounds N] [--mebibytes N]
#include "benchmarks/echo/program.hpp"

#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <thread>
#include <vector>

namespace {

using benchmark::fail;

// Of Linux 6.2 (include/uapi/linux/io_uring.h).
constexpr unsigned report_usage = 1U << 3;
constexpr std::uint32_t was_copied = 1U << 31;

constexpr std::size_t mebibyte = 1 << 20;
constexpr std::size_t buffers = 8;  // in turn; one that the kernel still reads is waited for

struct figures {
    double cpu_us = 0;  // for each mebibyte
    double copied = 0;  // share of the zero-copy sends
};

void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (const int refused = pthread_setaffinity_np(pthread_self(), sizeof set, &set)) { fail("pin a thread", refused); }
}

double cpu_us() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// Two ends of a connection over loopback.
std::array<int, 2> connect_pair() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (bind(listener, plain, size) != 0 || listen(listener, 1) != 0) { fail("listen", errno); }
    if (getsockname(listener, plain, &size) != 0) { fail("getsockname", errno); }
    const int near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(near, plain, size) != 0) { fail("connect", errno); }
    const int far = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (far < 0) { fail("accept", errno); }
    close(listener);
    const int on = 1;
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return {near, far};
}

class sender {
public:
    sender(int fd, std::size_t size, bool zero_copy) : fd_(fd), size_(size), zero_copy_(zero_copy) {
        const unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        if (const int answer = io_uring_queue_init(32, &ring_, flags); answer < 0) { fail("io_uring_setup", -answer); }
        void* const memory =
            mmap(nullptr, buffers * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (memory == MAP_FAILED) { fail("mmap", errno); }
        bytes_ = static_cast<std::byte*>(memory);
    }
    sender(const sender&) = delete;
    sender& operator=(const sender&) = delete;
    ~sender() {
        io_uring_queue_exit(&ring_);
        munmap(bytes_, buffers * size_);
    }

    /// Returns when the kernel has taken `count` messages and reads none of them any more.
    void run(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t buffer = i % buffers;
            while (in_use_[buffer]) { take_completions(); }
            io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
            std::byte* const from = bytes_ + buffer * size_;
            if (zero_copy_) {
                io_uring_prep_send_zc(entry, fd_, from, size_, MSG_WAITALL | MSG_NOSIGNAL, report_usage);
            } else {
                io_uring_prep_send(entry, fd_, from, size_, MSG_WAITALL | MSG_NOSIGNAL);
            }
            io_uring_sqe_set_data64(entry, buffer);
            in_use_[buffer] = sending_ = true;
            while (sending_) { take_completions(); }
        }
        while (std::find(in_use_.begin(), in_use_.end(), true) != in_use_.end()) { take_completions(); }
    }

    [[nodiscard]] std::size_t copied() const { return copied_; }

private:
    void take_completions() {
        const int answer = io_uring_submit_and_wait(&ring_, 1);
        if (answer < 0 && answer != -EINTR) { fail("io_uring_enter", -answer); }
        unsigned head = 0, count = 0;
        io_uring_cqe* completion = nullptr;
        io_uring_for_each_cqe(&ring_, head, completion) {
            ++count;
            if ((completion->flags & IORING_CQE_F_NOTIF) != 0) {
                copied_ += (static_cast<std::uint32_t>(completion->res) & was_copied) != 0;
            } else {
                if (completion->res != static_cast<int>(size_)) {
                    fail("send", completion->res < 0 ? -completion->res : EIO);
                }
                sending_ = false;
            }
            if ((completion->flags & IORING_CQE_F_MORE) == 0) { in_use_[completion->user_data] = false; }
        }
        io_uring_cq_advance(&ring_, count);
    }

    io_uring ring_{};
    const int fd_;
    const std::size_t size_;
    const bool zero_copy_;
    std::byte* bytes_ = nullptr;
    std::array<bool, buffers> in_use_{};
    bool sending_ = false;
    std::size_t copied_ = 0;
};

figures measure(bool zero_copy, std::size_t size, std::size_t total, int last_cpu) {
    const auto [near, far] = connect_pair();
    double sink_us = 0;
    std::thread sink([&sink_us, fd = far, last_cpu] {
        pin(last_cpu);
        std::vector<std::byte> into(mebibyte);
        while (recv(fd, into.data(), into.size(), 0) > 0) {}
        sink_us = cpu_us();
    });
    const std::size_t count = std::max<std::size_t>(total / size, 1);
    sender mine(near, size, zero_copy);
    const double before = cpu_us();
    mine.run(count);
    const double sender_us = cpu_us() - before;
    shutdown(near, SHUT_WR);
    sink.join();
    close(near);
    close(far);
    const double sent = static_cast<double>(count * size) / static_cast<double>(mebibyte);
    return {(sender_us + sink_us) / sent, static_cast<double>(mine.copied()) / static_cast<double>(count)};
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
    const auto rounds = static_cast<unsigned>(benchmark::number_after(argc, argv, "--rounds", 5, 1000));
    const auto total = static_cast<std::size_t>(benchmark::number_after(argc, argv, "--mebibytes", 64, 1 << 20)) * mebibyte;
    if (rounds == 0 || total == 0) { fail("--rounds and --mebibytes must be above 0", EINVAL); }
    const auto last_cpu = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) - 1;
    pin(0);
    std::printf("%10s%12s%12s%8s%9s\n", "bytes", "copying us", "zero-copy", "ratio", "copied");
    for (const std::size_t size :
         {std::size_t{512}, std::size_t{4096}, std::size_t{16384}, std::size_t{65536}, std::size_t{262'144}, mebibyte}) {
        std::vector<double> plain, zero, ratio;
        double copied = 0;
        for (unsigned round = 0; round < rounds; ++round) {
            const figures by_copy = measure(false, size, total, last_cpu);
            const figures without = measure(true, size, total, last_cpu);
            plain.push_back(by_copy.cpu_us);
            zero.push_back(without.cpu_us);
            ratio.push_back(without.cpu_us / by_copy.cpu_us);
            copied = without.copied;
        }
        std::printf("%10zu%12.1f%12.1f%8.3f%8.0f%%\n", size, median(plain), median(zero), median(ratio), copied * 100);
        std::fflush(stdout);
    }
}
