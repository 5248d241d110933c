// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <stdexcept>

namespace fluxnet::test {
namespace {

using detail::file_descriptor;
using detail::throw_errno;

// What the child tells the parent when it could not start its program. Nothing at all is written when it could: the pipe
// is close-on-exec, so a successful execve shows as end of file.
struct start_failure {
    int error = 0;
    char step[256] = {};
};

// Everything the child needs, made before the fork, because the child must not allocate.
struct prepared {
    std::vector<char*> argv;
    std::vector<std::string> environment;
    std::vector<char*> envp;
};

prepared prepare(const std::vector<std::string>& argv, const process_options& options) {
    if (argv.empty()) throw std::runtime_error("process: no program given");
    prepared result;
    for (const std::string& argument : argv) result.argv.push_back(const_cast<char*>(argument.c_str()));
    result.argv.push_back(nullptr);

    for (char** entry = ::environ; *entry != nullptr; ++entry) {
        const std::string_view variable = *entry;
        const std::string_view name = variable.substr(0, variable.find('='));
        const bool replaced =
            std::any_of(options.env.begin(), options.env.end(), [&](const auto& added) { return added.first == name; });
        if (!replaced) result.environment.emplace_back(variable);
    }
    for (const auto& [name, value] : options.env) result.environment.emplace_back(name).append("=").append(value);
    for (std::string& variable : result.environment) result.envp.push_back(variable.data());
    result.envp.push_back(nullptr);
    return result;
}

[[noreturn]] void give_up(int report_fd, int error, const char* step) noexcept {
    start_failure failure;
    failure.error = error;
    std::strncpy(failure.step, step, sizeof failure.step - 1);
    [[maybe_unused]] const ssize_t written = ::write(report_fd, &failure, sizeof failure);
    ::_exit(127);
}

// The request is lost whenever credentials change (prctl(2)), so it is made again after the caller's code. The parent may
// have died before the request took effect: then somebody else is our parent by now.
void die_with_parent(pid_t parent, int report_fd) noexcept {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(report_fd, errno, "prctl(PR_SET_PDEATHSIG)");
    if (::getppid() != parent) ::_exit(127);
}

[[noreturn]] void become_program(const prepared& program, const process_options& options, pid_t parent, int output_fd,
                                 int report_fd) noexcept {
    die_with_parent(parent, report_fd);

    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);

    const int empty = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (empty < 0 || ::dup2(empty, STDIN_FILENO) < 0) give_up(report_fd, errno, "open /dev/null as standard input");
    if (output_fd >= 0 && (::dup2(output_fd, STDOUT_FILENO) < 0 || ::dup2(output_fd, STDERR_FILENO) < 0)) {
        give_up(report_fd, errno, "redirect the output");
    }
    // A descriptor of the code under test that a child kept would keep a device queue busy. Kernels before 5.11 refuse.
    static_cast<void>(::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC));
    if (options.netns_fd >= 0 && ::setns(options.netns_fd, CLONE_NEWNET) != 0) {
        give_up(report_fd, errno, "enter the network namespace");
    }
    if (options.in_child) {
        try {
            options.in_child();
        } catch (const std::exception& refused) {
            const auto* with_code = dynamic_cast<const std::system_error*>(&refused);
            give_up(report_fd, with_code != nullptr ? with_code->code().value() : ECANCELED, refused.what());
        } catch (...) { give_up(report_fd, ECANCELED, "in_child threw"); }
        die_with_parent(parent, report_fd);
    }
    ::execvpe(program.argv[0], program.argv.data(), program.envp.data());
    give_up(report_fd, errno, program.argv[0]);
}

file_descriptor make_output_file() {
    auto file = file_descriptor::checked(::memfd_create("process-output", MFD_CLOEXEC), "memfd_create");
    // Children of the child may open it anew and would otherwise overwrite each other.
    if (::fcntl(file.get(), F_SETFL, O_APPEND) != 0) throw_errno("fcntl(O_APPEND)");
    return file;
}

void append_from(int file, std::string& text) {
    char chunk[16384];
    for (;;) {
        const ssize_t count = ::pread(file, chunk, sizeof chunk, static_cast<off_t>(text.size()));
        if (count < 0) throw_errno("read the output of a child");
        if (count == 0) return;
        text.append(chunk, static_cast<std::size_t>(count));
    }
}

exit_status to_exit_status(const siginfo_t& info) noexcept {
    if (info.si_code == CLD_EXITED) return {info.si_status, 0};
    return {-1, info.si_status};
}

// Waits for one of the two ends of the report pipe: a failure, or end of file because the program runs.
void wait_for_start(int report_fd) {
    start_failure failure;
    ssize_t count = 0;
    do { count = ::read(report_fd, &failure, sizeof failure); } while (count < 0 && errno == EINTR);
    if (count < 0) throw_errno("read from a child that starts");
    if (count == sizeof failure) {
        throw std::system_error(failure.error, std::generic_category(), std::string{"start a process: "} + failure.step);
    }
}

}  // namespace

process::process(const std::vector<std::string>& argv, const process_options& options) {
    const prepared program = prepare(argv, options);
    if (options.capture) output_ = make_output_file();
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
    const file_descriptor report_read{ends[0]};
    file_descriptor report_write{ends[1]};

    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw_errno("fork");
    if (pid_ == 0) become_program(program, options, parent, output_.get(), report_write.get());
    report_write.reset();
    try {
        pidfd_ = file_descriptor::checked(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open");
        wait_for_start(report_read.get());
    } catch (...) {
        kill_and_reap();
        throw;
    }
}

process::~process() {
    kill_and_reap();
}

process::process(process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)), output_(std::move(other.output_)),
      status_(std::exchange(other.status_, std::nullopt)), searched_(other.searched_) {}

process& process::operator=(process&& other) noexcept {
    if (this != &other) {
        kill_and_reap();
        pid_ = std::exchange(other.pid_, -1);
        pidfd_ = std::move(other.pidfd_);
        output_ = std::move(other.output_);
        status_ = std::exchange(other.status_, std::nullopt);
        searched_ = other.searched_;
    }
    return *this;
}

std::optional<exit_status> process::wait(deadline limit) {
    while (!status_) {
        if (pid_ < 0) throw std::runtime_error("process::wait on a moved-from process");
        pollfd ended{pidfd_.get(), POLLIN, 0};
        const int count = ::poll(&ended, 1, limit.left_ms());
        if (count < 0 && errno != EINTR) throw_errno("poll a child");
        if (count > 0) {
            siginfo_t info{};
            if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0) throw_errno("waitid");
            status_ = to_exit_status(info);
        } else if (limit.passed()) {
            return std::nullopt;
        }
    }
    return status_;
}

bool process::signal(int number) {
    if (!running()) return false;
    if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) == 0) return true;
    if (errno == ESRCH) return false;
    throw_errno("pidfd_send_signal");
}

bool process::running() {
    return pid_ >= 0 && !wait(std::chrono::milliseconds{0}).has_value();
}

bool process::read_until(std::string_view text, deadline limit) {
    if (!output_) throw std::runtime_error("process::read_until needs the capture option");
    std::string seen;
    for (;;) {
        // The order matters: what a child wrote before it ended is there once the end has been seen.
        const bool last_look = !running() || limit.passed();
        append_from(output_.get(), seen);
        const std::size_t at = seen.find(text, searched_);
        if (at != std::string::npos) {
            searched_ = at + text.size();
            return true;
        }
        if (last_look) return false;
        // A memory file cannot be polled; the child's end can.
        pollfd ended{pidfd_.get(), POLLIN, 0};
        if (::poll(&ended, 1, 1) < 0 && errno != EINTR) throw_errno("poll a child");
    }
}

std::string process::output() const {
    if (!output_) throw std::runtime_error("process::output needs the capture option");
    std::string text;
    append_from(output_.get(), text);
    return text;
}

void process::kill_and_reap() noexcept {
    if (pid_ <= 0 || status_) return;
    // Not reaped yet, so the number still names our child and nobody else.
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    int result = 0;
    do { result = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED); } while (result != 0 && errno == EINTR);
    if (result == 0) status_ = to_exit_status(info);
}

finished run(const std::vector<std::string>& argv, const process_options& options, deadline limit) {
    process child(argv, options);
    finished result;
    std::optional<exit_status> status = child.wait(limit);
    if (!status) {
        result.timed_out = true;
        child.signal(SIGKILL);
        status = child.wait(std::chrono::hours{1});
    }
    if (status) {
        result.exit_code = status->exit_code;
        result.signal = status->signal;
    }
    if (options.capture) result.output = child.output();
    return result;
}

}  // namespace fluxnet::test
