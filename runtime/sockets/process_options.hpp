// SPDX-License-Identifier: BSD-3-Clause
// `process_options`: which program a subprocess is to run, and what that program is given.
//
//     process_options options{.argv = {"sort", "-n"}};
//     options.in = process_stream::pipe();
//     options.out = process_stream::pipe();
//     result<subprocess> started = subprocess::start(options);
//
// Plain values, for any thread. Descriptors named here stay the caller's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fluxnet {

/// What is to be the standard input, output or error output of a program.
struct process_stream {
    /// Which of the functions below has made it.
    enum class kind : std::uint8_t { inherited, null, pipe, given };

    /// That of this process.
    static process_stream inherited() noexcept { return {}; }

    /// /dev/null.
    static process_stream null() noexcept { return {kind::null, -1}; }

    /// A way to or from the program, whose other end the subprocess has. For output and error output it is a pipe. For input
    /// it is a pair of Unix stream sockets: bytes are sent with send(2) and MSG_NOSIGNAL, so that a program that has gone is
    /// told by EPIPE and never by SIGPIPE, which a write to a pipe would raise in this process. The program reads from it
    /// as from a pipe. It differs in this: the program cannot open /dev/stdin or /proc/self/fd/0 (ENXIO), cannot tee(2) it,
    /// and fstat(2) calls it a socket, which a few programs look at (bash -c reads ~/.bashrc then). Give such a program the
    /// end of a pipe by given().
    static process_stream pipe() noexcept { return {kind::pipe, -1}; }

    /// A duplicate of `fd`, which is only used while the program is started.
    static process_stream given(int fd) noexcept { return {kind::given, fd}; }

    kind what = kind::inherited;
    int fd = -1;  // of `given`
};

struct process_options {
    /// The program and its arguments; no shell reads them. A program without a slash is looked for in this process's PATH,
    /// with a slash it is a path, which begins at `directory` if it is relative.
    std::vector<std::string> argv;

    /// "NAME=value" for each variable; nothing: the environment of this process.
    std::optional<std::vector<std::string>> environment = std::nullopt;

    /// Where the program works; empty: where this process does.
    std::string directory = {};

    process_stream in = {};
    process_stream out = {};
    process_stream err = {};

    /// The program leads a process group of its own (setpgid(2)), and subprocess::kill() and the end of the handle reach all
    /// of it: also what the program has started and not put into another group. At a terminal such a group is not in the
    /// foreground: what it reads there stops it, and Ctrl-C does not reach it.
    bool own_group = false;
};

}  // namespace fluxnet
