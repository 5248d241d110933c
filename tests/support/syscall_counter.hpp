// SPDX-License-Identifier: BSD-3-Clause
// Counts the system calls that a process or a thread makes, by number, exactly.
//
// Owned by a test; counts from construction to destruction by a BPF program at the entry of every system call. The counts
// lie in memory shared with that program, so reading and resetting them makes no system call and disturbs nothing. Any
// thread may read; the target may be the test itself or a child. Needs CAP_BPF and CAP_PERFMON, or root.
// What a kernel thread does on behalf of the target (io_uring's workers, SQPOLL) is no system call and is not counted.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace fluxnet::test {

/// What the number given to a `syscall_counter` names.
enum class counted {
    process,  ///< A process id: all its threads, also later ones. Its children are not counted.
    thread,   ///< A thread id, as gettid(2) returns it.
};

class syscall_counter {
public:
    /// Starts counting. Ids are those of the test's own pid namespace. Throws std::system_error naming the step.
    explicit syscall_counter(pid_t id, counted kind = counted::process);
    ~syscall_counter();
    syscall_counter(syscall_counter&&) noexcept;
    syscall_counter& operator=(syscall_counter&&) noexcept;

    /// Returns why system calls cannot be counted here; nothing when they can. Tried out once per process.
    static std::optional<std::string> why_not_available();

    /// Sets all counts to zero. A call made by the target meanwhile may count before or after.
    void reset() noexcept;

    /// Returns how often the target entered any system call since construction or the last reset. Calls that never return,
    /// such as exit_group(2), count; a call that the kernel restarts after a signal handler counts again.
    [[nodiscard]] std::uint64_t total() const noexcept;

    /// Returns how often it entered the system call `number`: `counter.of(SYS_sendto)`.
    [[nodiscard]] std::uint64_t of(long number) const noexcept;

    /// Returns all system calls made at least once, with their counts. A number of -1 stands for those out of range.
    [[nodiscard]] std::map<long, std::uint64_t> snapshot() const;

private:
    struct loaded;
    std::unique_ptr<loaded> program_;
};

}  // namespace fluxnet::test
