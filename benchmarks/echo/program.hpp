// SPDX-License-Identifier: BSD-3-Clause
// What the echo servers and their client share: reading "--name N" from the command line, and ending with a message.
#pragma once

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace benchmark {

/// Ends the program with the step that failed and the reason, an errno.
[[noreturn]] inline void fail(const char* step, int reason) {
    std::fprintf(stderr, "%s: %s\n", step, std::strerror(reason));
    std::exit(1);
}

/// The number that follows `name` on the command line, `otherwise` if the name is not there. Whatever is no number from 0 to
/// `most` ends the program.
inline long number_after(int count, char** words, std::string_view name, long otherwise, long most) {
    for (int i = 1; i < count; ++i) {
        if (name != words[i]) { continue; }
        const std::string_view text = i + 1 < count ? words[i + 1] : "";
        long number = -1;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size() || number < 0 || number > most) {
            std::fprintf(stderr, "%s takes a number from 0 to %ld\n", words[i], most);
            std::exit(2);
        }
        return number;
    }
    return otherwise;
}

/// The line that the harness waits for.
inline void print_listening(unsigned port) {
    std::printf("listening on %u\n", port);
    std::fflush(stdout);
}

}  // namespace benchmark
