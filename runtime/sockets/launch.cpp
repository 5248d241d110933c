// SPDX-License-Identifier: BSD-3-Clause
#include "fluxnet/runtime/sockets/detail/launch.hpp"

#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/sockets/detail/pidfd.hpp"
#include "fluxnet/xsk/base/detail/above_streams.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fluxnet::detail {
namespace {

constexpr std::array<const char*, 3> stream_names{"standard input", "standard output", "standard error output"};

std::string limit_remedy(int number) {
    switch (number) {
        case EMFILE: return "raise the limit of open files (RLIMIT_NOFILE, `ulimit -n`), or close some";
        case ENFILE: return "raise fs.file-max, or close files elsewhere";
        case ENOMEM: return "free some memory";
        default: return {};
    }
}

error system_error_of(int number, std::string step, std::string remedy) {
    return {{number, std::system_category()}, std::move(step), errno_text(number), std::move(remedy)};
}

/// What exec takes: pointers to the strings, and a null. The strings stay the caller's; exec does not write to them.
std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
    std::vector<char*> all;
    all.reserve(strings.size() + 1);
    for (const std::string& each : strings) { all.push_back(const_cast<char*>(each.c_str())); }
    all.push_back(nullptr);
    return all;
}

bool has_null(const std::vector<std::string>& strings) {
    return std::any_of(strings.begin(), strings.end(),
                       [](const std::string& each) { return each.find('\0') != std::string::npos; });
}

/// What posix_spawn() is told beside the program. Each function returns an errno, 0 for success, as posix_spawn() does.
class spawn_settings {
public:
    spawn_settings() {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    spawn_settings(const spawn_settings&) = delete;
    spawn_settings& operator=(const spawn_settings&) = delete;
    ~spawn_settings() {
        ::posix_spawnattr_destroy(&attributes);
        ::posix_spawn_file_actions_destroy(&actions);
    }

    [[nodiscard]] int set_signals(bool own_group) {
        const sigset_t mask = signal_set::child_mask();
        sigset_t defaults;
        ::sigemptyset(&defaults);
        ::sigaddset(&defaults, SIGPIPE);
        if (const int number = ::posix_spawnattr_setsigmask(&attributes, &mask)) { return number; }
        if (const int number = ::posix_spawnattr_setsigdefault(&attributes, &defaults)) { return number; }
        // The group is number 0: the program's own, which is what a new attribute has.
        const int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (own_group ? POSIX_SPAWN_SETPGROUP : 0);
        return ::posix_spawnattr_setflags(&attributes, static_cast<short>(flags));
    }

    [[nodiscard]] int set_descriptors(const descriptor& directory, const std::array<descriptor, 3>& streams) {
        if (directory) {
            if (const int number = ::posix_spawn_file_actions_addfchdir_np(&actions, directory.get())) { return number; }
        }
        for (int target = 0; const descriptor& each : streams) {
            if (each) {
                if (const int number = ::posix_spawn_file_actions_adddup2(&actions, each.get(), target)) { return number; }
            }
            ++target;
        }
        return 0;
    }

    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};
};

}  // namespace

result<void> launch::run() {
    if (const result<void> done = check(); !done) { return done.error(); }
    if (const result<void> done = open_directory(); !done) { return done.error(); }
    const std::array<const process_stream*, 3> wanted{&options_.in, &options_.out, &options_.err};
    for (std::size_t number = 0; number < wanted.size(); ++number) {
        if (const result<void> done = open_stream(number, *wanted[number]); !done) { return done.error(); }
    }
    if (const result<void> done = reserve_pidfd(); !done) { return done.error(); }
    if (const result<void> done = spawn(); !done) { return done.error(); }
    return open_pidfd();
}

std::string launch::starting() const {
    return "start the program \"" + options_.argv.front() + '"';
}

result<void> launch::check() const {
    if (options_.argv.empty() || options_.argv.front().empty()) {
        return make_error(errc::invalid_option, "start a program", "argv names none",
                          "put the program's name or path first");
    }
    if (has_null(options_.argv) || (options_.environment && has_null(*options_.environment)) ||
        options_.directory.find('\0') != std::string::npos) {
        return make_error(errc::invalid_option, starting(),
                          "an option contains a null character, where the kernel would cut it", "leave it out");
    }
    return {};
}

result<void> launch::open_directory() {
    if (options_.directory.empty()) { return {}; }
    directory_ = descriptor(above_streams(::open(options_.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)));
    int number = directory_ ? 0 : errno;
    if (number == 0 && ::faccessat(directory_.get(), ".", X_OK, AT_EACCESS) != 0) { number = errno; }
    if (number == 0) { return {}; }
    std::string remedy = limit_remedy(number);
    if (remedy.empty()) { remedy = "name a directory that is there and that this process may enter"; }
    return system_error_of(number, starting() + " in the directory \"" + options_.directory + '"', std::move(remedy));
}

result<void> launch::open_stream(std::size_t number, const process_stream& how) {
    switch (how.what) {
        case process_stream::kind::inherited: return {};
        case process_stream::kind::pipe: return open_pipe(number);
        case process_stream::kind::null:
            programs_[number] = descriptor(above_streams(::open("/dev/null", O_RDWR | O_CLOEXEC)));
            if (programs_[number]) { return {}; }
            return system_error_of(errno, "open /dev/null as " + std::string(stream_names[number]), limit_remedy(errno));
        case process_stream::kind::given: break;
    }
    programs_[number] = descriptor(::fcntl(how.fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (programs_[number]) { return {}; }
    const int refusal = errno;
    // EINVAL: the limit of descriptors is below the lowest that would do.
    std::string remedy = limit_remedy(refusal == EINVAL ? EMFILE : refusal);
    if (refusal == EBADF) { remedy = "give an open descriptor"; }
    return system_error_of(refusal,
                           "give descriptor " + std::to_string(how.fd) + " to the program as " + stream_names[number],
                           std::move(remedy));
}

result<void> launch::open_pipe(std::size_t number) {
    int ends[2];
    const bool input = number == STDIN_FILENO;
    const int made = input ? ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : ::pipe2(ends, O_CLOEXEC);
    int refusal = errno;
    if (made == 0) {
        streams[number] = descriptor(above_streams(ends[0]));
        refusal = errno;
        // The child replaces 0, 1 and 2 one after the other.
        programs_[number] = descriptor(above_streams(ends[1]));
        if (streams[number]) { refusal = errno; }
        if (input) { ::shutdown(streams[number].get(), SHUT_RD); }  // the program cannot fill its input with output
    }
    if (made == 0 && programs_[number] && streams[number]) { return {}; }
    return system_error_of(refusal, "make a pipe for " + std::string(stream_names[number]), limit_remedy(refusal));
}

result<void> launch::reserve_pidfd() {
    // A descriptor for the child is wanted when the program has begun already, and so has done something. That the kernel
    // has pidfds and has a descriptor left is found out before.
    reserved_ = open_process(::getpid());
    if (reserved_) { return {}; }
    const int number = errno;
    if (number == ENOSYS || number == EPERM) {
        return make_error(errc::kernel_not_supported, starting(), "pidfd_open: " + errno_text(number),
                          "use Linux 5.4 or later, and a seccomp filter that allows pidfd_open");
    }
    return system_error_of(number, starting(), limit_remedy(number));
}

error launch::cannot_start(int number) const {
    const std::string& name = options_.argv.front();
    const bool searched = name.find('/') == std::string::npos;
    std::string remedy = limit_remedy(number);
    switch (number) {
        case ENOENT:
            remedy = searched ? "install it, or add its directory to PATH, or give its path"
                              : "check the path, and the interpreter that the file names in its first line";
            break;
        case EACCES:
            remedy = "make the file executable, its directories accessible, and do not mount its file system noexec";
            break;
        case ENOTDIR: remedy = "check the path: a part of it is a file"; break;
        case ENOEXEC: remedy = "give a program for this machine, or a script whose first line names its interpreter"; break;
        case E2BIG:
            remedy = "shorten arguments or environment; one of them holds 128 KiB, all of them a quarter of RLIMIT_STACK";
            break;
        case EAGAIN:
            remedy = "raise the limit of processes (RLIMIT_NPROC, pids.max of the control group), or end some";
            break;
        default: break;
    }
    return system_error_of(number, starting(), std::move(remedy));
}

result<void> launch::spawn() {
    spawn_settings settings;
    int number = settings.set_signals(options_.own_group);
    if (number == 0) { number = settings.set_descriptors(directory_, programs_); }
    if (number != 0) { return cannot_start(number); }
    const std::vector<char*> arguments = pointers_to(options_.argv);
    std::vector<char*> variables;
    if (options_.environment) { variables = pointers_to(*options_.environment); }
    number = ::posix_spawnp(&pid, options_.argv.front().c_str(), &settings.actions, &settings.attributes, arguments.data(),
                            options_.environment ? variables.data() : environ);
    if (number != 0) { return cannot_start(number); }
    return {};
}

result<void> launch::open_pidfd() {
    reserved_.reset();
    process = open_process(pid);
    if (process) { return {}; }
    // Another thread took the descriptor meanwhile; or the child was reaped elsewhere (ESRCH), and its number is not ours.
    const int number = errno;
    if (number != ESRCH) {
        ::kill(pid, SIGKILL);
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {}
    }
    return system_error_of(
        number, starting() + ", which was started, and ended because it cannot be awaited",
        number == ESRCH ? "let SIGCHLD not be ignored, and no other code wait for every child" : limit_remedy(number));
}

}  // namespace fluxnet::detail
