// SPDX-License-Identifier: BSD-3-Clause
// An owned file descriptor, and the exception that test support throws when the system refuses something.
//
// The owner closes the descriptor when it goes out of scope. One thread at a time may move or reset it; any thread may
// use the number. Every descriptor made by test support is close-on-exec, so that no program started by a test inherits it.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace fluxnet::test::detail {

/// Throws std::system_error with the present errno and the step that failed.
[[noreturn]] inline void throw_errno(const std::string& step) {
    throw std::system_error(errno, std::generic_category(), step);
}

/// Owns at most one file descriptor.
class file_descriptor {
public:
    file_descriptor() noexcept = default;
    explicit file_descriptor(int number) noexcept : number_(number) {}

    /// Takes the result of a system call: throws std::system_error naming `step` when it is negative.
    static file_descriptor checked(int number, const char* step) {
        if (number < 0) throw_errno(step);
        return file_descriptor{number};
    }

    ~file_descriptor() { reset(); }
    file_descriptor(file_descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    file_descriptor& operator=(file_descriptor&& other) noexcept {
        if (this != &other) {
            reset();
            number_ = std::exchange(other.number_, -1);
        }
        return *this;
    }

    /// Closes now; nothing happens when there is no descriptor.
    void reset() noexcept {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

    [[nodiscard]] int get() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }

private:
    int number_ = -1;  // -1 when there is none
};

}  // namespace fluxnet::test::detail
