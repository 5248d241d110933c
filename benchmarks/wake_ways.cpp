// SPDX-License-Identifier: BSD-3-Clause
// What it costs to wake a thread that sleeps in its own io_uring: two threads wake each other in turn, in four ways.
//   read      write(2) to an eventfd; a READ of it is armed anew for each sleep
//   poll      write(2) to an eventfd; a multi-shot edge-triggered poll of it stays armed, and nobody reads it
//   futex     futex(2); a FUTEX_WAIT is armed anew for each sleep (Linux 6.7)
//   message   a MSG_RING in the waker's own ring, which goes with the enter in which the waker goes to sleep itself
// Prints for each way and placing of the threads the median of interleaved rounds: microseconds for one wake-up, CPU
// microseconds of both threads for one, and the ratios to `read` within the rounds. Each wake-up takes two system calls,
// that of the waker and the enter of the sleeper; a message takes one. Usage: wake_ways [--rounds N] [--wakes N]
#include "benchmarks/echo/program.hpp"

#include <liburing.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <thread>
#include <utility>
#include <vector>

namespace {

using benchmark::fail;

// Of Linux 6.7 (include/uapi/linux/io_uring.h, futex.h).
constexpr int op_futex_wait = 51;
constexpr int futex_of_32_bits = 2;

enum class way { read, poll, futex, message };
constexpr std::array ways{way::read, way::poll, way::futex, way::message};
constexpr std::array names{"read", "poll", "futex", "message"};

/// One of the two threads, as the other sees it.
struct side {
    io_uring ring{};
    int event = -1;
    std::uint64_t value = 0;
    std::atomic<std::uint32_t> word = 0;  // wake-ups by futex so far
    std::uint32_t seen = 0;
    bool armed = false;
};

struct figures {
    double wall_us = 0;
    double cpu_us = 0;
};

void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (const int refused = pthread_setaffinity_np(pthread_self(), sizeof set, &set)) { fail("pin a thread", refused); }
}

void open(side& mine) {
    const unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    if (const int answer = io_uring_queue_init(16, &mine.ring, flags); answer < 0) { fail("io_uring_setup", -answer); }
    mine.event = eventfd(0, EFD_CLOEXEC);
    if (mine.event < 0) { fail("eventfd", errno); }
}

/// Hands over what is to end the next sleep, if nothing is there that does.
void arm(side& mine, way by) {
    if (mine.armed || by == way::message) { return; }
    io_uring_sqe* const entry = io_uring_get_sqe(&mine.ring);
    if (by == way::read) {
        io_uring_prep_read(entry, mine.event, &mine.value, sizeof mine.value, 0);
    } else if (by == way::poll) {
        io_uring_prep_poll_multishot(entry, mine.event, POLLIN);
    } else {
        io_uring_prep_rw(op_futex_wait, entry, futex_of_32_bits | FUTEX_PRIVATE_FLAG, &mine.word, 0, mine.seen);
        entry->addr3 = FUTEX_BITSET_MATCH_ANY;
    }
    io_uring_sqe_set_data64(entry, 1);
    mine.armed = true;
}

void wake(side& mine, side& other, way by) {
    if (by == way::message) {
        io_uring_sqe* const entry = io_uring_get_sqe(&mine.ring);
        io_uring_prep_msg_ring(entry, other.ring.ring_fd, 0, 1, 0);
        io_uring_sqe_set_data64(entry, 0);
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    } else if (by == way::futex) {
        other.word.fetch_add(1);
        syscall(SYS_futex, &other.word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    } else {
        const std::uint64_t one = 1;
        if (write(other.event, &one, sizeof one) < 0) { fail("write to an eventfd", errno); }
    }
}

void sleep(side& mine, way by) {
    for (bool woken = false; !woken;) {
        arm(mine, by);
        const int answer = io_uring_submit_and_wait(&mine.ring, 1);
        if (answer < 0 && answer != -EINTR) { fail("io_uring_enter", -answer); }
        unsigned head = 0, count = 0;
        io_uring_cqe* completion = nullptr;
        io_uring_for_each_cqe(&mine.ring, head, completion) {
            ++count;
            // A futex that was woken before it was armed answers EAGAIN.
            if (completion->res < 0 && completion->res != -EAGAIN) { fail("a wake-up", -completion->res); }
            woken = woken || completion->user_data == 1;
            if ((completion->flags & IORING_CQE_F_MORE) == 0) { mine.armed = false; }
        }
        io_uring_cq_advance(&mine.ring, count);
        // The system call may come after the word's change was seen, and end the sleep after the next.
        if (by == way::futex) {
            const std::uint32_t word = mine.word.load();
            woken = word != std::exchange(mine.seen, word);
        }
    }
}

double now_us(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// Both wake each other `wakes` times, on these CPUs.
figures measure(way by, int first_cpu, int second_cpu, unsigned wakes) {
    side first, second;
    std::barrier both_open(2);
    double second_cpu_us = 0;
    std::thread other([&] {
        pin(second_cpu);
        open(second);
        both_open.arrive_and_wait();
        const double before = now_us(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned i = 0; i < wakes; ++i) {
            sleep(second, by);
            wake(second, first, by);
        }
        if (by == way::message) { io_uring_submit(&second.ring); }
        second_cpu_us = now_us(CLOCK_THREAD_CPUTIME_ID) - before;
        both_open.arrive_and_wait();
        io_uring_queue_exit(&second.ring);
    });
    pin(first_cpu);
    open(first);
    both_open.arrive_and_wait();
    const double cpu_before = now_us(CLOCK_THREAD_CPUTIME_ID);
    const double before = now_us(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < wakes; ++i) {
        wake(first, second, by);
        sleep(first, by);
    }
    const double wall = now_us(CLOCK_MONOTONIC) - before;
    const double cpu = now_us(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
    both_open.arrive_and_wait();
    other.join();
    io_uring_queue_exit(&first.ring);
    close(first.event);
    close(second.event);
    return {wall / (2.0 * wakes), (cpu + second_cpu_us) / (2.0 * wakes)};
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

void compare(const char* placing, int first_cpu, int second_cpu, unsigned rounds, unsigned wakes) {
    std::array<std::vector<double>, ways.size()> wall, cpu, ratio, cpu_ratio;
    for (unsigned round = 0; round <= rounds; ++round) {
        std::array<figures, ways.size()> got;
        for (std::size_t i = 0; i < ways.size(); ++i) { got[i] = measure(ways[i], first_cpu, second_cpu, wakes); }
        if (round == 0) { continue; }  // warms up
        for (std::size_t i = 0; i < ways.size(); ++i) {
            wall[i].push_back(got[i].wall_us);
            cpu[i].push_back(got[i].cpu_us);
            ratio[i].push_back(got[i].wall_us / got[0].wall_us);
            cpu_ratio[i].push_back(got[i].cpu_us / got[0].cpu_us);
        }
    }
    std::printf("%s\n%-10s%8s%8s%10s%10s\n", placing, "way", "us", "CPU us", "of read", "CPU");
    for (std::size_t i = 0; i < ways.size(); ++i) {
        std::printf("%-10s%8.2f%8.2f%10.3f%10.3f\n", names[i], median(wall[i]), median(cpu[i]), median(ratio[i]),
                    median(cpu_ratio[i]));
    }
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const auto rounds = static_cast<unsigned>(benchmark::number_after(argc, argv, "--rounds", 9, 1000));
    const auto wakes = static_cast<unsigned>(benchmark::number_after(argc, argv, "--wakes", 20'000, 100'000'000));
    if (rounds == 0 || wakes == 0) { fail("--rounds and --wakes must be above 0", EINVAL); }
    const auto last_cpu = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) - 1;
    compare("both threads on one CPU", 0, 0, rounds, wakes);
    if (last_cpu > 0) { compare("each thread on a CPU of its own", 0, last_cpu, rounds, wakes); }
}
