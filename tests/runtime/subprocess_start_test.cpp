// SPDX-License-Identifier: BSD-3-Clause
// What a program is given, and why one cannot be started.
#include "fluxnet/runtime/core/signal_set.hpp"
#include "fluxnet/runtime/sockets/subprocess.hpp"
#include "tests/runtime/coroutines.hpp"
#include "tests/runtime/subprocess_tests.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/without_descriptors.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace fluxnet;
using namespace fluxnet::test;

namespace {

/// A folder that goes with what the test puts into it.
struct temporary_folder {
    std::string path = "/tmp/fluxnet-subprocess-XXXXXX";

    temporary_folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() {
        ::unlink(file().c_str());
        ::rmdir(path.c_str());
    }
    [[nodiscard]] std::string file() const { return path + "/file"; }
    void put(std::string_view text, mode_t mode) const {
        const descriptor made(::open(file().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, mode));
        REQUIRE(::write(made.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
};

/// Starts what cannot be started and returns why.
error why_not(const process_options& options) {
    const result<subprocess> none = subprocess::start(options);
    REQUIRE(none.has_error());
    CAPTURE(none.error().message());
    CHECK_FALSE(none.error().step.empty());
    CHECK_FALSE(none.error().cause.empty());
    CHECK_FALSE(none.error().remedy.empty());
    CHECK(no_children());
    return none.error();
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::set<int> numbers_in(const std::string& text) {
    std::istringstream words(text);
    return {std::istream_iterator<int>(words), {}};
}

/// The descriptors of this process that have not all of the flags `without`.
std::set<int> descriptors(int without) {
    std::set<int> open;
    for (int fd = 0; fd < 4096; ++fd) {
        const int flags = ::fcntl(fd, F_GETFD);
        if (flags >= 0 && (without == 0 || (flags & without) == 0)) { open.insert(fd); }
    }
    return open;
}

/// The signals that a line of /proc/self/status has in the program: "SigBlk", "SigIgn".
unsigned long long signals_of_program(const std::string& line) {
    const std::string text = output_of({.argv = {"grep", line, "/proc/self/status"}});
    REQUIRE(text.size() > line.size() + 1);
    return std::stoull(text.substr(line.size() + 1), nullptr, 16);
}

constexpr unsigned long long bit_of(int signal) {
    return 1ULL << (signal - 1);
}

process_options all_pipes(process_options options) {
    options.in = options.out = options.err = process_stream::pipe();
    return options;
}

}  // namespace

TEST_CASE("a program that is not there is told to be missing") {
    const error searched = why_not({.argv = {"no-such-program-anywhere"}});
    CHECK(searched.code == std::errc::no_such_file_or_directory);
    CHECK(contains(searched.step, "no-such-program-anywhere"));
    CHECK(contains(searched.remedy, "PATH"));
    const error path = why_not({.argv = {"/no/such/program"}});
    CHECK(path.code == std::errc::no_such_file_or_directory);
    CHECK(why_not({.argv = {"/etc/passwd/program"}}).code == std::errc::not_a_directory);
}

TEST_CASE("what cannot be executed is told why") {
    const temporary_folder folder;
    CHECK(why_not({.argv = {folder.path}}).code == std::errc::permission_denied);
    folder.put("no program", 0600);
    CHECK(why_not({.argv = {folder.file()}}).code == std::errc::permission_denied);
    REQUIRE(::chmod(folder.file().c_str(), 0700) == 0);
    CHECK(why_not({.argv = {folder.file()}}).code == std::errc::executable_format_error);
    CHECK(why_not({.argv = {"true", std::string(1 << 20, 'x')}}).code == std::errc::argument_list_too_long);
}

TEST_CASE("a directory that cannot be entered is named") {
    process_options options{.argv = {"true"}};
    options.directory = "/no/such/directory";
    const error missing = why_not(options);
    CHECK(missing.code == std::errc::no_such_file_or_directory);
    CHECK(contains(missing.step, "/no/such/directory"));
    options.directory = "/etc/passwd";
    CHECK(why_not(options).code == std::errc::not_a_directory);
}

TEST_CASE("options that can never work are refused") {
    CHECK(why_not({.argv = {}}).code == errc::invalid_option);
    CHECK(why_not({.argv = {""}}).code == errc::invalid_option);
    CHECK(why_not({.argv = {"true", std::string("a\0b", 3)}}).code == errc::invalid_option);
    process_options options{.argv = {"true"}};
    options.environment = {std::string("A=\0", 3)};
    CHECK(why_not(options).code == errc::invalid_option);
    options.environment.reset();
    options.err = process_stream::given(4000);
    const error closed = why_not(options);
    CHECK(closed.code == std::errc::bad_file_descriptor);
    CHECK(contains(closed.step, "standard error output"));
}

TEST_CASE("without descriptors nothing is started and nothing is left open") {
    FLUXNET_SKIP_IF(why_not_without_descriptors());
    const process_options options = all_pipes({.argv = {"cat"}});
    const std::set<int> before = descriptors(0);
    const rlim_t first = static_cast<rlim_t>(descriptor(::dup(STDERR_FILENO)).get());  // the lowest that is free
    rlimit former{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &former) == 0);
    int refusals = 0;
    for (bool done = false; !done; ++refusals) {
        const rlimit low{first + static_cast<rlim_t>(refusals), former.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
        const result<subprocess> child = subprocess::start(options);
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &former) == 0);
        done = child.has_value();
        if (!done) {
            CAPTURE(child.error().message());
            CHECK(child.error().code == std::errc::too_many_files_open);
            CHECK(contains(child.error().remedy, "RLIMIT_NOFILE"));
            CHECK(no_children());
            CHECK(descriptors(0) == before);
        }
    }
    CHECK(refusals > 4);
    CHECK(descriptors(0) == before);
}

TEST_CASE("a program works in the directory and with the environment that it is given") {
    process_options options = shell("pwd; echo \"$GIVEN ${HOME-none}\"");
    options.directory = "/usr";
    options.environment = {"GIVEN=a value", "PATH=/bin:/usr/bin"};
    CHECK(output_of(options) == "/usr\na value none\n");
    REQUIRE(::setenv("FLUXNET_TEST_INHERITED", "yes", 1) == 0);
    CHECK(output_of(shell("echo $FLUXNET_TEST_INHERITED")) == "yes\n");
    ::unsetenv("FLUXNET_TEST_INHERITED");
}

TEST_CASE("a relative path to a program begins at its directory") {
    const temporary_folder folder;
    folder.put("#!/bin/sh\npwd\n", 0700);
    process_options options{.argv = {"./file"}};
    options.directory = folder.path;
    CHECK(output_of(options) == folder.path + '\n');
}

TEST_CASE("no shell reads the arguments") {
    CHECK(output_of({.argv = {"printf", "%s|", "a b", "$HOME", "*", ""}}) == "a b|$HOME|*||");
}

TEST_CASE("a program does not inherit the mask of signal sets nor an ignored SIGPIPE") {
    const unsigned long long blocked = signals_of_program("SigBlk");
    const signal_set signals{SIGTERM, SIGUSR1};
    CHECK(signals_of_program("SigBlk") == blocked);
    struct sigaction former {};
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    REQUIRE(::sigaction(SIGPIPE, &ignore, &former) == 0);
    const unsigned long long ignored = signals_of_program("SigIgn");
    REQUIRE(::sigaction(SIGPIPE, &former, nullptr) == 0);
    CHECK((ignored & bit_of(SIGPIPE)) == 0);
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    CHECK(::sigismember(&mask, SIGTERM) == 1);  // still, here
}

TEST_CASE("a program inherits no descriptor of the library's") {
    executor loop;
    const signal_set signals{SIGUSR1};
    const subprocess other = started(all_pipes({.argv = {"cat"}}));
    std::set<int> found = numbers_in(output_of({.argv = {"ls", "/proc/self/fd"}}));
    for (const int inherited : descriptors(FD_CLOEXEC)) { found.erase(inherited); }
    found.erase(STDIN_FILENO);
    found.erase(STDOUT_FILENO);
    found.erase(STDERR_FILENO);
    CHECK(found.size() == 1);  // the one by which ls reads the directory
}
